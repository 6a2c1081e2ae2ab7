// SPDX-License-Identifier: Apache-2.0
// The client of the Redis that the nodes share: one pipelined connection for commands and one for
// subscriptions, on the ctl loop. hiredis' formatter and parser over our own stream (TCP, unix socket, TLS),
// because Debian's hiredis has no TLS. Reconnects with backoff, finds the master through Sentinel, logs in,
// selects the database, loads scripts again after a restart. ctl thread only.
#ifndef IQ_MIDDLEWARE_REDIS_H
#define IQ_MIDDLEWARE_REDIS_H

#include "gateway/core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct redis;

enum redis_type { REDIS_NIL, REDIS_STRING, REDIS_STATUS, REDIS_ERROR, REDIS_INTEGER, REDIS_ARRAY };

// Borrowed for the callback.
struct redis_reply {
    enum redis_type type;
    int64_t integer;
    const char *str; // terminated; "" unless STRING, STATUS or ERROR
    size_t len;
    const struct redis_reply *elements; // of an ARRAY
    size_t count;
};

// Once for each command, from the loop, never inside redis_command. `err` 0: `reply` is what Redis said, which
// may be an ERROR. -ENOTCONN: it was not sent, since Redis is away or too much waits already. -ECONNRESET:
// sent, and nobody knows whether it was carried out. -ETIMEDOUT: the same, and the connection is dropped.
// -ECANCELED: redis_close. `reply` is NULL then.
typedef void redis_fn(int err, const struct redis_reply *reply, void *arg);

struct redis_events {
    void (*on_up)(void *arg);                    // ready for commands, the first time and after each outage
    void (*on_down)(const char *why, void *arg); // lost; every command that waited has had its callback
    void *arg;
};

// `events` and its members may be NULL. `connection_string` has StackExchange's form, see
// gateway/core/redis_string.h. -EINVAL: `err` names what is wrong in it, never its password. Connecting begins at
// once, from the loop.
int redis_new(struct redis **out, uv_loop_t *loop, const char *connection_string,
              const struct redis_events *events, struct err_text *err);
// Every waiting command gets -ECANCELED inside; on_closed once, from the loop, when the memory is gone.
void redis_close(struct redis *redis, void (*on_closed)(void *arg), void *arg);

bool redis_up(const struct redis *redis);
const char *redis_why_down(const struct redis *redis); // for /readyz and logs; "" while up

// Arguments are copied; any bytes. `fn` may be NULL: nobody waits for the answer. When it returns an error,
// `fn` is not called: -ENOTCONN, -ENOMEM, -E2BIG (more than 1,024 arguments or 16 MiB).
struct redis_arg {
    const char *ptr;
    size_t len;
};
struct redis_arg redis_str(const char *text);
struct redis_arg redis_int(int64_t value, char buffer[24]); // writes into the caller's buffer
int redis_command(struct redis *redis, const struct redis_arg *args, size_t count, redis_fn *fn, void *arg);

// A Lua script, kept by its owner for as long as the client lives (static): sent whole once a connection, so
// that commands keep their order, and by EVALSHA after that. Whole again when Redis says NOSCRIPT (somebody has
// flushed its scripts); it then runs after the commands that were sent meanwhile.
struct redis_script {
    const char *text;
    char sha[41];     // filled at first use
    unsigned sent_on; // the connection it was last sent on, as the client counts them
};
int redis_eval(struct redis *redis, struct redis_script *script, const struct redis_arg *keys,
               size_t key_count, const struct redis_arg *args, size_t arg_count, redis_fn *fn, void *arg);

// Messages of a channel, on the second connection; subscribed again after an outage, in which messages are
// lost: so they may only be hints. One subscriber a channel. `on_subscribed` (may be NULL): each time Redis has
// said that messages will come, the first time and after each outage; so what was missed can be looked up now.
// Both are called from the loop, never inside redis_subscribe. 0, -EEXIST, -ENOMEM,
// -ENOBUFS beyond 1,024 channels.
int redis_subscribe(struct redis *redis, const char *channel, void (*on_subscribed)(void *arg),
                    void (*on_message)(const char *message, size_t len, void *arg), void *arg);
void redis_unsubscribe(struct redis *redis, const char *channel);

#endif
