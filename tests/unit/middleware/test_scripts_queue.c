// SPDX-License-Identifier: Apache-2.0
// The queue: order, fairness, positions, who is served and how that ends, who leaves, who dies.
#include "tests/unit/middleware/scripts_fixture.h"

static void plan(int max) {
    run(SCRIPT_plan, "%d -1 %lld", max, (long long)s.now_ms);
}

static const char *ask_at(const char *id, const char *campaign, int weight) {
    return run(SCRIPT_admit, "slot-%s n1 0 %s %s %d 10.0.0.1 text-%s 1 1000", id, id, campaign, weight, id);
}

static const char *ask(const char *id) {
    return ask_at(id, "demo", 1);
}

// Takes at most `most` under slots named `name`-1, -2...
static const char *take(int most, const char *name) {
    return run(SCRIPT_take, "n1 0 %d %s 1", most, name);
}

static const char *settle(const char *id, const char *slot) {
    return run(SCRIPT_settle, "%s %s 1 SessionReady [\"u-%s\"] n1 ses_%s 30000 30000", id, slot, id, id);
}

static void expect_position(const char *id, int position) {
    assert_int_equal(number_after(run(SCRIPT_watch, "%s", id), "[["), position);
}

static const char *sweep(void) {
    return run(SCRIPT_sweep, "SessionFailed [1]");
}

// Time passes as it does: with a sweep each second.
static void pass_ms(int ms) {
    for (; ms > 0; ms -= 1000) {
        s.now_ms += ms < 1000 ? ms : 1000;
        sweep();
    }
}

static void first_come_first_served(void **state) {
    (void)state;
    plan(1);
    assert_string_equal(ask("a"), "[1]");
    assert_string_equal(ask("b"), "[2 1 -1]");
    assert_string_equal(ask("c"), "[2 2 -1]");
    assert_string_equal(take(4, "t"), "[-1]");
    run(SCRIPT_end, "slot-a 0");
    // A slot is free, and yet a newcomer waits behind those who wait.
    assert_string_equal(ask("d"), "[2 3 -1]");
    s.now_ms += 7;
    assert_string_equal(take(4, "t"), "[-1 [b t-1 text-b demo 7]]");
    assert_string_equal(take(4, "u"), "[-1]");
    expect_position("b", 0);
    expect_position("c", 1);
    expect_position("d", 2);
    expect_position("nobody", -1);
    assert_string_equal(settle("b", "t-1"), "1");
    expect_position("b", -2);
    assert_string_equal(command("ZRANGE slots:all 0 -1"), "[t-1]");
    assert_string_equal(command("GET slots:session:ses_b"), "t-1");
    // It took a second from one to the next, so it will take another.
    s.now_ms += 993;
    run(SCRIPT_end_session, "ses_b");
    assert_string_equal(take(1, "v"), "[-1 [c v-1 text-c demo 1000]]");
    assert_string_equal(run(SCRIPT_register, "d"), "[1 1  ]");
}

static void several_slots_serve_several(void **state) {
    (void)state;
    plan(3);
    ask("a");
    ask("b");
    ask("c");
    for (int i = 0; i < 5; i++) {
        char id[8];
        snprintf(id, sizeof id, "w%d", i);
        ask(id);
    }
    run(SCRIPT_end, "slot-a 0");
    run(SCRIPT_end, "slot-b 0");
    run(SCRIPT_end, "slot-c 0");
    assert_string_equal(take(8, "t"),
                        "[-1 [w0 t-1 text-w0 demo 0] [w1 t-2 text-w1 demo 0] [w2 t-3 text-w2 demo 0]]");
    assert_string_equal(command("ZCARD slots:all"), "3");
    assert_string_equal(command("ZCARD queue:waiting"), "2");
}

static void the_queue_is_bounded(void **state) {
    (void)state;
    plan(0);
    assert_string_equal(run(SCRIPT_admit, "s1 n1 0 r1 demo 1 10.0.0.1 text 1 1"), "[2 1 -1]");
    assert_string_equal(run(SCRIPT_admit, "s2 n1 0 r2 demo 1 10.0.0.1 text 1 1"), "[0 1]");
    assert_string_equal(command("EXISTS queue:entry:r2"), "0");
}

// Serves everybody in turn, one slot at a time, and writes down the first letters of their ids.
static void serve_all(char *order, size_t size) {
    size_t n = 0;
    plan(1);
    for (;;) {
        char id[16] = "";
        if (sscanf(take(1, "t"), "[-1 [%15s", id) != 1)
            break;
        assert_true(n + 1 < size);
        order[n++] = id[0];
        assert_string_equal(settle(id, "t-1"), "1");
        run(SCRIPT_end, "t-1 0");
        command("DEL slots:ended"); // the test uses one name for all slots
    }
    order[n] = '\0';
}

