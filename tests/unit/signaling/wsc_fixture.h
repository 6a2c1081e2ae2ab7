// SPDX-License-Identifier: Apache-2.0
// A server thread whose bytes are written by hand, and a client that notes what it hears.
#ifndef IQ_TESTS_WSC_FIXTURE_H
#define IQ_TESTS_WSC_FIXTURE_H

#include "gateway/core/err.h"
#include "signaling/wsc_frame.h"
#include "signaling/wsc_upgrade.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

// ---- the server: one connection, one script

enum server_mode { SERVE, ANSWER_404, HANG, CLOSE_AT_ONCE, BAD_ACCEPT };

struct server {
    enum server_mode mode;
    const uint8_t *bytes; // sent after the upgrade
    size_t len;
    size_t step;  // bytes per send, the HTTP answer included
    bool hold;    // reads nothing of the client until `release`
    SSL_CTX *tls; // owns when not NULL
    int listener;
    uint16_t port;
    pthread_t thread;
    uint8_t *heard; // what the client sent after its request; owns
    size_t heard_len;
    int release[2]; // a pipe
};

struct wire {
    int fd;
    SSL *ssl;
};

static bool wire_send(struct wire *wire, const void *data, size_t len) {
    if (wire->ssl)
        return len == 0 || SSL_write(wire->ssl, data, (int)len) == (int)len;
    return send(wire->fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static ssize_t wire_read(struct wire *wire, void *out, size_t cap) {
    return wire->ssl ? SSL_read(wire->ssl, out, (int)cap) : read(wire->fd, out, cap);
}

static bool server_upgrade(struct server *server, struct wire *wire) {
    char request[WSC_REQUEST_MAX] = "", answer[512], accept[WSC_ACCEPT_LEN + 1], key[WSC_KEY_LEN + 1];
    size_t used = 0;
    while (!strstr(request, "\r\n\r\n")) {
        ssize_t n = wire_read(wire, request + used, sizeof request - 1 - used);
        if (n <= 0)
            return false;
        used += (size_t)n;
        request[used] = '\0';
    }
    const char *key_at = strstr(request, "Sec-WebSocket-Key: ");
    if (server->mode == HANG || !key_at)
        return false;
    snprintf(key, sizeof key, "%s", key_at + strlen("Sec-WebSocket-Key: "));
    wsc_upgrade_accept(server->mode == BAD_ACCEPT ? "x" : key, accept);
    snprintf(answer, sizeof answer,
             "HTTP/1.1 %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
             server->mode == ANSWER_404 ? "404 Not Found" : "101 Switching Protocols", accept);
    size_t answer_len = strlen(answer), total = answer_len + server->len;
    uint8_t *all = malloc(total);
    memcpy(all, answer, answer_len);
    if (server->len)
        memcpy(all + answer_len, server->bytes, server->len);
    bool sent = true;
    for (size_t at = 0; at < total && sent; at += server->step)
        sent = wire_send(wire, all + at, total - at < server->step ? total - at : server->step);
    free(all);
    return sent;
}

static void server_listen(struct server *server, struct wire *wire) {
    char byte;
    if (server->hold && read(server->release[0], &byte, 1) != 1)
        return;
    size_t cap = 0;
    for (;;) {
        if (cap - server->heard_len < 65536) {
            cap += 1u << 20;
            server->heard = realloc(server->heard, cap);
        }
        ssize_t n = wire_read(wire, server->heard + server->heard_len, cap - server->heard_len);
        if (n <= 0)
            return;
        server->heard_len += (size_t)n;
    }
}

static void *server_main(void *arg) {
    struct server *server = arg;
    struct wire wire = {.fd = accept(server->listener, NULL, NULL)};
    int on = 1;
    setsockopt(wire.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (server->mode == CLOSE_AT_ONCE)
        goto out;
    if (server->tls) {
        wire.ssl = SSL_new(server->tls);
        SSL_set_fd(wire.ssl, wire.fd);
        if (SSL_accept(wire.ssl) != 1)
            goto out;
    }
    if (server_upgrade(server, &wire) || server->mode == HANG)
        server_listen(server, &wire);

out:
    SSL_free(wire.ssl);
    close(wire.fd);
    return NULL;
}

static void server_start(struct server *server) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    if (!server->step)
        server->step = SIZE_MAX / 2;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(server->listener, 4), 0);
    getsockname(server->listener, (struct sockaddr *)&address, &len);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pipe(server->release), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, server_main, server), 0);
}

static void server_release(struct server *server) {
    assert_int_equal(write(server->release[1], "x", 1), 1);
}

