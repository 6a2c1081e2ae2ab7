// SPDX-License-Identifier: Apache-2.0
#include "signaling/http.h"

#include "gateway/core/log.h"
#include "signaling/http_conn.h"
#include "signaling/http_listen.h"
#include "signaling/http_tcp.h"
#include "signaling/ws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TICK_MS = 1000, STUCK_TICKS = 2, CLOSE_TICK_MS = 10, CLOSE_TICKS = 50 };

static const uint64_t SECOND_NS = 1000000000;

void http_conn_due(struct http_conn *conn, unsigned seconds) {
    conn->deadline_ns = seconds ? uv_hrtime() + seconds * SECOND_NS : 0;
}

uint64_t http_conn_bytes_read(const struct http_conn *conn) {
    SSL *ssl = lws_get_ssl(conn->wsi);
    if (ssl)
        return BIO_number_read(SSL_get_rbio(ssl));
    return http_tcp_bytes_read(lws_get_socket_fd(conn->wsi));
}

static void conn_gone(struct http_conn *conn) {
    conn->wsi = NULL;
    if (conn->exchange) {
        struct http_exchange *exchange = conn->exchange;
        conn->exchange = NULL;
        http_exchange_on_gone(exchange);
    }
    if (conn->ws)
        ws_on_gone(conn->ws);
}

static void conn_free(struct http_conn *conn) {
    struct http_server *server = conn->server;
    conn_gone(conn);
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        server->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    server->conn_count--;
    free(conn);
}

