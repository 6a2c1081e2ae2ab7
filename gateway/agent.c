// SPDX-License-Identifier: Apache-2.0
//
//   wsc -> dialect on_data -> agent_give_audio, agent_give_text -> owner
//   owner -> agent_send_* -> dialect -> agent_write -> wsc
#include "gateway/agent.h"

#include "gateway/agent_ops.h"
#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "gateway/core/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PING_MS = 15000,
    SEND_LIMIT = 128 * 1024, // the largest text and, at 16 kHz PCM, two seconds of audio
    EARLY_MAX = 68 * 1024,   // of texts that wait for the socket: one of the largest and a few small ones
    EARLY_OVERHEAD = 64,     // what one costs beside its bytes
};

// A text given before the socket was open.
struct early_text {
    struct early_text *next;
    size_t len;
    char text[];
};

struct agent {
    const struct agent_ops *ops;
    void *state; // the dialect's
    struct wsc *ws;
    struct agent_events events;
    bool opened, ended, closing;
    struct early_text *early, **early_tail; // owns; in their order
    size_t early_bytes;
    unsigned fail_code; // what agent_close sends instead of its own code, 0 for none
    char fail_reason[96];
    char call_id[80];
};

static const struct agent_ops *find_dialect(const char *name) {
    static const struct agent_ops *const dialects[] = {&agent_iqra_ops};
    for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++) {
        if (strcmp(dialects[i]->dialect, name) == 0)
            return dialects[i];
    }
    return NULL;
}

// ---- for dialects

void agent_give_audio(struct agent *agent, const uint8_t *data, size_t len, bool message_end) {
    if (message_end)
        metric_add(METRIC_AGENT_FRAMES_IN, 1);
    if (!agent->closing && !agent->ended)
        agent->events.on_audio(data, len, message_end, agent->events.arg);
}

void agent_give_text(struct agent *agent, const char *text, size_t len) {
    if (!agent->closing && !agent->ended)
        agent->events.on_text(text, len, agent->events.arg);
}

bool agent_give_dtmf(struct agent *agent, const char *digits) {
    if (agent->closing || agent->ended || !agent->events.on_dtmf)
        return false;
    return agent->events.on_dtmf(digits, agent->events.arg);
}

int agent_write(struct agent *agent, enum wsc_kind kind, const uint8_t *data, size_t len) {
    return agent->opened && !agent->ended && !agent->closing ? wsc_send(agent->ws, kind, data, len)
                                                             : -ENOTCONN;
}

const char *agent_call_id(const struct agent *agent) {
    return agent->call_id;
}

static void agent_end(struct agent *agent, unsigned code, const char *reason) {
    if (agent->ended || agent->closing)
        return;
    agent->ended = true;
    if (!agent->opened)
        metric_add(METRIC_AGENT_FAILED, 1);
    log_write(agent->opened && code == 1000 ? LOG_INFO : LOG_WARN, agent->call_id, "agent", "%s: %u %s",
              agent->opened ? "ended" : "not reached", code, reason);
    agent->events.on_end(agent->opened, code, reason, agent->events.arg);
}

void agent_fail(struct agent *agent, unsigned code, const char *reason) {
    agent->fail_code = code;
    snprintf(agent->fail_reason, sizeof agent->fail_reason, "%s", reason);
    agent_end(agent, code, agent->fail_reason);
}

// ---- texts that come before the socket is open

static int early_add(struct agent *agent, const char *text, size_t len) {
    if (agent->early_bytes + len + EARLY_OVERHEAD > EARLY_MAX)
        return -EAGAIN;
    struct early_text *early = malloc(sizeof *early + len);
    if (!early)
        return -ENOMEM;
    early->next = NULL;
    early->len = len;
    if (len)
        memcpy(early->text, text, len);
    *agent->early_tail = early;
    agent->early_tail = &early->next;
    agent->early_bytes += len + EARLY_OVERHEAD;
    return 0;
}

