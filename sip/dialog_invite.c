// SPDX-License-Identifier: Apache-2.0
// The first INVITE of a dialog: 180, 200 or a refusal, ACK and CANCEL. RFC 3261 section 13.3, RFC 3262.
#include "sip/dialog_impl.h"

#include "gateway/core/ticker.h"

#include <stdlib.h>
#include <string.h>

static int on_prack(void *arg, nta_reliable_t *ringing, nta_incoming_t *prack, const sip_t *sip) {
    struct dialog *dialog = arg;
    if (!prack) // our final response has overtaken it; it may still come
        return 200;
    dialog->ringing = NULL;
    nta_reliable_destroy(ringing);
    if (sip->sip_payload && sip->sip_payload->pl_len) {
        // No 180 of ours has SDP, so there is nothing to answer and no time for an offer (RFC 3262 section 5).
        uas_answer(prack, SIP_488_NOT_ACCEPTABLE);
        return 0;
    }
    return 200;
}

void dialog_ring(struct dialog *dialog) {
    // The first reliable response would have to bring our offer (RFC 3261 section 13.2.1), which there is not yet.
    bool reliable = dialog->can_100rel && !dialog->offerless;
    if (dialog->ringing || (dialog->must_100rel && !reliable))
        return;
    if (reliable) {
        dialog->ringing = nta_reliable_treply(dialog->invite, on_prack, dialog, SIP_180_RINGING,
                                              SIPTAG_SERVER_STR(UAS_PRODUCT),
                                              SIPTAG_CONTACT_STR(dialog->contact), UAS_ABOUT_TAGS, TAG_END());
        dialog->ring_us = ticker_now_us() + dialog->uas->timing.ring_ms * 1000ULL;
        dialog_arm(dialog);
    } else if (!dialog->rang) { // nta itself repeats it every minute
        nta_incoming_treply(dialog->invite, SIP_180_RINGING, SIPTAG_SERVER_STR(UAS_PRODUCT),
                            SIPTAG_CONTACT_STR(dialog->contact), UAS_ABOUT_TAGS, TAG_END());
    }
    dialog->rang = true;
}

// The INVITE is answered for good. nta goes on repeating the answer until the ACK.
void dialog_end_invite(struct dialog *dialog) {
    if (dialog->ringing)
        nta_reliable_destroy(dialog->ringing);
    dialog->ringing = NULL;
    nta_incoming_destroy(dialog->invite);
    dialog->invite = NULL;
}

void dialog_reject(struct dialog *dialog, int status, const char *phrase, unsigned retry_after_s) {
    char seconds[16], text[48];
    snprintf(seconds, sizeof seconds, "%u", retry_after_s);
    nta_incoming_treply(dialog->invite, status, phrase, SIPTAG_SERVER_STR(UAS_PRODUCT),
                        TAG_IF(retry_after_s, SIPTAG_RETRY_AFTER_STR(seconds)),
                        TAG_IF(*dialog->reason, SIPTAG_REASON_STR(dialog->reason)), TAG_END());
    dialog_end_invite(dialog);
    snprintf(text, sizeof text, "refused with %d", status);
    dialog_over(dialog, SIP_OVER_OURS, text);
    dialog_free(dialog);
}

bool dialog_keep_sdp(char **kept, const char *sdp) {
    if (!*sdp)
        return true;
    char *copy = strdup(sdp);
    if (!copy)
        return false;
    free(*kept);
    *kept = copy;
    return true;
}

