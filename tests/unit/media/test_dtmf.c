// SPDX-License-Identifier: Apache-2.0
#include "media/dtmf.h"
#include "media/dtmf_inband.h"
#include "media/dtmf_sender.h"
#include "media/tone.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { CLOCK = 8000, FRAME = 160 };

// ---- reading

struct heard {
    struct dtmf_reader reader;
    char digits[64];
    size_t count;
};

static void packet(struct heard *heard, uint32_t timestamp, uint8_t event, bool end, uint16_t duration,
                   bool marker) {
    const uint8_t payload[] = {event, (uint8_t)(end ? 0x8a : 0x0a), (uint8_t)(duration >> 8),
                               (uint8_t)duration};
    const struct rtp_packet in = {
        .ssrc = 7, .timestamp = timestamp, .marker = marker, .payload = payload, .payload_len = 4};
    char digit = 0;
    if (dtmf_reader_packet(&heard->reader, &in, &digit) == DTMF_PRESS)
        heard->digits[heard->count++] = digit;
}

// A press as senders make it: 100 ms, then the end three times.
static void press(struct heard *heard, uint32_t timestamp, uint8_t event) {
    for (unsigned i = 1; i <= 5; i++)
        packet(heard, timestamp, event, false, (uint16_t)(FRAME * i), i == 1);
    for (unsigned i = 0; i < 3; i++)
        packet(heard, timestamp, event, true, FRAME * 6, false);
}

static struct heard heard_new(void) {
    struct heard heard = {.count = 0};
    dtmf_reader_init(&heard.reader, CLOCK);
    return heard;
}

static void test_every_digit_once(void **state) {
    (void)state;
    struct heard heard = heard_new();
    for (uint8_t event = 0; event < 20; event++)
        press(&heard, 1000 + event * 2000u, event);
    assert_string_equal(heard.digits, "0123456789*#ABCD");
}

static void test_the_same_digit_again(void **state) {
    (void)state;
    struct heard heard = heard_new();
    press(&heard, 1000, 5);
    press(&heard, 3000, 5);
    assert_string_equal(heard.digits, "55");
}

static void test_the_end_is_lost(void **state) {
    (void)state;
    struct heard heard = heard_new();
    packet(&heard, 1000, 1, false, FRAME, true);
    packet(&heard, 1000, 1, false, 2 * FRAME, false);
    press(&heard, 3000, 2);
    assert_string_equal(heard.digits, "12");
}

static void test_only_an_end_comes(void **state) {
    (void)state;
    struct heard heard = heard_new();
    packet(&heard, 1000, 9, true, 6 * FRAME, false);
    packet(&heard, 1000, 9, true, 6 * FRAME, false);
    assert_string_equal(heard.digits, "9");
}

static void test_lost_ends_and_the_same_digit(void **state) {
    (void)state;
    struct heard heard = heard_new();
    packet(&heard, 1000, 4, false, FRAME, true);
    press(&heard, 3000, 4); // its first packet has the marker, and a shorter duration
    assert_string_equal(heard.digits, "44");
}

static void test_reordered(void **state) {
    (void)state;
    struct heard heard = heard_new();
    press(&heard, 1000, 1);
    packet(&heard, 3000, 2, false, FRAME, true);
    packet(&heard, 1000, 1, true, 6 * FRAME, false); // late
    packet(&heard, 3000, 2, false, 3 * FRAME, false);
    packet(&heard, 3000, 2, false, 2 * FRAME, false);
    packet(&heard, 3000, 2, true, 4 * FRAME, false);
    assert_string_equal(heard.digits, "12");
}

// RFC 4733 section 2.5.1.3: longer than 16 bits of ticks.
static void test_a_long_press_in_segments(void **state) {
    (void)state;
    struct heard heard = heard_new();
    for (uint32_t at = FRAME; at <= 65535; at += FRAME)
        packet(&heard, 1000, 3, false, (uint16_t)at, at == FRAME);
    packet(&heard, 1000, 3, false, 65535, false);
    for (uint32_t at = FRAME; at <= 1600; at += FRAME)
        packet(&heard, 1000 + 65535, 3, false, (uint16_t)at, false);
    packet(&heard, 1000 + 65535, 3, true, 1600, false);
    assert_string_equal(heard.digits, "3");
}

