// SPDX-License-Identifier: Apache-2.0
#include "gateway/call.h"

#include "gateway/call_impl.h"
#include "gateway/core/err.h"
#include "gateway/core/fds.h"
#include "gateway/core/log.h"
#include "gateway/core/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct call_side *side_of(enum call_kind kind) {
    static const struct call_side *const sides[] = {
        [CALL_BROWSER] = &call_browser_side, [CALL_TRUNK] = &call_trunk_side};
    return sides[kind];
}

// ---- the end

static void call_maybe_gone(struct call *call) {
    if (call->leg.ops || call->agent || !call->timer_closed)
        return;
    struct call_env env = call->env;
    uint64_t handle = call->handle;
    metric_add(METRIC_CALLS, -1);
    if (call->side->close)
        call->side->close(call);
    free(call->agent_url);
    conf_free(call->conf);
    free(call);
    env.on_gone(handle, env.arg);
}

static void on_timer_closed(uv_handle_t *timer) {
    struct call *call = timer->data;
    call->timer_closed = true;
    call_maybe_gone(call);
}

void call_post(struct call *call, enum call_mail type, const char *text) {
    struct call_msg *msg = call_msg_new(text, NULL, NULL);
    if (msg)
        call->env.post(type, call->handle, msg, call->env.arg);
}

void call_post_refusal(struct call *call, const char *code, const char *message) {
    struct call_msg *msg = call_msg_new(message, code, NULL);
    if (msg)
        call->env.post(SESSION_REFUSED, call->handle, msg, call->env.arg);
}

// Allocation may fail, but the news may not be lost: a NULL message is a plain hang-up.
static void call_post_end(struct call *call, enum call_cause cause, const char *code, const char *message) {
    struct call_msg *msg = call_msg_new(message, code, NULL);
    if (msg)
        msg->cause = cause;
    call->env.post(SESSION_ENDED, call->handle, msg, call->env.arg);
}

void call_figures(const struct call *call, struct call_figures *out) {
    call_figures_take(out, &call->setup, &call->leg, call->bridge, call->up_us);
}

void call_end(struct call *call, enum call_cause cause, const char *code, const char *message) {
    if (call->state == CALL_ENDING)
        return;
    call->state = CALL_ENDING;
    if (cause != CALL_HUNG_UP)
        metric_add(METRIC_CALLS_FAILED, 1);
    struct call_figures figures;
    call_figures(call, &figures);
    const struct call_report report = {.call_id = call->id,
                                       .figures = &figures,
                                       .began_us = call->began_us,
                                       .code = code,
                                       .message = message};
    call_report(&report);
    bridge_free(call->bridge);
    call->bridge = NULL;
    call->leg.ops->close(call->leg.impl, message);
    if (call->agent)
        agent_close(call->agent, 1000, "call ended");
    uv_close((uv_handle_t *)&call->timer, on_timer_closed);
    call_post_end(call, cause, code, message);
}

// ---- the agent's side

static void on_agent_open(void *arg) {
    struct call *call = arg;
    call->agent_open = true;
    call->setup.agent_ms = (uint32_t)((ticker_now_us() - call->calling_us) / 1000);
    log_info(call->id, "call", "agent connected");
    if (!call->bridge)
        return;
    bridge_agent_up(call->bridge);
    if (call->side->agent_up)
        call->side->agent_up(call);
}

static void on_agent_audio(const uint8_t *data, size_t len, bool message_end, void *arg) {
    struct call *call = arg;
    if (call->bridge)
        bridge_agent_audio(call->bridge, data, len, message_end);
}

static void on_agent_text(const char *text, size_t len, void *arg) {
    struct call *call = arg;
    if (call->state == CALL_ENDING)
        return;
    int err = call->leg.ops->send_text(call->leg.impl, text, len);
    if (err && !call->text_lost) {
        call->text_lost = true;
        log_warn(call->id, "call", "the agent's text cannot go to the %s (%s); said once a call",
                 call->side->name, err_name(err));
    }
}

