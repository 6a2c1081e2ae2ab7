// SPDX-License-Identifier: Apache-2.0
// Counts and deadlines only: when the machine wakes us is its own affair.
#include "gateway/core/metrics.h"
#include "gateway/core/ticker.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct counter {
    struct tick tick;
    struct ticker *ticker;
    uint32_t period_ms;
    uint64_t last_us;
    int count, stop_after;
    struct counter *victim; // removed by our first tick
    uint64_t stall_us;      // the first tick keeps the loop busy so long
};

static void on_tick(uint64_t deadline_us, void *arg) {
    struct counter *c = arg;
    assert_true(deadline_us <= ticker_now_us());
    assert_true((deadline_us - c->last_us == (uint64_t)c->period_ms * 1000) || !c->count);
    c->last_us = deadline_us;
    if (c->count++ == 0) {
        while (ticker_now_us() < deadline_us + c->stall_us)
            ;
        if (c->victim)
            ticker_remove(c->ticker, &c->victim->tick);
    }
    if (c->count == c->stop_after)
        ticker_remove(c->ticker, &c->tick);
}

static void start(struct counter *c, struct ticker *ticker, uint32_t period_ms, int stop_after) {
    *c = (struct counter){.tick = {.on_tick = on_tick, .arg = c},
                          .ticker = ticker,
                          .period_ms = period_ms,
                          .stop_after = stop_after};
    assert_int_equal(ticker_add(ticker, &c->tick, period_ms), 0);
}

static void run_until(uv_loop_t *loop, const struct counter *c, int count) {
    while (c->count < count)
        uv_run(loop, UV_RUN_ONCE);
}

struct fixture {
    uv_loop_t loop;
    struct ticker *ticker;
};

static void set_up(struct fixture *f) {
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(ticker_new(&f->ticker, &f->loop), 0);
}

static void tear_down(struct fixture *f) {
    ticker_close(f->ticker);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

static void every_period_keeps_its_own_deadlines(void **state) {
    (void)state;
    static const uint32_t periods[] = {5, 10, 20, 30, 60};
    struct fixture f;
    struct counter counters[5];
    set_up(&f);
    for (int i = 0; i < 5; i++)
        start(&counters[i], f.ticker, periods[i], (int)(120 / periods[i]));
    for (int i = 0; i < 5; i++)
        run_until(&f.loop, &counters[i], counters[i].stop_after);
    tear_down(&f);
}

static void other_periods_are_refused(void **state) {
    (void)state;
    static const uint32_t periods[] = {0, 1, 4, 61, 100};
    struct fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof periods / sizeof periods[0]; i++) {
        struct tick tick = {.on_tick = on_tick};
        assert_int_equal(ticker_add(f.ticker, &tick, periods[i]), -EINVAL);
        ticker_remove(f.ticker, &tick);
    }
    tear_down(&f);
}

static void a_late_wake_runs_what_was_missed(void **state) {
    (void)state;
    struct fixture f;
    struct counter stalled, other;
    set_up(&f);
    start(&stalled, f.ticker, 20, 6);
    start(&other, f.ticker, 10, 12);
    stalled.stall_us = 95000;
    run_until(&f.loop, &stalled, 1);
    // The deadlines stay a period apart: on_tick checks it, across the stall too.
    run_until(&f.loop, &stalled, 6);
    run_until(&f.loop, &other, 12);
    tear_down(&f);
}

struct slow {
    struct tick tick;
    int turns, most_between, between;
};

// Each tick costs nearly what it has, after a first one that leaves twenty of them due.
static void on_slow_tick(uint64_t deadline_us, void *arg) {
    (void)deadline_us;
    struct slow *slow = arg;
    uint64_t until_us = ticker_now_us() + (slow->between || slow->turns ? 4000 : 100000);
    while (ticker_now_us() < until_us)
        ;
    if (++slow->between > slow->most_between)
        slow->most_between = slow->between;
}

static void on_turn(uv_check_t *check) {
    struct slow *slow = check->data;
    slow->turns++;
    slow->between = 0;
}

// What it reads, a tick must find.
struct reader {
    uv_poll_t poll;
    struct tick tick;
    int fd, read, ticks, without; // ticks that ran before what had come was read
};

static void on_ready(uv_poll_t *poll, int status, int events) {
    struct reader *reader = poll->data;
    char byte;
    (void)status;
    (void)events;
    assert_int_equal(read(reader->fd, &byte, 1), 1);
    reader->read++;
}

static void on_reader_tick(uint64_t deadline_us, void *arg) {
    struct reader *reader = arg;
    (void)deadline_us;
    reader->ticks++;
    reader->without += !reader->read;
}

