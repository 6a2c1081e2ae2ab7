// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/core/err.h"
#include "media/codec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TONE_HZ = 440, AMPLITUDE = 8000 };

static const enum codec_id all[] = {CODEC_PCMU, CODEC_PCMA, CODEC_G722, CODEC_OPUS, CODEC_L16};
enum { ALL = sizeof all / sizeof all[0] };
static const uint32_t frame_lengths_ms[] = {10, 20, 40, 60};

static void tone(int16_t *pcm, size_t samples, uint32_t rate_hz, size_t from) {
    for (size_t i = 0; i < samples; i++)
        pcm[i] = (int16_t)(AMPLITUDE * sin(2 * M_PI * TONE_HZ * (double)(from + i) / rate_hz));
}

static int peak(const int16_t *pcm, size_t samples) {
    int most = 0;
    for (size_t i = 0; i < samples; i++)
        most = abs(pcm[i]) > most ? abs(pcm[i]) : most;
    return most;
}

// Share of the energy that lies at TONE_HZ, by correlation over whole periods.
static double purity(const int16_t *pcm, size_t samples, uint32_t rate_hz) {
    double re = 0, im = 0, energy = 0;
    for (size_t i = 0; i < samples; i++) {
        double angle = 2 * M_PI * TONE_HZ * (double)i / rate_hz;
        re += pcm[i] * cos(angle);
        im += pcm[i] * sin(angle);
        energy += (double)pcm[i] * pcm[i];
    }
    return energy > 0 ? 2 * (re * re + im * im) / ((double)samples * energy) : 0;
}

static void test_descriptions(void **state) {
    (void)state;
    for (size_t i = 0; i < ALL; i++) {
        const struct codec_desc *desc = codec_desc(all[i]);
        assert_non_null(desc);
        assert_int_equal(desc->id, all[i]);
        assert_int_equal(codec_pcm_rate(all[i], desc->native_rate_hz), desc->native_rate_hz);
    }
    assert_int_equal(codec_desc(CODEC_G722)->clock_hz, 8000);
    assert_int_equal(codec_desc(CODEC_G722)->native_rate_hz, 16000);
    assert_int_equal(codec_desc(CODEC_OPUS)->sdp_channels, 2);
    assert_null(codec_desc(CODEC_COUNT));
}

static void test_pcm_rates(void **state) {
    (void)state;
    assert_int_equal(codec_pcm_rate(CODEC_OPUS, 8000), 8000);
    assert_int_equal(codec_pcm_rate(CODEC_OPUS, 16000), 16000);
    assert_int_equal(codec_pcm_rate(CODEC_OPUS, 44100), 48000);
    assert_int_equal(codec_pcm_rate(CODEC_OPUS, 0), 8000);
    assert_int_equal(codec_pcm_rate(CODEC_PCMA, 48000), 8000);
    assert_int_equal(codec_pcm_rate(CODEC_G722, 8000), 16000);
    assert_int_equal(codec_pcm_rate(CODEC_L16, 22050), 22050);

    struct codec_encoder *encoder = NULL;
    struct codec_decoder *decoder = NULL;
    assert_int_equal(codec_encoder_new(&encoder, CODEC_OPUS, 44100), -EINVAL);
    assert_int_equal(codec_decoder_new(&decoder, CODEC_OPUS, 44100), -EINVAL);
    assert_int_equal(codec_encoder_new(&encoder, CODEC_PCMU, 16000), -EINVAL);
    assert_int_equal(codec_decoder_new(&decoder, CODEC_PCMA, 16000), -EINVAL);
    assert_int_equal(codec_encoder_new(&encoder, CODEC_G722, 8000), -EINVAL);
    assert_int_equal(codec_decoder_new(&decoder, CODEC_G722, 8000), -EINVAL);
    assert_int_equal(codec_encoder_new(&encoder, CODEC_L16, 0), -EINVAL);
    assert_int_equal(codec_encoder_new(&encoder, CODEC_COUNT, 8000), -EINVAL);
    assert_null(encoder);
    assert_null(decoder);
    codec_encoder_free(NULL);
    codec_decoder_free(NULL);
}

