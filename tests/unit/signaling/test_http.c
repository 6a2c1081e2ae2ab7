// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/signaling/http_fixture.h"

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
    expect_field(&response, "Access-Control-Allow-Methods", "POST, OPTIONS");
    expect_field(&response, "Access-Control-Allow-Headers", "content-type,x-custom");
    expect_field(&response, "Access-Control-Max-Age", "600");
    // A method that is not there is not promised.
    client_request(&client, &response,
                   "OPTIONS /hello HTTP/1.1\r\n" HOST "Origin: https://shop.example\r\n"
                   "Access-Control-Request-Method: PUT\r\n\r\n");
    assert_int_equal(response.status, 204);
    expect_field(&response, "Access-Control-Allow-Methods", "GET, HEAD, DELETE, OPTIONS");
    expect_field(&response, "Access-Control-Allow-Headers", NULL);
    client_request(&client, &response,
                   "OPTIONS /api/echo HTTP/1.1\r\n" HOST "Origin: https://evil.example\r\n"
                   "Access-Control-Request-Method: POST\r\n\r\n");
    assert_int_equal(response.status, 204);
    expect_field(&response, "Access-Control-Allow-Origin", NULL);
    expect_field(&response, "Access-Control-Allow-Methods", NULL);
    assert_int_equal(t.requests, 0);
    client_close(&client);
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

// A proxy sees a body where the library sees a strange header's name: it must not become a request.
static void test_no_request_is_smuggled(void **state) {
    (void)state;
    const char *const proxy = "127.0.0.1";
    struct http_config config = config_of(&t.loop);
    config.known_proxies = &proxy;
    config.known_proxy_count = 1;
    start(&config);
    struct client client;
    struct response response;
    open_client(&client);
    client_text(&client, "GET /hello HTTP/1.1\r\n" HOST "Ac: x\r\nContent-Length: 37\r\n\r\n"
                         "DELETE /hello HTTP/1.1\r\n" HOST "\r\n");
    client_response(&client, &response, false);
    assert_int_equal(response.status, 202);
    expect_field(&response, "Connection", "close");
    assert_true(client_wait_end(&client));
    assert_int_equal(t.requests, 1);
    client_close(&client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
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
        WITH_SERVER(test_cors),
        WITH_SERVER(test_preflight),
        WITH_LOOP(test_behind_a_proxy),
        WITH_LOOP(test_no_request_is_smuggled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
