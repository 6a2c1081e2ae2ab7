// SPDX-License-Identifier: Apache-2.0
// From whom media is taken: never from who merely sends latest, or first.
#include "sip/latch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { SSRC = 7, OTHER = 8 };

static const char peer[] = "203.0.113.7", nat[] = "198.51.100.99", thief[] = "192.0.2.66";

struct world {
    struct latch latch;
    uint64_t now_us;
    uint16_t seq[3];
};

static union udp_address at(const char *host, uint16_t port) {
    union udp_address address;
    assert_int_equal(udp_address_parse(&address, host, port), 0);
    return address;
}

static struct world world_new(const char *declared_host, const char *signalling_host, bool authenticated) {
    struct world world = {.now_us = 5000000};
    union udp_address declared = at(declared_host, 4000);
    world.latch.signalling = at(signalling_host, 5060);
    latch_declare(&world.latch, &declared, authenticated, false);
    return world;
}

static bool comes(struct world *world, const char *host, uint16_t port, uint32_t ssrc, uint16_t seq) {
    union udp_address from = at(host, port);
    return latch_admits(&world->latch, &from, world->now_us) &&
           latch_packet(&world->latch, &from, ssrc, seq, world->now_us);
}

// How many of `count` packets in sequence, 20 ms apart, are taken.
static unsigned stream(struct world *world, const char *host, uint16_t port, uint32_t ssrc, uint16_t seq,
                       unsigned count) {
    unsigned taken = 0;
    for (unsigned i = 0; i < count; i++) {
        taken += comes(world, host, port, ssrc, (uint16_t)(seq + i));
        world->now_us += 20000;
    }
    return taken;
}

static void sends_to(const struct world *world, const char *expected) {
    char text[64];
    assert_string_equal(udp_address_text(latch_target(&world->latch), text), expected);
}

static void test_from_where_the_sdp_says(void **state) {
    (void)state;
    struct world world = world_new(peer, peer, false);
    sends_to(&world, "203.0.113.7:4000");
    assert_int_equal(stream(&world, peer, 4000, SSRC, 100, 10), 10 - (LATCH_PROOF_DECLARED - 1));
    sends_to(&world, "203.0.113.7:4000");
}

static void test_through_a_nat(void **state) {
    (void)state;
    struct world world = world_new("192.168.1.5", nat, false);
    sends_to(&world, "192.168.1.5:4000");
    assert_int_equal(stream(&world, nat, 61000, SSRC, 100, 10), 10 - (LATCH_PROOF_HOST - 1));
    sends_to(&world, "198.51.100.99:61000");
}

static void test_from_anywhere(void **state) {
    (void)state;
    struct world world = world_new("192.168.1.5", peer, false);
    assert_int_equal(stream(&world, nat, 61000, SSRC, 100, 20), 20 - (LATCH_PROOF_ANYWHERE - 1));
    sends_to(&world, "198.51.100.99:61000");
}

static void test_latest_does_not_win(void **state) {
    (void)state;
    struct world world = world_new(peer, peer, false);
    stream(&world, peer, 4000, SSRC, 100, 10);
    for (unsigned i = 0; i < 500; i++) {
        assert_false(comes(&world, thief, 4000, SSRC, (uint16_t)(110 + i)));
        assert_false(comes(&world, peer, 4002, OTHER, (uint16_t)i));
        assert_true(comes(&world, peer, 4000, SSRC, (uint16_t)(110 + i)));
        world.now_us += 20000;
    }
    sends_to(&world, "203.0.113.7:4000");
}

static void test_first_does_not_win(void **state) {
    (void)state;
    struct world world = world_new(peer, peer, false);
    assert_true(stream(&world, thief, 9, OTHER, 1, 50) > 0); // for want of anybody else
    sends_to(&world, "192.0.2.66:9");
    assert_int_equal(stream(&world, peer, 4000, SSRC, 100, 10), 9);
    sends_to(&world, "203.0.113.7:4000");
    assert_int_equal(stream(&world, thief, 9, OTHER, 51, 50), 0);
}

