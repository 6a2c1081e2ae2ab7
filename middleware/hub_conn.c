// SPDX-License-Identifier: Apache-2.0
#include "middleware/hub_impl.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// ---- life

static unsigned admit(struct hub *hub, struct hub_address *address) {
    if (hub->draining || !address)
        return 503;
    if (hub->conn_count >= hub->config.max_connections) {
        log_warn(NULL, "hub", "connection refused: %zu are open (Hub.MaxConnections)", hub->conn_count);
        return 503;
    }
    return address->conns >= hub->config.max_per_address ? 429 : 0;
}

unsigned hub_conn_new(struct hub_conn **out, struct hub *hub, const struct hub_transport *transport,
                      const char *id, const char *client_address) {
    struct hub_address *address = hub_address_of(hub, client_address);
    unsigned status = admit(hub, address);
    struct hub_conn *conn = status ? NULL : calloc(1, sizeof *conn);
    if (!conn) {
        metric_add(METRIC_HUB_REFUSED, 1);
        return status ? status : 503;
    }
    conn->hub = hub;
    conn->transport = transport;
    conn->address = address;
    conn->born_ms = conn->heard_ms = conn->said_ms = conn->polled_ms = conn->renewed_ms = hub->now_ms;
    LIST_INIT(&conn->regs);
    snprintf(conn->id, sizeof conn->id, "%s", id);
    conn->entry.name = conn->id;
    LIST_INSERT_HEAD(&hub->conns, conn, all);
    hub->conn_count++;
    address->conns++;
    metric_add(METRIC_HUB_CONNECTIONS, 1);
    *out = conn;
    return 0;
}

void hub_conn_free(struct hub_conn *conn) {
    struct hub *hub = conn->hub;
    conn->ended = true;
    hub_unregister_all(conn);
    if (conn->transport->drop)
        conn->transport->drop(conn);
    LIST_REMOVE(conn, all);
    hub->conn_count--;
    conn->address->conns--;
    metric_add(METRIC_HUB_CONNECTIONS, -1);
    signalr_reader_clear(&conn->reader);
    free(conn->out);
    free(conn);
    if (hub->closing)
        hub_closed_maybe(hub);
}

void hub_conn_end(struct hub_conn *conn) {
    if (conn->ended)
        return;
    conn->ended = true;
    conn->ended_ms = conn->hub->now_ms;
    conn->transport->end(conn);
}

// ---- out

void hub_conn_say(struct hub_conn *conn, const char *record) {
    if (conn->ended)
        return;
    conn->said_ms = conn->hub->now_ms;
    if (!record || conn->transport->send(conn, record, strlen(record)) != 0)
        hub_conn_end(conn);
}

void hub_conn_close(struct hub_conn *conn, const char *error, bool allow_reconnect) {
    if (conn->ended)
        return;
    char *record =
        conn->greeted ? signalr_close(error, allow_reconnect) : signalr_handshake_error(error ? error : "");
    hub_conn_say(conn, record);
    free(record);
    hub_conn_end(conn);
}

void hub_complete(struct hub_conn *conn, const char *invocation_id, const char *error) {
    if (!invocation_id)
        return;
    char *record = signalr_completion(invocation_id, error);
    hub_conn_say(conn, record);
    free(record);
}

// ---- in

static void on_handshake(struct hub_conn *conn, struct span record) {
    struct err_text why;
    if (signalr_parse_handshake(record, &why) != 0) {
        hub_conn_close(conn, why.text, false);
        return;
    }
    conn->greeted = true;
    hub_conn_say(conn, SIGNALR_HANDSHAKE_OK);
}

// Method names compare without case, as ASP.NET Core's do.
static void on_invocation(struct hub_conn *conn, const struct signalr_message *message) {
    char error[160];
    if (message->type == SIGNALR_INVOCATION && strcasecmp(message->target, "Register") == 0) {
        hub_register(conn, message);
        return;
    }
    snprintf(error, sizeof error, "Unknown hub method '%.64s'.", message->target);
    hub_complete(conn, message->invocation_id, error);
}

static void on_message(struct hub_conn *conn, struct span record) {
    struct signalr_message message;
    struct err_text why;
    if (!hub_bucket_take(&conn->messages, conn->hub->now_ms, HUB_MESSAGE_BURST, HUB_MESSAGES_PER_S, 1)) {
        hub_conn_close(conn, "Too many messages.", false);
        return;
    }
    if (signalr_parse(&message, record, &why) != 0) {
        hub_conn_close(conn, why.text, false);
        return;
    }
    if (message.type == SIGNALR_INVOCATION || message.type == SIGNALR_STREAM_INVOCATION)
        on_invocation(conn, &message);
    else if (message.type == SIGNALR_CLOSE)
        hub_conn_end(conn);
    signalr_message_clear(&message);
}

static int on_record(struct span record, void *arg) {
    struct hub_conn *conn = arg;
    conn->heard_ms = conn->hub->now_ms;
    if (conn->greeted)
        on_message(conn, record);
    else
        on_handshake(conn, record);
    return conn->ended ? -ESHUTDOWN : 0;
}

void hub_conn_receive(struct hub_conn *conn, struct span bytes) {
    if (conn->ended)
        return;
    int rc = signalr_read(&conn->reader, bytes, on_record, conn);
    if (rc)
        hub_conn_close(conn, rc == -EMSGSIZE ? "The message is too long." : "Out of memory.", false);
}

// ---- time

static bool since(const struct hub_conn *conn, uint64_t at_ms, uint64_t ms) {
    return conn->hub->now_ms >= at_ms + ms;
}

static bool look_at_ended(struct hub_conn *conn) {
    hub_unregister_all(conn);
    if (conn->ws)
        return true; // its on_close comes
    return hub_poll_is(conn) && conn->out_len && !since(conn, conn->ended_ms, HUB_FAREWELL_MS);
}

bool hub_conn_look(struct hub_conn *conn) {
    if (!conn->ended && !conn->greeted && since(conn, conn->born_ms, HUB_HANDSHAKE_MS))
        hub_conn_close(conn, "No handshake came in time.", false);
    else if (!conn->ended && since(conn, conn->heard_ms, HUB_CLIENT_MS))
        hub_conn_close(conn, "Nothing was heard of the client.", true);
    else if (!conn->ended && hub_poll_is(conn) && !conn->poll_waits &&
             since(conn, conn->polled_ms, HUB_POLL_GAP_MS))
        hub_poll_drop(conn);
    if (conn->ended)
        return look_at_ended(conn);
    if (conn->greeted && since(conn, conn->said_ms, HUB_PING_MS))
        hub_conn_say(conn, SIGNALR_PING_RECORD);
    if (since(conn, conn->renewed_ms, HUB_RENEW_MS))
        hub_relay_claim(conn);
    return true;
}