static bool on_agent_dtmf(const char *digits, void *arg) {
    struct call *call = arg;
    if (call->state == CALL_ENDING || !call->leg.ops->send_dtmf)
        return false;
    int err = call->leg.ops->send_dtmf(call->leg.impl, digits);
    if (err)
        log_warn(call->id, "call", "the agent's digits cannot go to the %s (%s)", call->side->name,
                 err_name(err));
    return true;
}

static void on_agent_end(bool was_open, unsigned code, const char *reason, void *arg) {
    struct call *call = arg;
    if (call->state == CALL_ENDING)
        return;
    log_info(call->id, "call", "agent ended: %s (%u)", reason, code);
    if (!was_open)
        call_end(call, CALL_NO_AGENT, "agent_unavailable", "The voice agent cannot be reached.");
    else if (code == 1000 || code == 1001 || code == 1005)
        call_end(call, CALL_HUNG_UP, "agent_hangup", "The agent ended the call.");
    else
        call_end(call, CALL_NO_AGENT, "agent_lost", "The connection to the voice agent was lost.");
}

static void on_agent_closed(void *arg) {
    struct call *call = arg;
    call->agent = NULL;
    call_maybe_gone(call);
}

static int call_connect_agent(struct call *call) {
    const struct conf *conf = call->conf;
    struct wsc_header headers[32];
    size_t count = 0;
    for (; count < conf->agent.header_count && count < sizeof headers / sizeof headers[0]; count++)
        headers[count] =
            (struct wsc_header){conf->agent.headers[count].name, conf->agent.headers[count].value};
    const struct agent_config config = {
        .loop = call->env.loop,
        .tls = call->env.tls,
        .url = call->agent_url,
        .headers = headers,
        .header_count = count,
        .connect_timeout_ms = (uint32_t)conf->agent.connect_timeout_ms,
        .call_id = call->id,
        .dialect = conf->agent.dialect,
        .format = call->format,
    };
    const struct agent_events events = {.on_open = on_agent_open,
                                        .on_audio = on_agent_audio,
                                        .on_text = on_agent_text,
                                        .on_dtmf = on_agent_dtmf,
                                        .on_end = on_agent_end,
                                        .on_closed = on_agent_closed,
                                        .arg = call};
    return agent_connect(&call->agent, &config, &events);
}

// ---- the bridge's hold on the agent

static int bridge_send_audio(const uint8_t *frame, size_t len, void *arg) {
    struct call *call = arg;
    return call->agent && call->agent_open ? agent_send_audio(call->agent, frame, len) : -ENOTCONN;
}

static void bridge_pause(bool paused, void *arg) {
    struct call *call = arg;
    if (call->agent)
        agent_pause(call->agent, paused);
}

static int call_bridge(struct call *call) {
    const struct bridge_config config = {.ticker = call->env.ticker,
                                         .leg = call->leg,
                                         .format = call->format,
                                         .complexity = call->env.complexity};
    const struct bridge_ops ops = {.send_audio = bridge_send_audio, .pause = bridge_pause, .arg = call};
    return bridge_new(&call->bridge, &config, &ops);
}

void call_connect(struct call *call) {
    call->state = CALL_CONNECTING;
    call->calling_us = ticker_now_us();
    int err = call_bridge(call);
    if (!err)
        err = call_connect_agent(call);
    if (!err)
        return;
    log_error(call->id, "call", "cannot start the agent's side (%s)", err_name(err));
    call_end(call, CALL_NO_AGENT, "agent_unavailable", "The voice agent cannot be reached.");
}

// ---- the far side's leg

static void on_leg_up(void *arg) {
    struct call *call = arg;
    if (call->state != CALL_CONNECTING)
        return;
    call->state = CALL_UP;
    call->up_us = ticker_now_us();
    uint64_t before_us = (call->setup.claim_ms + call->setup.platform_ms) * 1000ull;
    metric_observe(call->side == &call_trunk_side ? HISTOGRAM_SETUP_SIP : HISTOGRAM_SETUP_BROWSER,
                   (call->up_us - call->began_us + before_us) * 1000);
    metric_add(METRIC_CALLS_CONNECTED, 1);
    log_info(call->id, "call", "media is up %u ms after the call began",
             (unsigned)((call->up_us - call->began_us) / 1000));
    if (bridge_leg_up(call->bridge) != 0)
        call_end(call, CALL_INTERNAL, "internal", "The gateway could not bridge the call.");
}

