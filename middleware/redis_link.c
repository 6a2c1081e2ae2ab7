// SPDX-License-Identifier: Apache-2.0
//
//   wait -> dial -> greet: AUTH, SELECT, CLIENT SETNAME, ROLE, PING -> up -> (lost) wait -> ...
#include "middleware/redis_link.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "middleware/redis_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 2000,
    QUIET_ATTEMPTS = 2, // of a server that has just been started, perhaps by us
    STABLE_MS = 5000,   // a connection that was up for so long was no accident: the backoff begins anew
};

struct redis_link {
    struct redis_link_config config;
    struct redis_link_events events;
    struct redis_conn *conn; // NULL while waiting
    struct wsc_url url;      // of `conn`
    char where[REDIS_HOST_MAX + 16];
    uv_timer_t timer;              // the next attempt
    size_t host;                   // the next one to try
    uint32_t backoff_ms, attempts; // since it was up
    uint64_t up_since_ms;
    bool up, closing;
    unsigned handles; // the timer, and connections not yet closed
    char why[192], logged[192];
};

static void link_dial(struct redis_link *link);

static void link_finish(void *arg) {
    struct redis_link *link = arg;
    if (--link->handles || !link->closing)
        return;
    link->events.on_closed(link->events.arg);
    free(link);
}

static void on_timer_closed(uv_handle_t *handle) {
    link_finish(handle->data);
}

static void on_timer(uv_timer_t *timer) {
    link_dial(timer->data);
}

// ---- down

// Between half of it and all of it, so that many nodes do not come back in the same instant.
static uint64_t next_backoff(struct redis_link *link) {
    uint32_t random = 0;
    uv_random(NULL, NULL, &random, sizeof random, 0, NULL); // without: no jitter
    uint64_t half_ms = link->backoff_ms / 2;
    link->backoff_ms = link->backoff_ms < BACKOFF_MAX_MS / 2 ? link->backoff_ms * 2 : BACKOFF_MAX_MS;
    return half_ms + random % (half_ms + 1);
}

// Each reason once, and not at every attempt.
static void log_down(struct redis_link *link) {
    if (strcmp(link->why, link->logged) == 0 || (link->attempts && link->attempts <= QUIET_ATTEMPTS))
        return;
    snprintf(link->logged, sizeof link->logged, "%s", link->why);
    log_warn(NULL, "redis", "%s: %s; trying again", link->config.purpose, link->why);
}

static void link_down(struct redis_link *link, const char *why) {
    uint64_t now_ms = uv_now(link->config.loop);
    if (link->up && now_ms - link->up_since_ms >= STABLE_MS)
        link->backoff_ms = BACKOFF_MIN_MS;
    link->up = false;
    snprintf(link->why, sizeof link->why, "%.60s: %.120s", link->where, why);
    log_down(link);
    link->host = (link->host + 1) % (link->config.target->host_count ? link->config.target->host_count : 1);
    uv_timer_start(&link->timer, on_timer, next_backoff(link), 0);
    link->events.on_down(link->why, link->events.arg);
}

static void on_conn_fail(const char *why, void *arg) {
    struct redis_link *link = arg;
    redis_conn_close(link->conn);
    link->conn = NULL;
    link_down(link, why);
}

// ---- greeting

static void on_greeted(int err, const struct redis_reply *reply, void *arg) {
    struct redis_link *link = arg;
    if (!err && reply->type == REDIS_ERROR)
        redis_conn_fail(link->conn, reply->str);
}

// A user without the right to ask for it may be on a master all the same.
static void on_role(int err, const struct redis_reply *reply, void *arg) {
    struct redis_link *link = arg;
    if (err || reply->type != REDIS_ARRAY || !reply->count)
        return;
    if (strcmp(reply->elements[0].str, "master") != 0)
        redis_conn_fail(link->conn, "it is a replica, not the master");
}

static void on_ready(int err, const struct redis_reply *reply, void *arg) {
    struct redis_link *link = arg;
    if (err)
        return;
    if (reply->type == REDIS_ERROR && !redis_is_error(reply, "NOPERM")) {
        redis_conn_fail(link->conn, reply->str);
        return;
    }
    link->up = true;
    link->attempts = 0;
    link->up_since_ms = uv_now(link->config.loop);
    link->why[0] = link->logged[0] = '\0';
    metric_add(METRIC_REDIS_CONNECTS, 1);
    log_info(NULL, "redis", "%s: connected to %s", link->config.purpose, link->where);
    link->events.on_up(link->events.arg);
}

