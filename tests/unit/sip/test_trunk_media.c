// SPDX-License-Identifier: Apache-2.0
// A trunk's media in trouble: loss, jitter, reordering and duplicates, strangers, forgeries, replays, floods.
#include "trunk_net.h"

// ---- trouble on the way

static void trouble(const struct setup *setup, struct impairment net, double least_tone, unsigned most_late) {
    struct world *world = world_new(setup);
    world->net = net;
    steps(world, 250);
    struct leg_stats stats = stats_of(&world->b);
    double tone = heard_tone(&world->b, 440);
    if (tone < least_tone)
        fail_msg("tone %f, lost %lu, late %lu, target %u", tone, (unsigned long)stats.rx_lost,
                 (unsigned long)stats.rx_late, stats.jitter_target_ms);
    unsigned lost_percent = (unsigned)(stats.rx_lost * 100 / 250);
    assert_true(lost_percent <= net.loss_percent * 3 / 2 + most_late);
    assert_true(lost_percent >= net.loss_percent / 2);
    if (net.duplicate_percent && !setup->secure) // else they fail as replays
        assert_true(stats.rx_duplicates > 0);
    world_free(world);
}

static void test_loss(void **state) {
    (void)state;
    trouble(&g711, (struct impairment){.loss_percent = 5, .delay_ms = 30}, 0.85, 2);
    trouble(&g711, (struct impairment){.loss_percent = 20, .delay_ms = 30}, 0.6, 4);
}

static void test_jitter_reordering_and_duplicates(void **state) {
    (void)state;
    trouble(&g711, (struct impairment){.jitter_ms = 80, .delay_ms = 20, .duplicate_percent = 10}, 0.9, 6);
}

static void test_all_at_once(void **state) {
    (void)state;
    static const struct setup secure = {.codec = "8", .lines = "", .secure = true};
    trouble(&secure,
            (struct impairment){.jitter_ms = 40, .delay_ms = 20, .duplicate_percent = 5, .loss_percent = 5},
            0.8, 6);
}

// ---- strangers

static size_t rtp(uint8_t out[MTU], uint8_t payload_type, uint16_t seq, uint32_t timestamp, uint32_t ssrc) {
    const struct rtp_packet header = {
        .payload_type = payload_type, .seq = seq, .timestamp = timestamp, .ssrc = ssrc};
    assert_int_equal(rtp_write(out, MTU, &header), RTP_HEADER_LEN);
    memset(out + RTP_HEADER_LEN, 0x2a, 160); // loud
    return RTP_HEADER_LEN + 160;
}

static void throw_at(struct end *end, const uint8_t *data, size_t len, const char *host, uint16_t port) {
    union udp_address from;
    uint8_t copy[MTU];
    memcpy(copy, data, len);
    assert_int_equal(udp_address_parse(&from, host, port), 0);
    trunk_media_receive(end->media, TRUNK_RTP, copy, len, &from, end->world->now_us);
}

static void test_a_spoofed_source_is_not_heard(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    uint8_t packet[MTU];
    steps(world, 50);
    uint64_t before = stats_of(&world->b).rx_packets;
    for (uint16_t i = 0; i < 50; i++) {
        steps(world, 1);
        size_t len = rtp(packet, 0, i, i * 160u, 0xbad);
        throw_at(&world->b, packet, len, "192.0.2.66", 4000);
        throw_at(&world->b, packet, len, "203.0.113.1", 4444);
    }
    assert_int_equal(stats_of(&world->b).rx_packets, before + 50);
    assert_true(heard_tone(&world->b, 440) > 0.98);
    assert_int_equal(stats_of(&world->a).rx_lost, 0); // and ours still goes to the peer
    assert_int_equal(world->b.sources, 1);
    world_free(world);
}

static void test_a_wrong_ssrc_is_not_heard(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    uint8_t packet[MTU];
    steps(world, 50);
    for (uint16_t i = 0; i < 50; i++) {
        steps(world, 1);
        throw_at(&world->b, packet, rtp(packet, 0, i, i * 160u, 0xbad), "203.0.113.1", 4000);
    }
    assert_true(heard_tone(&world->b, 440) > 0.98);
    world_free(world);
}

static void test_other_payload_types_are_not_played(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    uint8_t packet[MTU];
    steps(world, 50);
    for (uint16_t i = 0; i < 50; i++) {
        steps(world, 1);
        struct rtp_packet last;
        assert_int_equal(rtp_parse(span_of(world->a.last, world->a.last_len), &last), 0);
        size_t len = rtp(packet, i % 2 ? 8 : 96, (uint16_t)(last.seq + 1), last.timestamp + 160, last.ssrc);
        throw_at(&world->b, packet, len, "203.0.113.1", 4000);
    }
    assert_true(heard_tone(&world->b, 440) > 0.98);
    world_free(world);
}

static void test_a_flood(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    uint8_t packet[MTU];
    steps(world, 50);
    uint64_t before = stats_of(&world->b).rx_packets;
    for (unsigned i = 0; i < 100000; i++) // from the right place, with the right SSRC
        throw_at(&world->b, packet, rtp(packet, 0, (uint16_t)i, i * 160, 0xbad), "203.0.113.1", 4000);
    steps(world, 100);
    assert_true(stats_of(&world->b).rx_packets - before <= TRUNK_PACKETS_BURST + 110);
    for (unsigned i = 0; i < 10; i++) // the same from a stranger costs the peer nothing
        throw_at(&world->b, packet, rtp(packet, 0, (uint16_t)i, i * 160, 0xbad), "192.0.2.66", 4000);
    steps(world, 100);
    assert_true(heard_tone(&world->b, 440) > 0.9);
    world_free(world);
}

