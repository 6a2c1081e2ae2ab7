// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/signaling/http_fixture.h"

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
static bool gone_in_time(struct client *other) {
    uint64_t deadline = client_deadline();
    while (!t.gone && uv_hrtime() < deadline)
        client_turn(other);
    return t.gone;
}

static void test_client_of_a_held_exchange_leaves(void **state) {
    (void)state;
    struct client client, other;
    struct response response;
    open_client(&client);
    open_client(&other);
    client_text(&client, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    assert_true(reached(&client, &t.requests, 1));
    http_hold(t.later, on_stream_gone, NULL);
    client_request(&other, &response, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(response.status, 202);
    assert_false(t.gone);
    client_close(&client);
    assert_true(gone_in_time(&other));
    http_reply_message(t.later, 200, "too late");
    client_close(&other);
}

static void test_held_exchange_is_answered(void **state) {
    (void)state;
    struct client client;
    struct response response;
    open_client(&client);
    client_text(&client, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    assert_true(reached(&client, &t.requests, 1));
    http_hold(t.later, on_stream_gone, NULL);
    http_reply(t.later, 200, "text/plain", "now", 3, NULL, 0);
    client_response(&client, &response, false);
    assert_string_equal(response.body, "now");
    client_close(&client);
    uv_run(&t.loop, UV_RUN_NOWAIT);
    assert_false(t.gone);
}

static void test_client_of_a_silent_stream_leaves(void **state) {
    (void)state;
    struct client client, other;
    open_client(&client);
    open_client(&other);
    client_text(&client, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    uint64_t deadline = client_deadline();
    while (!strstr(client.data, "one") && uv_hrtime() < deadline)
        client_turn(&client);
    client_close(&client);
    assert_true(gone_in_time(&other));
    http_stream_end(t.later);
    client_close(&other);
}

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

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_client_leaves_before_the_answer),
        WITH_SERVER(test_answer_after_the_server_has_closed),
        WITH_SERVER(test_large_answer),
        WITH_SERVER(test_stream),
        WITH_SERVER(test_stream_client_leaves),
        WITH_SERVER(test_client_of_a_held_exchange_leaves),
        WITH_SERVER(test_held_exchange_is_answered),
        WITH_SERVER(test_client_of_a_silent_stream_leaves),
        WITH_SERVER(test_stream_client_does_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
