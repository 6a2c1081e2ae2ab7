// SPDX-License-Identifier: Apache-2.0
// This node's leases on the platform's concurrency, kept in Redis for all nodes. A session that lives here has
// its lease renewed until it is over; one that lives elsewhere (the platform's own socket) has a long one that
// the webhook ends. A slot is freed once, by whichever comes first: the end of the session here, the webhook,
// or its lease running out when nobody is left to renew it. ctl thread.
#ifndef IQ_MIDDLEWARE_SLOTS_H
#define IQ_MIDDLEWARE_SLOTS_H

#include "gateway/core/conf.h"
#include "middleware/redis.h"
#include "middleware/usage.h"

enum { SLOT_ID_SIZE = 48, SLOTS_NODE_SIZE = 96 };
enum { SLOTS_RENEW_MS = 5000, SLOTS_LEASE_MS = 30000 };

struct slots;

// All borrowed; `conf` until slots_set_conf or slots_free. -EIO when there is no randomness.
int slots_new(struct slots **out, uv_loop_t *loop, const struct conf *conf, struct redis *redis);
void slots_set_conf(struct slots *slots, const struct conf *conf);
void slots_close(struct slots *slots, void (*on_closed)(void *arg), void *arg); // renews nothing any more
void slots_free(struct slots *slots); // after redis_close has called back everything

// This process among all that share the Redis: Gateway.NodeId and something random, since a process that was
// started again has none of the sessions of the one before.
const char *slots_node(const struct slots *slots);
int slots_new_id(char out[SLOT_ID_SIZE]);

// A session that has a slot. Borrowed.
struct slots_session {
    const char *slot;
    const char *key;        // by which this node says that it is over; "" when it does not live here
    const char *session_id; // by which the platform says so; "" when it gave none
    const char *campaign_id;
    const char *rate, *request_id; // its lease in the limits (address_key); "" when it has none
    bool here;                     // it lives on this node
};
int64_t slots_lease_ms(const struct slots *slots, bool here);
int64_t slots_rate_ms(const struct slots *slots, bool here);

// Renews the slot of a session that lives here from now on. The first renewal binds it; until then it is the
// script that took it which keeps it (30 s), or slots_hold. Another session of that key is forgotten.
int slots_keep(struct slots *slots, const struct slots_session *session);
void slots_renew(struct slots *slots); // all of them at once, as it does every SLOTS_RENEW_MS
// Binds slot and session in Redis at once. `done` once, from the loop, with an errno of redis_fn or -EPROTO.
// Returns an errno when it is not called. A slot that is kept is bound by its next renewal at the latest.
int slots_hold(struct slots *slots, const struct slots_session *session, void (*done)(int err, void *arg),
               void *arg);

// A slot that came to no session: freed, and its place in the limits given back. While Redis is away its lease
// lapses.
void slots_give_back(struct slots *slots, const char *slot);
// The session has ended on this node. Unknown ones are nobody's: nothing happens.
void slots_session_over(struct slots *slots, const char *key);
// Somebody says that it has ended. `done` once, at once or later: 0, also when it had ended within the last
// day; -ENOENT when nobody knows it; another errno when it cannot be told now.
void slots_end_session(struct slots *slots, const char *session_id, void (*done)(int err, void *arg),
                       void *arg);

// The platform's figures, to be told to all.
void slots_usage(struct slots *slots, const struct usage *usage);

size_t slots_kept(const struct slots *slots); // sessions that live here

#endif