static int on_ws_event(struct http_conn *conn, enum lws_callback_reasons reason, void *in, size_t len) {
    if (!conn->ws)
        return -1;
    switch ((int)reason) {
    case LWS_CALLBACK_ESTABLISHED:
        return ws_on_established(conn->ws);
    case LWS_CALLBACK_RECEIVE:
        return ws_on_receive(conn->ws, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return ws_on_writable(conn->ws);
    default:
        return ws_on_peer_close(conn->ws, in, len);
    }
}

static int on_http_event(struct http_conn *conn, enum lws_callback_reasons reason, void *in, size_t len) {
    switch ((int)reason) {
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
        return 0;
    case LWS_CALLBACK_HTTP:
        return http_exchange_on_request(conn, in, len);
    case LWS_CALLBACK_HTTP_BODY:
        return http_exchange_on_body(conn, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return http_exchange_on_body_end(conn);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return http_exchange_on_writable(conn);
    default:
        return ws_on_upgrade(conn, in);
    }
}

// Everything the library says, about every connection. `conn` is NULL for what is no connection of ours.
static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
    (void)user;
    struct http_conn *conn = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    if (!conn)
        return 0;
    switch ((int)reason) {
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
        conn->wsi = wsi;
        return 0;
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_HTTP_BODY:
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
    case LWS_CALLBACK_HTTP_WRITEABLE:
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return on_http_event(conn, reason, in, len);
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return on_ws_event(conn, reason, in, len);
    case LWS_CALLBACK_RAW_ADOPT:
        return -1; // CONNECT would make it a raw tunnel
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_CLOSED:
        conn_gone(conn);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        conn_free(conn);
        return 0;
    default:
        return 0;
    }
}

static void on_accept(int fd, const char *peer, void *arg) {
    struct http_server *server = arg;
    struct http_conn *conn = server->conn_count < server->conn_max ? calloc(1, sizeof *conn) : NULL;
    if (!conn) {
        log_warn(NULL, "http", "connection of %s refused: %zu are open", peer, server->conn_count);
        close(fd);
        return;
    }
    conn->server = server;
    snprintf(conn->peer, sizeof conn->peer, "%s", peer);
    conn->next = server->conns;
    if (conn->next)
        conn->next->prev = conn;
    server->conns = conn;
    server->conn_count++;
    http_conn_due(conn, server->config.head_s);
    lws_loop_adopt(server->loop, fd, conn);
}

static void server_free(struct http_server *server) {
    // Only what the library never took for want of memory.
    for (struct http_conn *conn = server->conns, *next; conn; conn = next) {
        next = conn->next;
        conn_free(conn);
    }
    forwarded_free(server->forwarded);
    free(server);
}

// The loop is shared with calls: half of the descriptors are theirs.
static size_t connection_limit(void) {
    long limit = sysconf(_SC_OPEN_MAX);
    return limit > 0 && limit / 2 < HTTP_MAX_CONNECTIONS ? (size_t)limit / 2 : HTTP_MAX_CONNECTIONS;
}

static int start_loop(struct http_server *server, struct err_text *err) {
    const struct http_config *config = &server->config;
    const struct lws_loop_config loop_config = {
        .loop = config->loop,
        .callback = on_lws,
        .user = server,
        .tls_certificate = config->tls_certificate,
        .tls_key = config->tls_key,
        .max_connections = server->conn_max,
        .ws_ping_s = config->ws_ping_s ? config->ws_ping_s : HTTP_WS_PING_SECONDS,
    };
    return lws_loop_new(&server->loop, &loop_config, err);
}

static void on_part_closed(void *arg) {
    struct http_server *server = arg;
    if (--server->open_parts)
        return;
    void (*on_closed)(void *arg) = server->on_closed;
    void *closed_arg = server->arg;
    server_free(server);
    if (on_closed)
        on_closed(closed_arg);
}

static bool overdue(struct http_conn *conn, uint64_t now_ns) {
    bool stuck = conn->exchange && http_exchange_stuck(conn->exchange);
    conn->stuck_ticks = stuck ? conn->stuck_ticks + 1 : 0;
    if (conn->exchange && http_exchange_left(conn->exchange))
        return true;
    return (conn->deadline_ns && now_ns > conn->deadline_ns) || conn->stuck_ticks >= STUCK_TICKS;
}

// The library's own limits start anew with each byte or header line that comes, so a patient client could
// keep a connection for ever.
static void on_tick(uv_timer_t *timer) {
    struct http_server *server = timer->data;
    uint64_t now_ns = uv_hrtime();
    for (struct http_conn *conn = server->conns; conn; conn = conn->next)
        if (conn->wsi && overdue(conn, now_ns))
            lws_loop_kill(conn->wsi, 0);
}

static void on_timer_closed(uv_handle_t *handle) {
    on_part_closed(handle->data);
}

int http_server_new(struct http_server **out, const struct http_config *config, struct err_text *err) {
    struct http_server *server = calloc(1, sizeof *server);
    if (!server)
        return err_set(err, -ENOMEM, "out of memory");
    server->config = *config;
    if (!config->head_s)
        server->config.head_s = HTTP_HEAD_SECONDS;
    if (!config->body_s)
        server->config.body_s = HTTP_BODY_SECONDS;
    server->conn_max = connection_limit();
    int rc = forwarded_new(&server->forwarded, config->known_proxies, config->known_proxy_count,
                           config->known_networks, config->known_network_count, err);
    if (rc != 0) {
        server_free(server);
        return rc;
    }
    const struct http_listen_events events = {
        .on_accept = on_accept, .on_closed = on_part_closed, .arg = server};
    rc = http_listen_new(&server->listener, config->loop, config->listen, &events, err);
    if (rc != 0) {
        server_free(server);
        return rc;
    }
    server->open_parts = 1;
    rc = start_loop(server, err);
    if (rc != 0) {
        http_listen_close(server->listener); // frees the server when the loop turns
        return rc;
    }
    uv_timer_init(config->loop, &server->timer);
    uv_timer_start(&server->timer, on_tick, TICK_MS, TICK_MS);
    server->timer.data = server;
    server->open_parts = 3; // listener, timer, libwebsockets
    *out = server;
    return 0;
}

uint16_t http_server_port(const struct http_server *server) {
    return http_listen_port(server->listener);
}

static bool answers_on_their_way(const struct http_server *server) {
    for (const struct http_conn *conn = server->conns; conn; conn = conn->next)
        if (conn->wsi && conn->exchange && conn->exchange->answered)
            return true;
    return false;
}

// WebSockets get a moment to take their close frame, and clients the answers that were given.
static void on_close_tick(uv_timer_t *timer) {
    struct http_server *server = timer->data;
    bool waits = server->ws_count || answers_on_their_way(server);
    if (waits && ++server->close_ticks < CLOSE_TICKS)
        return;
    uv_close((uv_handle_t *)timer, on_timer_closed);
    lws_loop_close(server->loop, on_part_closed, server);
}

void http_server_close(struct http_server *server, void (*on_closed)(void *arg), void *arg) {
    if (server->closing)
        return;
    server->closing = true;
    server->on_closed = on_closed;
    server->arg = arg;
    http_listen_close(server->listener);
    for (struct http_conn *conn = server->conns; conn; conn = conn->next)
        if (conn->ws)
            ws_close(conn->ws, 1001, "going away");
    uv_timer_start(&server->timer, on_close_tick, 0, CLOSE_TICK_MS);
}
