// SPDX-License-Identifier: Apache-2.0
// A server with a few routes on a loop of the test's own, and what its handlers saw. Include after cmocka.h.
#ifndef IQ_TESTS_HTTP_FIXTURE_H
#define IQ_TESTS_HTTP_FIXTURE_H

#include "gateway/core/metrics.h"
#include "signaling/http.h"
#include "tests/unit/signaling/http_client.h"

enum { MAX_BODY = 1024, MAX_MESSAGE = 200000, MAX_QUEUE = 1 << 20 };

static struct {
    uv_loop_t loop;
    struct http_server *server;
    bool closed;
    // What the handlers saw.
    struct http_exchange *later;
    unsigned requests;
    char method[16], path[256], query[256], host[128], origin[128], token[64], address[64];
    bool secure;
    size_t body_len;
    bool gone;
    // WebSockets.
    struct ws *ws;
    unsigned accepted, opened, messages, closes;
    bool clean;
    unsigned code;
    bool chatty; // sends until its queue is full
} t;

// --- handlers

static inline void copy(char *out, size_t size, const char *text) {
    snprintf(out, size, "%s", text);
}

static inline void note(const struct http_request *request) {
    t.requests++;
    copy(t.method, sizeof t.method, request->method);
    copy(t.path, sizeof t.path, request->path);
    copy(t.query, sizeof t.query, request->query);
    copy(t.host, sizeof t.host, request->host);
    copy(t.origin, sizeof t.origin, request->origin);
    copy(t.address, sizeof t.address, request->client_address);
    t.secure = request->secure;
    t.body_len = request->body.len;
    http_header(request->exchange, "x-api-token:", t.token, sizeof t.token);
}

static inline void on_echo(const struct http_request *request, void *arg) {
    (void)arg;
    note(request);
    http_reply(request->exchange, 200, "text/plain", request->body.ptr, request->body.len, NULL, 0);
}

static inline void on_hello(const struct http_request *request, void *arg) {
    const struct http_header_field header = {"Retry-After", "7"};
    note(request);
    http_reply(request->exchange, 202, "text/plain", arg, strlen(arg), &header, 1);
}

static inline void on_later(const struct http_request *request, void *arg) {
    (void)arg;
    note(request);
    t.later = request->exchange;
}

static inline void on_large(const struct http_request *request, void *arg) {
    (void)arg;
    size_t len = 3 << 20;
    char *body = malloc(len);
    assert_non_null(body);
    memset(body, 'x', len);
    http_reply(request->exchange, 200, "text/plain", body, len, NULL, 0);
    free(body);
}

static inline void on_stream_gone(void *arg) {
    (void)arg;
    t.gone = true;
}

static inline void on_stream(const struct http_request *request, void *arg) {
    (void)arg;
    assert_int_equal(
        http_stream_begin(request->exchange, 200, "text/event-stream", NULL, 0, on_stream_gone, NULL), 0);
    assert_int_equal(http_stream_send(request->exchange, "one", 3), 0);
    t.later = request->exchange;
}

static const struct http_route routes[] = {
    {"POST", "/api/echo", on_echo, NULL},      {"GET", "/hello", on_hello, "hello"},
    {"DELETE", "/hello", on_hello, "deleted"}, {"GET", "/later", on_later, NULL},
    {"POST", "/later", on_later, NULL},        {"GET", "/tree/*", on_hello, "tree"},
    {"GET", "/stream", on_stream, NULL},       {"GET", "/large", on_large, NULL},
};

static inline unsigned on_ws_accept(struct ws *ws, const struct http_request *request, void **user,
                                    void *arg) {
    (void)arg;
    note(request);
    t.accepted++;
    t.ws = ws;
    assert_int_equal(ws_send(ws, false, "early", 5), -ENOTCONN);
    *user = &t;
    return strcmp(request->query, "refuse") == 0 ? 401 : 0;
}

