// SPDX-License-Identifier: Apache-2.0
// The worker's clock for media: one timerfd of absolute 5 ms deadlines drives every call on the worker, so a
// thousand calls cost one wake-up per step and not a timer each. A late wake runs the missed ticks in order:
// nobody's tick count ever drifts from the clock. Owner's thread only.
#ifndef IQ_CORE_TICKER_H
#define IQ_CORE_TICKER_H

#include <stdint.h>
#include <uv.h>

enum { TICKER_STEP_MS = 5 };

struct ticker;

// Embedded by its owner; the fields are the ticker's own after ticker_add.
struct tick {
    // `deadline_us`: when this tick was due, on the clock of ticker_now_us; consecutive ticks are exactly
    // period apart.
    void (*on_tick)(uint64_t deadline_us, void *arg);
    void *arg;
    uint32_t period_steps;
    uint32_t phase;
    struct tick *next, *prev;
};

int ticker_new(struct ticker **out, uv_loop_t *loop);
void ticker_close(
    struct ticker *ticker); // memory is freed when the loop has run the close callback; no tick may be left

// Starts `tick` (its on_tick and arg filled in) at a period of 5, 10, 20, 40 or 60 ms; the first is due at
// the next step of its phase; phases are spread over the calls. on_tick may remove its own or any other tick.
int ticker_add(struct ticker *ticker, struct tick *tick, uint32_t period_ms); // -EINVAL for another period
void ticker_remove(struct ticker *ticker, struct tick *tick);                 // harmless when it is not in

uint64_t ticker_now_us(void); // CLOCK_MONOTONIC. Any thread

#endif
