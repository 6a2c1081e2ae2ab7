// SPDX-License-Identifier: Apache-2.0
#include "media/jitter_delay.h"

#include <string.h>

enum {
    FIRST_GUESS_MS = 40,
    HALF_WINDOW_US = 5000000,
    FALL_DIVISOR = 50, // the target falls by a fiftieth of the time that passes
    USUAL_DOWN_US = 8, // per packet: two clocks part by less
    USUAL_UP_US = 9 * USUAL_DOWN_US,
};

static const float covered = 0.97f;     // of all delays
static const float growth = 1.004f;     // per packet: half is forgotten after 173 of them
static const float guess_weight = 5.0f; // in packets: gone after two and a half seconds without delays
static const float step_limit = 1e6f;

void jitter_delay_init(struct jitter_delay *d, uint32_t min_ms, uint32_t max_ms) {
    *d = (struct jitter_delay){.min_us = min_ms * 1000ll, .max_us = max_ms * 1000ll, .step = 1.0f};
    d->weights[FIRST_GUESS_MS * 1000 / JITTER_DELAY_BIN_US - 1] = guess_weight;
    d->total = guess_weight;
    d->target_us = FIRST_GUESS_MS * 1000;
    if (d->target_us < d->min_us)
        d->target_us = d->min_us;
    if (d->target_us > d->max_us)
        d->target_us = d->max_us;
}

// The floor moved up (bins > 0) or down: every delay known is that much shorter or longer.
static void shift_bins(struct jitter_delay *d, int64_t bins) {
    int64_t size = bins < 0 ? -bins : bins;
    if (size > JITTER_DELAY_BINS - 1)
        size = JITTER_DELAY_BINS - 1;
    size_t n = (size_t)size, kept = JITTER_DELAY_BINS - n;
    float fallen = 0;
    if (bins > 0) {
        for (size_t i = 0; i < n; i++)
            fallen += d->weights[i];
        memmove(d->weights, d->weights + n, kept * sizeof *d->weights);
        memset(d->weights + kept, 0, n * sizeof *d->weights);
        d->weights[0] += fallen;
    } else {
        for (size_t i = kept; i < JITTER_DELAY_BINS; i++)
            fallen += d->weights[i];
        memmove(d->weights + n, d->weights, kept * sizeof *d->weights);
        memset(d->weights, 0, n * sizeof *d->weights);
        d->weights[JITTER_DELAY_BINS - 1] += fallen;
    }
}

static void set_low(struct jitter_delay *d, int64_t offset_us, uint64_t now_us) {
    d->low_us = offset_us;
    d->low_before_us = offset_us;
    d->floor_us = offset_us;
    d->half_since_us = now_us;
}

static void follow_floor(struct jitter_delay *d, int64_t offset_us, uint64_t now_us) {
    if (now_us - d->half_since_us >= HALF_WINDOW_US) {
        d->low_before_us = d->low_us;
        d->low_us = offset_us;
        d->half_since_us = now_us;
    }
    if (offset_us < d->low_us)
        d->low_us = offset_us;
    d->floor_us = d->low_us < d->low_before_us ? d->low_us : d->low_before_us;
    int64_t moved = d->floor_us - d->base_us;
    // Rounded down, so that base <= floor < base + one bin.
    int64_t bins = moved / JITTER_DELAY_BIN_US - (moved % JITTER_DELAY_BIN_US < 0);
    if (!bins)
        return;
    shift_bins(d, bins);
    d->base_us += bins * JITTER_DELAY_BIN_US;
    d->target_us -= bins * JITTER_DELAY_BIN_US;
}

// Comes to rest where one packet in ten is above it.
static void follow_usual(struct jitter_delay *d, int64_t offset_us) {
    d->usual_us += offset_us > d->usual_us ? USUAL_UP_US : -USUAL_DOWN_US;
    if (d->usual_us < d->floor_us)
        d->usual_us = d->floor_us;
    if (d->usual_us > d->floor_us + JITTER_DELAY_USUAL_US)
        d->usual_us = d->floor_us + JITTER_DELAY_USUAL_US;
}

static void count(struct jitter_delay *d, int64_t offset_us) {
    int64_t bin = (offset_us - d->base_us) / JITTER_DELAY_BIN_US;
    if (bin > JITTER_DELAY_BINS - 1)
        bin = JITTER_DELAY_BINS - 1;
    d->weights[bin] += d->step;
    d->total += d->step;
    d->step *= growth;
    if (d->step < step_limit)
        return;
    for (size_t i = 0; i < JITTER_DELAY_BINS; i++)
        d->weights[i] /= d->step;
    d->total /= d->step;
    d->step = 1.0f;
}

// The upper edge of the bin that covers enough, which leaves a few milliseconds for the reader's own jitter.
static int64_t wanted_us(const struct jitter_delay *d) {
    float enough = d->total * covered; // from below, since most packets are hardly late
    size_t bin = 0;
    float sum = d->weights[bin];
    while (bin < JITTER_DELAY_BINS - 1 && sum <= enough)
        sum += d->weights[++bin];
    return (int64_t)(bin + 1) * JITTER_DELAY_BIN_US - (d->floor_us - d->base_us);
}

static void move_target(struct jitter_delay *d, uint64_t now_us) {
    int64_t fall_us = (int64_t)((now_us - d->updated_us) / FALL_DIVISOR);
    int64_t want_us = wanted_us(d);
    d->target_us = want_us > d->target_us - fall_us ? want_us : d->target_us - fall_us;
    if (d->target_us < d->min_us)
        d->target_us = d->min_us;
    if (d->target_us > d->max_us)
        d->target_us = d->max_us;
    d->updated_us = now_us;
}

void jitter_delay_sample(struct jitter_delay *d, int64_t offset_us, uint32_t unsure_us, uint64_t now_us) {
    if (!d->started)
        jitter_delay_rebase(d, offset_us, now_us);
    int64_t above_us = offset_us - d->floor_us;
    if (above_us > 0)
        offset_us -= above_us < unsure_us ? above_us : unsure_us;
    follow_floor(d, offset_us, now_us);
    follow_usual(d, offset_us);
    count(d, offset_us);
    move_target(d, now_us);
}

void jitter_delay_rebase(struct jitter_delay *d, int64_t offset_us, uint64_t now_us) {
    if (!d->started)
        d->updated_us = now_us;
    d->started = true;
    set_low(d, offset_us, now_us);
    d->usual_us = offset_us;
    d->base_us = offset_us;
}
