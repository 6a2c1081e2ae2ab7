// SPDX-License-Identifier: Apache-2.0
// Requests within a dialog: RFC 3261 sections 12.2.2, 14.2 and 15, RFC 3311 (UPDATE), INFO.
#include "sip/connections.h"
#include "sip/dialog_impl.h"
#include "sip/dialog_info.h"

#include <sofia-sip/su_uniqueid.h>
#include <stdlib.h>
#include <string.h>

static void on_peer_bye(struct dialog *dialog, nta_incoming_t *irq, const sip_t *sip) {
    char text[160];
    dialog_reason_of(sip, text, sizeof text);
    uas_answer(irq, SIP_200_OK);
    if (dialog->state == DIALOG_RINGING) // an early dialog may end so, too (section 15)
        nta_incoming_treply(dialog->invite, SIP_487_REQUEST_TERMINATED, SIPTAG_SERVER_STR(UAS_PRODUCT),
                            TAG_END());
    dialog_over(dialog, SIP_OVER_BYE, text);
    if (!dialog->bye)
        dialog_free(dialog); // else when our own is answered
}

static void on_info(struct dialog *dialog, nta_incoming_t *irq, const sip_t *sip) {
    const sip_payload_t *body = sip->sip_payload;
    char key[2] = "";
    if (!body || !body->pl_len) { // some ask in this way whether we are there
        uas_answer(irq, SIP_200_OK);
        return;
    }
    const char *type =
        sip->sip_content_type && sip->sip_content_type->c_type ? sip->sip_content_type->c_type : "";
    int err = dialog_info_key(type, span_of(body->pl_data, body->pl_len), key);
    if (err == -ENOTSUP) {
        uas_answer_bad_type(irq, DIALOG_INFO_TYPES);
    } else if (err) {
        uas_answer(irq, 400, "No Key In Body");
    } else {
        uas_answer(irq, SIP_200_OK);
        if (*key && dialog->state != DIALOG_RINGING)
            uas_post_text(dialog->uas, dialog->handle, SIP_DTMF, 0, key);
    }
}

// True when an offer cannot be taken now; it has been answered (RFC 3261 section 14.2, RFC 3311 section 5.2).
static bool refuse_overlap(struct dialog *dialog, nta_incoming_t *irq) {
    bool our_offer_is_open = (dialog->invite && dialog->offerless && dialog->state == DIALOG_ANSWERED) ||
                             (dialog->change && !dialog->change_asked && dialog->change_offerless) ||
                             (dialog->refresh && nta_outgoing_method(dialog->refresh) == sip_method_invite);
    if (our_offer_is_open) {
        uas_answer(irq, SIP_491_REQUEST_PENDING);
        return true;
    }
    if (dialog->state == DIALOG_RINGING || dialog->change_asked) {
        unsigned later_s = (unsigned)su_randint(DIALOG_RETRY_MIN_S, DIALOG_RETRY_MAX_S);
        uas_answer_later(irq, SIP_500_INTERNAL_SERVER_ERROR, later_s);
        return true;
    }
    return false;
}

// What a re-INVITE or UPDATE says beside its SDP. False: it has been refused with 422.
static bool take_terms(struct dialog *dialog, nta_incoming_t *irq, const sip_t *sip) {
    struct session_timer_ask ask = dialog_timer_ask(sip);
    struct session_timer_limits limits = dialog_timer_limits(dialog->uas);
    struct session_timer timer;
    if (session_timer_answer(&timer, &ask, &limits)) {
        dialog_answer_422(irq);
        return false;
    }
    dialog->change_timer = timer;
    dialog->peer_has_timer = ask.supported;
    nta_leg_server_route(dialog->leg, NULL, sip->sip_contact); // target refresh
    dialog_learn_way(dialog, irq, sip);
    return true;
}

static void ask_ctl(struct dialog *dialog, nta_incoming_t *irq, const char *sdp) {
    if (dialog->change) // a re-INVITE whose ACK is late: it repeats its answer without us
        nta_incoming_destroy(dialog->change);
    dialog->change = irq;
    dialog->change_offerless = !*sdp;
    dialog->change_asked = true;
    if (nta_incoming_method(irq) == sip_method_invite)
        nta_incoming_bind(irq, dialog_on_ack, dialog);
    if (uas_post_text(dialog->uas, dialog->handle, SIP_OFFER, 0, sdp))
        dialog_reject_change(dialog, SIP_500_INTERNAL_SERVER_ERROR);
}

static void on_change(struct dialog *dialog, nta_incoming_t *irq, const sip_t *sip) {
    char *sdp;
    if (uas_sdp_or_answer(irq, sip, &sdp))
        return;
    bool is_refresh = !*sdp && nta_incoming_method(irq) == sip_method_update;
    if (is_refresh) {
        static const struct session_timer none;
        if (take_terms(dialog, irq, sip)) { // a session that is still to begin has no time yet
            dialog_answer_ok(dialog, irq, "",
                             dialog->state == DIALOG_RINGING ? &none : &dialog->change_timer);
            nta_incoming_destroy(irq);
        }
    } else if (!refuse_overlap(dialog, irq) && take_terms(dialog, irq, sip)) {
        ask_ctl(dialog, irq, sdp);
        if (*sdp) {
            free(dialog->remote_sdp);
            dialog->remote_sdp = sdp;
            sdp = NULL;
        }
    }
    free(sdp);
}

void dialog_accept_change(struct dialog *dialog, const char *sdp) {
    dialog->change_asked = false;
    if (!dialog->change) {
        dialog_keep_sdp(&dialog->local_sdp, sdp);
        return;
    }
    dialog_answer_ok(dialog, dialog->change, sdp, &dialog->change_timer);
    if (nta_incoming_method(dialog->change) == sip_method_invite)
        return; // until the ACK
    nta_incoming_destroy(dialog->change);
    dialog->change = NULL;
}

void dialog_reject_change(struct dialog *dialog, int status, const char *phrase) {
    dialog->change_asked = false;
    if (dialog->change)
        uas_answer(dialog->change, status, phrase);
    dialog->change = NULL;
}

static void on_over(nta_incoming_t *irq) {
    uas_answer(irq, SIP_481_NO_TRANSACTION);
}

// By a connection of its own, perhaps.
static void heard(nta_incoming_t *irq) {
    msg_t *msg = nta_incoming_getrequest(irq);
    if (msg)
        connections_heard(msg);
    msg_destroy(msg);
}

int dialog_on_request(void *arg, nta_leg_t *leg, nta_incoming_t *irq, const sip_t *sip) {
    struct dialog *dialog = arg;
    (void)leg;
    sip_method_t method = sip->sip_request->rq_method;
    if (method == sip_method_ack)
        return 200; // one that belongs to nothing any more; an ACK is never answered
    heard(irq);
    if (method == sip_method_bye)
        on_peer_bye(dialog, irq, sip);
    else if (dialog->state == DIALOG_OVER || method == sip_method_cancel)
        on_over(irq);
    else if (uas_refuse_required(irq, sip))
        return 0;
    else if (method == sip_method_invite || method == sip_method_update)
        on_change(dialog, irq, sip);
    else if (method == sip_method_info)
        on_info(dialog, irq, sip);
    else if (method == sip_method_options)
        uas_answer_options(irq);
    else if (method == sip_method_refer)
        uas_answer(irq, SIP_603_DECLINE);
    else
        uas_answer_not_allowed(irq);
    return 0;
}
