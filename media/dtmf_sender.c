// SPDX-License-Identifier: Apache-2.0
#include "media/dtmf_sender.h"

#include <errno.h>
#include <string.h>

int dtmf_sender_put(struct dtmf_sender *sender, const char *digits) {
    if (!dtmf_valid(digits))
        return -EINVAL;
    size_t len = strlen(digits);
    if (len > DTMF_SENDER_QUEUE - sender->count)
        return -EAGAIN;
    for (size_t i = 0; i < len; i++)
        sender->queue[(sender->head + sender->count++) % DTMF_SENDER_QUEUE] = digits[i];
    return 0;
}

static bool take(struct dtmf_sender *sender) {
    if (!sender->count)
        return false;
    sender->digit = sender->queue[sender->head];
    sender->head = (sender->head + 1) % DTMF_SENDER_QUEUE;
    sender->count--;
    return true;
}

static void enter(struct dtmf_sender *sender, unsigned phase) {
    sender->phase = phase;
    sender->elapsed_ms = 0;
}

static void begin(struct dtmf_sender *sender, uint32_t timestamp) {
    enter(sender, sender->digit == ',' ? DTMF_SENDER_GAP : DTMF_SENDER_TONE);
    sender->timestamp = timestamp;
    sender->ends = 0;
}

static void event_frame(const struct dtmf_sender *sender, uint32_t clock_hz, struct dtmf_frame *out) {
    uint32_t ticks = clock_hz / 1000 * sender->elapsed_ms;
    uint16_t duration = (uint16_t)(ticks < UINT16_MAX ? ticks : UINT16_MAX);
    out->kind = DTMF_FRAME_EVENT;
    out->timestamp = sender->timestamp;
    out->payload[0] = (uint8_t)dtmf_event(sender->digit);
    out->payload[1] = (uint8_t)((sender->phase == DTMF_SENDER_END ? 0x80 : 0) | DTMF_SENDER_VOLUME);
    out->payload[2] = (uint8_t)(duration >> 8);
    out->payload[3] = (uint8_t)duration;
}

static void tone_frame(struct dtmf_sender *sender, uint32_t frame_ms, uint32_t clock_hz,
                       struct dtmf_frame *out) {
    out->begins = sender->elapsed_ms == 0;
    sender->elapsed_ms += frame_ms;
    bool last = sender->elapsed_ms >= DTMF_SENDER_TONE_MS;
    if (!clock_hz) {
        out->kind = DTMF_FRAME_SOUND;
        if (last)
            enter(sender, DTMF_SENDER_GAP);
        return;
    }
    if (last) {
        sender->phase = DTMF_SENDER_END; // whose duration stays
        sender->ends = 1;
    }
    event_frame(sender, clock_hz, out);
}

// The retransmissions of the end; the first is the event's last frame.
static void end_frame(struct dtmf_sender *sender, uint32_t clock_hz, struct dtmf_frame *out) {
    event_frame(sender, clock_hz, out);
    if (++sender->ends >= DTMF_SENDER_ENDS)
        enter(sender, DTMF_SENDER_GAP);
}

static void gap_frame(struct dtmf_sender *sender, uint32_t frame_ms, bool tones, struct dtmf_frame *out) {
    uint32_t wanted_ms = sender->digit == ',' ? DTMF_SENDER_PAUSE_MS : DTMF_SENDER_GAP_MS;
    out->kind = tones && sender->digit != ',' ? DTMF_FRAME_SILENCE : DTMF_FRAME_AUDIO;
    sender->elapsed_ms += frame_ms;
    if (sender->elapsed_ms >= wanted_ms)
        enter(sender, DTMF_SENDER_IDLE);
}

void dtmf_sender_next(struct dtmf_sender *sender, uint32_t frame_ms, uint32_t clock_hz, uint32_t timestamp,
                      struct dtmf_frame *out) {
    *out = (struct dtmf_frame){.kind = DTMF_FRAME_AUDIO};
    if (sender->phase == DTMF_SENDER_IDLE && take(sender))
        begin(sender, timestamp);
    out->digit = sender->digit;
    // A renegotiation in the midst of a digit may have taken the events away.
    if (sender->phase == DTMF_SENDER_END && !clock_hz)
        enter(sender, DTMF_SENDER_GAP);
    switch (sender->phase) {
    case DTMF_SENDER_IDLE:
        return;
    case DTMF_SENDER_TONE:
        tone_frame(sender, frame_ms, clock_hz, out);
        return;
    case DTMF_SENDER_END:
        end_frame(sender, clock_hz, out);
        return;
    case DTMF_SENDER_GAP:
        gap_frame(sender, frame_ms, !clock_hz, out);
        return;
    }
}

bool dtmf_frequencies(char digit, uint32_t *low_hz, uint32_t *high_hz) {
    static const char rows[] = "123A456B789C*0#D";
    static const uint32_t low[] = {697, 770, 852, 941}, high[] = {1209, 1336, 1477, 1633};
    const char *at = digit ? strchr(rows, digit >= 'a' ? digit - 'a' + 'A' : digit) : NULL;
    if (!at)
        return false;
    *low_hz = low[(at - rows) / 4];
    *high_hz = high[(at - rows) % 4];
    return true;
}
