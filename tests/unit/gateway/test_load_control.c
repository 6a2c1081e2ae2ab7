// SPDX-License-Identifier: Apache-2.0
#include "gateway/load_control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct load_limits limits = {.busy_percent = 85, .late_us = 10000, .calls_assumed = 240};
static const struct load_limits none = {.calls_assumed = 240};

static struct load_control started(const struct load_limits *of) {
    struct load_control control;
    load_control_start(&control, of);
    return control;
}

static void run(struct load_control *control, unsigned windows, struct load_sample sample) {
    while (windows--)
        load_control_step(control, &sample);
}

static void at_rest_encoders_take_their_time(void **state) {
    (void)state;
    struct load_control control = started(&limits);
    assert_int_equal(load_control_complexity(&control), 5);
    run(&control, 7, (struct load_sample){.busy = 0.05});
    assert_int_equal(load_control_complexity(&control), 5);
    run(&control, 1, (struct load_sample){.busy = 0.05});
    assert_int_equal(load_control_complexity(&control), 8);
    run(&control, 40, (struct load_sample){.busy = 0.05});
    assert_int_equal(load_control_complexity(&control), 8);
}

static void a_busy_worker_encodes_with_less_effort(void **state) {
    (void)state;
    static const unsigned down[] = {5, 5, 3, 3, 1, 1, 0, 0};
    struct load_control control = started(&limits);
    run(&control, 4, (struct load_sample){.busy = 0.70});
    assert_in_range((unsigned)(control.busy * 100), 45, 54);
    for (size_t i = 0; i < sizeof down / sizeof down[0]; i++) {
        assert_int_equal(load_control_complexity(&control), down[i]);
        run(&control, 1, (struct load_sample){.busy = 0.70});
    }
    assert_int_equal(control.reason, LOAD_OK);
}

// Whatever one level more costs, it is not taken back at once.
static void levels_do_not_flap(void **state) {
    (void)state;
    static const double dearer = 1.8;
    struct load_control control = started(&limits);
    double busy_at_5 = 0.29;
    unsigned changes = 0, before = load_control_complexity(&control);
    for (int i = 0; i < 400; i++) {
        double busy = load_control_complexity(&control) > 5 ? busy_at_5 * dearer : busy_at_5;
        run(&control, 1, (struct load_sample){.busy = busy});
        changes += load_control_complexity(&control) != before;
        before = load_control_complexity(&control);
    }
    assert_int_equal(changes, 1);
    assert_int_equal(before, 8);
}

static void a_burst_takes_all_effort_away(void **state) {
    (void)state;
    struct load_control control = started(&limits);
    run(&control, 40, (struct load_sample){.busy = 0.1});
    run(&control, 6, (struct load_sample){.busy = 1.0});
    assert_int_equal(load_control_complexity(&control), 0);
}

static void a_late_worker_refuses_after_a_second(void **state) {
    (void)state;
    struct load_control control = started(&limits);
    const struct load_sample late = {.busy = 0.3, .late_us = 10250}, punctual = {.busy = 0.3, .late_us = 250};
    run(&control, 2, late);
    assert_int_equal(control.reason, LOAD_OK);
    run(&control, 1, late);
    assert_int_equal(control.reason, LOAD_LATE);
    assert_int_equal(load_control_complexity(&control), 0);
    run(&control, 7, punctual);
    assert_int_equal(control.reason, LOAD_LATE);
    run(&control, 1, punctual);
    assert_int_equal(control.reason, LOAD_OK);
}

static void a_hiccup_refuses_nobody(void **state) {
    (void)state;
    struct load_control control = started(&limits);
    for (int i = 0; i < 40; i++) {
        run(&control, 2, (struct load_sample){.late_us = 64000, .lag_us = 90000});
        run(&control, 2, (struct load_sample){.late_us = 500});
        assert_int_equal(control.reason, LOAD_OK);
    }
}

// Calls that are up must not wait until lateness is whole.
static void a_busy_worker_refuses_when_half_as_late(void **state) {
    (void)state;
    const struct load_sample idle = {.busy = 0.3, .late_us = 6000}, busy = {.busy = 0.6, .late_us = 6000};
    struct load_control control = started(&limits);
    run(&control, 40, idle);
    assert_int_equal(control.reason, LOAD_OK);
    run(&control, 10, busy);
    assert_int_equal(control.reason, LOAD_LATE);
    run(&control, 40, idle); // half as late is not calm
    assert_int_equal(control.reason, LOAD_LATE);
    run(&control, 8, (struct load_sample){.busy = 0.6, .late_us = 5000});
    assert_int_equal(control.reason, LOAD_OK);
}

