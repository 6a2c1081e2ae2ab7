// SPDX-License-Identifier: Apache-2.0
#include "middleware/redis_sentinel.h"

#include "gateway/core/span.h"
#include "middleware/redis_reply.h"

#include <stdio.h>
#include <stdlib.h>

struct redis_sentinel {
    const struct redis_string *target;
    struct redis_sentinel_events events;
    struct redis_conn *conn; // owns
    struct wsc_url url;      // of `conn`
    bool logged_in;
};

static void on_answer(int err, const struct redis_reply *reply, void *arg);

static void ask(struct redis_sentinel *sentinel) {
    const struct redis_arg args[] = {redis_str("SENTINEL"), redis_str("GET-MASTER-ADDR-BY-NAME"),
                                     redis_str(sentinel->target->service)};
    int rc = redis_conn_command(sentinel->conn, args, 3, on_answer, sentinel);
    if (rc)
        redis_conn_fail(sentinel->conn, err_name(rc));
}

// Many Sentinels know no password while their servers do, so only one that asks for it gets it.
static void log_in(struct redis_sentinel *sentinel) {
    sentinel->logged_in = true;
    int rc = redis_conn_log_in(sentinel->conn, sentinel->target, NULL, NULL);
    if (rc)
        redis_conn_fail(sentinel->conn, err_name(rc));
    else
        ask(sentinel);
}

static bool parse_master(const struct redis_reply *reply, struct redis_host *out) {
    uint64_t port;
    if (reply->type != REDIS_ARRAY || reply->count != 2)
        return false;
    struct span number = span_of(reply->elements[1].str, reply->elements[1].len);
    if (!span_u64(&number, UINT16_MAX, &port) || number.len || !port)
        return false;
    out->port = (uint16_t)port;
    return reply->elements[0].len > 0 &&
           span_copy(span_of(reply->elements[0].str, reply->elements[0].len), out->name, sizeof out->name);
}

static void on_answer(int err, const struct redis_reply *reply, void *arg) {
    struct redis_sentinel *sentinel = arg;
    struct redis_host master;
    char why[192];
    if (err)
        return;
    if (redis_is_error(reply, "NOAUTH") && *sentinel->target->password && !sentinel->logged_in) {
        log_in(sentinel);
    } else if (parse_master(reply, &master)) {
        sentinel->events.on_master(&master, sentinel->events.arg);
    } else {
        if (reply->type == REDIS_ERROR)
            snprintf(why, sizeof why, "%.150s", reply->str);
        else
            snprintf(why, sizeof why, "knows no master named \"%.100s\"", sentinel->target->service);
        redis_conn_fail(sentinel->conn, why);
    }
}

static void on_open(void *arg) {
    ask(arg);
}

static void on_fail(const char *why, void *arg) {
    struct redis_sentinel *sentinel = arg;
    sentinel->events.on_fail(why, sentinel->events.arg);
}

static void on_closed(void *arg) {
    struct redis_sentinel *sentinel = arg;
    sentinel->events.on_closed(sentinel->events.arg);
    free(sentinel);
}

int redis_sentinel_ask(struct redis_sentinel **out, uv_loop_t *loop, const struct redis_string *target,
                       const struct wsc_tls *tls, size_t which, const struct redis_sentinel_events *events) {
    struct redis_sentinel *sentinel = calloc(1, sizeof *sentinel);
    if (!sentinel)
        return -ENOMEM;
    sentinel->target = target;
    sentinel->events = *events;
    redis_conn_url(&sentinel->url, &target->hosts[which], target->tls);
    const struct redis_conn_config config = {
        .loop = loop,
        .tls = tls,
        .url = &sentinel->url,
        .tls_host = *target->tls_host ? target->tls_host : NULL,
        .connect_timeout_ms = target->connect_timeout_ms,
        .command_timeout_ms = target->command_timeout_ms,
    };
    const struct redis_conn_events conn_events = {
        .on_open = on_open, .on_fail = on_fail, .on_closed = on_closed, .arg = sentinel};
    int err = redis_conn_open(&sentinel->conn, &config, &conn_events);
    if (err)
        free(sentinel);
    else
        *out = sentinel;
    return err;
}

void redis_sentinel_close(struct redis_sentinel *sentinel) {
    redis_conn_close(sentinel->conn);
}
