// SPDX-License-Identifier: Apache-2.0
// Callers like browsers: ask for a session, signal over a WebSocket, answer ICE's checks as ICE-lite does, DTLS-SRTP,
// Opus. As many as there are calls, on the generator's one thread.
#ifndef IQ_BENCH_WEB_H
#define IQ_BENCH_WEB_H

#include "tests/bench/calls/run.h"

struct webs;

int webs_new(struct webs **out, struct run *run);
void webs_free(struct webs *webs);
void webs_tick(struct webs *webs, int64_t now_ms, int64_t now_us); // every millisecond
void webs_hang_up(struct webs *webs);

#endif
