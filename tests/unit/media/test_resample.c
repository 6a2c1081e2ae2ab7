// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/core/err.h"
#include "media/resample.h"
#include "media/tone.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t rates_hz[] = {8000, 16000, 24000, 48000};
enum { RATES = 4, MAX_BLOCK = 48 * 60, SECOND = 48000 };

static void steady(uint32_t in_rate_hz, uint32_t out_rate_hz, uint32_t block_ms) {
    struct resampler *resampler;
    assert_int_equal(resampler_new(&resampler, in_rate_hz, out_rate_hz), 0);
    size_t in_samples = in_rate_hz / 1000 * block_ms, out_samples = out_rate_hz / 1000 * block_ms;
    static int16_t in[MAX_BLOCK], out[MAX_BLOCK + 1];
    struct tone tone;
    tone_init(&tone, in_rate_hz, 700, 10000);
    for (size_t block = 0; block < 100; block++) {
        tone_fill(&tone, in, in_samples);
        assert_int_equal(resampler_count(resampler, in_samples), out_samples);
        out[out_samples] = 0x5555;
        assert_int_equal(resampler_run(resampler, in, in_samples, out, out_samples), out_samples);
        assert_int_equal(out[out_samples], 0x5555);
    }
    resampler_free(resampler);
}

static void test_steady_blocks(void **state) {
    (void)state;
    static const uint32_t blocks_ms[] = {10, 20, 40, 60};
    for (size_t i = 0; i < RATES; i++)
        for (size_t o = 0; o < RATES; o++)
            for (size_t b = 0; b < 4; b++)
                steady(rates_hz[i], rates_hz[o], blocks_ms[b]);
}

static size_t run_second(uint32_t in_rate_hz, uint32_t out_rate_hz, uint32_t freq_hz, int16_t *out) {
    static int16_t in[SECOND];
    struct resampler *resampler;
    assert_int_equal(resampler_new(&resampler, in_rate_hz, out_rate_hz), 0);
    struct tone tone;
    tone_init(&tone, in_rate_hz, freq_hz, 10000);
    tone_fill(&tone, in, in_rate_hz);
    int written = resampler_run(resampler, in, in_rate_hz, out, SECOND);
    assert_int_equal(written, out_rate_hz);
    resampler_free(resampler);
    return (size_t)written;
}

static int peak(const int16_t *pcm, size_t samples) {
    int most = 0;
    for (size_t i = 0; i < samples; i++)
        most = abs(pcm[i]) > most ? abs(pcm[i]) : most;
    return most;
}

static void test_keeps_the_tone(void **state) {
    (void)state;
    static int16_t out[SECOND];
    for (size_t i = 0; i < RATES; i++)
        for (size_t o = 0; o < RATES; o++) {
            size_t samples = run_second(rates_hz[i], rates_hz[o], 1000, out);
            size_t tenth = samples / 10;
            assert_true(tone_power(out + tenth, 8 * tenth, rates_hz[o], 1000) > 0.99);
            assert_in_range(peak(out + tenth, 8 * tenth), 9500, 10500);
        }
}

// What the lower rate cannot hold must vanish, not fold back as another tone.
static void test_no_alias(void **state) {
    (void)state;
    static int16_t out[SECOND];
    size_t samples = run_second(48000, 16000, 11000, out);
    assert_in_range(peak(out + samples / 10, samples / 2), 0, 100);
    samples = run_second(16000, 8000, 6000, out);
    assert_in_range(peak(out + samples / 10, samples / 2), 0, 100);
}

// The peak of a tone after resampling, of 10000 before.
static int heard(uint32_t in_rate_hz, uint32_t out_rate_hz, uint32_t freq_hz) {
    static int16_t out[SECOND];
    size_t samples = run_second(in_rate_hz, out_rate_hz, freq_hz, out);
    return peak(out + samples / 10, samples / 2);
}

// Telephone speech ends at 3.4 kHz: all of it passes between 8 kHz and its multiples, and nothing else does.
static void test_multiples_keep_telephone_speech_whole(void **state) {
    (void)state;
    static const uint32_t multiples_hz[] = {16000, 24000, 48000};
    for (size_t i = 0; i < sizeof multiples_hz / sizeof multiples_hz[0]; i++) {
        for (uint32_t freq_hz = 100; freq_hz <= 3300; freq_hz += 800) {
            assert_in_range(heard(8000, multiples_hz[i], freq_hz), 9800, 10100);
            assert_in_range(heard(multiples_hz[i], 8000, freq_hz), 9500, 10100);
        }
        for (uint32_t freq_hz = 4200; freq_hz < multiples_hz[i] / 2; freq_hz += 700)
            assert_in_range(heard(multiples_hz[i], 8000, freq_hz), 0, 16);
    }
}

