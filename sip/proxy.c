// SPDX-License-Identifier: Apache-2.0
#include "sip/proxy.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "gateway/core/ticker.h"
#include "sip/connections.h"
#include "sip/listen.h"
#include "sip/malformed.h"
#include "sip/proxy_impl.h"

#include <sofia-sip/msg_addr.h>
#include <sofia-sip/nta_stateless.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/sip_tag.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    VERDICT_MS = 4000,
    MAX_PENDING = 16384,
    SOURCES = 4096,
    MAX_MESSAGE_BYTES = 65536,
};

#define ALLOW "Allow: INVITE, ACK, CANCEL, OPTIONS"

// One request on its way through the checks.
struct arrival {
    struct proxy *proxy;
    msg_t *msg; // owned until it is answered
    sip_t *sip;
    struct sipreq_source source;
    uint64_t now_us;
};

// Without a transaction (RFC 3261 section 8.2.7): nothing is kept. `header` is a header line or NULL.
static void answer(struct arrival *arrival, int status, const char *phrase, const char *header) {
    nta_msg_treply(arrival->proxy->agent, arrival->msg, status, phrase,
                   TAG_IF(header, SIPTAG_HEADER_STR(header)), TAG_END());
}

static void answer_later(struct arrival *arrival, unsigned retry_after_s) {
    char header[64];
    answer(arrival, SIP_503_SERVICE_UNAVAILABLE, proxy_retry_after(header, sizeof header, retry_after_s));
}

static void report(struct arrival *arrival) {
    struct flood_counts counts;
    char address[NETWORK_TEXT_MAX];
    if (!flood_report(arrival->proxy->flood, &arrival->source.address, arrival->now_us, &counts))
        return;
    address_format(&arrival->source.address, address, sizeof address);
    log_warn(NULL, "proxy", "%s: %llu requests refused for their rate, %llu left unanswered", address,
             (unsigned long long)counts.refused, (unsigned long long)counts.silent);
}

static void stay_silent(struct arrival *arrival) {
    metric_add(METRIC_SIP_SILENT, 1);
    msg_destroy(arrival->msg);
    report(arrival);
}

static bool may_answer_malformed(msg_t *msg, void *arg) {
    struct arrival arrival = {.proxy = arg, .now_us = ticker_now_us()};
    sipreq_source(&arrival.source, msg_addr(msg));
    if (flood_malformed(arrival.proxy->flood, &arrival.source.address, arrival.now_us) == FLOOD_PASS)
        return true;
    metric_add(METRIC_SIP_SILENT, 1);
    report(&arrival);
    return false;
}

// False when the request ends here.
static bool is_within_limits(struct arrival *arrival, bool invite) {
    switch (flood_request(arrival->proxy->flood, &arrival->source.address, invite, arrival->now_us)) {
    case FLOOD_PASS:
        return true;
    case FLOOD_REFUSE:
        metric_add(METRIC_SIP_LIMITED, 1);
        answer_later(arrival, 1);
        report(arrival);
        return false;
    case FLOOD_SILENT:
        break;
    }
    stay_silent(arrival);
    return false;
}

// Programs whose only use is to look for open exchanges, by the name they give themselves.
static bool is_scanner(const sip_t *sip) {
    static const char *const names[] = {"friendly-scanner",
                                        "friendly-request",
                                        "sipvicious",
                                        "sipcli",
                                        "sip-scan",
                                        "sundayddr",
                                        "iwar",
                                        "pplsip",
                                        "smap",
                                        "sipptk"};
    const char *name = sip->sip_user_agent ? sip->sip_user_agent->g_string : NULL;
    for (size_t i = 0; name && i < sizeof names / sizeof names[0]; i++) {
        if (strncasecmp(name, names[i], strlen(names[i])) == 0)
            return true;
    }
    return false;
}

static void answer_unsupported(struct arrival *arrival, const sip_require_t *extensions) {
    sip_unsupported_t unsupported[1];
    sip_unsupported_init(unsupported);
    unsupported->k_items = extensions->k_items;
    nta_msg_treply(arrival->proxy->agent, arrival->msg, SIP_420_BAD_EXTENSION,
                   SIPTAG_UNSUPPORTED(unsupported), TAG_END());
}

