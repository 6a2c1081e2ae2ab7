// SPDX-License-Identifier: Apache-2.0
#include "middleware/breaker.h"

bool breaker_allows(struct breaker *breaker, uint64_t now_ms) {
    if (!breaker->open)
        return true;
    if (breaker->trying || now_ms < breaker->rest_until_ms)
        return false;
    breaker->trying = true;
    return true;
}

bool breaker_outcome(struct breaker *breaker, bool good, uint64_t now_ms) {
    bool was_open = breaker->open;
    breaker->trying = false;
    if (good) {
        breaker->failures = 0;
        breaker->open = false;
        return was_open;
    }
    if (breaker->failures < BREAKER_FAILURES)
        breaker->failures++;
    breaker->open = breaker->failures >= BREAKER_FAILURES;
    // Of several that were out when it opened, the later failures do not make the rest longer.
    if (breaker->open && now_ms >= breaker->rest_until_ms)
        breaker->rest_until_ms = now_ms + BREAKER_REST_MS;
    return breaker->open != was_open;
}

void breaker_end_rest(struct breaker *breaker) {
    breaker->rest_until_ms = 0;
}
