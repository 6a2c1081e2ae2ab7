// SPDX-License-Identifier: Apache-2.0
// One connection to a Redis or a Sentinel, from dialling to its end: commands are pipelined, written once a
// turn of the loop, answered in their order, each within the time limit. One life; redis_link makes the next.
#ifndef IQ_MIDDLEWARE_REDIS_CONN_H
#define IQ_MIDDLEWARE_REDIS_CONN_H

#include "gateway/core/redis_string.h"
#include "middleware/redis.h"
#include "signaling/wsc_stream.h"

enum {
    REDIS_ARGS_MAX = 1024,
    REDIS_WAITING_MAX = 10000,                  // commands without an answer yet
    REDIS_WAITING_BYTES_MAX = 16 * 1024 * 1024, // of them
    REDIS_REPLY_BYTES_MAX = 64 * 1024 * 1024,   // of one answer
};

struct redis_conn;

// redis_conn_close may be called from any of them; nothing but on_closed follows it.
struct redis_conn_events {
    void (*on_open)(void *arg); // commands may be sent
    // NULL, or says whether an answer belongs to no command: a message of a channel.
    bool (*on_push)(const struct redis_reply *reply, void *arg);
    void (*on_fail)(const char *why, void *arg); // once; every command has had its callback
    void (*on_closed)(void *arg);                // the memory is gone when it returns
    void *arg;
};

struct redis_conn_config {
    uv_loop_t *loop;
    const struct wsc_tls *tls; // borrowed, outlives the connection; for url->secure
    const struct wsc_url *url; // borrowed likewise
    const char *tls_host;      // as in wsc_stream_config
    const char *path;          // a unix socket in place of `url`; borrowed likewise
    uint32_t connect_timeout_ms, command_timeout_ms, keep_alive_ms; // keep_alive_ms 0: never
};

void redis_conn_url(struct wsc_url *out, const struct redis_host *host, bool tls);
int redis_conn_open(struct redis_conn **out, const struct redis_conn_config *config,
                    const struct redis_conn_events *events);
// As redis_command.
int redis_conn_command(struct redis_conn *conn, const struct redis_arg *args, size_t count, redis_fn *fn,
                       void *arg);
// AUTH with target's user and password; nothing without a password.
int redis_conn_log_in(struct redis_conn *conn, const struct redis_string *target, redis_fn *fn, void *arg);
bool redis_conn_is_open(const struct redis_conn *conn); // commands are taken
// The owner gives it up: every command gets its callback and on_fail is called, inside.
void redis_conn_fail(struct redis_conn *conn, const char *why);
// Waiting commands get -ECANCELED inside. on_closed once, from the loop.
void redis_conn_close(struct redis_conn *conn);

#endif
