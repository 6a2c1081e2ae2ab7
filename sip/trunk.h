// SPDX-License-Identifier: Apache-2.0
// The media of one SIP call: a UDP port pair, RTP or SRTP (SDES, RFC 4568), RTCP, telephone-event, and the
// offer/answer that says so. Implements leg_ops. Knows nothing of SIP messages. Everything on one worker thread.
//
//   in   udp -> trunk_media: demux -> [unprotect] -> latch (probation) -> rtp_parse -> audio_rx -> (reader)
//   out  (writer) -> audio_tx -> [protect] -> udp
#ifndef IQ_SIP_TRUNK_H
#define IQ_SIP_TRUNK_H

#include "gateway/core/err.h"
#include "media/dtmf.h"
#include "media/leg.h"

#include <uv.h>

struct trunk;

// What a worker's trunks share; borrowed, outlives them.
struct trunk_env {
    uv_loop_t *loop;
    uint16_t rtp_port_min, rtp_port_max; // even ports are RTP, the odd one above is RTCP
    const char *public_address;          // what the SDP says behind 1:1 NAT; NULL = the address bound
    const struct ticker *ticker;         // of the loop's thread, which tells how late it is; NULL for on time
    const unsigned *complexity;          // of Opus encoders, as it is now; NULL for the codec's own
};

struct trunk_config {
    const char *call_id;         // for logs; copied
    const char *local_address;   // numeric, to bind to: the address the INVITE came to
    const char *remote_address;  // numeric, the signalling source: media may come from behind the same NAT
    uint32_t pcm_rate_hz;        // what the bridge would like
    const enum codec_id *codecs; // allowed, best first; copied
    size_t codec_count;
    bool require_srtp;     // RTP/AVP is refused
    uint32_t dead_call_ms; // neither RTP nor RTCP for so long, except on hold: LEG_END_LOST. 0 = never
    enum dtmf_tones tones;
};

// -EMFILE: no port pair is free.
int trunk_new(struct trunk **out, const struct trunk_env *env, const struct trunk_config *config,
              const struct leg_events *events, void *events_arg);

// The peer's offer, the first or a later one (hold, moved media, another codec): *answer is malloc'ed.
// -EINVAL malformed, -ENOENT no audio, -ENOTSUP no common codec or profile (488). On error nothing changes.
int trunk_offer(struct trunk *trunk, const char *sdp, size_t len, char **answer, struct err_text *err);
// Our offer, when the peer's INVITE had none; and its answer. Errors as trunk_offer.
int trunk_make_offer(struct trunk *trunk, char **offer, struct err_text *err);
int trunk_answer(struct trunk *trunk, const char *sdp, size_t len, struct err_text *err);
// The call is answered (the 200 is going out): RTP begins, and events.on_up is called from the loop, as soon as
// an answer of either side has said what to send.
void trunk_start(struct trunk *trunk);
// A digit that came by INFO: joins those of RFC 4733, duplicates of one press suppressed.
void trunk_dtmf(struct trunk *trunk, char digit);

struct leg
trunk_leg(struct trunk *trunk); // owner calls leg.ops->close(); on_closed then says that it is gone

#endif
