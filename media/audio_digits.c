// SPDX-License-Identifier: Apache-2.0
#include "media/audio_digits.h"

#include <string.h>

// -10 and -8 dBm0: as a telephone's, the high one 2 dB above the low (ITU-T Q.23, Q.24).
enum { LOW_AMPLITUDE = 7000, HIGH_AMPLITUDE = 8800 };

void audio_digits_init(struct audio_digits *digits, void (*on_digit)(char digit, void *arg), void *arg) {
    *digits = (struct audio_digits){.on_digit = on_digit, .arg = arg};
}

void audio_digits_clear(struct audio_digits *digits) {
    dtmf_inband_free(digits->ear);
    codec_decoder_free(digits->decoder);
    digits->ear = NULL;
    digits->decoder = NULL;
}

static void heard(struct audio_digits *digits, char digit, enum dtmf_way way, uint64_t now_us) {
    if (dtmf_merge_press(&digits->merge, digit, way, now_us))
        digits->on_digit(digit, digits->arg);
}

static void on_tone(char digit, void *arg) {
    struct audio_digits *digits = arg;
    heard(digits, digit, DTMF_BY_TONE, digits->now_us);
}

int audio_digits_ears(struct audio_digits *digits, bool listen, enum codec_id codec, uint32_t pcm_rate_hz) {
    struct dtmf_inband *ear = NULL;
    struct codec_decoder *decoder = NULL;
    int err = listen ? dtmf_inband_new(&ear, pcm_rate_hz, on_tone, digits) : 0;
    if (!err && listen)
        err = codec_decoder_new(&decoder, codec, pcm_rate_hz);
    if (err) {
        dtmf_inband_free(ear);
        return err;
    }
    audio_digits_clear(digits);
    digits->ear = ear;
    digits->decoder = decoder;
    return 0;
}

void audio_digits_event_clock(struct audio_digits *digits, uint32_t clock_hz) {
    if (clock_hz != digits->reader.clock_hz)
        dtmf_reader_init(&digits->reader, clock_hz);
}

void audio_digits_packet(struct audio_digits *digits, const struct rtp_packet *packet, uint64_t now_us) {
    char digit;
    enum dtmf_verdict verdict = dtmf_reader_packet(&digits->reader, packet, &digit);
    if (verdict == DTMF_PRESS)
        heard(digits, digit, DTMF_BY_EVENT, now_us);
    else if (verdict == DTMF_HELD)
        dtmf_merge_held(&digits->merge, digit, DTMF_BY_EVENT, now_us);
}

void audio_digits_info(struct audio_digits *digits, char digit, uint64_t now_us) {
    int event = dtmf_event(digit);
    if (event >= 0)
        heard(digits, dtmf_digit((unsigned)event), DTMF_BY_INFO, now_us);
}

void audio_digits_pcm(struct audio_digits *digits, const int16_t *pcm, size_t samples, uint64_t now_us) {
    digits->now_us = now_us;
    if (digits->ear)
        dtmf_inband_hear(digits->ear, pcm, samples);
}

void audio_digits_payload(struct audio_digits *digits, const uint8_t *payload, size_t len, uint64_t now_us) {
    int16_t pcm[CODEC_MAX_SAMPLES];
    int samples = digits->ear ? codec_decode(digits->decoder, payload, len, pcm, CODEC_MAX_SAMPLES) : 0;
    if (samples > 0)
        audio_digits_pcm(digits, pcm, (size_t)samples, now_us);
}

void audio_digits_sound(struct audio_digits *digits, const struct dtmf_frame *frame, int16_t *pcm,
                        size_t samples, uint32_t rate_hz) {
    uint32_t low_hz, high_hz;
    memset(pcm, 0, samples * sizeof *pcm);
    if (frame->kind != DTMF_FRAME_SOUND || !dtmf_frequencies(frame->digit, &low_hz, &high_hz))
        return;
    if (frame->begins) {
        tone_init(&digits->low, rate_hz, low_hz, LOW_AMPLITUDE);
        tone_init(&digits->high, rate_hz, high_hz, HIGH_AMPLITUDE);
    }
    int16_t high[480];
    for (size_t at = 0, part; at < samples; at += part) {
        part = samples - at < 480 ? samples - at : 480;
        tone_fill(&digits->low, pcm + at, part);
        tone_fill(&digits->high, high, part);
        for (size_t i = 0; i < part; i++)
            pcm[at + i] = (int16_t)(pcm[at + i] + high[i]);
    }
}
