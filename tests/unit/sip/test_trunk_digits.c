// SPDX-License-Identifier: Apache-2.0
// What else a trunk's media carries: digits, comfort noise, holds, reports.
#include "trunk_net.h"

// ---- digits

static void test_digits_both_ways(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    struct audio_session *a = trunk_media_session(world->a.media), *b = trunk_media_session(world->b.media);
    world->net = (struct impairment){.loss_percent = 10, .delay_ms = 10, .duplicate_percent = 10};
    steps(world, 10);
    assert_int_equal(audio_session_send_dtmf(a, "0123456789"), 0);
    assert_int_equal(audio_session_send_dtmf(b, "*#ABCD11"), 0);
    steps(world, 300);
    assert_string_equal(world->b.digits, "0123456789");
    assert_string_equal(world->a.digits, "*#ABCD11");
    world->net.loss_percent = 0;
    steps(world, 60);
    assert_true(heard_tone(&world->b, 440) > 0.98); // speech goes on
    world_free(world);
}

static void test_a_digit_by_info_and_by_event(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    struct audio_session *a = trunk_media_session(world->a.media), *b = trunk_media_session(world->b.media);
    steps(world, 10);
    assert_int_equal(audio_session_send_dtmf(a, "7"), 0);
    steps(world, 8);
    audio_session_digit(b, '7', world->now_us);
    audio_session_digit(b, 'x', world->now_us);
    steps(world, 50);
    audio_session_digit(b, '7', world->now_us);
    audio_session_digit(b, 'd', world->now_us);
    assert_string_equal(world->b.digits, "77D");
    world_free(world);
}

static void test_digits_as_tones(void **state) {
    (void)state;
    static const char *const codecs[] = {"0", "9", "8"};
    for (size_t i = 0; i < 3; i++) {
        const struct setup setup = {.codec = codecs[i], .lines = "", .tones = DTMF_TONES_AUTO};
        struct world *world = world_new(&setup);
        steps(world, 10);
        assert_int_equal(audio_session_send_dtmf(trunk_media_session(world->a.media), "159#D"), 0);
        steps(world, 100);
        assert_string_equal(world->b.digits, "159#D");
        assert_string_equal(world->a.digits, "");
        world_free(world);
    }
}

static void say_key_5(struct world *world) {
    struct tone low, high;
    tone_init(&low, 8000, 770, 7000);
    tone_init(&high, 8000, 1336, 7000);
    for (unsigned i = 0; i < 20; i++) {
        int16_t pcm[160], other[160];
        tone_fill(&low, pcm, 160);
        tone_fill(&high, other, 160);
        for (size_t k = 0; k < 160; k++)
            pcm[k] = (int16_t)(pcm[k] + other[k]);
        audio_session_write_pcm(trunk_media_session(world->a.media), pcm, 160, false, world->now_us);
        world->now_us += STEP_US;
        deliver(world);
        end_read(&world->b);
    }
}

