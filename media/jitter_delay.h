// SPDX-License-Identifier: Apache-2.0
// How late packets are, and hence how long to wait for them. A packet's offset is its arrival less its
// timestamp, both in microseconds; the lowest offset of late is a packet that did not wait anywhere, and what
// others have above it is their delay. The target is what covers nearly all delays of a histogram that
// forgets. Following the lowest offset also follows the drift between the sender's clock and ours. Pure. No
// heap.
#ifndef IQ_MEDIA_JITTER_DELAY_H
#define IQ_MEDIA_JITTER_DELAY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    JITTER_DELAY_BINS = 128,
    JITTER_DELAY_BIN_US = 5000,   // so delays to 640 ms are told apart
    JITTER_DELAY_USUAL_US = 1500, // more is a network of which no packet's time can be foretold
};

struct jitter_delay {
    int64_t min_us, max_us; // bounds of the target
    int64_t target_us;      // how long after an undelayed packet its like are played
    bool started;
    int64_t floor_us; // the lowest offset of the last five to ten seconds
    int64_t usual_us; // an offset that nine packets of ten do not exceed, at most so far above the floor
    int64_t low_us, low_before_us; // of the running half of that window, and of the half before it
    uint64_t half_since_us, updated_us;
    int64_t base_us;   // the offset bin 0 begins at; within one bin of floor_us
    float total, step; // `step` grows instead of all weights shrinking
    float weights[JITTER_DELAY_BINS];
};

void jitter_delay_init(struct jitter_delay *d, uint32_t min_ms, uint32_t max_ms);
// One packet's offset, of which up to `unsure_us` may be this thread's own lateness: so much of it tells nothing of the
// network. The target rises at once and falls by 20 ms a second.
void jitter_delay_sample(struct jitter_delay *d, int64_t offset_us, uint32_t unsure_us, uint64_t now_us);
// The sender's clock has jumped, or it paused: this offset is now the lowest. What is known of delays stays.
void jitter_delay_rebase(struct jitter_delay *d, int64_t offset_us, uint64_t now_us);

#endif