static void round_trip(enum codec_id id, uint32_t rate_hz, uint32_t frame_ms) {
    struct codec_encoder *encoder;
    struct codec_decoder *decoder;
    assert_int_equal(codec_encoder_new(&encoder, id, rate_hz), 0);
    assert_int_equal(codec_decoder_new(&decoder, id, rate_hz), 0);
    size_t samples = rate_hz / 1000 * frame_ms;
    uint32_t clock_hz = id == CODEC_L16 ? rate_hz : codec_desc(id)->clock_hz;
    int16_t in[CODEC_MAX_SAMPLES], out[CODEC_MAX_SAMPLES];
    uint8_t payload[2 * CODEC_MAX_SAMPLES];
    static int16_t heard[48000];
    size_t have = 0;
    for (size_t at = 0; at < rate_hz; at += samples) {
        tone(in, samples, rate_hz, at);
        int len = codec_encode(encoder, in, samples, payload, sizeof payload);
        assert_true(len > 0);
        assert_true(id == CODEC_L16 || len <= CODEC_MAX_PAYLOAD);
        assert_int_equal(codec_payload_ticks(id, payload, (size_t)len), clock_hz / 1000 * frame_ms);
        assert_int_equal(codec_decode(decoder, payload, (size_t)len, out, CODEC_MAX_SAMPLES), samples);
        size_t keep = have + samples <= 48000 ? samples : 48000 - have;
        memcpy(heard + have, out, keep * sizeof *out);
        have += keep;
    }
    size_t half = rate_hz / 2; // the first half second is for the encoder to settle
    assert_true(purity(heard + half - rate_hz / 10, half, rate_hz) > 0.97);
    assert_in_range(peak(heard + half, half / 2), AMPLITUDE * 7 / 10, AMPLITUDE * 13 / 10);
    codec_encoder_free(encoder);
    codec_decoder_free(decoder);
}

static void test_round_trip(void **state) {
    (void)state;
    static const uint32_t rates_hz[] = {8000, 16000, 24000, 48000};
    for (size_t i = 0; i < ALL; i++)
        for (size_t r = 0; r < 4; r++)
            for (size_t f = 0; f < 4; f++)
                if (codec_pcm_rate(all[i], rates_hz[r]) == rates_hz[r])
                    round_trip(all[i], rates_hz[r], frame_lengths_ms[f]);
}

// The whole of both laws against the formulae of G.711, not against the tables' own source.
static int mu_law_expand(uint8_t code) {
    int inverted = ~code & 0xff;
    int value = ((((inverted & 0x0f) << 1) + 33) << (inverted >> 4 & 7)) - 33;
    return (inverted & 0x80 ? -value : value) * 4;
}

static int a_law_expand(uint8_t code) {
    int even = code ^ 0x55;
    int segment = even >> 4 & 7, value = (even & 0x0f) << 1 | 1;
    if (segment)
        value = (value + 32) << (segment - 1);
    return (even & 0x80 ? value : -value) * 8;
}

static void all_of_a_law(enum codec_id id, int (*expand)(uint8_t), int most) {
    struct codec_encoder *encoder;
    struct codec_decoder *decoder;
    assert_int_equal(codec_encoder_new(&encoder, id, 8000), 0);
    assert_int_equal(codec_decoder_new(&decoder, id, 8000), 0);
    for (int code = 0; code < 256; code++) {
        uint8_t payload = (uint8_t)code;
        int16_t pcm;
        assert_int_equal(codec_decode(decoder, &payload, 1, &pcm, 1), 1);
        assert_int_equal(pcm, expand(payload));
    }
    for (int sample = INT16_MIN; sample <= INT16_MAX; sample++) {
        int16_t pcm = (int16_t)sample;
        uint8_t payload;
        assert_int_equal(codec_encode(encoder, &pcm, 1, &payload, 1), 1);
        // Within half a step: a step is a sixteenth of its segment, whose size is that of the value itself.
        int clipped = sample > most ? most : sample < -most ? -most : sample;
        int step = 16;
        while (step * 16 < abs(clipped) + 132)
            step *= 2;
        assert_in_range(abs(expand(payload) - clipped), 0, step / 2 + 1);
    }
    codec_encoder_free(encoder);
    codec_decoder_free(decoder);
}

static void test_g711_whole(void **state) {
    (void)state;
    all_of_a_law(CODEC_PCMU, mu_law_expand, 32124);
    all_of_a_law(CODEC_PCMA, a_law_expand, 32256);
}

