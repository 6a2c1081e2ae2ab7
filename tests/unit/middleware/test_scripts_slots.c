// SPDX-License-Identifier: Apache-2.0
// Slots: taken and checked in one step, freed once, lapsing, held by facts; what of the platform's figures is ours.
#include "tests/unit/middleware/scripts_fixture.h"

// Asks for a slot for request `id`, which is its slot's name too, with nobody allowed to wait.
static const char *ask(const char *id, int node_max) {
    return run(SCRIPT_admit, "%s n1 %d %s demo 1 10.0.0.1 text 1 0", id, node_max, id);
}

static const char *hold(const char *slot) {
    return run(SCRIPT_hold, "n1 30000 30000 %s ses_%s demo 10.0.0.1 %s", slot, slot, slot);
}

static void exactly_as_many_as_there_are(void **state) {
    (void)state;
    run(SCRIPT_plan, "5 0 %lld", (long long)s.now_ms);
    int admitted = 0;
    for (int i = 0; i < 200; i++) {
        char id[16];
        snprintf(id, sizeof id, "r%d", i);
        admitted += strcmp(ask(id, 0), "[1]") == 0;
    }
    assert_int_equal(admitted, 5);
    assert_string_equal(command("ZCARD slots:all"), "5");
}

static void a_node_has_a_limit_of_its_own(void **state) {
    (void)state;
    assert_string_equal(ask("a", 2), "[1]");
    assert_string_equal(ask("b", 2), "[1]");
    assert_string_equal(ask("c", 2), "[0 0]");
    // Another node is not full, and no plan is known.
    assert_string_equal(run(SCRIPT_admit, "d n2 2 d demo 1 10.0.0.1 text 1 0"), "[1]");
    assert_string_equal(run(SCRIPT_end, "a 0"), "1");
    assert_string_equal(ask("e", 2), "[1]");
    assert_string_equal(command("ZCARD slots:of:n1"), "2");
    assert_string_equal(command("ZCARD slots:of:n2"), "1");
}

static void a_slot_ends_once(void **state) {
    (void)state;
    run(SCRIPT_plan, "1 0 %lld", (long long)s.now_ms);
    assert_string_equal(ask("a", 0), "[1]");
    assert_string_equal(hold("a"), "[]");
    assert_string_equal(command("ZCARD ratelimit:leases:10.0.0.1"), "1");
    assert_string_equal(run(SCRIPT_end_session, "ses_b"), "-1");
    assert_string_equal(run(SCRIPT_end_session, "ses_a"), "1");
    assert_string_equal(command("ZCARD ratelimit:leases:10.0.0.1"), "0");
    assert_string_equal(ask("b", 0), "[1]");
    // The webhook comes again, the media path ends too, and the node renews what it has not heard the end of.
    assert_string_equal(run(SCRIPT_end_session, "ses_a"), "0");
    assert_string_equal(run(SCRIPT_end, "a 0"), "0");
    assert_string_equal(hold("a"), "[a]");
    assert_string_equal(command("ZRANGE slots:all 0 -1"), "[b]");
    // For a day it is known.
    long long left_ms = strtoll(command("PTTL slots:session:ses_a"), NULL, 10);
    assert_in_range(left_ms, 86300000, 86400000);
}

// The platform tells an end before we know that there was a beginning.
static void an_end_may_come_first(void **state) {
    (void)state;
    run(SCRIPT_plan, "1 0 %lld", (long long)s.now_ms);
    assert_string_equal(ask("a", 0), "[1]");
    assert_string_equal(run(SCRIPT_end_session, "ses_a"), "-1");
    assert_in_range(strtoll(command("PTTL slots:early:ses_a"), NULL, 10), 50000, 60000);
    assert_string_equal(hold("a"), "[a]");
    assert_string_equal(command("ZCARD slots:all"), "0");
    assert_string_equal(command("ZCARD ratelimit:leases:10.0.0.1"), "0");
    assert_string_equal(command("EXISTS slots:early:ses_a"), "0");
    assert_string_equal(run(SCRIPT_end_session, "ses_a"), "0");
    assert_string_equal(hold("a"), "[a]"); // renewed, it stays over
    assert_string_equal(ask("b", 0), "[1]");
}

static void what_came_to_nothing_is_given_back(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        command("ZADD ratelimit:leases:10.0.0.1 %lld a 1 other", (long long)s.now_ms);
        command("ZADD ratelimit:hourly_sliding:10.0.0.1 %lld a 1 other", (long long)s.now_ms);
        command("ZADD ratelimit:daily_sliding:10.0.0.1 %lld a 1 other", (long long)s.now_ms);
        assert_string_equal(ask("a", 0), "[1]");
        assert_string_equal(run(SCRIPT_end, "a %d", i), "1");
        // A call that has ended goes on counting for the hour and the day; one that never was does not.
        assert_string_equal(command("ZCARD ratelimit:leases:10.0.0.1"), "1");
        assert_string_equal(command("ZCARD ratelimit:hourly_sliding:10.0.0.1"), i ? "1" : "2");
        assert_string_equal(command("ZCARD ratelimit:daily_sliding:10.0.0.1"), i ? "1" : "2");
    }
}

