// SPDX-License-Identifier: Apache-2.0
// The agent client against a server of ours that says what each test wants to hear.
#include "gateway/agent.h"
#include "gateway/core/err.h"
#include "gateway/core/metrics.h"
#include "signaling/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct talk {
    uv_loop_t loop;
    uv_timer_t guard;
    struct http_server *server;
    struct ws_route route;
    struct agent *agent;
    void (*server_says)(struct ws *ws);       // once it is open
    void (*client_does)(struct talk *talk);   // once it is open
    void (*client_begins)(struct talk *talk); // before it is open
    unsigned refuse;                          // HTTP status instead of an upgrade
    // at the server
    size_t text_len, audio_len, messages;
    char first_texts[64]; // in a row
    char auth[64];
    unsigned close_code;
    // at the client
    char *text;
    size_t heard_text_len, heard_texts, heard_audio;
    char digits[AGENT_DTMF_MAX + 1];
    unsigned digits_heard;
    bool no_dtmf; // the far side takes none
    bool opened, ended, was_open;
    unsigned code;
    char reason[128];
};

static void on_guard(uv_timer_t *timer) {
    (void)timer;
    fail_msg("the conversation hangs");
}

static unsigned on_accept(struct ws *ws, const struct http_request *request, void **user, void *arg) {
    struct talk *talk = arg;
    (void)ws;
    http_header(request->exchange, "authorization:", talk->auth, sizeof talk->auth);
    *user = talk;
    return talk->refuse;
}

static void on_server_open(struct ws *ws, void *user, void *arg) {
    struct talk *talk = user;
    (void)arg;
    if (talk->server_says)
        talk->server_says(ws);
}

static void on_server_message(struct ws *ws, bool binary, const uint8_t *data, size_t len, void *user) {
    struct talk *talk = user;
    if (!binary && talk->text_len + len < sizeof talk->first_texts)
        memcpy(talk->first_texts + talk->text_len, data, len);
    *(binary ? &talk->audio_len : &talk->text_len) += len;
    if (++talk->messages == 2)
        ws_close(ws, 1000, "heard both");
}

static void on_server_gone(void *arg) {
    struct talk *talk = arg;
    uv_close((uv_handle_t *)&talk->guard, NULL);
}

static void on_server_close(struct ws *ws, bool clean, unsigned code, void *user) {
    struct talk *talk = user;
    (void)ws;
    talk->close_code = clean ? code : 1006;
}

static void on_open(void *arg) {
    struct talk *talk = arg;
    talk->opened = true;
    if (talk->client_does)
        talk->client_does(talk);
}

static void on_audio(const uint8_t *data, size_t len, bool message_end, void *arg) {
    struct talk *talk = arg;
    (void)data;
    (void)message_end;
    talk->heard_audio += len;
}

static void on_text(const char *text, size_t len, void *arg) {
    struct talk *talk = arg;
    free(talk->text);
    talk->text = malloc(len + 1);
    memcpy(talk->text, text, len);
    talk->text[len] = '\0';
    talk->heard_text_len = len;
    talk->heard_texts++;
    if (strcmp(talk->text, "bye") == 0)
        agent_close(talk->agent, 1000, "bye");
}

static bool on_dtmf(const char *digits, void *arg) {
    struct talk *talk = arg;
    if (talk->no_dtmf)
        return false;
    talk->digits_heard++;
    snprintf(talk->digits, sizeof talk->digits, "%s", digits);
    return true;
}

static void on_end(bool was_open, unsigned code, const char *reason, void *arg) {
    struct talk *talk = arg;
    assert_false(talk->ended);
    talk->ended = true;
    talk->was_open = was_open;
    talk->code = code;
    snprintf(talk->reason, sizeof talk->reason, "%s", reason);
    agent_close(talk->agent, 1000, NULL);
}

static void on_closed(void *arg) {
    struct talk *talk = arg;
    http_server_close(talk->server, on_server_gone, talk);
}

