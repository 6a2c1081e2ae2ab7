// SPDX-License-Identifier: Apache-2.0
// What a run showed, for a person or as one JSON line.
#ifndef IQ_BENCH_REPORT_H
#define IQ_BENCH_REPORT_H

#include "tests/bench/calls/run.h"
#include "tests/bench/common/meter.h"

#include <jansson.h>
#include <sys/resource.h>

struct report {
    struct meter idle, before, after; // of the server, when it is metered
    struct rusage own_before, own_after;
    int64_t began_us, ended_us;
};

void report_progress(const struct run *run, int64_t left_us);
json_t *report_json(const struct run *run, const struct report *report); // the caller's to free
void report_print(const struct run *run, const json_t *root);
void report_compare(const json_t *first, const json_t *second); // as a table, with ratios

#endif
