// SPDX-License-Identifier: Apache-2.0
#include "media/resample.h"

#include "gateway/core/err.h"
#include "media/polyphase.h"

#include <limits.h>
#include <speex/speex_resampler.h>
#include <stdlib.h>
#include <string.h>

enum {
    MIN_RATE_HZ = 4000,
    MAX_RATE_HZ = 192000,
    QUALITY = 3, // clean for speech, and a third of the price of 10
};

// Equal rates have neither of the two.
struct resampler {
    struct polyphase *polyphase; // owns; where one rate is a multiple of the other
    SpeexResamplerState *speex;  // owns; for all other ratios
    uint32_t in_rate_hz;
    uint32_t step_in, step_out; // the ratio in lowest terms
    uint32_t in_step;           // samples taken since a whole number of step_in
};

static uint32_t common_divisor(uint32_t a, uint32_t b) {
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static int filter_new(struct resampler *resampler) {
    int err = polyphase_new(&resampler->polyphase, resampler->step_out, resampler->step_in);
    if (err != -EINVAL)
        return err;
    resampler->speex = speex_resampler_init(1, resampler->step_in, resampler->step_out, QUALITY, NULL);
    return resampler->speex ? 0 : -ENOMEM;
}

int resampler_new(struct resampler **out, uint32_t in_rate_hz, uint32_t out_rate_hz) {
    if (in_rate_hz < MIN_RATE_HZ || in_rate_hz > MAX_RATE_HZ || out_rate_hz < MIN_RATE_HZ ||
        out_rate_hz > MAX_RATE_HZ)
        return -EINVAL;
    struct resampler *resampler = calloc(1, sizeof *resampler);
    if (!resampler)
        return -ENOMEM;
    uint32_t divisor = common_divisor(in_rate_hz, out_rate_hz);
    resampler->in_rate_hz = in_rate_hz;
    resampler->step_in = in_rate_hz / divisor;
    resampler->step_out = out_rate_hz / divisor;
    int err = in_rate_hz == out_rate_hz ? 0 : filter_new(resampler);
    if (err) {
        free(resampler);
        return err;
    }
    *out = resampler;
    return 0;
}

void resampler_free(struct resampler *resampler) {
    if (!resampler)
        return;
    if (resampler->speex)
        speex_resampler_destroy(resampler->speex);
    polyphase_free(resampler->polyphase);
    free(resampler);
}

// Output k is due once input k * step_in / step_out is there.
static uint64_t due(const struct resampler *resampler, uint64_t in_samples) {
    return (in_samples * resampler->step_out + resampler->step_in - 1) / resampler->step_in;
}

size_t resampler_count(const struct resampler *resampler, size_t in_samples) {
    return due(resampler, resampler->in_step + in_samples) - due(resampler, resampler->in_step);
}

// speexdsp works in pieces of 160 samples and stops once it has written `count`, even where a last piece that
// yields nothing is still to be taken in: that one needs room it will not use.
static void feed(SpeexResamplerState *speex, const int16_t *in, size_t in_samples, int16_t *out,
                 size_t count) {
    spx_uint32_t taken = (spx_uint32_t)in_samples, written = (spx_uint32_t)count;
    speex_resampler_process_int(speex, 0, in, &taken, out, &written);
    spx_uint32_t rest = (spx_uint32_t)in_samples - taken;
    spx_int16_t unused;
    spx_uint32_t unused_len = 1;
    if (rest)
        speex_resampler_process_int(speex, 0, in + taken, &rest, &unused, &unused_len);
}

int resampler_run(struct resampler *resampler, const int16_t *in, size_t in_samples, int16_t *out,
                  size_t out_cap) {
    size_t count = in_samples > INT_MAX / 64 ? SIZE_MAX : resampler_count(resampler, in_samples);
    if (count > out_cap)
        return -ENOBUFS;
    if (resampler->polyphase)
        polyphase_run(resampler->polyphase, in, in_samples, out);
    else if (resampler->speex)
        feed(resampler->speex, in, in_samples, out, count);
    else if (in_samples)
        memcpy(out, in, in_samples * sizeof *in);
    resampler->in_step = (uint32_t)((resampler->in_step + in_samples) % resampler->step_in);
    return (int)count;
}

uint32_t resampler_latency_us(const struct resampler *resampler) {
    uint64_t samples = 0;
    if (resampler->polyphase)
        samples = polyphase_latency(resampler->polyphase);
    else if (resampler->speex)
        samples = (uint64_t)speex_resampler_get_input_latency(resampler->speex);
    return (uint32_t)(samples * 1000000 / resampler->in_rate_hz);
}

void resampler_reset(struct resampler *resampler) {
    if (resampler->polyphase)
        polyphase_reset(resampler->polyphase);
    if (resampler->speex)
        speex_resampler_reset_mem(resampler->speex);
    resampler->in_step = 0;
}
