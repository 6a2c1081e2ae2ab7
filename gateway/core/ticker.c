// SPDX-License-Identifier: Apache-2.0
//
//   timerfd (absolute, 5 ms) -> uv_poll -> on_due -> step n: every list -> the ticks whose phase it is
//
// One list per period; each tick checks its own phase, and phases are dealt out in turn, so that the calls of
// a worker are spread over the steps.
#include "gateway/core/ticker.h"

#include "gateway/core/err.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

// A loop that slept longer than this (suspended machine, debugger) skips ahead instead of flooding the peers.
enum { MAX_CATCH_UP_STEPS = 400, MAX_PERIOD_STEPS = 12, PORTION_US = 10000 };

struct ticker {
    uv_poll_t poll;
    int fd;
    uint64_t start_us;
    uint64_t step;                            // the next step to run
    struct tick *lists[MAX_PERIOD_STEPS + 1]; // by period in steps
    struct tick *cursor; // the tick to run next in this step, so that removal inside a callback is safe
    uint32_t next_phase;
    uint32_t count;
};

uint64_t ticker_now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void ticker_run_list(struct ticker *ticker, uint32_t period_steps, uint64_t deadline_us) {
    ticker->cursor = ticker->lists[period_steps];
    while (ticker->cursor) {
        struct tick *tick = ticker->cursor;
        ticker->cursor = tick->next;
        if (ticker->step % period_steps == tick->phase)
            tick->on_tick(deadline_us, tick->arg);
    }
}

static void ticker_run_step(struct ticker *ticker) {
    uint64_t deadline_us = ticker->start_us + ticker->step * TICKER_STEP_MS * 1000u;
    for (uint32_t period = 1; period <= MAX_PERIOD_STEPS; period++) {
        if (ticker->lists[period])
            ticker_run_list(ticker, period, deadline_us);
    }
    ticker->step++;
}

static void ticker_arm(struct ticker *ticker, bool on) {
    struct itimerspec spec = {0};
    if (on) {
        uint64_t first_us = ticker->start_us + ticker->step * TICKER_STEP_MS * 1000u;
        spec.it_value.tv_sec = (time_t)(first_us / 1000000u);
        spec.it_value.tv_nsec = (long)(first_us % 1000000u) * 1000;
        spec.it_interval.tv_nsec = TICKER_STEP_MS * 1000000L;
    }
    timerfd_settime(ticker->fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void ticker_skip_to_now(struct ticker *ticker, uint64_t slack_steps) {
    uint64_t due = (ticker_now_us() - ticker->start_us) / (TICKER_STEP_MS * 1000u);
    if (due > ticker->step + slack_steps)
        ticker->step = due;
}

// What was missed is caught up in portions: on a machine that cannot keep up, sockets and timers of the same
// loop must not wait for all of it.
static void on_due(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    struct ticker *ticker = poll->data;
    uint64_t expired;
    if (read(ticker->fd, &expired, sizeof expired) != (ssize_t)sizeof expired)
        return;
    ticker_skip_to_now(ticker, MAX_CATCH_UP_STEPS);
    uint64_t began_us = ticker_now_us();
    for (uint64_t now_us = began_us; now_us - began_us < PORTION_US; now_us = ticker_now_us()) {
        if (!ticker->count || ticker->start_us + ticker->step * TICKER_STEP_MS * 1000u > now_us)
            return;
        ticker_run_step(ticker);
    }
}

int ticker_new(struct ticker **out, uv_loop_t *loop) {
    struct ticker *ticker = calloc(1, sizeof *ticker);
    if (!ticker)
        return -ENOMEM;
    ticker->start_us = ticker_now_us();
    ticker->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int err = ticker->fd < 0 ? -errno : 0;
    if (err)
        goto out_free;
    err = uv_poll_init(loop, &ticker->poll, ticker->fd);
    if (err)
        goto out_fd;
    ticker->poll.data = ticker;
    err = uv_poll_start(&ticker->poll, UV_READABLE, on_due);
    if (err)
        goto out_fd;
    *out = ticker;
    return 0;

out_fd:
    close(ticker->fd);
out_free:
    free(ticker);
    return err;
}

static void on_closed(uv_handle_t *handle) {
    struct ticker *ticker = handle->data;
    close(ticker->fd);
    free(ticker);
}

void ticker_close(struct ticker *ticker) {
    uv_close((uv_handle_t *)&ticker->poll, on_closed);
}

int ticker_add(struct ticker *ticker, struct tick *tick, uint32_t period_ms) {
    uint32_t steps = period_ms / TICKER_STEP_MS;
    bool known = period_ms == 5 || period_ms == 10 || period_ms == 20 || period_ms == 40 || period_ms == 60;
    if (!known)
        return -EINVAL;
    if (!ticker->count) {
        ticker_skip_to_now(ticker, 0);
        ticker->step++;
        ticker_arm(ticker, true);
    }
    tick->period_steps = steps;
    tick->phase = ticker->next_phase++ % steps;
    tick->prev = NULL;
    tick->next = ticker->lists[steps];
    if (tick->next)
        tick->next->prev = tick;
    ticker->lists[steps] = tick;
    ticker->count++;
    return 0;
}

void ticker_remove(struct ticker *ticker, struct tick *tick) {
    if (!tick->period_steps)
        return;
    if (ticker->cursor == tick)
        ticker->cursor = tick->next;
    if (tick->prev)
        tick->prev->next = tick->next;
    else
        ticker->lists[tick->period_steps] = tick->next;
    if (tick->next)
        tick->next->prev = tick->prev;
    tick->period_steps = 0;
    tick->next = tick->prev = NULL;
    if (--ticker->count == 0)
        ticker_arm(ticker, false);
}
