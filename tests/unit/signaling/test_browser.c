// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/metrics.h"
#include "signaling/browser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/signaling/http_client.h"

static struct {
    uv_loop_t loop;
    struct http_server *server;
    struct auth *auth;
    struct browser *browser;
    struct ws_route route;
    bool closed;
    unsigned refuse; // on_attach answers this
    unsigned attached, opened, messages, detached;
    char session_id[64], client_id[64], sdp[256], candidate[256];
    struct ws *socket;
    bool clean;
    unsigned code;
} t;

static unsigned on_attach(const char *session_id, const char *client_id, struct ws *socket, void **session,
                          void *arg) {
    (void)arg;
    t.attached++;
    snprintf(t.session_id, sizeof t.session_id, "%s", session_id);
    snprintf(t.client_id, sizeof t.client_id, "%s", client_id);
    t.socket = socket;
    *session = &t;
    return t.refuse;
}

static void on_open(void *session, struct ws *socket, void *arg) {
    (void)arg;
    assert_ptr_equal(session, &t);
    assert_ptr_equal(socket, t.socket);
    t.opened++;
    assert_int_equal(browser_send_session(socket, "ses_1", "ws://x/ws", "{}"), -EINVAL);
    assert_int_equal(browser_send_session(socket, "ses_1", "ws://x/ws", "[{\"urls\":\"stun:x\"}]"), 0);
}

static void on_message(void *session, const struct browser_msg *msg, void *arg) {
    (void)session;
    (void)arg;
    t.messages++;
    if (msg->type == BROWSER_OFFER)
        snprintf(t.sdp, sizeof t.sdp, "%s", msg->sdp);
    if (msg->type == BROWSER_CANDIDATE)
        snprintf(t.candidate, sizeof t.candidate, "%s", msg->candidate ? msg->candidate : "end");
}

static void on_detach(void *session, bool clean, unsigned code, void *arg) {
    (void)session;
    (void)arg;
    t.detached++;
    t.clean = clean;
    t.code = code;
}

static int setup(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    const struct browser_events events = {
        .on_attach = on_attach, .on_open = on_open, .on_message = on_message, .on_detach = on_detach};
    struct err_text err;
    uv_loop_init(&t.loop);
    assert_int_equal(auth_new(&t.auth, ""), 0);
    assert_int_equal(browser_new(&t.browser, t.auth, &events), 0);
    browser_route(t.browser, &t.route);
    const struct http_config config = {.loop = &t.loop,
                                       .listen = "127.0.0.1:0",
                                       .max_body = 1024,
                                       .ws_routes = &t.route,
                                       .ws_route_count = 1};
    return http_server_new(&t.server, &config, &err);
}

static void on_closed(void *arg) {
    (void)arg;
    t.closed = true;
}

static int teardown(void **state) {
    (void)state;
    uint64_t deadline = client_deadline();
    http_server_close(t.server, on_closed, NULL);
    while (!t.closed && uv_hrtime() < deadline)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_true(t.closed);
    assert_int_equal(t.detached, t.refuse ? 0 : t.attached);
    browser_free(t.browser);
    auth_free(t.auth);
    return uv_loop_close(&t.loop);
}

static void path_of(const char *session_id, const char *client_id, int64_t now_unix, char path[2048]) {
    char token[AUTH_TOKEN_MAX + 1];
    assert_int_equal(auth_mint(t.auth, session_id, client_id, now_unix, token, sizeof token), 0);
    snprintf(path, 2048, "/ws/session/%s/webrtc/%s/%s", session_id, client_id, token);
}

static unsigned upgrade(struct client *client, const char *path) {
    client_open(client, &t.loop, http_server_port(t.server));
    return client_upgrade(client, path, "");
}

static void connect_good(struct client *client) {
    char path[2048];
    path_of("ses_1", "client 1", (int64_t)time(NULL), path);
    char *blank = strchr(path, ' ');
    memmove(blank + 3, blank + 1, strlen(blank + 1) + 1);
    memcpy(blank, "%20", 3);
    assert_int_equal(upgrade(client, path), 101);
    expect_text(client, "{\"type\":\"session\",\"sessionId\":\"ses_1\",\"resumeUrl\":\"ws://x/ws\","
                        "\"iceServers\":[{\"urls\":\"stun:x\"}]}");
}

static bool reached(struct client *client, const unsigned *count, unsigned wanted) {
    uint64_t deadline = client_deadline();
    while (*count < wanted && uv_hrtime() < deadline)
        client_turn(client);
    return *count >= wanted;
}

