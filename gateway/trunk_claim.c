// SPDX-License-Identifier: Apache-2.0
//
// From the INVITE to an entry of the queue that is ours: claimed when a proxy made it, else made here after the
// proxy's own checks.
#include "gateway/core/err.h"
#include "gateway/core/network.h"
#include "gateway/trunks_impl.h"
#include "signaling/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- entries that a proxy made

static void call_challenge(struct trunk_call *call, const struct conf_number *number) {
    struct sip_login *login = number ? calloc(1, sizeof *login) : NULL;
    if (!login) {
        trunk_call_reject(call, (struct trunk_verdict){503, "Service Unavailable"},
                          "The number's login is not in this node's configuration.");
        return;
    }
    snprintf(login->username, sizeof login->username, "%s", number->override_sip_username);
    snprintf(login->password, sizeof login->password, "%s", number->override_sip_password);
    login->sha256 = number->offer_sha256;
    trunk_call_enter(call, TRUNK_LOGIN);
    trunks_post(call->trunks, SIP_CHALLENGE, call->key.handle, login, sip_login_free);
}

static void take_names(struct trunk_call *call, const struct callqueue_claimed *claimed) {
    snprintf(call->business_id, sizeof call->business_id, "%s", claimed->business_id);
    snprintf(call->number_id, sizeof call->number_id, "%s", claimed->number_id);
    snprintf(call->campaign_id, sizeof call->campaign_id, "%s", claimed->campaign_id);
    snprintf(call->region_id, sizeof call->region_id, "%s", claimed->region_id);
}

static void on_claimed(int err, const struct callqueue_claimed *claimed, void *arg) {
    struct trunk_call *call = arg;
    const struct conf_business *business = NULL;
    call->waiting = false;
    call->claimed = !err && claimed->claim == CALLQUEUE_CLAIMED;
    if (call->state == TRUNK_OVER && call->claimed) {
        callqueue_over(call->trunks->config.queue, call->id, CALLQUEUE_CANCELED,
                       "The caller gave up before the answer.");
    } else if (call->state != TRUNK_OVER && err) {
        trunk_call_reject(call, (struct trunk_verdict){503, "Service Unavailable"}, "Redis is away.");
    } else if (call->state != TRUNK_OVER) {
        take_names(call, claimed);
        if (call->claimed)
            trunk_call_ask_agent(call);
        else if (claimed->claim == CALLQUEUE_LOGIN)
            call_challenge(call, trunks_number(call->trunks, call->business_id, call->number_id, &business));
        else
            trunk_call_reject(call, trunk_verdict_claim(claimed->claim),
                              trunk_verdict_claim(claimed->claim).phrase);
    }
    trunk_call_maybe_free(call);
}

static void claim_entry(struct trunk_call *call, bool authorized) {
    snprintf(call->id, sizeof call->id, "%s", call->invite->request.queue_id);
    int err = callqueue_claim(call->trunks->config.queue, call->id, authorized, on_claimed, call);
    call->waiting = !err;
    if (err)
        trunk_call_reject(call, (struct trunk_verdict){503, "Service Unavailable"}, "Redis is away.");
}

// ---- calls that no proxy announced

static void on_opened(int err, enum callqueue_verdict verdict, void *arg) {
    struct trunk_call *call = arg;
    call->waiting = false;
    call->claimed = !err && verdict == CALLQUEUE_OK;
    if (call->state == TRUNK_OVER && call->claimed)
        callqueue_over(call->trunks->config.queue, call->id, CALLQUEUE_CANCELED,
                       "The caller gave up before the answer.");
    else if (call->state != TRUNK_OVER && err)
        trunk_call_reject(call, (struct trunk_verdict){500, "Unable to create call queue entry"},
                          "Redis is away.");
    else if (call->state != TRUNK_OVER && verdict == CALLQUEUE_DUPLICATE)
        trunk_call_reject(call, (struct trunk_verdict){482, "Call already exists"},
                          "The call exists already.");
    else if (call->state != TRUNK_OVER && verdict != CALLQUEUE_OK)
        trunk_call_reject(call, (struct trunk_verdict){503, "Concurrency limit reached"},
                          "The plan has no call left.");
    else if (call->state != TRUNK_OVER)
        trunk_call_ask_agent(call);
    trunk_call_maybe_free(call);
}

static void call_open_direct(struct trunk_call *call, const struct route_found *found) {
    const struct sip_request *request = &call->invite->request;
    const struct callqueue_ask ask = {.id = call->id,
                                      .business_id = call->business_id,
                                      .number_id = call->number_id,
                                      .campaign_id = call->campaign_id,
                                      .region_id = call->region_id,
                                      .call_id = request->call_id,
                                      .from_tag = request->from_tag,
                                      .cseq = request->cseq,
                                      .caller = request->caller,
                                      .called = request->called,
                                      .source = request->source,
                                      .max_calls = found->business->max_concurrent_calls,
                                      .direct = true};
    int err = callqueue_open(call->trunks->config.queue, &ask, on_opened, call);
    call->waiting = !err;
    if (err)
        trunk_call_reject(call, (struct trunk_verdict){500, "Unable to create call queue entry"},
                          "Redis is away.");
}

// The checks of the proxy, done here.
static void call_take_direct(struct trunk_call *call, bool authorized) {
    struct route_found found;
    struct route_refusal refusal = {404, "Number Not Found"};
    struct in6_addr source;
    const struct sip_request *request = &call->invite->request;
    if (!address_parse(request->source, &source) ||
        !route_check(call->trunks->table, request, &source, &found, &refusal)) {
        trunk_call_reject(call, (struct trunk_verdict){refusal.status, refusal.reason}, refusal.reason);
        return;
    }
    take_names(call, &(struct callqueue_claimed){.business_id = found.business->id,
                                                 .number_id = found.number->id,
                                                 .campaign_id = found.number->campaign_id,
                                                 .region_id = found.number->region_id});
    if (found.number->override_sip_username[0] && !authorized)
        call_challenge(call, found.number);
    else if (auth_random_id("call_", call->id, sizeof call->id) == 0)
        call_open_direct(call, &found);
    else
        trunk_call_reject(call, trunk_verdict_open(-EIO), "No random number can be had.");
}

void trunk_call_claim(struct trunk_call *call, bool authorized) {
    if (*call->invite->request.queue_id)
        claim_entry(call, authorized);
    else
        call_take_direct(call, authorized);
}
