// SPDX-License-Identifier: Apache-2.0
// A connection to the Redis master that is made again whenever it is lost: the hosts in turn, with a backoff of
// 50 ms to 2 s; login, database, name; and it is up only when the server says that it is no replica and ready.
#ifndef IQ_MIDDLEWARE_REDIS_LINK_H
#define IQ_MIDDLEWARE_REDIS_LINK_H

#include "gateway/core/redis_string.h"
#include "middleware/redis_conn.h"

struct redis_link;

// redis_link_close may be called from any of them; nothing but on_closed follows it.
struct redis_link_events {
    void (*on_up)(void *arg);
    bool (*on_push)(const struct redis_reply *reply, void *arg); // as in redis_conn_events
    void (*on_down)(const char *why, void *arg); // after on_up, or when a first attempt failed
    void (*on_closed)(void *arg);
    void *arg;
};

struct redis_link_config {
    uv_loop_t *loop;
    const struct redis_string *target; // borrowed, outlives the link
    const struct wsc_tls *tls;         // borrowed likewise; with target->tls
    const char *purpose;               // static, for the log: "commands"
};

// Begins at once, from the loop.
int redis_link_new(struct redis_link **out, const struct redis_link_config *config,
                   const struct redis_link_events *events);
bool redis_link_up(const struct redis_link *link);
const char *redis_link_why(const struct redis_link *link); // it is down; "" while up
int redis_link_command(struct redis_link *link, const struct redis_arg *args, size_t count, redis_fn *fn,
                       void *arg);
void redis_link_close(struct redis_link *link);

#endif
