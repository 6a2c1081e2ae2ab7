// SPDX-License-Identifier: Apache-2.0
// A distribution of durations: microseconds in buckets that are 2 % wide, so that a percentile is right to 2 %.
#ifndef IQ_BENCH_HISTOGRAM_H
#define IQ_BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 900 };

struct histogram {
    uint64_t count, max_us;
    uint32_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, int64_t us);             // below 1 counts as 1
double histogram_ms(const struct histogram *histogram, double quantile); // 0 when empty

#endif