static void test_a_sender_that_moves_the_timestamp(void **state) {
    (void)state;
    struct heard heard = heard_new();
    for (uint32_t i = 0; i < 6; i++)
        packet(&heard, 1000 + i * FRAME, 8, i == 5, (uint16_t)(FRAME * (i + 1)), i == 0);
    for (uint32_t i = 0; i < 6; i++)
        packet(&heard, 5000 + i * FRAME, 8, i == 5, (uint16_t)(FRAME * (i + 1)), i == 0);
    assert_string_equal(heard.digits, "88");
}

static void test_no_press(void **state) {
    (void)state;
    struct heard heard = heard_new();
    packet(&heard, 1000, 16, true, 6 * FRAME, true); // flash
    packet(&heard, 2000, 1, true, FRAME / 2, true);  // 10 ms
    packet(&heard, 3000, 1, false, 0, true);         // so far
    const uint8_t weak[] = {1, 0x80 | 60, 4, 0}, cut[] = {1, 0x8a, 4};
    struct rtp_packet in = {.timestamp = 9000, .payload = weak, .payload_len = 4};
    char digit;
    assert_int_equal(dtmf_reader_packet(&heard.reader, &in, &digit), DTMF_NOTHING);
    in.payload = cut;
    in.payload_len = 3;
    assert_int_equal(dtmf_reader_packet(&heard.reader, &in, &digit), DTMF_NOTHING);
    in.payload_len = 0;
    assert_int_equal(dtmf_reader_packet(&heard.reader, &in, &digit), DTMF_NOTHING);
    assert_string_equal(heard.digits, "");
}

static void test_timestamps_wrap_and_restart(void **state) {
    (void)state;
    struct heard heard = heard_new();
    press(&heard, UINT32_MAX - 100, 1);
    press(&heard, 3000, 2);
    press(&heard, 3000u - 20u * CLOCK, 3); // far back: begun anew
    assert_string_equal(heard.digits, "123");
}

// ---- several ways

static void test_one_press_in_two_ways(void **state) {
    (void)state;
    struct dtmf_merge merge = {0};
    assert_true(dtmf_merge_press(&merge, '5', DTMF_BY_EVENT, 1000000));
    assert_false(dtmf_merge_press(&merge, '5', DTMF_BY_INFO, 1100000));
    // A second press, told by both again, in either order.
    assert_true(dtmf_merge_press(&merge, '5', DTMF_BY_INFO, 1200000));
    assert_false(dtmf_merge_press(&merge, '5', DTMF_BY_EVENT, 1210000));
    assert_true(dtmf_merge_press(&merge, '6', DTMF_BY_EVENT, 1220000));
    assert_true(dtmf_merge_press(&merge, '5', DTMF_BY_TONE, 9000000));
}

static void test_two_presses_then_their_infos(void **state) {
    (void)state;
    struct dtmf_merge merge = {0};
    assert_true(dtmf_merge_press(&merge, '1', DTMF_BY_EVENT, 1000000));
    assert_true(dtmf_merge_press(&merge, '1', DTMF_BY_EVENT, 1200000));
    assert_false(dtmf_merge_press(&merge, '1', DTMF_BY_INFO, 1240000));
    assert_false(dtmf_merge_press(&merge, '1', DTMF_BY_INFO, 1300000));
    assert_true(dtmf_merge_press(&merge, '1', DTMF_BY_INFO, 1310000));
}

