// SPDX-License-Identifier: Apache-2.0
// RTP packets (RFC 3550 section 5.1): a parser that trusts no length field, and a header writer. Pure.
#ifndef IQ_MEDIA_RTP_H
#define IQ_MEDIA_RTP_H

#include "gateway/core/span.h"

enum {
    RTP_HEADER_LEN = 12, // bytes, without CSRCs and extension: what we send
    RTP_VERSION = 2,
};

struct rtp_packet {
    uint8_t payload_type; // 0-127
    bool marker;
    uint16_t seq;
    uint32_t timestamp, ssrc;
    uint8_t csrc_count;
    uint16_t ext_profile;   // of the header extension; 0 when there is none
    struct span ext;        // its body, whole 32-bit words; borrows the datagram
    const uint8_t *payload; // without padding; borrows the datagram
    size_t payload_len;     // may be 0
};

// Reads one packet. -EBADMSG, and `*out` untouched, when the version is not 2 or any part reaches beyond the
// datagram.
int rtp_parse(struct span datagram, struct rtp_packet *out);

// Writes the 12 bytes of a header with neither CSRC, extension nor padding: payload_type, marker, seq,
// timestamp and ssrc are used, the rest is not. Returns RTP_HEADER_LEN; -EMSGSIZE when `cap` is less; -EINVAL
// for a payload type beyond 127.
int rtp_write(uint8_t *out, size_t cap, const struct rtp_packet *header);

#endif