static void test_the_loudest_does_not_wrap(void **state) {
    (void)state;
    static int16_t square[4800], up[4800 * 6], down[4800];
    for (size_t i = 0; i < 4800; i++)
        square[i] = i / 40 % 2 ? INT16_MAX : INT16_MIN;
    for (uint32_t ratio = 2; ratio <= 6; ratio++) {
        struct resampler *resampler;
        assert_int_equal(resampler_new(&resampler, 8000, 8000 * ratio), 0);
        assert_int_equal(resampler_run(resampler, square, 4800, up, 4800 * ratio), 4800 * ratio);
        resampler_free(resampler);
        assert_int_equal(resampler_new(&resampler, 8000 * ratio, 8000), 0);
        assert_int_equal(resampler_run(resampler, square, 4800, down, 4800),
                         4800 / ratio + (4800 % ratio > 0));
        resampler_free(resampler);
        // In the middle of each half of the wave, 24 samples and some later: as loud as it was, with its sign.
        for (size_t i = 400; i < 4760; i += 40)
            assert_true(abs(up[(i + 44) * ratio] - square[i + 20]) < 4000);
    }
}

static void test_exact_over_odd_blocks_and_rates(void **state) {
    (void)state;
    static const struct {
        uint32_t in_rate_hz, out_rate_hz;
    } pairs[] = {{44100, 48000}, {22050, 16000}, {48000, 44100}, {8000, 48000}, {48000, 8000},
                 {8000, 16000},  {16000, 8000},  {48000, 16000}, {11025, 8000}};
    static int16_t in[1000], out[6001];
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct resampler *resampler;
        assert_int_equal(resampler_new(&resampler, pairs[i].in_rate_hz, pairs[i].out_rate_hz), 0);
        uint64_t taken = 0, written = 0;
        uint32_t seed = 7;
        for (size_t block = 0; block < 3000; block++) {
            seed = seed * 1664525 + 1013904223;
            size_t samples = seed >> 16 & 511;
            size_t count = resampler_count(resampler, samples);
            assert_true(count <= 6000);
            out[count ? count - 1 : 0] = 0x5555;
            assert_int_equal(resampler_run(resampler, in, samples, out, count), count);
            assert_true(!count || out[count - 1] == 0); // written, and of the silence that went in
            taken += samples;
            written += count;
            assert_int_equal(written,
                             (taken * pairs[i].out_rate_hz + pairs[i].in_rate_hz - 1) / pairs[i].in_rate_hz);
        }
        resampler_free(resampler);
    }
}

static void test_latency_is_what_it_says(void **state) {
    (void)state;
    struct resampler *resampler;
    assert_int_equal(resampler_new(&resampler, 8000, 16000), 0);
    static int16_t in[800], out[1600];
    in[100] = 20000; // one click at 12.5 ms
    assert_int_equal(resampler_run(resampler, in, 800, out, 1600), 1600);
    size_t at = 0;
    for (size_t i = 0; i < 1600; i++)
        at = out[i] > out[at] ? i : at;
    int64_t heard_us = (int64_t)at * 1000000 / 16000 - 12500;
    assert_true(llabs(heard_us - (int64_t)resampler_latency_us(resampler)) <= 63); // a sample
    assert_in_range(resampler_latency_us(resampler), 1, 8000);
    resampler_free(resampler);
}

static void test_reset_forgets(void **state) {
    (void)state;
    struct resampler *resampler;
    assert_int_equal(resampler_new(&resampler, 44100, 16000), 0);
    static int16_t loud[441], silence[441], out[200];
    for (size_t i = 0; i < 441; i++)
        loud[i] = 20000;
    assert_true(resampler_run(resampler, loud, 440, out, 200) > 0);
    resampler_reset(resampler);
    assert_int_equal(resampler_count(resampler, 441), 160);
    assert_int_equal(resampler_run(resampler, silence, 441, out, 200), 160);
    for (size_t i = 0; i < 160; i++)
        assert_int_equal(out[i], 0);
    resampler_free(resampler);
}

static void test_limits(void **state) {
    (void)state;
    struct resampler *resampler = NULL;
    assert_int_equal(resampler_new(&resampler, 0, 8000), -EINVAL);
    assert_int_equal(resampler_new(&resampler, 8000, 0), -EINVAL);
    assert_int_equal(resampler_new(&resampler, 8000, 384000), -EINVAL);
    assert_null(resampler);
    resampler_free(NULL);

    assert_int_equal(resampler_new(&resampler, 8000, 16000), 0);
    int16_t in[160] = {0}, out[320];
    assert_int_equal(resampler_run(resampler, in, 160, out, 319), -ENOBUFS);
    assert_int_equal(resampler_run(resampler, in, 160, out, 320), 320);
    assert_int_equal(resampler_run(resampler, in, 0, out, 320), 0);
    resampler_free(resampler);

    assert_int_equal(resampler_new(&resampler, 16000, 16000), 0);
    in[3] = 42;
    assert_int_equal(resampler_run(resampler, in, 160, out, 159), -ENOBUFS);
    assert_int_equal(resampler_run(resampler, in, 160, out, 320), 160);
    assert_memory_equal(in, out, sizeof in);
    assert_int_equal(resampler_latency_us(resampler), 0);
    resampler_free(resampler);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steady_blocks),
        cmocka_unit_test(test_keeps_the_tone),
        cmocka_unit_test(test_no_alias),
        cmocka_unit_test(test_multiples_keep_telephone_speech_whole),
        cmocka_unit_test(test_the_loudest_does_not_wrap),
        cmocka_unit_test(test_exact_over_odd_blocks_and_rates),
        cmocka_unit_test(test_latency_is_what_it_says),
        cmocka_unit_test(test_reset_forgets),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
