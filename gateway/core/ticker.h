// SPDX-License-Identifier: Apache-2.0
// The worker's clock for media: absolute deadlines of every call on the worker, kept in a wheel of quarter
// milliseconds that one timerfd drives, so that a thousand calls cost a wake-up per slot in use and not a timer
// each; and none for a slot whose ticks were hastened. A late wake runs the missed ticks in order: nobody's tick count ever
// drifts from the clock. Owner's thread only.
#ifndef IQ_CORE_TICKER_H
#define IQ_CORE_TICKER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum { TICKER_MIN_MS = 5, TICKER_MAX_MS = 60, TICKER_SLOT_US = 250 };

struct ticker;

// Embedded by its owner; the fields are the ticker's own after ticker_add.
struct tick {
    // `deadline_us`: when this tick was due, on the clock of ticker_now_us; consecutive ticks are a period
    // apart, give or take what ticker_shift asked for.
    void (*on_tick)(uint64_t deadline_us, void *arg);
    void *arg;
    uint64_t due_us;    // the next deadline
    uint32_t wait_us;   // it runs so much after that
    uint32_t period_us; // 0 when it is not in
    struct tick *next, **link;
};

int ticker_new(struct ticker **out, uv_loop_t *loop);
void ticker_close(
    struct ticker *ticker); // memory is freed when the loop has run the close callback; no tick may be left

// Starts `tick` (its on_tick and arg filled in). The first is due within a period from now; the places in it are
// spread over the calls. on_tick may remove its own or any other tick, and add more.
int ticker_add(struct ticker *ticker, struct tick *tick,
               uint32_t period_ms); // TICKER_MIN_MS to TICKER_MAX_MS; -EINVAL for another period
void ticker_remove(struct ticker *ticker, struct tick *tick); // harmless when it is not in
// Moves the next deadline, and with it all later ones, by so much, at most a quarter of the period either way: how
// a tick finds its place beside the packets that it waits for.
void ticker_shift(struct ticker *ticker, struct tick *tick, int32_t shift_us);

// Ahead of time: runs a tick at once if its next deadline is at most `within_us` away, or passed a moment ago. It is
// told that deadline, and later ones stay what they are. For an owner that has in hand what the tick would wait for:
// the wake-up that brought it serves for the tick, too. Never from inside an on_tick. True when it ran.
bool ticker_hasten(struct ticker *ticker, struct tick *tick, uint64_t now_us, uint32_t within_us);
// From inside its own on_tick: what it needs is not there yet. It runs again `wait_us` (less than a period) after the
// deadline that it was just told, or when it is hastened, and is told the same one.
void ticker_wait(struct ticker *ticker, struct tick *tick, uint32_t wait_us);

// How long ago the earliest tick that has not run was due: what the loop reads at `now_us` may have come that much
// before, since it was late.
uint32_t ticker_behind_us(const struct ticker *ticker, uint64_t now_us);

// How late ticks ran since this was asked last, by the slots they are in, hastened ones for themselves; costs no look
// at the clock of its own. 99 of 100 were less than p99_us late, which is at most 256 slots; both are 0 when none ran.
struct ticker_late {
    uint32_t slots, p99_us;
};
void ticker_late(struct ticker *ticker, struct ticker_late *out);

uint64_t ticker_now_us(void); // CLOCK_MONOTONIC. Any thread

#endif
