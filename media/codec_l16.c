// SPDX-License-Identifier: Apache-2.0
// Linear PCM as agents speak it: 16-bit, little-endian, mono, any rate. Not RFC 3551's L16, which is
// big-endian: this one never goes into RTP and has no place in SDP.
#include "gateway/core/err.h"
#include "media/codec_ops.h"

#include <endian.h>
#include <string.h>

enum { DEFAULT_RATE_HZ = 16000, MAX_RATE_HZ = 192000, BYTES_PER_SAMPLE = 2 };

static uint32_t l16_pcm_rate(uint32_t want_rate_hz) {
    return want_rate_hz && want_rate_hz <= MAX_RATE_HZ ? want_rate_hz : DEFAULT_RATE_HZ;
}

static int l16_new(void **state, uint32_t rate_hz) {
    if (!rate_hz || rate_hz > MAX_RATE_HZ)
        return -EINVAL;
    *state = NULL;
    return 0;
}

// Either way between little-endian and the host's order: a plain copy on every machine this is likely to
// meet.
static void copy_swapped(void *to, const void *from, size_t samples) {
    memcpy(to, from, samples * BYTES_PER_SAMPLE);
    uint8_t *bytes = to;
    for (size_t i = 0; htole16(1) != 1 && i < samples; i++) {
        uint8_t first = bytes[2 * i];
        bytes[2 * i] = bytes[2 * i + 1];
        bytes[2 * i + 1] = first;
    }
}

static int l16_encode_frame(void *state, const int16_t *pcm, size_t samples, uint8_t *out, size_t cap) {
    (void)state;
    if (cap / BYTES_PER_SAMPLE < samples)
        return -ENOBUFS;
    copy_swapped(out, pcm, samples);
    return (int)(samples * BYTES_PER_SAMPLE);
}

static int l16_decode_frame(void *state, const uint8_t *payload, size_t len, int16_t *pcm,
                            size_t cap_samples) {
    (void)state;
    if (len % BYTES_PER_SAMPLE != 0)
        return -EBADMSG;
    size_t samples = len / BYTES_PER_SAMPLE;
    if (cap_samples < samples)
        return -ENOBUFS;
    copy_swapped(pcm, payload, samples);
    return (int)samples;
}

static uint32_t l16_payload_ticks(const uint8_t *payload, size_t len) {
    (void)payload;
    return len % BYTES_PER_SAMPLE == 0 ? (uint32_t)(len / BYTES_PER_SAMPLE) : 0;
}

const struct codec_ops codec_l16_ops = {
    .desc = {.id = CODEC_L16,
             .rtp_name = "L16",
             .clock_hz = DEFAULT_RATE_HZ,
             .sdp_channels = 1,
             .static_payload_type = -1,
             .native_rate_hz = DEFAULT_RATE_HZ},
    .pcm_rate = l16_pcm_rate,
    .encoder_new = l16_new,
    .encode = l16_encode_frame,
    .decoder_new = l16_new,
    .decode = l16_decode_frame,
    .payload_ticks = l16_payload_ticks,
};