static void server_join(struct server *server) {
    pthread_join(server->thread, NULL);
}

static void server_free(struct server *server) {
    close(server->listener);
    close(server->release[0]);
    close(server->release[1]);
    free(server->heard);
    SSL_CTX_free(server->tls);
}

static void server_stop(struct server *server) {
    server_join(server);
    server_free(server);
}

// ---- the client under test

struct client {
    uv_loop_t loop;
    uv_timer_t guard; // fails the test instead of hanging it
    struct wsc *ws;
    char text[256]; // data as it came, '|' at each message's end
    size_t text_len;
    uint64_t bytes;
    unsigned code;
    char reason[192];
    uint32_t connect_timeout_ms;
    bool opened, ended, closed;
    const char *close_on; // closes with 1000 when this has been heard
    void (*on_open)(struct client *client);
    void (*on_writable)(struct client *client);
};

static void on_guard(uv_timer_t *timer) {
    (void)timer;
    fail_msg("the client hangs");
}

static void on_open(void *arg) {
    struct client *client = arg;
    client->opened = true;
    if (client->on_open)
        client->on_open(client);
}

static void on_data(enum wsc_kind kind, const uint8_t *data, size_t len, bool end, void *arg) {
    struct client *client = arg;
    (void)kind;
    client->bytes += len;
    if (client->text_len + len + 2 < sizeof client->text) {
        if (len)
            memcpy(client->text + client->text_len, data, len);
        client->text_len += len;
        if (end)
            client->text[client->text_len++] = '|';
    }
    if (client->close_on && strcmp(client->text, client->close_on) == 0)
        wsc_close(client->ws, 1000, "done");
}

static void on_writable(void *arg) {
    struct client *client = arg;
    if (client->on_writable)
        client->on_writable(client);
}

static void on_end(unsigned code, const char *reason, void *arg) {
    struct client *client = arg;
    assert_false(client->ended);
    client->ended = true;
    client->code = code;
    snprintf(client->reason, sizeof client->reason, "%s", reason);
    wsc_close(client->ws, 1000, NULL);
}

static void on_closed(void *arg) {
    struct client *client = arg;
    assert_false(client->closed);
    client->closed = true;
    client->ws = NULL;
    uv_close((uv_handle_t *)&client->guard, NULL);
}

static int client_connect(struct client *client, const char *url, const struct wsc_tls *tls,
                          uint32_t ping_ms) {
    struct wsc_config config = {.loop = &client->loop,
                                .tls = tls,
                                .url = url,

                                .connect_timeout_ms =
                                    client->connect_timeout_ms ? client->connect_timeout_ms : 10000,
                                .ping_interval_ms = ping_ms,
                                .send_limit_bytes = 64 * 1024,
                                .call_id = "test"};
    struct wsc_events events = {on_open, on_data, on_writable, on_end, on_closed, client};
    return wsc_connect(&client->ws, &config, &events);
}

// Connects, runs until everything is closed.
static void client_run(struct client *client, const char *url, const struct wsc_tls *tls, uint32_t ping_ms) {
    assert_int_equal(uv_loop_init(&client->loop), 0);
    uv_timer_init(&client->loop, &client->guard);
    uv_timer_start(&client->guard, on_guard, 20000, 0);
    assert_int_equal(client_connect(client, url, tls, ping_ms), 0);
    uv_run(&client->loop, UV_RUN_DEFAULT);
    assert_true(client->closed);
    assert_int_equal(uv_loop_close(&client->loop), 0);
}

static void talk(struct server *server, struct client *client) {
    char url[64];
    server_start(server);
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/agent?token=secret", server->port);
    client_run(client, url, NULL, 0);
}

// Unmasks the client's n-th frame.
static size_t heard_frame(const struct server *server, size_t index, uint8_t *opcode, uint8_t *out,
                          size_t cap) {
    const uint8_t *at = server->heard, *end = server->heard + server->heard_len;
    for (size_t i = 0; at + 6 <= end; i++) {
        size_t header = 2, len = at[1] & 0x7f;
        assert_true(at[1] & 0x80);
        if (len == 126)
            len = (size_t)at[2] << 8 | at[3], header = 4;
        else if (len == 127)
            len = (size_t)at[7] << 16 | (size_t)at[8] << 8 | at[9], header = 10;
        if (i == index && len <= cap && at + header + 4 + len <= end) {
            *opcode = at[0] & 0x0f;
            wsc_frame_mask(out, at + header + 4, len, at + header, 0);
            return len;
        }
        at += header + 4 + len;
    }
    return SIZE_MAX;
}

#endif
