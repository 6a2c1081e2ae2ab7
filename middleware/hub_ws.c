// SPDX-License-Identifier: Apache-2.0
// The hub over WebSockets. The simplest of the transports: wherever the socket is, there is the connection, so
// no other node needs to find it.
#include "middleware/hub_impl.h"

#include <stdlib.h>

enum { MESSAGE_MAX = 65536, NORMAL_CLOSURE = 1000 };

static int ws_transport_send(struct hub_conn *conn, const char *data, size_t len) {
    return ws_send(conn->ws, false, data, len);
}

static void ws_transport_end(struct hub_conn *conn) {
    ws_close(conn->ws, NORMAL_CLOSURE, "");
}

static const struct hub_transport ws_transport = {
    .name = "WebSockets", .send = ws_transport_send, .end = ws_transport_end};

// A client that skipped negotiation has no id; ours is for nobody but us then.
static unsigned on_accept(struct ws *ws, const struct http_request *request, void **user, void *arg) {
    struct hub *hub = arg;
    struct hub_conn *conn;
    char id[HUB_CONN_ID_MAX + 1];
    enum auth_verdict verdict = hub_token_open(hub, request->query, id);
    if (verdict == AUTH_EMPTY && auth_random_id("", id, sizeof id) != 0)
        return 503;
    if (verdict == AUTH_EXPIRED)
        return 404;
    if (verdict != AUTH_OK && verdict != AUTH_EMPTY)
        return 401;
    unsigned status = hub_conn_new(&conn, hub, &ws_transport, id, request->client_address);
    if (status)
        return status;
    conn->ws = ws;
    *user = conn;
    return 0;
}

static void on_open(struct ws *ws, void *user, void *arg) {
    (void)ws;
    (void)user;
    (void)arg;
}

static void on_message(struct ws *ws, bool binary, const uint8_t *data, size_t len, void *user) {
    (void)ws;
    (void)binary; // as in ASP.NET Core, what is in it counts
    hub_conn_receive(user, span_of(data, len));
}

static void on_close(struct ws *ws, bool clean, unsigned code, void *user) {
    (void)ws;
    (void)clean;
    (void)code;
    hub_conn_free(user);
}

void hub_ws_route(struct hub *hub, struct ws_route *out) {
    static const struct ws_ops ops = {.on_message = on_message, .on_close = on_close};
    *out = (struct ws_route){
        .path = "/sessionHub",
        .max_message = MESSAGE_MAX,
        .max_queue = HUB_OUT_MAX,
        .ops = &ops,
        .on_accept = on_accept,
        .on_open = on_open,
        .arg = hub,
    };
}