// Whichever of the two the kernel names first.
static void after_a_stall_sockets_are_read_before_ticks_run(void **state) {
    (void)state;
    struct fixture f;
    struct reader readers[2] = {{.fd = -1}, {.fd = -1}};
    int pipes[2][2];
    assert_int_equal(uv_loop_init(&f.loop), 0);
    for (int i = 0; i < 2; i++) {
        if (i == 1)
            assert_int_equal(ticker_new(&f.ticker, &f.loop), 0);
        assert_int_equal(pipe(pipes[i]), 0);
        readers[i].fd = pipes[i][0];
        readers[i].poll.data = &readers[i];
        assert_int_equal(uv_poll_init(&f.loop, &readers[i].poll, readers[i].fd), 0);
        assert_int_equal(uv_poll_start(&readers[i].poll, UV_READABLE, on_ready), 0);
    }
    uv_run(&f.loop, UV_RUN_NOWAIT);
    for (int i = 0; i < 2; i++) {
        readers[i].tick = (struct tick){.on_tick = on_reader_tick, .arg = &readers[i]};
        assert_int_equal(ticker_add(f.ticker, &readers[i].tick, 20), 0);
    }
    uint64_t until_us = ticker_now_us() + 70000;
    while (ticker_now_us() < until_us)
        ;
    assert_true(ticker_behind_us(f.ticker, until_us) >= 40000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(write(pipes[i][1], "x", 1), 1);
    while (!readers[0].ticks || !readers[1].ticks)
        uv_run(&f.loop, UV_RUN_ONCE);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(readers[i].without, 0);
        ticker_remove(f.ticker, &readers[i].tick);
        uv_close((uv_handle_t *)&readers[i].poll, NULL);
        uv_run(&f.loop, UV_RUN_NOWAIT);
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
    tear_down(&f);
}

static void the_loop_turns_while_it_catches_up(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f);
    struct slow slow = {.tick = {.on_tick = on_slow_tick, .arg = &slow}};
    uv_check_t check;
    uv_check_init(&f.loop, &check);
    check.data = &slow;
    uv_check_start(&check, on_turn);
    assert_int_equal(ticker_add(f.ticker, &slow.tick, 5), 0);
    while (slow.turns < 6)
        uv_run(&f.loop, UV_RUN_ONCE);
    // Twenty missed ticks of 4 ms in one go would have been 80 ms without a look at any socket.
    assert_in_range(slow.most_between, 1, 4);
    ticker_remove(f.ticker, &slow.tick);
    uv_close((uv_handle_t *)&check, NULL);
    tear_down(&f);
}

// Behind a tick of 40 ms the next ones are late; what was told once is not told again.
static void lateness_is_told(void **state) {
    (void)state;
    struct fixture f;
    struct counter c;
    struct ticker_late late;
    set_up(&f);
    uint64_t before = histogram_count(HISTOGRAM_TICK_LATE);
    start(&c, f.ticker, 5, 6);
    c.stall_us = 40000;
    run_until(&f.loop, &c, 6);
    ticker_late(f.ticker, &late);
    assert_int_equal(late.slots, 6);
    assert_in_range(late.p99_us, 35000, 256 * TICKER_SLOT_US);
    assert_int_equal(histogram_count(HISTOGRAM_TICK_LATE) - before, 6);
    ticker_late(f.ticker, &late);
    assert_int_equal(late.slots, 0);
    assert_int_equal(late.p99_us, 0);
    tear_down(&f);
}

