// SPDX-License-Identifier: Apache-2.0
#include "sip/dialog_impl.h"

#include "gateway/core/metrics.h"
#include "gateway/core/ticker.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static void text_clean(const char *text, char *out, size_t out_size) {
    size_t n = 0;
    for (; *text && n + 1 < out_size; text++) {
        if ((unsigned char)*text >= 0x20 && *text != '"' && *text != '\\' && *text != 0x7f)
            out[n++] = *text;
    }
    out[n] = '\0';
}

void dialog_set_reason(struct dialog *dialog, unsigned q850, const char *text) {
    enum { NORMAL_CLEARING = 16 };
    char clean[96];
    text_clean(text && *text ? text : "call ended", clean, sizeof clean);
    snprintf(dialog->reason, sizeof dialog->reason, "Q.850;cause=%u;text=\"%s\"",
             q850 ? q850 : NORMAL_CLEARING, clean);
}

const char *dialog_reason_of(const sip_t *sip, char *out, size_t out_size) {
    size_t n = (size_t)snprintf(out, out_size, "%s", sip->sip_request->rq_method_name);
    for (const sip_reason_t *reason = sip->sip_reason; reason && n < out_size; reason = reason->re_next) {
        char text[96] = "";
        if (reason->re_text)
            text_clean(reason->re_text, text, sizeof text);
        n += (size_t)snprintf(out + n, out_size - n, "%s %.16s cause %.8s%s%s",
                              reason == sip->sip_reason ? ":" : ";",
                              reason->re_protocol ? reason->re_protocol : "?",
                              reason->re_cause ? reason->re_cause : "?", *text ? ": " : "", text);
    }
    return out;
}

// The way back

tport_t *dialog_tport(const struct dialog *dialog) {
    return dialog->tport && tport_is_clear_to_send(dialog->tport) ? dialog->tport : NULL;
}

// A peer behind a NAT names an address in its Contact that cannot be reached from here. It is behind one when it is
// the last hop itself, and yet comes from elsewhere than it says.
static bool is_behind_nat(const sip_t *sip, const char *source) {
    if (sip->sip_record_route || !sip->sip_via || sip->sip_via->v_next || !sip->sip_contact)
        return false;
    struct in_addr v4;
    const char *host = sip->sip_contact->m_url->url_host;
    return host && inet_pton(AF_INET, host, &v4) == 1 && strcmp(host, source) != 0;
}

void dialog_learn_way(struct dialog *dialog, nta_incoming_t *irq, const sip_t *sip) {
    msg_t *msg = nta_incoming_getrequest(irq);
    tport_t *tport = nta_incoming_transport(dialog->uas->agent, irq, msg); // a new reference
    if (dialog->tport)
        tport_unref(dialog->tport);
    dialog->tport = tport;
    struct sipreq_source from;
    char source[INET6_ADDRSTRLEN];
    sipreq_source(&from, msg_addr(msg));
    address_format(&from.address, source, sizeof source);
    msg_destroy(msg);
    *dialog->next_hop = '\0';
    if (tport && tport_is_udp(tport) && is_behind_nat(sip, source))
        snprintf(dialog->next_hop, sizeof dialog->next_hop, "sip:%s:%u;transport=udp", source, from.port);
}

// Birth and end

// Where the peer finds us: behind a 1:1 NAT by our public address, if that is of the family that it uses.
static void set_contact(struct dialog *dialog, const struct sip_invite *invite) {
    const char *outside = dialog->uas->conf->gateway.public_address;
    const char *host = invite->local;
    bool v6 = strchr(host, ':') != NULL;
    if (outside && *outside && v6 == (strchr(outside, ':') != NULL))
        host = outside;
    const tp_name_t *name = tport_name(tport_parent(dialog->tport));
    snprintf(dialog->contact, sizeof dialog->contact, "<sip:%s%s%s:%s;transport=%s>", v6 ? "[" : "", host,
             v6 ? "]" : "", name->tpn_port, name->tpn_proto);
}