static void test_l16_is_little_endian(void **state) {
    (void)state;
    struct codec_encoder *encoder;
    struct codec_decoder *decoder;
    assert_int_equal(codec_encoder_new(&encoder, CODEC_L16, 16000), 0);
    assert_int_equal(codec_decoder_new(&decoder, CODEC_L16, 16000), 0);
    const int16_t pcm[] = {0x1234, -2};
    uint8_t payload[4];
    assert_int_equal(codec_encode(encoder, pcm, 2, payload, 4), 4);
    const uint8_t expected[] = {0x34, 0x12, 0xfe, 0xff};
    assert_memory_equal(payload, expected, 4);
    int16_t back[2];
    assert_int_equal(codec_decode(decoder, payload, 4, back, 2), 2);
    assert_memory_equal(back, pcm, sizeof pcm);
    assert_int_equal(codec_decode(decoder, payload, 3, back, 2), -EBADMSG);
    assert_int_equal(codec_payload_ticks(CODEC_L16, payload, 3), 0);
    codec_encoder_free(encoder);
    codec_decoder_free(decoder);
}

static void test_capacity(void **state) {
    (void)state;
    for (size_t i = 0; i < ALL; i++) {
        uint32_t rate_hz = codec_desc(all[i])->native_rate_hz;
        size_t samples = rate_hz / 50;
        struct codec_encoder *encoder;
        struct codec_decoder *decoder;
        assert_int_equal(codec_encoder_new(&encoder, all[i], rate_hz), 0);
        assert_int_equal(codec_decoder_new(&decoder, all[i], rate_hz), 0);
        int16_t pcm[960];
        uint8_t payload[2000];
        tone(pcm, samples, rate_hz, 0);
        assert_true(codec_encode(encoder, pcm, 0, payload, sizeof payload) < 0);
        int len = codec_encode(encoder, pcm, samples, payload, sizeof payload);
        assert_true(len > 0);
        assert_int_equal(codec_decode(decoder, payload, (size_t)len, pcm, samples - 1), -ENOBUFS);
        assert_int_equal(codec_decode(decoder, payload, 0, pcm, samples), -EBADMSG);
        if (all[i] != CODEC_OPUS) // which would make a smaller packet
            assert_int_equal(codec_encode(encoder, pcm, samples, payload, (size_t)len - 1), -ENOBUFS);
        codec_encoder_free(encoder);
        codec_decoder_free(decoder);
    }
}

static void test_conceal_fades(void **state) {
    (void)state;
    for (size_t i = 0; i < ALL; i++) {
        uint32_t rate_hz = codec_desc(all[i])->native_rate_hz;
        size_t samples = rate_hz / 50;
        struct codec_encoder *encoder;
        struct codec_decoder *decoder;
        assert_int_equal(codec_encoder_new(&encoder, all[i], rate_hz), 0);
        assert_int_equal(codec_decoder_new(&decoder, all[i], rate_hz), 0);
        int16_t pcm[961];
        uint8_t payload[2000];
        for (size_t frame = 0; frame < 25; frame++) {
            tone(pcm, samples, rate_hz, frame * samples);
            int len = codec_encode(encoder, pcm, samples, payload, sizeof payload);
            assert_true(codec_decode(decoder, payload, (size_t)len, pcm, samples) > 0);
        }
        memset(pcm, 0, sizeof pcm);
        pcm[samples] = 12345;
        codec_conceal(decoder, NULL, 0, pcm, samples);
        assert_int_equal(pcm[samples], 12345); // exactly `samples`, no more
        assert_true(peak(pcm, samples) > AMPLITUDE / 8);
        for (size_t frame = 0; frame < 50; frame++)
            codec_conceal(decoder, NULL, 0, pcm, samples);
        assert_in_range(peak(pcm, samples), 0, AMPLITUDE / 50);
        codec_encoder_free(encoder);
        codec_decoder_free(decoder);
    }
}

// A gap need not be a whole number of 2.5 ms, nor shorter than a packet can be.
static void test_opus_conceal_any_length(void **state) {
    (void)state;
    struct codec_decoder *decoder;
    assert_int_equal(codec_decoder_new(&decoder, CODEC_OPUS, 48000), 0);
    static int16_t pcm[20001];
    static const size_t lengths[] = {1, 119, 120, 121, 959, 5760, 5761, 20000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memset(pcm, 0x55, sizeof pcm);
        codec_conceal(decoder, NULL, 0, pcm, lengths[i]);
        assert_int_equal(pcm[lengths[i]], 0x5555);
        for (size_t at = 0; at < lengths[i]; at++)
            assert_int_equal(pcm[at], 0);
    }
    codec_decoder_free(decoder);
}