static void a_tick_may_remove_any_other(void **state) {
    (void)state;
    struct fixture f;
    struct counter killers[4], victims[4];
    set_up(&f);
    // Victims stand before and after their killers in the list, and in the same phase: periods of one step.
    for (int i = 0; i < 4; i++) {
        start(&victims[i], f.ticker, 5, 0);
        start(&killers[i], f.ticker, 5, 3);
    }
    for (int i = 0; i < 4; i++)
        killers[i].victim = &victims[(i + 1) % 4];
    for (int i = 0; i < 4; i++)
        run_until(&f.loop, &killers[i], 3);
    for (int i = 0; i < 4; i++) {
        assert_true(victims[i].count <= 1);
        ticker_remove(f.ticker, &victims[i].tick);
    }
    tear_down(&f);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

// Wherever they begin, no two of as many calls as a period has places are due within a slot of each other.
static void places_are_spread(void **state) {
    (void)state;
    enum { COUNT = 16, PERIOD_US = 20000 };
    struct fixture f;
    struct tick ticks[COUNT];
    uint64_t places[COUNT];
    set_up(&f);
    uint64_t began_us = ticker_now_us();
    for (int i = 0; i < COUNT; i++) {
        ticks[i] = (struct tick){.on_tick = on_tick};
        assert_int_equal(ticker_add(f.ticker, &ticks[i], PERIOD_US / 1000), 0);
    }
    uint64_t took_us = ticker_now_us() - began_us;
    for (int i = 0; i < COUNT; i++) {
        assert_in_range(ticks[i].due_us, began_us, ticker_now_us() + PERIOD_US);
        // What it was from now on; the clock went on meanwhile.
        places[i] = (uint64_t)i * 3750 % PERIOD_US;
        assert_in_range(ticks[i].due_us - began_us, places[i], places[i] + took_us + 1);
    }
    qsort(places, COUNT, sizeof places[0], by_value);
    for (int i = 1; i < COUNT; i++)
        assert_true(places[i] - places[i - 1] >= TICKER_SLOT_US);
    for (int i = 0; i < COUNT; i++)
        ticker_remove(f.ticker, &ticks[i]);
    tear_down(&f);
}

struct shifting {
    struct tick tick;
    struct ticker *ticker;
    int32_t shift_us;
    uint64_t deadlines_us[4];
    int count;
};

static void on_shifting_tick(uint64_t deadline_us, void *arg) {
    struct shifting *s = arg;
    s->deadlines_us[s->count++] = deadline_us;
    if (s->count == 4)
        ticker_remove(s->ticker, &s->tick);
    else if (s->count == 2)
        ticker_shift(s->ticker, &s->tick, s->shift_us);
}

// The deadline after a shift moves, and those after it keep the period.
static void a_deadline_can_be_moved(void **state) {
    (void)state;
    static const struct {
        int32_t asked_us, moved_us;
    } cases[] = {{0, 0}, {300, 300}, {-300, -300}, {1000000, 5000}, {-1000000, -5000}};
    struct fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shifting s = {.tick = {.on_tick = on_shifting_tick, .arg = &s},
                             .ticker = f.ticker,
                             .shift_us = cases[i].asked_us};
        assert_int_equal(ticker_add(f.ticker, &s.tick, 20), 0);
        while (s.count < 4)
            uv_run(&f.loop, UV_RUN_ONCE);
        assert_int_equal(s.deadlines_us[1] - s.deadlines_us[0], 20000);
        assert_int_equal((int64_t)(s.deadlines_us[2] - s.deadlines_us[1]), 20000 + cases[i].moved_us);
        assert_int_equal(s.deadlines_us[3] - s.deadlines_us[2], 20000);
    }
    tear_down(&f);
}

struct eager {
    struct tick tick;
    struct ticker *ticker;
    uint64_t deadlines_us[8];
    int count, wait_at;
};

static void on_eager_tick(uint64_t deadline_us, void *arg) {
    struct eager *e = arg;
    e->deadlines_us[e->count] = deadline_us;
    if (e->count++ == e->wait_at)
        ticker_wait(e->ticker, &e->tick, 4000);
}

static void eager_start(struct eager *e, struct ticker *ticker, int wait_at) {
    *e = (struct eager){.tick = {.on_tick = on_eager_tick, .arg = e}, .ticker = ticker, .wait_at = wait_at};
    assert_int_equal(ticker_add(ticker, &e->tick, 20), 0);
}

// Until it has ticked `count` times.
static void eager_run(const struct eager *e, uv_loop_t *loop, int count) {
    while (e->count < count)
        uv_run(loop, UV_RUN_ONCE);
}

