// SPDX-License-Identifier: Apache-2.0
#include "gateway/doors.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "signaling/auth.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void on_healthz(const struct http_request *request, void *arg) {
    (void)arg;
    http_reply_json(request->exchange, 200, "{\"status\":\"ok\"}");
}

static void reply_not_ready(const struct http_request *request, const char *status, const char *what,
                            const char *why) {
    json_t *body = json_pack("{s:s, s:s+}", "status", status, "reason", what, why);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    // Redis' own words may be no UTF-8.
    http_reply_json(request->exchange, 503,
                    text ? text : "{\"status\":\"unavailable\",\"reason\":\"not known\"}");
    free(text);
    json_decref(body);
}

static void on_readyz(const struct http_request *request, void *arg) {
    const struct doors *doors = arg;
    const char *overloaded = sessions_overloaded(doors->sessions);
    const char *hidden = nodes_why_hidden(doors->nodes);
    if (sessions_draining(doors->sessions))
        http_reply_json(request->exchange, 503,
                        "{\"status\":\"draining\",\"reason\":\"the gateway takes no new calls\"}");
    else if (!redis_up(doors->redis))
        reply_not_ready(request, "unavailable", "Redis is away: ", redis_why_down(doors->redis));
    else if (hidden)
        reply_not_ready(request, "unavailable", "", hidden);
    else if (overloaded)
        reply_not_ready(request, "overloaded", "no new calls: ", overloaded);
    else
        http_reply_json(request->exchange, 200, "{\"status\":\"ready\"}");
}

static void write_load(FILE *out, void *arg) {
    load_watch_metrics(arg, out);
}

static void on_metrics(const struct http_request *request, void *arg) {
    const struct doors *doors = arg;
    size_t len = 0;
    char *text = metrics_text(&len, write_load, doors->load);
    if (text)
        http_reply(request->exchange, 200, "text/plain; version=0.0.4; charset=utf-8", text, len, NULL, 0);
    else
        http_reply_message(request->exchange, 500, "Out of memory.");
    free(text);
}

bool doors_admin_allowed(const struct doors *doors, const struct http_request *request) {
    if (!doors->admin_token[0]) {
        http_reply_message(request->exchange, 404, "Not found.");
        return false;
    }
    char header[512];
    static const char scheme[] = "Bearer ";
    bool given = http_header(request->exchange, "authorization:", header, sizeof header) &&
                 strncasecmp(header, scheme, sizeof scheme - 1) == 0;
    if (given && auth_equal(header + sizeof scheme - 1, doors->admin_token))
        return true;
    static const struct http_header_field challenge = {"WWW-Authenticate", "Bearer"};
    static const char body[] = "{\"message\":\"Authorization: Bearer <Gateway.AdminToken> is needed.\"}";
    http_reply(request->exchange, 401, "application/json", body, sizeof body - 1, &challenge, 1);
    return false;
}

static void on_admin_calls(const struct http_request *request, void *arg) {
    const struct doors *doors = arg;
    if (doors_admin_allowed(doors, request))
        live_list(doors->live, request->exchange);
}

static void on_admin_hang_up(const struct http_request *request, void *arg) {
    const struct doors *doors = arg;
    if (!doors_admin_allowed(doors, request))
        return;
    const char *id = strrchr(request->path, '/') + 1;
    if (sessions_hang_up_one(doors->sessions, id, "hung up by the operator") == 0)
        http_reply_json(request->exchange, 202, "{\"status\":\"hanging up\"}");
    else
        http_reply_message(request->exchange, 404, "No live call has that id.");
}

static void on_admin_drain(const struct http_request *request, void *arg) {
    const struct doors *doors = arg;
    if (!doors_admin_allowed(doors, request))
        return;
    log_info(NULL, "admin", "drain asked for over HTTP");
    http_reply_json(request->exchange, 202, "{\"status\":\"draining\"}");
    doors->on_drain(doors->arg);
}

void doors_routes(struct doors *doors, struct http_route out[DOORS_ROUTES]) {
    const struct http_route routes[DOORS_ROUTES] = {
        {"GET", "/healthz", on_healthz, doors},
        {"GET", "/readyz", on_readyz, doors},
        {"GET", "/metrics", on_metrics, doors},
        {"GET", "/api/admin/calls", on_admin_calls, doors},
        {"DELETE", "/api/admin/calls/*", on_admin_hang_up, doors},
        {"POST", "/api/admin/drain", on_admin_drain, doors},
    };
    memcpy(out, routes, sizeof routes);
}
