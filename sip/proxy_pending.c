// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "gateway/core/ticker.h"
#include "sip/proxy_impl.h"

#include <sofia-sip/sip_status.h>
#include <sofia-sip/sip_tag.h>
#include <stdlib.h>
#include <string.h>

enum { TICK_MS = 250 };

// An INVITE that waits for its verdict.
struct pending {
    struct proxy *proxy;
    nta_incoming_t *irq; // owned until it is answered
    uint64_t handle;
    uint64_t deadline_us;
    struct pending *previous, *next; // by deadline
    char call_id[256];
    char number[SIP_TEXT_ID]; // that the Contacts name
    char transport[8];
};

static void pending_unlink(struct pending *pending) {
    struct proxy *proxy = pending->proxy;
    *(pending->previous ? &pending->previous->next : &proxy->first) = pending->next;
    *(pending->next ? &pending->next->previous : &proxy->last) = pending->previous;
    slot_take(proxy->slots, pending->handle);
    metric_add(METRIC_SIP_PENDING, -1);
    if (!proxy->first)
        su_timer_reset(proxy->timer);
}

// The last answer to it. What is sent again from here on is the transaction's business. `header` is a header line or
// "".
static void pending_answer(struct pending *pending, int status, const char *phrase, const char *header) {
    pending_unlink(pending);
    nta_incoming_treply(pending->irq, status, phrase, TAG_IF(*header, SIPTAG_HEADER_STR(header)), TAG_END());
    nta_incoming_destroy(pending->irq);
    free(pending);
}

static void pending_refuse(struct pending *pending, unsigned status, const char *reason,
                           unsigned retry_after_s) {
    char header[64];
    metric_add(METRIC_SIP_REFUSED, 1);
    log_info(pending->call_id, "proxy", "refused: %u %s", status, reason);
    pending_answer(pending, (int)status, reason, proxy_retry_after(header, sizeof header, retry_after_s));
}

// Nobody waits for the verdict any more.
static void pending_give_up(struct pending *pending) {
    struct proxy *proxy = pending->proxy;
    proxy->post((struct mail){.to = pending->handle, .type = SIP_ROUTE_GONE, .vital = true}, proxy->post_arg);
}

// sofia answers the CANCEL.
static int on_cancel(struct pending *pending, nta_incoming_t *irq, const sip_t *sip) {
    (void)irq;
    if (!sip || sip->sip_request->rq_method != sip_method_cancel)
        return 0;
    metric_add(METRIC_SIP_CANCELLED, 1);
    pending_give_up(pending);
    pending_answer(pending, SIP_487_REQUEST_TERMINATED, "");
    return 0;
}

static void on_tick(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg) {
    struct proxy *proxy = arg;
    (void)magic;
    (void)timer;
    uint64_t now_us = ticker_now_us();
    for (struct pending *pending = proxy->first, *next; pending && pending->deadline_us <= now_us;
         pending = next) {
        next = pending->next;
        pending_give_up(pending);
        pending_refuse(pending, SIP_503_SERVICE_UNAVAILABLE, PROXY_RETRY_AFTER_S);
    }
    if (proxy->first)
        su_timer_set_interval(proxy->timer, on_tick, proxy, TICK_MS);
}

static struct pending *pending_new(struct proxy *proxy, const struct sip_request *request,
                                   const struct conf_number *number) {
    struct pending *pending = calloc(1, sizeof *pending);
    if (!pending)
        return NULL;
    if (slot_put(proxy->slots, pending, &pending->handle) != 0) {
        free(pending);
        return NULL;
    }
    pending->proxy = proxy;
    pending->deadline_us = ticker_now_us() + proxy->limits.verdict_ms * 1000ull;
    memcpy(pending->call_id, request->call_id, sizeof pending->call_id);
    memcpy(pending->transport, request->transport, sizeof pending->transport);
    snprintf(pending->number, sizeof pending->number, "%s", number->number);
    pending->previous = proxy->last;
    *(proxy->last ? &proxy->last->next : &proxy->first) = pending;
    proxy->last = pending;
    metric_add(METRIC_SIP_PENDING, 1);
    if (!pending->previous)
        su_timer_set_interval(proxy->timer, on_tick, proxy, TICK_MS);
    return pending;
}

void pending_ask(struct proxy *proxy, nta_incoming_t *irq, struct sip_route_ask *ask,
                 const struct route_found *found) {
    snprintf(ask->request.business_id, sizeof ask->request.business_id, "%s", found->business->id);
    snprintf(ask->number_id, sizeof ask->number_id, "%s", found->number->id);
    snprintf(ask->region_id, sizeof ask->region_id, "%s", found->number->region_id);
    struct pending *pending = pending_new(proxy, &ask->request, found->number);
    if (!pending) {
        char header[64];
        metric_add(METRIC_SIP_REFUSED, 1);
        proxy_retry_after(header, sizeof header, PROXY_RETRY_AFTER_S);
        nta_incoming_treply(irq, SIP_503_SERVICE_UNAVAILABLE, SIPTAG_HEADER_STR(header), TAG_END());
        nta_incoming_destroy(irq);
        sip_route_ask_free(ask);
        return;
    }
    pending->irq = irq;
    nta_incoming_bind(irq, on_cancel, pending);
    struct mail mail = {
        .to = pending->handle, .type = SIP_ROUTE, .data = ask, .free_data = sip_route_ask_free};
    if (proxy->post(mail, proxy->post_arg) != 0)
        pending_refuse(pending, SIP_503_SERVICE_UNAVAILABLE, PROXY_RETRY_AFTER_S);
}

void pending_verdict(struct proxy *proxy, uint64_t handle, const struct sip_verdict *verdict) {
    struct pending *pending = slot_get(proxy->slots, handle);
    char header[PROXY_HEADERS_MAX];
    if (!pending)
        return;
    if (verdict->status != 302) {
        unsigned status = verdict->status >= 400 && verdict->status < 700 ? verdict->status : 500;
        pending_refuse(pending, status, *verdict->reason ? verdict->reason : "Refused",
                       verdict->retry_after_s);
        return;
    }
    if (proxy_contacts(header, sizeof header, verdict, pending->number, pending->transport) != 0) {
        pending_give_up(pending);
        pending_refuse(pending, 503, "No Available Servers", 0);
        return;
    }
    metric_add(METRIC_SIP_REDIRECTED, 1);
    log_debug(pending->call_id, "proxy", "redirected: %s", header);
    pending_answer(pending, 302, "Redirecting to Media Server", header);
}

void pending_refuse_all(struct proxy *proxy) {
    for (struct pending *pending = proxy->first, *next; pending; pending = next) {
        next = pending->next;
        pending_give_up(pending);
        pending_refuse(pending, SIP_503_SERVICE_UNAVAILABLE, PROXY_RETRY_AFTER_S);
    }
}
