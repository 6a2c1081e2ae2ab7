// SPDX-License-Identifier: Apache-2.0
// How a call is doing, or has done: plain data, taken on its worker, for the log and the operator.
#ifndef IQ_GATEWAY_CALL_FIGURES_H
#define IQ_GATEWAY_CALL_FIGURES_H

#include "gateway/bridge.h"
#include "media/leg.h"
#include "media/mos.h"

#include <jansson.h>
#include <stdint.h>

// How long each step before the conversation took; 0 for those that a call of its kind has not.
struct call_setup {
    char sip_call_id[256];          // of a trunk's call, "" for a browser's
    uint32_t claim_ms, platform_ms; // Redis, and the platform's initiate
    uint32_t agent_ms, confirm_ms;  // the agent's socket; from our 200 to its ACK
};

struct call_figures {
    struct call_setup setup;
    bool up;            // media is or was up; without it nothing below is set
    uint64_t talked_ms; // since then
    struct leg_media media;
    struct leg_stats rtp;
    struct bridge_stats agent;
    struct mos mos;
};

// `bridge` may be NULL, and up_us 0, while the call has not come so far.
void call_figures_take(struct call_figures *out, const struct call_setup *setup, const struct leg *leg,
                       const struct bridge *bridge, uint64_t up_us);
void call_figures_json(const struct call_figures *figures, json_t *item); // adds its members to `item`

#endif