static inline void on_ws_open(struct ws *ws, void *user, void *arg) {
    (void)arg;
    assert_ptr_equal(user, &t);
    t.opened++;
    assert_int_equal(ws_send(ws, false, "welcome", 7), 0);
}

static inline void on_ws_message(struct ws *ws, bool binary, const uint8_t *data, size_t len, void *user) {
    (void)user;
    t.messages++;
    if (len == 4 && memcmp(data, "quit", 4) == 0) {
        assert_int_equal(ws_send(ws, false, "bye", 3), 0);
        ws_close(ws, 4001, "as you wish");
        assert_int_equal(ws_send(ws, false, "late", 4), -ENOTCONN);
        return;
    }
    if (t.chatty)
        while (ws_send(ws, true, data, len) == 0)
            ;
    else
        assert_int_equal(ws_send(ws, binary, data, len), 0);
}

static inline void on_ws_close(struct ws *ws, bool clean, unsigned code, void *user) {
    (void)ws;
    (void)user;
    t.closes++;
    t.clean = clean;
    t.code = code;
    t.ws = NULL;
}

static const struct ws_ops ops = {.on_message = on_ws_message, .on_close = on_ws_close};
static const struct ws_route ws_routes[] = {
    {"/ws/*", MAX_MESSAGE, MAX_QUEUE, false, &ops, on_ws_accept, on_ws_open, NULL},
    {"/any", MAX_MESSAGE, MAX_QUEUE, true, &ops, on_ws_accept, on_ws_open, NULL},
};

// --- server and clients

static const char *const origins[] = {"https://shop.example", "http://localhost:3000/"};

static inline struct http_config config_of(uv_loop_t *loop) {
    return (struct http_config){
        .loop = loop,
        .listen = "127.0.0.1:0",
        .tls_certificate = "",
        .tls_key = "",
        .allowed_origins = origins,
        .allowed_origin_count = 2,
        .max_body = MAX_BODY,
        .routes = routes,
        .route_count = sizeof routes / sizeof *routes,
        .ws_routes = ws_routes,
        .ws_route_count = 2,
    };
}

static inline void start(const struct http_config *config) {
    struct err_text err = {""};
    int rc = http_server_new(&t.server, config, &err);
    if (rc != 0)
        fail_msg("%s", err.text);
}

static inline int setup_loop(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    return uv_loop_init(&t.loop);
}

static inline int setup(void **state) {
    setup_loop(state);
    struct http_config config = config_of(&t.loop);
    start(&config);
    return 0;
}

static inline void on_closed(void *arg) {
    *(bool *)arg = true;
}

static inline void stop(struct http_server *server) {
    bool closed = false;
    uint64_t deadline = client_deadline();
    http_server_close(server, on_closed, &closed);
    while (!closed && uv_hrtime() < deadline)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_true(closed);
}

static inline int teardown(void **state) {
    (void)state;
    if (t.server)
        stop(t.server);
    uv_run(&t.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&t.loop), 0);
    return 0;
}

static inline void open_client(struct client *client) {
    client_open(client, &t.loop, http_server_port(t.server));
}

// Turns until `*count` reaches `wanted`.
static inline bool reached(struct client *client, const unsigned *count, unsigned wanted) {
    uint64_t deadline = client_deadline();
    while (*count < wanted && uv_hrtime() < deadline)
        client_turn(client);
    return *count >= wanted;
}

#define HOST "Host: gateway.test\r\n"

static inline unsigned status_of(const char *request) {
    struct client client;
    struct response response;
    open_client(&client);
    client_request(&client, &response, request);
    if (response.status == 0 || response.status >= 400)
        assert_true(client_wait_end(&client));
    client_close(&client);
    return response.status;
}

static inline void open_ws(struct client *client) {
    open_client(client);
    assert_int_equal(client_upgrade(client, "/ws/1", ""), 101);
    expect_text(client, "welcome");
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, setup_loop, teardown)

#endif
