// SPDX-License-Identifier: Apache-2.0
#include "middleware/hub_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { QUERY_VALUE_MAX = 512 };

// ---- what a request says

int hub_query(const char *query, const char *name, char *out, size_t out_size) {
    struct span rest = span_str(query), pair, key;
    while (rest.len) {
        if (!span_until(&rest, '&', &pair)) {
            pair = rest;
            rest.len = 0;
        }
        if (span_until(&pair, '=', &key) && span_eq(key, name))
            return span_copy(pair, out, out_size) ? 0 : -ENOSPC;
    }
    *out = '\0';
    return -ENOENT;
}

enum auth_verdict hub_token_open(const struct hub *hub, const char *query, char id[HUB_CONN_ID_MAX + 1]) {
    char token[QUERY_VALUE_MAX];
    if (hub_query(query, "id", token, sizeof token) == -ENOSPC)
        return AUTH_FORMAT;
    return auth_open(hub->config.auth, HUB_TOKEN_PURPOSE, token, (int64_t)time(NULL), id);
}

void hub_refuse(struct http_exchange *exchange, unsigned status, const char *message) {
    static const struct http_header_field later = {"Retry-After", "2"};
    static const char unavailable[] = "{\"message\":\"The hub takes no connections now.\"}";
    static const char too_many[] = "{\"message\":\"Too many connections from your address.\"}";
    if (message) {
        http_reply_message(exchange, status, message);
        return;
    }
    const char *body = status == 429 ? too_many : unavailable;
    http_reply(exchange, status, "application/json; charset=utf-8", body, strlen(body), &later, 1);
}

// ---- negotiate

static json_t *transports(void) {
    return json_pack("[{s:s,s:[s,s]},{s:s,s:[s]},{s:s,s:[s,s]}]", "transport", "WebSockets",
                     "transferFormats", "Text", "Binary", "transport", "ServerSentEvents", "transferFormats",
                     "Text", "transport", "LongPolling", "transferFormats", "Text", "Binary");
}

