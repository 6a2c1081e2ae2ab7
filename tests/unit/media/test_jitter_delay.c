// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants those first
#include <cmocka.h>

#include "media/jitter_delay.h"

enum { FRAME_US = 20000, TRANSIT_US = 30000 };

// `seconds` of packets that all take as long on the way; returns the time after them.
static uint64_t steady(struct jitter_delay *d, uint64_t now_us, uint64_t seconds) {
    for (uint64_t end_us = now_us + seconds * 1000000; now_us < end_us; now_us += FRAME_US)
        jitter_delay_sample(d, TRANSIT_US, 0, now_us);
    return now_us;
}

// Nothing for `stall_us`, then all of it at once.
static uint64_t stall(struct jitter_delay *d, uint64_t now_us, int64_t stall_us) {
    uint64_t end_us = now_us + (uint64_t)stall_us;
    for (; stall_us > 0; stall_us -= FRAME_US)
        jitter_delay_sample(d, TRANSIT_US + stall_us, 0, end_us);
    return end_us + FRAME_US;
}

static void a_clean_network_costs_the_least(void **state) {
    (void)state;
    struct jitter_delay d;
    jitter_delay_init(&d, 20, 400);
    steady(&d, 1000000, 4);
    assert_int_equal(d.target_us, 20000);
}

static void one_stall_is_soon_forgiven(void **state) {
    (void)state;
    struct jitter_delay d;
    jitter_delay_init(&d, 20, 400);
    uint64_t now_us = stall(&d, steady(&d, 1000000, 20), 1000000);
    assert_true(d.target_us >= 300000);
    now_us = steady(&d, now_us, 20);
    assert_in_range(d.target_us, 20000, 200000);
    steady(&d, now_us, 10);
    assert_int_equal(d.target_us, 20000);
}

static void stalls_that_come_again_are_provided_for(void **state) {
    (void)state;
    struct jitter_delay d;
    jitter_delay_init(&d, 20, 400);
    uint64_t now_us = steady(&d, 1000000, 5);
    for (int i = 0; i < 10; i++)
        now_us = steady(&d, stall(&d, now_us, 200000), 2);
    assert_in_range(d.target_us, 100000, 200000);
}

// One packet in twenty comes at its earliest, the others `later_us` after that.
static uint64_t mostly_later(struct jitter_delay *d, uint64_t now_us, uint64_t seconds, int64_t later_us) {
    unsigned i = 0;
    for (uint64_t end_us = now_us + seconds * 1000000; now_us < end_us; now_us += FRAME_US)
        jitter_delay_sample(d, TRANSIT_US + (i++ % 20 ? later_us : 0), 0, now_us);
    return now_us;
}

static void the_usual_time_is_not_the_earliest(void **state) {
    (void)state;
    struct jitter_delay d;
    jitter_delay_init(&d, 20, 400);
    uint64_t now_us = mostly_later(&d, 1000000, 5, 800);
    assert_int_equal(d.floor_us, TRANSIT_US);
    assert_in_range(d.usual_us, TRANSIT_US + 700, TRANSIT_US + 900);
    steady(&d, now_us, 5); // and back
    assert_in_range(d.usual_us, TRANSIT_US, TRANSIT_US + 100);
}

// Where packets come at any time, waiting for the last of them would only be delay.
static void the_usual_time_has_its_bound(void **state) {
    (void)state;
    struct jitter_delay d;
    jitter_delay_init(&d, 20, 400);
    mostly_later(&d, 1000000, 20, 8000);
    assert_int_equal(d.usual_us, TRANSIT_US + JITTER_DELAY_USUAL_US);
}

// 200 ppm either way for a minute. The earliest is of up to ten seconds ago, which a slow sender's packets leave behind.
static void the_usual_time_follows_the_senders_clock(void **state) {
    (void)state;
    for (int64_t step_us = -4; step_us <= 4; step_us += 8) {
        struct jitter_delay d;
        int64_t offset_us = TRANSIT_US;
        jitter_delay_init(&d, 20, 400);
        for (uint64_t i = 0; i < 3000; i++, offset_us += step_us)
            jitter_delay_sample(&d, offset_us, 0, 1000000 + i * FRAME_US);
        int64_t away_us = d.usual_us - offset_us;
        assert_true(away_us > -1000 && away_us < 200);
    }
}

// Every second the thread is late by 60 ms: three packets are told of late, but their reads are as late as they.
static void its_own_stalls_are_not_the_networks(void **state) {
    (void)state;
    for (int known = 0; known < 2; known++) {
        struct jitter_delay d;
        jitter_delay_init(&d, 20, 400);
        uint64_t now_us = 0;
        for (int i = 0; i < 1000; i++, now_us += FRAME_US) {
            int64_t late_us = i % 50 < 47 ? 0 : (50 - i % 50) * FRAME_US, network_us = i % 7 == 3 ? 3000 : 0;
            jitter_delay_sample(&d, 5000000 + late_us + network_us, known && late_us ? 60000 : 0, now_us);
        }
        assert_int_equal(d.floor_us, 5000000);
        if (known)
            assert_int_equal(d.target_us, 20000);
        else
            assert_true(d.target_us > 30000);
    }
    // What is beyond its own lateness is the network's.
    struct jitter_delay d;
    jitter_delay_init(&d, 20, 400);
    for (int i = 0; i < 100; i++)
        jitter_delay_sample(&d, 5000000 + (i % 2) * 80000, 30000, (uint64_t)i * FRAME_US);
    assert_in_range(d.target_us, 50000, 60000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_own_stalls_are_not_the_networks),
        cmocka_unit_test(a_clean_network_costs_the_least),
        cmocka_unit_test(one_stall_is_soon_forgiven),
        cmocka_unit_test(stalls_that_come_again_are_provided_for),
        cmocka_unit_test(the_usual_time_is_not_the_earliest),
        cmocka_unit_test(the_usual_time_has_its_bound),
        cmocka_unit_test(the_usual_time_follows_the_senders_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