static void test_when_tones_are_listened_for(void **state) {
    (void)state;
    static const struct {
        enum dtmf_tones tones;
        bool events;
        const char *heard;
    } cases[] = {{DTMF_TONES_AUTO, true, ""}, {DTMF_TONES_AUTO, false, "5"}, {DTMF_TONES_ON, true, "5"},
                 {DTMF_TONES_ON, false, "5"}, {DTMF_TONES_OFF, true, ""},    {DTMF_TONES_OFF, false, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct setup setup = {.codec = "0", .lines = "", .tones = cases[i].tones};
        if (cases[i].events)
            setup = (struct setup){.codec = g711.codec, .lines = g711.lines, .tones = cases[i].tones};
        struct world *world = world_new(&setup);
        steps(world, 10);
        say_key_5(world);
        assert_string_equal(world->b.digits, cases[i].heard);
        world_free(world);
    }
}

// The same press as an event and as its tone.
static void test_a_press_heard_twice_is_one(void **state) {
    (void)state;
    struct setup setup = g711;
    setup.tones = DTMF_TONES_ON;
    struct world *world = world_new(&setup);
    steps(world, 10);
    audio_session_digit(trunk_media_session(world->b.media), '5', world->now_us);
    say_key_5(world);
    assert_string_equal(world->b.digits, "5");
    world_free(world);
}

// Passed through, payloads are listened to as well.
static void test_tones_in_passthrough(void **state) {
    (void)state;
    static const struct setup setup = {.codec = "0", .lines = "", .tones = DTMF_TONES_AUTO};
    struct world *world = world_new(&setup);
    steps(world, 10);
    assert_int_equal(audio_session_send_dtmf(trunk_media_session(world->a.media), "42"), 0);
    for (unsigned i = 0; i < 60; i++) {
        uint8_t payload[160];
        end_write(&world->a);
        world->now_us += STEP_US;
        deliver(world);
        audio_session_read_payload(trunk_media_session(world->b.media), payload, sizeof payload, 20,
                                   world->now_us);
    }
    assert_string_equal(world->b.digits, "42");
    world_free(world);
}

// ---- pauses, hold, reports

static void test_packets_never_stop(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    steps(world, 10);
    world->a.mute = true;
    unsigned before = world->a.sent[TRUNK_RTP];
    steps(world, 100);
    assert_int_equal(world->a.sent[TRUNK_RTP] - before, 100);
    world_free(world);
}

static void test_comfort_noise_where_offered(void **state) {
    (void)state;
    static const struct setup noisy = {.codec = "0 13", .lines = ""};
    struct world *world = world_new(&noisy);
    struct rtp_packet speech, noise;
    steps(world, 10);
    assert_int_equal(rtp_parse(span_of(world->a.last, world->a.last_len), &speech), 0);
    world->a.mute = true;
    unsigned before = world->a.sent[TRUNK_RTP];
    steps(world, 1);
    assert_int_equal(rtp_parse(span_of(world->a.last, world->a.last_len), &noise), 0);
    assert_int_equal(noise.payload_type, 13);
    assert_int_equal(noise.seq, (uint16_t)(speech.seq + 1));
    assert_int_equal(noise.timestamp, speech.timestamp + 160);
    assert_int_equal(noise.payload_len, 1);
    steps(world, 99);
    assert_int_equal(world->a.sent[TRUNK_RTP] - before, 10); // each 200 ms
    world->a.mute = false;
    steps(world, 1);
    struct rtp_packet again;
    assert_int_equal(rtp_parse(span_of(world->a.last, world->a.last_len), &again), 0);
    assert_int_equal(again.payload_type, 0);
    assert_true(again.marker);
    assert_int_equal(again.timestamp, speech.timestamp + 101 * 160);
    steps(world, 60);
    assert_true(heard_tone(&world->b, 440) > 0.98);
    assert_int_equal(stats_of(&world->b).rx_lost, 0);
    world_free(world);
}

static void test_on_hold_nothing_is_sent_but_reports(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    steps(world, 50);
    struct setup held = g711;
    held.lines = "a=rtpmap:101 telephone-event/8000\na=sendonly\n";
    end_apply(&world->a, &world->b, &held); // b sends music, and wants nothing
    assert_true(trunk_media_on_hold(world->a.media));
    struct rtp_packet last, next;
    assert_int_equal(rtp_parse(span_of(world->a.last, world->a.last_len), &last), 0);
    unsigned before = world->a.sent[TRUNK_RTP];
    steps(world, 50);
    assert_int_equal(world->a.sent[TRUNK_RTP], before);
    assert_true(heard_tone(&world->a, 1000) > 0.98);
    audio_session_report(trunk_media_session(world->a.media), world->now_us, NULL);
    assert_int_equal(world->a.sent[TRUNK_RTCP], 1);
    end_apply(&world->a, &world->b, &g711);
    assert_false(trunk_media_on_hold(world->a.media));
    steps(world, 1);
    assert_int_equal(rtp_parse(span_of(world->a.last, world->a.last_len), &next), 0);
    assert_int_equal(next.seq, (uint16_t)(last.seq + 1));
    assert_int_equal(next.timestamp, last.timestamp + 51 * 160); // time did not stand still
    assert_true(next.marker);
    world_free(world);
}

// Some stop their RTP clock while they hold, and then go on where they were.
static void test_heard_again_after_a_clock_that_stood(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    steps(world, 50);
    for (unsigned i = 0; i < 1500; i++) { // half a minute of `a` saying nothing at all
        world->now_us += STEP_US;
        deliver(world);
        end_read(&world->b);
    }
    steps(world, 100);
    assert_true(heard_tone(&world->b, 440) > 0.98);
    assert_true(stats_of(&world->b).jitter_target_ms < 200);
    world_free(world);
}

static void test_reports_tell_loss_and_round_trip(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    world->net = (struct impairment){.delay_ms = 40, .loss_percent = 20};
    steps(world, 100);
    world->net.loss_percent = 0;
    for (unsigned i = 0; i < 3; i++) {
        audio_session_report(trunk_media_session(world->a.media), world->now_us, NULL);
        steps(world, 5);
        audio_session_report(trunk_media_session(world->b.media), world->now_us, NULL);
        steps(world, 5);
        if (i == 0) // of the first interval
            assert_in_range(stats_of(&world->a).remote_fraction_lost, 20, 90);
    }
    assert_in_range(stats_of(&world->a).rtt_us, 70000, 100000);
    assert_in_range(stats_of(&world->a).remote_lost, 8, 35);
    world_free(world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digits_both_ways),
        cmocka_unit_test(test_a_digit_by_info_and_by_event),
        cmocka_unit_test(test_digits_as_tones),
        cmocka_unit_test(test_when_tones_are_listened_for),
        cmocka_unit_test(test_a_press_heard_twice_is_one),
        cmocka_unit_test(test_tones_in_passthrough),
        cmocka_unit_test(test_packets_never_stop),
        cmocka_unit_test(test_comfort_noise_where_offered),
        cmocka_unit_test(test_on_hold_nothing_is_sent_but_reports),
        cmocka_unit_test(test_heard_again_after_a_clock_that_stood),
        cmocka_unit_test(test_reports_tell_loss_and_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
