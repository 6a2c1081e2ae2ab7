// SPDX-License-Identifier: Apache-2.0
// Stands on nta, not nua: docs/decisions/0005-listener-on-nta.md.
#include "sip/connections.h"
#include "sip/dialog.h"
#include "sip/dialog_info.h"
#include "sip/listen.h"
#include "sip/malformed.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "gateway/core/ticker.h"

#include <arpa/inet.h>
#include <sofia-sip/nta_stateless.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLOSE_MS = 2000, MAX_MESSAGE_BYTES = 65536 };

int uas_post(struct uas *uas, uint64_t handle, enum sip_mail type, void *data, void (*free_data)(void *),
             bool vital) {
    return uas->post(
        (struct mail){.to = handle, .type = type, .data = data, .free_data = free_data, .vital = vital},
        uas->post_arg);
}

int uas_post_text(struct uas *uas, uint64_t handle, enum sip_mail type, unsigned code, const char *text) {
    struct sip_text *made = sip_text_new(code, text);
    if (!made && type != SIP_OVER)
        return -ENOMEM;
    bool vital = type != SIP_DTMF;
    return uas_post(uas, handle, type, made, sip_text_free, vital);
}

// The address of ours that faces `peer`: with a wildcard bound, the one that routing picks.
static void local_address(const tport_t *primary, const su_sockaddr_t *peer, char out[64]) {
    const su_addrinfo_t *bound = tport_get_address(primary);
    struct sipreq_source address;
    su_sockaddr_t local = {0};
    socklen_t len = sizeof local;
    if (bound)
        memcpy(&local, bound->ai_addr, bound->ai_addrlen);
    int fd = SU_SOCKADDR_INADDR_ANY(&local) ? socket(peer->su_family, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (fd >= 0) {
        socklen_t peer_len = SU_SOCKADDR_SIZE(peer);
        if (connect(fd, &peer->su_sa, peer_len) == 0)
            getsockname(fd, &local.su_sa, &len);
        close(fd);
    }
    sipreq_source(&address, &local);
    address_format(&address.address, out, 64);
}

// What ctl needs to know; NULL when the request has been answered.
static struct sip_invite *copy_invite(struct uas *uas, nta_incoming_t *irq, const sip_t *sip) {
    struct sip_invite *invite = calloc(1, sizeof *invite);
    if (!invite) {
        uas_answer(irq, SIP_500_INTERNAL_SERVER_ERROR);
        return NULL;
    }
    if (uas_sdp_or_answer(irq, sip, &invite->sdp)) {
        free(invite);
        return NULL;
    }
    msg_t *msg = nta_incoming_getrequest(irq);
    tport_t *tport = nta_incoming_transport(uas->agent, irq, msg);
    struct sipreq_source source;
    const char *phrase = NULL;
    sipreq_source(&source, msg_addr(msg));
    local_address(tport_parent(tport), msg_addr(msg), invite->local);
    int err = sipreq_copy(&invite->request, sip, &source, &uas->policy, &phrase);
    tport_unref(tport);
    msg_destroy(msg);
    if (err == -EINVAL)
        uas_answer(irq, 400, phrase);
    else if (err == -EPROTONOSUPPORT)
        uas_answer(irq, SIP_416_UNSUPPORTED_URI);
    else if (err)
        uas_answer(irq, SIP_500_INTERNAL_SERVER_ERROR);
    if (err) {
        free(invite->sdp);
        free(invite);
        return NULL;
    }
    if (!*invite->sdp) {
        free(invite->sdp);
        invite->sdp = NULL;
    }
    invite->wants_reliable = (sip->sip_supported && sip_has_feature(sip->sip_supported, "100rel")) ||
                             (sip->sip_require && sip_has_feature(sip->sip_require, "100rel"));
    return invite;
}

static bool has_target(const sip_t *sip) {
    const sip_contact_t *contact = sip->sip_contact;
    return contact && !contact->m_next &&
           (contact->m_url->url_type == url_sip || contact->m_url->url_type == url_sips) &&
           contact->m_url->url_host;
}

static bool is_full(const struct uas *uas) {
    return uas->undecided >= UAS_MAX_UNDECIDED || slot_count(uas->dialogs) >= UAS_MAX_DIALOGS;
}

static void on_invite(struct uas *uas, nta_incoming_t *irq, const sip_t *sip) {
    if (is_full(uas))
        metric_add(METRIC_SIP_LISTENER_LIMITED, 1);
    if (uas->draining || is_full(uas)) {
        uas_answer_later(irq, SIP_503_SERVICE_UNAVAILABLE, UAS_RETRY_AFTER_S);
        return;
    }
    if (uas_refuse_required(irq, sip))
        return;
    if (!has_target(sip)) {
        uas_answer(irq, 400, "Missing Or Bad Contact");
        return;
    }
    struct session_timer_ask ask = dialog_timer_ask(sip);
    struct session_timer_limits limits = dialog_timer_limits(uas);
    struct session_timer timer;
    if (session_timer_answer(&timer, &ask, &limits)) {
        dialog_answer_422(irq);
        return;
    }
    struct sip_invite *invite = copy_invite(uas, irq, sip);
    if (!invite)
        return;
    if (!*invite->request.queue_id && !uas->conf->sip.accept_direct) {
        sip_invite_free(invite);
        uas_answer(irq, 404, "Call queue id in request empty or not found");
        return;
    }
    int err = dialog_new(uas, irq, sip, invite, &timer);
    if (err)
        uas_answer_later(irq, SIP_503_SERVICE_UNAVAILABLE, UAS_RETRY_AFTER_S);
}

static void on_request(struct uas *uas, nta_incoming_t *irq, const sip_t *sip) {
    static const sip_method_t of_dialogs[] = {sip_method_cancel, sip_method_bye, sip_method_update,
                                              sip_method_info, sip_method_prack};
    sip_method_t method = sip->sip_request->rq_method;
    bool dialog_is_gone = sip->sip_to->a_tag != NULL;
    for (size_t i = 0; i < sizeof of_dialogs / sizeof of_dialogs[0]; i++)
        dialog_is_gone = dialog_is_gone || method == of_dialogs[i];
    if (dialog_is_gone)
        uas_answer(irq, SIP_481_NO_TRANSACTION);
    else if (method == sip_method_invite)
        on_invite(uas, irq, sip);
    else if (method == sip_method_options && uas->draining)
        uas_answer_later(irq, SIP_503_SERVICE_UNAVAILABLE, UAS_RETRY_AFTER_S);
    else if (method == sip_method_options)
        uas_answer_options(irq);
    else
        uas_answer_not_allowed(irq);
}

static void report_flood(struct uas *uas, const struct sipreq_source *source, uint64_t now_us) {
    struct flood_counts counts;
    char address[NETWORK_TEXT_MAX];
    if (!flood_report(uas->flood, &source->address, now_us, &counts))
        return;
    address_format(&source->address, address, sizeof address);
    log_warn(NULL, "uas", "%s: %llu requests refused for their rate, %llu left unanswered", address,
             (unsigned long long)counts.refused, (unsigned long long)counts.silent);
}

// True when the request goes on. Else it has been answered without a transaction, or not at all.
static bool is_within_limits(struct uas *uas, msg_t *msg, bool invite) {
    struct sipreq_source source;
    uint64_t now_us = ticker_now_us();
    sipreq_source(&source, msg_addr(msg));
    enum flood_verdict verdict = flood_request(uas->flood, &source.address, invite, now_us);
    if (verdict == FLOOD_PASS)
        return true;
    if (verdict == FLOOD_REFUSE) {
        metric_add(METRIC_SIP_LISTENER_LIMITED, 1);
        nta_msg_treply(uas->agent, msg, SIP_503_SERVICE_UNAVAILABLE, SIPTAG_RETRY_AFTER_STR("1"), TAG_END());
    } else {
        metric_add(METRIC_SIP_LISTENER_SILENT, 1);
        msg_destroy(msg);
    }
    report_flood(uas, &source, now_us);
    return false;
}

static bool may_answer_malformed(msg_t *msg, void *arg) {
    struct uas *uas = arg;
    struct sipreq_source source;
    uint64_t now_us = ticker_now_us();
    sipreq_source(&source, msg_addr(msg));
    if (flood_malformed(uas->flood, &source.address, now_us) == FLOOD_PASS)
        return true;
    metric_add(METRIC_SIP_LISTENER_SILENT, 1);
    report_flood(uas, &source, now_us);
    return false;
}

// What belongs to no dialog and no transaction yet.
static int on_message(void *arg, nta_agent_t *agent, msg_t *msg, sip_t *sip) {
    struct uas *uas = arg;
    connections_heard(msg);
    bool is_request = sip->sip_request && sip->sip_request->rq_method != sip_method_ack;
    if (!is_request) { // an ACK or an answer for nobody
        msg_destroy(msg);
        return 0;
    }
    if (!is_within_limits(uas, msg, sip->sip_request->rq_method == sip_method_invite))
        return 0;
    nta_incoming_t *irq = nta_incoming_create(agent, NULL, msg, sip, TAG_END()); // takes msg
    if (irq)
        on_request(uas, irq, sip);
    return 0;
}

static int make_agent(struct uas *uas, struct err_text *err) {
    uas->agent = nta_agent_create(uas->root, (url_string_t *)(intptr_t)-1, on_message, uas, NTATAG_UA(1),
                                  NTATAG_MERGE_482(1), NTATAG_CANCEL_487(0),
                                  NTATAG_MCLASS(malformed_class(uas->malformed)),
                                  NTATAG_BAD_REQ_MASK(MALFORMED_MASK), NTATAG_MAXSIZE(MAX_MESSAGE_BYTES),
                                  NTATAG_PROGRESS(uas->timing.ring_ms), NTATAG_SIP_T1(uas->timing.t1_ms),
                                  NTATAG_SIP_T1X64(64 * uas->timing.t1_ms), TAG_END());
    return uas->agent ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int uas_new(struct uas **out, const struct uas_config *config, struct err_text *err) {
    struct uas *uas = calloc(1, sizeof *uas);
    if (!uas)
        return -ENOMEM;
    uas->root = config->root;
    uas->conf = config->conf;
    uas->post = config->post;
    uas->post_arg = config->post_arg;
    uas->timing.t1_ms = config->timing.t1_ms ? config->timing.t1_ms : 500;
    uas->timing.ring_ms = config->timing.ring_ms ? config->timing.ring_ms : 60000;
    uas->timing.second_us = config->timing.second_us ? config->timing.second_us : 1000000;
    int code = sipreq_policy_init(&uas->policy, uas->conf);
    if (!code)
        code = digest_new(&uas->digest);
    if (!code)
        code = flood_new(&uas->flood, UAS_SOURCES);
    if (!code)
        code = malformed_new(&uas->malformed, may_answer_malformed, uas);
    if (!code)
        code = slot_table_new(&uas->dialogs, UAS_MAX_DIALOGS);
    if (code)
        err_set(err, code, "the listener cannot be made (%s)", err_name(code));
    else
        code = make_agent(uas, err);
    if (!code)
        flood_set_rate(uas->flood, uas->conf->sip.invites_per_second);
    const struct conf_strings *list = &uas->conf->sip.media_listen;
    for (size_t i = 0; !code && i < list->count; i++)
        code = listen_bind(uas->agent, "Sip.MediaListen", list->items[i], uas->conf, config->tls_folder, err);
    if (code)
        uas_free(uas);
    else
        *out = uas;
    return code;
}

void uas_set_conf(struct uas *uas, const struct conf *conf) {
    struct sipreq_policy policy;
    if (sipreq_policy_init(&policy, conf))
        return;
    sipreq_policy_free(&uas->policy);
    uas->policy = policy;
    uas->conf = conf;
    flood_set_rate(uas->flood, conf->sip.invites_per_second);
}

void uas_mail(struct uas *uas, struct mail *mail) {
    struct dialog *dialog = slot_get(uas->dialogs, mail->to);
    if (dialog)
        dialog_mail(dialog, mail);
}

void uas_drain(struct uas *uas) {
    uas->draining = true;
}

static void each_close(uint64_t handle, void *dialog, void *arg) {
    (void)handle;
    (void)arg;
    dialog_close(dialog);
}

static void each_free(uint64_t handle, void *dialog, void *arg) {
    (void)handle;
    (void)arg;
    dialog_free(dialog);
}

static void close_done(struct uas *uas) {
    void (*on_closed)(void *arg) = uas->on_closed;
    uas->on_closed = NULL;
    if (on_closed)
        on_closed(uas->on_closed_arg);
}

static void on_close_late(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg) {
    (void)magic;
    (void)timer;
    close_done(arg);
}

void uas_dialog_gone(struct uas *uas) {
    if (uas->closing && !slot_count(uas->dialogs)) // not at once: a dialog is going, and nta calls us
        su_timer_set_interval(uas->closing, on_close_late, uas, 0);
}

void uas_close(struct uas *uas, void (*on_closed)(void *arg), void *arg) {
    uas->draining = true;
    uas->on_closed = on_closed;
    uas->on_closed_arg = arg;
    if (uas->closing) { // asked twice: no more waiting
        close_done(uas);
        return;
    }
    uas->closing = su_timer_create(su_root_task(uas->root), 0);
    slot_each(uas->dialogs, each_close, NULL);
    su_timer_set_interval(uas->closing, on_close_late, uas, slot_count(uas->dialogs) ? CLOSE_MS : 0);
}

void uas_free(struct uas *uas) {
    if (!uas)
        return;
    if (uas->closing)
        su_timer_destroy(uas->closing);
    uas->closing = NULL;
    if (uas->dialogs)
        slot_each(uas->dialogs, each_free, NULL);
    if (uas->agent)
        nta_agent_destroy(uas->agent);
    malformed_free(uas->malformed);
    slot_table_free(uas->dialogs);
    flood_free(uas->flood);
    sipreq_policy_free(&uas->policy);
    digest_free(uas->digest);
    free(uas);
}
