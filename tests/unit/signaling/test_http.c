// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/metrics.h"
#include "signaling/cors.h"
#include "signaling/forwarded.h"
#include "signaling/http.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

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
// ---------------------------------------------------------------------------------------------------------

static void copy(char *out, size_t size, const char *text) {
    snprintf(out, size, "%s", text);
}

static void note(const struct http_request *request) {
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

static void on_echo(const struct http_request *request, void *arg) {
    (void)arg;
    note(request);
    http_reply(request->exchange, 200, "text/plain", request->body.ptr, request->body.len, NULL, 0);
}

static void on_hello(const struct http_request *request, void *arg) {
    const struct http_header_field header = {"Retry-After", "7"};
    note(request);
    http_reply(request->exchange, 202, "text/plain", arg, strlen(arg), &header, 1);
}

static void on_later(const struct http_request *request, void *arg) {
    (void)arg;
    note(request);
    t.later = request->exchange;
}

static void on_large(const struct http_request *request, void *arg) {
    (void)arg;
    size_t len = 3 << 20;
    char *body = malloc(len);
    assert_non_null(body);
    memset(body, 'x', len);
    http_reply(request->exchange, 200, "text/plain", body, len, NULL, 0);
    free(body);
}

static void on_stream_gone(void *arg) {
    (void)arg;
    t.gone = true;
}

static void on_stream(const struct http_request *request, void *arg) {
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

static unsigned on_ws_accept(struct ws *ws, const struct http_request *request, void **user, void *arg) {
    (void)arg;
    note(request);
    t.accepted++;
    t.ws = ws;
    assert_int_equal(ws_send(ws, false, "early", 5), -ENOTCONN);
    *user = &t;
    return strcmp(request->query, "refuse") == 0 ? 401 : 0;
}

static void on_ws_open(struct ws *ws, void *user, void *arg) {
    (void)arg;
    assert_ptr_equal(user, &t);
    t.opened++;
    assert_int_equal(ws_send(ws, false, "welcome", 7), 0);
}

static void on_ws_message(struct ws *ws, bool binary, const uint8_t *data, size_t len, void *user) {
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

static void on_ws_close(struct ws *ws, bool clean, unsigned code, void *user) {
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

// --- fixture
// ----------------------------------------------------------------------------------------------------------

static const char *const origins[] = {"https://shop.example", "http://localhost:3000/"};

static struct http_config config_of(uv_loop_t *loop) {
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

static void start(const struct http_config *config) {
    struct err_text err = {""};
    int rc = http_server_new(&t.server, config, &err);
    if (rc != 0)
        fail_msg("%s", err.text);
}

static int setup_loop(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    return uv_loop_init(&t.loop);
}

static int setup(void **state) {
    setup_loop(state);
    struct http_config config = config_of(&t.loop);
    start(&config);
    return 0;
}

static void on_closed(void *arg) {
    *(bool *)arg = true;
}

static void stop(struct http_server *server) {
    bool closed = false;
    uint64_t deadline = client_deadline();
    http_server_close(server, on_closed, &closed);
    while (!closed && uv_hrtime() < deadline)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_true(closed);
}

static int teardown(void **state) {
    (void)state;
    if (t.server)
        stop(t.server);
    uv_run(&t.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&t.loop), 0);
    return 0;
}

static void open_client(struct client *client) {
    client_open(client, &t.loop, http_server_port(t.server));
}

// Turns until `*count` reaches `wanted`.
static bool reached(struct client *client, const unsigned *count, unsigned wanted) {
    uint64_t deadline = client_deadline();
    while (*count < wanted && uv_hrtime() < deadline)
        client_turn(client);
    return *count >= wanted;
}

#define HOST "Host: gateway.test\r\n"

// --- HTTP
// -------------------------------------------------------------------------------------------------------------

static void test_keep_alive(void **state) {
    (void)state;
    struct client client;
    struct response response;
    int64_t counted = metric_read(METRIC_HTTP_REQUESTS);
    open_client(&client);
    for (int i = 0; i < 3; i++) {
        client_request(&client, &response,
                       "GET /hello?a=1&b=2 HTTP/1.1\r\n" HOST "X-Api-Token: secret 1\r\n\r\n");
        assert_int_equal(response.status, 202);
        assert_string_equal(response.body, "hello");
        expect_field(&response, "Content-Length", "5");
        expect_field(&response, "Content-Type", "text/plain");
        expect_field(&response, "Retry-After", "7");
        expect_field(&response, "X-Content-Type-Options", "nosniff");
        expect_field(&response, "Referrer-Policy", "no-referrer");
        expect_field(&response, "Cache-Control", "no-store");
        expect_field(&response, "Access-Control-Allow-Origin", NULL);
    }
    assert_string_equal(t.query, "a=1&b=2");
    assert_string_equal(t.host, "gateway.test");
    assert_string_equal(t.token, "secret 1");
    assert_string_equal(t.address, "127.0.0.1");
    assert_false(t.secure);
    assert_int_equal(metric_read(METRIC_HTTP_REQUESTS) - counted, 3);
    client_close(&client);
}

static void test_bodies(void **state) {
    (void)state;
    struct client client;
    struct response response;
    open_client(&client);
    client_request(&client, &response, "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello");
    assert_int_equal(response.status, 200);
    assert_string_equal(response.body, "hello");
    client_request(&client, &response, "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
    assert_int_equal(response.status, 200);
    assert_int_equal(response.body_len, 0);
    client_text(&client, "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 6\r\n\r\nab");
    client_turn(&client);
    client_text(&client, "cd");
    client_turn(&client);
    client_request(&client, &response, "ef");
    assert_string_equal(response.body, "abcdef");
    client_request(&client, &response, "DELETE /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_string_equal(response.body, "deleted");
    // Without a length there is no body, and the connection cannot be used again.
    client_request(&client, &response, "POST /api/echo HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 200);
    expect_field(&response, "Connection", "close");
    assert_true(client_wait_end(&client));
    client_close(&client);
}

static void test_head_and_options(void **state) {
    (void)state;
    struct client client;
    struct response response;
    open_client(&client);
    client_request(&client, &response, "HEAD /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 202);
    expect_field(&response, "Content-Length", "5");
    client_request(&client, &response, "OPTIONS /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 204);
    expect_field(&response, "Allow", "GET, HEAD, DELETE, OPTIONS");
    expect_field(&response, "Content-Length", NULL);
    client_request(&client, &response, "GET /tree/a%20b/c HTTP/1.1\r\n" HOST "\r\n");
    assert_string_equal(response.body, "tree");
    assert_string_equal(t.path, "/tree/a b/c");
    client_close(&client);
}

static void test_refusals(void **state) {
    (void)state;
    struct client client;
    struct response response;
    open_client(&client);
    client_request(&client, &response, "GET /nowhere HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 404);
    assert_string_equal(response.body, "{\"message\":\"Not found.\"}");
    expect_field(&response, "Content-Type", "application/json; charset=utf-8");
    client_request(&client, &response, "PUT /hello HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}");
    assert_int_equal(response.status, 405);
    expect_field(&response, "Allow", "GET, HEAD, DELETE, OPTIONS");
    client_request(&client, &response, "GET /ws/1 HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 426);
    client_request(&client, &response, "GET /tree HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 404);
    client_close(&client);
}

// The body is read over, so that the answer arrives.
static void test_too_large(void **state) {
    (void)state;
    struct client client;
    struct response response;
    static char body[100000];
    memset(body, 'x', sizeof body);
    open_client(&client);
    client_text(&client, "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n");
    client_write(&client, body, sizeof body);
    client_response(&client, &response, false);
    assert_int_equal(response.status, 413);
    expect_field(&response, "Connection", "close");
    client_close(&client);
    open_client(&client);
    client_request(&client, &response,
                   "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 999999999999\r\n\r\n");
    assert_int_equal(response.status, 413);
    assert_true(client_wait_end(&client));
    assert_int_equal(t.requests, 0);
    client_close(&client);
}

static void test_expect_continue(void **state) {
    (void)state;
    struct client client;
    struct response response;
    open_client(&client);
    client_request(&client, &response,
                   "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(response.status, 100);
    client_request(&client, &response, "ok");
    assert_int_equal(response.status, 200);
    assert_string_equal(response.body, "ok");
    client_close(&client);
}

static unsigned status_of(const char *request) {
    struct client client;
    struct response response;
    open_client(&client);
    client_request(&client, &response, request);
    if (response.status == 0 || response.status >= 400)
        assert_true(client_wait_end(&client));
    client_close(&client);
    return response.status;
}

static bool not_taken(const char *request) {
    unsigned status = status_of(request);
    return status == 0 || status >= 400;
}

// Answered with a 4xx or 5xx or hung up on, but never taken for a request.
static void test_malformed(void **state) {
    (void)state;
    assert_int_equal(status_of("POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n"), 400);
    assert_int_equal(status_of("POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 0x10\r\n\r\n"), 400);
    assert_int_equal(
        status_of("POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
        400);
    assert_int_equal(
        status_of("POST /api/echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 501);
    assert_int_equal(status_of("POST /api/echo HTTP/1.1\r\n" HOST
                               "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                     501);
    assert_int_equal(status_of("GET /hello HTTP/1.1\r\n\r\n"), 400);
    assert_true(not_taken("BREW /hello HTTP/1.1\r\n" HOST "\r\n"));
    assert_true(not_taken("CONNECT gateway.test:80 HTTP/1.1\r\n" HOST "\r\n"));
    assert_true(not_taken("CONNECT /hello HTTP/1.1\r\n" HOST "\r\n"));
    assert_true(not_taken("\x16\x03\x01\x02\x01\x01\x01\x01\xfc\x03\x03\r\n\r\n"));
    assert_true(not_taken("GET /../../etc/passwd HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"));
    static char head[40000];
    snprintf(head, sizeof head, "GET /hello HTTP/1.1\r\n" HOST "X-Long: %030000d\r\n\r\n", 1);
    assert_true(not_taken(head));
    assert_int_equal(t.requests, 0);
}

static void test_http_1_0(void **state) {
    (void)state;
    struct client client;
    struct response response;
    open_client(&client);
    client_request(&client, &response, "GET /hello HTTP/1.0\r\n\r\n");
    assert_int_equal(response.status, 202);
    assert_true(client_wait_end(&client));
    client_close(&client);
    open_client(&client);
    client_request(&client, &response, "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    assert_int_equal(response.status, 202);
    expect_field(&response, "Connection", "close");
    assert_true(client_wait_end(&client));
    client_close(&client);
}

// What comes behind a request is not served, and never taken for a part of it; the first one is answered all
// the same.
static void pipelined(const char *text, const char *body) {
    struct client client;
    struct response response;
    t.requests = 0;
    open_client(&client);
    client_text(&client, text);
    assert_true(reached(&client, &t.requests, 1));
    for (int i = 0; i < 20; i++)
        client_turn(&client);
    http_reply_message(t.later, 503, body);
    client_response(&client, &response, false);
    assert_int_equal(response.status, 503);
    assert_true(client_wait_end(&client));
    assert_int_equal(client.len, 0);
    assert_int_equal(t.requests, 1);
    client_close(&client);
}

static void test_pipelining(void **state) {
    (void)state;
    pipelined("GET /later HTTP/1.1\r\n" HOST "\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n", "one");
    // The library alone would turn for ever on this one.
    pipelined("GET /later HTTP/1.1\r\n" HOST "\r\n"
              "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\ntwo"
              "GET /hello HTTP/1.1\r\n" HOST "\r\n",
              "two");
    pipelined("POST /later HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
              "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\ntwoand more",
              "three");
    assert_int_equal(t.body_len, 3);
    pipelined("GET /later HTTP/1.1\r\n" HOST "\r\n"
              "GET /ws/1 HTTP/1.1\r\n" HOST
              "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
              "four");
}

// The same with the end of the client's side behind it, and behind a body that is read over.
static void test_pipelining_at_the_end(void **state) {
    (void)state;
    static const char more[] =
        "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\ntwoGET /hello HTTP/1.1\r\n";
    struct client client;
    struct response response;
    open_client(&client);
    client_text(&client, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    client_text(&client, more);
    assert_true(reached(&client, &t.requests, 1));
    shutdown(client.fd, SHUT_WR);
    for (int i = 0; i < 20; i++)
        client_turn(&client);
    http_reply_json(t.later, 200, "{}");
    client_response(&client, &response, false);
    assert_int_equal(response.status, 200);
    assert_true(client_wait_end(&client));
    client_close(&client);
    open_client(&client);
    static char text[4096];
    snprintf(text, sizeof text, "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 2000\r\n\r\n%02000d%s", 0,
             more);
    client_request(&client, &response, text);
    assert_int_equal(response.status, 413);
    assert_true(client_wait_end(&client));
    client_close(&client);
    assert_int_equal(t.requests, 1);
}

static void test_client_leaves_before_the_answer(void **state) {
    (void)state;
    struct client client, other;
    struct response response;
    open_client(&client);
    client_text(&client, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    assert_true(reached(&client, &t.requests, 1));
    client_close(&client);
    open_client(&other);
    client_request(&other, &response, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 202);
    http_reply_json(t.later, 200, "{}");
    client_request(&other, &response, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 202);
    client_close(&other);
}

static void test_answer_after_the_server_has_closed(void **state) {
    (void)state;
    struct client client;
    open_client(&client);
    client_text(&client, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    assert_true(reached(&client, &t.requests, 1));
    stop(t.server);
    t.server = NULL;
    char value[8];
    assert_false(http_header(t.later, "host:", value, sizeof value));
    http_reply_json(t.later, 200, "{}");
    assert_true(client_wait_end(&client));
    client_close(&client);
}

static void test_large_answer(void **state) {
    (void)state;
    struct client client;
    struct response response;
    uint64_t deadline = client_deadline();
    const size_t body_len = 3 << 20;
    open_client(&client);
    client_text(&client, "GET /large HTTP/1.1\r\n" HOST "\r\n");
    while (client.len < body_len && uv_hrtime() < deadline)
        client_turn(&client);
    const char *body = strstr(client.data, "\r\n\r\n");
    assert_non_null(body);
    size_t total = (size_t)(body + 4 - client.data) + body_len;
    while (client.len < total && uv_hrtime() < deadline)
        client_turn(&client);
    for (size_t i = 0; i < body_len; i++)
        assert_int_equal(body[4 + i], 'x');
    client_take(&client, total);
    client_request(&client, &response, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 202);
    client_close(&client);
}

static void test_stream(void **state) {
    (void)state;
    struct client client;
    struct response response;
    open_client(&client);
    client_request(&client, &response, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 200);
    expect_field(&response, "Transfer-Encoding", "chunked");
    expect_field(&response, "Content-Length", NULL);
    assert_int_equal(http_stream_send(t.later, "two", 3), 0);
    http_stream_end(t.later);
    uint64_t deadline = client_deadline();
    while (!strstr(client.data, "0\r\n\r\n") && uv_hrtime() < deadline)
        client_turn(&client);
    assert_string_equal(client.data, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
    client_take(&client, client.len);
    client_request(&client, &response, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 202);
    client_close(&client);
}

static void test_stream_client_leaves(void **state) {
    (void)state;
    struct client client, other;
    open_client(&client);
    client_text(&client, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    uint64_t deadline = client_deadline();
    while (!strstr(client.data, "one") && uv_hrtime() < deadline)
        client_turn(&client);
    client_close(&client);
    open_client(&other);
    while (!t.gone && uv_hrtime() < deadline) {
        http_stream_send(t.later, "more", 4);
        client_turn(&other);
    }
    assert_true(t.gone);
    assert_int_equal(http_stream_send(t.later, "more", 4), -EPIPE);
    http_stream_end(t.later);
    client_close(&other);
}

// A client that does not read is cut off once a mebibyte waits for it.
static void test_stream_client_does_not_read(void **state) {
    (void)state;
    struct client client, other;
    static char piece[65536];
    uint64_t deadline = client_deadline();
    open_client(&client);
    open_client(&other);
    client_text(&client, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    while (!t.later && uv_hrtime() < deadline)
        client_turn(&other);
    int rc = 0;
    while (!t.gone && uv_hrtime() < deadline) {
        rc = http_stream_send(t.later, piece, sizeof piece);
        client_turn(&other);
    }
    assert_true(rc == -ENOBUFS || rc == 0);
    assert_true(t.gone);
    http_stream_end(t.later);
    client_close(&client);
    client_close(&other);
}

// --- CORS
// -------------------------------------------------------------------------------------------------------------

static void test_cors(void **state) {
    (void)state;
    struct client client;
    struct response response;
    open_client(&client);
    client_request(&client, &response, "GET /hello HTTP/1.1\r\n" HOST "Origin: https://shop.example\r\n\r\n");
    assert_int_equal(response.status, 202);
    expect_field(&response, "Access-Control-Allow-Origin", "https://shop.example");
    expect_field(&response, "Access-Control-Allow-Credentials", "true");
    expect_field(&response, "Access-Control-Expose-Headers", "Retry-After");
    expect_field(&response, "Vary", "Origin");
    client_request(&client, &response,
                   "GET /nowhere HTTP/1.1\r\n" HOST "Origin: http://localhost:3000\r\n\r\n");
    assert_int_equal(response.status, 404);
    expect_field(&response, "Access-Control-Allow-Origin", "http://localhost:3000");
    client_request(&client, &response,
                   "GET /hello HTTP/1.1\r\n" HOST "Origin: https://shop.example.evil\r\n\r\n");
    assert_int_equal(response.status, 202);
    expect_field(&response, "Access-Control-Allow-Origin", NULL);
    expect_field(&response, "Access-Control-Allow-Credentials", NULL);
    expect_field(&response, "Vary", "Origin");
    client_close(&client);
}

static void test_preflight(void **state) {
    (void)state;
    struct client client;
    struct response response;
    open_client(&client);
    client_request(&client, &response,
                   "OPTIONS /api/echo HTTP/1.1\r\n" HOST "Origin: https://shop.example\r\n"
                   "Access-Control-Request-Method: POST\r\n"
                   "Access-Control-Request-Headers: content-type,x-custom\r\n\r\n");
    assert_int_equal(response.status, 204);
    expect_field(&response, "Access-Control-Allow-Origin", "https://shop.example");
    expect_field(&response, "Access-Control-Allow-Credentials", "true");
    expect_field(&response, "Access-Control-Allow-Methods", "POST");
    expect_field(&response, "Access-Control-Allow-Headers", "content-type,x-custom");
    expect_field(&response, "Access-Control-Max-Age", "600");
    client_request(&client, &response,
                   "OPTIONS /api/echo HTTP/1.1\r\n" HOST "Origin: https://evil.example\r\n"
                   "Access-Control-Request-Method: POST\r\n\r\n");
    assert_int_equal(response.status, 204);
    expect_field(&response, "Access-Control-Allow-Origin", NULL);
    expect_field(&response, "Access-Control-Allow-Methods", NULL);
    assert_int_equal(t.requests, 0);
    client_close(&client);
}

static void test_cors_rules(void **state) {
    (void)state;
    const char *const any[] = {"*"};
    assert_true(cors_allowed(origins, 2, "https://shop.example"));
    assert_true(cors_allowed(origins, 2, "HTTPS://Shop.example"));
    assert_false(cors_allowed(origins, 2, "http://shop.example"));
    assert_false(cors_allowed(origins, 2, "https://shop.example:8443"));
    assert_false(cors_allowed(origins, 2, "null"));
    assert_false(cors_allowed(origins, 2, ""));
    assert_false(cors_allowed(NULL, 0, "https://shop.example"));
    assert_false(cors_allowed(any, 1, "https://anything.example"));
    assert_false(cors_allowed(any, 1, ""));
    assert_true(cors_same_origin("http://localhost:8080", "localhost:8080"));
    assert_true(cors_same_origin("https://a.example", "a.example:443"));
    assert_true(cors_same_origin("http://a.example:80", "A.example"));
    assert_false(cors_same_origin("http://a.example", "a.example:8080"));
    assert_false(cors_same_origin("http://a.example", "b.example"));
    assert_false(cors_same_origin("null", "null"));
    assert_false(cors_same_origin("http://", ""));
}

// --- forwarded headers
// ------------------------------------------------------------------------------------------------

static void expect_client(const struct forwarded *forwarded, const char *peer, const char *chain,
                          const char *client) {
    char out[FORWARDED_ADDRESS_MAX];
    forwarded_client(forwarded, peer, chain, out, sizeof out);
    assert_string_equal(out, client);
}

static void test_forwarded(void **state) {
    (void)state;
    const char *const proxies[] = {"127.0.0.1", "2001:db8::1"}, *const networks[] = {"10.0.0.0/9", "fd00::/8",
                                                                                     "0.0.0.0/32"};
    struct forwarded *none, *some;
    assert_int_equal(forwarded_new(&none, NULL, 0, NULL, 0, NULL), 0);
    expect_client(none, "127.0.0.1", "203.0.113.7", "127.0.0.1");
    expect_client(none, "::ffff:192.0.2.1", "", "192.0.2.1");
    assert_int_equal(forwarded_new(&some, proxies, 2, networks, 3, NULL), 0);
    expect_client(some, "127.0.0.1", "", "127.0.0.1");
    expect_client(some, "127.0.0.1", "203.0.113.7", "203.0.113.7");
    expect_client(some, "::ffff:127.0.0.1", "203.0.113.7", "203.0.113.7");
    expect_client(some, "127.0.0.1", "6.6.6.6, 203.0.113.7 , 10.1.2.3", "203.0.113.7");
    expect_client(some, "127.0.0.1", "10.1.2.3,10.1.2.4", "10.1.2.3");
    expect_client(some, "127.0.0.1", "203.0.113.7:5000", "203.0.113.7");
    expect_client(some, "2001:db8::1", "[2001:DB8::7]:5000", "2001:db8::7");
    expect_client(some, "127.0.0.1", "2001:db8::7", "2001:db8::7");
    expect_client(some, "127.0.0.1", "::ffff:203.0.113.7", "203.0.113.7");
    expect_client(some, "127.0.0.1", "203.0.113.7, nonsense, 10.0.0.1", "10.0.0.1");
    expect_client(some, "203.0.113.9", "198.51.100.1", "203.0.113.9");
    assert_true(forwarded_trusted(some, "10.127.255.255"));
    assert_false(forwarded_trusted(some, "10.128.0.0"));
    assert_true(forwarded_trusted(some, "fdff::1"));
    assert_false(forwarded_trusted(some, "0.0.0.1"));
    forwarded_free(none);
    forwarded_free(some);
}

static void test_forwarded_entries_checked(void **state) {
    (void)state;
    const char *const bad[] = {"10.0.0.0/33", "::/129", "x", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8 "};
    struct forwarded *forwarded;
    struct err_text err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(forwarded_new(&forwarded, NULL, 0, &bad[i], 1, &err), -EINVAL);
        assert_non_null(strstr(err.text, bad[i]));
    }
    const char *const network = "10.0.0.0/8";
    assert_int_equal(forwarded_new(&forwarded, &network, 1, NULL, 0, &err), -EINVAL);
}

static void test_behind_a_proxy(void **state) {
    (void)state;
    const char *const proxy = "127.0.0.1";
    struct http_config config = config_of(&t.loop);
    config.known_proxies = &proxy;
    config.known_proxy_count = 1;
    start(&config);
    struct client client;
    struct response response;
    open_client(&client);
    client_request(&client, &response,
                   "GET /hello HTTP/1.1\r\n" HOST
                   "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.7\r\n"
                   "X-Forwarded-Proto: https\r\n\r\n");
    assert_int_equal(response.status, 202);
    assert_string_equal(t.address, "203.0.113.7");
    assert_true(t.secure);
    client_close(&client);
}

// --- WebSockets
// -------------------------------------------------------------------------------------------------------

static void open_ws(struct client *client) {
    open_client(client);
    assert_int_equal(client_upgrade(client, "/ws/1", ""), 101);
    expect_text(client, "welcome");
}

static void test_ws_echo(void **state) {
    (void)state;
    struct client client;
    char got[64];
    size_t len;
    open_ws(&client);
    client_say(&client, "hello");
    expect_text(&client, "hello");
    client_say(&client, "");
    expect_text(&client, "");
    client_frame(&client, true, FRAME_BINARY, "\0\1\2", 3);
    assert_int_equal(client_frame_read(&client, got, sizeof got, &len), FRAME_BINARY);
    assert_int_equal(len, 3);
    client_frame(&client, true, FRAME_PING, "p", 1);
    assert_int_equal(client_frame_read(&client, got, sizeof got, &len), FRAME_PONG);
    assert_string_equal(got, "p");
    assert_string_equal(t.path, "/ws/1");
    client_close(&client);
}

static void test_ws_fragments(void **state) {
    (void)state;
    struct client client;
    char got[8];
    size_t len;
    open_ws(&client);
    client_frame(&client, false, FRAME_TEXT, "one ", 4);
    client_frame(&client, false, FRAME_CONTINUATION, "two ", 4);
    client_frame(&client, true, FRAME_PING, "", 0);
    assert_int_equal(client_frame_read(&client, got, sizeof got, &len), FRAME_PONG);
    client_frame(&client, true, FRAME_CONTINUATION, "three", 5);
    expect_text(&client, "one two three");
    static char large[MAX_MESSAGE + 1];
    memset(large, 'a', MAX_MESSAGE);
    client_say(&client, large);
    expect_text(&client, large);
    client_say(&client, "after");
    expect_text(&client, "after");
    assert_int_equal(t.messages, 3);
    client_close(&client);
}

static void test_ws_too_large(void **state) {
    (void)state;
    struct client client;
    static char large[MAX_MESSAGE + 1];
    open_ws(&client);
    client_frame(&client, true, FRAME_BINARY, large, sizeof large);
    assert_int_equal(client_close_code(&client), 1009);
    client_frame(&client, true, FRAME_CLOSE, "\x03\xf1", 2);
    assert_true(reached(&client, &t.closes, 1));
    assert_true(t.clean);
    assert_int_equal(t.code, 1009);
    assert_int_equal(t.messages, 0);
    assert_true(client_wait_end(&client));
    client_close(&client);
}

static void test_ws_client_closes(void **state) {
    (void)state;
    struct client client;
    open_ws(&client);
    client_frame(&client, true, FRAME_CLOSE, "\x0f\xa0gone", 6);
    assert_int_equal(client_close_code(&client), 4000);
    assert_true(reached(&client, &t.closes, 1));
    assert_true(t.clean);
    assert_int_equal(t.code, 4000);
    assert_true(client_wait_end(&client));
    client_close(&client);
    open_ws(&client);
    client_frame(&client, true, FRAME_CLOSE, "", 0);
    assert_true(reached(&client, &t.closes, 2));
    assert_true(t.clean);
    assert_int_equal(t.code, 1005);
    client_close(&client);
}

static void test_ws_connection_drops(void **state) {
    (void)state;
    struct client client, other;
    open_client(&other);
    open_ws(&client);
    client_close(&client);
    assert_true(reached(&other, &t.closes, 1));
    assert_false(t.clean);
    assert_int_equal(t.code, 1006);
    open_ws(&client);
    struct linger reset = {.l_onoff = 1};
    setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    client_close(&client);
    assert_true(reached(&other, &t.closes, 2));
    assert_false(t.clean);
    client_close(&other);
}

static void test_ws_server_closes(void **state) {
    (void)state;
    struct client client;
    open_ws(&client);
    client_say(&client, "quit");
    expect_text(&client, "bye");
    assert_int_equal(client_close_code(&client), 4001);
    client_say(&client, "too late");
    client_frame(&client, true, FRAME_CLOSE, "\x0f\xa1", 2);
    assert_true(reached(&client, &t.closes, 1));
    assert_true(t.clean);
    assert_int_equal(t.code, 4001);
    assert_int_equal(t.messages, 1);
    assert_true(client_wait_end(&client));
    client_close(&client);
}

static void test_ws_bad_text(void **state) {
    (void)state;
    struct client client;
    open_ws(&client);
    client_frame(&client, true, FRAME_TEXT, "\xff\xfe", 2);
    assert_int_equal(client_close_code(&client), 1007);
    assert_true(reached(&client, &t.closes, 1));
    assert_int_equal(t.messages, 0);
    client_close(&client);
}

static void test_ws_queue_is_bounded(void **state) {
    (void)state;
    struct client client, other;
    static char piece[MAX_MESSAGE];
    open_client(&other);
    open_ws(&client);
    t.chatty = true;
    client_frame(&client, true, FRAME_BINARY, piece, sizeof piece);
    assert_true(reached(&other, &t.messages, 1));
    assert_int_equal(ws_send(t.ws, true, piece, 1), -ENOTCONN);
    assert_int_equal(client_close_code(&client), 1013);
    client_close(&client);
    assert_true(reached(&other, &t.closes, 1));
    client_close(&other);
}

static void test_ws_refused(void **state) {
    (void)state;
    struct client client;
    int64_t counted = metric_read(METRIC_SIGNALLING_REFUSED);
    const struct {
        const char *path, *more;
        unsigned status;
    } cases[] = {
        {"/ws/1?refuse", "", 401},
        {"/elsewhere", "", 404},
        {"/hello", "", 404},
        {"/ws/1", "Origin: https://evil.example\r\n", 403},
        {"/ws/1", "Origin: null\r\n", 403},
        {"/ws/1", "Sec-WebSocket-Protocol: chat\r\n", 400},
        {"/ws/1", "Content-Length: 3\r\n", 400},
        {"/ws/1", "Origin: https://shop.example\r\n", 101},
        {"/ws/1", "Origin: http://gateway.test\r\n", 101},
        {"/any", "Origin: https://evil.example\r\n", 101},
        {"/ws/1", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n", 101},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        open_client(&client);
        assert_int_equal(client_upgrade(&client, cases[i].path, cases[i].more), cases[i].status);
        if (cases[i].status != 101)
            assert_true(client_wait_end(&client));
        client_close(&client);
    }
    open_client(&client);
    assert_true(reached(&client, &t.closes, 4));
    client_close(&client);
    assert_int_equal(t.opened, 4);
    assert_int_equal(metric_read(METRIC_SIGNALLING_REFUSED) - counted, 2);
}

static void test_ws_bad_handshake(void **state) {
    (void)state;
    assert_int_equal(status_of("GET /ws/1 HTTP/1.1\r\n" HOST
                               "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
                     400);
    assert_int_equal(
        status_of("GET /ws/1 HTTP/1.1\r\n" HOST "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
        400);
    assert_int_equal(status_of("GET /ws/1 HTTP/1.1\r\n" HOST "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Version: 13\r\n\r\n"),
                     400);
    assert_int_equal(status_of("GET /hello HTTP/1.1\r\n" HOST
                               "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                               "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"),
                     404);
    assert_int_equal(t.accepted, 0);
}

// A keep-alive connection may become a WebSocket later.
static void test_ws_after_http(void **state) {
    (void)state;
    struct client client;
    struct response response;
    open_client(&client);
    client_request(&client, &response, "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc");
    assert_int_equal(response.status, 200);
    assert_int_equal(client_upgrade(&client, "/ws/1", ""), 101);
    expect_text(&client, "welcome");
    client_say(&client, "hello");
    expect_text(&client, "hello");
    client_close(&client);
}

static void test_ws_ping(void **state) {
    (void)state;
    struct http_config config = config_of(&t.loop);
    config.ws_ping_s = 1;
    start(&config);
    struct client client;
    char got[8];
    size_t len;
    open_ws(&client);
    assert_int_equal(client_frame_read(&client, got, sizeof got, &len), FRAME_PING);
    client_frame(&client, true, FRAME_PONG, "", 0);
    // Alive again, so another ping follows; and without an answer to that one, the end.
    assert_int_equal(client_frame_read(&client, got, sizeof got, &len), FRAME_PING);
    assert_int_equal(t.closes, 0);
    assert_true(reached(&client, &t.closes, 1));
    assert_false(t.clean);
    client_close(&client);
}

static void test_close_with_everything_open(void **state) {
    (void)state;
    struct client idle, half, waiting, streaming, socket;
    open_client(&idle);
    open_client(&half);
    open_client(&waiting);
    open_client(&streaming);
    open_ws(&socket);
    client_text(&half, "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nabc");
    client_text(&waiting, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    assert_true(reached(&waiting, &t.requests, 2));
    struct http_exchange *later = t.later;
    client_text(&streaming, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    uint64_t deadline = client_deadline();
    while (!strstr(streaming.data, "one") && uv_hrtime() < deadline)
        client_turn(&streaming);
    http_server_close(t.server, on_closed, &t.closed);
    assert_int_equal(client_close_code(&socket), 1001);
    while (!t.closed && uv_hrtime() < deadline)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_true(t.closed);
    assert_true(t.gone);
    assert_int_equal(t.closes, 1);
    assert_false(uv_loop_alive(&t.loop));
    http_reply_json(later, 200, "{}");
    http_stream_end(t.later);
    t.server = NULL;
    client_close(&idle);
    client_close(&half);
    client_close(&waiting);
    client_close(&streaming);
    client_close(&socket);
}

static void test_two_servers_on_one_loop(void **state) {
    (void)state;
    struct http_config config = config_of(&t.loop);
    struct http_server *second;
    struct err_text err;
    assert_int_equal(http_server_new(&second, &config, &err), 0);
    assert_int_not_equal(http_server_port(second), http_server_port(t.server));
    struct client client;
    struct response response;
    client_open(&client, &t.loop, http_server_port(second));
    client_request(&client, &response, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 202);
    client_close(&client);
    stop(second);
    open_client(&client);
    client_request(&client, &response, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 202);
    client_close(&client);
}

static void test_cannot_start(void **state) {
    (void)state;
    struct http_config config = config_of(&t.loop);
    struct http_server *second = NULL;
    struct err_text err;
    char taken[32];
    snprintf(taken, sizeof taken, "127.0.0.1:%u", http_server_port(t.server));
    const char *const bad[] = {
        "",        "8080",        ":8080", "localhost", "localhost:80", "127.0.0.1:", "127.0.0.1:65536",
        "[::1:80", "127.0.0.1:-1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        config.listen = bad[i];
        assert_int_equal(http_server_new(&second, &config, &err), -EINVAL);
    }
    config.listen = taken;
    assert_int_equal(http_server_new(&second, &config, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, taken));
    assert_non_null(strstr(err.text, "Gateway.HttpListen"));
    config.listen = "127.0.0.1:0";
    config.tls_certificate = config.tls_key = "/nonexistent/certificate.pem";
    assert_int_equal(http_server_new(&second, &config, &err), -EINVAL);
    assert_non_null(strstr(err.text, "Gateway.TlsCertificate"));
    assert_null(second);
}

// --- TLS
// --------------------------------------------------------------------------------------------------------------

// A key and a certificate for it, in files; written once.
static void write_certificate(char key_path[64], char certificate_path[64]) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"gateway.test", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    snprintf(key_path, 64, "/tmp/iqra-key-XXXXXX");
    snprintf(certificate_path, 64, "/tmp/iqra-certificate-XXXXXX");
    FILE *key_file = fdopen(mkstemp(key_path), "w"),
         *certificate_file = fdopen(mkstemp(certificate_path), "w");
    assert_true(PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL));
    assert_true(PEM_write_X509(certificate_file, certificate));
    fclose(key_file);
    fclose(certificate_file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

// Turns both sides until `wanted` is in what the server sent.
static bool tls_exchange(SSL *ssl, struct client *client, const char *request, const char *wanted) {
    static char got[8192];
    size_t len = 0, sent = 0;
    uint64_t deadline = client_deadline();
    memset(got, 0, sizeof got);
    while (!strstr(got, wanted) && uv_hrtime() < deadline) {
        uv_run(client->loop, UV_RUN_NOWAIT);
        if (!sent && SSL_write_ex(ssl, request, strlen(request), &sent) != 1)
            sent = 0;
        size_t n = 0;
        if (SSL_read_ex(ssl, got + len, sizeof got - 1 - len, &n) == 1)
            len += n;
    }
    return strstr(got, wanted) != NULL;
}

static void test_tls(void **state) {
    (void)state;
    char key[64], certificate[64];
    write_certificate(key, certificate);
    struct http_config config = config_of(&t.loop);
    config.tls_certificate = certificate;
    config.tls_key = key;
    start(&config);
    struct client client;
    open_client(&client);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, client.fd);
    SSL_set_connect_state(ssl);
    assert_true(tls_exchange(ssl, &client, "GET /hello HTTP/1.1\r\n" HOST "\r\n", "\r\n\r\nhello"));
    assert_true(t.secure);
    assert_true(SSL_version(ssl) >= TLS1_2_VERSION);
    // The second request of the connection, and an upgrade.
    assert_true(tls_exchange(ssl, &client, "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nbody",
                             "body"));
    assert_true(
        tls_exchange(ssl, &client,
                     "GET /ws/1 HTTP/1.1\r\n" HOST "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                     "welcome"));
    SSL_free(ssl);
    client_close(&client);
    open_client(&client);
    ssl = SSL_new(ctx);
    SSL_set_fd(ssl, client.fd);
    SSL_set_connect_state(ssl);
    // Two requests in one record: the second is not taken.
    unsigned before = t.requests;
    assert_true(tls_exchange(ssl, &client,
                             "GET /hello HTTP/1.1\r\n" HOST "\r\n"
                             "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nbodyand more",
                             "hello"));
    assert_true(client_wait_end(&client));
    assert_int_equal(t.requests, before + 1);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    client_close(&client);
    struct http_server *second;
    struct err_text err;
    config.tls_key = certificate;
    assert_int_equal(http_server_new(&second, &config, &err), -EINVAL);
    assert_non_null(strstr(err.text, "TlsKey"));
    unlink(key);
    unlink(certificate);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, setup_loop, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cors_rules),
        cmocka_unit_test(test_forwarded),
        cmocka_unit_test(test_forwarded_entries_checked),
        WITH_SERVER(test_keep_alive),
        WITH_SERVER(test_bodies),
        WITH_SERVER(test_head_and_options),
        WITH_SERVER(test_refusals),
        WITH_SERVER(test_too_large),
        WITH_SERVER(test_expect_continue),
        WITH_SERVER(test_malformed),
        WITH_SERVER(test_http_1_0),
        WITH_SERVER(test_pipelining),
        WITH_SERVER(test_pipelining_at_the_end),
        WITH_SERVER(test_client_leaves_before_the_answer),
        WITH_SERVER(test_answer_after_the_server_has_closed),
        WITH_SERVER(test_large_answer),
        WITH_SERVER(test_stream),
        WITH_SERVER(test_stream_client_leaves),
        WITH_SERVER(test_stream_client_does_not_read),
        WITH_SERVER(test_cors),
        WITH_SERVER(test_preflight),
        WITH_LOOP(test_behind_a_proxy),
        WITH_SERVER(test_ws_echo),
        WITH_SERVER(test_ws_fragments),
        WITH_SERVER(test_ws_too_large),
        WITH_SERVER(test_ws_client_closes),
        WITH_SERVER(test_ws_connection_drops),
        WITH_SERVER(test_ws_server_closes),
        WITH_SERVER(test_ws_bad_text),
        WITH_SERVER(test_ws_queue_is_bounded),
        WITH_SERVER(test_ws_refused),
        WITH_SERVER(test_ws_bad_handshake),
        WITH_SERVER(test_ws_after_http),
        WITH_LOOP(test_ws_ping),
        WITH_SERVER(test_close_with_everything_open),
        WITH_SERVER(test_two_servers_on_one_loop),
        WITH_SERVER(test_cannot_start),
        WITH_LOOP(test_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
