// SPDX-License-Identifier: Apache-2.0
// The listener: the addresses of Sip.MediaListen, and the dialogs of the calls that came to them. Belongs to the SIP
// thread, as everything in it. Speaks to ctl by the mail of sip_msg.h only.
//
//   in    nta -> uas (checks) -> dialog -> SIP_INVITE, SIP_OFFER, SIP_DTMF, SIP_OVER ...
//   out   SIP_ACCEPT, SIP_REJECT, SIP_BYE ... -> uas_mail -> dialog -> nta
#ifndef IQ_SIP_UAS_H
#define IQ_SIP_UAS_H

#include "gateway/core/conf.h"
#include "gateway/core/err.h"
#include "sip/sip_msg.h"

#include <sofia-sip/su_wait.h>

struct uas;

// Zero means the usual value; tests make them short.
struct uas_timing {
    unsigned t1_ms;     // RFC 3261 T1, 500
    unsigned ring_ms;   // from one 180 to the next (RFC 3261 section 13.3.1.1), 60000
    unsigned second_us; // a second of a session timer (RFC 4028), 1000000
};

struct uas_config {
    su_root_t *root;         // borrowed
    const struct conf *conf; // borrowed until uas_set_conf gives another one
    const char *tls_folder;  // with agent.pem and cafile.pem, for tls: addresses; read in uas_new
    int (*post)(struct mail mail, void *arg); // to ctl, as mailbox_post
    void *post_arg;
    struct uas_timing timing;
};

// Binds every address; `err` names the one that cannot be had.
int uas_new(struct uas **out, const struct uas_config *config, struct err_text *err);
void uas_set_conf(struct uas *uas, const struct conf *conf);
// SIP_CHALLENGE, SIP_PROGRESS, SIP_ACCEPT, SIP_REJECT, SIP_BYE. A mail for a dialog that is gone does nothing.
void uas_mail(struct uas *uas, struct mail *mail);
void uas_drain(struct uas *uas); // new calls and OPTIONS get 503 with Retry-After from here on
// Hangs up what is left. `on_closed` is called once, from the root's loop or from inside, when all have answered or
// after two seconds; it then calls uas_free.
void uas_close(struct uas *uas, void (*on_closed)(void *arg), void *arg);
void uas_free(struct uas *uas); // also without uas_close, which then is impolite
#endif
