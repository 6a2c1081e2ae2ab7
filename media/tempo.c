// SPDX-License-Identifier: Apache-2.0
#include "media/tempo.h"

#include <string.h>

enum {
    SHORTEST_US = 2500,
    LONGEST_US = 12500,
    SEAM_US = 5000,
    SEAM_MAX_SAMPLES = 48 * 5,
    SEARCH_RATE_HZ = 8000, // fine enough to find a period of speech, whatever the rate
    QUIET_LEVEL = 100,     // mean magnitude: about -50 dB of full scale
};

static size_t in_samples(uint32_t rate_hz, uint32_t us) {
    return (size_t)((uint64_t)rate_hz * us / 1000000);
}

static size_t seam_samples(uint32_t rate_hz) {
    size_t seam = in_samples(rate_hz, SEAM_US);
    return seam < SEAM_MAX_SAMPLES ? seam : SEAM_MAX_SAMPLES;
}

// How alike two stretches are, by correlation over energy; both at every `step`th sample.
static float likeness(const int16_t *a, const int16_t *b, size_t samples, size_t step) {
    float product = 0, energy = 1;
    for (size_t i = 0; i < samples; i += step) {
        product += (float)a[i] * (float)b[i];
        energy += (float)b[i] * (float)b[i];
    }
    return product > 0 ? product * product / energy : -product * product / energy;
}

// The lag at which the signal is most like itself; 0 when there are not enough samples to look at.
static size_t find_period(const int16_t *pcm, size_t samples, uint32_t rate_hz) {
    size_t seam = seam_samples(rate_hz), step = rate_hz > SEARCH_RATE_HZ ? rate_hz / SEARCH_RATE_HZ : 1;
    size_t shortest = in_samples(rate_hz, SHORTEST_US), longest = in_samples(rate_hz, LONGEST_US);
    if (!shortest || samples < shortest + seam)
        return 0;
    if (longest > samples - seam)
        longest = samples - seam;
    size_t best = shortest;
    float best_likeness = likeness(pcm, pcm + shortest, seam, step);
    for (size_t lag = shortest + step; lag <= longest; lag += step) {
        float this_likeness = likeness(pcm, pcm + lag, seam, step);
        if (this_likeness > best_likeness) {
            best_likeness = this_likeness;
            best = lag;
        }
    }
    return best;
}

static int16_t mix(int16_t from, int16_t to, size_t at, size_t of) {
    int64_t sum = (int64_t)from * (int64_t)(of - at) + (int64_t)to * (int64_t)at;
    return (int16_t)(sum / (int64_t)of);
}

size_t tempo_shorten(int16_t *pcm, size_t samples, uint32_t rate_hz) {
    size_t period = find_period(pcm, samples, rate_hz), seam = seam_samples(rate_hz);
    if (!period)
        return samples;
    for (size_t i = 0; i < seam; i++)
        pcm[i] = mix(pcm[i], pcm[i + period], i, seam);
    memmove(pcm + seam, pcm + seam + period, (samples - seam - period) * sizeof *pcm);
    return samples - period;
}

size_t tempo_lengthen(int16_t *pcm, size_t samples, size_t cap, uint32_t rate_hz) {
    size_t period = find_period(pcm, samples, rate_hz), seam = seam_samples(rate_hz);
    if (!period || cap - samples < period)
        return samples;
    int16_t faded[SEAM_MAX_SAMPLES];
    for (size_t i = 0; i < seam; i++)
        faded[i] = mix(pcm[period + i], pcm[i], i, seam);
    memmove(pcm + period + seam, pcm + seam, (samples - seam) * sizeof *pcm);
    memcpy(pcm + period, faded, seam * sizeof *pcm);
    return samples + period;
}

bool tempo_is_quiet(const int16_t *pcm, size_t samples) {
    uint64_t sum = 0;
    for (size_t i = 0; i < samples; i++)
        sum += (uint64_t)(pcm[i] < 0 ? -pcm[i] : pcm[i]);
    return sum <= (uint64_t)QUIET_LEVEL * samples;
}
