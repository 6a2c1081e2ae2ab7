// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "media/tone.h"

#include <stdlib.h>
#include <string.h>

static void test_found_at_its_frequency_only(void **state) {
    (void)state;
    static const uint32_t rates_hz[] = {8000, 16000, 24000, 48000};
    int16_t pcm[4800];
    for (size_t i = 0; i < 4; i++) {
        size_t samples = rates_hz[i] / 10;
        struct tone tone;
        tone_init(&tone, rates_hz[i], 700, 10000);
        tone_fill(&tone, pcm, samples);
        assert_true(tone_power(pcm, samples, rates_hz[i], 700) > 0.99);
        assert_true(tone_power(pcm, samples, rates_hz[i], 730) < 0.05);
        assert_true(tone_power(pcm, samples, rates_hz[i], 1400) < 0.01);
    }
}

static void test_phase_goes_on(void **state) {
    (void)state;
    int16_t whole[800], parts[800];
    struct tone tone;
    tone_init(&tone, 8000, 441, 12000);
    tone_fill(&tone, whole, 800);
    tone_init(&tone, 8000, 441, 12000);
    for (size_t at = 0; at < 800; at += 80)
        tone_fill(&tone, parts + at, 80);
    assert_memory_equal(whole, parts, sizeof whole);
}

static void test_amplitude(void **state) {
    (void)state;
    int16_t pcm[8000];
    struct tone tone;
    tone_init(&tone, 8000, 400, INT16_MAX);
    tone_fill(&tone, pcm, 8000);
    int most = 0;
    for (size_t i = 0; i < 8000; i++)
        most = abs(pcm[i]) > most ? abs(pcm[i]) : most;
    assert_in_range(most, INT16_MAX - 2, INT16_MAX);
    assert_true(tone_power(pcm, 8000, 8000, 400) > 0.99);
}

static void test_nothing_there(void **state) {
    (void)state;
    int16_t pcm[1600] = {0};
    assert_true(tone_power(pcm, 1600, 16000, 700) == 0);
    assert_true(tone_power(pcm, 0, 16000, 700) == 0);
    uint32_t noise = 1;
    for (size_t i = 0; i < 1600; i++) {
        noise = noise * 1664525 + 1013904223;
        pcm[i] = (int16_t)(noise >> 16);
    }
    assert_true(tone_power(pcm, 1600, 16000, 700) < 0.05);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_at_its_frequency_only),
        cmocka_unit_test(test_phase_goes_on),
        cmocka_unit_test(test_amplitude),
        cmocka_unit_test(test_nothing_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
