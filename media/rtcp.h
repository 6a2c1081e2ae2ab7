// SPDX-License-Identifier: Apache-2.0
// RTCP (RFC 3550 section 6): reads compound packets, writes SR or RR with SDES CNAME, and BYE. Pure.
#ifndef IQ_MEDIA_RTCP_H
#define IQ_MEDIA_RTCP_H

#include "gateway/core/span.h"

enum {
    RTCP_SR = 200,
    RTCP_RR = 201,
    RTCP_SDES = 202,
    RTCP_BYE = 203,
    RTCP_MAX_BLOCKS = 31, // report blocks or sources of one packet: a 5-bit count
    RTCP_MAX_TEXT = 255,  // bytes of a CNAME or a BYE reason
};

struct rtcp_sender_info {
    uint64_t ntp;             // wall clock, NTP 32.32 fixed point
    uint32_t rtp_timestamp;   // the same instant on the stream's RTP clock
    uint32_t packets, octets; // sent so far; octets of payload only
};

struct rtcp_report_block {
    uint32_t ssrc;         // of the stream reported on
    uint8_t fraction_lost; // since the last report, in 1/256
    int32_t lost;          // since the start, 24 bits signed: duplicates can make it negative
    uint32_t highest_seq;  // extended
    uint32_t jitter;       // in RTP clock ticks
    uint32_t lsr;          // middle 32 bits of the NTP time of the last SR from that stream, 0 for none
    uint32_t dlsr;         // since that SR came, in 1/65536 s
};

// One packet of a compound.
struct rtcp_packet {
    uint8_t type, count; // count: blocks, sources, or a feedback format
    struct span body;    // after the 4-byte header, without padding; borrows
};

// Takes the next packet off the compound. 0; -ENODATA at the end; -EBADMSG when malformed.
int rtcp_next(struct span *compound, struct rtcp_packet *out);

// Any may be NULL. Called in the packet's order, from inside rtcp_parse.
struct rtcp_events {
    void (*on_sender_info)(uint32_t from_ssrc, const struct rtcp_sender_info *info, void *arg);
    void (*on_report)(uint32_t from_ssrc, const struct rtcp_report_block *block, void *arg);
    void (*on_cname)(uint32_t ssrc, struct span cname, void *arg); // borrows; bytes from the net, not text
    void (*on_bye)(uint32_t ssrc, struct span reason, void *arg);  // reason may be empty
};

// Reads a whole compound packet; types other than SR, RR, SDES and BYE are skipped. Reduced-size packets
// (RFC 5506), which begin with something else than a report, are fine. -EBADMSG, with no event called, when
// any part is malformed or reaches beyond the datagram.
int rtcp_parse(struct span datagram, const struct rtcp_events *events, void *arg);

struct rtcp_report {
    uint32_t ssrc;                          // ours
    const struct rtcp_sender_info *sender;  // SR; NULL makes it an RR
    const struct rtcp_report_block *blocks; // borrows
    size_t block_count;                     // <= RTCP_MAX_BLOCKS
    const char *cname;                      // 1 to RTCP_MAX_TEXT bytes
    bool bye;
    const char *bye_reason; // NULL for none; cut at RTCP_MAX_TEXT
};

// Writes SR or RR, SDES with the CNAME and, if asked, BYE. Returns the length, a multiple of 4. -EMSGSIZE
// when it does not fit, -EINVAL when a count or the CNAME is out of bounds.
int rtcp_write(uint8_t *out, size_t cap, const struct rtcp_report *report);

// The middle 32 bits of an NTP time, as in LSR.
static inline uint32_t rtcp_ntp_middle(uint64_t ntp) {
    return (uint32_t)(ntp >> 16);
}

#endif
