// SPDX-License-Identifier: Apache-2.0
#include "signaling/http_conn.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *http_status_text(unsigned status) {
    static const struct {
        unsigned status;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Status";
}

int http_out_add(struct http_out *out, const void *data, size_t len) {
    size_t need = LWS_PRE + out->len + len;
    if (need > out->size) {
        size_t size = need + need / 2;
        uint8_t *grown = realloc(out->data, size);
        if (!grown)
            return -ENOMEM;
        out->data = grown;
        out->size = size;
    }
    if (len)
        memcpy(out->data + LWS_PRE + out->len, data, len);
    out->len += len;
    return 0;
}

void http_out_clear(struct http_out *out) {
    free(out->data);
    *out = (struct http_out){0};
}

static bool has(const struct http_header_field *headers, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(headers[i].name, name) == 0)
            return true;
    return false;
}

// One line of the head. What does not fit, or would begin another line, is an error of the caller's.
static int add_field(struct http_out *out, const char *name, const char *value) {
    if (strpbrk(value, "\r\n"))
        return -EINVAL;
    int rc = http_out_add(out, name, strlen(name));
    if (rc == 0)
        rc = http_out_add(out, ": ", 2);
    if (rc == 0)
        rc = http_out_add(out, value, strlen(value));
    return rc == 0 ? http_out_add(out, "\r\n", 2) : rc;
}

static int add_text(struct http_out *out, const char *text) {
    return http_out_add(out, text, strlen(text));
}

// All but what says how long the body is.
static int add_head(const struct http_exchange *exchange, unsigned status, const char *content_type,
                    const struct http_header_field *headers, size_t count, struct http_out *out) {
    char line[64];
    snprintf(line, sizeof line, "HTTP/1.1 %u %s\r\n", status, http_status_text(status));
    int rc = add_text(out, line);
    if (rc == 0)
        rc = add_text(out, "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n");
    if (rc == 0 && content_type)
        rc = add_field(out, "Content-Type", content_type);
    if (rc == 0 && !has(headers, count, "Cache-Control"))
        rc = add_field(out, "Cache-Control", "no-store");
    if (rc == 0)
        rc = add_field(out, "Vary", "Origin");
    if (rc == 0)
        rc = add_text(out, exchange->cors);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = add_field(out, headers[i].name, headers[i].value);
    if (rc == 0 && (exchange->close_after || exchange->http_1_0))
        rc = add_field(out, "Connection", exchange->close_after ? "close" : "keep-alive");
    return rc;
}

int http_reply_format(const struct http_exchange *exchange, unsigned status, const char *content_type,
                      const void *body, size_t len, const struct http_header_field *headers,
                      size_t header_count, struct http_out *out) {
    char length[32];
    snprintf(length, sizeof length, "%zu", len);
    bool bodiless = status == 204 || status == 304;
    int rc = add_head(exchange, status, len ? content_type : NULL, headers, header_count, out);
    if (rc == 0 && !bodiless)
        rc = add_field(out, "Content-Length", length);
    if (rc == 0)
        rc = add_text(out, "\r\n");
    if (rc == 0 && !bodiless && !exchange->head)
        rc = http_out_add(out, body, len);
    return rc;
}

static int format_json(const struct http_exchange *exchange, unsigned status, const char *message,
                       const struct http_header_field *headers, size_t count, struct http_out *out) {
    json_t *root = json_pack("{s:s}", "message", message);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    int rc = text ? http_reply_format(exchange, status, "application/json; charset=utf-8", text, strlen(text),
                                      headers, count, out)
                  : -ENOMEM;
    free(text);
    json_decref(root);
    return rc;
}

int http_reply_format_message(const struct http_exchange *exchange, unsigned status, const char *message,
                              struct http_out *out) {
    return format_json(exchange, status, message, NULL, 0, out);
}

int http_reply_format_stream(const struct http_exchange *exchange, unsigned status, const char *content_type,
                             const struct http_header_field *headers, size_t header_count,
                             struct http_out *out) {
    int rc = add_head(exchange, status, content_type, headers, header_count, out);
    if (rc == 0 && !exchange->http_1_0)
        rc = add_field(out, "Transfer-Encoding", "chunked");
    return rc == 0 ? add_text(out, "\r\n") : rc;
}

