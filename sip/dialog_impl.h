// SPDX-License-Identifier: Apache-2.0
// Inside of a dialog, shared by dialog*.c.
//
//   RINGING   ctl has not decided                          -> ANSWERED, OVER
//   ANSWERED  our 200 is out and repeated, ACK is awaited  -> UP, OVER
//   UP        re-INVITE, UPDATE, INFO, refreshes           -> OVER
//   OVER      ctl knows; what is left is owed to the peer  -> freed
#ifndef IQ_SIP_DIALOG_IMPL_H
#define IQ_SIP_DIALOG_IMPL_H

#include "gateway/core/log.h"
#include "sip/dialog.h"

enum dialog_state { DIALOG_RINGING, DIALOG_ANSWERED, DIALOG_UP, DIALOG_OVER };

struct dialog {
    struct uas *uas;
    uint64_t handle;
    enum dialog_state state;
    char call_id[256];
    char session[64]; // ctl's id for log lines, "" until it is known
    char contact[192];
    nta_leg_t *leg;

    nta_incoming_t *invite; // the first one, until its ACK
    bool offerless;         // it brought no SDP: our 200 has the offer, its ACK the answer
    bool must_100rel, can_100rel;
    bool rang;
    nta_reliable_t *ringing; // our 180, while a PRACK may come

    nta_incoming_t *change; // re-INVITE or UPDATE: until its answer; a re-INVITE until the ACK
    bool
        change_asked; // ctl owes its word; without `change`, to what came with the answer to a refresh of ours
    bool change_offerless; // its ACK brings the answer
    struct session_timer change_timer;

    char *local_sdp;  // our last offer or answer
    char *remote_sdp; // the peer's

    struct session_timer timer;
    bool peer_has_timer;     // understands "Require: timer"
    bool peer_has_update;    // our refresh is an UPDATE, else a re-INVITE with our last SDP
    nta_outgoing_t *refresh; // in progress

    nta_outgoing_t *bye;
    bool bye_due; // as soon as the ACK is there, which it has to wait for (RFC 3261 section 15)
    char reason[160];

    tport_t *tport;     // the peer's last request came by it; a reference
    char next_hop[128]; // where our requests go when the peer's Contact cannot be reached from here, else ""

    su_timer_t *alarm; // for the earliest of these, 0 = none
    uint64_t decide_us, ring_us, refresh_us, expire_us;
};

enum {
    DIALOG_DECIDE_S = 180,  // ctl has more than enough time: its own limits are far below
    DIALOG_RETRY_MIN_S = 1, // Retry-After of 500: random in these bounds (section 14.2)
    DIALOG_RETRY_MAX_S = 10,
};

#define dialog_log(level, dialog, ...)                                                                       \
    log_##level(*(dialog)->session ? (dialog)->session : (dialog)->call_id, "uas", __VA_ARGS__)

// dialog.c
void dialog_over(struct dialog *dialog, enum sip_over code, const char *text); // tells ctl, once
void dialog_hang_up(
    struct dialog *dialog); // BYE with dialog->reason, when it may be sent; frees it in the end
void dialog_set_reason(struct dialog *dialog, unsigned q850, const char *text);
void dialog_learn_way(struct dialog *dialog, nta_incoming_t *irq, const sip_t *sip); // back to the peer
const char *dialog_reason_of(const sip_t *sip, char *out, size_t out_size); // of BYE or CANCEL, for a person
void dialog_arm(struct dialog *dialog);
tport_t *dialog_tport(const struct dialog *dialog); // the connection for our requests; NULL when it is gone

// dialog_invite.c
int dialog_on_ack(void *dialog, nta_incoming_t *irq, const sip_t *sip); // ACK, CANCEL, or NULL: no ACK came
void dialog_ring(struct dialog *dialog);
void dialog_end_invite(struct dialog *dialog); // it is answered, or nobody waits for its ACK any more
void dialog_reject(struct dialog *dialog, int status, const char *phrase, unsigned retry_after_s);
// 200, which begins the session's time anew; sdp may be ""
void dialog_answer_ok(struct dialog *dialog, nta_incoming_t *irq, const char *sdp,
                      const struct session_timer *timer);

bool dialog_keep_sdp(char **kept, const char *sdp); // "" changes nothing; false when memory is out

// dialog_request.c
int dialog_on_request(void *dialog, nta_leg_t *leg, nta_incoming_t *irq, const sip_t *sip);
void dialog_accept_change(struct dialog *dialog, const char *sdp);
void dialog_reject_change(struct dialog *dialog, int status, const char *phrase);

// dialog_refresh.c
void dialog_timer_set(struct dialog *dialog, const struct session_timer *timer); // from now on
void dialog_refresh(struct dialog *dialog);

#endif
