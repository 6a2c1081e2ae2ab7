// SPDX-License-Identifier: Apache-2.0
// The webhook behind the real HTTP server.
#include "middleware/webhook.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/middleware/desk_fixture.h"

#define TOKEN "0123456789abcdef-webhook"

static struct {
    struct desk desk;
    struct webhook *webhook;
    unsigned ended;
    char id[WEBHOOK_ID_MAX + 1];
    int answer; // what `done` is told
    bool later;
    void (*done)(int err, void *done_arg);
    void *done_arg;
} t;

static void on_ended(const char *session_id, void (*done)(int err, void *done_arg), void *done_arg,
                     void *arg) {
    assert_ptr_equal(arg, &t);
    t.ended++;
    snprintf(t.id, sizeof t.id, "%s", session_id);
    t.done = done;
    t.done_arg = done_arg;
    if (!t.later)
        done(t.answer, done_arg);
}

static int setup(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    const struct webhook_events events = {.on_ended = on_ended, .arg = &t};
    static struct http_route routes[WEBHOOK_ROUTES];
    struct conf *conf =
        desk_conf("{\"Security\":{\"WebhookApiToken\":\"%s\"},\"Agent\":{\"Builtin\":\"echo\"}}", TOKEN);
    assert_int_equal(webhook_new(&t.webhook, &t.desk.loop, conf, &events), 0);
    webhook_routes(t.webhook, routes);
    desk_start(&t.desk, routes, WEBHOOK_ROUTES);
    t.desk.conf = conf;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    desk_close_client(&t.desk);
    desk_stop(&t.desk);
    webhook_free(t.webhook);
    return 0;
}

static void request(struct client *client, const char *header, const char *body) {
    char text[4096];
    client_open(client, &t.desk.loop, http_server_port(t.desk.server));
    snprintf(text, sizeof text,
             "POST /api/webhook/session-ended HTTP/1.1\r\nHost: gateway.test\r\n%sContent-Type: "
             "application/json\r\nContent-Length: %zu\r\n\r\n%s",
             header, strlen(body), body);
    client_text(client, text);
}

static void post(const char *header, const char *body, struct response *response) {
    struct client client;
    request(&client, header, body);
    client_response(&client, response, false);
    client_close(&client);
}

static void expect(const char *header, const char *body, unsigned status, const char *answer) {
    struct response response;
    post(header, body, &response);
    assert_int_equal(response.status, status);
    assert_string_equal(response.body, answer);
}

#define GOOD "X-Api-Token: " TOKEN "\r\n"
#define INVALID "{\"message\":\"Invalid or missing ConversationSessionId.\"}"
#define UNKNOWN "{\"message\":\"No session found for ConversationSessionId.\"}"

static void test_ended(void **state) {
    (void)state;
    expect(GOOD, "{\"ConversationSessionId\":\"ses_abc\"}", 200, "");
    assert_string_equal(t.id, "ses_abc");
    expect("x-api-token: " TOKEN "\r\n", "{\"conversationsessionid\":\"ses_2\",\"more\":[1]}", 200, "");
    assert_string_equal(t.id, "ses_2");
    assert_int_equal(t.ended, 2);
    t.answer = -ENOENT;
    expect(GOOD, "{\"conversationSessionId\":\"ses_3\"}", 400, UNKNOWN);
    assert_int_equal(t.ended, 3);
}

static void test_redis_away(void **state) {
    (void)state;
    struct response response;
    t.answer = -ENOTCONN;
    post(GOOD, "{\"ConversationSessionId\":\"ses_abc\"}", &response);
    assert_int_equal(response.status, 503);
    expect_field(&response, "Retry-After", "5");
    assert_int_equal(response.body_len, 0);
}

static void test_answered_later(void **state) {
    (void)state;
    struct client client;
    struct response response;
    t.later = true;
    request(&client, GOOD, "{\"ConversationSessionId\":\"ses_abc\"}");
    uint64_t deadline = client_deadline();
    while (!t.ended && uv_hrtime() < deadline)
        client_turn(&client);
    assert_int_equal(t.ended, 1);
    t.done(0, t.done_arg);
    client_response(&client, &response, false);
    assert_int_equal(response.status, 200);
    client_close(&client);
    // One that has left meanwhile.
    request(&client, GOOD, "{\"ConversationSessionId\":\"ses_abc\"}");
    while (t.ended < 2 && uv_hrtime() < deadline)
        client_turn(&client);
    client_close(&client);
    t.done(-ENOENT, t.done_arg);
}

