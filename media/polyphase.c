// SPDX-License-Identifier: Apache-2.0
//
// Up by n: n filters of TAPS over the same samples, one for each place between two of them. Down by n: one filter of
// n * TAPS, at every n-th sample. Both are the same sinc.
#include "media/polyphase.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    TAPS = 48, // of the lower rate; a multiple of the longest vector
    MAX_TAPS = TAPS * POLYPHASE_MAX_RATIO,
    PIECE = 480,    // samples taken at once
    UP_BITS = 14,   // of a coefficient's fraction: 32 bits hold the loudest sum
    DOWN_BITS = 15, // the same, of a filter whose coefficients are smaller by the ratio
};

static const double pi = 3.14159265358979323846;
static const double cutoff = 0.925; // of half the lower rate: the middle of the slope
static const double beta = 6.5;     // of Kaiser's window: 65 dB

struct polyphase {
    uint32_t up, down;
    uint32_t phase;              // samples in since the last that gave one out, when going down
    size_t taps;                 // of one filter
    const int16_t *coefficients; // of `up` filters; one of the tables
    int16_t past[];              // the last taps - 1 samples
};

// By the ratio, for all streams: what every frame reads is to stay in the processor's cache.
static int16_t up_tables[POLYPHASE_MAX_RATIO + 1][MAX_TAPS], down_tables[POLYPHASE_MAX_RATIO + 1][MAX_TAPS];
static pthread_once_t tables_built = PTHREAD_ONCE_INIT;

// ---- the filter

// The modified Bessel function of order 0.
static double bessel(double x) {
    double term = 1, sum = 1;
    for (int k = 1; k < 32; k++) {
        term *= x / (2 * k) * (x / (2 * k));
        sum += term;
    }
    return sum;
}

// The tap `at` of `length` at the higher rate, `ratio` times the lower one.
static double prototype(size_t at, size_t length, uint32_t ratio) {
    double from_middle = (double)at - (double)(length - 1) / 2;
    double x = pi * cutoff * from_middle / ratio, edge = 2 * from_middle / (double)length;
    return (x == 0 ? 1 : sin(x) / x) * bessel(beta * sqrt(1 - edge * edge));
}

// Silence stays silence and a level stays what it is: the coefficients of a filter make exactly one.
static void quantize(const double *from, size_t taps, int bits, int16_t *out) {
    double sum = 0;
    int32_t rest = 1 << bits;
    for (size_t i = 0; i < taps; i++)
        sum += from[i];
    for (size_t i = 0; i < taps; i++) {
        out[i] = (int16_t)lrint(from[i] / sum * (1 << bits));
        rest -= out[i];
    }
    out[taps / 2] = (int16_t)(out[taps / 2] + rest);
}

static void design(uint32_t up, uint32_t down, int16_t *out) {
    double table[MAX_TAPS];
    size_t length = (size_t)TAPS * up * down, taps = (size_t)TAPS * down;
    for (uint32_t place = 0; place < up; place++) {
        // The newest sample meets the first tap.
        for (size_t i = 0; i < taps; i++)
            table[taps - 1 - i] = prototype(i * up + place, length, up * down);
        quantize(table, taps, up > 1 ? UP_BITS : DOWN_BITS, out + place * taps);
    }
}

static void build_tables(void) {
    for (uint32_t ratio = 2; ratio <= POLYPHASE_MAX_RATIO; ratio++) {
        design(ratio, 1, up_tables[ratio]);
        design(1, ratio, down_tables[ratio]);
    }
}

int polyphase_new(struct polyphase **out, uint32_t up, uint32_t down) {
    uint32_t ratio = up > 1 ? up : down;
    if ((up != 1 && down != 1) || ratio < 2 || ratio > POLYPHASE_MAX_RATIO)
        return -EINVAL;
    size_t taps = (size_t)TAPS * down;
    struct polyphase *filter = calloc(1, sizeof *filter + (taps - 1) * sizeof *filter->past);
    if (!filter)
        return -ENOMEM;
    pthread_once(&tables_built, build_tables);
    filter->up = up;
    filter->down = down;
    filter->taps = taps;
    filter->coefficients = up > 1 ? up_tables[ratio] : down_tables[ratio];
    *out = filter;
    return 0;
}

void polyphase_free(struct polyphase *filter) {
    free(filter);
}

// ---- the stream

static int16_t narrow(int32_t sum, int bits) {
    int32_t value = (sum + (1 << (bits - 1))) >> bits;
    if (value > INT16_MAX)
        return INT16_MAX;
    return value < INT16_MIN ? INT16_MIN : (int16_t)value;
}

static int32_t dot(const int16_t *samples, const int16_t *coefficients, size_t taps) {
    int32_t sum = 0;
    for (size_t at = 0; at < taps; at += TAPS) {
        for (size_t i = at; i < at + TAPS; i++)
            sum += samples[i] * coefficients[i];
    }
    return sum;
}

static int16_t *run_up(const struct polyphase *filter, const int16_t *samples, size_t count, int16_t *out) {
    for (size_t i = 0; i < count; i++) {
        for (uint32_t place = 0; place < filter->up; place++)
            *out++ = narrow(dot(samples + i, filter->coefficients + place * TAPS, TAPS), UP_BITS);
    }
    return out;
}

static int16_t *run_down(struct polyphase *filter, const int16_t *samples, size_t count, int16_t *out) {
    size_t i = (filter->down - filter->phase) % filter->down;
    for (; i < count; i += filter->down)
        *out++ = narrow(dot(samples + i, filter->coefficients, filter->taps), DOWN_BITS);
    filter->phase = (uint32_t)((filter->phase + count) % filter->down);
    return out;
}

void polyphase_run(struct polyphase *filter, const int16_t *in, size_t in_samples, int16_t *out) {
    int16_t samples[MAX_TAPS + PIECE];
    size_t past = filter->taps - 1;
    for (size_t count; in_samples; in += count, in_samples -= count) {
        count = in_samples < PIECE ? in_samples : PIECE;
        memcpy(samples, filter->past, past * sizeof *samples);
        memcpy(samples + past, in, count * sizeof *samples);
        out = filter->up > 1 ? run_up(filter, samples, count, out) : run_down(filter, samples, count, out);
        memcpy(filter->past, samples + count, past * sizeof *samples);
    }
}

// Half the filter: taps of the lower rate, which going up is the one that comes in.
uint32_t polyphase_latency(const struct polyphase *filter) {
    return TAPS / 2 * filter->down;
}

void polyphase_reset(struct polyphase *filter) {
    memset(filter->past, 0, (filter->taps - 1) * sizeof *filter->past);
    filter->phase = 0;
}
