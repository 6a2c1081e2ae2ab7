// SPDX-License-Identifier: Apache-2.0
#include "gateway/call.h"

#include "gateway/bridge.h"
#include "gateway/call_report.h"
#include "gateway/core/err.h"
#include "gateway/core/fds.h"
#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "signaling/browser.h"

#include <stdlib.h>
#include <string.h>

enum {
    OFFER_TIMEOUT_MS = 30000,   // from the signalling socket to the first offer
    CONNECT_TIMEOUT_MS = 20000, // from the answer to media
    GRACE_MS = 10000,           // for a lost network to come back
    // A browser that died sends nothing more; one whose signalling was cut by a proxy goes on sending audio.
    // Opus DTX sends every 400 ms, so this long without a packet after the socket dropped means that nobody
    // is there.
    SILENT_AFTER_DROP_MS = 700,
    // What still comes in this long after the drop was on its way, or sent by a process half dead.
    LAST_PACKETS_US = 200000,
};

enum call_state { CALL_WAITING, CALL_CONNECTING, CALL_UP, CALL_ENDING };

struct call {
    struct call_env env;
    const struct conf *conf; // held, since the worker's may be replaced meanwhile
    uint64_t handle;
    char id[128];
    char *agent_url;
    struct agent_format format;
    enum call_state state;
    struct peer *peer;     // owned until its on_closed
    struct leg leg;        // of the peer
    struct agent *agent;   // owned until its on_closed
    struct bridge *bridge; // owned; before call_end only
    uv_timer_t timer;      // offer timeout, then what follows a dropped socket
    bool timer_closed;
    bool agent_open;
    bool text_lost;         // said once
    bool leg_text_lost;     // likewise
    uint64_t dropped_at_us; // when the signalling socket dropped, 0 while it is there
    uint64_t began_us, up_us;
};

static void call_end(struct call *call, unsigned close_code, const char *code, const char *message);

static void call_post_text(struct call *call, enum call_mail type, const char *text) {
    struct call_msg *msg = call_msg_new(text, NULL, NULL);
    if (msg)
        call->env.post(type, call->handle, msg, call->env.arg);
}

static void call_maybe_gone(struct call *call) {
    if (call->peer || call->agent || !call->timer_closed)
        return;
    struct call_env env = call->env;
    uint64_t handle = call->handle;
    metric_add(METRIC_CALLS, -1);
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

// Says to ctl how the call ended. Allocation may fail, but the news may not be lost: a NULL message is a
// plain hang-up.
static void call_post_error(struct call *call, enum call_mail type, unsigned close_code, const char *code,
                            const char *message) {
    struct call_msg *msg = call_msg_new(message, code, NULL);
    if (msg)
        msg->close_code = close_code;
    call->env.post(type, call->handle, msg, call->env.arg);
}

static void call_end(struct call *call, unsigned close_code, const char *code, const char *message) {
    if (call->state == CALL_ENDING)
        return;
    call->state = CALL_ENDING;
    if (close_code)
        metric_add(METRIC_CALLS_FAILED, 1);
    call_report(call->id, call->leg.ops ? &call->leg : NULL, call->bridge, call->began_us, call->up_us, code,
                message);
    bridge_free(call->bridge);
    call->bridge = NULL;
    if (call->peer && call->leg.ops)
        call->leg.ops->close(call->leg.impl, message);
    if (call->agent)
        agent_close(call->agent, 1000, "call ended");
    uv_close((uv_handle_t *)&call->timer, on_timer_closed);
    call_post_error(call, SESSION_ENDED, close_code, code, message);
}

// ---- the agent's side

static void on_agent_open(void *arg) {
    struct call *call = arg;
    call->agent_open = true;
    log_info(call->id, "call", "agent connected");
    if (call->bridge)
        bridge_agent_up(call->bridge);
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
        log_warn(call->id, "call", "the agent's text cannot go to the browser (%s); said once a call",
                 err_name(err));
    }
}

static void on_agent_end(bool was_open, unsigned code, const char *reason, void *arg) {
    struct call *call = arg;
    if (call->state == CALL_ENDING)
        return;
    log_info(call->id, "call", "agent ended: %s (%u)", reason, code);
    if (!was_open)
        call_end(call, BROWSER_CLOSE_AGENT, "agent_unavailable", "The voice agent cannot be reached.");
    else if (code == 1000 || code == 1001 || code == 1005)
        call_end(call, 0, "agent_hangup", "The agent ended the call.");
    else
        call_end(call, BROWSER_CLOSE_AGENT, "agent_lost", "The connection to the voice agent was lost.");
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
    const struct bridge_config config = {
        .ticker = call->env.ticker, .leg = call->leg, .format = call->format, .comfort_noise = false};
    const struct bridge_ops ops = {.send_audio = bridge_send_audio, .pause = bridge_pause, .arg = call};
    return bridge_new(&call->bridge, &config, &ops);
}

