// SPDX-License-Identifier: Apache-2.0
// Circuit breaker of a service that others wait for: after some failures in a row it is left alone for a
// while, then one request tries it (half-open) and its outcome decides. Pure: the caller brings the time.
#ifndef IQ_MIDDLEWARE_BREAKER_H
#define IQ_MIDDLEWARE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum { BREAKER_FAILURES = 5, BREAKER_REST_MS = 30000 };

struct breaker { // all zero at first: closed
    unsigned failures;
    bool open, trying;
    uint64_t rest_until_ms;
};

// Whether a request may go out now. In the half-open state only the first one may, until its outcome is said.
bool breaker_allows(struct breaker *breaker, uint64_t now_ms);
// The outcome of one that went out. True when this opened or closed the breaker.
bool breaker_outcome(struct breaker *breaker, bool good, uint64_t now_ms);
// Something may have changed: the next request may try.
void breaker_end_rest(struct breaker *breaker);

#endif
