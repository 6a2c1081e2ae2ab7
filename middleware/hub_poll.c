// SPDX-License-Identifier: Apache-2.0
// The hub over long polling: a GET is answered as soon as there are records, and then comes another one. The
// first one, answered at once and empty, says that the connection is there; 204 says that it is over. The node
// of the first GET is the connection's; everything that comes elsewhere is relayed to it.
#include "middleware/hub_impl.h"

#include <stdlib.h>
#include <string.h>

// Records on their way to another node, which may be gone, or not hear us.
struct parcel {
    struct hub *hub;
    char id[HUB_CONN_ID_MAX + 1];
    char *data; // owned
    size_t len;
};

static void poll_answer(struct hub_conn *conn, unsigned status);

static void parcel_free(struct parcel *parcel) {
    free(parcel->data);
    free(parcel);
}

// Back in front of what has come since.
static void take_back(struct hub_conn *conn, const struct parcel *parcel) {
    char *both = malloc(parcel->len + conn->out_len);
    if (!both) {
        hub_conn_end(conn);
        return;
    }
    memcpy(both, parcel->data, parcel->len);
    if (conn->out_len)
        memcpy(both + parcel->len, conn->out, conn->out_len);
    free(conn->out);
    conn->out = both;
    conn->out_len += parcel->len;
    if (conn->poll_waits)
        poll_answer(conn, 200);
}

static void on_taken(int err, const struct redis_reply *reply, void *arg) {
    struct parcel *parcel = arg;
    struct hub *hub = parcel->hub;
    bool taken = !err && reply->type == REDIS_INTEGER && reply->integer > 0;
    struct hub_conn *conn = taken ? NULL : hub_map_get(&hub->conns_by_id, parcel->id);
    hub->redis_calls--;
    if (conn)
        take_back(conn, parcel);
    parcel_free(parcel);
    if (hub->closing)
        hub_closed_maybe(hub);
}

// 0: the parcel has what the connection had.
static int send_away(struct hub_conn *conn, unsigned status) {
    struct parcel *parcel = calloc(1, sizeof *parcel);
    if (!parcel)
        return -ENOMEM;
    parcel->hub = conn->hub;
    memcpy(parcel->id, conn->id, sizeof parcel->id);
    int rc =
        hub_answer_away(conn->hub, &conn->poll, status, span_of(conn->out, conn->out_len), on_taken, parcel);
    if (rc) {
        parcel_free(parcel);
        return rc;
    }
    parcel->data = conn->out;
    parcel->len = conn->out_len;
    return 0;
}

static void poll_answer(struct hub_conn *conn, unsigned status) {
    conn->poll_waits = false;
    conn->polled_ms = conn->hub->now_ms;
    if (!conn->poll.exchange && conn->out_len) {
        if (send_away(conn, status) != 0)
            return; // for the next poll
    } else {
        hub_answer(conn->hub, &conn->poll, status, conn->out, conn->out_len);
        free(conn->out);
    }
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
    conn->heard_ms = conn->hub->now_ms; // the clients send no pings over this transport
    if (conn->out_len || conn->ended)
        poll_answer(conn, conn->out_len ? 200 : 204);
    else if (caller->exchange)
        http_hold(caller->exchange, on_gone, conn);
}

bool hub_poll_waits_for(const struct hub_conn *conn, const struct hub_caller *caller) {
    return conn->poll_waits && caller->exchange == conn->poll.exchange && caller->n == conn->poll.n &&
           strcmp(caller->from, conn->poll.from) == 0;
}

void hub_poll_left(struct hub_conn *conn, const struct hub_caller *caller) {
    if (!hub_poll_waits_for(conn, caller))
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
