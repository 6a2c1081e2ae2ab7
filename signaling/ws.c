// SPDX-License-Identifier: Apache-2.0
#include "signaling/ws.h"

#include "gateway/core/metrics.h"
#include "signaling/cors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CLOSE_SECONDS = 5, REASON_MAX = 123, PATH_SIZE = 4096, CLOSE_NO_STATUS = 1005, CLOSE_DROPPED = 1006 };

struct message {
    struct message *next;
    size_t len;
    bool binary;
    uint8_t data[]; // LWS_PRE bytes of room, then `len`
};

struct ws {
    struct http_conn *conn;
    const struct ws_route *route; // borrows
    void *user;
    bool open;
    // Receiving: the message so far.
    uint8_t *in;
    size_t in_len, in_size;
    // Sending.
    struct message *first, **last;
    size_t queued_bytes;
    // The end.
    bool closing, close_sent;
    bool peer_closed;
    unsigned peer_code;
    uint8_t close_len;
    uint8_t close_payload[2 + REASON_MAX];
};

// ---- before the upgrade

static int refuse(struct http_exchange *exchange, unsigned status, const char *message) {
    struct lws *wsi = exchange->conn->wsi;
    exchange->close_after = true;
    metric_add(METRIC_HTTP_REQUESTS, 1);
    if (http_reply_format_message(exchange, status, message, &exchange->out) == 0)
        lws_write(wsi, exchange->out.data + LWS_PRE, exchange->out.len, LWS_WRITE_HTTP);
    return -1;
}

static const struct ws_route *find_route(const struct http_config *config, const char *path) {
    for (size_t i = 0; i < config->ws_route_count; i++)
        if (http_path_matches(config->ws_routes[i].path, path))
            return &config->ws_routes[i];
    return NULL;
}

// What RFC 6455, 4.2.1 asks of the request; the library would hang up without a word.
static const char *handshake_fault(struct lws *wsi, const char *protocol) {
    char text[128];
    if (strcasecmp(protocol, "websocket") != 0)
        return "The only upgrade here is websocket.";
    if (!http_conn_header(wsi, "connection:", text, sizeof text) || !strcasestr(text, "upgrade"))
        return "Connection: upgrade is missing.";
    if (!http_conn_header(wsi, "sec-websocket-version:", text, sizeof text) || strcmp(text, "13") != 0)
        return "Sec-WebSocket-Version must be 13.";
    if (!http_conn_header(wsi, "sec-websocket-key:", text, sizeof text) || strlen(text) != 24)
        return "Sec-WebSocket-Key is missing.";
    if (lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) > 0)
        return "No Sec-WebSocket-Protocol is spoken here.";
    return NULL;
}

static bool origin_ok(const struct ws_route *route, const struct http_config *config,
                      const struct http_request *request) {
    return route->any_origin || !*request->origin || cors_same_origin(request->origin, request->host) ||
           cors_allowed(config->allowed_origins, config->allowed_origin_count, request->origin);
}

static int accept_upgrade(struct http_exchange *exchange, const struct ws_route *route) {
    struct ws *ws = calloc(1, sizeof *ws);
    if (!ws)
        return refuse(exchange, 503, "Out of memory.");
    ws->conn = exchange->conn;
    ws->route = route;
    ws->last = &ws->first;
    unsigned status = route->on_accept(ws, &exchange->request, &ws->user, route->arg);
    if (status) {
        free(ws);
        return refuse(exchange, status, http_status_text(status));
    }
    ws->conn->ws = ws;
    ws->conn->server->ws_count++;
    http_conn_due(ws->conn, 0);
    return 0;
}

static int judge_upgrade(struct http_exchange *exchange, const char *protocol) {
    struct http_server *server = exchange->conn->server;
    const struct ws_route *route = find_route(&server->config, exchange->path);
    const char *fault = handshake_fault(exchange->conn->wsi, protocol);
    if (!route)
        return refuse(exchange, 404, "Not found.");
    if (fault)
        return refuse(exchange, 400, fault);
    if (server->closing)
        return refuse(exchange, 503, http_status_text(503));
    if (!origin_ok(route, &server->config, &exchange->request)) {
        metric_add(METRIC_SIGNALLING_REFUSED, 1);
        return refuse(exchange, 403, "This origin is not allowed.");
    }
    return accept_upgrade(exchange, route);
}

int ws_on_upgrade(struct http_conn *conn, const char *protocol) {
    unsigned refusal = 0;
    const char *message = NULL;
    struct http_exchange *exchange;
    char path[PATH_SIZE];
    int len = lws_hdr_copy(conn->wsi, path, sizeof path, WSI_TOKEN_GET_URI);
    if (len <= 0 || conn->exchange || conn->ws || conn->last || http_exchange_pipelined(conn))
        return -1;
    if (http_exchange_read(&exchange, conn, path, (size_t)len, &refusal, &message) != 0)
        return -1;
    int rc = refusal || exchange->content_length ? refuse(exchange, 400, "An upgrade has no body.")
                                                 : judge_upgrade(exchange, protocol);
    http_exchange_free(exchange);
    return rc;
}

// ---- after it

int ws_on_established(struct ws *ws) {
    ws->open = true;
    ws->route->on_open(ws, ws->user, ws->route->arg);
    return 0;
}