static void on_open(void *arg) {
    struct redis_link *link = arg;
    const struct redis_string *target = link->config.target;
    char number[24];
    const struct redis_arg name = redis_str(*target->client_name ? target->client_name : "iqra-gateway");
    const struct redis_arg login[] = {redis_str("AUTH"), redis_str(target->user),
                                      redis_str(target->password)};
    const struct redis_arg login_default[] = {login[0], login[2]};
    const struct redis_arg select[] = {redis_str("SELECT"), redis_int(target->database, number)};
    const struct redis_arg set_name[] = {redis_str("CLIENT"), redis_str("SETNAME"), name};
    const struct redis_arg role = redis_str("ROLE"), ping = redis_str("PING");
    int rc = 0;
    if (*target->user)
        rc = redis_conn_command(link->conn, login, 3, on_greeted, link);
    else if (*target->password)
        rc = redis_conn_command(link->conn, login_default, 2, on_greeted, link);
    if (!rc && target->database)
        rc = redis_conn_command(link->conn, select, 2, on_greeted, link);
    if (!rc)
        rc = redis_conn_command(link->conn, set_name, 3, NULL, NULL);
    if (!rc)
        rc = redis_conn_command(link->conn, &role, 1, on_role, link);
    if (!rc)
        rc = redis_conn_command(link->conn, &ping, 1, on_ready, link);
    if (rc)
        redis_conn_fail(link->conn, err_name(rc));
}

static bool on_push(const struct redis_reply *reply, void *arg) {
    struct redis_link *link = arg;
    return link->events.on_push && link->events.on_push(reply, link->events.arg);
}

// ---- dialling

static void set_where(struct redis_link *link) {
    const struct redis_string *target = link->config.target;
    if (!target->host_count) {
        snprintf(link->where, sizeof link->where, "unix:%s", target->path);
        return;
    }
    const struct redis_host *host = &target->hosts[link->host];
    bool v6 = strchr(host->name, ':');
    link->url.secure = target->tls;
    link->url.bracketed = v6;
    snprintf(link->url.host, sizeof link->url.host, "%s", host->name);
    snprintf(link->url.port, sizeof link->url.port, "%u", host->port);
    snprintf(link->where, sizeof link->where, v6 ? "[%s]:%u" : "%s:%u", host->name, host->port);
}

static void link_dial(struct redis_link *link) {
    const struct redis_string *target = link->config.target;
    link->attempts++;
    set_where(link);
    const struct redis_conn_config config = {
        .loop = link->config.loop,
        .tls = link->config.tls,
        .url = &link->url,
        .path = target->host_count ? NULL : target->path,
        .connect_timeout_ms = target->connect_timeout_ms,
        .command_timeout_ms = target->command_timeout_ms,
        .keep_alive_ms = target->keep_alive_s * 1000u,
    };
    const struct redis_conn_events events = {
        .on_open = on_open,
        .on_push = on_push,
        .on_fail = on_conn_fail,
        .on_closed = link_finish,
        .arg = link,
    };
    int err = redis_conn_open(&link->conn, &config, &events);
    if (err)
        link_down(link, err_name(err));
    else
        link->handles++;
}

int redis_link_new(struct redis_link **out, const struct redis_link_config *config,
                   const struct redis_link_events *events) {
    struct redis_link *link = calloc(1, sizeof *link);
    if (!link)
        return -ENOMEM;
    link->config = *config;
    link->events = *events;
    link->backoff_ms = BACKOFF_MIN_MS;
    snprintf(link->why, sizeof link->why, "not connected yet");
    uv_timer_init(config->loop, &link->timer); // cannot fail
    link->timer.data = link;
    link->handles = 1;
    uv_timer_start(&link->timer, on_timer, 0, 0);
    *out = link;
    return 0;
}

bool redis_link_up(const struct redis_link *link) {
    return link->up && link->conn && redis_conn_is_open(link->conn);
}

const char *redis_link_why(const struct redis_link *link) {
    return link->why;
}

int redis_link_command(struct redis_link *link, const struct redis_arg *args, size_t count, redis_fn *fn,
                       void *arg) {
    return redis_link_up(link) ? redis_conn_command(link->conn, args, count, fn, arg) : -ENOTCONN;
}

void redis_link_close(struct redis_link *link) {
    if (link->closing)
        return;
    link->closing = true;
    if (link->conn)
        redis_conn_close(link->conn);
    link->conn = NULL;
    uv_close((uv_handle_t *)&link->timer, on_timer_closed);
}
