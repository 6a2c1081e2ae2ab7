// SPDX-License-Identifier: Apache-2.0
// The SIP thread: one su_root with the proxy (nta, Sip.ProxyListen) and the listener (nta, Sip.MediaListen) on
// it. sofia-sip stays inside sip/. Everything in and out goes by mail (sip_msg.h).
#ifndef IQ_SIP_STACK_H
#define IQ_SIP_STACK_H

#include "gateway/core/conf.h"
#include "gateway/core/err.h"
#include "sip/sip_msg.h"

struct sip_stack;

struct sip_stack_config {
    const struct conf *conf; // held. Gateway.Roles say which of the two is started
    struct mailbox *ctl;     // borrowed; where sip_mail for ctl goes
};

// Binds every address before it returns; `err` names the key and the address that cannot be had.
int sip_stack_start(struct sip_stack **out, const struct sip_stack_config *config, struct err_text *err);
// Any thread. Takes `data`, which is freed by `free_data` also when it cannot be delivered.
int sip_stack_post(struct sip_stack *stack, enum sip_mail type, uint64_t to, void *data,
                   void (*free_data)(void *));
int sip_stack_set_conf(struct sip_stack *stack, const struct conf *conf); // any thread; after a reload; held
// Any thread. New calls get 503 with Retry-After from here on; OPTIONS too, so that trunks go elsewhere.
void sip_stack_drain(struct sip_stack *stack);
void sip_stack_stop(struct sip_stack *stack); // any thread: BYE to what is left, then the thread ends
void sip_stack_join(struct sip_stack *stack); // waits and frees

#endif