static void test_a_thief_does_not_disturb_probation(void **state) {
    (void)state;
    struct world world = world_new("192.168.1.5", nat, false);
    assert_false(comes(&world, nat, 61000, SSRC, 1));
    assert_false(comes(&world, thief, 9, OTHER, 1));
    assert_false(comes(&world, nat, 61000, SSRC, 2));
    assert_false(comes(&world, thief, 9, OTHER, 2));
    assert_true(comes(&world, nat, 61000, SSRC, 3));
}

static void test_probation_wants_a_sequence(void **state) {
    (void)state;
    struct world world = world_new("192.168.1.5", peer, false);
    for (unsigned i = 0; i < 100; i++) // random sequence numbers, as of who guesses
        assert_false(comes(&world, thief, 9, SSRC, (uint16_t)(i * 7919)));
    for (unsigned i = 0; i < 100; i++) // an SSRC each
        assert_false(comes(&world, thief, 9, i, (uint16_t)i));
    for (unsigned i = 0; i < 100; i++) // a port each
        assert_false(comes(&world, thief, (uint16_t)(1000 + i), SSRC, (uint16_t)i));
}

static void test_another_follows_after_silence_only(void **state) {
    (void)state;
    struct world world = world_new(peer, peer, false);
    stream(&world, peer, 4000, SSRC, 100, 10);
    world.now_us += LATCH_SILENCE_US - 200000;
    assert_int_equal(stream(&world, peer, 4100, SSRC, 200, 5), 0);
    world.now_us += 200000;
    assert_int_equal(stream(&world, peer, 4100, SSRC, 300, 10), 8);
    sends_to(&world, "203.0.113.7:4100");
}

static void test_a_new_sdp_begins_anew(void **state) {
    (void)state;
    struct world world = world_new(peer, peer, false);
    stream(&world, peer, 4000, SSRC, 100, 10);
    union udp_address same = at(peer, 4000), moved = at("203.0.113.8", 5000);
    latch_declare(&world.latch, &same, false, false);
    assert_true(comes(&world, peer, 4000, SSRC, 110));
    latch_declare(&world.latch, &moved, false, false);
    sends_to(&world, "203.0.113.8:5000");
    assert_int_equal(stream(&world, "203.0.113.8", 5000, OTHER, 1, 5), 4);
    assert_int_equal(stream(&world, peer, 4000, SSRC, 111, 20), 0);
}

static void test_authenticated_packets_need_less(void **state) {
    (void)state;
    struct world world = world_new("192.168.1.5", peer, true);
    assert_int_equal(stream(&world, nat, 61000, SSRC, 1, 5), 4);
    assert_int_equal(stream(&world, thief, 9, SSRC, 6, 5), 0);
    world.now_us += LATCH_SILENCE_AUTH_US;
    assert_int_equal(stream(&world, nat, 61044, SSRC, 50, 5), 4); // the NAT gave another port
}

static void test_nowhere_declared(void **state) {
    (void)state;
    struct world world = {.now_us = 5000000};
    const union udp_address nowhere = {0};
    latch_declare(&world.latch, &nowhere, false, false);
    sends_to(&world, "-");
    stream(&world, nat, 61000, SSRC, 1, 20);
    sends_to(&world, "198.51.100.99:61000");
    latch_declare(&world.latch, &nowhere, false, false);
    sends_to(&world, "198.51.100.99:61000");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_where_the_sdp_says),
        cmocka_unit_test(test_through_a_nat),
        cmocka_unit_test(test_from_anywhere),
        cmocka_unit_test(test_latest_does_not_win),
        cmocka_unit_test(test_first_does_not_win),
        cmocka_unit_test(test_a_thief_does_not_disturb_probation),
        cmocka_unit_test(test_probation_wants_a_sequence),
        cmocka_unit_test(test_another_follows_after_silence_only),
        cmocka_unit_test(test_a_new_sdp_begins_anew),
        cmocka_unit_test(test_authenticated_packets_need_less),
        cmocka_unit_test(test_nowhere_declared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
