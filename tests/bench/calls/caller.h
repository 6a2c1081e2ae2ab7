// SPDX-License-Identifier: Apache-2.0
// The callers: as many SIP user agents as there are calls, on one signalling socket, each with an RTP socket of its
// own. INVITE (a 302 is followed), ACK, RTP at its own phase of every 20 ms, BYE.
#ifndef IQ_BENCH_CALLER_H
#define IQ_BENCH_CALLER_H

#include "tests/bench/calls/run.h"

struct callers;

int callers_new(struct callers **out, struct run *run);
void callers_free(struct callers *callers);
void callers_tick(struct callers *callers, int64_t now_ms, int64_t now_us); // every millisecond
void callers_hang_up(struct callers *callers);                              // all of them: BYE, once

#endif
