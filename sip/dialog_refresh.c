// SPDX-License-Identifier: Apache-2.0
// Session timers, RFC 4028, on a dialog's clock and in its messages.
#include "sip/dialog_impl.h"

#include "gateway/core/ticker.h"

#include <sofia-sip/su_uniqueid.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_EXPIRES_S = 7 * 24 * 3600 };

static uint32_t seconds_of(unsigned long delta) {
    return delta < MAX_EXPIRES_S ? (uint32_t)delta : MAX_EXPIRES_S;
}

struct session_timer_ask dialog_timer_ask(const sip_t *sip) {
    struct session_timer_ask ask = {
        .supported = (sip->sip_supported && sip_has_feature(sip->sip_supported, "timer")) ||
                     (sip->sip_require && sip_has_feature(sip->sip_require, "timer"))};
    const sip_session_expires_t *expires = sip->sip_session_expires;
    if (expires) {
        const char *refresher = expires->x_refresher ? expires->x_refresher : "";
        ask.expires_s = seconds_of(expires->x_delta);
        if (strcasecmp(refresher, "uac") == 0)
            ask.refresher = REFRESHER_UAC;
        else if (strcasecmp(refresher, "uas") == 0)
            ask.refresher = REFRESHER_UAS;
    }
    if (sip->sip_min_se)
        ask.min_se_s = seconds_of(sip->sip_min_se->min_delta);
    return ask;
}

struct session_timer_limits dialog_timer_limits(const struct uas *uas) {
    return (struct session_timer_limits){.expires_s = (uint32_t)uas->conf->sip.session_expires_seconds,
                                         .min_se_s = UAS_MIN_SE_S};
}

void dialog_answer_422(nta_incoming_t *irq) {
    char least[16];
    snprintf(least, sizeof least, "%d", UAS_MIN_SE_S);
    nta_incoming_treply(irq, SIP_422_SESSION_TIMER_TOO_SMALL, SIPTAG_SERVER_STR(UAS_PRODUCT),
                        SIPTAG_MIN_SE_STR(least), TAG_END());
    nta_incoming_destroy(irq);
}

static uint64_t after_s(const struct dialog *dialog, uint64_t seconds) {
    return ticker_now_us() + seconds * dialog->uas->timing.second_us;
}

void dialog_timer_set(struct dialog *dialog, const struct session_timer *timer) {
    dialog->timer = *timer;
    dialog->refresh_us = dialog->expire_us = 0;
    if (timer->interval_s) {
        dialog->expire_us = after_s(dialog, session_timer_give_up_s(timer->interval_s));
        if (timer->ours)
            dialog->refresh_us = after_s(dialog, session_timer_refresh_s(timer->interval_s));
    }
    dialog_arm(dialog);
}

static void try_again(struct dialog *dialog, uint64_t at_us) {
    dialog->refresh_us = at_us;
    dialog_arm(dialog);
}

// Between the refresh and the end of the session there is room for a few tries.
static void try_again_later(struct dialog *dialog) {
    try_again(dialog, after_s(dialog, dialog->timer.interval_s / 10 + 1));
}

static void send_ack(struct dialog *dialog, nta_outgoing_t *invite) {
    su_home_t home[1] = {SU_HOME_INIT(home)};
    su_home_init(home);
    sip_cseq_t *cseq = sip_cseq_create(home, nta_outgoing_cseq(invite), SIP_METHOD_ACK);
    nta_outgoing_t *ack = nta_outgoing_tcreate(
        dialog->leg, NULL, NULL, *dialog->next_hop ? URL_STRING_MAKE(dialog->next_hop) : NULL, SIP_METHOD_ACK,
        NULL, TAG_IF(dialog_tport(dialog), NTATAG_TPORT(dialog->tport)), SIPTAG_CSEQ(cseq), TAG_END());
    nta_outgoing_destroy(ack); // nta repeats it when the 200 is
    su_home_deinit(home);
}

// A refresh by re-INVITE sends our SDP again. What the peer says to it may be new: moved media, another direction.
// ctl takes that as it takes an offer, and its answer is what we send next time.
static void take_sdp(struct dialog *dialog, const sip_t *sip) {
    char *sdp;
    if (uas_sdp(sip, &sdp))
        return;
    bool changed = *sdp && (!dialog->remote_sdp || strcmp(sdp, dialog->remote_sdp) != 0);
    if (changed && !uas_post_text(dialog->uas, dialog->handle, SIP_OFFER, 0, sdp)) {
        dialog->change_asked = true;
        free(dialog->remote_sdp);
        dialog->remote_sdp = sdp;
        return;
    }
    free(sdp);
}

