// SPDX-License-Identifier: Apache-2.0
// What another process uses, read from /proc: CPU, memory, threads, descriptors, context switches.
#ifndef IQ_BENCH_METER_H
#define IQ_BENCH_METER_H

#include <stdint.h>
#include <sys/types.h>

struct meter {
    double cpu_s; // user and system, all threads
    uint64_t rss_kb, threads, descriptors;
    uint64_t switches; // voluntary and involuntary, all threads
};

// 0, or -ESRCH when there is no such process.
int meter_read(struct meter *out, pid_t pid);

#endif