static void half_late_is_not_calm(void **state) {
    (void)state;
    struct load_control control = started(&limits);
    run(&control, 4, (struct load_sample){.lag_us = 20000});
    assert_int_equal(control.reason, LOAD_LATE);
    run(&control, 40, (struct load_sample){.late_us = 5250});
    assert_int_equal(control.reason, LOAD_LATE);
    run(&control, 8, (struct load_sample){.late_us = 5000});
    assert_int_equal(control.reason, LOAD_OK);
}

static void a_full_core_refuses_until_there_is_room_again(void **state) {
    (void)state;
    struct load_control control = started(&limits);
    run(&control, 40, (struct load_sample){.busy = 0.84});
    assert_int_equal(control.reason, LOAD_OK);
    run(&control, 40, (struct load_sample){.busy = 0.86});
    assert_int_equal(control.reason, LOAD_BUSY);
    run(&control, 40, (struct load_sample){.busy = 0.76});
    assert_int_equal(control.reason, LOAD_BUSY);
    run(&control, 40, (struct load_sample){.busy = 0.74});
    assert_int_equal(control.reason, LOAD_OK);
}

static void without_limits_nobody_is_refused(void **state) {
    (void)state;
    struct load_control control = started(&none);
    run(&control, 40, (struct load_sample){.busy = 1.0, .late_us = 64000, .lag_us = 500000, .calls = 400});
    assert_int_equal(control.reason, LOAD_OK);
    assert_int_equal(control.capacity, 240);
    assert_int_equal(load_control_complexity(&control), 0);
}

static void capacity_follows_what_calls_cost(void **state) {
    (void)state;
    struct load_control control = started(&limits);
    run(&control, 40, (struct load_sample){.busy = 0.19, .calls = LOAD_FEW_CALLS - 1});
    assert_int_equal(control.capacity, 240);
    run(&control, 60, (struct load_sample){.busy = 0.034, .calls = 100}); // G.711
    assert_in_range(control.capacity, 2450, 2550);
    run(&control, 60, (struct load_sample){.busy = 0.50, .calls = 100}); // Opus, which may become cheaper
    assert_int_equal(control.capacity, 240);
    run(&control, 60, (struct load_sample){.busy = 0.60, .calls = 120}); // it has
    assert_in_range(control.capacity, 168, 172);
    run(&control, 60, (struct load_sample){.busy = 0.84, .calls = 170});
    assert_in_range(control.capacity, 171, 173);
}

// Handshakes are dear, and over soon: while there is room, they do not make calls look dear.
static void a_storm_of_setups_does_not_close_the_door(void **state) {
    (void)state;
    struct load_control control = started(&limits);
    for (uint32_t calls = 0; calls < 120; calls += 15) {
        run(&control, 1, (struct load_sample){.busy = 0.45, .calls = calls});
        assert_int_equal(control.capacity, 240);
    }
}

// Calls that came in this very window have cost nothing yet.
static void a_rush_does_not_look_cheap(void **state) {
    (void)state;
    struct load_control control = started(&limits);
    run(&control, 60, (struct load_sample){.busy = 0.2, .calls = 100});
    assert_in_range(control.capacity, 424, 426);
    run(&control, 1, (struct load_sample){.busy = 0.2, .calls = 200});
    assert_in_range(control.capacity, 425, 540);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_rest_encoders_take_their_time),
        cmocka_unit_test(a_busy_worker_encodes_with_less_effort),
        cmocka_unit_test(levels_do_not_flap),
        cmocka_unit_test(a_burst_takes_all_effort_away),
        cmocka_unit_test(a_late_worker_refuses_after_a_second),
        cmocka_unit_test(a_hiccup_refuses_nobody),
        cmocka_unit_test(a_busy_worker_refuses_when_half_as_late),
        cmocka_unit_test(half_late_is_not_calm),
        cmocka_unit_test(a_full_core_refuses_until_there_is_room_again),
        cmocka_unit_test(without_limits_nobody_is_refused),
        cmocka_unit_test(capacity_follows_what_calls_cost),
        cmocka_unit_test(a_storm_of_setups_does_not_close_the_door),
        cmocka_unit_test(a_rush_does_not_look_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