static void on_leg_media(void *arg) {
    struct call *call = arg;
    if (call->state == CALL_UP && bridge_leg_media(call->bridge) != 0)
        call_end(call, CALL_INTERNAL, "internal", "The gateway could not follow the change of codec.");
}

static void on_leg_audio(void *arg) {
    struct call *call = arg;
    if (call->state == CALL_UP)
        bridge_leg_audio(call->bridge);
}

static void on_leg_text(const char *text, size_t len, void *arg) {
    struct call *call = arg;
    int err = call->agent ? agent_send_text(call->agent, text, len) : -ENOTCONN;
    if (err && !call->leg_text_lost) {
        call->leg_text_lost = true;
        log_warn(call->id, "call", "a text of %zu bytes cannot go to the agent (%s); said once a call", len,
                 err_name(err));
    }
}

static void on_leg_dtmf(char digit, void *arg) {
    struct call *call = arg;
    int err = call->agent ? agent_send_dtmf(call->agent, digit) : -ENOTCONN;
    log_debug(call->id, "call", "a digit was pressed%s", err ? ", but cannot go to the agent" : "");
}

static void on_leg_end(enum leg_end end, const char *reason, void *arg) {
    struct call *call = arg;
    log_info(call->id, "call", "the %s's media ended: %s", call->side->name, reason);
    if (end == LEG_END_FAILED) {
        call_end(call, CALL_NO_MEDIA, "media_failed", reason);
    } else if (end == LEG_END_LOST) {
        call_end(call, CALL_NO_MEDIA, "media_lost", reason);
    } else {
        char code[32], message[64];
        snprintf(code, sizeof code, "%s_hangup", call->side->name);
        snprintf(message, sizeof message, "The %s hung up.", call->side->name);
        call_end(call, CALL_HUNG_UP, code, message);
    }
}

static void on_leg_closed(void *arg) {
    struct call *call = arg;
    call->leg.ops = NULL;
    call_maybe_gone(call);
}

const struct leg_events call_leg_events = {.on_up = on_leg_up,
                                           .on_media = on_leg_media,
                                           .on_audio = on_leg_audio,
                                           .on_text = on_leg_text,
                                           .on_dtmf = on_leg_dtmf,
                                           .on_end = on_leg_end,
                                           .on_closed = on_leg_closed};

// ---- what ctl tells

void call_mail(struct call *call, enum call_mail type, const struct call_msg *msg) {
    if (call->state == CALL_ENDING)
        return;
    if (type == CALL_HANGUP)
        call_end(call, CALL_HUNG_UP, msg && msg->mid ? msg->mid : "hangup",
                 msg && msg->text ? msg->text : "hung up");
    else
        call->side->mail(call, type, msg);
}

int call_new(struct call **out, const struct call_env *env, uint64_t handle, const struct call_open *open) {
    // GLib ends the program when it cannot have a descriptor for a context.
    if (!fds_left(FDS_PER_CALL))
        return -EMFILE;
    struct call *call = calloc(1, sizeof *call);
    if (!call)
        return -ENOMEM;
    call->env = *env;
    call->side = side_of(open->kind);
    call->handle = handle;
    call->format = open->format;
    call->began_us = ticker_now_us();
    memcpy(call->id, open->session_id, sizeof call->id);
    int err = -ENOMEM;
    call->agent_url = strdup(open->agent_url);
    if (!call->agent_url)
        goto out_call;
    call->conf = conf_hold(env->conf);
    err = call->side->open(call, open);
    if (err)
        goto out_conf;
    uv_timer_init(env->loop, &call->timer);
    call->timer.data = call;
    metric_add(METRIC_CALLS, 1);
    metric_add(METRIC_CALLS_STARTED, 1);
    *out = call;
    call->side->begin(call, open);
    return 0;

out_conf:
    conf_free(call->conf);
    free(call->agent_url);
out_call:
    free(call);
    return err;
}