// Run by hand, a tick keeps its deadlines, and the timer does not run it again for them.
static void a_tick_can_be_hastened(void **state) {
    (void)state;
    struct fixture f;
    struct eager e;
    set_up(&f);
    eager_start(&e, f.ticker, -1);
    uint64_t due_us = e.tick.due_us;
    assert_false(ticker_hasten(f.ticker, &e.tick, due_us - 1001, 1000));
    assert_false(ticker_hasten(f.ticker, &e.tick, due_us + 50000, 1000)); // there are others before it
    assert_int_equal(e.count, 0);
    assert_true(ticker_hasten(f.ticker, &e.tick, due_us - 1000, 1000));
    assert_true(ticker_hasten(f.ticker, &e.tick, due_us + 20000, 0));
    assert_false(ticker_hasten(f.ticker, &e.tick, due_us + 20000, 1000));
    assert_int_equal(e.tick.due_us, due_us + 40000);
    eager_run(&e, &f.loop, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(e.deadlines_us[i], due_us + (uint64_t)i * 20000);
    assert_true(ticker_now_us() >= due_us + 40000);
    ticker_remove(f.ticker, &e.tick);
    assert_false(ticker_hasten(f.ticker, &e.tick, due_us + 60000, 1000));
    tear_down(&f);
}

// Far ahead of a wheel that stands still it would come round to the wrong turn.
// The timer was set for a deadline that is no more: it goes on to the next one.
static void a_hastened_tick_costs_no_wake_up(void **state) {
    (void)state;
    struct fixture f;
    struct eager e;
    set_up(&f);
    eager_start(&e, f.ticker, -1);
    eager_run(&e, &f.loop, 1);
    assert_true(ticker_hasten(f.ticker, &e.tick, ticker_now_us(), 60000));
    for (int i = 0; i < 2; i++) // a loop that was late looks at its sockets once more
        uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_in_range(ticker_behind_us(f.ticker, e.tick.due_us + 1000), 0, 1000);
    ticker_remove(f.ticker, &e.tick);
    tear_down(&f);
}

struct spur {
    uv_timer_t timer;
    struct eager *e;
    int left;
};

static void on_spur(uv_timer_t *timer) {
    struct spur *spur = timer->data;
    uint64_t now_us = ticker_now_us(), due_us = spur->e->tick.due_us;
    spur->e->count = 0;
    if (now_us + 15000 >= due_us && now_us <= due_us)
        assert_true(ticker_hasten(spur->e->ticker, &spur->e->tick, now_us, 15000));
    if (--spur->left == 0)
        uv_close((uv_handle_t *)timer, NULL);
}

// For longer than a turn of the wheel, in which the timer never expires.
static void a_tick_can_be_hastened_for_ever(void **state) {
    (void)state;
    struct fixture f;
    struct eager e;
    struct spur spur = {.e = &e, .left = 100};
    set_up(&f);
    eager_start(&e, f.ticker, -1);
    spur.timer.data = &spur;
    uv_timer_init(&f.loop, &spur.timer);
    uv_timer_start(&spur.timer, on_spur, 5, 5);
    while (spur.left)
        uv_run(&f.loop, UV_RUN_ONCE);
    ticker_remove(f.ticker, &e.tick);
    tear_down(&f);
}

static void a_tick_is_not_hastened_beyond_the_wheel(void **state) {
    (void)state;
    struct fixture f;
    struct eager e;
    set_up(&f);
    eager_start(&e, f.ticker, -1);
    uint64_t due_us = e.tick.due_us;
    while (e.count < 8 && ticker_hasten(f.ticker, &e.tick, e.tick.due_us, 0))
        ;
    assert_in_range(e.count, 4, 7);
    int count = e.count;
    eager_run(&e, &f.loop, count + 1);
    assert_int_equal(e.deadlines_us[count], due_us + (uint64_t)count * 20000);
    assert_true(ticker_now_us() >= e.deadlines_us[count]);
    ticker_remove(f.ticker, &e.tick);
    tear_down(&f);
}

static void a_tick_can_wait(void **state) {
    (void)state;
    struct fixture f;
    struct eager e;
    set_up(&f);
    for (int hastened = 0; hastened < 2; hastened++) {
        eager_start(&e, f.ticker, 1);
        uint64_t due_us = e.tick.due_us;
        eager_run(&e, &f.loop, 2);
        if (hastened)
            assert_true(ticker_hasten(f.ticker, &e.tick, due_us + 20000, 0));
        eager_run(&e, &f.loop, 4);
        assert_int_equal(e.deadlines_us[1], due_us + 20000);
        assert_int_equal(e.deadlines_us[2], due_us + 20000);
        assert_int_equal(e.deadlines_us[3], due_us + 40000);
        ticker_remove(f.ticker, &e.tick);
    }
    tear_down(&f);
}

static void it_stops_and_starts_again(void **state) {
    (void)state;
    struct fixture f;
    struct counter c;
    set_up(&f);
    for (int i = 0; i < 3; i++) {
        uint64_t before_us = ticker_now_us();
        start(&c, f.ticker, 10, 2);
        run_until(&f.loop, &c, 2);
        // What was due while nobody ticked is not made up for.
        assert_true(c.last_us > before_us);
    }
    tear_down(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_period_keeps_its_own_deadlines),
        cmocka_unit_test(other_periods_are_refused),
        cmocka_unit_test(a_late_wake_runs_what_was_missed),
        cmocka_unit_test(after_a_stall_sockets_are_read_before_ticks_run),
        cmocka_unit_test(the_loop_turns_while_it_catches_up),
        cmocka_unit_test(lateness_is_told),
        cmocka_unit_test(a_tick_may_remove_any_other),
        cmocka_unit_test(places_are_spread),
        cmocka_unit_test(a_deadline_can_be_moved),
        cmocka_unit_test(a_tick_can_be_hastened),
        cmocka_unit_test(a_hastened_tick_costs_no_wake_up),
        cmocka_unit_test(a_tick_can_be_hastened_for_ever),
        cmocka_unit_test(a_tick_is_not_hastened_beyond_the_wheel),
        cmocka_unit_test(a_tick_can_wait),
        cmocka_unit_test(it_stops_and_starts_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
