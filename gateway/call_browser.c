// SPDX-License-Identifier: Apache-2.0
//
// A browser as a call's far side: its offers and candidates come by the signalling socket, which may drop and
// come back while the media goes on.
#include "gateway/call_impl.h"
#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "webrtc/peer.h"

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

// ---- offers and candidates

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
static void bad_offer(struct call *call, int err, const char *text) {
    const char *code = offer_code(err);
    bool ours = strcmp(code, "media_failed") == 0;
    log_warn(call->id, "call", "offer refused: %s (%s)", text, err_name(err));
    if (ours)
        text = "The gateway has no media port to spare.";
    if (call->state == CALL_WAITING)
        call_end(call, ours ? CALL_NO_MEDIA : CALL_BAD_OFFER, code, text);
    else
        call_post_refusal(call, code, text);
}

static void take_offer(struct call *call, const char *sdp) {
    struct err_text err_text = {""};
    char *answer = NULL;
    int err = peer_offer(call->browser.peer, sdp, strlen(sdp), &answer, &err_text);
    if (err) {
        bad_offer(call, err, err_text.text);
        return;
    }
    call_post(call, SESSION_ANSWER, answer);
    free(answer);
    if (call->state != CALL_WAITING)
        return;
    uv_timer_stop(&call->timer);
    call_connect(call);
}

static void take_candidate(struct call *call, const struct call_msg *msg) {
    const struct peer_candidate candidate = {.candidate = msg->text,
                                             .sdp_mid = msg->mid,
                                             .sdp_mline_index = msg->mline_index,
                                             .ufrag = msg->ufrag};
    int err = peer_add_candidate(call->browser.peer, &candidate);
    if (err)
        log_debug(call->id, "call", "candidate not used (%s)", err_name(err));
}

// ---- the signalling socket

static void on_offer_timeout(uv_timer_t *timer) {
    struct call *call = timer->data;
    call_end(call, CALL_TIMEOUT, "connect_timeout", "No offer came within 30 seconds.");
}

static void on_grace_over(uv_timer_t *timer) {
    struct call *call = timer->data;
    call_end(call, CALL_NO_MEDIA, "signalling_lost", "The signalling connection did not come back.");
}

static void on_drop_checked(uv_timer_t *timer) {
    struct call *call = timer->data;
    if (peer_last_heard_us(call->browser.peer) <= call->browser.dropped_at_us + LAST_PACKETS_US) {
        call_end(call, CALL_HUNG_UP, "browser_gone",
                 "The browser is gone: its signalling dropped and its media stopped.");
        return;
    }
    log_info(call->id, "call", "signalling dropped, media goes on: waiting %d s for it to come back",
             GRACE_MS / 1000);
    uv_timer_start(timer, on_grace_over, GRACE_MS - SILENT_AFTER_DROP_MS, 0);
}

static void socket_lost(struct call *call) {
    call->browser.dropped_at_us = ticker_now_us();
    uv_timer_start(&call->timer, on_drop_checked, SILENT_AFTER_DROP_MS, 0);
}

static void socket_back(struct call *call) {
    call->browser.dropped_at_us = 0;
    uv_timer_stop(&call->timer);
    if (call->state == CALL_WAITING)
        uv_timer_start(&call->timer, on_offer_timeout, OFFER_TIMEOUT_MS, 0);
}

// ---- the far side's duties

static int browser_side_open(struct call *call, const struct call_open *open) {
    const struct peer_config config = {.call_id = call->id,
                                       .pcm_rate_hz = call->format.rate_hz,
                                       .greeting = "Backend connected",
                                       .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                       .grace_ms = GRACE_MS};
    const struct peer_signals signals = {.on_candidate = on_own_candidate, .arg = call};
    const struct peer_env *env = open->same_host ? call->env.peer_same_host : call->env.peer;
    int err = peer_new(&call->browser.peer, env, &config, &signals, &call_leg_events, call);
    if (err)
        return err;
    call->leg = peer_leg(call->browser.peer);
    return 0;
}

static void browser_side_begin(struct call *call, const struct call_open *open) {
    (void)open;
    uv_timer_start(&call->timer, on_offer_timeout, OFFER_TIMEOUT_MS, 0);
}

static void browser_side_mail(struct call *call, enum call_mail type, const struct call_msg *msg) {
    switch (type) {
    case CALL_OFFER:
        take_offer(call, msg->text);
        break;
    case CALL_CANDIDATE:
        take_candidate(call, msg);
        break;
    case CALL_SOCKET_LOST:
        socket_lost(call);
        break;
    case CALL_SOCKET_BACK:
        socket_back(call);
        break;
    default:
        break;
    }
}

const struct call_side call_browser_side = {
    .name = "browser", .open = browser_side_open, .begin = browser_side_begin, .mail = browser_side_mail};
