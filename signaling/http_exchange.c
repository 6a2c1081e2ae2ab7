// SPDX-License-Identifier: Apache-2.0
// How the library's flow control is used, because it decides what a waiting connection costs:
//
// While an answer is pending the library would take a pipelined request for more of the present one, or spin
// on bytes nobody reads. So reading is off from the end of a request until there is something to send. But
// with reading off it does not write either, hence it is on while `out` has bytes, and a stream turns it off
// after each piece. What remains is a client that sends on, or has shut its side down, and does not read what
// it gets: http_exchange_stuck finds it. And nothing is read while an exchange is held, so that its client has left
// is not seen either: http_exchange_left looks.
//
// Requests are not pipelined: the library hands itself the wrong bytes as the body of a request that came
// behind another one, and turns for ever when more bytes follow. Such a request ends the connection before
// the library gets that far.
#include "signaling/http_conn.h"

#include "gateway/core/metrics.h"
#include "signaling/http_tcp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { DISCARD_MAX = 8 << 20, ALLOW_MAX = 128 };

void http_exchange_free(struct http_exchange *exchange) {
    free(exchange->path);
    free(exchange->query);
    free(exchange->host);
    free(exchange->origin);
    free(exchange->body);
    free(exchange->cors);
    http_out_clear(&exchange->out);
    free(exchange);
}

bool http_header(struct http_exchange *exchange, const char *name, char *out, size_t out_size) {
    *out = '\0';
    return exchange->conn && exchange->conn->wsi &&
           http_conn_header(exchange->conn->wsi, name, out, out_size);
}

bool http_path_matches(const char *pattern, const char *path) {
    size_t len = strlen(pattern);
    if (len >= 2 && strcmp(pattern + len - 2, "/*") == 0)
        return strncmp(pattern, path, len - 1) == 0;
    return strcmp(pattern, path) == 0;
}

static void add_method(char allow[ALLOW_MAX], const char *method) {
    if (strstr(allow, method))
        return;
    size_t len = strlen(allow);
    snprintf(allow + len, ALLOW_MAX - len, "%s%s", len ? ", " : "", method);
}

static bool method_matches(const struct http_route *route, const struct http_exchange *exchange) {
    return strcmp(route->method, exchange->head ? "GET" : exchange->request.method) == 0;
}

// Writes the answer nobody else owes.
static void answer(struct http_exchange *exchange, unsigned status, const char *message) {
    exchange->owned = true;
    http_reply_message(exchange, status, message);
}

static void answer_options(struct http_exchange *exchange, const char *allow) {
    if (http_reply_format_options(exchange, allow, &exchange->out) != 0) {
        exchange->out.len = 0;
        exchange->close_after = true;
    }
    exchange->answered = true;
    http_exchange_wants_write(exchange);
}

static bool is_ws_path(const struct http_config *config, const char *path) {
    for (size_t i = 0; i < config->ws_route_count; i++)
        if (http_path_matches(config->ws_routes[i].path, path))
            return true;
    return false;
}

static void answer_wrong_method(struct http_exchange *exchange, const char *allow) {
    static const char body[] = "{\"message\":\"The method is not allowed here.\"}";
    const struct http_header_field header = {"Allow", allow};
    exchange->owned = true;
    http_reply(exchange, 405, "application/json; charset=utf-8", body, sizeof body - 1, &header, 1);
}

static void answer_upgrade(struct http_exchange *exchange) {
    static const char body[] = "{\"message\":\"This address is for WebSockets.\"}";
    const struct http_header_field header = {"Upgrade", "websocket"};
    exchange->owned = true;
    http_reply(exchange, 426, "application/json; charset=utf-8", body, sizeof body - 1, &header, 1);
}

// The request is whole: to its route.
static void dispatch(struct http_exchange *exchange) {
    const struct http_config *config = &exchange->conn->server->config;
    char allow[ALLOW_MAX] = "";
    exchange->request.body = span_of(exchange->body, exchange->body_len);
    for (size_t i = 0; i < config->route_count; i++) {
        const struct http_route *route = &config->routes[i];
        if (!http_path_matches(route->path, exchange->path))
            continue;
        if (method_matches(route, exchange)) {
            exchange->owned = true;
            route->on_request(&exchange->request, route->arg);
            return;
        }
        add_method(allow, route->method);
        if (strcmp(route->method, "GET") == 0)
            add_method(allow, "HEAD");
    }
    bool options = strcmp(exchange->request.method, "OPTIONS") == 0;
    if (*allow)
        add_method(allow, "OPTIONS");
    if (*allow && options)
        answer_options(exchange, allow);
    else if (*allow)
        answer_wrong_method(exchange, allow);
    else if (is_ws_path(config, exchange->path))
        answer_upgrade(exchange);
    else
        answer(exchange, 404, "Not found.");
}

static void request_complete(struct http_exchange *exchange) {
    struct http_conn *conn = exchange->conn;
    if (exchange->complete)
        return;
    exchange->complete = true;
    conn->read_mark = http_conn_bytes_read(conn);
    http_conn_due(conn, 0);
    lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0);
    if (!exchange->answered)
        dispatch(exchange);
    if (!exchange->answered && !exchange->out.len)
        lws_rx_flow_control(conn->wsi, 0);
}