static int append(struct ws *ws, const uint8_t *data, size_t len) {
    size_t need = ws->in_len + len;
    if (need > ws->in_size) {
        size_t size = need + need / 2;
        uint8_t *grown = realloc(ws->in, size);
        if (!grown)
            return -ENOMEM;
        ws->in = grown;
        ws->in_size = size;
    }
    if (len)
        memcpy(ws->in + ws->in_len, data, len);
    ws->in_len = need;
    return 0;
}

// A large message's buffer is not kept for the life of the socket.
static void trim(struct ws *ws) {
    enum { KEEP = 4096 };
    ws->in_len = 0;
    if (ws->in_size <= KEEP)
        return;
    free(ws->in);
    ws->in = NULL;
    ws->in_size = 0;
}

int ws_on_receive(struct ws *ws, const uint8_t *data, size_t len) {
    static const uint8_t nothing[1];
    struct lws *wsi = ws->conn->wsi;
    if (ws->closing)
        return 0;
    if (lws_is_first_fragment(wsi))
        ws->in_len = 0;
    if (ws->in_len + len > ws->route->max_message) {
        if (ws->route->ops->on_too_large)
            ws->route->ops->on_too_large(ws, ws->user);
        ws_close(ws, 1009, "message too large");
        return 0;
    }
    if (append(ws, data, len) != 0)
        return -1;
    if (!lws_is_final_fragment(wsi))
        return 0;
    ws->route->ops->on_message(ws, lws_frame_is_binary(wsi) != 0, ws->in ? ws->in : nothing, ws->in_len,
                               ws->user);
    trim(ws);
    return 0;
}

static void drop_queue(struct ws *ws) {
    while (ws->first) {
        struct message *message = ws->first;
        ws->first = message->next;
        free(message);
    }
    ws->last = &ws->first;
    ws->queued_bytes = 0;
}

int ws_send(struct ws *ws, bool binary, const void *data, size_t len) {
    if (!ws->open || ws->closing || ws->peer_closed || !ws->conn->wsi)
        return -ENOTCONN;
    if (ws->queued_bytes + len > ws->route->max_queue) {
        drop_queue(ws);
        ws_close(ws, 1013, "not reading");
        return -ENOBUFS;
    }
    struct message *message = malloc(sizeof *message + LWS_PRE + len);
    if (!message)
        return -ENOMEM;
    message->next = NULL;
    message->len = len;
    message->binary = binary;
    if (len)
        memcpy(message->data + LWS_PRE, data, len);
    *ws->last = message;
    ws->last = &message->next;
    ws->queued_bytes += len;
    lws_callback_on_writable(ws->conn->wsi);
    return 0;
}

void ws_close(struct ws *ws, unsigned code, const char *reason) {
    if (ws->closing || ws->peer_closed || !ws->conn->wsi)
        return;
    size_t len = reason ? strlen(reason) : 0;
    if (len > REASON_MAX)
        len = REASON_MAX;
    ws->closing = true;
    ws->close_payload[0] = (uint8_t)(code >> 8);
    ws->close_payload[1] = (uint8_t)code;
    if (len)
        memcpy(ws->close_payload + 2, reason, len);
    ws->close_len = (uint8_t)(2 + len);
    lws_callback_on_writable(ws->conn->wsi);
    // A peer that does not read never takes the close frame, and one that has gone never answers it.
    lws_loop_kill(ws->conn->wsi, CLOSE_SECONDS);
}

static int send_first(struct ws *ws) {
    struct message *message = ws->first;
    ws->first = message->next;
    if (!ws->first)
        ws->last = &ws->first;
    ws->queued_bytes -= message->len;
    int rc = lws_write(ws->conn->wsi, message->data + LWS_PRE, message->len,
                       message->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
    free(message);
    if (rc < 0)
        return -1;
    if (ws->first || ws->closing)
        lws_callback_on_writable(ws->conn->wsi);
    return 0;
}

// Not by the library's lws_close_reason: as built for Debian it closes a connection on libuv twice over, and
// the second time does not wait for the close frame to be sent. LWS_WRITE_HTTP sends bytes as they are.
static int send_close(struct ws *ws) {
    enum { CLOSE_FRAME = 0x88 };
    uint8_t frame[LWS_PRE + 2 + sizeof ws->close_payload];
    frame[LWS_PRE] = CLOSE_FRAME;
    frame[LWS_PRE + 1] = ws->close_len;
    memcpy(frame + LWS_PRE + 2, ws->close_payload, ws->close_len);
    ws->close_sent = true;
    return lws_write(ws->conn->wsi, frame + LWS_PRE, 2U + ws->close_len, LWS_WRITE_HTTP) < 0 ? -1 : 0;
}

int ws_on_writable(struct ws *ws) {
    if (ws->peer_closed || ws->close_sent)
        return 0;
    if (ws->first)
        return send_first(ws);
    return ws->closing ? send_close(ws) : 0;
}

int ws_on_peer_close(struct ws *ws, const uint8_t *data, size_t len) {
    ws->peer_closed = true;
    ws->peer_code = len >= 2 ? (unsigned)(data[0] << 8 | data[1]) : CLOSE_NO_STATUS;
    drop_queue(ws);
    return ws->close_sent ? -1 : 0; // an answer to ours ends it; otherwise the library answers
}

void ws_on_gone(struct ws *ws) {
    ws->conn->ws = NULL;
    ws->conn->server->ws_count--;
    ws->route->ops->on_close(ws, ws->peer_closed, ws->peer_closed ? ws->peer_code : CLOSE_DROPPED, ws->user);
    drop_queue(ws);
    free(ws->in);
    free(ws);
}
