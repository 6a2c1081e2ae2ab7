// SPDX-License-Identifier: Apache-2.0
// What is said: ten seconds of quiet synthetic speech with a loud mark once a second, encoded once and played by
// every call from a place of its own. Whoever hears a mark knows how long it was on its way.
#ifndef IQ_BENCH_TRACK_H
#define IQ_BENCH_TRACK_H

#include "media/codec.h"

enum { TRACK_SECONDS = 10, TRACK_MARK_MS = 20, TRACK_MARK_EVERY_MS = 1000 };

struct track {
    enum codec_id codec;
    uint32_t rate_hz, frame_ms;
    size_t frames;
    struct track_frame {
        uint16_t len;
        bool mark; // a mark begins in this frame
        uint8_t bytes[1920];
    } * frame;
};

// -ENOMEM, -EINVAL for a frame that does not go into TRACK_MARK_EVERY_MS.
int track_new(struct track *out, enum codec_id codec, uint32_t rate_hz, uint32_t frame_ms);
void track_clear(struct track *track);

// Finds marks in what is heard. G.711 and L16 are looked at as they are; for the others the decoder runs only while
// a mark is awaited (track_ear_expect), for decoding everything would cost more than the gateway does.
struct track_ear {
    enum codec_id codec;
    uint32_t rate_hz;
    struct codec_decoder *decoder; // owns; G722 and Opus
    int64_t expect_until_us, deaf_until_us;
};
int track_ear_init(struct track_ear *ear, enum codec_id codec, uint32_t rate_hz);
void track_ear_clear(struct track_ear *ear);
void track_ear_expect(struct track_ear *ear, int64_t now_us);
// Whether a mark begins in this payload; the same mark is told once.
bool track_ear_hears(struct track_ear *ear, const uint8_t *payload, size_t len, int64_t now_us);

#endif