// ---- the browser's side

static void on_leg_up(void *arg) {
    struct call *call = arg;
    if (call->state != CALL_CONNECTING)
        return;
    call->state = CALL_UP;
    call->up_us = ticker_now_us();
    metric_add(METRIC_CALLS_CONNECTED, 1);
    log_info(call->id, "call", "media is up %u ms after the socket",
             (unsigned)((call->up_us - call->began_us) / 1000));
    if (bridge_leg_up(call->bridge) != 0)
        call_end(call, BROWSER_CLOSE_INTERNAL, "internal", "The gateway could not bridge the call.");
}

static void on_leg_media(void *arg) {
    struct call *call = arg;
    if (call->state == CALL_UP && bridge_leg_media(call->bridge) != 0)
        call_end(call, BROWSER_CLOSE_INTERNAL, "internal",
                 "The gateway could not follow the change of codec.");
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
    log_info(call->id, "call", "DTMF %c: the iqra dialect has no event for it", digit);
}

static void on_leg_end(enum leg_end end, const char *reason, void *arg) {
    struct call *call = arg;
    log_info(call->id, "call", "browser's media ended: %s", reason);
    if (end == LEG_END_HANGUP)
        call_end(call, 0, "browser_hangup", "The browser hung up.");
    else if (end == LEG_END_FAILED)
        call_end(call, BROWSER_CLOSE_MEDIA, "media_failed", reason);
    else
        call_end(call, BROWSER_CLOSE_MEDIA, "media_lost", reason);
}

static void on_leg_closed(void *arg) {
    struct call *call = arg;
    call->peer = NULL;
    call_maybe_gone(call);
}

static void on_own_candidate(const struct peer_candidate *candidate, void *arg) {
    struct call *call = arg;
    struct call_msg *msg = candidate
                               ? call_msg_new(candidate->candidate, candidate->sdp_mid, candidate->ufrag)
                               : call_msg_new(NULL, NULL, NULL);
    if (!msg)
        return;
    msg->mline_index = candidate ? candidate->sdp_mline_index : -1;
    call->env.post(SESSION_CANDIDATE, call->handle, msg, call->env.arg);
}

static int call_make_peer(struct call *call, bool same_host) {
    static const struct leg_events events = {.on_up = on_leg_up,
                                             .on_media = on_leg_media,
                                             .on_text = on_leg_text,
                                             .on_dtmf = on_leg_dtmf,
                                             .on_end = on_leg_end,
                                             .on_closed = on_leg_closed};
    const struct peer_config config = {.call_id = call->id,
                                       .pcm_rate_hz = call->format.rate_hz,
                                       .greeting = "Backend connected",
                                       .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                       .grace_ms = GRACE_MS};
    const struct peer_signals signals = {.on_candidate = on_own_candidate, .arg = call};
    const struct peer_env *env = same_host ? call->env.peer_same_host : call->env.peer;
    int err = peer_new(&call->peer, env, &config, &signals, &events, call);
    if (!err)
        call->leg = peer_leg(call->peer);
    return err;
}

// ---- what ctl tells

static const char *offer_code(int err) {
    switch (err) {
    case -ENOENT:
        return "no_audio";
    case -ENOTSUP:
        return "no_common_codec";
    case -EINVAL:
    case -EPROTO:
        return "bad_sdp";
    default: // nothing the browser did: no port is free, or no memory
        return "media_failed";
    }
}

// A bad first offer ends the call; a bad later one is refused and the call goes on as it was.
static void call_bad_offer(struct call *call, int err, const char *text) {
    const char *code = offer_code(err);
    bool ours = strcmp(code, "media_failed") == 0;
    log_warn(call->id, "call", "offer refused: %s (%s)", text, err_name(err));
    if (ours)
        text = "The gateway has no media port to spare.";
    if (call->state == CALL_WAITING)
        call_end(call, ours ? BROWSER_CLOSE_MEDIA : BROWSER_CLOSE_BAD_MESSAGE, code, text);
    else
        call_post_error(call, SESSION_REFUSED, 0, code, text);
}