// The INFO that is sent when a long press ends is its own, not another's.
static void test_held_key(void **state) {
    (void)state;
    struct dtmf_merge merge = {0};
    assert_true(dtmf_merge_press(&merge, '*', DTMF_BY_EVENT, 1000000));
    for (uint64_t now_us = 1020000; now_us <= 3000000; now_us += 20000)
        dtmf_merge_held(&merge, '*', DTMF_BY_EVENT, now_us);
    assert_false(dtmf_merge_press(&merge, '*', DTMF_BY_INFO, 3100000));
    assert_true(dtmf_merge_press(&merge, '*', DTMF_BY_INFO, 3200000));
}

// ---- sending

static void test_an_event_on_the_wire(void **state) {
    (void)state;
    struct dtmf_sender sender = {0};
    struct dtmf_frame frame;
    assert_int_equal(dtmf_sender_put(&sender, "5"), 0);
    uint32_t timestamp = 48000;
    for (unsigned i = 1; i <= 8; i++, timestamp += FRAME) {
        dtmf_sender_next(&sender, 20, CLOCK, timestamp, &frame);
        assert_int_equal(frame.kind, DTMF_FRAME_EVENT);
        assert_int_equal(frame.begins, i == 1);
        assert_int_equal(frame.timestamp, 48000);
        const uint8_t payload[] = {5, i == 8 ? 0x8a : 0x0a, (uint8_t)(i * FRAME >> 8), (uint8_t)(i * FRAME)};
        assert_memory_equal(frame.payload, payload, sizeof payload);
    }
    const uint8_t end[] = {5, 0x8a, 1280 >> 8, 1280 & 0xff};
    for (unsigned i = 0; i < 2; i++) {
        dtmf_sender_next(&sender, 20, CLOCK, timestamp, &frame);
        assert_int_equal(frame.kind, DTMF_FRAME_EVENT);
        assert_int_equal(frame.timestamp, 48000);
        assert_memory_equal(frame.payload, end, sizeof end);
    }
    for (unsigned i = 0; i < 20; i++) {
        dtmf_sender_next(&sender, 20, CLOCK, timestamp, &frame);
        assert_int_equal(frame.kind, DTMF_FRAME_AUDIO);
    }
}

static void test_what_is_sent_is_read(void **state) {
    (void)state;
    static const uint32_t frames_ms[] = {10, 20, 30, 60};
    for (size_t k = 0; k < sizeof frames_ms / sizeof frames_ms[0]; k++) {
        struct dtmf_sender sender = {0};
        struct heard heard = heard_new();
        assert_int_equal(dtmf_sender_put(&sender, "0123456789*#ABCD"), 0);
        assert_int_equal(dtmf_sender_put(&sender, "11,1d"), 0);
        uint32_t timestamp = 77;
        for (unsigned ms = 0; ms < 12000; ms += frames_ms[k], timestamp += 8 * frames_ms[k]) {
            struct dtmf_frame frame;
            dtmf_sender_next(&sender, frames_ms[k], CLOCK, timestamp, &frame);
            const struct rtp_packet in = {.ssrc = 1,
                                          .timestamp = frame.timestamp,
                                          .marker = frame.begins,
                                          .payload = frame.payload,
                                          .payload_len = 4};
            char digit = 0;
            if (frame.kind == DTMF_FRAME_EVENT &&
                dtmf_reader_packet(&heard.reader, &in, &digit) == DTMF_PRESS)
                heard.digits[heard.count++] = digit;
        }
        assert_string_equal(heard.digits, "0123456789*#ABCD111D");
    }
}

static void test_the_queue(void **state) {
    (void)state;
    struct dtmf_sender sender = {0};
    assert_int_equal(dtmf_sender_put(&sender, ""), -EINVAL);
    assert_int_equal(dtmf_sender_put(&sender, "12x"), -EINVAL);
    for (unsigned i = 0; i < DTMF_SENDER_QUEUE / 8; i++)
        assert_int_equal(dtmf_sender_put(&sender, "12345678"), 0);
    assert_int_equal(dtmf_sender_put(&sender, "9"), -EAGAIN);
    struct dtmf_frame frame;
    dtmf_sender_next(&sender, 20, CLOCK, 0, &frame);
    assert_int_equal(frame.digit, '1');
    assert_int_equal(dtmf_sender_put(&sender, "99"), -EAGAIN); // all or none
    assert_int_equal(dtmf_sender_put(&sender, "9"), 0);
}

