// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/err.h"
#include "gateway/core/fds.h"
#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "gateway/core/ticker.h"
#include "gateway/trunks_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_S = 5 };

static void call_free(struct trunk_call *call) {
    initiate_request_clear(&call->request);
    sip_invite_free(call->invite);
    free(call);
}

void trunk_call_enter(struct trunk_call *call, enum trunk_state state) {
    if (call->state < TRUNK_CONNECTING && state >= TRUNK_CONNECTING)
        call->trunks->pending--;
    call->state = state;
}

// Nobody will speak of it any more.
void trunk_call_maybe_free(struct trunk_call *call) {
    if (!call->sip_over || call->waiting || call->session)
        return;
    trunk_map_take(&call->trunks->calls, &call->key);
    call_free(call);
}

// ---- words to the SIP thread

void trunk_call_say(struct trunk_call *call, enum sip_mail type, unsigned code, const char *text) {
    struct sip_text *mail = sip_text_new(code, text);
    if (!mail && type != SIP_PROGRESS)
        log_error(call->id, "trunks", "out of memory: the SIP dialog goes on by its timers");
    if (mail)
        trunks_post(call->trunks, type, call->key.handle, mail, sip_text_free);
}

// The end before the answer; `why` is for the queue and the log.
void trunk_call_reject(struct trunk_call *call, struct trunk_verdict verdict, const char *why) {
    if (call->state == TRUNK_OVER)
        return;
    trunk_call_enter(call, TRUNK_OVER);
    log_info(call->id, "trunks", "rejected with %u %s: %s", verdict.status, verdict.phrase, why);
    metric_add(METRIC_SIP_CALLS_FAILED, 1);
    if (call->claimed)
        callqueue_over(call->trunks->config.queue, call->id, CALLQUEUE_FAILED, why);
    else if (*call->id)
        callqueue_note(call->trunks->config.queue, call->id, why);
    struct sip_text *mail = call->sip_over ? NULL : sip_text_new(verdict.status, verdict.phrase);
    if (mail) {
        mail->retry_after_s = verdict.status == 503 || verdict.status == 500 ? RETRY_S : 0;
        trunks_post(call->trunks, SIP_REJECT, call->key.handle, mail, sip_text_free);
    }
}

// ---- what the SIP thread says

static bool has_room(const struct trunks *trunks) {
    return sessions_room(trunks->config.sessions) >= trunks->pending && fds_left(FDS_PER_CALL);
}

void trunk_call_invite(struct trunks *trunks, uint64_t handle, struct sip_invite *invite) {
    struct trunk_call *call = calloc(1, sizeof *call);
    if (!call) {
        struct sip_text *mail = sip_text_new(503, "Service Unavailable");
        trunks_post(trunks, SIP_REJECT, handle, mail, sip_text_free);
        sip_invite_free(invite);
        return;
    }
    call->trunks = trunks;
    call->invite = invite;
    call->began_us = ticker_now_us();
    trunks->pending++;
    trunk_map_put(&trunks->calls, &call->key, handle);
    metric_add(METRIC_SIP_CALLS_OFFERED, 1);
    log_info(*invite->request.queue_id ? invite->request.queue_id : NULL, "trunks",
             "INVITE: %s calls %s (Call-ID %s, from %s by %s)", invite->request.caller,
             invite->request.called, invite->request.call_id, invite->request.source,
             invite->request.transport);
    if (trunks->draining) {
        trunk_call_reject(call, trunk_verdict_open(-EBUSY), "The media node is draining.");
    } else if (!has_room(trunks)) {
        // The entry stays for the next server of the redirect.
        snprintf(call->id, sizeof call->id, "%s", invite->request.queue_id);
        bool overloaded = sessions_overloaded(trunks->config.sessions) != NULL;
        trunk_call_reject(call, trunk_verdict_open(overloaded ? -EAGAIN : -ENOSPC),
                          overloaded ? "The media node is overloaded." : "The media node is full.");
    } else {
        trunk_call_claim(call, false);
    }
}

static void call_over(struct trunk_call *call, const struct sip_text *text) {
    struct trunk_over over = trunk_over_of(text ? text->code : SIP_OVER_TRANSPORT);
    call->sip_over = true;
    if (call->state != TRUNK_OVER) {
        log_info(call->id, "trunks", "%s %s", over.text, text && text->text ? text->text : "");
        if (call->claimed)
            callqueue_over(call->trunks->config.queue, call->id, over.status, over.text);
        if (call->state != TRUNK_UP)
            metric_add(METRIC_SIP_CALLS_GIVEN_UP, 1);
        trunk_call_enter(call, TRUNK_OVER);
    }
    if (call->session)
        sessions_post(call->trunks->config.sessions, call->session, CALL_HANGUP,
                      call_msg_new(over.text, over.code, NULL));
    trunk_call_maybe_free(call);
}

static void call_to_worker(struct trunk_call *call, enum call_mail type, const struct sip_text *text) {
    struct call_msg *msg = call_msg_new(text && text->text ? text->text : "", NULL, NULL);
    if (call->session && msg)
        sessions_post(call->trunks->config.sessions, call->session, type, msg);
    else
        call_msg_free(msg);
}

void trunk_call_mail(struct trunks *trunks, const struct mail *mail) {
    struct trunk_call *call = trunk_map_get(&trunks->calls, mail->to);
    if (!call)
        return;
    switch (mail->type) {
    case SIP_AUTHORIZED:
        if (call->state != TRUNK_LOGIN)
            break;
        trunk_call_enter(call, TRUNK_CLAIMING);
        trunk_call_claim(call, true);
        break;
    case SIP_OFFER:
        call_to_worker(call, CALL_OFFER, mail->data);
        break;
    case SIP_ANSWER:
        call_to_worker(call, CALL_ANSWER, mail->data);
        break;
    case SIP_CONFIRMED:
        call_to_worker(call, CALL_CONFIRMED, NULL);
        break;
    case SIP_DTMF:
        call_to_worker(call, CALL_DTMF, mail->data);
        break;
    case SIP_OVER:
        call_over(call, mail->data);
        break;
    default:
        break;
    }
}

// ---- all of them

struct leases {
    struct trunks *trunks;
    struct callqueue_lease list[256];
    size_t count;
};

static void leases_send(struct leases *leases) {
    callqueue_renew(leases->trunks->config.queue, leases->list, leases->count);
    leases->count = 0;
}

static void lease_one(void *object, void *arg) {
    const struct trunk_call *call = object;
    struct leases *leases = arg;
    if (!call->claimed || call->state == TRUNK_OVER)
        return;
    leases->list[leases->count++] = (struct callqueue_lease){.id = call->id,
                                                             .business_id = call->business_id,
                                                             .number_id = call->number_id,
                                                             .call_id = call->invite->request.call_id,
                                                             .caller = call->invite->request.caller,
                                                             .called = call->invite->request.called,
                                                             .answered = call->state == TRUNK_UP};
    if (leases->count == sizeof leases->list / sizeof leases->list[0])
        leases_send(leases);
}

void trunk_calls_renew(struct trunks *trunks) {
    struct leases leases = {.trunks = trunks};
    trunk_map_each(&trunks->calls, lease_one, &leases);
    leases_send(&leases);
}

static void free_one(void *object, void *arg) {
    (void)arg;
    call_free(object);
}

void trunk_calls_free(struct trunks *trunks) {
    trunk_map_each(&trunks->calls, free_one, NULL);
}
