// SPDX-License-Identifier: Apache-2.0
#include "media/demux.h"

enum {
    STUN_MIN_LEN = 20,
    DTLS_MIN_LEN = 13,
    RTP_MIN_LEN = 12,
    RTCP_MIN_LEN = 8,
};

static enum demux_kind at_least(size_t len, size_t min_len, enum demux_kind kind) {
    return len >= min_len ? kind : DEMUX_UNKNOWN;
}

// RTCP packet types 192-223 are what RTP would call payload types 64-95 with the marker bit, which is why
// nobody may use those (RFC 5761 section 4). With the marker bit off it can be neither.
static enum demux_kind rtp_or_rtcp(struct span datagram) {
    if (datagram.len < 2)
        return DEMUX_UNKNOWN;
    uint8_t type = datagram.ptr[1] & 0x7f;
    if (type < 64 || type > 95)
        return at_least(datagram.len, RTP_MIN_LEN, DEMUX_RTP);
    return at_least(datagram.len, RTCP_MIN_LEN, datagram.ptr[1] & 0x80 ? DEMUX_RTCP : DEMUX_UNKNOWN);
}

enum demux_kind demux_classify(struct span datagram) {
    if (!datagram.len)
        return DEMUX_UNKNOWN;
    uint8_t first = datagram.ptr[0];
    if (first <= 3)
        return at_least(datagram.len, STUN_MIN_LEN, DEMUX_STUN);
    if (first >= 20 && first <= 63)
        return at_least(datagram.len, DTLS_MIN_LEN, DEMUX_DTLS);
    if (first >= 128 && first <= 191)
        return rtp_or_rtcp(datagram);
    return DEMUX_UNKNOWN;
}
