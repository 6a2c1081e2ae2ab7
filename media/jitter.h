// SPDX-License-Identifier: Apache-2.0
// Adaptive jitter buffer: packets in as the network brings them, frames out as the reader's clock asks for
// them.
//
//   put: order, drop duplicates and latecomers, measure delay (jitter_delay)
//   get: the frame due now | lost, conceal it | silence (the sender says nothing) | dry, nothing to play
//
// It plays `target` later than a packet that was never delayed would arrive; the target follows the delays
// seen. How late it really plays follows from clock and timestamps alone, so it is the same through silence
// and loss, and clock drift shows as plain excess. Excess goes by leaving out silence, else by playing faster
// (enum jitter_pace).
//
// Timestamps without a packet while sequence numbers are complete are silence, not loss. One thread. Pure but
// for the heap in new and free.
#ifndef IQ_MEDIA_JITTER_H
#define IQ_MEDIA_JITTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    JITTER_SLOTS = 64, // packets held
    JITTER_DEFAULT_MIN_MS = 20,
    JITTER_DEFAULT_MAX_MS = 400,
};

struct jitter;

struct jitter_config {
    uint32_t clock_hz;       // of the timestamps
    uint32_t min_ms, max_ms; // of the target; 0 for the defaults
    size_t max_payload;      // bytes; larger ones are dropped and counted
    size_t pool_bytes;       // for all payloads together
};

int jitter_new(struct jitter **out, const struct jitter_config *config); // -EINVAL, -ENOMEM
void jitter_free(struct jitter *j);                                      // NULL is fine
// Forgets packets, sequence and timestamps (another source, or the same begun anew), not the delays measured.
void jitter_restart(struct jitter *j);

struct jitter_packet {
    uint16_t seq;
    uint32_t timestamp;
    uint32_t
        ticks; // how long it lasts; 0: no audio (an event, comfort noise), it only fills its sequence number
    const uint8_t *payload; // copied
    size_t len;
};

// 0, or why the packet was dropped: -EALREADY a duplicate, -ETIME too late, -EMSGSIZE too large.
int jitter_put(struct jitter *j, const struct jitter_packet *packet, uint64_t now_us);

// What is put from now on may have come so much earlier than it is told of, since this thread was late. It is ripe all the
// same when the reads that this thread is late with come to it, so no delay is learned from that.
void jitter_unsure(struct jitter *j, uint32_t unsure_us);

enum jitter_kind {
    JITTER_IDLE, // nothing has come for long, or still waiting for the target delay: play silence
    JITTER_PACKET,
    JITTER_LOST,    // conceal; `payload` is the next packet where that one may hold FEC for this, else NULL
    JITTER_SILENCE, // the sender sent nothing for this time (DTX)
    JITTER_DRY,     // nothing there, whether late, lost or never sent: conceal
};

// What to do with the frame so that the delay comes nearer to its target. Next time is soon enough.
enum jitter_pace {
    JITTER_STEADY,
    JITTER_FASTER_IF_QUIET, // leave the frame out if nobody would hear that
    JITTER_FASTER,          // leave it out or shorten it
    JITTER_SLOWER,          // lengthen it
};

struct jitter_frame {
    enum jitter_kind kind;
    enum jitter_pace pace;  // of JITTER_PACKET
    uint32_t ticks;         // it lasts
    const uint8_t *payload; // borrows, to the next put or get
    size_t len;
};

// The frame to be heard `ahead_us` after `now_us`: what the reader has already got and not yet played comes
// first. Always answers. One call takes at most one packet.
void jitter_get(struct jitter *j, uint64_t now_us, uint64_t ahead_us, struct jitter_frame *out);

// A reader that takes several packets' worth at once needs the later ones early: by how much. It adds to the
// target.
void jitter_set_lead(struct jitter *j, uint64_t lead_us);

// By how much later than it aims at the audio handed out since the last call was due, in microseconds; negative:
// earlier. False when no packet was handed out. Whoever asks at another moment can make it nearly 0. Counted from when
// packets usually come, not from the earliest: at a target of one packet, 0 is when the next one is to come.
bool jitter_late(struct jitter *j, int64_t *late_us);

struct jitter_stats {
    uint64_t lost; // sequence numbers played without: never came, or came late
    uint64_t late; // came, but after their turn
    uint64_t duplicates;
    uint64_t oversize;
    uint64_t skipped;             // came in time and were dropped unheard, for room or to catch up
    uint64_t concealed_ticks;     // of JITTER_LOST, and of JITTER_DRY once it is known that it was no DTX
    uint32_t target_ms, depth_ms; // what it aims at; audio held now
};
void jitter_stats(const struct jitter *j, struct jitter_stats *out);

#endif
