// SPDX-License-Identifier: Apache-2.0
// The media side of one worker: the calls placed on it, found by the session's handle, and what they share.
#ifndef IQ_GATEWAY_MEDIA_WORKER_H
#define IQ_GATEWAY_MEDIA_WORKER_H

#include "gateway/call_figures.h"
#include "gateway/call_msg.h"
#include "gateway/core/conf.h"
#include "gateway/core/worker.h"
#include "gateway/load_watch.h"
#include "webrtc/peer.h"

struct media_worker;

// Mail to ctl beside that of calls: `to` is the request, data a struct media_snapshot, or NULL without memory.
enum { WORKER_SNAPSHOT = 1100 };
struct media_snapshot {
    size_t count;
    struct media_snapshot_item {
        uint64_t handle; // of the session
        struct call_figures figures;
    } items[]; // by handle
};

// STUN and TURN servers for our own candidates, names resolved. Plain data: travels by mail.
enum { MEDIA_MAX_TURNS = 4 };
struct media_ice {
    char stun_address[64]; // empty = none
    uint16_t stun_port;
    struct peer_turn turns[MEDIA_MAX_TURNS];
    size_t turn_count;
};

// Borrowed until media_worker_join; the conf is held.
struct media_worker_config {
    unsigned index;
    uint32_t capacity; // handles 0..capacity-1 by their low half
    const struct conf *conf;
    const struct cert *cert;
    struct sctp_hub *sctp;
    const struct wsc_tls *tls;
    struct load_watch *load; // whose limits it keeps, and where it tells how it is
    struct mailbox *ctl;     // where SESSION_* mail goes
};

int media_worker_start(struct media_worker **out, const struct media_worker_config *config);
int media_worker_post(struct media_worker *worker, enum call_mail type, uint64_t handle,
                      struct call_msg *msg);                                                 // takes msg
int media_worker_open(struct media_worker *worker, uint64_t handle, struct call_open *open); // takes open
int media_worker_set_ice(struct media_worker *worker,
                         const struct media_ice *ice);                           // for calls that begin later
int media_worker_set_conf(struct media_worker *worker, const struct conf *conf); // the same
// All its calls as they are doing now: comes to ctl as a WORKER_SNAPSHOT mail for `request`.
int media_worker_snapshot(struct media_worker *worker, uint64_t request);
void media_worker_stop(struct media_worker *worker); // hangs up what is left, then ends the thread
void media_worker_join(struct media_worker *worker); // frees

#endif
