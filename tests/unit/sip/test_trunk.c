// SPDX-License-Identifier: Apache-2.0
// Two trunks over loopback: what one says the other hears, in every codec, plain and under SRTP.
#include "trunk_fixture.h"

static void tone_both_ways(enum codec_id codec, bool secure, double least) {
    struct call call;
    struct trunk_config config = plain_config;
    config.codecs = &codec;
    config.codec_count = 1;
    config.require_srtp = secure;
    call_new(&call, &config, &config);
    call_up(&call);
    assert_int_equal(call.a.media.codec, codec);
    assert_int_equal(call.b.media.ptime_ms, 20);
    steps(&call, 70);
    double a = heard_tone(&call.a, 1000), b = heard_tone(&call.b, 440);
    if (a < least || b < least)
        fail_msg("codec %d: tones of %f and %f", codec, a, b);
    struct leg_stats stats = stats_of(&call.b);
    assert_in_range(stats.rx_packets, 68, 70);
    assert_int_equal(stats.rx_lost, 0);
    assert_int_equal(stats.tx_packets, 70);
    call_free(&call);
}

static void test_pcmu(void **state) {
    (void)state;
    tone_both_ways(CODEC_PCMU, false, 0.98);
}

static void test_pcma(void **state) {
    (void)state;
    tone_both_ways(CODEC_PCMA, false, 0.98);
}

static void test_g722(void **state) {
    (void)state;
    tone_both_ways(CODEC_G722, false, 0.98);
}

static void test_opus(void **state) {
    (void)state;
    tone_both_ways(CODEC_OPUS, false, 0.9);
}

static void test_srtp(void **state) {
    (void)state;
    tone_both_ways(CODEC_PCMU, true, 0.98);
    tone_both_ways(CODEC_OPUS, true, 0.9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pcmu), cmocka_unit_test(test_pcma), cmocka_unit_test(test_g722),
        cmocka_unit_test(test_opus), cmocka_unit_test(test_srtp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
