// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants those first
#include <cmocka.h>

#include "media/codec.h"
#include "media/plc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL = 8000, PITCH_HZ = 137 };

static const uint32_t rates_hz[] = {8000, 16000};

// A vowel that goes on for ever.
static void vowel(int16_t *pcm, size_t samples, uint32_t rate_hz, size_t from) {
    for (size_t i = 0; i < samples; i++) {
        double phase = 2 * M_PI * PITCH_HZ * (double)(from + i) / rate_hz;
        pcm[i] = (int16_t)lrint(LEVEL * (0.5 * sin(phase) + 0.3 * sin(3 * phase) + 0.2 * sin(5 * phase)));
    }
}

static double energy(const int16_t *pcm, size_t samples) {
    double sum = 0;
    for (size_t i = 0; i < samples; i++)
        sum += (double)pcm[i] * pcm[i];
    return sum / (double)samples;
}

static int steepest(const int16_t *pcm, size_t samples) {
    int most = 0;
    for (size_t i = 1; i < samples; i++)
        most = abs(pcm[i] - pcm[i - 1]) > most ? abs(pcm[i] - pcm[i - 1]) : most;
    return most;
}

static void a_voice_goes_on(void **state) {
    (void)state;
    for (size_t r = 0; r < 2; r++) {
        size_t frame = rates_hz[r] / 50;
        int16_t truth[16000 / 10], heard[16000 / 10];
        struct plc plc;
        plc_start(&plc, rates_hz[r]);
        vowel(truth, 5 * frame, rates_hz[r], 0);
        memcpy(heard, truth, sizeof truth);
        plc_good(&plc, heard, 3 * frame);
        assert_memory_equal(heard, truth, 3 * frame * sizeof *heard);
        plc_make_up(&plc, heard + 3 * frame, frame);
        plc_good(&plc, heard + 4 * frame, frame);
        double wrong = 0;
        for (size_t i = 3 * frame; i < 3 * frame + frame / 2; i++) // as long as it is full
            wrong += (double)(heard[i] - truth[i]) * (heard[i] - truth[i]) / (double)(frame / 2);
        assert_true(wrong < energy(truth, frame) / 20);
        assert_true(energy(heard + 3 * frame, frame) > energy(truth, frame) * 0.6);
        assert_in_range(steepest(heard, 5 * frame), 0, steepest(truth, 5 * frame) * 5 / 4);
        // Faded in, and then as it came.
        assert_memory_equal(heard + 4 * frame + frame / 2, truth + 4 * frame + frame / 2, frame);
    }
}

static void a_long_gap_is_silent(void **state) {
    (void)state;
    struct plc plc;
    int16_t pcm[480];
    plc_start(&plc, 8000);
    vowel(pcm, 480, 8000, 0);
    plc_good(&plc, pcm, 480);
    plc_make_up(&plc, pcm, 480); // 60 ms
    assert_true(energy(pcm + 240, 80) > 0);
    plc_make_up(&plc, pcm, 480);
    assert_true(energy(pcm, 480) == 0);
}

static void any_rate_and_length_will_do(void **state) {
    (void)state;
    static const uint32_t odd_rates_hz[] = {1, 4000, 11025, 12000, 48000, 192000};
    for (size_t r = 0; r < sizeof odd_rates_hz / sizeof odd_rates_hz[0]; r++) {
        struct plc plc;
        int16_t pcm[2001];
        plc_start(&plc, odd_rates_hz[r]);
        for (size_t samples = 0; samples <= 2000; samples += 1 + samples / 3) {
            pcm[samples] = 4711;
            plc_make_up(&plc, pcm, samples);
            assert_int_equal(pcm[samples], 4711);
            vowel(pcm, samples, 8000, 0);
            plc_good(&plc, pcm, samples);
        }
    }
}

// What the codecs' own rates come to: 40 ms of a voice do not leave a hole.
static void a_gap_of_two_frames_is_bridged(void **state) {
    (void)state;
    static const enum codec_id codecs[] = {CODEC_PCMU, CODEC_G722};
    for (size_t c = 0; c < 2; c++) {
        size_t frame = rates_hz[c] / 50;
        struct codec_encoder *encoder;
        struct codec_decoder *decoder;
        int16_t pcm[320];
        uint8_t payload[160];
        assert_int_equal(codec_encoder_new(&encoder, codecs[c], rates_hz[c]), 0);
        assert_int_equal(codec_decoder_new(&decoder, codecs[c], rates_hz[c]), 0);
        double whole = 0;
        for (size_t i = 0; i < 10; i++) {
            vowel(pcm, frame, rates_hz[c], i * frame);
            int len = codec_encode(encoder, pcm, frame, payload, sizeof payload);
            assert_int_equal(codec_decode(decoder, payload, (size_t)len, pcm, frame), frame);
            whole = energy(pcm, frame);
        }
        codec_conceal(decoder, NULL, 0, pcm, frame);
        assert_true(energy(pcm, frame) > whole * 0.6);
        codec_conceal(decoder, NULL, 0, pcm, frame);
        assert_true(energy(pcm, frame) > whole * 0.15);
        codec_decoder_free(decoder);
        codec_encoder_free(encoder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_voice_goes_on),
        cmocka_unit_test(a_long_gap_is_silent),
        cmocka_unit_test(any_rate_and_length_will_do),
        cmocka_unit_test(a_gap_of_two_frames_is_bridged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
