// SPDX-License-Identifier: Apache-2.0
//
//   timerfd (absolute, the next slot in use) -> uv_poll -> uv_check -> slot n: each tick goes into its next slot
//                                                                     and runs -> slot n + 1 ... -> arm again
//
// Ticks run when every socket that a wake-up brought has been read (uv_check), and late ones only after another look at
// the sockets: after a stall of the process what came meanwhile lies ready for the ticks that were missed, and they
// find no holes that there are not. The timer goes on to another slot when hastened ticks have left the one that it was
// to wake the loop for.
//
// A tick is put into its next slot before it runs, so that whatever it does to itself or to others is done to
// a wheel in order. No period is as long as the wheel.
#include "gateway/core/ticker.h"

#include "gateway/core/err.h"
#include "gateway/core/metrics.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    SLOTS = 1024,
    WORDS = SLOTS / 64,
    PORTION_US = 10000,
    // A loop that slept longer than this (suspended machine, debugger) skips ahead instead of flooding the
    // peers.
    MAX_CATCH_UP_US = 2000000,
    STALLED_US = 3000,  // a wheel that is later than this does not know what has come since the loop woke
    OVERDUE_US = 10000, // a tick that is later than this is not hastened past those before it
    LATE_US = 100000,   // a wheel that is later than this takes new ticks as if it were no later
    LATE_CLASSES = 256, // of a slot each; the last holds all beyond
    SPARED_SLOTS = 2,   // arming the timer anew costs less than a wake-up, but not nothing
    SPREAD_US = 3750,   // from one tick's place to the next one's: never a divisor of a period in slots
};

struct ticker {
    uv_poll_t poll;
    uv_check_t check;
    unsigned handles; // not closed yet
    int fd;
    uint64_t slot; // the next to run, by its number since the clock's beginning
    struct tick *slots[SLOTS];
    uint64_t used[WORDS]; // slots that may hold ticks
    uint64_t armed;       // the slot the timer waits for, 0 for none
    uint32_t spread_us;
    uint32_t count;
    uint32_t late[LATE_CLASSES]; // slots and hastened ticks, by how many whole slots late they ran
    bool running;
    bool looked; // late as it is, the sockets have been read since
};

uint64_t ticker_now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

// The slot at whose beginning a deadline has passed.
static uint64_t slot_of(uint64_t due_us) {
    return (due_us + TICKER_SLOT_US - 1) / TICKER_SLOT_US;
}

static void tick_insert(struct ticker *ticker, struct tick *tick) {
    uint64_t slot = slot_of(tick->due_us + tick->wait_us);
    if (slot <= ticker->slot)
        slot = ticker->slot + 1;
    size_t at = slot % SLOTS;
    tick->next = ticker->slots[at];
    tick->link = &ticker->slots[at];
    if (tick->next)
        tick->next->link = &tick->next;
    ticker->slots[at] = tick;
    ticker->used[at / 64] |= 1ull << (at % 64);
}

static void tick_unlink(struct tick *tick) {
    *tick->link = tick->next;
    if (tick->next)
        tick->next->link = tick->link;
}

// The next slot in use from `from` on; only when there is one. Those on the way that ticks have left are forgotten.
static uint64_t next_used(struct ticker *ticker, uint64_t from) {
    for (uint64_t step = 0; step < SLOTS;) {
        size_t at = (from + step) % SLOTS;
        uint64_t word = ticker->used[at / 64] >> (at % 64);
        step += word ? (uint64_t)__builtin_ctzll(word) : 64 - at % 64;
        at = (from + step) % SLOTS;
        if (word && ticker->slots[at])
            return from + step;
        if (word)
            ticker->used[at / 64] &= ~(1ull << (at % 64));
    }
    return from + SLOTS;
}

static void ticker_arm(struct ticker *ticker) {
    struct itimerspec spec = {0};
    ticker->armed = ticker->count ? next_used(ticker, ticker->slot + 1) : 0;
    uint64_t at_us = ticker->armed * TICKER_SLOT_US;
    spec.it_value.tv_sec = (time_t)(at_us / 1000000u);
    spec.it_value.tv_nsec = (long)(at_us % 1000000u) * 1000;
    timerfd_settime(ticker->fd, TFD_TIMER_ABSTIME, &spec, NULL); // forgets that it had expired, too
}

