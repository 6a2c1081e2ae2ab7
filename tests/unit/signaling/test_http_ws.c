// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/signaling/http_fixture.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