void http_exchange_wants_write(struct http_exchange *exchange) {
    struct lws *wsi = exchange->conn->wsi;
    lws_rx_flow_control(wsi, 1);
    lws_callback_on_writable(wsi);
}

bool http_exchange_stuck(const struct http_exchange *exchange) {
    struct lws *wsi = exchange->conn->wsi;
    char byte;
    return (exchange->answered || exchange->streaming) && lws_partial_buffered(wsi) &&
           recv(lws_get_socket_fd(wsi), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

bool http_exchange_left(const struct http_exchange *exchange) {
    return exchange->on_gone && !exchange->answered &&
           http_tcp_peer_left(lws_get_socket_fd(exchange->conn->wsi));
}

// A client that asks before it sends a large body (RFC 9110, 10.1.1).
static int send_continue(struct http_exchange *exchange) {
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uint8_t data[LWS_PRE + sizeof text];
    char expect[32];
    if (!http_conn_header(exchange->conn->wsi, "expect:", expect, sizeof expect) ||
        strcasecmp(expect, "100-continue") != 0)
        return 0;
    memcpy(data + LWS_PRE, text, sizeof text - 1);
    return lws_write(exchange->conn->wsi, data + LWS_PRE, sizeof text - 1, LWS_WRITE_HTTP_HEADERS) < 0 ? -1
                                                                                                       : 0;
}

// A request of which nothing came from the socket since the one before it was complete. (A FIN counts as a
// byte.)
bool http_exchange_pipelined(const struct http_conn *conn) {
    enum { HEAD_MIN = 16 }; // "GET / HTTP/1.1" and two line ends are more
    return conn->read_mark && http_conn_bytes_read(conn) < conn->read_mark + HEAD_MIN;
}

int http_exchange_on_request(struct http_conn *conn, const char *path, size_t path_len) {
    unsigned refusal = 0;
    const char *message = NULL;
    struct http_exchange *exchange;
    // Handlers may be gone already while a closing server waits for its WebSockets.
    if (conn->exchange || conn->last || conn->server->closing || http_exchange_pipelined(conn))
        return -1;
    if (http_exchange_read(&exchange, conn, path, path_len, &refusal, &message) != 0)
        return -1;
    conn->exchange = exchange;
    http_conn_due(conn, 0);
    if (refusal) {
        exchange->discard = !exchange->close_after && exchange->content_length <= DISCARD_MAX;
        exchange->close_after = true;
        answer(exchange, refusal, message);
        return 0;
    }
    if (!exchange->content_length) {
        request_complete(exchange);
        return 0;
    }
    exchange->body = malloc(exchange->content_length);
    if (!exchange->body)
        return -1;
    http_conn_due(conn, conn->server->config.body_s);
    return send_continue(exchange);
}

int http_exchange_on_body(struct http_conn *conn, const uint8_t *data, size_t len) {
    struct http_exchange *exchange = conn->exchange;
    if (!exchange || exchange->answered || !exchange->body)
        return 0; // the body of a refused request, read over
    if (len > exchange->content_length - exchange->body_len)
        return -1;
    memcpy(exchange->body + exchange->body_len, data, len);
    exchange->body_len += len;
    return 0;
}

int http_exchange_on_body_end(struct http_conn *conn) {
    if (!conn->exchange)
        return 0;
    if (conn->server->closing && !conn->exchange->answered)
        return -1;
    request_complete(conn->exchange);
    return 0;
}

// The answer has left the process. Back to reading, or the end of the connection.
static int complete(struct http_conn *conn) {
    struct http_exchange *exchange = conn->exchange;
    bool close_after = (exchange->close_after && !exchange->discard) || conn->server->closing;
    conn->last = exchange->close_after;
    conn->exchange = NULL;
    http_exchange_free(exchange);
    if (close_after)
        return -1;
    http_conn_due(conn, conn->last ? conn->server->config.body_s : HTTP_IDLE_SECONDS);
    return lws_http_transaction_completed(conn->wsi) ? -1 : 0;
}

// What a write could not send at once the library keeps, and calls again when it is gone.
static int write_out(struct http_exchange *exchange, struct lws *wsi) {
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, HTTP_REPLY_SECONDS);
    if (lws_write(wsi, exchange->out.data + LWS_PRE, exchange->out.len, LWS_WRITE_HTTP) < 0)
        return -1;
    http_out_clear(&exchange->out);
    return 0;
}

int http_exchange_on_writable(struct http_conn *conn) {
    struct http_exchange *exchange = conn->exchange;
    if (!exchange || !(exchange->answered || exchange->streaming))
        return 0;
    if (exchange->answered && !exchange->flushing) {
        exchange->flushing = true;
        metric_add(METRIC_HTTP_REQUESTS, 1);
    }
    if (exchange->out.len && write_out(exchange, conn->wsi) != 0)
        return -1;
    if (lws_partial_buffered(conn->wsi))
        return 0;
    if (exchange->answered)
        return complete(conn);
    lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0);
    lws_rx_flow_control(conn->wsi, 0);
    return 0;
}

void http_exchange_on_gone(struct http_exchange *exchange) {
    exchange->conn = NULL;
    if (!exchange->owned) {
        http_exchange_free(exchange);
        return;
    }
    void (*on_gone)(void *arg) = exchange->on_gone;
    exchange->on_gone = NULL;
    if (on_gone)
        on_gone(exchange->gone_arg);
}