void dialog_answer_ok(struct dialog *dialog, nta_incoming_t *irq, const char *sdp,
                      const struct session_timer *timer) {
    char expires[48];
    bool timed = timer->interval_s > 0;
    snprintf(expires, sizeof expires, "%u;refresher=%s", timer->interval_s, timer->ours ? "uas" : "uac");
    dialog_keep_sdp(&dialog->local_sdp, sdp);
    dialog_timer_set(dialog, timer);
    nta_incoming_treply(irq, SIP_200_OK, SIPTAG_SERVER_STR(UAS_PRODUCT), SIPTAG_CONTACT_STR(dialog->contact),
                        UAS_ABOUT_TAGS, TAG_IF(timed, SIPTAG_SESSION_EXPIRES_STR(expires)),
                        TAG_IF(timed && dialog->peer_has_timer, SIPTAG_REQUIRE_STR("timer")),
                        TAG_IF(*sdp, SIPTAG_CONTENT_TYPE_STR(UAS_SDP)), TAG_IF(*sdp, SIPTAG_PAYLOAD_STR(sdp)),
                        TAG_END());
}

// The answer to our offer, which only the ACK can bring. False: there is none, and with it no session.
static bool take_answer(struct dialog *dialog, const sip_t *ack) {
    char *sdp;
    if (uas_sdp(ack, &sdp))
        return false;
    bool some = *sdp != '\0' && dialog_keep_sdp(&dialog->remote_sdp, sdp);
    if (some)
        uas_post_text(dialog->uas, dialog->handle, SIP_ANSWER, 0, sdp);
    free(sdp);
    return some;
}

static void give_up(struct dialog *dialog, const char *text) {
    dialog_set_reason(dialog, 102, text);
    dialog_over(dialog, SIP_OVER_NO_ACK, text);
    dialog_hang_up(dialog);
}

static void on_acked(struct dialog *dialog, const sip_t *ack) {
    dialog_end_invite(dialog);
    if (dialog->state == DIALOG_OVER) {
        if (dialog->bye_due)
            dialog_hang_up(dialog);
        return;
    }
    dialog->state = DIALOG_UP;
    if (dialog->offerless && !take_answer(dialog, ack)) {
        give_up(dialog, "the ACK brought no SDP answer");
        return;
    }
    uas_post(dialog->uas, dialog->handle, SIP_CONFIRMED, NULL, NULL, true);
}

static void on_change_acked(struct dialog *dialog, const sip_t *ack) {
    nta_incoming_destroy(dialog->change);
    dialog->change = NULL;
    if (dialog->change_offerless && dialog->state != DIALOG_OVER && !take_answer(dialog, ack))
        give_up(dialog, "the ACK brought no SDP answer");
}

static void on_no_ack(struct dialog *dialog, bool first) {
    bool ringing = dialog->state == DIALOG_RINGING;
    if (first) {
        dialog_end_invite(dialog); // while ringing, nta itself says 503 after this
    } else {
        nta_incoming_destroy(dialog->change);
        dialog->change = NULL;
    }
    if (ringing) {
        dialog_over(dialog, SIP_OVER_TRANSPORT, "180 was not acknowledged");
        dialog_free(dialog);
        return;
    }
    give_up(dialog, "200 was not acknowledged");
}

static void on_cancel(struct dialog *dialog, const sip_t *cancel) {
    char text[160];
    if (dialog->state != DIALOG_RINGING)
        return;
    nta_incoming_treply(dialog->invite, SIP_487_REQUEST_TERMINATED, SIPTAG_SERVER_STR(UAS_PRODUCT),
                        TAG_END());
    dialog_end_invite(dialog);
    dialog_over(dialog, SIP_OVER_CANCEL, dialog_reason_of(cancel, text, sizeof text));
    dialog_free(dialog);
}

int dialog_on_ack(void *arg, nta_incoming_t *irq, const sip_t *sip) {
    struct dialog *dialog = arg;
    bool first = irq == dialog->invite;
    if (!sip)
        on_no_ack(dialog, first);
    else if (sip->sip_request->rq_method == sip_method_cancel && first)
        on_cancel(dialog, sip);
    else if (sip->sip_request->rq_method == sip_method_ack)
        first ? on_acked(dialog, sip) : on_change_acked(dialog, sip);
    // The CANCEL of a re-INVITE is left to cross our answer, which is on its way: had ctl's word come to nothing, the
    // two sides would not agree on what was agreed.
    return 0;
}
