// SPDX-License-Identifier: Apache-2.0
// A browser's peer connection, the answering side: one ICE component (BUNDLE, rtcp-mux), DTLS-SRTP, one audio
// stream each way, data channels. Implements leg_ops. Everything on one worker thread.
#ifndef IQ_WEBRTC_PEER_H
#define IQ_WEBRTC_PEER_H

#include "gateway/core/err.h"
#include "media/leg.h"

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct peer;
struct cert;     // webrtc/cert.h
struct sctp_hub; // webrtc/sctp.h

struct peer_turn {
    char address[64]; // numeric IPv4 or IPv6: libnice takes no names
    uint16_t port;
    enum { PEER_TURN_UDP, PEER_TURN_TCP, PEER_TURN_TLS } transport;
    char username[256];
    char credential[256]; // secret
};

// What every peer of a worker shares. Borrowed by its peers; outlives them.
struct peer_env {
    uv_loop_t *loop;
    const struct cert *cert;
    struct sctp_hub *sctp;
    uint16_t udp_port_min, udp_port_max;
    const char *public_address; // our address behind 1:1 NAT, signalled in host candidates; NULL for none
    const char *stun_address;   // numeric, NULL for none
    uint16_t stun_port;
    const struct peer_turn *turns;
    size_t turn_count;
    bool allow_loopback; // also gather 127.0.0.1 and ::1 (the demo and the tests; browsers on this very
                         // machine)
    const struct ticker *ticker; // of the loop's thread, which tells how late it is; NULL for on time
    const unsigned *complexity;  // of Opus encoders, as it is now; NULL for the codec's own
};

struct peer_config {
    const char *call_id;  // for logs; copied
    uint32_t pcm_rate_hz; // what the bridge would like (leg_media)
    // Text sent on each data channel when it opens; NULL for none. Copied.
    const char *greeting;
    uint32_t connect_timeout_ms; // from the first answer until media is up, then on_end(LEG_END_FAILED)
    uint32_t grace_ms;           // how long consent may be lost or ICE failed before on_end(LEG_END_LOST)
};

struct peer_candidate {
    const char *candidate; // begins "candidate:"; NULL or "" = no more
    const char *sdp_mid;   // may be NULL
    int sdp_mline_index;   // -1 when unknown
    const char *ufrag;     // may be NULL
};

struct peer_signals {
    void (*on_candidate)(const struct peer_candidate *candidate,
                         void *arg); // ours, trickled; NULL candidate at the end
    void *arg;
};

int peer_new(struct peer **out, const struct peer_env *env, const struct peer_config *config,
             const struct peer_signals *signals, const struct leg_events *events, void *events_arg);

// An offer, the first or a later one (renegotiation, ICE restart). *answer is malloc'ed, the caller frees it.
// -EINVAL malformed SDP, -ENOENT no audio, -ENOTSUP no common codec, -EPROTO no fingerprint / ICE
// credentials. On error nothing of an established connection changes. `err` tells a person.
int peer_offer(struct peer *peer, const char *sdp, size_t len, char **answer, struct err_text *err);

// May come before the offer: up to 64 are kept. More than 128 in all: -ENOSPC, the peer goes on. A candidate
// that cannot be used (mDNS name that does not resolve, unknown transport) is skipped and is no error.
// -EINVAL when malformed.
int peer_add_candidate(struct peer *peer, const struct peer_candidate *candidate);

// When an authenticated packet (SRTP, SRTCP, DTLS record, consent answer) last came, 0 for never, in
// ticker_now_us time.
uint64_t peer_last_heard_us(const struct peer *peer);

struct leg
peer_leg(struct peer *peer); // owner calls leg.ops->close(); on_closed then says that the memory is gone

#endif