// What RFC 3261 section 16.3 asks of whoever passes a call on. False when the request ends here.
static bool is_acceptable(struct arrival *arrival, bool invite) {
    const sip_t *sip = arrival->sip;
    // Those of Require are for the server that takes the call (section 8.3).
    const sip_require_t *extensions = sip->sip_proxy_require ? sip->sip_proxy_require
                                      : invite               ? NULL
                                                             : sip->sip_require;
    if (!sipreq_is_ours(sip->sip_request->rq_url))
        answer(arrival, SIP_416_UNSUPPORTED_URI, NULL);
    else if (invite && sip->sip_max_forwards && sip->sip_max_forwards->mf_count == 0)
        answer(arrival, SIP_483_TOO_MANY_HOPS, NULL);
    else if (extensions)
        answer_unsupported(arrival, extensions);
    else
        return true;
    return false;
}

// A call that our own checks refuse.
static void refuse_call(struct arrival *arrival, const struct sip_request *request,
                        const struct route_refusal *refusal) {
    bool mistake = refusal->status == 404;
    struct proxy *proxy = arrival->proxy;
    if (mistake && flood_mistake(proxy->flood, &arrival->source.address, arrival->now_us) != FLOOD_PASS) {
        stay_silent(arrival);
        return;
    }
    metric_add(METRIC_SIP_REFUSED, 1);
    log_info(request->call_id, "proxy", "refused: %u %s (from %s for %s, business \"%s\", phone id \"%s\")",
             refusal->status, refusal->reason, request->source, request->called, request->business_id,
             request->phone_id);
    nta_incoming_t *irq = nta_incoming_create(proxy->agent, NULL, arrival->msg, arrival->sip, TAG_END());
    if (!irq)
        return;
    nta_incoming_treply(irq, SIP_100_TRYING, TAG_END());
    nta_incoming_treply(irq, (int)refusal->status, refusal->reason, TAG_END());
    nta_incoming_destroy(irq);
}

static void take_call(struct arrival *arrival, struct sip_route_ask *ask, const struct route_found *found) {
    struct proxy *proxy = arrival->proxy;
    nta_incoming_t *irq = nta_incoming_create(proxy->agent, NULL, arrival->msg, arrival->sip, TAG_END());
    if (!irq) {
        sip_route_ask_free(ask);
        return;
    }
    nta_incoming_treply(irq, SIP_100_TRYING, TAG_END());
    pending_ask(proxy, irq, ask, found);
}

static void check_call(struct arrival *arrival, struct sip_route_ask *ask) {
    struct proxy *proxy = arrival->proxy;
    struct route_found found;
    struct route_refusal refusal;
    const char *phrase = NULL;
    int err = sipreq_copy(&ask->request, arrival->sip, &arrival->source, &proxy->policy, &phrase);
    if (err) {
        free(ask);
        if (err == -EPROTONOSUPPORT)
            answer(arrival, SIP_416_UNSUPPORTED_URI, NULL);
        else if (err == -EINVAL)
            answer(arrival, 400, phrase, NULL);
        else
            answer_later(arrival, PROXY_RETRY_AFTER_S);
    } else if (route_check(proxy->table, &ask->request, &arrival->source.address, &found, &refusal)) {
        take_call(arrival, ask, &found);
    } else {
        refuse_call(arrival, &ask->request, &refusal);
        sip_route_ask_free(ask);
    }
}

static void on_invite(struct arrival *arrival) {
    metric_add(METRIC_SIP_INVITES, 1);
    if (arrival->proxy->draining) {
        answer_later(arrival, PROXY_RETRY_AFTER_S);
        return;
    }
    if (!is_acceptable(arrival, true))
        return;
    struct sip_route_ask *ask = calloc(1, sizeof *ask);
    if (ask)
        check_call(arrival, ask);
    else
        answer_later(arrival, PROXY_RETRY_AFTER_S);
}

static void on_options(struct arrival *arrival) {
    if (arrival->proxy->draining)
        answer_later(arrival, PROXY_RETRY_AFTER_S);
    else if (is_acceptable(arrival, false))
        answer(arrival, SIP_200_OK, ALLOW "\r\nAccept: application/sdp\r\n");
}

// Every request that belongs to no transaction yet, and answers that nobody waits for.
static int on_message(struct proxy *proxy, nta_agent_t *agent, msg_t *msg, sip_t *sip) {
    struct arrival arrival = {.proxy = proxy, .msg = msg, .sip = sip, .now_us = ticker_now_us()};
    (void)agent;
    connections_heard(msg);
    sip_method_t method = sip->sip_request ? sip->sip_request->rq_method : sip_method_ack;
    if (method == sip_method_ack) {
        msg_destroy(msg);
        return 0;
    }
    sipreq_source(&arrival.source, msg_addr(msg));
    if (is_scanner(sip)) {
        flood_scanner(proxy->flood, &arrival.source.address, arrival.now_us);
        stay_silent(&arrival);
        return 0;
    }
    if (!is_within_limits(&arrival, method == sip_method_invite))
        return 0;
    if (method == sip_method_invite)
        on_invite(&arrival);
    else if (method == sip_method_options)
        on_options(&arrival);
    else if (method == sip_method_cancel)
        answer(&arrival, SIP_481_NO_TRANSACTION, NULL);
    else
        answer(&arrival, 405, "Proxy does not handle this method type", ALLOW);
    return 0;
}

