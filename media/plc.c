// SPDX-License-Identifier: Apache-2.0
#include "media/plc.h"

#include <string.h>

enum {
    MIN_RATE_HZ = 8000,
    SHORTEST_US = 5000, // 200 Hz: of a higher voice, several periods are taken for one
    LONGEST_US = 15000, // 66 Hz
    COMPARED_US = 20000,
    FULL_US = 10000,       // of a gap, before the fade
    SILENT_US = 60000,     // of a gap, after it
    SEARCH_RATE_HZ = 4000, // for the first, rough search
};

static size_t in_samples(const struct plc *plc, uint32_t us) {
    return (size_t)((uint64_t)plc->rate_hz * us / 1000000);
}

static size_t past_samples(const struct plc *plc) {
    return in_samples(plc, LONGEST_US + COMPARED_US);
}

void plc_start(struct plc *plc, uint32_t rate_hz) {
    if (rate_hz < MIN_RATE_HZ)
        rate_hz = MIN_RATE_HZ;
    *plc = (struct plc){.rate_hz = rate_hz < PLC_MAX_RATE_HZ ? rate_hz : PLC_MAX_RATE_HZ};
}

// ---- the period

// `end`: of the past, straightened.
static float likeness(const struct plc *plc, const int16_t *end, size_t lag, size_t step) {
    const int16_t *now = end - in_samples(plc, COMPARED_US);
    float product = 0, energy = 1;
    for (; now < end; now += step) {
        product += (float)now[0] * (float)*(now - lag);
        energy += (float)*(now - lag) * (float)*(now - lag);
    }
    return product > 0 ? product * product / energy : 0;
}

struct lags {
    size_t from, to, step;
};

static size_t best_lag(const struct plc *plc, const int16_t *end, struct lags lags) {
    size_t best = lags.from;
    float best_likeness = -1;
    for (size_t lag = lags.from; lag <= lags.to; lag += lags.step) {
        float this_likeness = likeness(plc, end, lag, lags.step);
        if (this_likeness > best_likeness) {
            best_likeness = this_likeness;
            best = lag;
        }
    }
    return best;
}

static size_t find_period(const struct plc *plc, const int16_t *end) {
    size_t shortest = in_samples(plc, SHORTEST_US), longest = in_samples(plc, LONGEST_US);
    size_t step = plc->rate_hz > SEARCH_RATE_HZ ? plc->rate_hz / SEARCH_RATE_HZ : 1;
    size_t rough = best_lag(plc, end, (struct lags){shortest, longest, step});
    size_t from = rough > shortest + step ? rough - step : shortest;
    size_t to = rough + step < longest ? rough + step : longest;
    return best_lag(plc, end, (struct lags){from, to, 1});
}

static int16_t mix(int32_t from, int32_t to, size_t at, size_t of) {
    return (int16_t)((from * (int32_t)(of - at) + to * (int32_t)at) / (int32_t)of);
}

// The last period, its end bent towards what came before its beginning, so that it joins on to itself.
static void take_period(struct plc *plc) {
    int16_t past[PLC_PAST_SAMPLES];
    size_t size = past_samples(plc), older = size - plc->past_at;
    memcpy(past, plc->past + plc->past_at, older * sizeof *past);
    memcpy(past + older, plc->past, plc->past_at * sizeof *past);
    size_t len = find_period(plc, past + size), bend = len / 4;
    const int16_t *from = past + size - len;
    memcpy(plc->period, from, len * sizeof *from);
    for (size_t i = 0; i < bend; i++)
        plc->period[len - bend + i] =
            mix(from[len - bend + i], from[(ptrdiff_t)i - (ptrdiff_t)bend], i, bend);
    plc->period_len = len;
    plc->at = 0;
    plc->made_up = 0;
}

// ---- samples

static void remember(struct plc *plc, const int16_t *pcm, size_t samples) {
    size_t size = past_samples(plc);
    if (samples > size) {
        pcm += samples - size;
        samples = size;
    }
    size_t first = size - plc->past_at < samples ? size - plc->past_at : samples;
    memcpy(plc->past + plc->past_at, pcm, first * sizeof *pcm);
    memcpy(plc->past, pcm + first, (samples - first) * sizeof *pcm);
    size_t at = plc->past_at + samples;
    plc->past_at = (uint32_t)(at < size ? at : at - size);
}

static int16_t next_made_up(struct plc *plc) {
    size_t full = in_samples(plc, FULL_US), silent = in_samples(plc, SILENT_US), n = plc->made_up;
    int16_t sample = plc->period[plc->at];
    plc->at = plc->at + 1 < plc->period_len ? plc->at + 1 : 0;
    if (n >= silent)
        return 0;
    plc->made_up++;
    return n < full ? sample : mix(sample, 0, n - full, silent - full);
}

void plc_make_up(struct plc *plc, int16_t *pcm, size_t samples) {
    if (!plc->period_len)
        take_period(plc);
    for (size_t i = 0; i < samples; i++)
        pcm[i] = next_made_up(plc);
    remember(plc, pcm, samples);
}

void plc_good(struct plc *plc, int16_t *pcm, size_t samples) {
    if (plc->period_len) {
        size_t fade = plc->period_len / 4;
        fade = fade < samples ? fade : samples;
        for (size_t i = 0; i < fade; i++)
            pcm[i] = mix(next_made_up(plc), pcm[i], i, fade);
        plc->period_len = 0;
    }
    remember(plc, pcm, samples);
}
