// SPDX-License-Identifier: Apache-2.0
#include "media/mos.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void near(double got, double wanted, double by) {
    if (fabs(got - wanted) > by)
        fail_msg("%f is not %f", got, wanted);
}

// G.107 Annex B, table B.1, and the ends of the scale.
static void test_scores_of_ratings(void **state) {
    (void)state;
    static const struct {
        double rating, score;
    } cases[] = {{93.2, 4.41}, {90, 4.34}, {80, 4.03}, {70, 3.60}, {60, 3.10}, {50, 2.58},
                 {0, 1},       {3, 1},     {-5, 1},    {100, 4.5}, {120, 4.5}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        near(mos_score(cases[i].rating), cases[i].score, 0.01);
}

// By hand from the formulas of G.107 with G.113's values for G.711.
static void test_ratings(void **state) {
    (void)state;
    near(mos_rating(CODEC_PCMU, 0, 0), 93.2, 0.01);
    near(mos_rating(CODEC_PCMA, 0, 100), 93.2, 0.01);
    near(mos_rating(CODEC_PCMA, 0, 200), 93.2 - 3.04, 0.05);
    near(mos_rating(CODEC_PCMA, 0, 400), 93.2 - 24.07, 0.05);
    near(mos_rating(CODEC_PCMU, 5, 0), 93.2 - 15.78, 0.01);
    near(mos_rating(CODEC_PCMU, 20, 0), 93.2 - 42.13, 0.01);
    near(mos_rating(CODEC_PCMU, 100, 5000), 0, 0.01);
}

static void test_a_leg(void **state) {
    (void)state;
    struct leg_media media = {.codec = CODEC_PCMU, .ptime_ms = 20, .pcm_rate_hz = 8000};
    struct leg_stats stats = {.rx_packets = 950,
                              .rx_lost = 50,
                              .tx_packets = 1000,
                              .remote_lost = 200,
                              .jitter_target_ms = 40,
                              .rtt_us = 60000};
    struct mos mos;
    mos_of_leg(&stats, &media, &mos);
    near(mos.heard, mos_score(93.2 - 15.78), 0.01); // 90 ms
    near(mos.sent, mos_score(93.2 - 42.13), 0.01);
    stats = (struct leg_stats){.rtt_us = 0};
    mos_of_leg(&stats, &media, &mos); // nothing has happened
    near(mos.heard, 4.41, 0.01);
    near(mos.sent, 4.41, 0.01);
    stats.remote_lost = 7; // of a peer that makes things up
    stats.tx_packets = 1;
    mos_of_leg(&stats, &media, &mos);
    near(mos.sent, mos_score(93.2 - 95 * 100 / 125.1), 0.01);
}

static void test_worse_is_never_better(void **state) {
    (void)state;
    for (enum codec_id codec = CODEC_PCMU; codec < CODEC_COUNT; codec++) {
        double last = 93.3;
        for (unsigned i = 0; i <= 100; i++) {
            double rating = mos_rating(codec, i / 4.0, i * 20.0);
            assert_true(rating <= last);
            last = rating;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores_of_ratings),
        cmocka_unit_test(test_ratings),
        cmocka_unit_test(test_a_leg),
        cmocka_unit_test(test_worse_is_never_better),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
