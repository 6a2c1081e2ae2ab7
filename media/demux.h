// SPDX-License-Identifier: Apache-2.0
// Tells apart the protocols that share one port (RFC 7983 section 7, RFC 5761 section 4). Pure.
#ifndef IQ_MEDIA_DEMUX_H
#define IQ_MEDIA_DEMUX_H

#include "gateway/core/span.h"

enum demux_kind {
    DEMUX_UNKNOWN, // ZRTP, TURN channels, anything else, and what is too short for its own header
    DEMUX_STUN,
    DEMUX_DTLS,
    DEMUX_RTP,
    DEMUX_RTCP,
};

// By the first two bytes and the shortest length the protocol can have. Says nothing about the rest.
enum demux_kind demux_classify(struct span datagram);

#endif