static void talk_run(struct talk *talk) {
    static const struct ws_ops ops = {.on_message = on_server_message, .on_close = on_server_close};
    static const struct wsc_header header = {"Authorization", "Bearer key"};
    struct err_text err = {""};
    char url[64];
    assert_int_equal(uv_loop_init(&talk->loop), 0);
    uv_timer_init(&talk->loop, &talk->guard);
    uv_timer_start(&talk->guard, on_guard, 20000, 0);
    talk->route = (struct ws_route){.path = "/a",
                                    .max_message = 1 << 20,
                                    .max_queue = 1 << 20,
                                    .any_origin = true,
                                    .ops = &ops,
                                    .on_accept = on_accept,
                                    .on_open = on_server_open,
                                    .arg = talk};
    const struct http_config config = {.loop = &talk->loop,
                                       .listen = "127.0.0.1:0",
                                       .tls_certificate = "",
                                       .tls_key = "",
                                       .max_body = 1024,
                                       .ws_routes = &talk->route,
                                       .ws_route_count = 1};
    assert_int_equal(http_server_new(&talk->server, &config, &err), 0);
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/a", http_server_port(talk->server));
    const struct agent_config agent = {.loop = &talk->loop,
                                       .url = url,
                                       .headers = &header,
                                       .header_count = 1,
                                       .connect_timeout_ms = 10000,
                                       .call_id = "test",
                                       .dialect = "iqra",
                                       .format = {CONF_PCM, 16000, 20}};
    const struct agent_events events = {.on_open = on_open,
                                        .on_audio = on_audio,
                                        .on_text = on_text,
                                        .on_dtmf = on_dtmf,
                                        .on_end = on_end,
                                        .on_closed = on_closed,
                                        .arg = talk};
    assert_int_equal(agent_connect(&talk->agent, &agent, &events), 0);
    if (talk->client_begins)
        talk->client_begins(talk);
    uv_run(&talk->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&talk->loop), 0);
    free(talk->text);
}

// ---- what each test says

static void say_both(struct ws *ws) {
    uint8_t audio[3001] = {0};
    ws_send(ws, true, audio, sizeof audio);
    ws_send(ws, false, "\xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd8\xa7", 10);
    ws_send(ws, false, "", 0);
    ws_send(ws, false, "bye", 3);
    ws_send(ws, true, audio, sizeof audio);
}

static void test_audio_and_text_come(void **state) {
    (void)state;
    int64_t before = metric_read(METRIC_AGENT_CONNECTED), frames = metric_read(METRIC_AGENT_FRAMES_IN);
    struct talk talk = {.server_says = say_both};
    talk_run(&talk);
    assert_int_equal(talk.heard_audio, 3001); // nothing after our close
    assert_int_equal(talk.heard_texts, 3);
    assert_false(talk.ended);
    assert_int_equal(talk.close_code, 1000);
    assert_string_equal(talk.auth, "Bearer key");
    assert_int_equal(metric_read(METRIC_AGENT_CONNECTED), before + 1);
    assert_int_equal(metric_read(METRIC_AGENT_FRAMES_IN), frames + 1);
}

static void send_both(struct talk *talk) {
    static uint8_t frame[640];
    static char text[64 * 1024 + 1];
    memset(text, 'a', sizeof text);
    assert_int_equal(agent_send_audio(talk->agent, frame, sizeof frame), 0);
    assert_int_equal(agent_send_text(talk->agent, text, sizeof text), -EMSGSIZE);
    assert_int_equal(agent_send_text(talk->agent, text, sizeof text - 1), 0);
}

static void test_audio_and_text_go(void **state) {
    (void)state;
    int64_t before = metric_read(METRIC_AGENT_FRAMES_OUT);
    struct talk talk = {.client_does = send_both};
    talk_run(&talk);
    assert_int_equal(talk.audio_len, 640);
    assert_int_equal(talk.text_len, 64 * 1024);
    assert_true(talk.ended && talk.was_open);
    assert_int_equal(talk.code, 1000);
    assert_string_equal(talk.reason, "heard both");
    assert_int_equal(metric_read(METRIC_AGENT_FRAMES_OUT), before + 1);
}

static void send_early(struct talk *talk) {
    assert_int_equal(agent_send_text(talk->agent, "hello ", 6), 0);
    assert_int_equal(agent_send_text(talk->agent, "agent", 5), 0);
}

static void test_what_is_written_early_waits(void **state) {
    (void)state;
    struct talk talk = {.client_begins = send_early};
    talk_run(&talk);
    assert_string_equal(talk.first_texts, "hello agent");
    assert_string_equal(talk.reason, "heard both");
}

// As much as one text of the largest size, however small the texts are.
static void send_too_much_early(struct talk *talk) {
    static char text[64 * 1024];
    memset(text, 'a', sizeof text);
    assert_int_equal(agent_send_text(talk->agent, text, sizeof text), 0);
    assert_int_equal(agent_send_text(talk->agent, text, sizeof text), -EAGAIN);
    int err = 0;
    size_t tiny = 0;
    for (; tiny < 5000 && !err; tiny++)
        err = agent_send_text(talk->agent, "", 0);
    assert_int_equal(err, -EAGAIN);
    assert_true(tiny < 100);
    agent_close(talk->agent, 1000, NULL); // frees them
}