static void run_tick(struct ticker *ticker, struct tick *tick) {
    uint64_t deadline_us = tick->due_us;
    tick_unlink(tick);
    tick->due_us += tick->period_us;
    tick->wait_us = 0;
    tick_insert(ticker, tick);
    tick->on_tick(deadline_us, tick->arg);
}

static void run_slot(struct ticker *ticker) {
    size_t at = ticker->slot % SLOTS;
    ticker->used[at / 64] &= ~(1ull << (at % 64));
    while (ticker->slots[at])
        run_tick(ticker, ticker->slots[at]);
}

static void note_late(struct ticker *ticker, uint64_t late_us) {
    uint64_t class = late_us / TICKER_SLOT_US;
    ticker->late[class < LATE_CLASSES ? class : LATE_CLASSES - 1]++;
    metric_observe(HISTOGRAM_TICK_LATE, late_us * 1000);
}

void ticker_late(struct ticker *ticker, struct ticker_late *out) {
    struct ticker_late late = {0};
    for (size_t i = 0; i < LATE_CLASSES; i++)
        late.slots += ticker->late[i];
    uint32_t beyond = 0;
    for (size_t i = LATE_CLASSES; i-- > 0 && late.slots && !late.p99_us;) {
        beyond += ticker->late[i];
        if (beyond * 100ull > late.slots)
            late.p99_us = (uint32_t)(i + 1) * TICKER_SLOT_US;
    }
    memset(ticker->late, 0, sizeof ticker->late);
    *out = late;
}

uint32_t ticker_behind_us(const struct ticker *ticker, uint64_t now_us) {
    uint64_t due_us = ticker->armed * TICKER_SLOT_US;
    if (!due_us || now_us <= due_us)
        return 0;
    return now_us - due_us < MAX_CATCH_UP_US ? (uint32_t)(now_us - due_us) : MAX_CATCH_UP_US;
}

// Every tick goes on at its own place in the period, as if nothing had been due meanwhile.
static void skip_to(struct ticker *ticker, uint64_t now_us) {
    struct tick *all = NULL;
    for (size_t at = 0; at < SLOTS; at++) {
        while (ticker->slots[at]) {
            struct tick *tick = ticker->slots[at];
            tick_unlink(tick);
            tick->next = all;
            all = tick;
        }
    }
    ticker->slot = now_us / TICKER_SLOT_US;
    while (all) {
        struct tick *tick = all;
        all = tick->next;
        if (tick->due_us <= now_us)
            tick->due_us += ((now_us - tick->due_us) / tick->period_us + 1) * tick->period_us;
        tick_insert(ticker, tick);
    }
}

// It only wakes the loop.
static void on_readable(uv_poll_t *poll, int status, int events) {
    (void)poll;
    (void)status;
    (void)events;
}

// Where all ticks are hastened no slot is ever run, so that the wheel has to turn here.
static void spare_wake_up(struct ticker *ticker, uint64_t now_us) {
    if (!ticker->count || ticker->slots[ticker->armed % SLOTS])
        return;
    if (next_used(ticker, ticker->slot + 1) <= ticker->armed + SPARED_SLOTS)
        return;
    ticker->slot = now_us / TICKER_SLOT_US;
    ticker_arm(ticker);
}

// What was missed is caught up in portions: on a machine that cannot keep up, sockets and timers of the same
// loop must not wait for all of it.
static void on_check(uv_check_t *check) {
    struct ticker *ticker = check->data;
    uint64_t began_us = ticker_now_us(), now_us = began_us;
    if (!ticker->armed)
        return;
    if (ticker->armed * TICKER_SLOT_US > began_us) {
        spare_wake_up(ticker, began_us);
        return;
    }
    ticker->looked = !ticker->looked && began_us > ticker->armed * TICKER_SLOT_US + STALLED_US;
    if (ticker->looked)
        return; // the timer is still readable: the loop comes back at once
    if (began_us > ticker->slot * TICKER_SLOT_US + MAX_CATCH_UP_US)
        skip_to(ticker, began_us);
    ticker->running = true;
    while (ticker->count && now_us - began_us < PORTION_US) {
        uint64_t slot = next_used(ticker, ticker->slot + 1);
        if (slot * TICKER_SLOT_US > now_us) {
            ticker->slot = now_us / TICKER_SLOT_US;
            break;
        }
        ticker->slot = slot;
        note_late(ticker, now_us - slot * TICKER_SLOT_US);
        run_slot(ticker);
        now_us = ticker_now_us();
    }
    ticker->running = false;
    ticker_arm(ticker);
}