static void on_refreshed(struct dialog *dialog, const sip_t *sip) {
    struct session_timer_ask answer = dialog_timer_ask(sip);
    struct session_timer timer = session_timer_refreshed(&answer, dialog->timer.interval_s);
    nta_leg_client_reroute(dialog->leg, NULL, sip->sip_contact, 0); // target refresh
    dialog_timer_set(dialog, &timer);
}

static void on_refused(struct dialog *dialog, int status, bool was_update, const sip_t *sip) {
    enum { GLARE_MAX_T1 = 4 };
    if (status == 408 ||
        status == 481) { // the peer does not know this call any more (RFC 3261 section 12.2.1.2)
        dialog_set_reason(dialog, 102, "session refresh failed");
        dialog_over(dialog, SIP_OVER_EXPIRED,
                    status == 481 ? "the peer does not know the call any more"
                                  : "the peer does not answer a session refresh");
        dialog_hang_up(dialog);
    } else if (status == 491) { // the side that does not own the Call-ID waits for less long (section 14.1)
        int wait_ms = su_randint(0, GLARE_MAX_T1 * (int)dialog->uas->timing.t1_ms);
        try_again(dialog, ticker_now_us() + (uint64_t)wait_ms * 1000);
    } else if (status == 422 && sip && sip->sip_min_se &&
               seconds_of(sip->sip_min_se->min_delta) > dialog->timer.interval_s) {
        dialog->timer.interval_s = seconds_of(sip->sip_min_se->min_delta);
        try_again(dialog, ticker_now_us());
    } else if (was_update && (status == 405 || status == 501)) {
        dialog->peer_has_update = false;
        try_again(dialog, ticker_now_us());
    } else { // it is there, but does not want it now; the session lives until it expires
        dialog_log(warn, dialog, "%s: session refresh was answered %d", dialog->call_id, status);
        try_again_later(dialog);
    }
}

static int on_refresh_answered(void *arg, nta_outgoing_t *refresh, const sip_t *sip) {
    struct dialog *dialog = arg;
    int status = nta_outgoing_status(refresh);
    if (status < 200)
        return 0;
    bool by_invite = nta_outgoing_method(refresh) == sip_method_invite;
    if (status < 300 && by_invite)
        send_ack(dialog, refresh);
    dialog->refresh = NULL;
    nta_outgoing_destroy(refresh);
    if (dialog->state == DIALOG_OVER)
        return 0;
    if (status < 300 && sip) {
        if (by_invite)
            take_sdp(dialog, sip);
        on_refreshed(dialog, sip);
    } else {
        on_refused(dialog, status, !by_invite, sip);
    }
    return 0;
}

void dialog_refresh(struct dialog *dialog) {
    char expires[48], least[16];
    dialog->refresh_us = 0;
    bool by_invite = !dialog->peer_has_update && dialog->local_sdp;
    if (dialog->refresh || dialog->invite || dialog->change || dialog->change_asked) {
        try_again_later(dialog); // one at a time
        return;
    }
    snprintf(expires, sizeof expires, "%u;refresher=uac", dialog->timer.interval_s);
    snprintf(least, sizeof least, "%d", UAS_MIN_SE_S);
    dialog->refresh = nta_outgoing_tcreate(
        dialog->leg, on_refresh_answered, dialog,
        *dialog->next_hop ? URL_STRING_MAKE(dialog->next_hop) : NULL,
        by_invite ? sip_method_invite : sip_method_update, by_invite ? "INVITE" : "UPDATE", NULL,
        TAG_IF(dialog_tport(dialog), NTATAG_TPORT(dialog->tport)), SIPTAG_USER_AGENT_STR(UAS_PRODUCT),
        SIPTAG_CONTACT_STR(dialog->contact), UAS_ABOUT_TAGS, SIPTAG_SESSION_EXPIRES_STR(expires),
        SIPTAG_MIN_SE_STR(least), TAG_IF(by_invite, SIPTAG_CONTENT_TYPE_STR(UAS_SDP)),
        TAG_IF(by_invite, SIPTAG_PAYLOAD_STR(dialog->local_sdp)), TAG_END());
    if (!dialog->refresh)
        try_again_later(dialog);
}
