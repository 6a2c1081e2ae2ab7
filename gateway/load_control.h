// SPDX-License-Identifier: Apache-2.0
// What a worker's load means, decided: how much work its Opus encoders may do, how many calls it can hold, and whether
// it takes new ones. A pure function of what was measured, window by window; with hysteresis, so that nothing flaps.
//
//   busy, late -> level -> complexity     down within half a second each step, up after two calm seconds
//   busy, calls -> capacity               what a call costs here, once enough of them are up
//   busy, late -> reason                  refuses new calls, until it has been calm for two seconds
#ifndef IQ_GATEWAY_LOAD_CONTROL_H
#define IQ_GATEWAY_LOAD_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

enum { LOAD_WINDOW_MS = 250, LOAD_FEW_CALLS = 20 };

// One window of one worker.
struct load_sample {
    double busy; // 0 to 1: the worker's share of a core, or the program's of all its cores if that is more
    uint32_t late_us; // 99 of 100 ticks were less late; 0 when too few ran to tell
    uint32_t lag_us;  // how late the loop ran a timer
    uint32_t calls;   // on this worker
};

enum load_reason { LOAD_OK, LOAD_BUSY, LOAD_LATE };

struct load_limits {
    uint32_t busy_percent;  // 0 = busyness refuses nobody
    uint32_t late_us;       // 0 = lateness refuses nobody
    uint32_t calls_assumed; // that a worker holds, while too few calls are up to know better
};

struct load_control {
    struct load_limits limits;
    double busy, calls;  // smoothed over a second
    unsigned level;      // of load_complexity
    unsigned since_step; // windows since the level changed
    uint32_t late, calm; // the last windows, one bit each: later than the limit; at rest
    enum load_reason reason;
    uint32_t capacity; // calls that it can hold
};

void load_control_start(struct load_control *control, const struct load_limits *limits);
void load_control_step(struct load_control *control, const struct load_sample *sample);
unsigned load_control_complexity(const struct load_control *control); // of Opus, 0 to 10

#endif
