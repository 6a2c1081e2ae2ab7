// SPDX-License-Identifier: Apache-2.0
// G.722 at 64 kbit/s: 16 kHz of PCM, one byte per two samples, and an RTP clock of 8000 for a slip of long
// ago that everybody keeps to (RFC 3551 section 4.5.2).
#include "gateway/core/err.h"
#include "media/codec_ops.h"

#include <spandsp/telephony.h>

#include <spandsp/g722.h>

#include <string.h>

enum {
    RATE_HZ = 16000,
    CLOCK_HZ = 8000,
    BIT_RATE = 64000,
    BYTES_PER_MS = 8,
};

static uint32_t g722_pcm_rate(uint32_t want_rate_hz) {
    (void)want_rate_hz;
    return RATE_HZ;
}

static int g722_encoder_new(void **state, uint32_t rate_hz) {
    if (rate_hz != RATE_HZ)
        return -EINVAL;
    g722_encode_state_t *encoder = g722_encode_init(NULL, BIT_RATE, 0);
    if (!encoder)
        return -ENOMEM;
    *state = encoder;
    return 0;
}

static void g722_encoder_free(void *state) {
    g722_encode_free(state);
}

static int g722_encode_frame(void *state, const int16_t *pcm, size_t samples, uint8_t *out, size_t cap) {
    if (samples % 2 != 0)
        return -EINVAL;
    if (cap < samples / 2)
        return -ENOBUFS;
    return g722_encode(state, out, pcm, (int)samples);
}

static int g722_decoder_new(void **state, uint32_t rate_hz) {
    if (rate_hz != RATE_HZ)
        return -EINVAL;
    g722_decode_state_t *decoder = g722_decode_init(NULL, BIT_RATE, 0);
    if (!decoder)
        return -ENOMEM;
    *state = decoder;
    return 0;
}

static void g722_decoder_free(void *state) {
    g722_decode_free(state);
}

static int g722_decode_frame(void *state, const uint8_t *payload, size_t len, int16_t *pcm,
                             size_t cap_samples) {
    if (cap_samples / 2 < len)
        return -ENOBUFS;
    return g722_decode(state, pcm, payload, (int)len);
}

static uint32_t g722_payload_ticks(const uint8_t *payload, size_t len) {
    (void)payload;
    return (uint32_t)len;
}

// No code of G.722 means zero: each says a step up or down of a size that shrinks with every small one. This
// one, repeated, takes a decoder from any state to within 60 of zero (of 32768) in 20 ms, and leaves a fresh
// one at exactly zero. An encoder fed with zeros ends in a louder limit cycle.
static int g722_silence(uint32_t duration_ms, uint8_t *out, size_t cap) {
    enum { SMALLEST_STEP = 0xfc };
    size_t len = (size_t)duration_ms * BYTES_PER_MS;
    if (cap < len)
        return -ENOBUFS;
    memset(out, SMALLEST_STEP, len);
    return (int)len;
}

const struct codec_ops codec_g722_ops = {
    .desc = {.id = CODEC_G722,
             .rtp_name = "G722",
             .clock_hz = CLOCK_HZ,
             .sdp_channels = 1,
             .static_payload_type = 9,
             .native_rate_hz = RATE_HZ},
    .pcm_rate = g722_pcm_rate,
    .encoder_new = g722_encoder_new,
    .encoder_free = g722_encoder_free,
    .encode = g722_encode_frame,
    .decoder_new = g722_decoder_new,
    .decoder_free = g722_decoder_free,
    .decode = g722_decode_frame,
    .payload_ticks = g722_payload_ticks,
    .silence = g722_silence,
};
