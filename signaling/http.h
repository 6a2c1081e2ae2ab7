// SPDX-License-Identifier: Apache-2.0
// The HTTP and WebSocket server of the ctl thread: libwebsockets on the ctl loop. Everything runs on that
// thread. CORS, body limit, method and Allow handling, and the origin rule for WebSockets are here, for every
// route.
#ifndef IQ_SIGNALING_HTTP_H
#define IQ_SIGNALING_HTTP_H

#include "gateway/core/err.h"
#include "gateway/core/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct http_server;
struct http_exchange; // one request and its answer, alive until answered; a client that leaves only makes the
                      // answer void
struct ws;            // one accepted WebSocket

struct http_request {
    struct http_exchange *exchange;
    const char *method; // "POST"
    const char *path;   // without query, percent-decoded
    const char *query;  // "" when none; percent-decoded after it was split at '&'
    const char *host;   // Host header, "" when none
    const char *origin; // Origin header, "" when none
    bool secure;        // TLS here, or X-Forwarded-Proto: https from a trusted proxy
    const char
        *client_address; // numeric; the right-most untrusted hop behind trusted proxies; v4-mapped normalised
    struct span body;    // whole, at most http_config.max_body
};

// Any header, by lower-case name with colon ("x-api-token:"), into `out`; false when absent or too long, or
// once the client has left: so read headers in on_request.
bool http_header(struct http_exchange *exchange, const char *name, char *out, size_t out_size);

struct http_header_field {
    const char *name, *value;
};

// Answers; exactly once per exchange, now or later on the ctl thread. Body is copied. headers may be NULL.
void http_reply(struct http_exchange *exchange, unsigned status, const char *content_type, const void *body,
                size_t len, const struct http_header_field *headers, size_t header_count);
void http_reply_json(struct http_exchange *exchange, unsigned status, const char *json);
void http_reply_message(struct http_exchange *exchange, unsigned status,
                        const char *message); // {"message":"..."}

// For who holds an exchange for long: `on_gone` once, within two seconds or so, when the client leaves before it is
// answered. The answer is still due. A client that only shuts its sending side down has left, too.
void http_hold(struct http_exchange *exchange, void (*on_gone)(void *arg), void *arg);

// Answers of no known length (server-sent events): the head goes out at once, then pieces as they come
// (chunked). After http_stream_begin the exchange lives until http_stream_end, instead of until http_reply.
// `on_gone` (may be NULL): as for http_hold; pieces then go nowhere; http_stream_end is still due.
int http_stream_begin(struct http_exchange *exchange, unsigned status, const char *content_type,
                      const struct http_header_field *headers, size_t header_count,
                      void (*on_gone)(void *arg), void *arg);
// Copies. -EPIPE when the client has left, -ENOBUFS (and the connection ends) when it does not read.
int http_stream_send(struct http_exchange *exchange, const void *data, size_t len);
void http_stream_end(struct http_exchange *exchange);

struct http_route {
    const char *method;
    const char *path; // exact, or a prefix when it ends in '/' + '*'
    void (*on_request)(const struct http_request *request, void *arg);
    void *arg;
};

// Callbacks of one accepted WebSocket; `user` is what on_accept stored.
struct ws_ops {
    void (*on_message)(struct ws *ws, bool binary, const uint8_t *data, size_t len,
                       void *user); // whole, <= max_message
    // A message beyond max_message. May be NULL; may say why and close before 1009 does.
    void (*on_too_large)(struct ws *ws, void *user);
    // Once. `clean`: a close frame came (code is its code, or 1005); otherwise the connection dropped (1006).
    void (*on_close)(struct ws *ws, bool clean, unsigned code, void *user);
};

struct ws_route {
    const char *path;   // exact or prefix with '*'
    size_t max_message; // a longer message is answered by close 1009
    size_t max_queue;   // bytes waiting to be sent; beyond it the connection is closed (1013)
    bool any_origin;    // false: AllowedOrigins decide when an Origin header is there (403)
    const struct ws_ops *ops;
    // Before the upgrade. Returns 0 and sets *user, or an HTTP status (401, 404, 503) that refuses it.
    // request->exchange serves http_header here and nothing else. An accepted ws that dies before on_open
    // gets its on_close.
    unsigned (*on_accept)(struct ws *ws, const struct http_request *request, void **user, void *arg);
    void (*on_open)(struct ws *ws, void *user, void *arg); // after the upgrade: sending may begin
    void *arg;
};

// Copies. -ENOBUFS (and closes) beyond max_queue; -ENOTCONN before on_open, after ws_close, or when the peer
// has closed.
int ws_send(struct ws *ws, bool binary, const void *data, size_t len);
// After what is queued; on_close still follows, at the latest 5 s from now. Further messages from the peer
// are ignored.
void ws_close(struct ws *ws, unsigned code, const char *reason);

struct http_config {
    uv_loop_t *loop;
    const char *listen;                    // "host:port", "[v6]:port"; port 0 = any
    const char *tls_certificate, *tls_key; // empty = plain
    const char *const *allowed_origins;
    size_t allowed_origin_count;
    const char *const *known_proxies; // addresses
    size_t known_proxy_count;
    const char *const *known_networks; // CIDR
    size_t known_network_count;
    size_t max_body;    // bytes: 65536; a longer one is answered 413
    unsigned head_s;    // 0 = 10: a connection whose first request's head is not there by then is dropped
    unsigned body_s;    // 0 = 30: the same for a request's body
    unsigned ws_ping_s; // 0 = 20: an idle WebSocket is pinged after this, and dropped when it stays silent as
                        // long again
    const struct http_route *routes; // borrowed, as all above
    size_t route_count;
    const struct ws_route *ws_routes;
    size_t ws_route_count;
};

int http_server_new(struct http_server **out, const struct http_config *config, struct err_text *err);
uint16_t http_server_port(const struct http_server *server);
// Closes the listener and every connection; on_closed when nothing is left on the loop.
void http_server_close(struct http_server *server, void (*on_closed)(void *arg), void *arg);

#endif