// Version 0 knows one name for the connection, which then has to be the token.
static char *negotiation(const struct hub *hub, bool version_1) {
    char id[AUTH_NAME_MAX + 1], token[AUTH_SEALED_MAX], public_id[AUTH_NAME_MAX + 1];
    int64_t expires = (int64_t)time(NULL) + HUB_TOKEN_SECONDS;
    if (auth_random_id("", id, sizeof id) != 0 || auth_random_id("", public_id, sizeof public_id) != 0 ||
        auth_seal(hub->config.auth, HUB_TOKEN_PURPOSE, id, expires, token) != 0)
        return NULL;
    json_t *root = version_1
                       ? json_pack("{s:i,s:s,s:s,s:o}", "negotiateVersion", 1, "connectionId", public_id,
                                   "connectionToken", token, "availableTransports", transports())
                       : json_pack("{s:s,s:o}", "connectionId", token, "availableTransports", transports());
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

static void on_negotiate(const struct http_request *request, void *arg) {
    struct hub *hub = arg;
    char version[16];
    if (hub->draining) {
        hub_refuse(request->exchange, 503, NULL);
        return;
    }
    int absent = hub_query(request->query, "negotiateVersion", version, sizeof version);
    if (absent != -ENOENT && (!*version || version[strspn(version, "0123456789")])) {
        hub_refuse(request->exchange, 400, "negotiateVersion must be a number.");
        return;
    }
    char *text = negotiation(hub, !absent && strcmp(version, "0") != 0);
    if (text)
        http_reply_json(request->exchange, 200, text);
    else
        hub_refuse(request->exchange, 503, NULL);
    free(text);
}

// ---- requests of a connection

// False when it was refused. `*may_begin`: the id is good for a new connection.
static bool identify(struct hub *hub, const struct http_request *request, char id[HUB_CONN_ID_MAX + 1],
                     bool *may_begin) {
    enum auth_verdict verdict = hub_token_open(hub, request->query, id);
    *may_begin = verdict == AUTH_OK && !hub->draining;
    if (verdict == AUTH_OK || verdict == AUTH_EXPIRED)
        return true;
    if (verdict == AUTH_EMPTY)
        hub_refuse(request->exchange, 400, "A connection id is needed.");
    else
        hub_refuse(request->exchange, 401, "The connection id is not valid.");
    return false;
}

static void route(struct hub *hub, enum hub_ask ask, const struct http_request *request) {
    char id[HUB_CONN_ID_MAX + 1];
    bool may_begin;
    if (!identify(hub, request, id, &may_begin))
        return;
    struct hub_conn *conn = hub_map_get(&hub->conns_by_id, id);
    const struct hub_caller caller = {.exchange = request->exchange};
    bool begins = may_begin && (ask == HUB_ASK_STREAM || ask == HUB_ASK_POLL);
    if (conn)
        hub_serve(conn, ask, &caller, request->body);
    else if (ask == HUB_ASK_STREAM && hub->draining)
        hub_refuse(request->exchange, 503, NULL);
    else
        hub_relay(hub, ask, id, begins, request);
}

static void on_get(const struct http_request *request, void *arg) {
    char accept[256] = "";
    if (strcmp(request->method, "HEAD") == 0) {
        hub_refuse(request->exchange, 400, "Only GET, POST and DELETE make sense here.");
        return;
    }
    http_header(request->exchange, "accept:", accept, sizeof accept);
    route(arg, strcasestr(accept, "text/event-stream") ? HUB_ASK_STREAM : HUB_ASK_POLL, request);
}

static void on_post(const struct http_request *request, void *arg) {
    route(arg, HUB_ASK_POST, request);
}

static void on_delete(const struct http_request *request, void *arg) {
    route(arg, HUB_ASK_DELETE, request);
}

void hub_routes(struct hub *hub, struct http_route out[HUB_ROUTES]) {
    const struct http_route routes[HUB_ROUTES] = {
        {"POST", "/sessionHub/negotiate", on_negotiate, hub},
        {"GET", "/sessionHub", on_get, hub},
        {"POST", "/sessionHub", on_post, hub},
        {"DELETE", "/sessionHub", on_delete, hub},
    };
    memcpy(out, routes, sizeof routes);
}

// ---- requests that found their connection

int hub_answer_away(struct hub *hub, const struct hub_caller *caller, unsigned status, struct span body,
                    redis_fn *fn, void *arg) {
    char channel[sizeof HUB_NODE_CHANNEL + HUB_NODE_MAX], head[64];
    snprintf(channel, sizeof channel, "%s%s", HUB_NODE_CHANNEL, caller->from);
    snprintf(head, sizeof head, "{\"n\":%llu,\"status\":%u}", (unsigned long long)caller->n, status);
    return hub_publish(hub, channel, head, body, fn, arg);
}

void hub_answer(struct hub *hub, const struct hub_caller *caller, unsigned status, const char *body,
                size_t len) {
    if (caller->exchange)
        http_reply(caller->exchange, status, "text/plain; charset=utf-8", body ? body : "", len, NULL, 0);
    else
        hub_answer_away(hub, caller, status, span_of(body, len), NULL, NULL);
}

void hub_serve(struct hub_conn *conn, enum hub_ask ask, const struct hub_caller *caller, struct span body) {
    struct hub *hub = conn->hub;
    switch (ask) {
    case HUB_ASK_POST:
        if (conn->ended) {
            hub_answer(hub, caller, 404, NULL, 0);
            return;
        }
        hub_conn_receive(conn, body);
        hub_answer(hub, caller, 200, NULL, 0);
        return;
    case HUB_ASK_DELETE:
        hub_conn_end(conn);
        hub_answer(hub, caller, 202, NULL, 0);
        return;
    case HUB_ASK_POLL:
        if (hub_poll_is(conn))
            hub_poll_wait(conn, caller);
        else
            hub_answer(hub, caller, 409, NULL, 0);
        return;
    case HUB_ASK_STREAM:
        hub_answer(hub, caller, 409, NULL, 0); // each id is good for one connection
        return;
    case HUB_ASK_LEFT:
        hub_poll_left(conn, caller);
        return;
    case HUB_ASK_STILL:
        hub_poll_still(conn, caller);
    }
}