// ---- tones

struct ear {
    char digits[64];
    size_t count;
};

static void on_digit(char digit, void *arg) {
    struct ear *ear = arg;
    ear->digits[ear->count++] = digit;
}

static void sound(struct dtmf_inband *inband, uint32_t rate_hz, char digit, unsigned ms, int16_t amplitude) {
    uint32_t low_hz = 0, high_hz = 0;
    struct tone low, high;
    int16_t a[480], b[480];
    size_t part = rate_hz / 100;
    bool silent = !dtmf_frequencies(digit, &low_hz, &high_hz);
    tone_init(&low, rate_hz, low_hz, silent ? 0 : amplitude);
    tone_init(&high, rate_hz, high_hz, silent ? 0 : amplitude);
    for (unsigned at = 0; at < ms; at += 10) {
        tone_fill(&low, a, part);
        tone_fill(&high, b, part);
        for (size_t i = 0; i < part; i++)
            a[i] = (int16_t)(a[i] + b[i]);
        dtmf_inband_hear(inband, a, part);
    }
}

static void test_tones(void **state) {
    (void)state;
    static const uint32_t rates_hz[] = {8000, 16000, 48000};
    for (size_t k = 0; k < 3; k++) {
        struct ear ear = {.count = 0};
        struct dtmf_inband *inband;
        assert_int_equal(dtmf_inband_new(&inband, rates_hz[k], on_digit, &ear), 0);
        for (const char *digit = "0123456789*#ABCD11"; *digit; digit++) {
            sound(inband, rates_hz[k], *digit, 80, 6000);
            sound(inband, rates_hz[k], ' ', 80, 0);
        }
        assert_string_equal(ear.digits, "0123456789*#ABCD11");
        dtmf_inband_free(inband);
    }
}

static void test_speech_like_sound_is_no_tone(void **state) {
    (void)state;
    struct ear ear = {.count = 0};
    struct dtmf_inband *inband;
    assert_int_equal(dtmf_inband_new(&inband, 8000, on_digit, &ear), 0);
    uint32_t noise = 1;
    struct tone tone;
    tone_init(&tone, 8000, 697, 8000); // one of the two alone
    for (unsigned i = 0; i < 200; i++) {
        int16_t pcm[160];
        tone_fill(&tone, pcm, 160);
        for (size_t k = 0; k < 160 && i % 20 < 10; k++) {
            noise = noise * 1664525u + 1013904223u;
            pcm[k] = (int16_t)((int32_t)(noise >> 16) - 32768);
        }
        dtmf_inband_hear(inband, pcm, 160);
    }
    assert_string_equal(ear.digits, "");
    dtmf_inband_free(inband);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_digit_once),
        cmocka_unit_test(test_the_same_digit_again),
        cmocka_unit_test(test_the_end_is_lost),
        cmocka_unit_test(test_only_an_end_comes),
        cmocka_unit_test(test_lost_ends_and_the_same_digit),
        cmocka_unit_test(test_reordered),
        cmocka_unit_test(test_a_long_press_in_segments),
        cmocka_unit_test(test_a_sender_that_moves_the_timestamp),
        cmocka_unit_test(test_no_press),
        cmocka_unit_test(test_timestamps_wrap_and_restart),
        cmocka_unit_test(test_one_press_in_two_ways),
        cmocka_unit_test(test_two_presses_then_their_infos),
        cmocka_unit_test(test_held_key),
        cmocka_unit_test(test_an_event_on_the_wire),
        cmocka_unit_test(test_what_is_sent_is_read),
        cmocka_unit_test(test_the_queue),
        cmocka_unit_test(test_tones),
        cmocka_unit_test(test_speech_like_sound_is_no_tone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
