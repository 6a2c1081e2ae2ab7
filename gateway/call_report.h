// SPDX-License-Identifier: Apache-2.0
// The one line a call leaves in the log when it ends: who ended it and why, how long, codec, packets, loss,
// jitter.
#ifndef IQ_GATEWAY_CALL_REPORT_H
#define IQ_GATEWAY_CALL_REPORT_H

#include "gateway/bridge.h"
#include "media/leg.h"

#include <stdint.h>

// How long each step before the conversation took; 0 for those that a call of its kind has not.
struct call_setup {
    char sip_call_id[256];          // of a trunk's call, "" for a browser's
    uint32_t claim_ms, platform_ms; // Redis, and the platform's initiate
    uint32_t agent_ms, confirm_ms;  // the agent's socket; from our 200 to its ACK
};

// Borrowed for the call.
struct call_report {
    const char *call_id;
    const struct leg *leg;
    const struct bridge *bridge; // NULL when the call never came so far
    const struct call_setup *setup;
    uint64_t began_us, up_us; // up_us 0 likewise
    const char *code, *message;
};

void call_report(const struct call_report *report);

#endif
