// SPDX-License-Identifier: Apache-2.0
// Metrics: one table (metrics_table.h) names every counter and gauge, another (histograms_table.h) every histogram.
// Adding is a relaxed atomic add on the calling thread's own shard, so it is allowed on the packet path. Any thread.
#ifndef IQ_CORE_METRICS_H
#define IQ_CORE_METRICS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// METRIC(id, type, "name", "labels or empty", "help"): entries of one name stand together.
enum metric {
#define METRIC(id, type, name, labels, help) id,
#include "gateway/core/metrics_table.h"
#undef METRIC
    METRIC_COUNT
};

enum histogram {
#define HISTOGRAM(id, name, labels, help, first_ns) id,
#include "gateway/core/histograms_table.h"
#undef HISTOGRAM
    HISTOGRAM_COUNT
};

enum { HISTOGRAM_BUCKETS = 16, STAGE_SAMPLE = 61 };

void metric_add(enum metric metric, int64_t delta); // counters: delta >= 0; gauges: either sign
int64_t metric_read(enum metric metric);            // the sum over all threads

void metric_observe(enum histogram histogram, uint64_t ns);
uint64_t histogram_count(enum histogram histogram); // of all threads

// How long a stage of the packet path takes, measured for one run in STAGE_SAMPLE, so that the clock is not read for
// each. `stage`: one of HISTOGRAM_STAGE_*. stage_begin answers 0 for a run that is not measured.
uint64_t stage_begin(enum histogram stage);
void stage_end(enum histogram stage, uint64_t begin_ns);

// Prometheus text format 0.0.4 into a malloc'ed string the caller frees; NULL when memory is out. `more` (may be NULL)
// writes what is in no table.
char *metrics_text(size_t *len, void (*more)(FILE *out, void *arg), void *arg);

#endif