static void test_conversation(void **state) {
    (void)state;
    struct client client;
    connect_good(&client);
    assert_string_equal(t.session_id, "ses_1");
    assert_string_equal(t.client_id, "client 1");
    client_say(&client, "{\"type\":\"offer\",\"sdp\":\"v=0\\r\\n\"}");
    client_say(&client,
               "{\"type\":\"candidate\",\"candidate\":{\"candidate\":\"candidate:1\",\"sdpMid\":\"0\"}}");
    assert_true(reached(&client, &t.messages, 2));
    assert_string_equal(t.sdp, "v=0\r\n");
    assert_string_equal(t.candidate, "candidate:1");
    client_say(&client, "{\"type\":\"candidate\",\"candidate\":null}");
    assert_true(reached(&client, &t.messages, 3));
    assert_string_equal(t.candidate, "end");
    assert_int_equal(browser_send_answer(t.socket, "v=0\r\na=\"x\""), 0);
    expect_text(&client, "{\"type\":\"answer\",\"sdp\":\"v=0\\r\\na=\\\"x\\\"\"}");
    assert_int_equal(browser_send_candidate(t.socket, "candidate:2", "0", 1, "abcd"), 0);
    expect_text(&client,
                "{\"type\":\"candidate\",\"candidate\":{\"candidate\":\"candidate:2\",\"sdpMid\":\"0\","
                "\"sdpMLineIndex\":1,\"usernameFragment\":\"abcd\"}}");
    assert_int_equal(browser_send_candidate(t.socket, "candidate:3", NULL, -1, NULL), 0);
    expect_text(&client,
                "{\"type\":\"candidate\",\"candidate\":{\"candidate\":\"candidate:3\",\"sdpMid\":null,"
                "\"sdpMLineIndex\":null,\"usernameFragment\":null}}");
    assert_int_equal(browser_send_candidate(t.socket, NULL, NULL, -1, NULL), 0);
    expect_text(&client, "{\"type\":\"candidate\",\"candidate\":null}");
    client_frame(&client, true, FRAME_CLOSE, "\x03\xe8", 2);
    assert_true(reached(&client, &t.detached, 1));
    assert_true(t.clean);
    assert_int_equal(t.code, 1000);
    client_close(&client);
}

static void test_network_drops(void **state) {
    (void)state;
    struct client client, other;
    client_open(&other, &t.loop, http_server_port(t.server));
    connect_good(&client);
    client_close(&client);
    assert_true(reached(&other, &t.detached, 1));
    assert_false(t.clean);
    assert_int_equal(t.code, 1006);
    client_close(&other);
}

static void test_tokens(void **state) {
    (void)state;
    struct client client;
    char path[2048], other[2048];
    int64_t now = (int64_t)time(NULL), counted = metric_read(METRIC_SIGNALLING_REFUSED);
    path_of("ses_1", "c", now, path);
    assert_int_equal(upgrade(&client, path), 101);
    client_close(&client);
    assert_int_equal(upgrade(&client, path), 401); // reused
    client_close(&client);
    path_of("ses_1", "c", now - AUTH_TOKEN_SECONDS - 5, path);
    assert_int_equal(upgrade(&client, path), 401); // expired
    client_close(&client);
    path_of("ses_1", "c", now, path);
    snprintf(other, sizeof other, "/ws/session/ses_2/webrtc/c/%s", strrchr(path, '/') + 1);
    assert_int_equal(upgrade(&client, other), 401); // another session's
    client_close(&client);
    snprintf(other, sizeof other, "/ws/session/ses_1/webrtc/d/%s", strrchr(path, '/') + 1);
    assert_int_equal(upgrade(&client, other), 401); // another client's
    client_close(&client);
    assert_int_equal(upgrade(&client, "/ws/session/ses_1/webrtc/c/forged"), 401);
    client_close(&client);
    assert_int_equal(upgrade(&client, "/ws/session/ses_1/webrtc/c/"), 401);
    client_close(&client);
    assert_int_equal(metric_read(METRIC_SIGNALLING_REFUSED) - counted, 6);
    assert_int_equal(t.attached, 1);
}

static void test_paths(void **state) {
    (void)state;
    static char longest[1000];
    memset(longest, 'x', 400);
    char path[2048];
    snprintf(path, sizeof path, "/ws/session/%s/webrtc/c/token", longest);
    const char *const bad[] = {"/ws/session/",
                               "/ws/session/a",
                               "/ws/session/a/webrtc",
                               "/ws/session/a/webrtc/b",
                               "/ws/session/a/audio/b/c",
                               "/ws/session/a/webrtc/b/c/d",
                               path};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct client client;
        assert_int_equal(upgrade(&client, bad[i]), 404);
        client_close(&client);
    }
    assert_int_equal(t.attached, 0);
}

static void test_attach_refused(void **state) {
    (void)state;
    const unsigned statuses[] = {404, 409, 503};
    for (size_t i = 0; i < 3; i++) {
        struct client client;
        char path[2048];
        path_of("ses_1", "c", (int64_t)time(NULL), path);
        t.refuse = statuses[i];
        assert_int_equal(upgrade(&client, path), statuses[i]);
        client_close(&client);
    }
    assert_int_equal(t.opened, 0);
}

