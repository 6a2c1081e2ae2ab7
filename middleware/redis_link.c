// SPDX-License-Identifier: Apache-2.0
//
//   wait -> (ask a Sentinel) -> dial -> greet: AUTH, SELECT, CLIENT SETNAME, ROLE, PING -> up -> (lost) wait -> ...
#include "middleware/redis_link.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "middleware/redis_reply.h"
#include "middleware/redis_sentinel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 2000,
    TOLD_ATTEMPT = 3, // before, it may just have been started, perhaps by us
    TOLD_AGAIN = 30,  // attempts, about a minute
    STABLE_MS = 5000, // a connection that was up for so long was no accident: the backoff begins anew
};

struct redis_link {
    struct redis_link_config config;
    struct redis_link_events events;
    struct redis_conn *conn;         // NULL while waiting
    struct redis_sentinel *sentinel; // being asked, or NULL
    struct redis_host master;        // of `conn`, unless it is a unix socket
    struct wsc_url url;              // of `conn`
    char where[REDIS_HOST_MAX + 16];
    uv_timer_t timer;              // the next attempt
    size_t host;                   // the next one to try
    uint32_t backoff_ms, attempts; // since it was up
    uint64_t up_since_ms;
    bool up, closing;
    unsigned handles; // the timer, connections and questions not yet closed
    char why[192];
};

static void on_timer(uv_timer_t *timer);
static void check_later(struct redis_link *link);
static void sentinel_end(struct redis_link *link);

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

// ---- down

// Between half of it and all of it, so that many nodes do not come back in the same instant. It grows when every
// host has had its turn.
static uint64_t next_backoff(struct redis_link *link) {
    uint32_t random = 0;
    uv_random(NULL, NULL, &random, sizeof random, 0, NULL); // without: no jitter
    uint64_t half_ms = (link->host ? BACKOFF_MIN_MS : link->backoff_ms) / 2;
    if (link->host == 0)
        link->backoff_ms = link->backoff_ms < BACKOFF_MAX_MS / 2 ? link->backoff_ms * 2 : BACKOFF_MAX_MS;
    return half_ms + random % (half_ms + 1);
}

// When it is lost, and then seldom.
static void log_down(struct redis_link *link) {
    if (link->attempts == 0 || link->attempts == TOLD_ATTEMPT || link->attempts % TOLD_AGAIN == 0)
        log_warn(NULL, "redis", "%s: %s; trying again", link->config.purpose, link->why);
}

static void link_down(struct redis_link *link, const char *why) {
    uint64_t now_ms = uv_now(link->config.loop);
    if (link->up && now_ms - link->up_since_ms >= STABLE_MS)
        link->backoff_ms = BACKOFF_MIN_MS;
    link->up = false;
    snprintf(link->why, sizeof link->why, "%.60s: %.120s", link->where, why);
    log_down(link);
    if (link->sentinel)
        sentinel_end(link);
    uv_timer_start(&link->timer, on_timer, next_backoff(link), 0);
    link->events.on_down(link->why, link->events.arg);
}

static void next_host(struct redis_link *link) {
    size_t count = link->config.target->host_count;
    link->host = count ? (link->host + 1) % count : 0;
}

static void on_conn_fail(const char *why, void *arg) {
    struct redis_link *link = arg;
    redis_conn_close(link->conn);
    link->conn = NULL;
    next_host(link);
    link_down(link, why);
}

// ---- greeting

static void on_greeted(int err, const struct redis_reply *reply, void *arg) {
    struct redis_link *link = arg;
    if (!err && reply->type == REDIS_ERROR)
        redis_conn_fail(link->conn, reply->str);
}

// The first command, so an error that is not about it comes here too. A name is not needed.
static void on_named(int err, const struct redis_reply *reply, void *arg) {
    struct redis_link *link = arg;
    if (!err && reply->type == REDIS_ERROR && strstr(reply->str, "max number of clients"))
        redis_conn_fail(link->conn, reply->str);
}

