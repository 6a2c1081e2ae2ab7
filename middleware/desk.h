// SPDX-License-Identifier: Apache-2.0
// The session desk: everything between a checked request and its session, for all nodes that share a Redis.
//
//   limits of the address -> reputation -> a slot, or a place in the queue -> platform -> session
//
// Cheap checks come first. Whoever is refused, or fails, gives back exactly what was taken. ctl thread.
#ifndef IQ_MIDDLEWARE_DESK_H
#define IQ_MIDDLEWARE_DESK_H

#include "middleware/hub.h"
#include "middleware/initiate.h"
#include "middleware/webhook.h"

enum { DESK_REQUEST_ID_SIZE = 37 };

struct desk;

struct desk_events {
    // See initiate_events.
    int (*on_session)(const struct api_session *session, const struct http_request_origin *origin, char *url,
                      size_t url_size, void *arg);
    // Why this node takes no session now, as the message of a 503 (static); NULL when it does.
    const char *(*why_closed)(void *arg);
    // Whether this node can hold one more call of its own; while not, WebRTC sessions wait in the queue, where other
    // nodes find them. NULL: always.
    bool (*has_room)(void *arg);
    const char *(*ice_servers_json)(void *arg); // JSON array for WebRTC clients, borrowed until the next call
    void *arg;
};

// All borrowed; `conf` until desk_set_conf or desk_free, the others until desk_free.
struct desk_config {
    uv_loop_t *loop;
    const struct conf *conf;
    struct redis *redis;
    struct httpc *client;
    const struct desk_events *events; // copied
};

int desk_new(struct desk **out, const struct desk_config *config);
void desk_set_conf(struct desk *desk, const struct conf *conf);
// Takes nobody from the queue any more, and watches and renews nothing.
void desk_close(struct desk *desk, void (*on_closed)(void *arg), void *arg);
void desk_free(struct desk *desk); // after desk_close, and httpc and redis have called back everything

// Redis takes commands, the first time and after each outage.
void desk_redis_up(struct desk *desk);
void desk_room(struct desk *desk); // events.has_room may say yes again

// What it is told by its neighbours, and the hub it speaks through (borrowed; NULL = none, until desk_set_hub).
void desk_hub_events(struct desk *desk, struct hub_events *out);
void desk_webhook_events(struct desk *desk, struct webhook_events *out);
void desk_set_hub(struct desk *desk, struct hub *hub);

// The answer to a request. Borrowed for the call.
struct desk_answer {
    unsigned status;        // 200, 202, 400, 403, 429, 500, 503
    const char *message;    // of all but 200 and 202
    unsigned retry_after_s; // 0 = no header
    const char *url;        // 200; holds a token: never log it
    const char *request_id; // 202
    int64_t position;
};
typedef void desk_fn(const struct desk_answer *answer, void *arg);

// `request` moves to the desk. `done` exactly once, inside or later.
void desk_request(struct desk *desk, struct initiate_request *request, desk_fn *done, void *arg);

// A telephone call, which cannot wait in a queue: a slot, then the agent. `done` exactly once, inside or
// later, as by initiate_agent, but with -EAGAIN also when there is no slot, and -ENOTCONN and the like while
// Redis is away. `request` is borrowed until then. After 0 the slot is held until desk_session_over is told of
// `key`, at most 127 bytes and unique.
void desk_call(struct desk *desk, const struct initiate_request *request, const char *key, initiate_fn *done,
               void *arg);

// A session of this node is over, however it ended. Unknown ones, and the second time: nothing happens.
void desk_session_over(struct desk *desk, const char *key);

// Slots, leases and queue as JSON, for the operator; once, at once or later. `err`: Redis is away.
void desk_observe(struct desk *desk, void (*done)(int err, const char *json, void *arg), void *arg);

#endif
