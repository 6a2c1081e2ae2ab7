// SPDX-License-Identifier: Apache-2.0
// How often one source has failed lately, in fixed memory. Sources share slots by hash, so a flood of sources
// may use up the tries of a stranger, and never adds to anybody's. Pure: the caller brings the time.
#ifndef IQ_MIDDLEWARE_TRIES_H
#define IQ_MIDDLEWARE_TRIES_H

#include <stdbool.h>
#include <stdint.h>

enum { TRIES_SLOTS = 1024, TRIES_A_MINUTE = 10, TRIES_WINDOW_MS = 60000 };

struct tries { // all zero at first
    struct {
        uint64_t since_ms;
        unsigned count;
    } slots[TRIES_SLOTS];
};

// Counts one failure of `source`. True while it has no more than TRIES_A_MINUTE in this minute of its.
bool tries_count(struct tries *tries, const char *source, uint64_t now_ms);

#endif
