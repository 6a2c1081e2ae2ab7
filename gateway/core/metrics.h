// SPDX-License-Identifier: Apache-2.0
// Metrics: one table (metrics_table.h) names every counter and gauge. Adding is a relaxed atomic add on the
// calling thread's own shard, so it is allowed on the packet path. Any thread.
#ifndef IQ_CORE_METRICS_H
#define IQ_CORE_METRICS_H

#include <stddef.h>
#include <stdint.h>

// METRIC(id, type, "name", "labels or empty", "help"): entries of one name stand together.
enum metric {
#define METRIC(id, type, name, labels, help) id,
#include "gateway/core/metrics_table.h"
#undef METRIC
    METRIC_COUNT
};

void metric_add(enum metric metric, int64_t delta); // counters: delta >= 0; gauges: either sign
int64_t metric_read(enum metric metric);            // the sum over all threads

// Prometheus text format 0.0.4 into a malloc'ed string the caller frees; NULL when memory is out.
char *metrics_text(size_t *len);

#endif
