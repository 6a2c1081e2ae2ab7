// SPDX-License-Identifier: Apache-2.0
// A worker measures itself, four times a second: how busy it is, how late its ticks and its loop run. What follows
// from it (load_control.h) is its encoders' to read on its own thread, and ctl's by atomics.
#ifndef IQ_GATEWAY_LOAD_METER_H
#define IQ_GATEWAY_LOAD_METER_H

#include "gateway/core/ticker.h"
#include "gateway/load_control.h"

#include <stdatomic.h>

// What ctl sees of a worker. Relaxed: each figure stands for itself.
struct load_gauge {
    _Atomic uint32_t calls, busy_permille, late_us, complexity, capacity, reason; // enum load_reason
};

struct load_meter_config {
    uv_loop_t *loop;
    struct ticker *ticker;
    struct load_limits limits;
    unsigned cores;           // that the program may use
    struct load_gauge *gauge; // outlives the meter
    uint32_t (*calls)(void *arg);
    void *arg;
};

// Embedded by its owner, which outlives the loop; the fields are the meter's own after load_meter_start.
struct load_meter {
    uv_timer_t timer;
    struct load_meter_config config;
    struct load_control control;
    unsigned complexity; // of Opus encoders, as it is now: to be read by whoever encodes on this thread
    uint64_t at_us, thread_us, program_us; // at the last window's end
};

// All on the worker's thread. The loop must turn after load_meter_close.
void load_meter_start(struct load_meter *meter, const struct load_meter_config *config);
void load_meter_close(struct load_meter *meter);

#endif