static void test_bad_candidate_is_ignored(void **state) {
    (void)state;
    struct client client;
    connect_good(&client);
    client_say(&client, "{\"type\":\"candidate\",\"candidate\":{\"candidate\":7}}");
    client_say(&client, "{\"type\":\"hangup\"}");
    assert_true(reached(&client, &t.messages, 1));
    client_close(&client);
}

static void fatal(int opcode, const char *text, const char *answer) {
    struct client client;
    connect_good(&client);
    unsigned messages = t.messages;
    client_frame(&client, true, opcode, text, strlen(text));
    client_say(&client, "{\"type\":\"hangup\"}");
    expect_text(&client, answer);
    assert_int_equal(client_close_code(&client), BROWSER_CLOSE_BAD_MESSAGE);
    assert_int_equal(t.messages, messages);
    client_close(&client);
}

static void test_bad_messages(void **state) {
    (void)state;
    fatal(FRAME_TEXT, "{\"type\":\"answer\"}",
          "{\"type\":\"error\",\"code\":\"bad_message\","
          "\"message\":\"type: \\\"answer\\\" is not offer, candidate or hangup\"}");
    fatal(FRAME_TEXT, "{\"type\":\"offer\"}",
          "{\"type\":\"error\",\"code\":\"bad_message\",\"message\":\"sdp: a string is needed\"}");
    fatal(FRAME_BINARY, "{\"type\":\"hangup\"}",
          "{\"type\":\"error\",\"code\":\"bad_message\",\"message\":\"a message is text\"}");
}

// The quotation in the error ends inside the last character.
static void test_half_a_character_is_quoted(void **state) {
    (void)state;
    fatal(
        FRAME_TEXT, "{\"type\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\u00e9\"}",
        "{\"type\":\"error\",\"code\":\"bad_message\","
        "\"message\":\"type: \\\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?\\\" is not offer, candidate or hangup\"}");
}

static void test_a_long_message_is_told_so(void **state) {
    (void)state;
    enum { LEN = 70000 };
    char *text = malloc(LEN + 1);
    assert_non_null(text);
    memset(text, ' ', LEN);
    text[LEN] = '\0';
    fatal(FRAME_TEXT, text,
          "{\"type\":\"error\",\"code\":\"bad_message\",\"message\":\"longer than 65536 bytes\"}");
    free(text);
}

// The call must not wait for a browser to come back that was sent away.
static void test_a_drop_after_an_error_is_no_drop(void **state) {
    (void)state;
    struct client client;
    connect_good(&client);
    client_say(&client, "{}");
    expect_text(&client,
                "{\"type\":\"error\",\"code\":\"bad_message\",\"message\":\"type: a string is needed\"}");
    client_close(&client);
    uint64_t deadline = client_deadline();
    while (!t.detached && uv_hrtime() < deadline)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_true(t.clean);
}

static void test_errors_of_the_call(void **state) {
    (void)state;
    struct client client;
    connect_good(&client);
    assert_int_equal(browser_send_error(t.socket, "bad_sdp", "cut \xc3"), 0);
    expect_text(&client, "{\"type\":\"error\",\"code\":\"bad_sdp\",\"message\":\"cut ?\"}");
    browser_fail(t.socket, 4500, NULL, NULL);
    expect_text(&client, "{\"type\":\"error\",\"code\":\"internal\",\"message\":\"\"}");
    assert_int_equal(client_close_code(&client), 4500);
    client_close(&client);
}

static void test_too_many_messages(void **state) {
    (void)state;
    struct client client;
    connect_good(&client);
    for (int i = 0; i < 1000; i++)
        client_say(&client, "{\"type\":\"candidate\",\"candidate\":null}");
    expect_text(&client,
                "{\"type\":\"error\",\"code\":\"too_many_messages\",\"message\":\"Too many messages.\"}");
    assert_int_equal(client_close_code(&client), BROWSER_CLOSE_TOO_MANY);
    assert_true(t.messages >= 200 && t.messages < 1000);
    client_close(&client);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_conversation),
        WITH_SERVER(test_network_drops),
        WITH_SERVER(test_tokens),
        WITH_SERVER(test_paths),
        WITH_SERVER(test_attach_refused),
        WITH_SERVER(test_bad_candidate_is_ignored),
        WITH_SERVER(test_half_a_character_is_quoted),
        WITH_SERVER(test_a_long_message_is_told_so),
        WITH_SERVER(test_a_drop_after_an_error_is_no_drop),
        WITH_SERVER(test_errors_of_the_call),
        WITH_SERVER(test_bad_messages),
        WITH_SERVER(test_too_many_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
