// SPDX-License-Identifier: Apache-2.0
// Calls of a peer with a scripted browser: media, text, DTMF, forgeries and all the ways it may end.
#include "tests/unit/webrtc/peer_browser.h"

static void test_call(void **state) {
    struct world *world = *state;
    connect_media(world);
    assert_int_equal(world->media.codec, CODEC_OPUS);
    assert_int_equal(world->media.pcm_rate_hz, RATE_HZ);
    RUN_UNTIL(world, both_hear(world));
    RUN_UNTIL(world, world->browser.greeting[0]);
    assert_string_equal(world->browser.greeting, "Backend connected");
    assert_int_equal(sctp_assoc_send(world->browser.sctp, 0, 51, (const uint8_t *)"hello", 5), 0);
    RUN_UNTIL(world, world->text[0]);
    assert_string_equal(world->text, "hello");
    assert_int_equal(world->leg.ops->send_text(world->leg.impl, "and back", 8), 0);
    RUN_UNTIL(world, world->browser.text[0]);
    assert_string_equal(world->browser.text, "and back");
    assert_true(peer_last_heard_us(world->peer) > 0);
    assert_true(world->own_candidates > 0);

    struct leg_stats stats;
    RUN_UNTIL(world, (world->leg.ops->stats(world->leg.impl, &stats), stats.rx_packets > 20));
    RUN_UNTIL(world, (world->leg.ops->stats(world->leg.impl, &stats), stats.tx_packets > 20));
    leg_close_now(world);
    RUN_UNTIL(world, world->browser.dtls_ended);
    assert_int_equal(world->ends, 0);
}

static void test_active_browser(void **state) {
    struct world *world = *state;
    world->browser.setup = "active";
    world->browser.channel = false;
    connect_media(world);
    assert_non_null(strstr(world->answer, "a=setup:passive"));
    RUN_UNTIL(world, both_hear(world));
}

static void test_passive_browser(void **state) {
    struct world *world = *state;
    world->browser.setup = "passive";
    connect_media(world);
    assert_non_null(strstr(world->answer, "a=setup:active"));
    RUN_UNTIL(world, both_hear(world));
}

static void test_reports(void **state) {
    struct world *world = *state;
    connect_media(world);
    // Round-trip time needs our SR and the browser's report on it.
    struct leg_stats stats = {0};
    while (!stats.rtt_us) {
        uint64_t sent = stats.tx_packets;
        RUN_UNTIL(world, (world->leg.ops->stats(world->leg.impl, &stats), stats.tx_packets > sent + 10));
        audio_session_report(peer_media_session(world->browser.media), ticker_now_us(), NULL);
    }
    assert_true(stats.rtt_us < 5000000);
}

// Sends one packet under the browser's key; returns what went out, to be sent again.
static size_t send_rtp(struct world *world, const struct rtp_packet *header, const uint8_t *payload,
                       size_t len, uint8_t packet[128]) {
    assert_int_equal(rtp_write(packet, 128, header), RTP_HEADER_LEN);
    memcpy(packet + RTP_HEADER_LEN, payload, len);
    size_t total = RTP_HEADER_LEN + len;
    assert_int_equal(srtp_ctx_protect(world->browser.srtp, packet, &total, 128), 0);
    assert_int_equal(ice_send(world->browser.ice, packet, total), 0);
    return total;
}

static void test_dtmf_and_replay(void **state) {
    struct world *world = *state;
    connect_media(world);
    int64_t before = metric_read(METRIC_SRTP_REJECTED);
    uint8_t packet[128];
    struct rtp_packet header = {.payload_type = 126, .seq = 1, .timestamp = 800, .ssrc = 77};
    size_t len = send_rtp(world, &header, (const uint8_t[]){5, 0x0a, 0, 160}, 4, packet);
    header.seq = 2;
    len = send_rtp(world, &header, (const uint8_t[]){5, 0x8a, 3, 32}, 4, packet);
    RUN_UNTIL(world, world->dtmf);
    assert_int_equal(world->dtmf, '5');
    world->dtmf = 0;
    assert_int_equal(ice_send(world->browser.ice, packet, len), 0); // replayed
    RUN_UNTIL(world, metric_read(METRIC_SRTP_REJECTED) == before + 1);
    header.seq = 3; // the end again, as RFC 4733 has it
    send_rtp(world, &header, (const uint8_t[]){5, 0x8a, 3, 32}, 4, packet);
    header.seq = 4;
    header.timestamp = 1600;
    send_rtp(world, &header, (const uint8_t[]){11, 0x8a, 3, 32}, 4, packet);
    RUN_UNTIL(world, world->dtmf);
    assert_int_equal(world->dtmf, '#');
    assert_int_equal(metric_read(METRIC_SRTP_REJECTED), before + 1);
}

