// SPDX-License-Identifier: Apache-2.0
// The platform's figures: its answers, and polling a platform that is a real server on the test's loop.
#include "middleware/usage.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/middleware/desk_fixture.h"

static struct {
    struct desk desk;
    struct usage_poll *poll;
    unsigned asked_current, asked_max, told;
    unsigned status; // of the platform; 0: it does not answer yet
    const char *current, *max;
    struct http_exchange *held[2];
    unsigned held_count;
    struct usage seen;
    bool closed;
} t;

static void answer(const struct http_request *request, const char *body) {
    char token[64];
    http_header(request->exchange, "authorization:", token, sizeof token);
    assert_string_equal(token, "Token TOKEN1");
    if (!t.status)
        t.held[t.held_count++] = request->exchange;
    else if (t.status == 200)
        http_reply_json(request->exchange, 200, body);
    else
        http_reply_message(request->exchange, t.status, "no");
}

static void on_current(const struct http_request *request, void *arg) {
    (void)arg;
    t.asked_current++;
    answer(request, t.current);
}

static void on_max(const struct http_request *request, void *arg) {
    (void)arg;
    t.asked_max++;
    answer(request, t.max);
}

static const struct http_route routes[] = {
    {"GET", "/api/v1/user/billing/usage", on_current, NULL},
    {"GET", "/api/v1/user/billing/featuresactivequantity", on_max, NULL},
};

static void on_usage(const struct usage *usage, void *arg) {
    assert_ptr_equal(arg, &t);
    t.told++;
    t.seen = *usage;
}

static const struct usage_pace hasty = {.poll_ms = 1, .trouble_ms = 1, .keep_ms = 60000};
static const struct usage_pace slow = {.poll_ms = 3600000, .trouble_ms = 1, .keep_ms = 60000};
static const struct usage_pace forgetful = {.poll_ms = 1, .trouble_ms = 1, .keep_ms = 0};

static int setup(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    t.status = 200;
    t.current = "{\"success\":true,\"data\":{\"currentUsage\":{\"Call_Concurrency\":3.0}}}";
    t.max = "{\"success\":true,\"data\":{\"Call_Concurrency\":\"10.00\"}}";
    desk_start(&t.desk, routes, 2);
    t.desk.conf = desk_conf("{\"VoiceAiPlatform\":{\"ApiSecretToken\":\"TOKEN1\",\"BaseUrl\":\"%sapi/v1\"}}",
                            t.desk.base);
    return 0;
}

static void start_poll(const struct usage_pace *pace) {
    const struct usage_events events = {.on_usage = on_usage, .arg = &t, .pace = pace};
    assert_int_equal(usage_new(&t.poll, &t.desk.loop, t.desk.conf, t.desk.client, &events), 0);
    assert_false(usage_latest(t.poll)->known);
}

static void on_poll_closed(void *arg) {
    assert_ptr_equal(arg, &t);
    t.closed = true;
}

static int teardown(void **state) {
    (void)state;
    usage_close(t.poll, on_poll_closed, &t);
    desk_close_client(&t.desk);
    desk_stop(&t.desk);
    assert_true(t.closed);
    assert_int_equal(metric_read(METRIC_PLATFORM_CALLS), 0);
    assert_int_equal(metric_read(METRIC_PLATFORM_CALLS_MAX), 0);
    return 0;
}

static void wait_told(unsigned wanted) {
    uint64_t deadline = client_deadline();
    while (t.told < wanted && uv_hrtime() < deadline)
        uv_run(&t.desk.loop, UV_RUN_ONCE);
    assert_true(t.told >= wanted);
}

static void test_known(void **state) {
    (void)state;
    start_poll(&slow);
    wait_told(1);
    assert_true(t.seen.known && !t.seen.stale);
    assert_true(t.seen.max == 10 && t.seen.current == 3);
    assert_true(t.seen.at_ms > 1600000000000);
    assert_int_equal(metric_read(METRIC_PLATFORM_CALLS), 3);
    assert_int_equal(metric_read(METRIC_PLATFORM_CALLS_MAX), 10);
    assert_int_equal(t.asked_current, 1);
    assert_int_equal(t.asked_max, 1);
    assert_true(usage_latest(t.poll)->known);
}

static void test_again_and_again(void **state) {
    (void)state;
    start_poll(&hasty);
    wait_told(3);
    t.current = "{\"data\":{\"CURRENTUSAGE\":{\"call_concurrency\":7}}}";
    unsigned told = t.told;
    wait_told(told + 2); // the first may have been asked before
    assert_true(t.seen.current == 7);
}

static void test_self_hosted(void **state) {
    (void)state;
    t.status = 404;
    start_poll(&slow);
    wait_told(1);
    assert_true(t.seen.known && !t.seen.stale);
    assert_true(isinf(t.seen.max) && t.seen.current == -1);
    assert_int_equal(metric_read(METRIC_PLATFORM_CALLS), -1);
    assert_int_equal(metric_read(METRIC_PLATFORM_CALLS_MAX), -1);
}

static void test_fixed_agent(void **state) {
    (void)state;
    conf_free(t.desk.conf);
    t.desk.conf = desk_conf("{\"VoiceAiPlatform\":{\"ApiSecretToken\":\"TOKEN1\",\"BaseUrl\":\"%sapi/v1\"},"
                            "\"Agent\":{\"Builtin\":\"echo\"}}",
                            t.desk.base);
    start_poll(&slow);
    wait_told(1);
    assert_true(t.seen.known && isinf(t.seen.max));
    assert_int_equal(t.asked_current + t.asked_max, 0);
}

