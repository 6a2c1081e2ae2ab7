// SPDX-License-Identifier: Apache-2.0
// Linear PCM as agents speak it: 16-bit, little-endian, mono, any rate. Not RFC 3551's L16, which is
// big-endian: this one never goes into RTP and has no place in SDP.
#include "gateway/core/err.h"
#include "media/codec_ops.h"

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

static int l16_encode_frame(void *state, const int16_t *pcm, size_t samples, uint8_t *out, size_t cap) {
    (void)state;
    if (cap / BYTES_PER_SAMPLE < samples)
        return -ENOBUFS;
    for (size_t i = 0; i < samples; i++) {
        out[2 * i] = (uint8_t)pcm[i];
        out[2 * i + 1] = (uint8_t)((uint16_t)pcm[i] >> 8);
    }
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
    for (size_t i = 0; i < samples; i++)
        pcm[i] = (int16_t)(uint16_t)(payload[2 * i] | payload[2 * i + 1] << 8);
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
