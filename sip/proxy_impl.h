// SPDX-License-Identifier: Apache-2.0
// Inside of the proxy: what its two halves share. proxy.c takes requests in and checks them, proxy_pending.c keeps the
// INVITEs that wait for their verdict.
#ifndef IQ_SIP_PROXY_IMPL_H
#define IQ_SIP_PROXY_IMPL_H

#include "gateway/core/slot.h"
#include "sip/flood.h"
#include "sip/proxy.h"
#include "sip/proxy_reply.h"
#include "sip/route.h"
#include "sip/sipreq.h"

#define NTA_AGENT_MAGIC_T struct proxy
#define NTA_INCOMING_MAGIC_T struct pending

#include <sofia-sip/nta.h>

struct pending;

struct proxy {
    su_root_t *root; // borrowed
    nta_agent_t *agent;
    struct malformed *malformed; // the agent reads by it
    struct proxy_limits limits;
    int (*post)(struct mail mail, void *arg);
    void *post_arg;
    bool draining;
    // Made of the conf.
    struct route_table *table;
    struct sipreq_policy policy;
    struct flood *flood;
    // INVITEs that wait, by handle and by deadline.
    struct slot_table *slots;
    struct pending *first, *last;
    su_timer_t *timer; // runs while there is one
};

// Takes both: `irq` is answered in the end, `ask` goes to ctl.
void pending_ask(struct proxy *proxy, nta_incoming_t *irq, struct sip_route_ask *ask,
                 const struct route_found *found);
void pending_verdict(struct proxy *proxy, uint64_t handle, const struct sip_verdict *verdict);
void pending_refuse_all(struct proxy *proxy);

#endif