int http_reply_format_options(const struct http_exchange *exchange, const char *allow, struct http_out *out) {
    const struct http_header_field headers[] = {
        {"Allow", allow},
        {"Vary", "Access-Control-Request-Method, Access-Control-Request-Headers"},
        {"Access-Control-Allow-Methods", allow}};
    return http_reply_format(exchange, 204, NULL, NULL, 0, headers, *exchange->cors ? 3 : 2, out);
}

// What an answer becomes when it cannot be made.
static const char emergency[] =
    "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

// The answer is owed no longer. Without a client it is dropped; otherwise it goes out when the socket can
// take it.
static void finish(struct http_exchange *exchange, int rc) {
    exchange->owned = false;
    exchange->on_gone = NULL;
    if (!exchange->conn) {
        http_exchange_free(exchange);
        return;
    }
    if (rc != 0) {
        exchange->close_after = true;
        exchange->out.len = 0;
        if (http_out_add(&exchange->out, emergency, sizeof emergency - 1) != 0)
            exchange->out.len = 0; // nothing is sent, the connection closes
    }
    exchange->answered = true;
    http_exchange_wants_write(exchange);
}

void http_reply(struct http_exchange *exchange, unsigned status, const char *content_type, const void *body,
                size_t len, const struct http_header_field *headers, size_t header_count) {
    int rc = 0;
    if (exchange->conn)
        rc = http_reply_format(exchange, status, content_type, body, len, headers, header_count,
                               &exchange->out);
    finish(exchange, rc);
}

void http_reply_json(struct http_exchange *exchange, unsigned status, const char *json) {
    http_reply(exchange, status, "application/json; charset=utf-8", json, strlen(json), NULL, 0);
}

void http_reply_message(struct http_exchange *exchange, unsigned status, const char *message) {
    finish(exchange,
           exchange->conn ? http_reply_format_message(exchange, status, message, &exchange->out) : 0);
}

void http_hold(struct http_exchange *exchange, void (*on_gone)(void *arg), void *arg) {
    exchange->on_gone = on_gone;
    exchange->gone_arg = arg;
}

int http_stream_begin(struct http_exchange *exchange, unsigned status, const char *content_type,
                      const struct http_header_field *headers, size_t header_count,
                      void (*on_gone)(void *arg), void *arg) {
    if (!exchange->conn)
        return -EPIPE;
    exchange->close_after = exchange->close_after || exchange->http_1_0;
    int rc = http_reply_format_stream(exchange, status, content_type, headers, header_count, &exchange->out);
    if (rc != 0) {
        exchange->out.len = 0;
        return rc;
    }
    exchange->streaming = true;
    exchange->on_gone = on_gone;
    exchange->gone_arg = arg;
    http_exchange_wants_write(exchange);
    return 0;
}

static int add_chunk(struct http_exchange *exchange, const void *data, size_t len) {
    char size[24];
    snprintf(size, sizeof size, "%zx\r\n", len);
    int rc = exchange->http_1_0 ? 0 : add_text(&exchange->out, size);
    if (rc == 0)
        rc = http_out_add(&exchange->out, data, len);
    if (rc == 0 && !exchange->http_1_0)
        rc = add_text(&exchange->out, "\r\n");
    return rc;
}

int http_stream_send(struct http_exchange *exchange, const void *data, size_t len) {
    if (!exchange->conn)
        return -EPIPE;
    if (!len || exchange->head)
        return 0; // an empty chunk would end the stream
    int rc = exchange->out.len + len > HTTP_STREAM_QUEUE ? -ENOBUFS : add_chunk(exchange, data, len);
    if (rc != 0)
        lws_loop_kill(exchange->conn->wsi, 0);
    else
        http_exchange_wants_write(exchange);
    return rc;
}

void http_stream_end(struct http_exchange *exchange) {
    int rc = 0;
    if (exchange->conn && !exchange->http_1_0 && !exchange->head)
        rc = add_text(&exchange->out, "0\r\n\r\n");
    if (rc != 0)
        lws_loop_kill(exchange->conn->wsi, 0);
    finish(exchange, 0);
}
