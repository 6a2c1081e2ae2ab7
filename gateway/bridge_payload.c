// SPDX-License-Identifier: Apache-2.0
// Opus packets that hold no audio (RFC 6716 sections 3.1, 3.2): frames of zero bytes, which a decoder treats
// as lost.
#include "gateway/bridge_impl.h"

// With the mode, bandwidth and duration of `payload`, so that the agent's decoder conceals what it was
// playing. Returns the bytes, 0 for a payload that is none.
size_t bridge_lost_opus(const uint8_t *payload, size_t len, uint8_t out[2]) {
    if (len < 1)
        return 0;
    uint8_t toc = payload[0] & 0xfc;
    unsigned code = payload[0] & 0x03;
    if (code == 3) {
        if (len < 2 || !(payload[1] & 0x3f))
            return 0;
        out[0] = toc | 3;
        out[1] = payload[1] & 0x3f; // the number of frames; constant bit rate, no padding
        return 2;
    }
    out[0] = (uint8_t)(toc | (code ? 1 : 0)); // two frames of the same size: none
    return 1;
}

// Before any packet came: SILK, wide band, mono, in one frame of 10, 20, 40 or 60 ms (configurations 8 to
// 11).
size_t bridge_first_lost_opus(uint32_t frame_ms, uint8_t out[2]) {
    unsigned config = frame_ms == 10 ? 8 : frame_ms == 20 ? 9 : frame_ms == 40 ? 10 : 11;
    out[0] = (uint8_t)(config << 3);
    return 1;
}