// The frame that is lost sounds unlike all before it: only FEC in the one after can bring it back.
static double lost_frame_energy(bool with_fec) {
    enum { RATE_HZ = 16000, SAMPLES = 320, FRAMES = 60, LOST = 50 };
    struct codec_encoder *encoder;
    struct codec_decoder *decoder;
    assert_int_equal(codec_encoder_new(&encoder, CODEC_OPUS, RATE_HZ), 0);
    assert_int_equal(codec_decoder_new(&decoder, CODEC_OPUS, RATE_HZ), 0);
    codec_encoder_tune(encoder, 20, 10);
    int16_t pcm[SAMPLES];
    uint8_t payload[CODEC_MAX_PAYLOAD];
    double energy = 0;
    for (size_t frame = 0; frame < FRAMES; frame++) {
        memset(pcm, 0, sizeof pcm);
        if (frame >= LOST)
            tone(pcm, SAMPLES, RATE_HZ, frame * SAMPLES);
        int len = codec_encode(encoder, pcm, SAMPLES, payload, sizeof payload);
        assert_true(len > 0);
        if (frame == LOST)
            continue;
        if (frame == LOST + 1) {
            codec_conceal(decoder, with_fec ? payload : NULL, with_fec ? (size_t)len : 0, pcm, SAMPLES);
            for (size_t i = 0; i < SAMPLES; i++)
                energy += (double)pcm[i] * pcm[i] / SAMPLES;
        }
        assert_int_equal(codec_decode(decoder, payload, (size_t)len, pcm, SAMPLES), SAMPLES);
    }
    codec_encoder_free(encoder);
    codec_decoder_free(decoder);
    return energy;
}

static void test_opus_fec(void **state) {
    (void)state;
    assert_true(lost_frame_energy(true) > 100 * (1 + lost_frame_energy(false)));
}

static void test_opus_odd_packets(void **state) {
    (void)state;
    struct codec_decoder *decoder;
    assert_int_equal(codec_decoder_new(&decoder, CODEC_OPUS, 48000), 0);
    int16_t pcm[CODEC_MAX_SAMPLES];
    const uint8_t short_frame[] = {28 << 3, 0xff, 0xfe};              // 2.5 ms of CELT
    const uint8_t stereo[] = {31 << 3 | 4, 0xff, 0xfe};               // 20 ms, two channels
    const uint8_t longest[] = {31 << 3 | 3, 6, 1, 1, 1, 1, 1, 1};     // 6 x 20 ms
    const uint8_t dtx[] = {9 << 3};                                   // a head alone: 20 ms of nothing sent
    const uint8_t too_long[] = {31 << 3 | 3, 7, 1, 1, 1, 1, 1, 1, 1}; // 140 ms: forbidden
    const uint8_t cut[] = {31 << 3 | 3};                              // the frame count is missing
    const uint8_t uneven[] = {31 << 3 | 1, 1, 2, 3};                  // two equal frames in three bytes
    assert_int_equal(codec_decode(decoder, short_frame, 3, pcm, CODEC_MAX_SAMPLES), 120);
    assert_int_equal(codec_decode(decoder, stereo, 3, pcm, CODEC_MAX_SAMPLES), 960);
    assert_int_equal(codec_decode(decoder, longest, sizeof longest, pcm, CODEC_MAX_SAMPLES), 5760);
    assert_int_equal(codec_decode(decoder, dtx, 1, pcm, CODEC_MAX_SAMPLES), 960);
    assert_int_equal(codec_decode(decoder, too_long, sizeof too_long, pcm, CODEC_MAX_SAMPLES), -EBADMSG);
    assert_int_equal(codec_decode(decoder, cut, sizeof cut, pcm, CODEC_MAX_SAMPLES), -EBADMSG);
    assert_int_equal(codec_decode(decoder, uneven, sizeof uneven, pcm, CODEC_MAX_SAMPLES), -EBADMSG);
    assert_int_equal(codec_payload_ticks(CODEC_OPUS, short_frame, 3), 120);
    assert_int_equal(codec_payload_ticks(CODEC_OPUS, stereo, 3), 960);
    assert_int_equal(codec_payload_ticks(CODEC_OPUS, longest, sizeof longest), 5760);
    assert_int_equal(codec_payload_ticks(CODEC_OPUS, dtx, 1), 960);
    assert_int_equal(codec_payload_ticks(CODEC_OPUS, too_long, sizeof too_long), 0);
    assert_int_equal(codec_payload_ticks(CODEC_OPUS, cut, sizeof cut), 0);
    assert_int_equal(codec_payload_ticks(CODEC_OPUS, uneven, sizeof uneven), 0);
    assert_int_equal(codec_payload_ticks(CODEC_OPUS, dtx, 0), 0);
    codec_decoder_free(decoder);
}

