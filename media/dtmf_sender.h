// SPDX-License-Identifier: Apache-2.0
// Digits to be sent, in the place of audio frames: as RFC 4733 events, or as tones to a peer that takes none.
// Pure: the writer asks at every frame what goes out in its place.
#ifndef IQ_MEDIA_DTMF_SENDER_H
#define IQ_MEDIA_DTMF_SENDER_H

#include "media/dtmf.h"

enum {
    DTMF_SENDER_QUEUE = 64,
    DTMF_SENDER_TONE_MS = 160,
    DTMF_SENDER_GAP_MS = 100,
    DTMF_SENDER_PAUSE_MS = 1000, // of a ','
    DTMF_SENDER_ENDS = 3,        // times the end of an event is sent
    DTMF_SENDER_VOLUME = 10,     // -dBm0
};

struct dtmf_sender {
    unsigned head, count;
    enum { DTMF_SENDER_IDLE, DTMF_SENDER_TONE, DTMF_SENDER_END, DTMF_SENDER_GAP } phase;
    char digit;          // at hand
    uint32_t elapsed_ms; // of the phase
    uint32_t timestamp;  // of the event
    unsigned ends;       // sent
    char queue[DTMF_SENDER_QUEUE];
};

// All of them or none: -EAGAIN when they do not fit, -EINVAL when there is anything but 0-9 * # A-D and ','.
int dtmf_sender_put(struct dtmf_sender *sender, const char *digits);

enum dtmf_frame_kind {
    DTMF_FRAME_AUDIO,   // the frame itself
    DTMF_FRAME_EVENT,   // a packet of telephone-event
    DTMF_FRAME_SOUND,   // `digit` as a tone
    DTMF_FRAME_SILENCE, // between tones
};

struct dtmf_frame {
    enum dtmf_frame_kind kind;
    char digit;
    bool begins; // the digit's first frame: an event's marker bit
    uint32_t timestamp;
    uint8_t payload[DTMF_PAYLOAD_LEN];
};

// What goes out for the frame of `frame_ms` that begins at `timestamp`. `clock_hz` is the event's, 0 for
// tones.
void dtmf_sender_next(struct dtmf_sender *sender, uint32_t frame_ms, uint32_t clock_hz, uint32_t timestamp,
                      struct dtmf_frame *out);

// The two frequencies of a digit (ITU-T Q.23); false for none.
bool dtmf_frequencies(char digit, uint32_t *low_hz, uint32_t *high_hz);

#endif