// Sends those that wait, or drops them.
static void early_empty(struct agent *agent, bool send) {
    while (agent->early) {
        struct early_text *early = agent->early;
        agent->early = early->next;
        int err = send ? agent->ops->send_text(agent->state, early->text, early->len) : 0;
        if (err)
            log_warn(agent->call_id, "agent", "a text was lost (%s)", err_name(err));
        free(early);
    }
    agent->early_tail = &agent->early;
    agent->early_bytes = 0;
}

// ---- the socket's events

static void on_open(void *arg) {
    struct agent *agent = arg;
    agent->opened = true;
    metric_add(METRIC_AGENT_CONNECTED, 1);
    early_empty(agent, true);
    agent->events.on_open(agent->events.arg);
}

static void on_data(enum wsc_kind kind, const uint8_t *data, size_t len, bool end, void *arg) {
    struct agent *agent = arg;
    if (!agent->ended)
        agent->ops->on_data(agent->state, kind, data, len, end);
}

static void on_end(unsigned code, const char *reason, void *arg) {
    agent_end(arg, code, reason);
}

static void on_closed(void *arg) {
    struct agent *agent = arg;
    if (agent->events.on_closed)
        agent->events.on_closed(agent->events.arg);
    agent->ops->free(agent->state);
    early_empty(agent, false);
    free(agent);
}

// ---- the owner's calls

int agent_connect(struct agent **out, const struct agent_config *config, const struct agent_events *events) {
    struct agent *agent = calloc(1, sizeof *agent);
    if (!agent)
        return -ENOMEM;
    int err = -EINVAL;
    agent->events = *events;
    agent->early_tail = &agent->early;
    snprintf(agent->call_id, sizeof agent->call_id, "%s", config->call_id ? config->call_id : "");
    agent->ops = find_dialect(config->dialect ? config->dialect : "");
    if (!agent->ops)
        goto out;
    err = agent->ops->open(agent, &agent->state);
    if (err)
        goto out;
    const struct wsc_config wsc = {.loop = config->loop,
                                   .tls = config->tls,
                                   .url = config->url,
                                   .headers = config->headers,
                                   .header_count = config->header_count,
                                   .connect_timeout_ms = config->connect_timeout_ms,
                                   .ping_interval_ms = PING_MS,
                                   .send_limit_bytes = SEND_LIMIT,
                                   .call_id = agent->call_id};
    const struct wsc_events up = {
        .on_open = on_open, .on_data = on_data, .on_end = on_end, .on_closed = on_closed, .arg = agent};
    err = wsc_connect(&agent->ws, &wsc, &up);
    if (err)
        goto out_state;
    *out = agent;
    return 0;

out_state:
    agent->ops->free(agent->state);
out:
    free(agent);
    return err;
}

int agent_send_audio(struct agent *agent, const uint8_t *frame, size_t len) {
    int err = agent->ops->send_audio(agent->state, frame, len);
    if (!err)
        metric_add(METRIC_AGENT_FRAMES_OUT, 1);
    else if (err == -EAGAIN)
        metric_add(METRIC_AGENT_DROPPED, 1);
    return err;
}

int agent_send_text(struct agent *agent, const char *text, size_t len) {
    if (!agent->opened && !agent->ended && !agent->closing)
        return early_add(agent, text, len);
    return agent->ops->send_text(agent->state, text, len);
}

int agent_send_dtmf(struct agent *agent, char digit) {
    return agent->ops->send_dtmf(agent->state, digit);
}

void agent_pause(struct agent *agent, bool paused) {
    if (!agent->closing && !agent->ended)
        wsc_pause(agent->ws, paused);
}

void agent_close(struct agent *agent, unsigned code, const char *reason) {
    if (agent->closing)
        return;
    agent->closing = true;
    if (agent->fail_code)
        wsc_close(agent->ws, agent->fail_code, agent->fail_reason);
    else
        wsc_close(agent->ws, code, reason);
}
