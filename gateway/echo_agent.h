// SPDX-License-Identifier: Apache-2.0
// The built-in agent "echo": a real WebSocket server on 127.0.0.1, reached by the same client as any agent.
// On connect it says a short greeting tone (in one burst), and then repeats what the caller says one second
// later; text comes back as "echo: <text>". Its path holds a secret made at start, so that no other program
// on the machine talks to it. ctl thread.
#ifndef IQ_GATEWAY_ECHO_AGENT_H
#define IQ_GATEWAY_ECHO_AGENT_H

#include "gateway/agent.h"
#include "gateway/core/err.h"

#include <uv.h>

struct echo_agent;

int echo_agent_new(struct echo_agent **out, uv_loop_t *loop, const struct agent_format *format,
                   struct err_text *err);
const char *echo_agent_url(const struct echo_agent *echo); // ws://127.0.0.1:PORT/…
void echo_agent_close(struct echo_agent *echo, void (*on_closed)(void *arg), void *arg);

#endif
