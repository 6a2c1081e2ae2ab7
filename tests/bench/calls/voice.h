// SPDX-License-Identifier: Apache-2.0
// One caller's RTP, whatever carries it: what is sent next, and what is learned from what comes.
#ifndef IQ_BENCH_VOICE_H
#define IQ_BENCH_VOICE_H

#include "media/rtp.h"
#include "tests/bench/calls/run.h"

enum { VOICE_FRAME_MS = 20, VOICE_PACKET = RTP_HEADER_LEN + 1920 + 64 };

struct voice {
    struct run *run;
    unsigned call;
    uint8_t payload_type;
    uint16_t seq, expected_seq;
    bool heard_any;
    uint32_t timestamp, ticks;
    size_t next_frame;
    struct track_ear ear;
};

int voice_init(struct voice *voice, struct run *run, unsigned call);
void voice_clear(struct voice *voice);
uint8_t voice_payload_type(enum codec_id codec);
const char *voice_rtpmap(enum codec_id codec); // "PCMU/8000"

// The next packet into `out` (VOICE_PACKET bytes of room); returns its length. `*mark`: tell run_mark_sent.
size_t voice_next(struct voice *voice, uint8_t *out, bool *mark);
void voice_seen(struct voice *voice, uint16_t seq); // a packet came; for the gaps
bool voice_listens(const struct voice *voice);      // a mark is awaited: the payload is worth opening
void voice_hear(struct voice *voice, const struct rtp_packet *packet);

#endif
