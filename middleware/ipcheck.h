// SPDX-License-Identifier: Apache-2.0
// Reputation of client addresses by ipapi.is. What it says of an address (the facts) is kept in Redis under
// ipcheck:facts:{key} for Security.IpApiCacheDurationDays, a failure for a minute; the verdict is made anew
// from the rules of the conf in force each time. One lookup serves all who wait for the same address, few are
// in flight at once, and a circuit breaker spares a service that is down. ctl thread.
#ifndef IQ_MIDDLEWARE_IPCHECK_H
#define IQ_MIDDLEWARE_IPCHECK_H

#include "gateway/core/conf.h"
#include "gateway/core/err.h"
#include "middleware/redis.h"
#include "signaling/httpc.h"

#include <uv.h>

enum { IPCHECK_TIMEOUT_MS = 3000 };

struct ipcheck_facts {
    bool vpn, proxy, datacenter, tor, abuser;
};

struct ipcheck_verdict {
    bool allowed;
    const char *message; // of the 403, static: "VPN detected." and so on; "" when allowed
};

struct ipcheck;

// All are borrowed; `conf` until ipcheck_set_conf or ipcheck_free. `redis` may be NULL: nothing is kept.
int ipcheck_new(struct ipcheck **out, uv_loop_t *loop, const struct conf *conf, struct httpc *client,
                struct redis *redis);
// The new one may cure a service that failed, so it is tried again at once.
void ipcheck_set_conf(struct ipcheck *ipcheck, const struct conf *conf);
// After httpc_close and redis_close have called back everything; whoever waits is answered by that.
void ipcheck_free(struct ipcheck *ipcheck);

// `done` exactly once, at once (inside) or later from the loop. Allowed at once while
// Security.EnableIpApiCheck is off and for private addresses. Without an answer of the service
// IpApi.FailOpen decides ("Could not verify IP address.").
void ipcheck_ask(struct ipcheck *ipcheck, const char *address,
                 void (*done)(const struct ipcheck_verdict *verdict, void *arg), void *arg);

// Its two halves, pure. The service's answer: -EPROTO when it is none; `err` says why and never quotes it.
int ipcheck_parse(const char *text, size_t len, struct ipcheck_facts *out, struct err_text *err);
struct ipcheck_verdict ipcheck_judge(const struct conf *conf, const struct ipcheck_facts *facts);

#endif
