// SPDX-License-Identifier: Apache-2.0
// The digits of one audio session: those heard, in whatever way, told once and in order; those to be sent.
// One thread. Nothing allocates but audio_digits_ears.
#ifndef IQ_MEDIA_AUDIO_DIGITS_H
#define IQ_MEDIA_AUDIO_DIGITS_H

#include "media/codec.h"
#include "media/dtmf.h"
#include "media/dtmf_inband.h"
#include "media/dtmf_sender.h"
#include "media/tone.h"

struct audio_digits {
    struct dtmf_inband *ear;       // owns, as the next; NULL where tones are not listened for
    struct codec_decoder *decoder; // for payloads that are passed through
    uint64_t now_us;               // of what is being heard
    struct dtmf_sender sender;
    void (*on_digit)(char digit, void *arg);
    void *arg;
    struct dtmf_reader reader;
    struct dtmf_merge merge;
    struct tone low, high; // of the digit that is being sent as a tone
};

void audio_digits_init(struct audio_digits *digits, void (*on_digit)(char digit, void *arg), void *arg);
void audio_digits_clear(struct audio_digits *digits);

// Listens for tones in this codec's PCM and payloads, or (`listen` false) no more. -ENOMEM changes nothing.
int audio_digits_ears(struct audio_digits *digits, bool listen, enum codec_id codec, uint32_t pcm_rate_hz);
void audio_digits_event_clock(struct audio_digits *digits,
                              uint32_t clock_hz); // of telephone-event, 0 for none

void audio_digits_packet(struct audio_digits *digits, const struct rtp_packet *packet, uint64_t now_us);
void audio_digits_info(struct audio_digits *digits, char digit, uint64_t now_us); // other characters: ignored
void audio_digits_pcm(struct audio_digits *digits, const int16_t *pcm, size_t samples, uint64_t now_us);
void audio_digits_payload(struct audio_digits *digits, const uint8_t *payload, size_t len, uint64_t now_us);

// The sound of a frame that dtmf_sender_next said is DTMF_FRAME_SOUND or _SILENCE.
void audio_digits_sound(struct audio_digits *digits, const struct dtmf_frame *frame, int16_t *pcm,
                        size_t samples, uint32_t rate_hz);

#endif
