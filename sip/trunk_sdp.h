// SPDX-License-Identifier: Apache-2.0
// Offer and answer (RFC 3264) for the one audio stream of a trunk's call, both ways round. Pure.
//
// Taken: RTP/AVP and RTP/AVPF; with a=crypto also as opportunistic SRTP (RFC 8643); RTP/SAVP and RTP/SAVPF
// with SDES. Our codecs by our preference; telephone-event; comfort noise beside G.711; rtcp-mux; hold by
// direction and by c=0.0.0.0. Everything that is no audio, and every audio m-line but one, is refused.
#ifndef IQ_SIP_TRUNK_SDP_H
#define IQ_SIP_TRUNK_SDP_H

#include "media/sdp_nego.h"
#include "media/udp.h"
#include "sip/sdes.h"

struct trunk_sdp_config {
    const enum codec_id *codecs; // best first; borrows
    size_t codec_count;
    bool require_srtp; // refuse RTP/AVP and RTP/AVPF, with a=crypto too
    int family;        // AF_INET or AF_INET6, of the address we are bound to; 0: take both
};

// What the peer's SDP asks, decided. Holds a key: trunk_plan_wipe.
struct trunk_plan {
    struct sdp_audio audio;      // borrows from the SDP; its direction is ours
    bool rtcp_mux;               // for both
    bool secure;                 // SRTP, with these keys
    struct sdes theirs;          // protects what they send
    union udp_address rtp, rtcp; // where they listen; not known when it is a name, or on hold by c=0.0.0.0
};
void trunk_plan_wipe(struct trunk_plan *plan);

// Our side, as it is written down.
struct trunk_local {
    const char *address; // numeric
    uint16_t rtp_port;   // RTCP is one above
    uint64_t session_id;
    uint32_t version;
};

// -ENOENT no open audio, -ENOTSUP no codec, profile, SRTP suite or address family of ours, -EINVAL no c=. `offer` is changed:
// m-lines whose keys are none of ours lose their profile.
int trunk_sdp_read_offer(struct trunk_plan *out, struct sdp *offer, const struct trunk_sdp_config *config,
                         struct err_text *err);
// Every m-line is answered in its order. `ours` (when plan->secure) has the tag and suite of plan->theirs.
// Returns the length, or -ENOBUFS.
int trunk_sdp_write_answer(const struct sdp *offer, const struct trunk_plan *plan,
                           const struct trunk_local *local, const struct sdes *ours, char *buf, size_t cap);
size_t trunk_sdp_answer_cap(const struct sdp *offer, size_t offer_len); // a `cap` that is enough

enum { TRUNK_SDP_OFFER_CAP = 2048, TRUNK_SDP_SUITES = 2 };
// Our offer; with `ours` (TRUNK_SDP_SUITES of them, tags 1 and 2) RTP/SAVP, with NULL RTP/AVP.
int trunk_sdp_write_offer(const struct trunk_sdp_config *config, const struct trunk_local *local,
                          const struct sdes *ours, char *buf, size_t cap);
// The answer to it. *chosen is the index of `ours` that the peer took, when out->secure.
int trunk_sdp_read_answer(struct trunk_plan *out, struct sdp *answer, const struct trunk_sdp_config *config,
                          const struct sdes *ours, size_t *chosen, struct err_text *err);

#endif
