// SPDX-License-Identifier: Apache-2.0
// The agents: one WebSocket server for all of them, ws or wss, that listens for marks and speaks in a pattern; and
// the platform's door that tells a gateway which socket belongs to which caller.
#ifndef IQ_BENCH_AGENT_H
#define IQ_BENCH_AGENT_H

#include "tests/bench/calls/run.h"

struct agents;

int agents_new(struct agents **out, struct run *run);
void agents_free(struct agents *agents);
// Every millisecond; says what is due. `now_ms` is the tick's own time, `now_us` the clock.
void agents_tick(struct agents *agents, int64_t now_ms, int64_t now_us);

#endif
