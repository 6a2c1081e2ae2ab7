// SPDX-License-Identifier: Apache-2.0
#include "sip/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FDS = 1000, SECOND_US = 1000000, SILENCE_US = 30 * SECOND_US };

// What the system knows: whose connection a descriptor is.
struct world {
    struct gate *gate;
    union udp_address peers[FDS]; // AF_UNSPEC: closed
    unsigned looked;
    uint64_t now_us;
};

static bool is_there(int fd, const union udp_address *peer, void *arg) {
    struct world *world = arg;
    world->looked++;
    return udp_address_eq(&world->peers[fd], peer);
}

static void set_up(struct world *world, size_t max_total, size_t max_per_source) {
    memset(world, 0, sizeof *world);
    world->now_us = 5 * SECOND_US;
    const struct gate_config config = {.max_total = max_total,
                                       .max_per_source = max_per_source,
                                       .silence_us = SILENCE_US,
                                       .is_there = is_there,
                                       .arg = world};
    assert_int_equal(gate_new(&world->gate, &config), 0);
}

static enum gate_verdict come(struct world *world, int fd, const char *host, uint16_t port) {
    union udp_address peer;
    assert_int_equal(udp_address_parse(&peer, host, port), 0);
    enum gate_verdict verdict = gate_enter(world->gate, fd, &peer, world->now_us);
    if (verdict == GATE_PASS)
        world->peers[fd] = peer;
    return verdict;
}

// `count` from one source, as descriptors from 0 and ports from 1000.
static void come_all(struct world *world, int count, const char *host) {
    for (int fd = 0; fd < count; fd++)
        assert_int_equal(come(world, fd, host, (uint16_t)(1000 + fd)), GATE_PASS);
}

static void go(struct world *world, int fd) {
    world->peers[fd] = (union udp_address){0};
}

static void say(struct world *world, int fd) {
    gate_said(world->gate, &world->peers[fd]);
}

static void test_each_source_has_its_own(void **state) {
    (void)state;
    static struct world w;
    set_up(&w, 0, 3);
    come_all(&w, 3, "192.0.2.1");
    assert_int_equal(w.looked, 0); // nothing is asked while there is room
    assert_int_equal(come(&w, 3, "192.0.2.1", 1003), GATE_SOURCE_FULL);
    assert_int_equal(come(&w, 3, "192.0.2.2", 1003), GATE_PASS);
    assert_int_equal(come(&w, 4, "192.0.2.1", 1004), GATE_SOURCE_FULL);
    gate_set_limits(w.gate, 0, 4);
    assert_int_equal(come(&w, 4, "192.0.2.1", 1004), GATE_PASS);
    gate_free(w.gate);
}

static void test_who_is_gone_does_not_count(void **state) {
    (void)state;
    static struct world w;
    set_up(&w, 4, 3);
    come_all(&w, 3, "192.0.2.1");
    go(&w, 1);
    assert_int_equal(come(&w, 7, "192.0.2.1", 1007), GATE_PASS);
    assert_int_equal(come(&w, 8, "192.0.2.1", 1008), GATE_SOURCE_FULL);
    assert_int_equal(come(&w, 1, "192.0.2.1", 1008), GATE_SOURCE_FULL); // fd 1 has been forgotten
    go(&w, 0);
    assert_int_equal(come(&w, 0, "192.0.2.1", 1009), GATE_PASS); // the same descriptor, another connection
    assert_int_equal(come(&w, 9, "192.0.2.1", 1010), GATE_SOURCE_FULL);
    go(&w, 2);
    w.peers[2] = w.peers[7]; // closed, and the number is somebody else's now
    assert_int_equal(come(&w, 10, "192.0.2.1", 1011), GATE_PASS);
    gate_free(w.gate);
}

static void test_ip6_counts_by_network(void **state) {
    (void)state;
    static struct world w;
    set_up(&w, 0, 2);
    assert_int_equal(come(&w, 1, "2001:db8:0:1::1", 1), GATE_PASS);
    assert_int_equal(come(&w, 2, "2001:db8:0:1:ffff::2", 2), GATE_PASS);
    assert_int_equal(come(&w, 3, "2001:db8:0:1::3", 3), GATE_SOURCE_FULL);
    assert_int_equal(come(&w, 3, "2001:db8:0:2::3", 3), GATE_PASS);
    gate_free(w.gate);
}

static void test_all_together(void **state) {
    (void)state;
    static struct world w;
    set_up(&w, 200, 0);
    char host[32];
    for (int i = 0; i < 200; i++) {
        snprintf(host, sizeof host, "192.0.2.%d", i);
        assert_int_equal(come(&w, i, host, 1), GATE_PASS);
    }
    assert_int_equal(come(&w, 200, "198.51.100.1", 1), GATE_FULL);
    unsigned looked = w.looked;
    assert_int_equal(looked, 200);
    for (int i = 0; i < 1000; i++) // a flood does not make us look at all of them each time
        assert_int_equal(come(&w, 200, "198.51.100.1", 1), GATE_FULL);
    assert_int_equal(w.looked, looked);
    go(&w, 17);
    w.now_us += SECOND_US;
    assert_int_equal(come(&w, 200, "198.51.100.1", 1), GATE_PASS);
    gate_free(w.gate);
}

static void test_who_says_nothing_must_go(void **state) {
    (void)state;
    static struct world w;
    set_up(&w, 0, 0);
    assert_false(gate_has_silent(w.gate));
    come_all(&w, 4, "192.0.2.1");
    assert_true(gate_has_silent(w.gate));
    say(&w, 1);
    go(&w, 2);
    w.now_us += SILENCE_US - 1;
    assert_int_equal(come(&w, 5, "192.0.2.1", 1005), GATE_PASS);
    assert_int_equal(gate_overdue(w.gate, w.now_us), -1);
    w.now_us++;
    int first = gate_overdue(w.gate, w.now_us), second = gate_overdue(w.gate, w.now_us);
    assert_int_equal(first + second, 3); // 0 and 3, each once
    assert_int_equal(first * second, 0);
    assert_int_equal(gate_overdue(w.gate, w.now_us), -1);
    assert_true(gate_has_silent(w.gate)); // 5
    say(&w, 5);
    assert_false(gate_has_silent(w.gate));
    gate_free(w.gate);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_source_has_its_own),  cmocka_unit_test(test_who_is_gone_does_not_count),
        cmocka_unit_test(test_ip6_counts_by_network),    cmocka_unit_test(test_all_together),
        cmocka_unit_test(test_who_says_nothing_must_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
