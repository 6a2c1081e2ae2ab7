// SPDX-License-Identifier: Apache-2.0
#include "media/dtmf_inband.h"

#include "media/resample.h"

#include <errno.h>
#include <spandsp.h>
#include <stdlib.h>

enum { RATE_HZ = 8000, PART = 480 }; // samples resampled at a time

struct dtmf_inband {
    dtmf_rx_state_t *state;      // owns
    struct resampler *resampler; // owns; NULL at 8 kHz
    void (*on_digit)(char digit, void *arg);
    void *arg;
};

static void on_digits(void *user_data, const char *digits, int len) {
    struct dtmf_inband *ear = user_data;
    for (int i = 0; i < len; i++)
        ear->on_digit(digits[i], ear->arg);
}

int dtmf_inband_new(struct dtmf_inband **out, uint32_t rate_hz, void (*on_digit)(char digit, void *arg),
                    void *arg) {
    struct dtmf_inband *ear = calloc(1, sizeof *ear);
    if (!ear)
        return -ENOMEM;
    ear->on_digit = on_digit;
    ear->arg = arg;
    ear->state = dtmf_rx_init(NULL, on_digits, ear);
    int err = ear->state ? 0 : -ENOMEM;
    if (!err && rate_hz != RATE_HZ)
        err = resampler_new(&ear->resampler, rate_hz, RATE_HZ);
    if (err) {
        dtmf_inband_free(ear);
        return err;
    }
    *out = ear;
    return 0;
}

void dtmf_inband_free(struct dtmf_inband *ear) {
    if (!ear)
        return;
    if (ear->state)
        dtmf_rx_free(ear->state);
    resampler_free(ear->resampler);
    free(ear);
}

void dtmf_inband_hear(struct dtmf_inband *ear, const int16_t *pcm, size_t samples) {
    if (!ear->resampler) {
        dtmf_rx(ear->state, pcm, (int)samples);
        return;
    }
    int16_t narrow[PART];
    for (size_t at = 0, part; at < samples; at += part) {
        part = samples - at < PART ? samples - at : PART;
        int got = resampler_run(ear->resampler, pcm + at, part, narrow, PART);
        if (got > 0)
            dtmf_rx(ear->state, narrow, got);
    }
}
