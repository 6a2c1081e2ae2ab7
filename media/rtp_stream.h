// SPDX-License-Identifier: Apache-2.0
// What a receiver knows of one RTP source (RFC 3550 appendices A.1, A.3, A.8): extended sequence numbers,
// whether the source is valid, loss, interarrival jitter, and the report block that tells the sender. Pure.
// No heap.
#ifndef IQ_MEDIA_RTP_STREAM_H
#define IQ_MEDIA_RTP_STREAM_H

#include "media/rtcp.h"
#include "media/rtp.h"

enum {
    RTP_MAX_DROPOUT = 3000, // a forward jump of sequence numbers below this is loss
    RTP_MAX_MISORDER = 100, // a backward one below this is reordering
    RTP_MIN_SEQUENTIAL = 2, // packets in order that make an unauthenticated source valid
};

enum rtp_stream_verdict {
    RTP_STREAM_OK,
    RTP_STREAM_PROBATION, // not yet valid: do not use the packet
    RTP_STREAM_BAD,       // a jump too large, seen once: do not use the packet
    RTP_STREAM_RESTART,   // the same jump confirmed by a second packet: valid, and everything begins anew
};

struct rtp_stream {
    uint32_t ssrc, clock_hz;
    unsigned probation; // packets in order still wanted
    bool started;
    uint16_t max_seq;
    uint32_t cycles, base_seq, bad_seq;
    uint32_t received, expected_prior, received_prior; // since the (re)start
    bool have_transit;
    uint32_t transit, jitter_q4; // jitter in 1/16 tick
    bool have_sr;
    uint32_t lsr;
    uint64_t sr_came_us;
};

// `probation` is RTP_MIN_SEQUENTIAL for plain RTP and 0 where every packet is authenticated.
void rtp_stream_init(struct rtp_stream *s, uint32_t ssrc, uint32_t clock_hz, unsigned probation);

// Accounts for one packet of this SSRC. Unless the verdict is OK or RESTART nothing but the sequence state
// changes.
enum rtp_stream_verdict rtp_stream_packet(struct rtp_stream *s, uint16_t seq, uint32_t timestamp,
                                          uint64_t now_us);

// Renegotiated to another clock: jitter is restated in its ticks, and everything else goes on.
void rtp_stream_set_clock(struct rtp_stream *s, uint32_t clock_hz);

// The highest sequence number seen, with cycles in the upper half.
uint32_t rtp_stream_highest_seq(const struct rtp_stream *s);
// Expected less received; negative when duplicates came (A.3).
int32_t rtp_stream_lost(const struct rtp_stream *s);
uint32_t rtp_stream_jitter_ticks(const struct rtp_stream *s);
uint32_t rtp_stream_jitter_us(const struct rtp_stream *s);

// An SR of this source came: for LSR and DLSR.
void rtp_stream_sender_report(struct rtp_stream *s, uint64_t ntp, uint64_t now_us);
// A report block; fraction lost counts since the last call. False before the source is valid.
bool rtp_stream_report(struct rtp_stream *s, uint64_t now_us, struct rtcp_report_block *out);

#endif
