// SPDX-License-Identifier: Apache-2.0
// Stands in for gateway/core/ticker.c: two ticks of 20 ms, a clock that the program turns, and nothing that moves them.
#ifndef IQ_TESTS_LOCKSTEP_CLOCK_H
#define IQ_TESTS_LOCKSTEP_CLOCK_H

#include "gateway/core/ticker.h"

#include <errno.h>
#include <stddef.h>

enum { TICKS_MAX = 2, TICK_MS = 20 };

static struct {
    struct tick *ticks[TICKS_MAX];
    uint64_t now_us;
} world = {.now_us = 1000000};

uint64_t ticker_now_us(void) {
    return world.now_us;
}

int ticker_add(struct ticker *ticker, struct tick *tick, uint32_t period_ms) {
    (void)ticker;
    if (period_ms != TICK_MS)
        return -EINVAL;
    world.ticks[world.ticks[0] ? 1 : 0] = tick;
    return 0;
}

void ticker_remove(struct ticker *ticker, struct tick *tick) {
    (void)ticker;
    for (size_t i = 0; i < TICKS_MAX; i++)
        world.ticks[i] = world.ticks[i] == tick ? NULL : world.ticks[i];
}

void ticker_shift(struct ticker *ticker, struct tick *tick, int32_t shift_us) {
    (void)ticker;
    (void)tick;
    (void)shift_us;
}

bool ticker_hasten(struct ticker *ticker, struct tick *tick, uint64_t now_us, uint32_t within_us) {
    (void)ticker;
    (void)tick;
    (void)now_us;
    (void)within_us;
    return false;
}

uint32_t ticker_behind_us(const struct ticker *ticker, uint64_t now_us) {
    (void)ticker;
    (void)now_us;
    return 0;
}

void ticker_wait(struct ticker *ticker, struct tick *tick, uint32_t wait_us) {
    (void)ticker;
    (void)wait_us;
    tick->on_tick(world.now_us, tick->arg);
}

#endif