static void test_any_bytes(void **state) {
    (void)state;
    uint32_t seed = 1;
    for (size_t i = 0; i < ALL; i++) {
        struct codec_decoder *decoder;
        assert_int_equal(codec_decoder_new(&decoder, all[i], codec_desc(all[i])->native_rate_hz), 0);
        for (size_t round = 0; round < 3000; round++) {
            uint8_t payload[300];
            for (size_t at = 0; at < sizeof payload; at++) {
                seed = seed * 1664525 + 1013904223;
                payload[at] = (uint8_t)(seed >> 24);
            }
            size_t len = 1 + (seed >> 8) % sizeof payload, cap = 600;
            int16_t pcm[601];
            pcm[cap] = 0x5555;
            int samples = codec_decode(decoder, payload, len, pcm, cap);
            assert_in_range(samples + 4096, 0, 4096 + cap);
            codec_conceal(decoder, payload, len, pcm, cap);
            assert_int_equal(pcm[cap], 0x5555);
            assert_true(codec_payload_ticks(all[i], payload, len) <= 48 * CODEC_MAX_FRAME_MS);
        }
        codec_decoder_free(decoder);
    }
}

static void test_silence(void **state) {
    (void)state;
    for (size_t i = 0; i < ALL - 1; i++) {
        const struct codec_desc *desc = codec_desc(all[i]);
        size_t ms = desc->native_rate_hz / 1000;
        struct codec_encoder *encoder;
        struct codec_decoder *decoder;
        assert_int_equal(codec_encoder_new(&encoder, all[i], desc->native_rate_hz), 0);
        assert_int_equal(codec_decoder_new(&decoder, all[i], desc->native_rate_hz), 0);
        int16_t pcm[CODEC_MAX_SAMPLES];
        uint8_t payload[CODEC_MAX_PAYLOAD];
        tone(pcm, 20 * ms, desc->native_rate_hz, 0);
        int len = codec_encode(encoder, pcm, 20 * ms, payload, sizeof payload);
        assert_true(codec_decode(decoder, payload, (size_t)len, pcm, CODEC_MAX_SAMPLES) > 0);
        for (uint32_t f = 0; f < 6; f++) {
            uint32_t frame_ms = f < 4 ? frame_lengths_ms[f] : f == 4 ? 30 : 120;
            len = codec_silence_payload(all[i], frame_ms, payload, sizeof payload);
            assert_true(len > 0);
            assert_int_equal(codec_payload_ticks(all[i], payload, (size_t)len),
                             desc->clock_hz / 1000 * frame_ms);
            assert_int_equal(codec_silence_payload(all[i], frame_ms, payload, (size_t)len - 1), -ENOBUFS);
            assert_int_equal(codec_decode(decoder, payload, (size_t)len, pcm, CODEC_MAX_SAMPLES),
                             frame_ms * ms);
        }
        assert_in_range(peak(pcm, 120 * ms), 0, 60);
        codec_encoder_free(encoder);
        codec_decoder_free(decoder);
    }
    uint8_t payload[2000];
    assert_int_equal(codec_silence_payload(CODEC_L16, 20, payload, sizeof payload), -ENOTSUP);
    assert_int_equal(codec_silence_payload(CODEC_OPUS, 0, payload, sizeof payload), -EINVAL);
    assert_int_equal(codec_silence_payload(CODEC_OPUS, 15, payload, sizeof payload), -EINVAL);
    assert_int_equal(codec_silence_payload(CODEC_PCMU, 121, payload, sizeof payload), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptions),
        cmocka_unit_test(test_pcm_rates),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_g711_whole),
        cmocka_unit_test(test_l16_is_little_endian),
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_conceal_fades),
        cmocka_unit_test(test_opus_conceal_any_length),
        cmocka_unit_test(test_opus_fec),
        cmocka_unit_test(test_opus_odd_packets),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
