// SPDX-License-Identifier: Apache-2.0
// ICE (RFC 8445) by libnice, behind this door: no GLib type leaves it. Each agent has a GMainContext of its
// own whose few descriptors and one deadline are watched by the worker's libuv loop; only a context that is
// ready is iterated.
#ifndef IQ_WEBRTC_ICE_H
#define IQ_WEBRTC_ICE_H

#include "webrtc/peer.h"

#include <stdbool.h>

struct ice;

enum ice_state { ICE_NEW, ICE_CHECKING, ICE_CONNECTED, ICE_DISCONNECTED, ICE_FAILED };

// On the worker, always from the loop and never inside a call of ours. None may free the agent inside;
// ice_close may be called from any of them.
struct ice_events {
    void (*on_state)(enum ice_state state, void *arg);
    void (*on_candidate)(const char *candidate,
                         void *arg); // "candidate:..." ours; NULL when gathering has ended
    void (*on_packet)(uint8_t *data, size_t len,
                      void *arg); // one datagram; may be changed in place; buffer holds 2048
    void *arg;
};

int ice_new(struct ice **out, const struct peer_env *env, const char *call_id,
            const struct ice_events *events);
void ice_close(struct ice *ice, void (*on_closed)(void *arg),
               void *arg); // frees; on_closed comes from the loop

// Controlled unless told otherwise before ice_gather: the browser offers. Controlling: the peer is ICE-lite.
void ice_set_controlling(struct ice *ice, bool controlling);

const char *ice_ufrag(const struct ice *ice); // ours, of the current generation
const char *ice_pwd(const struct ice *ice);
int ice_gather(
    struct ice *ice); // starts; candidates follow by on_candidate. -EADDRNOTAVAIL without an address or port

// Ours known by now, for an answer that carries them; NULL beyond the last. ice_candidates_told: those need
// not follow by on_candidate any more.
const char *ice_local_candidate(const struct ice *ice, size_t index);
void ice_candidates_told(struct ice *ice);
bool ice_gathering_done(const struct ice *ice);

// The peer's credentials. Different ones than before are an ICE restart: ours change too (ice_ufrag/ice_pwd),
// and the old pair carries media until the new one is chosen. -EINVAL when they break RFC 8839 section 5.4.
int ice_remote_credentials(struct ice *ice, const char *ufrag, const char *pwd, bool *restarted);
// "candidate:..."; -EINVAL when malformed. Skipped, which is no error: TCP, addresses nothing can be sent to,
// names that do not resolve, and candidates of another generation than the peer's credentials (`ufrag`, which
// may be NULL).
int ice_add_candidate(struct ice *ice, const char *candidate, const char *ufrag);
void ice_remote_done(struct ice *ice); // end of candidates

int ice_send(struct ice *ice, const uint8_t *data,
             size_t len); // -EAGAIN without a pair or when the socket is full
enum ice_state ice_state(const struct ice *ice);
// When the last datagram came by a verified path, in ticker_now_us time. Answers to consent checks are seen
// by libnice alone: while the state is ICE_CONNECTED, it vouches for them.
uint64_t ice_last_heard_us(const struct ice *ice);

#endif
