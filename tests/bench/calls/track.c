// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/calls/track.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPEECH_PEAK = 3000,
    MARK_PEAK = 30000,
    HEARD_AT = 14000, // above any speech, below what codecs leave of a mark
    MARK_HZ = 1000,
    EXPECT_US = 600000,
    DEAF_US = 300000,
};

static const double pi = 3.14159265358979323846;

// A voice for an encoder to work on: harmonics of a gliding pitch under syllables, with pauses.
static double speech(double t) {
    double syllable = fmax(0, sin(2 * pi * 3.1 * t)) * (sin(2 * pi * 0.23 * t) > -0.6 ? 1 : 0);
    double pitch = 2 * pi * (120 * t + 4 * sin(2 * pi * 0.7 * t)), sum = 0;
    for (int harmonic = 1; harmonic <= 16; harmonic++)
        sum += sin(harmonic * pitch + harmonic * harmonic) / (1 + fabs(harmonic - 5 + 3 * sin(2 * pi * t)));
    return SPEECH_PEAK * syllable * sum / 4;
}

static void fill(int16_t *pcm, size_t samples, size_t first, uint32_t rate_hz) {
    for (size_t i = 0; i < samples; i++) {
        size_t at = first + i;
        size_t in_second = at % rate_hz, mark = rate_hz / 2;
        bool marked = in_second >= mark && in_second < mark + rate_hz * TRACK_MARK_MS / 1000;
        double t = (double)at / rate_hz;
        pcm[i] = (int16_t)(marked ? MARK_PEAK * sin(2 * pi * MARK_HZ * t) : speech(t));
    }
}

static int encode_all(struct track *track, struct codec_encoder *encoder) {
    static int16_t pcm[CODEC_MAX_SAMPLES];
    size_t samples = track->rate_hz * track->frame_ms / 1000;
    size_t mark_frame = TRACK_MARK_EVERY_MS / 2 / track->frame_ms,
           every = TRACK_MARK_EVERY_MS / track->frame_ms;
    for (size_t i = 0; i < track->frames; i++) {
        struct track_frame *frame = &track->frame[i];
        fill(pcm, samples, i * samples, track->rate_hz);
        int len = codec_encode(encoder, pcm, samples, frame->bytes, sizeof frame->bytes);
        if (len < 0)
            return len;
        frame->len = (uint16_t)len;
        frame->mark = i % every == mark_frame;
    }
    return 0;
}

int track_new(struct track *out, enum codec_id codec, uint32_t rate_hz, uint32_t frame_ms) {
    if (TRACK_MARK_EVERY_MS / 2 % frame_ms)
        return -EINVAL;
    struct track track = {.codec = codec, .rate_hz = rate_hz, .frame_ms = frame_ms};
    track.frames = TRACK_SECONDS * 1000 / frame_ms;
    track.frame = calloc(track.frames, sizeof *track.frame);
    if (!track.frame)
        return -ENOMEM;
    struct codec_encoder *encoder = NULL;
    int err = codec_encoder_new(&encoder, codec, rate_hz);
    if (!err)
        err = encode_all(&track, encoder);
    codec_encoder_free(encoder);
    if (err)
        track_clear(&track);
    else
        *out = track;
    return err;
}

void track_clear(struct track *track) {
    free(track->frame);
    track->frame = NULL;
}

int track_ear_init(struct track_ear *ear, enum codec_id codec, uint32_t rate_hz) {
    *ear = (struct track_ear){.codec = codec, .rate_hz = rate_hz};
    return codec == CODEC_L16 ? 0 : codec_decoder_new(&ear->decoder, codec, rate_hz);
}

void track_ear_clear(struct track_ear *ear) {
    codec_decoder_free(ear->decoder);
    ear->decoder = NULL;
}

void track_ear_expect(struct track_ear *ear, int64_t now_us) {
    ear->expect_until_us = now_us + EXPECT_US;
}

static bool loud(const int16_t *pcm, size_t samples) {
    for (size_t i = 0; i < samples; i++) {
        if (pcm[i] > HEARD_AT)
            return true;
    }
    return false;
}

bool track_ear_hears(struct track_ear *ear, const uint8_t *payload, size_t len, int64_t now_us) {
    static int16_t pcm[CODEC_MAX_SAMPLES];
    if (now_us < ear->deaf_until_us || now_us > ear->expect_until_us)
        return false;
    size_t samples;
    if (ear->codec == CODEC_L16) {
        samples = len / 2 < CODEC_MAX_SAMPLES ? len / 2 : CODEC_MAX_SAMPLES;
        memcpy(pcm, payload, samples * 2);
    } else {
        int decoded = codec_decode(ear->decoder, payload, len, pcm, CODEC_MAX_SAMPLES);
        samples = decoded > 0 ? (size_t)decoded : 0;
    }
    if (!loud(pcm, samples))
        return false;
    ear->deaf_until_us = now_us + DEAF_US;
    ear->expect_until_us = 0;
    return true;
}