static void crowd(char letter, int count, int weight) {
    for (int i = 0; i < count; i++) {
        char id[16], campaign[4];
        snprintf(id, sizeof id, "%c%d", letter, i);
        snprintf(campaign, sizeof campaign, "%c", letter);
        ask_at(id, campaign, weight);
    }
}

static void campaigns_share(void **state) {
    (void)state;
    char order[64];
    plan(0);
    crowd('a', 8, 1);
    crowd('b', 3, 1);
    // Whoever comes last of a crowd stands last; a small campaign does not stand behind it.
    expect_position("a7", 11);
    expect_position("b0", 2);
    expect_position("b2", 6);
    expect_position("a2", 5);
    serve_all(order, sizeof order);
    assert_string_equal(order, "abababaaaaa");
}

static void weights_count(void **state) {
    (void)state;
    char order[64];
    plan(0);
    crowd('a', 6, 1);
    crowd('b', 6, 3);
    expect_position("b5", 8);
    serve_all(order, sizeof order);
    assert_string_equal(order, "abbbabbbaaaa");
}

// Having been away gains nothing: a campaign joins where the others are.
static void no_credit_for_absence(void **state) {
    (void)state;
    char order[64];
    plan(0);
    crowd('a', 4, 1);
    serve_all(order, sizeof order);
    plan(0);
    crowd('a', 3, 1);
    crowd('c', 3, 1);
    serve_all(order, sizeof order);
    assert_string_equal(order, "cacaca");
}

// Every position is what serving then shows, for crowds of any size and weight.
static void positions_are_the_order(void **state) {
    (void)state;
    static const struct {
        char letter;
        int count, weight;
    } crowds[] = {{'a', 5, 1}, {'b', 7, 2}, {'c', 4, 3}, {'d', 1, 1}};
    int position_of[4][8];
    plan(0);
    for (int i = 0; i < 4; i++)
        crowd(crowds[i].letter, crowds[i].count, crowds[i].weight);
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < crowds[i].count; k++)
            position_of[i][k] = number_after(run(SCRIPT_watch, "%c%d", crowds[i].letter, k), "[[");
    }
    char order[64];
    serve_all(order, sizeof order);
    int seen[4] = {0};
    for (int n = 0; order[n]; n++) {
        int which = order[n] - 'a';
        assert_int_equal(position_of[which][seen[which]++], n + 1);
    }
    assert_int_equal(seen[0] + seen[1] + seen[2] + seen[3], 17);
}

static void a_refusal_goes_back_to_the_front(void **state) {
    (void)state;
    plan(0);
    ask("a");
    ask("b");
    plan(1);
    take(1, "t");
    assert_string_equal(run(SCRIPT_again, "a t-1 5 1000 16000"), "1000");
    assert_string_equal(command("ZCARD slots:all"), "0");
    expect_position("a", 1);
    expect_position("b", 2);
    // Nobody of its campaign is served meanwhile; another campaign is.
    assert_string_equal(take(1, "u"), "[1000]");
    ask_at("x", "other", 1);
    assert_string_equal(take(1, "u"), "[1000 [x u-1 text-x other 0]]");
    settle("x", "u-1");
    run(SCRIPT_end, "u-1 0");
    s.now_ms += 999;
    assert_string_equal(take(1, "v"), "[1]");
    s.now_ms += 1;
    assert_string_equal(take(1, "v"), "[-1 [a v-1 text-a demo 1000]]");
    // Each pause is twice as long, up to the longest, and the sixth refusal is the last.
    static const char *const pauses[] = {"2000", "4000", "8000", "16000"};
    for (int i = 0; i < 4; i++) {
        assert_string_equal(run(SCRIPT_again, "a v-1 5 1000 16000"), pauses[i]);
        s.now_ms += 16000;
        take(1, "v");
    }
    assert_string_equal(run(SCRIPT_again, "a v-1 5 1000 16000"), "-1");
    expect_position("a", 0);
    command("ZADD ratelimit:hourly_sliding:10.0.0.1 1 a 1 b");
    assert_string_equal(run(SCRIPT_settle, "a v-1 0 SessionFailed [2] n1 ~ 0 0"), "1");
    assert_string_equal(command("ZRANGE ratelimit:hourly_sliding:10.0.0.1 0 -1"), "[b]");
    assert_string_equal(run(SCRIPT_register, "a"), "[-2 -1 SessionFailed [2]]");
    assert_string_equal(take(1, "w"), "[-1 [b w-1 text-b demo 65000]]");
}