// Before the peer has shown itself a stranger's packets are looked at, too: never at the peer's cost.
static void test_a_flood_before_the_first_packet(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    uint8_t packet[MTU];
    for (unsigned step = 0; step < 100; step++) {
        for (unsigned i = 0; i < 400; i++) { // 20,000 a second
            unsigned n = step * 400 + i;
            throw_at(&world->b, packet, rtp(packet, 0, (uint16_t)(n * 7), n * 160, 0xbad), "192.0.2.66",
                     4000);
        }
        steps(world, 1);
    }
    assert_in_range(stats_of(&world->b).rx_packets, 98, 100);
    assert_true(heard_tone(&world->b, 440) > 0.98);
    world_free(world);
}

static void test_forged_and_replayed_srtp(void **state) {
    (void)state;
    static const struct setup secure = {.codec = "0", .lines = "", .secure = true};
    struct world *world = world_new(&secure);
    uint8_t packet[MTU], recorded[MTU];
    steps(world, 50);
    size_t recorded_len = world->a.last_len;
    memcpy(recorded, world->a.last, recorded_len);
    for (uint16_t i = 0; i < 50; i++) {
        steps(world, 1);
        struct rtp_packet last;
        assert_int_equal(rtp_parse(span_of(world->a.last, world->a.last_len), &last), 0);
        size_t len = rtp(packet, 0, (uint16_t)(last.seq + 1), last.timestamp + 160, last.ssrc);
        throw_at(&world->b, packet, len, "203.0.113.1", 4000);            // in the clear
        throw_at(&world->b, packet, len + 10, "203.0.113.1", 4000);       // with a tag of nonsense
        throw_at(&world->b, recorded, recorded_len, "203.0.113.1", 4000); // replayed
        throw_at(&world->b, recorded, recorded_len, "192.0.2.66", 4000);  // from elsewhere
        memcpy(packet, world->a.last, world->a.last_len);
        packet[RTP_HEADER_LEN + 3] ^= 1;
        throw_at(&world->b, packet, world->a.last_len, "203.0.113.1", 4000); // tampered with
    }
    struct leg_stats stats = stats_of(&world->b);
    assert_int_equal(stats.rx_packets, 99); // all of the peer's but probation's
    assert_int_equal(stats.rx_duplicates, 0);
    assert_true(heard_tone(&world->b, 440) > 0.98);
    world_free(world);
}

// The SDP says 192.168.1.5; what comes has another address and port, and ours must go there.
static void test_behind_a_nat(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    struct end nowhere = {.world = world};
    assert_int_equal(udp_address_parse(&nowhere.address, "192.168.1.5", 4000), 0);
    end_apply(&world->a, &nowhere, &g711);
    assert_int_equal(udp_address_parse(&world->b.address, "198.51.100.99", 61000), 0);
    steps(world, 100);
    assert_true(heard_tone(&world->a, 1000) > 0.98);
    assert_true(heard_tone(&world->b, 440) > 0.98);
    world_free(world);
}

// ---- RTCP

// RTCP from where RTP comes is taken on either port; from a stranger on neither.
static void test_rtcp_of_a_stranger(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    steps(world, 20);
    uint8_t report[] = {0x80, 201, 0, 1, 0, 0, 0, 9};
    uint64_t heard_us = trunk_media_heard_us(world->b.media);
    world->now_us += 1000;
    throw_at(&world->b, report, sizeof report, "192.0.2.66", 4001);
    assert_int_equal(trunk_media_heard_us(world->b.media), heard_us);
    report[3] = 9; // longer than it is
    throw_at(&world->b, report, sizeof report, "203.0.113.1", 4001);
    assert_int_equal(trunk_media_heard_us(world->b.media), heard_us);
    report[3] = 1;
    throw_at(&world->b, report, sizeof report, "203.0.113.1", 4001);
    assert_int_equal(trunk_media_heard_us(world->b.media), world->now_us);
    world_free(world);
}

static void test_rtcp_mux(void **state) {
    (void)state;
    static const struct setup mux = {.codec = "0", .lines = "a=rtcp-mux\n"};
    struct world *world = world_new(&mux);
    steps(world, 10);
    unsigned before = world->a.sent[TRUNK_RTP];
    uint64_t heard_us = trunk_media_heard_us(world->b.media);
    world->now_us += 5000;
    audio_session_report(trunk_media_session(world->a.media), world->now_us, NULL);
    assert_int_equal(world->a.sent[TRUNK_RTCP], 0);
    assert_int_equal(world->a.sent[TRUNK_RTP], before + 1);
    deliver(world);
    assert_true(trunk_media_heard_us(world->b.media) > heard_us);
    world_free(world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_jitter_reordering_and_duplicates),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_a_spoofed_source_is_not_heard),
        cmocka_unit_test(test_a_wrong_ssrc_is_not_heard),
        cmocka_unit_test(test_other_payload_types_are_not_played),
        cmocka_unit_test(test_a_flood),
        cmocka_unit_test(test_a_flood_before_the_first_packet),
        cmocka_unit_test(test_forged_and_replayed_srtp),
        cmocka_unit_test(test_behind_a_nat),
        cmocka_unit_test(test_rtcp_of_a_stranger),
        cmocka_unit_test(test_rtcp_mux),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
