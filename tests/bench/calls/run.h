// SPDX-License-Identifier: Apache-2.0
// What the parts of the generator share: one thread, one epoll, one clock, and what is counted.
//
//   tick (1 ms, absolute) -> callers send RTP -> server under load -> agent's sockets: marks heard
//                         -> agents speak     -> server under load -> callers' sockets: marks heard
#ifndef IQ_BENCH_RUN_H
#define IQ_BENCH_RUN_H

#include "tests/bench/calls/options.h"
#include "tests/bench/calls/track.h"
#include "tests/bench/common/histogram.h"

#include <stdbool.h>
#include <stdint.h>

// Embedded in whatever waits for a descriptor.
struct source {
    void (*on_event)(struct source *source, uint32_t events);
};

struct counters {
    uint64_t rtp_sent, rtp_received, rtp_gaps; // gaps: sequence numbers that never came to a caller
    uint64_t agent_bytes, agent_messages;
    uint64_t marks_up_sent, marks_up_heard, marks_down_sent, marks_down_heard;
    uint64_t answered, refused, failed, redirected, agents_connected, agents_lost, byes_received;
};

// Of one call; when its last mark left, 0 once it was heard.
struct mark_times {
    int64_t up_us, down_us;
    bool live; // both sides are up
};

struct run {
    int epoll;
    struct options options;
    struct track caller_track, agent_track;
    struct mark_times *marks; // options.calls of them
    struct counters counters;
    struct histogram up, down, setup, lateness;
    struct histogram late_up, late_down; // up and down of the calls begun while it is measured (--more)
    int64_t began_us, measured_us;       // when the first call and the measurement began
    uint64_t turn;                       // of the loop, from 1
    bool measuring;                      // after the warm-up: what is heard counts
};

int64_t run_now_us(void);
int64_t run_life_us(const struct run *run); // how long the next call lives, at random; 0 = to the end
int64_t run_pause_us(void);                 // between a call and the next one of its caller, at random
int run_watch(struct run *run, int fd, uint32_t events,
              struct source *source);                                      // EPOLL_CTL_ADD, or MOD when known
bool run_may_begin(const struct run *run, unsigned begun, int64_t now_us); // one call more
// It did not come up; the first `why` of each kind is said. Refused: the server had no room and said so.
void run_call_failed(struct run *run, bool refused, const char *why);
void run_mark_sent(struct run *run, unsigned call, bool up, int64_t now_us);
void run_mark_heard(struct run *run, unsigned call, bool up, int64_t now_us);

#endif
