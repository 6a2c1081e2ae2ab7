// SPDX-License-Identifier: Apache-2.0
#include "media/dtmf.h"

#include <string.h>

enum { END_BIT = 0x80, VOLUME_MASK = 0x3f, OLD_S = 10 };

static const char digits[DTMF_EVENTS + 1] = "0123456789*#ABCD";

char dtmf_digit(unsigned event) {
    return event < DTMF_EVENTS ? digits[event] : '\0';
}

int dtmf_event(char digit) {
    if (digit >= 'a' && digit <= 'd')
        digit = (char)(digit - 'a' + 'A');
    const char *at = digit ? strchr(digits, digit) : NULL;
    return at ? (int)(at - digits) : -1;
}

bool dtmf_valid(const char *text) {
    for (const char *c = text; *c; c++)
        if (*c != ',' && dtmf_event(*c) < 0)
            return false;
    return *text != '\0';
}

// ---- events

void dtmf_reader_init(struct dtmf_reader *reader, uint32_t clock_hz) {
    *reader = (struct dtmf_reader){.clock_hz = clock_hz};
}

struct event {
    uint8_t event, volume;
    bool end;
    uint16_t duration;
};

static bool read_event(const struct rtp_packet *packet, struct event *out) {
    struct span s = span_of(packet->payload, packet->payload_len);
    uint8_t flags;
    if (!span_u8(&s, &out->event) || !span_u8(&s, &flags) || !span_be16(&s, &out->duration))
        return false;
    out->end = flags & END_BIT;
    out->volume = flags & VOLUME_MASK;
    return out->event < DTMF_EVENTS && out->volume <= DTMF_MAX_ATTENUATION;
}

// Of an event before the one at hand: reordered. A jump far back is no reordering but a new beginning.
static bool is_old(const struct dtmf_reader *reader, const struct rtp_packet *packet) {
    uint32_t back = reader->timestamp - packet->timestamp;
    return reader->any && packet->ssrc == reader->ssrc && back && back < reader->clock_hz * OLD_S;
}

// The same press, although the timestamp is another: the next segment of a long one begins where the last
// ended; a sender that moves the timestamp with each packet lets the duration grow.
static bool goes_on(const struct dtmf_reader *reader, const struct rtp_packet *packet,
                    const struct event *event) {
    if (!reader->any || packet->ssrc != reader->ssrc || event->event != reader->event)
        return false;
    if (packet->timestamp == reader->timestamp)
        return true;
    if (reader->ended || packet->marker)
        return false;
    return event->duration > reader->duration || packet->timestamp == reader->timestamp + reader->duration;
}

enum dtmf_verdict dtmf_reader_packet(struct dtmf_reader *reader, const struct rtp_packet *packet,
                                     char *digit) {
    struct event event;
    if (!read_event(packet, &event) || is_old(reader, packet))
        return DTMF_NOTHING;
    bool same = goes_on(reader, packet, &event);
    bool told = same && reader->told;
    bool long_enough = event.duration >= reader->clock_hz / 1000 * DTMF_MIN_MS;
    reader->any = true;
    reader->ssrc = packet->ssrc;
    reader->timestamp = packet->timestamp;
    reader->event = event.event;
    reader->duration = event.duration;
    reader->ended = event.end || (same && reader->ended);
    reader->told = told || long_enough;
    *digit = digits[event.event];
    if (told)
        return DTMF_HELD;
    return reader->told ? DTMF_PRESS : DTMF_NOTHING;
}

// ---- several ways

bool dtmf_merge_press(struct dtmf_merge *merge, char digit, enum dtmf_way way, uint64_t now_us) {
    for (unsigned i = 0; i < DTMF_MERGE_PRESSES; i++) {
        unsigned at = (merge->next + i) % DTMF_MERGE_PRESSES; // the oldest first
        bool recent =
            merge->presses[at].digit == digit && now_us - merge->presses[at].last_us <= DTMF_MERGE_US;
        if (!recent || (merge->presses[at].ways & 1u << way))
            continue;
        merge->presses[at].ways |= (uint8_t)(1u << way);
        return false;
    }
    unsigned at = merge->next;
    merge->next = (at + 1) % DTMF_MERGE_PRESSES;
    merge->presses[at].digit = digit;
    merge->presses[at].ways = (uint8_t)(1u << way);
    merge->presses[at].last_us = now_us;
    return true;
}

void dtmf_merge_held(struct dtmf_merge *merge, char digit, enum dtmf_way way, uint64_t now_us) {
    for (unsigned i = 1; i <= DTMF_MERGE_PRESSES; i++) {
        unsigned at = (merge->next + DTMF_MERGE_PRESSES - i) % DTMF_MERGE_PRESSES; // the latest first
        if (merge->presses[at].digit != digit || !(merge->presses[at].ways & 1u << way))
            continue;
        merge->presses[at].last_us = now_us;
        return;
    }
}
