// SPDX-License-Identifier: Apache-2.0
// The SignalR hub /sessionHub: where a queued caller waits. Clients register the id of their request and get
// that id's events, whichever node they are connected to and whichever node sends: events travel through
// Redis. What travels is only a hint; the desk keeps the state, and whatever a connection may have missed is
// asked of the desk again (on_register). ctl thread.
#ifndef IQ_MIDDLEWARE_HUB_H
#define IQ_MIDDLEWARE_HUB_H

#include "middleware/redis.h"
#include "signaling/auth.h"
#include "signaling/http.h"

#include <jansson.h>

struct hub;

enum { HUB_ID_MAX = 128 }; // bytes of a request id

struct hub_event {
    const char *target; // "SessionReady"
    json_t *args;       // array: the arguments of the client's handler; borrowed
};

// `err` 0: the id exists; `events` is what its client has to know now, in this order, from the state as it
// is: it may have been sent before. -ENOENT: no such id, or no longer; `events` is what those hear who had registered
// it, before their connections are closed. Another errno: not to be found out now; the client is told to try again.
// Borrowed for the call.
typedef void hub_done_fn(int err, const struct hub_event *events, size_t event_count, void *done_arg);

// The desk's part. Ids are what a client sent: 1 to HUB_ID_MAX bytes of UTF-8 without control characters.
struct hub_events {
    // A connection registers `id`, or events for it may have been lost in an outage of Redis. `done` exactly
    // once, at once or later. hub_send for `id` is heard by this node from before this call on.
    void (*on_register)(const char *id, hub_done_fn *done, void *done_arg, void *arg);
    // The first connection for `id` on this node is registered (also the very first time), after `done` said
    // 0. Of several nodes the last to be told may be the first to be left: the desk keeps count by node.
    void (*on_back)(const char *id, void *arg);
    // The last connection for `id` on this node is gone, without or with a goodbye.
    void (*on_left)(const char *id, void *arg);
    void *arg;
};

// Sends to every connection of every node that registered `id`; to none is no error, since what the desk
// keeps is replayed by on_register. A connection does not get the same event (equal target and arguments)
// twice in succession for one id, so it does no harm when several nodes send it. `args`: borrowed array.
// -ENOTCONN: Redis is away; on_register follows for every id when it is back. -EINVAL, -ENOMEM.
int hub_send(struct hub *hub, const char *id, const char *target, json_t *args);

// All borrowed until hub_close is done.
struct hub_config {
    uv_loop_t *loop;
    struct redis *redis;
    struct auth *auth;                       // signs connection tokens: the same secret on every node
    const struct hub_events *events;         // copied
    size_t max_connections, max_per_address; // 0 = 8192 and 256
};

int hub_new(struct hub **out, const struct hub_config *config);

enum { HUB_ROUTES = 4 }; // negotiate, GET (server-sent events, long polling), POST, DELETE
void hub_routes(struct hub *hub, struct http_route out[HUB_ROUTES]);
void hub_ws_route(struct hub *hub, struct ws_route *out);

size_t hub_connections(const struct hub *hub);

// Tells every client to connect again, which takes it to another node, and takes no new ones (503).
void hub_drain(struct hub *hub);
// Before http_server_close is called. No on_left; a `done` that is still owed may come until on_closed.
void hub_close(struct hub *hub, void (*on_closed)(void *arg), void *arg);

#endif
