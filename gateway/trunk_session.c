// SPDX-License-Identifier: Apache-2.0
//
// From the claimed entry to the conversation: the platform is asked for an agent, and the call becomes the far side
// of a session.
#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "gateway/core/ticker.h"
#include "gateway/trunk_agent.h"
#include "gateway/trunks_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t ms_between(uint64_t from_us, uint64_t to_us) {
    return to_us > from_us ? (uint32_t)((to_us - from_us) / 1000) : 0;
}
// ---- the session, as its far side

static void on_answer(struct trunk_call *call, const char *sdp) {
    trunk_call_say(call, SIP_ACCEPT, 200, sdp);
    if (call->state != TRUNK_CONNECTING)
        return;
    trunk_call_enter(call, TRUNK_UP);
    metric_add(METRIC_SIP_CALLS_ANSWERED, 1);
    metric_add(METRIC_SIP_SETUP_MS, ms_between(call->began_us, ticker_now_us()));
    callqueue_answered(call->trunks->config.queue, call->id, call->id);
}

static void on_worker_mail(enum call_mail type, const struct call_msg *msg, void *arg) {
    struct trunk_call *call = arg;
    if (call->sip_over || call->state == TRUNK_OVER)
        return;
    if (type == SESSION_ANSWER)
        on_answer(call, msg->text);
    else if (type == SESSION_REFUSED)
        trunk_call_say(call, SIP_REJECT, trunk_verdict_end(CALL_BAD_OFFER, msg->mid).status,
                       trunk_verdict_end(CALL_BAD_OFFER, msg->mid).phrase);
}

static void on_over(const struct call_msg *msg, void *arg) {
    struct trunk_call *call = arg;
    enum call_cause cause = msg ? msg->cause : CALL_HUNG_UP;
    const char *why = msg && msg->text ? msg->text : "The call ended.";
    call->session = 0;
    if (call->state == TRUNK_CONNECTING) {
        trunk_call_reject(call, trunk_verdict_end(cause, msg ? msg->mid : NULL), why);
    } else if (call->state == TRUNK_UP) {
        trunk_call_enter(call, TRUNK_OVER);
        callqueue_over(call->trunks->config.queue, call->id, CALLQUEUE_FAILED, why);
        if (!call->sip_over)
            trunk_call_say(call, SIP_BYE, trunk_bye_cause(cause), why);
    }
    trunk_call_maybe_free(call);
}

static void describe(json_t *item, void *arg) {
    const struct trunk_call *call = arg;
    const struct sip_request *request = &call->invite->request;
    json_t *more = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:I}", "state", call->state == TRUNK_UP ? "up" : "connecting",
        "caller", request->caller, "called", request->called, "callId", request->call_id, "businessId",
        call->business_id, "numberId", call->number_id, "source", request->source, "transport",
        request->transport, "claimMs", (json_int_t)ms_between(call->began_us, call->claimed_us), "platformMs",
        (json_int_t)ms_between(call->claimed_us, call->agent_us));
    if (more)
        json_object_update_new(item, more);
}

static const struct session_side trunk_side = {
    .kind = "sip", .on_mail = on_worker_mail, .on_over = on_over, .describe = describe};

static struct call_open *make_open(const struct trunk_call *call, const struct initiate_result *result) {
    const struct trunks *trunks = call->trunks;
    const struct conf_business *business = NULL;
    const struct conf_number *number = trunks_number(trunks, call->business_id, call->number_id, &business);
    const char *url = *result->url ? result->url : trunks->config.builtin_agent_url(trunks->config.arg);
    struct call_open *open = calloc(1, sizeof *open);
    struct call_open_trunk *trunk = open ? calloc(1, sizeof *trunk) : NULL;
    if (!trunk) {
        free(open);
        return NULL;
    }
    open->kind = CALL_TRUNK;
    open->trunk = trunk;
    open->agent_url = strdup(url ? url : "");
    open->format = (struct agent_format){result->encoding, result->sample_rate_hz, result->frame_ms};
    snprintf(open->session_id, sizeof open->session_id, "%s", call->id);
    trunk->sdp = call->invite->sdp;
    call->invite->sdp = NULL;
    snprintf(trunk->local, sizeof trunk->local, "%s", call->invite->local);
    snprintf(trunk->remote, sizeof trunk->remote, "%s", call->invite->request.source);
    snprintf(trunk->sip_call_id, sizeof trunk->sip_call_id, "%s", call->invite->request.call_id);
    trunk->require_srtp = number && number->require_srtp;
    trunk->claim_ms = ms_between(call->began_us, call->claimed_us);
    trunk->platform_ms = ms_between(call->claimed_us, call->agent_us);
    if (open->agent_url)
        return open;
    call_open_free(open);
    return NULL;
}

static void call_connect(struct trunk_call *call, const struct initiate_result *result) {
    struct call_open *open = make_open(call, result);
    int err = open ? sessions_open(call->trunks->config.sessions, open, &trunk_side, call, &call->session)
                   : -ENOMEM;
    if (!err) {
        trunk_call_enter(call, TRUNK_CONNECTING);
        return;
    }
    desk_session_over(call->trunks->config.desk, call->id);
    trunk_call_reject(call, trunk_verdict_open(err), "The media node cannot take the call.");
}

// ---- the platform

static void on_agent(const struct initiate_result *result, void *arg) {
    struct trunk_call *call = arg;
    call->waiting = false;
    call->agent_us = ticker_now_us();
    if (call->state != TRUNK_OVER && !result->err) {
        if (*result->session_id)
            log_info(call->id, "trunks", "the platform calls this session %s", result->session_id);
        call_connect(call, result);
    } else if (call->state != TRUNK_OVER) {
        trunk_call_reject(call, trunk_verdict_agent(result->err), "The platform gave no agent.");
    } else if (!result->err) {
        desk_session_over(call->trunks->config.desk, call->id); // the caller has hung up meanwhile
    }
    trunk_call_maybe_free(call);
}

void trunk_call_ask_agent(struct trunk_call *call) {
    call->claimed_us = ticker_now_us();
    trunk_call_enter(call, TRUNK_ASKING);
    trunk_call_say(call, SIP_PROGRESS, 180, call->id);
    int err = trunk_agent_request(&call->request, &call->invite->request, call->id, call->campaign_id,
                                  call->region_id);
    if (err) {
        trunk_call_reject(call, trunk_verdict_open(err), "The media node is out of memory.");
        return;
    }
    call->waiting = true;
    desk_call(call->trunks->config.desk, &call->request, call->id, on_agent, call);
}