static nta_leg_t *new_leg(struct dialog *dialog, const sip_t *sip) {
    su_home_t home[1] = {SU_HOME_INIT(home)};
    su_home_init(home);
    // The tag is there from the beginning, so that a request without one never finds this leg.
    sip_from_t *local = sip_from_dup(home, sip->sip_to);
    sip_from_tag(home, local, nta_agent_newtag(home, "%s", dialog->uas->agent));
    nta_leg_t *leg = nta_leg_tcreate(
        dialog->uas->agent, dialog_on_request, dialog, SIPTAG_CALL_ID(sip->sip_call_id), SIPTAG_FROM(local),
        SIPTAG_TO((sip_to_t *)sip->sip_from), NTATAG_REMOTE_CSEQ(sip->sip_cseq->cs_seq), TAG_END());
    su_home_deinit(home);
    if (leg)
        nta_leg_server_route(leg, sip->sip_record_route, sip->sip_contact);
    return leg;
}

static bool allows(const sip_t *sip, const char *method) {
    return sip->sip_allow && msg_header_find_item(sip->sip_allow->k_common, method);
}

static void fill(struct dialog *dialog, nta_incoming_t *irq, const sip_t *sip,
                 const struct sip_invite *invite) {
    snprintf(dialog->call_id, sizeof dialog->call_id, "%s", invite->request.call_id);
    dialog->offerless = !invite->sdp;
    dialog->remote_sdp = invite->sdp ? strdup(invite->sdp) : NULL;
    dialog->must_100rel = sip->sip_require && sip_has_feature(sip->sip_require, "100rel");
    dialog->can_100rel = invite->wants_reliable;
    dialog->peer_has_update = allows(sip, "UPDATE");
    dialog->peer_has_timer = dialog_timer_ask(sip).supported;
    dialog_learn_way(dialog, irq, sip);
    set_contact(dialog, invite);
    dialog->decide_us = ticker_now_us() + DIALOG_DECIDE_S * 1000000ULL;
}

int dialog_new(struct uas *uas, nta_incoming_t *irq, const sip_t *sip, struct sip_invite *invite,
               const struct session_timer *timer) {
    struct dialog *dialog = calloc(1, sizeof *dialog);
    int err = dialog ? slot_put(uas->dialogs, dialog, &dialog->handle) : -ENOMEM;
    if (err) {
        free(dialog);
        sip_invite_free(invite);
        return err;
    }
    dialog->uas = uas;
    dialog->timer = *timer;
    uas->undecided++;
    metric_add(METRIC_SIP_DIALOGS, 1);
    fill(dialog, irq, sip, invite);
    dialog->alarm = su_timer_create(su_root_task(uas->root), 0);
    dialog->leg = new_leg(dialog, sip);
    bool whole = dialog->alarm && dialog->leg && (dialog->offerless || dialog->remote_sdp);
    if (whole)
        err = uas_post(uas, dialog->handle, SIP_INVITE, invite, sip_invite_free, false);
    else
        sip_invite_free(invite);
    if (!whole || err) {
        dialog_free(dialog);
        return whole ? err : -ENOMEM;
    }
    dialog->invite = irq;
    nta_incoming_tag(irq, nta_leg_get_tag(dialog->leg));
    nta_incoming_bind(irq, dialog_on_ack, dialog);
    nta_incoming_treply(irq, SIP_100_TRYING, SIPTAG_SERVER_STR(UAS_PRODUCT), TAG_END());
    dialog_arm(dialog);
    return 0;
}

void dialog_free(struct dialog *dialog) {
    struct uas *uas = dialog->uas;
    if (dialog->state == DIALOG_RINGING)
        uas->undecided--;
    slot_take(uas->dialogs, dialog->handle);
    metric_add(METRIC_SIP_DIALOGS, -1);
    if (dialog->ringing)
        nta_reliable_destroy(dialog->ringing);
    nta_incoming_destroy(dialog->invite);
    nta_incoming_destroy(dialog->change);
    nta_outgoing_destroy(dialog->refresh);
    nta_outgoing_destroy(dialog->bye);
    nta_leg_destroy(dialog->leg);
    if (dialog->tport)
        tport_unref(dialog->tport);
    su_timer_destroy(dialog->alarm);
    free(dialog->local_sdp);
    free(dialog->remote_sdp);
    free(dialog);
    uas_dialog_gone(uas);
}