static void test_trouble_keeps_the_last_figures(void **state) {
    (void)state;
    start_poll(&hasty);
    wait_told(1);
    t.status = 500;
    int64_t at_ms = t.seen.at_ms;
    uint64_t deadline = client_deadline();
    while (!t.seen.stale && uv_hrtime() < deadline)
        uv_run(&t.desk.loop, UV_RUN_ONCE);
    assert_true(t.seen.known && t.seen.stale);
    assert_true(t.seen.max == 10 && t.seen.current == 3 && t.seen.at_ms >= at_ms);
    t.status = 200;
    t.max = "{\"data\":{\"Call_Concurrency\":0}}";
    deadline = client_deadline();
    while (t.seen.max != 0 && uv_hrtime() < deadline)
        uv_run(&t.desk.loop, UV_RUN_ONCE);
    assert_true(t.seen.known && !t.seen.stale && t.seen.max == 0);
}

static void test_old_figures_are_forgotten(void **state) {
    (void)state;
    start_poll(&forgetful);
    wait_told(1);
    assert_true(t.seen.known);
    t.status = 503;
    uint64_t deadline = client_deadline();
    while (t.seen.known && uv_hrtime() < deadline)
        uv_run(&t.desk.loop, UV_RUN_ONCE);
    assert_false(t.seen.known);
    assert_false(t.seen.stale);
    assert_true(isinf(t.seen.max) && t.seen.current == -1);
}

// Half an answer is none.
static void test_one_of_two_fails(void **state) {
    (void)state;
    t.max = "<html>";
    start_poll(&slow);
    wait_told(1);
    assert_false(t.seen.known);
}

static void test_pokes_make_one_poll(void **state) {
    (void)state;
    start_poll(&slow);
    t.status = 0;
    uint64_t deadline = client_deadline();
    while (t.held_count < 2 && uv_hrtime() < deadline)
        uv_run(&t.desk.loop, UV_RUN_ONCE);
    assert_int_equal(t.held_count, 2);
    for (int i = 0; i < 100; i++)
        usage_poke(t.poll);
    t.status = 200;
    http_reply_json(t.held[0], 200, t.current);
    http_reply_json(t.held[1], 200, t.max);
    wait_told(2);
    assert_int_equal(t.asked_current, 2);
    assert_int_equal(t.asked_max, 2);
    usage_poke(t.poll);
    usage_poke(t.poll);
    wait_told(3);
    assert_int_equal(t.asked_current, 3);
}

static void test_closed_while_asked(void **state) {
    (void)state;
    start_poll(&slow);
    t.status = 0;
    uint64_t deadline = client_deadline();
    while (t.held_count < 2 && uv_hrtime() < deadline)
        uv_run(&t.desk.loop, UV_RUN_ONCE);
    http_reply_json(t.held[0], 200, t.current);
    http_reply_json(t.held[1], 200, t.max);
    // The teardown closes; nobody is told.
    assert_int_equal(t.told, 0);
}

static void expect(int (*parse)(const char *, size_t, double *, struct err_text *), const char *text, int rc,
                   double wanted) {
    double out = 42;
    struct err_text err = {""};
    if (parse(text, strlen(text), &out, &err) != rc)
        fail_msg("%s: %s", text, err.text);
    assert_true(rc ? out == 42 && err.text[0] : out == wanted);
}

static void test_answers(void **state) {
    (void)state;
    expect(usage_parse_max, "{\"success\":true,\"data\":{\"Call_Concurrency\":2.5}}", 0, 2.5);
    expect(usage_parse_max, "{\"success\":true,\"data\":{\"callConcurrency\":2}}", 0, INFINITY);
    expect(usage_parse_max, "{\"Success\":true,\"Data\":{\"call_concurrency\":\"12\"}}", 0, 12);
    expect(usage_parse_max, "{\"success\":true,\"data\":null}", 0, INFINITY);
    expect(usage_parse_max, "{\"success\":true,\"data\":[1]}", 0, INFINITY);
    expect(usage_parse_current, "{\"success\":true,\"data\":{\"currentUsage\":null}}", 0, -1);
    expect(usage_parse_current, "{\"success\":true,\"data\":{\"currentUsage\":{}}}", 0, -1);
    expect(usage_parse_current, "{\"data\":{\"currentUsage\":{\"Call_Concurrency\":0}}}", 0, 0);
    expect(usage_parse_current, "{\"data\":{\"Call_Concurrency\":4}}", 0, -1);
    expect(usage_parse_max, "{\"success\":false,\"message\":\"no\"}", -EREMOTEIO, 0);
    expect(usage_parse_max, "{\"success\":\"true\",\"data\":{}}", -EREMOTEIO, 0);
    expect(usage_parse_max, "[]", -EPROTO, 0);
    expect(usage_parse_max, "", -EPROTO, 0);
    static const char *const bad[] = {"-1",   "\"-1\"", "true",   "\"many\"", "\"1,5\"", "\"1.2.3\"",
                                      "\"\"", "{}",     "\".5\"", "\"0x10\"", "\"1e3\"", "[3]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"data\":{\"Call_Concurrency\":%s}}", bad[i]);
        expect(usage_parse_max, text, -EPROTO, 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        TEST(test_known),
        TEST(test_again_and_again),
        TEST(test_self_hosted),
        TEST(test_fixed_agent),
        TEST(test_trouble_keeps_the_last_figures),
        TEST(test_old_figures_are_forgotten),
        TEST(test_one_of_two_fails),
        TEST(test_pokes_make_one_poll),
        TEST(test_closed_while_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
