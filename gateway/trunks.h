// SPDX-License-Identifier: Apache-2.0
// SIP, seen from ctl: the proxy's questions (trunk_route.c) and the listener's calls (trunk_call.c), between the
// SIP thread, the call queue, the platform and the sessions. ctl thread only.
//
//   SIP_ROUTE  -> route_choose -> callqueue_open -> SIP_ROUTED
//   SIP_INVITE -> room? -> [SIP_CHALLENGE -> SIP_AUTHORIZED] -> callqueue_claim -> SIP_PROGRESS -> desk_call
//              -> sessions_open -> (agent connected) -> SIP_ACCEPT ... SIP_BYE | SIP_OVER
#ifndef IQ_GATEWAY_TRUNKS_H
#define IQ_GATEWAY_TRUNKS_H

#include "gateway/sessions.h"
#include "middleware/callqueue.h"
#include "middleware/desk.h"
#include "middleware/nodes.h"
#include "sip/stack.h"

struct trunks;

// Borrowed until trunks_free.
struct trunks_config {
    uv_loop_t *loop;
    const struct conf *conf; // held
    struct sessions *sessions;
    struct callqueue *queue;
    struct nodes *nodes;
    struct desk *desk;
    const char *(*builtin_agent_url)(void *arg); // for an agent URL of ""
    void *arg;
};

int trunks_new(struct trunks **out, const struct trunks_config *config);
// The stack is made after this, since its mail comes here. NULL: it is gone.
void trunks_set_stack(struct trunks *trunks, struct sip_stack *stack);
int trunks_set_conf(struct trunks *trunks,
                    const struct conf *conf);               // held. -ENOMEM: the old one stays in force
void trunks_mail(struct trunks *trunks, struct mail *mail); // enum sip_mail for ctl
void trunks_redis_up(struct trunks *trunks); // it may have lost what our calls hold: it is told again at once
void trunks_drain(struct trunks *trunks);
// Calls that no session stands for: those being claimed or asked for at the platform.
uint32_t trunks_pending(const struct trunks *trunks);
void trunks_close(struct trunks *trunks); // stops its timers; the loop must turn before trunks_free
void trunks_free(struct trunks *trunks);  // when Redis and the platform have called back everything

#endif