void dialog_over(struct dialog *dialog, enum sip_over code, const char *text) {
    if (dialog->state == DIALOG_OVER)
        return;
    dialog_log(info, dialog, "%s is over: %s", dialog->call_id, text);
    if (dialog->state == DIALOG_RINGING)
        dialog->uas->undecided--;
    dialog->state = DIALOG_OVER;
    dialog->decide_us = dialog->ring_us = dialog->refresh_us = dialog->expire_us = 0;
    dialog_arm(dialog);
    uas_post_text(dialog->uas, dialog->handle, SIP_OVER, code, text);
}

static int on_bye_answered(void *arg, nta_outgoing_t *bye, const sip_t *sip) {
    (void)sip;
    if (nta_outgoing_status(bye) >= 200)
        dialog_free(arg);
    return 0;
}

void dialog_hang_up(struct dialog *dialog) {
    if (dialog->bye)
        return;
    if (dialog->invite) {
        dialog->bye_due = true; // goes out with the ACK, or when none has come
        return;
    }
    dialog->bye = nta_outgoing_tcreate(
        dialog->leg, on_bye_answered, dialog, *dialog->next_hop ? URL_STRING_MAKE(dialog->next_hop) : NULL,
        SIP_METHOD_BYE, NULL, TAG_IF(dialog_tport(dialog), NTATAG_TPORT(dialog->tport)),
        SIPTAG_USER_AGENT_STR(UAS_PRODUCT), SIPTAG_REASON_STR(dialog->reason), TAG_END());
    if (!dialog->bye)
        dialog_free(dialog);
}

void dialog_close(struct dialog *dialog) {
    if (dialog->state == DIALOG_RINGING) {
        dialog_reject(dialog, SIP_503_SERVICE_UNAVAILABLE, UAS_RETRY_AFTER_S);
        return;
    }
    if (dialog->state != DIALOG_OVER) {
        dialog_set_reason(dialog, 0, "the gateway stops");
        dialog_over(dialog, SIP_OVER_OURS, "the gateway stops");
    }
    dialog_end_invite(dialog); // there is no time to wait for the ACK
    dialog_hang_up(dialog);
}

// Time

static void on_alarm(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg) {
    struct dialog *dialog = arg;
    uint64_t now_us = ticker_now_us();
    (void)magic;
    (void)timer;
    if (dialog->decide_us && now_us >= dialog->decide_us) {
        dialog_log(error, dialog, "%s: nobody has decided about it", dialog->call_id);
        dialog_reject(dialog, SIP_503_SERVICE_UNAVAILABLE, UAS_RETRY_AFTER_S);
        return;
    }
    if (dialog->expire_us && now_us >= dialog->expire_us) {
        dialog_set_reason(dialog, 102, "session timer expired"); // recovery on timer expiry
        dialog_over(dialog, SIP_OVER_EXPIRED, "no session refresh came in time");
        dialog_hang_up(dialog);
        return;
    }
    if (dialog->ring_us && now_us >= dialog->ring_us) {
        dialog->ring_us = 0;
        dialog_ring(dialog);
    }
    if (dialog->refresh_us && now_us >= dialog->refresh_us)
        dialog_refresh(dialog);
    dialog_arm(dialog);
}

void dialog_arm(struct dialog *dialog) {
    uint64_t due_us[] = {dialog->decide_us, dialog->ring_us, dialog->refresh_us, dialog->expire_us};
    uint64_t first_us = UINT64_MAX, now_us = ticker_now_us();
    for (size_t i = 0; i < sizeof due_us / sizeof due_us[0]; i++) {
        if (due_us[i] && due_us[i] < first_us)
            first_us = due_us[i];
    }
    su_timer_reset(dialog->alarm);
    if (first_us == UINT64_MAX)
        return;
    uint64_t wait_ms = first_us > now_us ? (first_us - now_us + 999) / 1000 : 0;
    su_timer_set_interval(dialog->alarm, on_alarm, dialog,
                          wait_ms < INT32_MAX ? (su_duration_t)wait_ms : INT32_MAX);
}

