// SPDX-License-Identifier: Apache-2.0
// A raw HTTP and WebSocket client for tests, which turns the server's loop itself while it waits: one thread,
// no sleeps, and every wait ends at a deadline. Include after cmocka.h.
#ifndef IQ_TESTS_HTTP_CLIENT_H
#define IQ_TESTS_HTTP_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum { CLIENT_BUFFER = 4 << 20 };

struct client {
    uv_loop_t *loop;
    int fd;
    bool ended;
    size_t len;
    char *data;
};

static uint64_t client_deadline(void) {
    return uv_hrtime() + 10ULL * 1000000000;
}

// One turn of the loop, and what has come for the client.
static void client_turn(struct client *client) {
    uv_run(client->loop, UV_RUN_NOWAIT);
    struct pollfd wait = {.fd = client->fd, .events = client->ended ? 0 : POLLIN};
    poll(&wait, 1, 1);
    if (client->ended || !(wait.revents & (POLLIN | POLLHUP | POLLERR)))
        return;
    ssize_t n = recv(client->fd, client->data + client->len, CLIENT_BUFFER - 1 - client->len, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        client->ended = true;
    if (n > 0)
        client->len += (size_t)n;
    client->data[client->len] = '\0';
}

static inline void client_open(struct client *client, uv_loop_t *loop, uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *client = (struct client){
        .loop = loop, .fd = socket(AF_INET, SOCK_STREAM, 0), .data = calloc(1, CLIENT_BUFFER)};
    assert_true(client->fd >= 0);
    assert_non_null(client->data);
    assert_int_equal(connect(client->fd, (struct sockaddr *)&address, sizeof address), 0);
    fcntl(client->fd, F_SETFL, O_NONBLOCK);
}

static inline void client_close(struct client *client) {
    close(client->fd);
    free(client->data);
}

static inline void client_write(struct client *client, const void *data, size_t len) {
    uint64_t deadline = client_deadline();
    const char *at = data;
    while (len && uv_hrtime() < deadline) {
        ssize_t n = send(client->fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return; // the server has closed; what it said before is read next
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
        uv_run(client->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(len, 0);
}

static inline void client_text(struct client *client, const char *text) {
    client_write(client, text, strlen(text));
}

static inline void client_take(struct client *client, size_t len) {
    memmove(client->data, client->data + len, client->len - len + 1);
    client->len -= len;
}

static inline bool client_wait_end(struct client *client) {
    uint64_t deadline = client_deadline();
    while (!client->ended && uv_hrtime() < deadline)
        client_turn(client);
    return client->ended;
}

struct response {
    unsigned status; // 0: the connection ended without one
    char head[16384];
    char body[65536];
    size_t body_len;
};

static inline bool response_field(const struct response *response, const char *name, char *out,
                                  size_t out_size) {
    char needle[128];
    snprintf(needle, sizeof needle, "\r\n%s: ", name);
    const char *at = strcasestr(response->head, needle);
    *out = '\0';
    if (!at)
        return false;
    at += strlen(needle);
    snprintf(out, out_size, "%.*s", (int)strcspn(at, "\r"), at);
    return true;
}

static inline void expect_field(const struct response *response, const char *name, const char *value) {
    char text[1024];
    bool there = response_field(response, name, text, sizeof text);
    if (!value) {
        assert_false(there);
        return;
    }
    assert_true(there);
    assert_string_equal(text, value);
}

// Waits for one answer with Content-Length (or none) and takes it. `head`: it has no body whatever its length
// says.
static inline void client_response(struct client *client, struct response *response, bool head) {
    uint64_t deadline = client_deadline();
    const char *end;
    memset(response, 0, sizeof *response);
    while (!(end = strstr(client->data, "\r\n\r\n")) && !client->ended && uv_hrtime() < deadline)
        client_turn(client);
    if (!end)
        return;
    size_t head_len = (size_t)(end - client->data) + 4;
    assert_true(head_len < sizeof response->head);
    memcpy(response->head, client->data, head_len);
    response->status = (unsigned)strtoul(response->head + 9, NULL, 10);
    char length[32];
    if (response_field(response, "Content-Length", length, sizeof length) && !head)
        response->body_len = strtoul(length, NULL, 10);
    assert_true(response->body_len < sizeof response->body);
    while (client->len < head_len + response->body_len && !client->ended && uv_hrtime() < deadline)
        client_turn(client);
    assert_true(client->len >= head_len + response->body_len);
    memcpy(response->body, client->data + head_len, response->body_len);
    client_take(client, head_len + response->body_len);
}

static inline void client_request(struct client *client, struct response *response, const char *text) {
    client_text(client, text);
    client_response(client, response, strncmp(text, "HEAD", 4) == 0);
}

// ---- WebSocket

enum {
    FRAME_CONTINUATION = 0,
    FRAME_TEXT = 1,
    FRAME_BINARY = 2,
    FRAME_CLOSE = 8,
    FRAME_PING = 9,
    FRAME_PONG = 10
};

static inline unsigned client_upgrade(struct client *client, const char *path, const char *more) {
    char text[4096];
    struct response response;
    snprintf(
        text, sizeof text,
        "GET %s HTTP/1.1\r\nHost: gateway.test\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
        path, more);
    client_request(client, &response, text);
    if (response.status == 101)
        expect_field(&response, "Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    return response.status;
}

static inline void client_frame(struct client *client, bool fin, int opcode, const void *data, size_t len) {
    uint8_t head[14] = {(uint8_t)((fin ? 0x80 : 0) | opcode)}, mask[4] = {1, 2, 3, 4};
    size_t n = 2;
    if (len < 126) {
        head[1] = (uint8_t)(0x80 | len);
    } else {
        bool wide = len > 65535;
        head[1] = (uint8_t)(0x80 | (wide ? 127 : 126));
        for (int shift = wide ? 56 : 8; shift >= 0; shift -= 8)
            head[n++] = (uint8_t)(len >> shift);
    }
    memcpy(head + n, mask, 4);
    n += 4;
    uint8_t *frame = malloc(n + len);
    assert_non_null(frame);
    memcpy(frame, head, n);
    for (size_t i = 0; i < len; i++)
        frame[n + i] = ((const uint8_t *)data)[i] ^ mask[i % 4];
    client_write(client, frame, n + len);
    free(frame);
}

static inline void client_say(struct client *client, const char *text) {
    client_frame(client, true, FRAME_TEXT, text, strlen(text));
}

// The size of the frame at the front, 0 when it is not whole.
static inline size_t client_frame_size(const struct client *client, size_t *head) {
    const uint8_t *at = (const uint8_t *)client->data;
    if (client->len < 2)
        return 0;
    size_t len = at[1] & 0x7f, n = len == 126 ? 4 : len == 127 ? 10 : 2;
    if (client->len < n)
        return 0;
    if (n > 2)
        len = 0;
    for (size_t i = 2; i < n; i++)
        len = len << 8 | at[i];
    *head = n;
    return client->len < n + len ? 0 : n + len;
}

// Waits for a frame and takes it; returns its opcode, or -1 when the connection ends first. `out` is
// terminated.
static inline int client_frame_read(struct client *client, char *out, size_t out_size, size_t *out_len) {
    uint64_t deadline = client_deadline();
    size_t head = 0, size;
    while (!(size = client_frame_size(client, &head)) && !client->ended && uv_hrtime() < deadline)
        client_turn(client);
    if (!size)
        return -1;
    int opcode = client->data[0] & 0xf;
    assert_int_equal(client->data[0] & 0x70, 0);
    assert_true(size - head < out_size);
    memcpy(out, client->data + head, size - head);
    out[size - head] = '\0';
    *out_len = size - head;
    client_take(client, size);
    return opcode;
}

static inline void expect_text(struct client *client, const char *text) {
    char *got = malloc(CLIENT_BUFFER);
    size_t len;
    assert_non_null(got);
    assert_int_equal(client_frame_read(client, got, CLIENT_BUFFER, &len), FRAME_TEXT);
    assert_string_equal(got, text);
    free(got);
}

// Reads over whatever comes before the close frame; returns its code, 0 when the connection ends without one.
static inline unsigned client_close_code(struct client *client) {
    char *got = malloc(CLIENT_BUFFER);
    size_t len;
    int opcode;
    assert_non_null(got);
    do
        opcode = client_frame_read(client, got, CLIENT_BUFFER, &len);
    while (opcode >= 0 && opcode != FRAME_CLOSE);
    unsigned code =
        opcode == FRAME_CLOSE && len >= 2 ? (unsigned)((uint8_t)got[0] << 8 | (uint8_t)got[1]) : 0;
    free(got);
    return code;
}

#endif
