// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/common/histogram.h"

#include <math.h>

static const double width = 1.02;

void histogram_add(struct histogram *histogram, int64_t us) {
    uint64_t value = us < 1 ? 1 : (uint64_t)us;
    unsigned index = (unsigned)(log((double)value) / log(width));
    histogram->buckets[index < HISTOGRAM_BUCKETS ? index : HISTOGRAM_BUCKETS - 1]++;
    histogram->count++;
    if (value > histogram->max_us)
        histogram->max_us = value;
}

double histogram_ms(const struct histogram *histogram, double quantile) {
    if (!histogram->count)
        return 0;
    if (quantile >= 1)
        return (double)histogram->max_us / 1000;
    uint64_t rank = (uint64_t)(quantile * (double)histogram->count), seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > rank)
            return pow(width, i + 0.5) / 1000;
    }
    return (double)histogram->max_us / 1000;
}