static void a_node_that_cannot_costs_no_try(void **state) {
    (void)state;
    plan(0);
    ask("a");
    plan(1);
    for (int i = 0; i < 9; i++) {
        take(1, "t");
        assert_string_equal(run(SCRIPT_again, "a t-1 0 0 0"), "0");
    }
    assert_string_equal(command("HGET queue:entry:a tries"), "0");
    assert_string_equal(take(1, "t"), "[-1 [a t-1 text-a demo 0]]");
}

static void a_newcomer_whom_the_platform_refuses_stands_first(void **state) {
    (void)state;
    plan(2);
    assert_string_equal(ask("a"), "[1]");
    assert_string_equal(ask("b"), "[1]");
    assert_string_equal(ask("c"), "[2 1 -1]");
    assert_string_equal(run(SCRIPT_refused, "slot-b b demo 1 10.0.0.1 text-b 1 1000"), "[1 -1]");
    assert_string_equal(run(SCRIPT_refused, "slot-a a demo 1 10.0.0.1 text-a 1 1000"), "[1 -1]");
    expect_position("a", 1);
    expect_position("b", 2);
    expect_position("c", 3);
    assert_string_equal(command("ZCARD ratelimit:leases:10.0.0.1"), "3");
    assert_string_equal(command("ZCARD slots:all"), "0");
    assert_string_equal(command("HGET queue:entry:a tries"), "1");
    s.now_ms += 1000;
    assert_string_equal(take(1, "t"), "[-1 [a t-1 text-a demo 1000]]");
}

static void a_server_that_dies_loses_nobody(void **state) {
    (void)state;
    plan(0);
    ask("a");
    ask("b");
    plan(1);
    sweep();
    take(1, "t");
    pass_ms(24000);
    expect_position("a", 0);
    pass_ms(1000);
    expect_position("a", 1);
    assert_string_equal(command("ZCARD slots:all"), "0");
    assert_string_equal(command("ZCARD ratelimit:leases:10.0.0.1"), "2");
    assert_string_equal(take(1, "u"), "[-1 [a u-1 text-a demo 25000]]");
    // The dead one was only slow. What it made is nobody's; the other's outcome is the one that counts.
    assert_string_equal(settle("a", "t-1"), "0");
    assert_string_equal(run(SCRIPT_again, "a t-1 5 1000 16000"), "-2");
    expect_position("a", 0);
    assert_string_equal(settle("a", "u-1"), "1");
    assert_string_equal(settle("a", "u-1"), "0");
    assert_string_equal(run(SCRIPT_register, "a"), "[-2 -1 SessionReady [\"u-a\"]]");
}

// An entry that kills whoever serves it is given up after three.
static void a_deadly_entry_blocks_nobody(void **state) {
    (void)state;
    plan(0);
    ask("a");
    ask("b");
    plan(1);
    sweep();
    for (int i = 0; i < 3; i++) {
        assert_non_null(strstr(take(1, "t"), "[a t-1"));
        run(SCRIPT_watch, "a b");
        pass_ms(25000);
    }
    assert_string_equal(run(SCRIPT_register, "a"), "[-2 -1 SessionFailed [1]]");
    assert_non_null(strstr(take(1, "t"), "[b t-1"));
}

static void a_lost_entry_blocks_nobody(void **state) {
    (void)state;
    plan(0);
    ask("a");
    ask("b");
    command("DEL queue:entry:a");
    plan(1);
    assert_string_equal(take(1, "t"), "[-1 [a t-1  demo 0]]");
    assert_string_equal(run(SCRIPT_settle, "a t-1 0 SessionFailed [] n1 ~ 0 0"), "1");
    assert_string_equal(take(1, "t"), "[-1 [b t-1 text-b demo 0]]");
    // Nor does one that is lost while it is served.
    command("DEL queue:entry:b");
    sweep();
    pass_ms(25000);
    assert_string_equal(command("ZCARD queue:taken"), "0");
    pass_ms(5000);
    assert_string_equal(command("ZCARD slots:all"), "0");
}

static void who_never_comes_is_removed(void **state) {
    (void)state;
    plan(0);
    sweep();
    ask("a");
    ask("b");
    pass_ms(59000);
    expect_position("b", 2);
    pass_ms(1000);
    expect_position("b", 1);
    expect_position("a", -1);
    // A place that was left does not count among those at once; it does in the hour.
    assert_string_equal(command("ZRANGE ratelimit:leases:10.0.0.1 0 -1"), "[b]");
}

