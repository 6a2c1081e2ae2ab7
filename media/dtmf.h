// SPDX-License-Identifier: Apache-2.0
// Digits received: RFC 4733 events read, and one press that is heard in several ways told once. Pure.
#ifndef IQ_MEDIA_DTMF_H
#define IQ_MEDIA_DTMF_H

#include "media/rtp.h"

// When digits are listened for as tones; AUTO: while telephone-event is not negotiated.
enum dtmf_tones { DTMF_TONES_OFF, DTMF_TONES_AUTO, DTMF_TONES_ON };

enum {
    DTMF_EVENTS = 16,          // "0123456789*#ABCD"
    DTMF_MIN_MS = 20,          // shorter is no press (ITU-T Q.24)
    DTMF_MAX_ATTENUATION = 55, // -dBm0; weaker is none (RFC 4733 section 2.3.4)
    DTMF_PAYLOAD_LEN = 4,
};

char dtmf_digit(unsigned event);   // '\0' for an event that is none
int dtmf_event(char digit);        // -1 for a character that is none; letters in either case
bool dtmf_valid(const char *text); // digits and ',' only, at least one

// One stream's events.
struct dtmf_reader {
    uint32_t clock_hz;
    bool any; // the fields below hold an event
    uint32_t ssrc, timestamp;
    uint8_t event;
    uint16_t duration; // ticks, of the latest packet
    bool told, ended;
};

void dtmf_reader_init(struct dtmf_reader *reader, uint32_t clock_hz);

enum dtmf_verdict {
    DTMF_NOTHING, // malformed, no digit, or late news of an older event
    DTMF_PRESS,   // a new press: *digit
    DTMF_HELD,    // *digit, told before, goes on or ends
};
// One packet of the event payload type. A press is told as soon as it has lasted DTMF_MIN_MS, so that neither
// the end, which is sent three times, nor its loss matters. A segment of a long event (section 2.5.1.3) and a
// sender that moves the timestamp with each packet make no new press.
enum dtmf_verdict dtmf_reader_packet(struct dtmf_reader *reader, const struct rtp_packet *packet,
                                     char *digit);

// The ways in which one press may be heard.
enum dtmf_way { DTMF_BY_EVENT, DTMF_BY_INFO, DTMF_BY_TONE };

enum { DTMF_MERGE_US = 250000, DTMF_MERGE_PRESSES = 8 };

struct dtmf_merge {
    struct {
        char digit;
        uint8_t ways;     // heard in, as bits
        uint64_t last_us; // when it was last heard of
    } presses[DTMF_MERGE_PRESSES];
    unsigned next;
};

// False: the same press was told already, having been heard in another way at most DTMF_MERGE_US ago.
bool dtmf_merge_press(struct dtmf_merge *merge, char digit, enum dtmf_way way, uint64_t now_us);
void dtmf_merge_held(struct dtmf_merge *merge, char digit, enum dtmf_way way, uint64_t now_us);

#endif
