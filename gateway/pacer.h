// SPDX-License-Identifier: Apache-2.0
// Agent audio of any chunk size in, real time out: what waits between the agent's socket and the leg's tick.
//
//   put (any bytes, any burst) -> queue of up to 30 s -> pull (exactly one frame each ptime) | dry
//
// Speech that begins waits until it is `target` ahead: a few milliseconds at least, up to 100 ms, learned from how
// late the agent's chunks come. An agent that sends at the pace of real time is followed in phase as well: its
// chunks then wait for their frame no longer than they must, and a late one is waited for. No speech is ever dropped
// while the owner heeds pacer_wants_pause; digital silence of an agent that never stops sending is (pacer_trim.h). Pure:
// the caller brings the clock.
#ifndef IQ_GATEWAY_PACER_H
#define IQ_GATEWAY_PACER_H

#include "media/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PACER_QUEUE_MS = 30000,              // from here on the agent is to be paused
    PACER_QUEUE_BYTES = 8 * 1024 * 1024, // likewise
    PACER_CUSHION_MS = 3, // how long before its pull a chunk is to be there, for the agent's jitter
    PACER_PATIENCE_MS =
        16, // what one that comes later than its pull is waited for at most, of a frame four fifths
    PACER_TARGET_MAX_MS = 100,
    PACER_UNDERRUN_MS = 300, // dry for longer: the agent had finished speaking
};

struct pacer;

struct pacer_config {
    enum codec_id codec; // CODEC_OPUS: one message is one packet; any other: a stream of bytes
    uint32_t rate_hz;    // of CODEC_L16
    uint32_t frame_ms;   // what one pull takes
};

int pacer_new(struct pacer **out, const struct pacer_config *config); // -ENOMEM
void pacer_free(struct pacer *pacer);                                 // NULL is fine
void pacer_set_frame_ms(struct pacer *pacer, uint32_t frame_ms);

// -ENOSPC far beyond the limits (the owner did not pause), -ENOMEM: those bytes are dropped and counted. A
// byte that is half a sample waits for the other half; it is forgotten when the agent has been silent at a
// message's end.
int pacer_put(struct pacer *pacer, const uint8_t *data, size_t len, bool message_end, uint64_t now_us);
// What is put from now on may have come so much earlier than it is told of, since this thread was late. Nothing is
// learned of the agent from that: it is not the one that is late.
void pacer_unsure(struct pacer *pacer, uint32_t unsure_us);
bool pacer_wants_pause(const struct pacer *pacer); // with hysteresis

// Streams: fills up to `len` bytes and returns how many there were: 0 when dry or not yet begun; fewer than
// `len` at the end of what has come. Whole samples only.
size_t pacer_pull(struct pacer *pacer, uint8_t *out, size_t len, uint64_t now_us);
// OPUS: the next packet's bytes (<= CODEC_MAX_PAYLOAD) and its duration in ticks of 48 kHz, or 0.
size_t pacer_pull_packet(struct pacer *pacer, uint8_t *out, uint32_t *ticks, uint64_t now_us);

// By how much longer than the cushion even the latest chunks of the last second or two have waited to be pulled;
// negative: less. False when the agent does not send at real time, or nothing is known yet.
bool pacer_late(const struct pacer *pacer, int64_t *late_us);
// Pulls come so much later from now on (negative: earlier).
void pacer_shifted(struct pacer *pacer, int64_t shift_us);

// A pull of `frame_ms` now would be answered in full. False while speech waits to begin.
bool pacer_ready(const struct pacer *pacer);
// How long a pull that is due had better wait for the rest of its frame, in microseconds: an agent at the pace of real
// time that is a little late is waited for rather than a hole sent. 0: not at all.
uint32_t pacer_patience_us(const struct pacer *pacer);

struct pacer_stats {
    uint64_t bytes_in, dropped_bytes, dropped_packets, underruns;
    uint32_t queued_ms, target_ms;
    uint64_t trimmed_ms; // silence left out (pacer_trim.h)
};
uint64_t pacer_underruns(const struct pacer *pacer); // those of the stats alone
void pacer_stats(const struct pacer *pacer, struct pacer_stats *out);

// Speech that is cut off or sets in somewhere in a wave clicks. `valid` of `samples` are the agent's: what is
// missing becomes a 3 ms slope to silence, and after such a cut the next speech fades in. Zeroed = fresh.
struct pacer_edge {
    int16_t last;
    bool cut;
};
void pacer_smooth(struct pacer_edge *edge, int16_t *pcm, size_t samples, size_t valid, uint32_t rate_hz);

#endif