static void who_leaves_has_ten_seconds(void **state) {
    (void)state;
    plan(0);
    sweep();
    ask("a");
    assert_string_equal(run(SCRIPT_register, "a"), "[1 -1  ]");
    run(SCRIPT_left, "a");
    pass_ms(9000);
    run(SCRIPT_register, "a");
    pass_ms(44000);
    expect_position("a", 1); // and that is a word from its node
    pass_ms(44000);
    run(SCRIPT_left, "a");
    pass_ms(10000);
    expect_position("a", -1);
    assert_string_equal(run(SCRIPT_register, "a"), "[-1 -1  ]");
    run(SCRIPT_left, "a");
    assert_string_equal(command("ZCARD queue:presence"), "0");
}

static void who_is_served_may_be_away(void **state) {
    (void)state;
    plan(0);
    sweep();
    ask("a");
    plan(1);
    take(1, "t");
    run(SCRIPT_left, "a");
    pass_ms(15000);
    assert_string_equal(settle("a", "t-1"), "1");
    assert_string_equal(run(SCRIPT_register, "a"), "[-2 -1 SessionReady [\"u-a\"]]");
    long long left_ms = strtoll(command("PTTL queue:entry:a"), NULL, 10);
    assert_in_range(left_ms, 290000, 300000);
}

static void nobody_is_removed_after_an_outage_before_he_could_come_back(void **state) {
    (void)state;
    plan(0);
    sweep();
    ask("a");
    run(SCRIPT_register, "a");
    s.now_ms += 90000;
    assert_string_equal(sweep(), "[0 0 0 0 0 1]");
    pass_ms(14000);
    run(SCRIPT_register, "a");
    pass_ms(44000);
    expect_position("a", 1);
}

static void a_node_without_media_leaves_those_who_need_it(void **state) {
    (void)state;
    plan(0);
    ask("a");
    run(SCRIPT_admit, "slot-b n1 0 b ws 1 10.0.0.1 text-b 0 1000");
    plan(9);
    assert_string_equal(run(SCRIPT_take, "n2 0 4 t 0"), "[-1 [b t-1 text-b ws 0]]");
    assert_string_equal(take(4, "u"), "[-1 [a u-1 text-a demo 0]]");
}

static void it_can_be_looked_at(void **state) {
    (void)state;
    plan(2);
    ask("a");
    ask("b");
    ask("c");
    const char *text = run(SCRIPT_observe, "10");
    assert_non_null(strstr(text, "\"slots\":2"));
    assert_non_null(strstr(text, "\"waiting\":1"));
    assert_non_null(strstr(text, "\"plan\":{"));
    assert_non_null(strstr(text, "\"slot-a\":{"));
    assert_non_null(strstr(text, "\"demo\":{"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(first_come_first_served, scripts_clear),
        cmocka_unit_test_setup(several_slots_serve_several, scripts_clear),
        cmocka_unit_test_setup(the_queue_is_bounded, scripts_clear),
        cmocka_unit_test_setup(campaigns_share, scripts_clear),
        cmocka_unit_test_setup(weights_count, scripts_clear),
        cmocka_unit_test_setup(no_credit_for_absence, scripts_clear),
        cmocka_unit_test_setup(positions_are_the_order, scripts_clear),
        cmocka_unit_test_setup(a_refusal_goes_back_to_the_front, scripts_clear),
        cmocka_unit_test_setup(a_node_that_cannot_costs_no_try, scripts_clear),
        cmocka_unit_test_setup(a_newcomer_whom_the_platform_refuses_stands_first, scripts_clear),
        cmocka_unit_test_setup(a_server_that_dies_loses_nobody, scripts_clear),
        cmocka_unit_test_setup(a_deadly_entry_blocks_nobody, scripts_clear),
        cmocka_unit_test_setup(a_lost_entry_blocks_nobody, scripts_clear),
        cmocka_unit_test_setup(who_never_comes_is_removed, scripts_clear),
        cmocka_unit_test_setup(who_leaves_has_ten_seconds, scripts_clear),
        cmocka_unit_test_setup(who_is_served_may_be_away, scripts_clear),
        cmocka_unit_test_setup(nobody_is_removed_after_an_outage_before_he_could_come_back, scripts_clear),
        cmocka_unit_test_setup(a_node_without_media_leaves_those_who_need_it, scripts_clear),
        cmocka_unit_test_setup(it_can_be_looked_at, scripts_clear),
    };
    return cmocka_run_group_tests(tests, scripts_start, scripts_stop);
}