// A user without the right to ask for it may be on a master all the same.
static void on_role(int err, const struct redis_reply *reply, void *arg) {
    struct redis_link *link = arg;
    if (err || reply->type != REDIS_ARRAY || !reply->count)
        return;
    const char *role = reply->elements[0].str;
    if (strcmp(role, "sentinel") == 0)
        redis_conn_fail(link->conn, "it is a Sentinel: name its service by serviceName");
    else if (strcmp(role, "master") != 0)
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
    link->why[0] = '\0';
    metric_add(METRIC_REDIS_CONNECTS, 1);
    log_info(NULL, "redis", "%s: connected to %s", link->config.purpose, link->where);
    check_later(link);
    link->events.on_up(link->events.arg);
}

static void on_open(void *arg) {
    struct redis_link *link = arg;
    const struct redis_string *target = link->config.target;
    char number[24];
    const struct redis_arg name = redis_str(*target->client_name ? target->client_name : "iqra-gateway");
    const struct redis_arg select[] = {redis_str("SELECT"), redis_int(target->database, number)};
    const struct redis_arg set_name[] = {redis_str("CLIENT"), redis_str("SETNAME"), name};
    const struct redis_arg role = redis_str("ROLE"), ping = redis_str("PING");
    int rc = redis_conn_log_in(link->conn, target, on_greeted, link);
    if (!rc && target->database)
        rc = redis_conn_command(link->conn, select, 2, on_greeted, link);
    if (!rc)
        rc = redis_conn_command(link->conn, set_name, 3, on_named, link);
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

static void set_where(struct redis_link *link, const struct redis_host *host) {
    const char *form = strchr(host->name, ':') ? "[%s]:%u" : "%s:%u";
    snprintf(link->where, sizeof link->where, form, host->name, host->port);
}

static void dial(struct redis_link *link, const char *path) {
    const struct redis_string *target = link->config.target;
    const struct redis_conn_config config = {
        .loop = link->config.loop,
        .tls = link->config.tls,
        .url = &link->url,
        .tls_host = *target->tls_host ? target->tls_host : NULL,
        .path = path,
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

static void dial_host(struct redis_link *link, const struct redis_host *host) {
    link->master = *host;
    set_where(link, host);
    redis_conn_url(&link->url, host, link->config.target->tls);
    dial(link, NULL);
}

// ---- Sentinel

static void check_later(struct redis_link *link) {
    if (*link->config.target->service)
        uv_timer_start(&link->timer, on_timer, link->config.target->check_s * 1000u, 0);
}

static void sentinel_end(struct redis_link *link) {
    redis_sentinel_close(link->sentinel);
    link->sentinel = NULL;
}

// While up, this sees a failover that the old master does not know of: one that is cut off from the others.
static void on_master(const struct redis_host *master, void *arg) {
    struct redis_link *link = arg;
    struct redis_host found = *master;
    sentinel_end(link);
    if (!link->conn)
        dial_host(link, &found);
    else if (found.port != link->master.port || strcmp(found.name, link->master.name) != 0)
        redis_conn_fail(link->conn, "the Sentinels name another master");
    else
        check_later(link);
}

static void on_sentinel_fail(const char *why, void *arg) {
    struct redis_link *link = arg;
    char text[160];
    snprintf(text, sizeof text, "Sentinel: %.140s", why);
    sentinel_end(link);
    next_host(link);
    if (link->conn) {
        check_later(link);
        return;
    }
    set_where(link, &link->config.target->hosts[link->host]);
    link_down(link, text);
}

static void ask_sentinel(struct redis_link *link) {
    const struct redis_sentinel_events events = {
        .on_master = on_master, .on_fail = on_sentinel_fail, .on_closed = link_finish, .arg = link};
    int err = redis_sentinel_ask(&link->sentinel, link->config.loop, link->config.target, link->config.tls,
                                 link->host, &events);
    if (!err)
        link->handles++;
    else if (!link->conn)
        link_down(link, err_name(err));
    else
        check_later(link);
}

// The next attempt, or the next look at the Sentinels while up.
static void on_timer(uv_timer_t *timer) {
    struct redis_link *link = timer->data;
    const struct redis_string *target = link->config.target;
    if (!link->conn)
        link->attempts++;
    if (*target->service) {
        ask_sentinel(link);
    } else if (target->host_count) {
        dial_host(link, &target->hosts[link->host]);
    } else {
        snprintf(link->where, sizeof link->where, "unix:%s", target->path);
        dial(link, target->path);
    }
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
    if (link->sentinel)
        sentinel_end(link);
    uv_close((uv_handle_t *)&link->timer, on_timer_closed);
}
