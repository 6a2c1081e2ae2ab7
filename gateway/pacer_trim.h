// SPDX-License-Identifier: Apache-2.0
// Agents that never stop sending: speech and, between, digital silence at the pace of real time. One whose
// clock is 1 % fast would be half a minute behind the conversation after an hour, and one that began before
// the browser's media was up would stay behind by that much. So silence that comes while much is waiting is
// left out. Speech never is, nor are the pauses of an agent that sends ahead of time: those belong to what it
// says. Pure.
#ifndef IQ_GATEWAY_PACER_TRIM_H
#define IQ_GATEWAY_PACER_TRIM_H

#include "media/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PACER_TRIM_QUEUE_MS = 400, // silence is left out while more than this waits
    PACER_TRIM_KEEP_MS = 100,  // of each pause, so that sentences do not run into each other
};

// Zeroed = fresh.
struct pacer_trim {
    uint64_t begin_us; // of the second that is being measured
    uint64_t come_us;  // audio that has come in it
    bool steady;       // the second before brought no more than real time does
    uint64_t quiet_us; // of the pause that is coming
};

// Nothing but silence: zeros, the quietest codes of G.711, an Opus packet without audio. G.722 has no such
// bytes.
bool pacer_trim_quiet(enum codec_id codec, const uint8_t *data, size_t len);
// A piece of `audio_us` has come; true: leave it out.
bool pacer_trim(struct pacer_trim *trim, bool quiet, uint64_t audio_us, uint32_t queued_ms, uint64_t now_us);

#endif
