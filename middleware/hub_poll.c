// SPDX-License-Identifier: Apache-2.0
// The hub over long polling: a GET is answered as soon as there are records, and then comes another one. The
// first one, answered at once and empty, says that the connection is there; 204 says that it is over. The node
// of the first GET is the connection's; everything that comes elsewhere is relayed to it.
#include "middleware/hub_impl.h"

#include <stdlib.h>
#include <string.h>

static void poll_answer(struct hub_conn *conn, unsigned status) {
    conn->poll_waits = false;
    conn->polled_ms = conn->hub->now_ms;
    hub_answer(conn->hub, &conn->poll, status, conn->out, conn->out_len);
    free(conn->out);
    conn->out = NULL;
    conn->out_len = 0;
}

static int poll_send(struct hub_conn *conn, const char *data, size_t len) {
    if (conn->out_len + len > HUB_OUT_MAX)
        return -ENOBUFS;
    char *grown = realloc(conn->out, conn->out_len + len);
    if (!grown)
        return -ENOMEM;
    memcpy(grown + conn->out_len, data, len);
    conn->out = grown;
    conn->out_len += len;
    if (conn->poll_waits)
        poll_answer(conn, 200);
    return 0;
}

static void poll_end(struct hub_conn *conn) {
    if (conn->poll_waits)
        poll_answer(conn, conn->out_len ? 200 : 204);
}

static void poll_drop(struct hub_conn *conn) {
    poll_end(conn);
    hub_map_remove(&conn->hub->conns_by_id, &conn->entry);
    hub_relay_disclaim(conn);
}

static const struct hub_transport poll_transport = {
    .name = "LongPolling", .send = poll_send, .end = poll_end, .drop = poll_drop};

bool hub_poll_is(const struct hub_conn *conn) {
    return conn->transport == &poll_transport;
}

void hub_poll_drop(struct hub_conn *conn) {
    free(conn->out);
    conn->out = NULL;
    conn->out_len = 0;
    hub_conn_end(conn);
}

static void on_gone(void *arg) {
    struct hub_conn *conn = arg;
    struct hub_caller caller = conn->poll;
    hub_poll_left(conn, &caller);
}

void hub_poll_wait(struct hub_conn *conn, const struct hub_caller *caller) {
    if (conn->poll_waits)
        hub_answer(conn->hub, &conn->poll, 204, NULL, 0);
    conn->poll = *caller;
    conn->poll_waits = true;
    conn->polled_ms = conn->hub->now_ms;
    if (conn->out_len || conn->ended)
        poll_answer(conn, conn->out_len ? 200 : 204);
    else if (caller->exchange)
        http_hold(caller->exchange, on_gone, conn);
}

void hub_poll_left(struct hub_conn *conn, const struct hub_caller *caller) {
    bool same = caller->exchange == conn->poll.exchange && caller->n == conn->poll.n &&
                strcmp(caller->from, conn->poll.from) == 0;
    if (!conn->poll_waits || !same)
        return;
    conn->poll_waits = false;
    conn->polled_ms = conn->hub->now_ms;
    if (caller->exchange)
        hub_answer(conn->hub, caller, 204, NULL, 0); // to nobody, but it is due
}

void hub_poll_begin(struct hub *hub, const char *id, const char *client_address,
                    struct http_exchange *exchange) {
    struct hub_conn *conn;
    unsigned status = hub_conn_new(&conn, hub, &poll_transport, id, client_address);
    if (status) {
        hub_refuse(exchange, status, NULL);
        return;
    }
    hub_map_put(&hub->conns_by_id, &conn->entry);
    const struct hub_caller caller = {.exchange = exchange};
    hub_answer(hub, &caller, 200, NULL, 0);
}
