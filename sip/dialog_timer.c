// SPDX-License-Identifier: Apache-2.0
#include "sip/dialog_timer.h"

#include <errno.h>

int session_timer_answer(struct session_timer *out, const struct session_timer_ask *ask,
                         const struct session_timer_limits *limits) {
    if (!ask->supported && !ask->expires_s) {
        *out = (struct session_timer){0}; // neither the peer nor a proxy between wants one
        return 0;
    }
    // A 422 helps only who understands it; to the others we say a longer time than the proxy between asked for.
    if (ask->supported && ask->expires_s && ask->expires_s < limits->min_se_s)
        return -ERANGE;
    uint32_t least_s = ask->min_se_s > limits->min_se_s ? ask->min_se_s : limits->min_se_s;
    uint32_t interval_s = limits->expires_s;
    if (ask->expires_s && ask->expires_s < interval_s)
        interval_s = ask->expires_s;
    if (interval_s < least_s)
        interval_s = least_s;
    // Left open, it is us: that works also with peers that only say that they can (table 2 allows both).
    bool theirs = ask->supported && ask->refresher == REFRESHER_UAC;
    *out = (struct session_timer){.interval_s = interval_s, .ours = !theirs};
    return 0;
}

struct session_timer session_timer_refreshed(const struct session_timer_ask *answer, uint32_t asked_s) {
    if (!answer->expires_s) // the peer runs no timer; ours goes on, since it finds dead peers
        return (struct session_timer){.interval_s = asked_s, .ours = true};
    return (struct session_timer){.interval_s = answer->expires_s,
                                  .ours = answer->refresher != REFRESHER_UAS};
}

uint32_t session_timer_refresh_s(uint32_t interval_s) {
    return interval_s / 2;
}

uint32_t session_timer_give_up_s(uint32_t interval_s) {
    uint32_t early_s = interval_s / 3 < 32 ? interval_s / 3 : 32;
    return interval_s - early_s;
}