static void call_offer(struct call *call, const char *sdp) {
    struct err_text err_text = {""};
    char *answer = NULL;
    int err = peer_offer(call->peer, sdp, strlen(sdp), &answer, &err_text);
    if (err) {
        call_bad_offer(call, err, err_text.text);
        return;
    }
    call_post_text(call, SESSION_ANSWER, answer);
    free(answer);
    if (call->state != CALL_WAITING)
        return;
    call->state = CALL_CONNECTING;
    uv_timer_stop(&call->timer);
    err = call_bridge(call);
    if (!err)
        err = call_connect_agent(call);
    if (err) {
        log_error(call->id, "call", "cannot start the agent's side (%s)", err_name(err));
        call_end(call, BROWSER_CLOSE_AGENT, "agent_unavailable", "The voice agent cannot be reached.");
    }
}

static void call_candidate(struct call *call, const struct call_msg *msg) {
    const struct peer_candidate candidate = {.candidate = msg->text,
                                             .sdp_mid = msg->mid,
                                             .sdp_mline_index = msg->mline_index,
                                             .ufrag = msg->ufrag};
    int err = peer_add_candidate(call->peer, &candidate);
    if (err)
        log_debug(call->id, "call", "candidate not used (%s)", err_name(err));
}

static void on_grace_over(uv_timer_t *timer) {
    struct call *call = timer->data;
    call_end(call, BROWSER_CLOSE_MEDIA, "signalling_lost", "The signalling connection did not come back.");
}

static void on_drop_checked(uv_timer_t *timer) {
    struct call *call = timer->data;
    if (peer_last_heard_us(call->peer) <= call->dropped_at_us + LAST_PACKETS_US) {
        call_end(call, 0, "browser_gone",
                 "The browser is gone: its signalling dropped and its media stopped.");
        return;
    }
    log_info(call->id, "call", "signalling dropped, media goes on: waiting %d s for it to come back",
             GRACE_MS / 1000);
    uv_timer_start(timer, on_grace_over, GRACE_MS - SILENT_AFTER_DROP_MS, 0);
}

static void on_offer_timeout(uv_timer_t *timer) {
    struct call *call = timer->data;
    call_end(call, BROWSER_CLOSE_TIMEOUT, "connect_timeout", "No offer came within 30 seconds.");
}

static void call_socket_back(struct call *call) {
    call->dropped_at_us = 0;
    uv_timer_stop(&call->timer);
    if (call->state == CALL_WAITING)
        uv_timer_start(&call->timer, on_offer_timeout, OFFER_TIMEOUT_MS, 0);
}

void call_mail(struct call *call, enum call_mail type, const struct call_msg *msg) {
    if (call->state == CALL_ENDING)
        return;
    switch (type) {
    case CALL_OFFER:
        call_offer(call, msg->text);
        break;
    case CALL_CANDIDATE:
        call_candidate(call, msg);
        break;
    case CALL_SOCKET_LOST:
        call->dropped_at_us = ticker_now_us();
        uv_timer_start(&call->timer, on_drop_checked, SILENT_AFTER_DROP_MS, 0);
        break;
    case CALL_SOCKET_BACK:
        call_socket_back(call);
        break;
    case CALL_HANGUP:
        call_end(call, 0, "hangup", msg && msg->text ? msg->text : "hung up");
        break;
    default:
        break;
    }
}

int call_new(struct call **out, const struct call_env *env, uint64_t handle, const struct call_open *open) {
    // GLib ends the program when it cannot have a descriptor for a context.
    if (!fds_left(FDS_PER_CALL))
        return -EMFILE;
    struct call *call = calloc(1, sizeof *call);
    if (!call)
        return -ENOMEM;
    call->env = *env;
    call->handle = handle;
    call->format = open->format;
    call->began_us = ticker_now_us();
    memcpy(call->id, open->session_id, sizeof call->id);
    int err = -ENOMEM;
    call->agent_url = strdup(open->agent_url);
    if (!call->agent_url)
        goto out_call;
    err = call_make_peer(call, open->same_host);
    if (err)
        goto out_url;
    uv_timer_init(env->loop, &call->timer);
    call->timer.data = call;
    uv_timer_start(&call->timer, on_offer_timeout, OFFER_TIMEOUT_MS, 0);
    metric_add(METRIC_CALLS, 1);
    metric_add(METRIC_CALLS_STARTED, 1);
    call->conf = conf_hold(env->conf);
    *out = call;
    return 0;

out_url:
    free(call->agent_url);
out_call:
    free(call);
    return err;
}
