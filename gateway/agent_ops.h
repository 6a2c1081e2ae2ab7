// SPDX-License-Identifier: Apache-2.0
// The seam between the agent's socket (agent.c) and a dialect spoken on it (agent_<dialect>.c).
#ifndef IQ_GATEWAY_AGENT_OPS_H
#define IQ_GATEWAY_AGENT_OPS_H

#include "gateway/agent.h"

// One per dialect, found by name. A dialect MUST bound what it gathers, MUST NOT allocate per audio frame,
// and MUST NOT block. It may call agent_fail from on_data. `state` is its own, made by open (NULL and -ENOMEM
// when it cannot).
struct agent_ops {
    const char *dialect;
    int (*open)(struct agent *agent, void **state);
    void (*free)(void *state);
    // A piece of a message, as from wsc_events.on_data. Gives audio and text up by agent_give_*.
    void (*on_data)(void *state, enum wsc_kind kind, const uint8_t *data, size_t len, bool end);
    int (*send_audio)(void *state, const uint8_t *frame, size_t len);
    int (*send_text)(void *state, const char *text, size_t len);
    int (*send_dtmf)(void *state, char digit);
};

extern const struct agent_ops agent_iqra_ops;

// For dialects.
void agent_give_audio(struct agent *agent, const uint8_t *data, size_t len, bool message_end);
void agent_give_text(struct agent *agent, const char *text, size_t len);
// Digits for the far side; false: it takes none, so the message is an ordinary text after all.
bool agent_give_dtmf(struct agent *agent, const char *digits);
int agent_write(struct agent *agent, enum wsc_kind kind, const uint8_t *data, size_t len); // as wsc_send
const char *agent_call_id(const struct agent *agent);                                      // for logs
// The agent broke the rules: on_end now, and `code` on the wire when the owner closes.
void agent_fail(struct agent *agent, unsigned code, const char *reason);

#endif
