// SPDX-License-Identifier: Apache-2.0
// One call at the listener, from its INVITE to the answer to the last BYE. SIP thread.
#ifndef IQ_SIP_DIALOG_H
#define IQ_SIP_DIALOG_H

#include "sip/dialog_timer.h"
#include "sip/uas_impl.h"

struct dialog;

// Takes over `invite`, which goes to ctl, and on success `irq`. -ENOSPC: there are too many, or ctl is behind.
int dialog_new(struct uas *uas, nta_incoming_t *irq, const sip_t *sip, struct sip_invite *invite,
               const struct session_timer *timer);
void dialog_mail(struct dialog *dialog, struct mail *mail); // as uas_mail
void dialog_close(struct dialog *dialog);                   // we stop: 503 or BYE; may free it
void dialog_free(struct dialog *dialog);                    // says nothing to anybody

// What a request or response says about session timers.
struct session_timer_ask dialog_timer_ask(const sip_t *sip);
struct session_timer_limits dialog_timer_limits(const struct uas *uas);
void dialog_answer_422(nta_incoming_t *irq); // Session Interval Too Small

#endif