static void on_closed(uv_handle_t *handle) {
    struct ticker *ticker = handle->data;
    if (--ticker->handles)
        return;
    close(ticker->fd);
    free(ticker);
}

int ticker_new(struct ticker **out, uv_loop_t *loop) {
    struct ticker *ticker = calloc(1, sizeof *ticker);
    if (!ticker)
        return -ENOMEM;
    ticker->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int err = ticker->fd < 0 ? -errno : 0;
    if (err)
        goto out_free;
    err = uv_poll_init(loop, &ticker->poll, ticker->fd);
    if (err)
        goto out_fd;
    uv_check_init(loop, &ticker->check); // cannot fail
    ticker->poll.data = ticker->check.data = ticker;
    ticker->handles = 2;
    err = uv_poll_start(&ticker->poll, UV_READABLE, on_readable);
    if (err) {
        ticker_close(ticker);
        return err;
    }
    uv_check_start(&ticker->check, on_check);
    *out = ticker;
    return 0;

out_fd:
    close(ticker->fd);
out_free:
    free(ticker);
    return err;
}

void ticker_close(struct ticker *ticker) {
    uv_close((uv_handle_t *)&ticker->poll, on_closed);
    uv_close((uv_handle_t *)&ticker->check, on_closed);
}

int ticker_add(struct ticker *ticker, struct tick *tick, uint32_t period_ms) {
    if (period_ms < TICKER_MIN_MS || period_ms > TICKER_MAX_MS)
        return -EINVAL;
    uint64_t from_us = ticker_now_us();
    if (!ticker->count)
        ticker->slot = from_us / TICKER_SLOT_US;
    if (from_us > ticker->slot * TICKER_SLOT_US + LATE_US)
        from_us = ticker->slot * TICKER_SLOT_US + LATE_US;
    tick->period_us = period_ms * 1000;
    tick->wait_us = 0;
    tick->due_us = from_us + 1 + ticker->spread_us % tick->period_us;
    ticker->spread_us += SPREAD_US;
    ticker->count++;
    tick_insert(ticker, tick);
    if (!ticker->running && (!ticker->armed || slot_of(tick->due_us) < ticker->armed))
        ticker_arm(ticker);
    return 0;
}

void ticker_remove(struct ticker *ticker, struct tick *tick) {
    if (!tick->period_us)
        return;
    tick_unlink(tick);
    tick->period_us = 0;
    if (--ticker->count == 0 && !ticker->running)
        ticker_arm(ticker);
}

void ticker_shift(struct ticker *ticker, struct tick *tick, int32_t shift_us) {
    int32_t most_us = (int32_t)tick->period_us / 4;
    if (!tick->period_us || !shift_us)
        return;
    if (shift_us > most_us)
        shift_us = most_us;
    if (shift_us < -most_us)
        shift_us = -most_us;
    tick_unlink(tick);
    tick->due_us = shift_us < 0 ? tick->due_us - (uint64_t)-shift_us : tick->due_us + (uint64_t)shift_us;
    tick_insert(ticker, tick);
}

// A tick that is hastened again and again while the wheel itself is late must stay within one turn of it.
bool ticker_hasten(struct ticker *ticker, struct tick *tick, uint64_t now_us, uint32_t within_us) {
    if (!tick->period_us || tick->due_us > now_us + within_us || tick->due_us + OVERDUE_US < now_us)
        return false;
    if (slot_of(tick->due_us + tick->period_us) > ticker->slot + SLOTS / 2)
        return false;
    note_late(ticker, now_us > tick->due_us ? now_us - tick->due_us : 0);
    run_tick(ticker, tick);
    return true;
}

void ticker_wait(struct ticker *ticker, struct tick *tick, uint32_t wait_us) {
    if (!tick->period_us)
        return;
    tick_unlink(tick);
    tick->due_us -= tick->period_us;
    tick->wait_us = wait_us;
    tick_insert(ticker, tick);
}
