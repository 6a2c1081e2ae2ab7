// SPDX-License-Identifier: Apache-2.0
// The hub over long polling: a GET is answered as soon as there are records, and then comes another one. The
// first one, answered at once and empty, says that the connection is there; 204 says that it is over. The node
// of the first GET is the connection's; everything that comes elsewhere is relayed to it.
#include "middleware/hub_impl.h"

#include <stdlib.h>
#include <string.h>

// ---- answers to polls of other nodes

// Waits for Redis to say whether that node is there.
struct parcel {
    struct hub *hub;
    struct hub_caller to;
    char id[HUB_CONN_ID_MAX + 1];
};

static bool is_same(const struct hub_caller *a, const struct hub_caller *b) {
    return a->exchange == b->exchange && a->n == b->n && strcmp(a->from, b->from) == 0;
}

static bool was_sent_to(const struct hub_conn *conn, const struct hub_caller *caller) {
    return conn->sent && is_same(&conn->sent_to, caller);
}

static void forget_sent(struct hub_conn *conn) {
    free(conn->sent);
    conn->sent = NULL;
    conn->sent_len = 0;
}

// The client does not have it: back in front of what has come since.
static void take_back(struct hub_conn *conn) {
    char *both = realloc(conn->sent, conn->sent_len + conn->out_len);
    if (!both) {
        hub_conn_end(conn);
        return;
    }
    if (conn->out_len)
        memcpy(both + conn->sent_len, conn->out, conn->out_len);
    free(conn->out);
    conn->out = both;
    conn->out_len += conn->sent_len;
    conn->sent = NULL;
    conn->sent_len = 0;
}

// An error leaves open whether that node got it. It asks whether its poll is still heard of, if it did not.
static void on_published(int err, const struct redis_reply *reply, void *arg) {
    struct parcel *parcel = arg;
    struct hub *hub = parcel->hub;
    bool nobody = !err && reply->type == REDIS_INTEGER && reply->integer == 0;
    struct hub_conn *conn = nobody ? hub_map_get(&hub->conns_by_id, parcel->id) : NULL;
    hub->redis_calls--;
    if (conn && was_sent_to(conn, &parcel->to))
        take_back(conn);
    free(parcel);
    if (hub->closing)
        hub_closed_maybe(hub);
}

static int send_away(struct hub_conn *conn, const struct hub_caller *caller, unsigned status,
                     struct span records) {
    struct parcel *parcel = calloc(1, sizeof *parcel);
    if (!parcel)
        return -ENOMEM;
    parcel->hub = conn->hub;
    parcel->to = *caller;
    memcpy(parcel->id, conn->id, sizeof parcel->id);
    int rc = hub_answer_away(conn->hub, caller, status, records, on_published, parcel);
    if (rc)
        free(parcel);
    return rc;
}

static void send_again(struct hub_conn *conn) {
    send_away(conn, &conn->sent_to, 200, span_of(conn->sent, conn->sent_len)); // lost: it asks once more
}

// ---- answers

static void poll_answer(struct hub_conn *conn, unsigned status) {
    conn->poll_waits = false;
    conn->polled_ms = conn->hub->now_ms;
    if (!conn->poll.exchange && conn->out_len) {
        if (send_away(conn, &conn->poll, status, span_of(conn->out, conn->out_len)) != 0)
            return; // for the next poll
        forget_sent(conn);
        conn->sent_to = conn->poll;
        conn->sent = conn->out;
        conn->sent_len = conn->out_len;
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
    forget_sent(conn);
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

static bool waits_for(const struct hub_conn *conn, const struct hub_caller *caller) {
    return conn->poll_waits && is_same(&conn->poll, caller);
}

void hub_poll_wait(struct hub_conn *conn, const struct hub_caller *caller) {
    if (waits_for(conn, caller))
        return;
    if (was_sent_to(conn, caller)) {
        send_again(conn);
        return;
    }
    forget_sent(conn);
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

// With what it got and nothing more, since it may have that, and then this one is passed over.
void hub_poll_still(struct hub_conn *conn, const struct hub_caller *caller) {
    if (was_sent_to(conn, caller))
        send_again(conn);
    else if (!waits_for(conn, caller))
        hub_answer(conn->hub, caller, 200, NULL, 0); // it never came: once more
}

void hub_poll_left(struct hub_conn *conn, const struct hub_caller *caller) {
    if (was_sent_to(conn, caller))
        take_back(conn);
    if (!waits_for(conn, caller))
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
