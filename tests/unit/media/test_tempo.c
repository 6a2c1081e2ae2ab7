// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants those first
#include <cmocka.h>

#include "media/tempo.h"

#include <math.h>
#include <stdlib.h>

enum { CAP = 4096 };

static void tone(int16_t *pcm, size_t samples, double hz, double rate_hz, double level) {
    for (size_t i = 0; i < samples; i++)
        pcm[i] = (int16_t)lrint(level * sin(2 * M_PI * hz * (double)i / rate_hz));
}

// By rising zero crossings.
static double pitch_of(const int16_t *pcm, size_t samples, double rate_hz) {
    size_t first = 0, last = 0, periods = 0;
    for (size_t i = 1; i < samples; i++) {
        if (pcm[i - 1] < 0 && pcm[i] >= 0) {
            if (!first)
                first = i;
            else
                periods++;
            last = i;
        }
    }
    return periods ? (double)periods * rate_hz / (double)(last - first) : 0;
}

static const uint32_t rates_hz[] = {8000, 16000, 48000};

static void keeps_pitch(size_t (*change)(int16_t *pcm, size_t samples, uint32_t rate_hz), bool longer) {
    for (size_t r = 0; r < 3; r++) {
        for (double hz = 110; hz < 1000; hz *= 1.7) {
            int16_t pcm[CAP];
            size_t samples = rates_hz[r] / 25; // 40 ms
            tone(pcm, samples, hz, rates_hz[r], 8000);
            size_t now = change(pcm, samples, rates_hz[r]);
            size_t by = longer ? now - samples : samples - now;
            assert_true(by >= rates_hz[r] / 400 && by <= rates_hz[r] / 80);
            assert_true(fabs(pitch_of(pcm, now, rates_hz[r]) - hz) < hz * 0.05);
            for (size_t i = 1; i < now; i++) // and no click: the tone's own steepest step, with some room
                assert_true(abs(pcm[i] - pcm[i - 1]) < 8000 * 2 * M_PI * hz / rates_hz[r] * 1.5 + 2);
        }
    }
}

static size_t lengthen(int16_t *pcm, size_t samples, uint32_t rate_hz) {
    return tempo_lengthen(pcm, samples, CAP, rate_hz);
}

static void shorter_keeps_pitch(void **state) {
    (void)state;
    keeps_pitch(tempo_shorten, false);
}

static void longer_keeps_pitch(void **state) {
    (void)state;
    keeps_pitch(lengthen, true);
}

static void too_little_is_left_alone(void **state) {
    (void)state;
    int16_t pcm[400] = {1, 2, 3};
    assert_int_equal(tempo_shorten(pcm, 0, 8000), 0);
    assert_int_equal(tempo_shorten(pcm, 40, 8000), 40);
    assert_int_equal(tempo_lengthen(pcm, 40, 400, 8000), 40);
    assert_int_equal(tempo_lengthen(pcm, 160, 160, 8000), 160); // no room
    assert_true(tempo_shorten(pcm, 160, 8000) < 160);
    assert_true(tempo_lengthen(pcm, 160, 400, 8000) > 160);
}

static void knows_quiet(void **state) {
    (void)state;
    int16_t pcm[160];
    tone(pcm, 160, 400, 8000, 60);
    assert_true(tempo_is_quiet(pcm, 160));
    tone(pcm, 160, 400, 8000, 2000);
    assert_false(tempo_is_quiet(pcm, 160));
    pcm[0] = INT16_MIN;
    assert_false(tempo_is_quiet(pcm, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shorter_keeps_pitch),
        cmocka_unit_test(longer_keeps_pitch),
        cmocka_unit_test(too_little_is_left_alone),
        cmocka_unit_test(knows_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