static void test_no_media_in_time(void **state) {
    struct world *world = *state;
    leg_close_now(world);
    make_peer(world, 300, 10000);
    offer_good(world);
    RUN_UNTIL(world, world->ends);
    assert_int_equal(world->end, LEG_END_FAILED);
    assert_non_null(strstr(world->reason, "no media within 300 ms"));
}

// Consent runs out after some ten seconds without an answer (RFC 7675), then the grace.
static void test_browser_vanishes(void **state) {
    struct world *world = *state;
    leg_close_now(world);
    make_peer(world, 20000, 200);
    connect_media(world);
    browser_drop_ice(world);
    RUN_UNTIL(world, world->ends);
    assert_int_equal(world->end, LEG_END_LOST);
}

static void test_hangup_by_the_browser(void **state) {
    struct world *world = *state;
    connect_media(world);
    audio_session_report(peer_media_session(world->browser.media), ticker_now_us(), "bye");
    dtls_close(world->browser.dtls);
    world->browser.dtls = NULL;
    RUN_UNTIL(world, world->ends);
    assert_int_equal(world->end, LEG_END_HANGUP);
}

static void test_wrong_fingerprint(void **state) {
    struct world *world = *state;
    world->browser.other_fingerprint = true;
    offer_good(world);
    assert_int_equal(ice_gather(world->browser.ice), 0);
    RUN_UNTIL(world, world->ends);
    assert_int_equal(world->end, LEG_END_FAILED);
    assert_non_null(strstr(world->reason, "fingerprint"));
    assert_false(world->up);
}

static void test_forged_and_replayed(void **state) {
    struct world *world = *state;
    connect_media(world);
    RUN_UNTIL(world, both_hear(world));
    int64_t before = metric_read(METRIC_SRTP_REJECTED);
    struct leg_stats stats, after;
    world->silent = true;
    // Another SSRC and a payload type of ours, but no key.
    uint8_t forged[60] = {0x80, 111, 0, 1, 0, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef};
    for (int i = 0; i < 20; i++) {
        forged[3] = (uint8_t)i;
        assert_int_equal(ice_send(world->browser.ice, forged, sizeof forged), 0);
    }
    RUN_UNTIL(world, metric_read(METRIC_SRTP_REJECTED) == before + 20);
    world->leg.ops->stats(world->leg.impl, &stats);
    uint64_t heard_us = peer_last_heard_us(world->peer);
    forged[1] = 200; // RTCP
    assert_int_equal(ice_send(world->browser.ice, forged, sizeof forged), 0);
    RUN_UNTIL(world, metric_read(METRIC_SRTP_REJECTED) == before + 21);
    assert_true(peer_last_heard_us(world->peer) == heard_us);
    world->silent = false;
    RUN_UNTIL(world,
              (world->leg.ops->stats(world->leg.impl, &after), after.rx_packets > stats.rx_packets + 5));
    RUN_UNTIL(world, both_hear(world));
    assert_int_equal(metric_read(METRIC_SRTP_REJECTED), before + 21);
}

static void test_end_during_the_handshake(void **state) {
    struct world *world = *state;
    offer_good(world);
    assert_int_equal(ice_gather(world->browser.ice), 0);
    RUN_UNTIL(world, world->own_candidates > 0);
    leg_close_now(world);
    assert_false(world->up);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_active_browser, setup, teardown),
        cmocka_unit_test_setup_teardown(test_passive_browser, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reports, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dtmf_and_replay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_media_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_browser_vanishes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hangup_by_the_browser, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_fingerprint, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forged_and_replayed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_during_the_handshake, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