void proxy_set_conf(struct proxy *proxy, const struct conf *conf) {
    struct route_table *table = NULL;
    struct sipreq_policy policy = {0};
    if (route_table_new(&table, conf) != 0 || sipreq_policy_init(&policy, conf) != 0) {
        // The old one points into a conf that goes away, so nothing is left to decide by.
        log_error(NULL, "proxy", "out of memory: calls are refused until the next reload");
        route_table_free(table);
        table = NULL;
        proxy->draining = true;
    }
    route_table_free(proxy->table);
    sipreq_policy_free(&proxy->policy);
    proxy->table = table;
    proxy->policy = policy;
    flood_set_rate(proxy->flood, conf->sip.invites_per_second);
}

static int bind_all(struct proxy *proxy, const struct proxy_config *config, struct err_text *err) {
    const struct conf_strings *addresses = &config->conf->sip.proxy_listen;
    for (size_t i = 0; i < addresses->count; i++) {
        int code = listen_bind(proxy->agent, "Sip.ProxyListen", addresses->items[i], config->conf,
                               config->tls_folder, err);
        if (code)
            return code;
        log_info(NULL, "proxy", "listening on %s", addresses->items[i]);
    }
    return 0;
}

static unsigned or_default(unsigned value, unsigned usual) {
    return value ? value : usual;
}

static int make_parts(struct proxy *proxy, const struct proxy_config *config) {
    proxy->timer = su_timer_create(su_root_task(proxy->root), 0);
    int err = malformed_new(&proxy->malformed, may_answer_malformed, proxy);
    if (err)
        return err;
    // NONE: addresses are added one by one, so that each can say what is wrong with it.
    proxy->agent = nta_agent_create(
        proxy->root, (const url_string_t *)-1, on_message, proxy, NTATAG_UA(1), NTATAG_MERGE_482(1),
        NTATAG_MCLASS(malformed_class(proxy->malformed)), NTATAG_BAD_REQ_MASK(MALFORMED_MASK),
        NTATAG_MAXSIZE(MAX_MESSAGE_BYTES), NTATAG_SIP_T1(or_default(config->limits.t1_ms, NTA_SIP_T1)),
        NTATAG_SIP_T1X64(64 * or_default(config->limits.t1_ms, NTA_SIP_T1)), TAG_END());
    if (!proxy->timer || !proxy->agent)
        return -ENOMEM;
    err = slot_table_new(&proxy->slots, or_default(config->limits.max_pending, MAX_PENDING));
    if (!err)
        err = flood_new(&proxy->flood, SOURCES);
    if (!err)
        err = route_table_new(&proxy->table, config->conf);
    if (!err)
        err = sipreq_policy_init(&proxy->policy, config->conf);
    if (!err)
        flood_set_rate(proxy->flood, config->conf->sip.invites_per_second);
    return err;
}

int proxy_new(struct proxy **out, const struct proxy_config *config, struct err_text *err) {
    struct proxy *proxy = calloc(1, sizeof *proxy);
    if (!proxy)
        return err_set(err, -ENOMEM, "out of memory");
    proxy->root = config->root;
    proxy->post = config->post;
    proxy->post_arg = config->post_arg;
    proxy->limits = config->limits;
    proxy->limits.verdict_ms = or_default(config->limits.verdict_ms, VERDICT_MS);
    int code = make_parts(proxy, config);
    if (code)
        err_set(err, code, "the SIP proxy cannot be started (%s)", err_name(code));
    else
        code = bind_all(proxy, config, err);
    if (code) {
        proxy_free(proxy);
        return code;
    }
    *out = proxy;
    return 0;
}

void proxy_mail(struct proxy *proxy, struct mail *mail) {
    if (mail->type == SIP_ROUTED && mail->data)
        pending_verdict(proxy, mail->to, mail->data);
}

void proxy_drain(struct proxy *proxy) {
    proxy->draining = true;
}

void proxy_free(struct proxy *proxy) {
    if (!proxy)
        return;
    pending_refuse_all(proxy);
    nta_agent_destroy(proxy->agent);
    malformed_free(proxy->malformed);
    su_timer_destroy(proxy->timer);
    slot_table_free(proxy->slots);
    flood_free(proxy->flood);
    route_table_free(proxy->table);
    sipreq_policy_free(&proxy->policy);
    free(proxy);
}
