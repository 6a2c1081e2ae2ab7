// SPDX-License-Identifier: Apache-2.0
// Session timers, RFC 4028: what is agreed and when something is due. Pure.
#ifndef IQ_SIP_DIALOG_TIMER_H
#define IQ_SIP_DIALOG_TIMER_H

#include <stdbool.h>
#include <stdint.h>

enum refresher { REFRESHER_UNSAID, REFRESHER_UAC, REFRESHER_UAS };

// What a request, or a response to ours, says about it.
struct session_timer_ask {
    bool supported;     // Supported or Require: timer
    uint32_t expires_s; // Session-Expires, 0 = none
    enum refresher refresher;
    uint32_t min_se_s; // Min-SE, 0 = none
};

struct session_timer {
    uint32_t interval_s; // 0: no timer
    bool ours;           // we refresh; else the peer does
};

struct session_timer_limits {
    uint32_t expires_s; // what we would like
    uint32_t min_se_s;  // the least we take
};

// As the UAS (section 9). With `timer.ours`, our answer says refresher=uas, else uac and Require: timer.
// -ERANGE: 422 with our Min-SE.
int session_timer_answer(struct session_timer *out, const struct session_timer_ask *ask,
                         const struct session_timer_limits *limits);

// As the UAC, after a 2xx to our refresh (section 7.2), which asked for `asked_s`.
struct session_timer session_timer_refreshed(const struct session_timer_ask *answer, uint32_t asked_s);

// Seconds after the last refresh (section 10).
uint32_t session_timer_refresh_s(uint32_t interval_s); // when the refresher sends
uint32_t session_timer_give_up_s(uint32_t interval_s); // when whoever has seen no refresh sends BYE

#endif
