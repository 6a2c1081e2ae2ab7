// SPDX-License-Identifier: Apache-2.0
#include "media/tone.h"

#include <math.h>

void tone_init(struct tone *tone, uint32_t rate_hz, uint32_t freq_hz, int16_t amplitude) {
    *tone = (struct tone){.step = 2 * M_PI * freq_hz / rate_hz, .amplitude = amplitude};
}

void tone_fill(struct tone *tone, int16_t *pcm, size_t samples) {
    for (size_t i = 0; i < samples; i++) {
        pcm[i] = (int16_t)lrint(tone->amplitude * sin(tone->phase));
        tone->phase += tone->step;
        if (tone->phase >= 2 * M_PI) // a phase that only grew would lose its low bits
            tone->phase -= 2 * M_PI;
    }
}

double tone_power(const int16_t *pcm, size_t samples, uint32_t rate_hz, uint32_t freq_hz) {
    double turn = 2 * cos(2 * M_PI * freq_hz / rate_hz);
    double last = 0, before = 0, energy = 0;
    for (size_t i = 0; i < samples; i++) {
        double now = pcm[i] + turn * last - before;
        before = last;
        last = now;
        energy += (double)pcm[i] * pcm[i];
    }
    if (energy <= 0)
        return 0;
    double power = last * last + before * before - turn * last * before;
    double share = 2 * power / ((double)samples * energy);
    return share < 1 ? share : 1;
}