// Mail

static void on_challenge(struct dialog *dialog, const struct sip_login *login) {
    msg_t *msg = nta_incoming_getrequest(dialog->invite);
    const sip_t *sip = sip_object(msg);
    bool tried = sip->sip_authorization != NULL;
    enum digest_verdict verdict = uas_check_login(dialog->uas, sip, login);
    msg_destroy(msg);
    if (verdict == DIGEST_GOOD) {
        metric_add(METRIC_SIP_LOGIN_GOOD, 1);
        uas_post(dialog->uas, dialog->handle, SIP_AUTHORIZED, NULL, NULL, true);
        return;
    }
    bool wrong = tried && verdict == DIGEST_WRONG;
    metric_add(wrong ? METRIC_SIP_LOGIN_WRONG : METRIC_SIP_LOGIN_ASKED, 1);
    if (wrong)
        dialog_log(warn, dialog, "%s: wrong login", dialog->call_id);
    nta_incoming_t *invite = dialog->invite;
    dialog->invite = NULL;
    uas_challenge(dialog->uas, invite, login, verdict == DIGEST_STALE);
    dialog_over(dialog, SIP_OVER_LOGIN, wrong ? "wrong login" : "asked for a login");
    dialog_free(dialog);
}

static void on_accept(struct dialog *dialog, const struct sip_text *accept) {
    const char *sdp = accept->text ? accept->text : "";
    if (dialog->state == DIALOG_RINGING) {
        dialog->uas->undecided--;
        dialog->state = DIALOG_ANSWERED;
        dialog->decide_us = dialog->ring_us = 0;
        dialog_answer_ok(dialog, dialog->invite, sdp, &dialog->timer);
    } else if (dialog->change_asked) {
        dialog_accept_change(dialog, sdp);
    }
}

static void on_reject(struct dialog *dialog, const struct sip_text *reject) {
    int status = reject->code >= 400 && reject->code <= 699 ? (int)reject->code : 503;
    char phrase[96];
    text_clean(reject->text ? reject->text : "", phrase, sizeof phrase);
    const char *said = *phrase ? phrase : NULL;
    if (dialog->state == DIALOG_RINGING)
        dialog_reject(dialog, status, said, reject->retry_after_s);
    else if (dialog->change_asked)
        dialog_reject_change(dialog, status, said);
}

static void on_bye(struct dialog *dialog, const struct sip_text *bye) {
    const char *text = bye->text ? bye->text : "";
    dialog_set_reason(dialog, bye->code, text);
    if (dialog->state == DIALOG_RINGING) {
        dialog_reject(dialog, SIP_487_REQUEST_TERMINATED, 0);
        return;
    }
    dialog_over(dialog, SIP_OVER_OURS, *text ? text : "we hung up");
    dialog_hang_up(dialog);
}

void dialog_mail(struct dialog *dialog, struct mail *mail) {
    static const struct sip_text nothing;
    const struct sip_text *text = mail->data ? mail->data : &nothing;
    if (dialog->state == DIALOG_OVER)
        return;
    if (mail->type == SIP_CHALLENGE && dialog->state == DIALOG_RINGING && mail->data) {
        on_challenge(dialog, mail->data);
    } else if (mail->type == SIP_PROGRESS && dialog->state == DIALOG_RINGING) {
        snprintf(dialog->session, sizeof dialog->session, "%s", text->text ? text->text : "");
        dialog_log(info, dialog, "SIP call %s rings", dialog->call_id);
        if (!dialog->rang)
            dialog_ring(dialog);
    } else if (mail->type == SIP_ACCEPT) {
        on_accept(dialog, text);
    } else if (mail->type == SIP_REJECT) {
        on_reject(dialog, text);
    } else if (mail->type == SIP_BYE) {
        on_bye(dialog, text);
    }
}