#define EIGHT(c) c c c c c c c c
#define DEEP "{\"x\":" EIGHT("[[[[[") EIGHT("]]]]]") ",\"ConversationSessionId\":\"a\"}"

static void test_bad_bodies(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "{}",
                                      "[]",
                                      "x",
                                      "null",
                                      "\"ses_abc\"",
                                      "{\"ConversationSessionId\":null}",
                                      "{\"ConversationSessionId\":\"\"}",
                                      "{\"ConversationSessionId\":7}",
                                      "{\"ConversationSessionId\":[\"ses_abc\"]}",
                                      "{\"ConversationSessionId\":\"a b\"}",
                                      "{\"ConversationSessionId\":\"a\\nb\"}",
                                      "{\"ConversationSessionId\":\"\\u00e9\"}",
                                      "{\"ConversationSessionId\":\"a\",\"ConversationSessionId\":\"b\"}",
                                      "{\"ConversationSessionId\":\"a\",\"conversationSessionId\":\"a\"}",
                                      "{\"ConversationSessionId\":\"a\"} x",
                                      DEEP};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect(GOOD, bad[i], 400, INVALID);
    char longest[512], id[300];
    memset(id, 'a', WEBHOOK_ID_MAX + 1);
    id[WEBHOOK_ID_MAX + 1] = '\0';
    snprintf(longest, sizeof longest, "{\"ConversationSessionId\":\"%s\"}", id);
    expect(GOOD, longest, 400, INVALID);
    assert_int_equal(t.ended, 0);
    snprintf(longest, sizeof longest, "{\"ConversationSessionId\":\"%s\"}", id + 1);
    expect(GOOD, longest, 200, "");
    assert_string_equal(t.id, id + 1);
}

static void test_wrong_tokens(void **state) {
    (void)state;
    static const char body[] = "{\"ConversationSessionId\":\"ses_abc\"}";
    static const char *const wrong[] = {"",
                                        "X-Api-Token: \r\n",
                                        "X-Api-Token: " TOKEN "x\r\n",
                                        "X-Api-Token: 0123456789abcdef-webhoo\r\n",
                                        "X-Api-Token: 0123456789ABCDEF-webhook\r\n",
                                        "Authorization: Bearer " TOKEN "\r\n"};
    int64_t before = metric_read(METRIC_WEBHOOK_UNAUTHORIZED);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect(wrong[i], body, 401, "");
    assert_int_equal(metric_read(METRIC_WEBHOOK_UNAUTHORIZED) - before, sizeof wrong / sizeof *wrong);
    assert_int_equal(t.ended, 0);
}

static void test_many_wrong_tokens(void **state) {
    (void)state;
    static const char body[] = "{\"ConversationSessionId\":\"ses_abc\"}";
    struct response response;
    for (int i = 0; i < 10; i++)
        expect("X-Api-Token: wrong\r\n", body, 401, "");
    post("X-Api-Token: wrong\r\n", body, &response);
    assert_int_equal(response.status, 429);
    expect_field(&response, "Retry-After", "60");
    expect(GOOD, body, 200, ""); // the platform may sit behind the same address
    assert_int_equal(t.ended, 1);
}

static void test_not_configured(void **state) {
    (void)state;
    struct conf *empty = desk_conf("{\"Agent\":{\"Builtin\":\"echo\"}}");
    webhook_set_conf(t.webhook, empty);
    conf_free(t.desk.conf);
    t.desk.conf = empty;
    expect("X-Api-Token: \r\n", "{\"ConversationSessionId\":\"ses_abc\"}", 401, "");
    expect("", "{\"ConversationSessionId\":\"ses_abc\"}", 401, "");
    expect(GOOD, "{\"ConversationSessionId\":\"ses_abc\"}", 401, "");
    assert_int_equal(t.ended, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_ended),          TEST(test_redis_away),   TEST(test_answered_later),
        TEST(test_bad_bodies),     TEST(test_wrong_tokens), TEST(test_many_wrong_tokens),
        TEST(test_not_configured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