static void test_what_is_written_early_is_bounded(void **state) {
    (void)state;
    struct talk talk = {.client_begins = send_too_much_early};
    talk_run(&talk);
    assert_int_equal(talk.messages, 0);
}

static void say_much(struct ws *ws) {
    char *text = malloc(64 * 1024 + 1);
    memset(text, 'b', 64 * 1024 + 1);
    ws_send(ws, false, text, 64 * 1024 + 1);
    ws_send(ws, false, text, 64 * 1024);
    ws_close(ws, 4001, "enough");
    free(text);
}

static void test_text_beyond_64_kib_is_dropped(void **state) {
    (void)state;
    struct talk talk = {.server_says = say_much};
    talk_run(&talk);
    assert_int_equal(talk.heard_texts, 1);
    assert_int_equal(talk.heard_text_len, 64 * 1024);
    assert_int_equal(talk.code, 4001);
}

static void say_nonsense(struct ws *ws) {
    ws_send(ws, false, "\xff\xfe", 2);
    ws_send(ws, false, "later", 5);
}

static void test_text_that_is_not_utf8(void **state) {
    (void)state;
    struct talk talk = {.server_says = say_nonsense};
    talk_run(&talk);
    assert_int_equal(talk.heard_texts, 0);
    assert_true(talk.ended && talk.was_open);
    assert_int_equal(talk.code, 1007);
    assert_int_equal(talk.close_code, 1007);
}

static void say_digits(struct ws *ws) {
    static const char *const texts[] = {
        "{\"type\":\"send_dtmf\",\"digits\":\"12,#\"}", "{\"type\":\"send_dtmf\",\"digits\":\"\"}",
        "{\"type\":\"send_dtmf\",\"digits\":\"5x\"}",   "{\"type\":\"send_dtmf\",\"digits\":5}",
        "{\"type\":\"chat\",\"digits\":\"5\"}",         "{\"type\":\"send_dtmf\"",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        ws_send(ws, false, texts[i], strlen(texts[i]));
    ws_close(ws, 1000, "said");
}

static void test_digits_from_the_agent(void **state) {
    (void)state;
    struct talk talk = {.server_says = say_digits};
    talk_run(&talk);
    assert_int_equal(talk.digits_heard, 1);
    assert_string_equal(talk.digits, "12,#");
    assert_int_equal(talk.heard_texts, 2); // what is no command
}

static void test_digits_are_a_text_where_nobody_takes_them(void **state) {
    (void)state;
    struct talk talk = {.server_says = say_digits, .no_dtmf = true};
    talk_run(&talk);
    assert_int_equal(talk.digits_heard, 0);
    assert_int_equal(talk.heard_texts, 3);
}

static void press(struct talk *talk) {
    assert_int_equal(agent_send_dtmf(talk->agent, '#'), 0);
    assert_int_equal(agent_send_text(talk->agent, "!", 1), 0);
}

static void test_digits_to_the_agent(void **state) {
    (void)state;
    struct talk talk = {.client_does = press};
    talk_run(&talk);
    assert_string_equal(talk.first_texts, "{\"type\":\"dtmf\",\"digit\":\"#\"}!");
}

static void test_refused(void **state) {
    (void)state;
    int64_t before = metric_read(METRIC_AGENT_FAILED);
    struct talk talk = {.refuse = 401};
    talk_run(&talk);
    assert_true(talk.ended && !talk.was_open && !talk.opened);
    assert_non_null(strstr(talk.reason, "HTTP 401"));
    assert_int_equal(metric_read(METRIC_AGENT_FAILED), before + 1);
}

static void test_bad_config(void **state) {
    (void)state;
    uv_loop_t loop;
    struct agent *agent = NULL;
    const struct agent_events events = {0};
    assert_int_equal(uv_loop_init(&loop), 0);
    struct agent_config config = {.loop = &loop, .url = "ws://127.0.0.1:1/", .dialect = "klingon"};
    assert_int_equal(agent_connect(&agent, &config, &events), -EINVAL);
    config.dialect = "iqra";
    config.url = "ftp://127.0.0.1/";
    assert_int_equal(agent_connect(&agent, &config, &events), -EINVAL);
    assert_null(agent);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_audio_and_text_come),
        cmocka_unit_test(test_audio_and_text_go),
        cmocka_unit_test(test_what_is_written_early_waits),
        cmocka_unit_test(test_what_is_written_early_is_bounded),
        cmocka_unit_test(test_text_beyond_64_kib_is_dropped),
        cmocka_unit_test(test_text_that_is_not_utf8),
        cmocka_unit_test(test_digits_from_the_agent),
        cmocka_unit_test(test_digits_are_a_text_where_nobody_takes_them),
        cmocka_unit_test(test_digits_to_the_agent),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bad_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
