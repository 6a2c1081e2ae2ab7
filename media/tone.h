// SPDX-License-Identifier: Apache-2.0
// A sine made, and a sine found. For the echo agent's greeting, for tests and for whoever listens for one
// frequency.
#ifndef IQ_MEDIA_TONE_H
#define IQ_MEDIA_TONE_H

#include <stddef.h>
#include <stdint.h>

struct tone {
    double phase, step; // radians; step per sample
    double amplitude;
};

void tone_init(struct tone *tone, uint32_t rate_hz, uint32_t freq_hz, int16_t amplitude);
void tone_fill(struct tone *tone, int16_t *pcm, size_t samples); // goes on where the last call ended

// The share of the energy of `pcm` that lies at `freq_hz`, 0 to 1 (Goertzel): near 1 for that sine alone,
// near 0 for silence, other tones and noise. It resolves rate_hz / samples Hz, so 100 ms tell 10 Hz apart.
double tone_power(const int16_t *pcm, size_t samples, uint32_t rate_hz, uint32_t freq_hz);

#endif
