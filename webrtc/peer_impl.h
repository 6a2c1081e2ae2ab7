// SPDX-License-Identifier: Apache-2.0
// Internal to webrtc/peer*.c: the peer itself. Nobody else includes it.
#ifndef IQ_WEBRTC_PEER_IMPL_H
#define IQ_WEBRTC_PEER_IMPL_H

#include "webrtc/datachan.h"
#include "webrtc/dtls.h"
#include "webrtc/ice.h"
#include "webrtc/peer.h"
#include "webrtc/peer_media.h"
#include "webrtc/peer_sdp.h"

enum { PEER_MAX_EARLY_CANDIDATES = 64 };

struct peer_early_candidate {
    char *text, *ufrag; // owned; ufrag may be NULL
};

struct peer {
    const struct peer_env *env; // borrowed
    struct peer_config config;
    char call_id[128];
    char *greeting; // owned
    struct peer_signals signals;
    const struct leg_events *events; // borrowed
    void *events_arg;

    struct ice *ice;           // owns, like all below
    struct dtls *dtls;         // NULL before the first offer
    struct datachan *channels; // NULL until offered
    struct peer_media *media;
    struct dtls_fingerprint fingerprint;
    enum dtls_role role;
    uint64_t session_id;
    uint32_t version;
    char mid[PEER_SDP_MAX_MID];
    int mline_index;

    struct peer_early_candidate early[PEER_MAX_EARLY_CANDIDATES];
    unsigned early_count, candidate_count;
    bool early_done;

    uv_timer_t guard, report;
    unsigned open; // ICE and the timers, while closing
    bool gathered, dtls_started, up, ended, closing;
    uint64_t data_us; // when DTLS last brought authenticated data
};

// peer.c, for peer_offer.c. Both answer a negative errno and leave the peer as it was on failure.
int peer_make_dtls(struct peer *peer, const struct peer_plan *plan);
int peer_make_channels(struct peer *peer, const struct peer_plan *plan);
// Starts the guard anew: the connect timeout before media is up, the grace afterwards.
void peer_guard(struct peer *peer);

// peer_offer.c, for peer.c.
void peer_forget_candidates(struct peer *peer);

#endif