static void leases_lapse_and_facts_come_back(void **state) {
    (void)state;
    run(SCRIPT_plan, "1 0 %lld", (long long)s.now_ms);
    ask("a", 0);
    hold("a");
    s.now_ms += 29999;
    assert_string_equal(ask("b", 0), "[0 0]");
    s.now_ms += 1;
    assert_string_equal(ask("b", 0), "[1]");
    assert_string_equal(command("ZRANGE slots:all 0 -1"), "[b]");
    assert_string_equal(command("ZCARD slots:of:n1"), "1");
    // The node was only slow: its call is alive, whatever the limit says.
    assert_string_equal(hold("a"), "[]");
    assert_string_equal(command("ZCARD slots:all"), "2");
    assert_string_equal(command("ZSCORE ratelimit:leases:10.0.0.1 a"), "1700000060000");
    assert_string_equal(run(SCRIPT_end_session, "ses_a"), "1");
    assert_string_equal(command("ZCARD slots:all"), "1");
}

// A Redis that lost everything is told of the calls that live.
static void a_lost_redis_learns_again(void **state) {
    (void)state;
    ask("a", 0);
    hold("a");
    command("FLUSHALL");
    assert_string_equal(hold("a"), "[]");
    assert_string_equal(command("ZCARD slots:all"), "1");
    assert_string_equal(command("ZCARD ratelimit:leases:10.0.0.1"), "1");
    assert_string_equal(run(SCRIPT_end_session, "ses_a"), "1");
    assert_string_equal(command("ZCARD slots:all"), "0");
}

static void nothing_lapses_after_an_outage_before_the_living_have_spoken(void **state) {
    (void)state;
    run(SCRIPT_sweep, "SessionFailed []");
    ask("a", 0);
    hold("a");
    s.now_ms += 60000; // nobody could reach Redis
    assert_string_equal(run(SCRIPT_admit, "b n1 1 b demo 1 10.0.0.1 text 1 0"), "[0 0]");
    assert_string_equal(run(SCRIPT_sweep, "SessionFailed []"), "[0 0 0 0 1 0]");
    assert_string_equal(hold("a"), "[]");
    for (int i = 0; i < 16; i++) {
        s.now_ms += 1000;
        assert_string_equal(run(SCRIPT_sweep, "SessionFailed []"), "[0 0 0 0 1 0]");
    }
    s.now_ms += 14000;
    assert_string_equal(run(SCRIPT_sweep, "SessionFailed []"), "[1 0 0 0 0 0]");
    assert_string_equal(command("ZCARD slots:all"), "0");
}

static const char *others(void) {
    return command("HGET slots:plan others");
}

static void figures_are_not_counted_twice(void **state) {
    (void)state;
    long long at = (long long)s.now_ms;
    // Three of its five are ours: two that live, one that is being set up.
    ask("a", 0);
    hold("a");
    ask("b", 0);
    hold("b");
    ask("c", 0);
    run(SCRIPT_plan, "10 5 %lld", at);
    assert_string_equal(others(), "2");
    // One that ended while the platform was asked may be in its figure.
    s.now_ms += 500;
    run(SCRIPT_end_session, "ses_a");
    run(SCRIPT_plan, "10 5 %lld", at + 100);
    assert_string_equal(others(), "2");
    // One that had ended before is not ours any more.
    run(SCRIPT_plan, "10 5 %lld", at + 501);
    assert_string_equal(others(), "3");
    // A figure that was asked for earlier and came later changes nothing.
    run(SCRIPT_plan, "10 9 %lld", at);
    assert_string_equal(others(), "3");
    run(SCRIPT_plan, "10 1 %lld", at + 600);
    assert_string_equal(others(), "0");
    // A platform that does not say leaves the counting to us.
    run(SCRIPT_plan, "10 -1 %lld", at + 700);
    assert_string_equal(others(), "0");
}

static void others_take_their_part_of_the_plan(void **state) {
    (void)state;
    run(SCRIPT_plan, "3.5 1.0 %lld", (long long)s.now_ms);
    assert_string_equal(ask("a", 0), "[1]");
    assert_string_equal(ask("b", 0), "[1]");
    assert_string_equal(ask("c", 0), "[0 0]");
    run(SCRIPT_plan, "~ -1 %lld", (long long)s.now_ms + 1);
    assert_string_equal(ask("c", 0), "[1]");
    run(SCRIPT_plan, "0 0 %lld", (long long)s.now_ms + 2);
    assert_string_equal(ask("d", 0), "[0 0]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(exactly_as_many_as_there_are, scripts_clear),
        cmocka_unit_test_setup(a_node_has_a_limit_of_its_own, scripts_clear),
        cmocka_unit_test_setup(a_slot_ends_once, scripts_clear),
        cmocka_unit_test_setup(an_end_may_come_first, scripts_clear),
        cmocka_unit_test_setup(what_came_to_nothing_is_given_back, scripts_clear),
        cmocka_unit_test_setup(leases_lapse_and_facts_come_back, scripts_clear),
        cmocka_unit_test_setup(a_lost_redis_learns_again, scripts_clear),
        cmocka_unit_test_setup(nothing_lapses_after_an_outage_before_the_living_have_spoken, scripts_clear),
        cmocka_unit_test_setup(figures_are_not_counted_twice, scripts_clear),
        cmocka_unit_test_setup(others_take_their_part_of_the_plan, scripts_clear),
    };
    return cmocka_run_group_tests(tests, scripts_start, scripts_stop);
}
