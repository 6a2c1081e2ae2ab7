// SPDX-License-Identifier: Apache-2.0
// The echo agent over its real socket, heard through the agent client: greeting, delay, text, and the secret
// path.
#include "gateway/agent.h"
#include "gateway/echo_agent.h"
#include "media/codec.h"
#include "media/tone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct talk {
    uv_loop_t loop;
    uv_timer_t guard;
    struct echo_agent *echo;
    struct agent *agent;
    struct agent_format format;
    uint8_t heard[1 << 20];
    size_t len;
    unsigned messages, greeting_messages, sent;
    size_t greeting_len;
    char text[64];
    bool was_open, ended, agent_closed, echo_closed;
    char reason[128];
};

static void on_guard(uv_timer_t *timer) {
    (void)timer;
    fail_msg("the conversation hangs");
}

static void on_echo_closed(void *arg) {
    struct talk *talk = arg;
    talk->echo_closed = true;
    uv_close((uv_handle_t *)&talk->guard, NULL);
}

static void on_agent_closed(void *arg) {
    struct talk *talk = arg;
    talk->agent_closed = true;
    echo_agent_close(talk->echo, on_echo_closed, talk);
}

static void frame_of(const struct talk *talk, unsigned number, uint8_t *frame, size_t len) {
    (void)talk;
    memset(frame, (int)(number & 0xff), len);
    frame[0] = (uint8_t)(number >> 8);
}

static size_t frame_len(const struct talk *talk) {
    return talk->format.encoding == CONF_PCM    ? talk->format.rate_hz / 1000 * talk->format.frame_ms * 2
           : talk->format.encoding == CONF_OPUS ? 77
                                                : 8 * talk->format.frame_ms;
}

// Two seconds of frames at once: the first second comes back.
static void send_frames(struct talk *talk) {
    uint8_t frame[6000];
    unsigned a_second = (1000 + talk->format.frame_ms - 1) / talk->format.frame_ms;
    for (; talk->sent < a_second + 10; talk->sent++) {
        frame_of(talk, talk->sent, frame, frame_len(talk));
        assert_int_equal(agent_send_audio(talk->agent, frame, frame_len(talk)), 0);
    }
}

static void on_open(void *arg) {
    struct talk *talk = arg;
    assert_int_equal(agent_send_text(talk->agent, "hello", 5), 0);
}

static void on_audio(const uint8_t *data, size_t len, bool message_end, void *arg) {
    struct talk *talk = arg;
    assert_true(talk->len + len <= sizeof talk->heard);
    if (len)
        memcpy(talk->heard + talk->len, data, len);
    talk->len += len;
    talk->messages += message_end;
    if (talk->sent && talk->messages == talk->greeting_messages + 10)
        agent_close(talk->agent, 1000, "done");
}

// The answer to the text comes after the whole greeting.
static void on_text(const char *text, size_t len, void *arg) {
    struct talk *talk = arg;
    assert_true(len < sizeof talk->text);
    memcpy(talk->text, text, len);
    talk->greeting_messages = talk->messages;
    talk->greeting_len = talk->len;
    send_frames(talk);
}

static void on_end(bool was_open, unsigned code, const char *reason, void *arg) {
    struct talk *talk = arg;
    (void)code;
    talk->ended = true;
    talk->was_open = was_open;
    snprintf(talk->reason, sizeof talk->reason, "%s", reason);
    agent_close(talk->agent, 1000, NULL);
}

static struct talk *talk_run(struct agent_format format, bool right_path) {
    struct talk *talk = calloc(1, sizeof *talk);
    struct err_text err = {""};
    talk->format = format;
    assert_int_equal(uv_loop_init(&talk->loop), 0);
    uv_timer_init(&talk->loop, &talk->guard);
    uv_timer_start(&talk->guard, on_guard, 20000, 0);
    assert_int_equal(echo_agent_new(&talk->echo, &talk->loop, &format, &err), 0);
    char url[128];
    snprintf(url, sizeof url, "%s", echo_agent_url(talk->echo));
    if (!right_path)
        url[strlen(url) - 1] ^= 1;
    const struct agent_config config = {.loop = &talk->loop,
                                        .url = url,
                                        .connect_timeout_ms = 10000,
                                        .call_id = "test",
                                        .dialect = "iqra",
                                        .format = format};
    const struct agent_events events = {on_open, on_audio, on_text, NULL, on_end, on_agent_closed, talk};
    assert_int_equal(agent_connect(&talk->agent, &config, &events), 0);
    uv_run(&talk->loop, UV_RUN_DEFAULT);
    assert_true(talk->agent_closed && talk->echo_closed);
    assert_int_equal(uv_loop_close(&talk->loop), 0);
    return talk;
}

static void check_echo(const struct talk *talk) {
    uint8_t frame[6000];
    size_t len = frame_len(talk);
    assert_int_equal(talk->len - talk->greeting_len, 10 * len);
    for (unsigned i = 0; i < 10; i++) {
        frame_of(talk, i, frame, len);
        assert_memory_equal(talk->heard + talk->greeting_len + i * len, frame, len);
    }
    assert_string_equal(talk->text, "echo: hello");
}

static void test_pcm(void **state) {
    (void)state;
    static const uint32_t rates[] = {8000, 16000, 24000, 48000};
    for (size_t i = 0; i < 4; i++) {
        struct talk *talk = talk_run((struct agent_format){CONF_PCM, rates[i], 20}, true);
        assert_int_equal(talk->greeting_messages, 1);
        assert_int_equal(talk->greeting_len, rates[i] / 1000 * 300 * 2);
        size_t note = rates[i] / 1000 * 150;
        int16_t *pcm = malloc(note * sizeof *pcm);
        memcpy(pcm, talk->heard, note * 2);
        assert_true(tone_power(pcm, note, rates[i], 440) > 0.9);
        memcpy(pcm, talk->heard + note * 2, note * 2);
        assert_true(tone_power(pcm, note, rates[i], 587) > 0.9);
        check_echo(talk);
        free(pcm);
        free(talk);
    }
}

static void test_other_encodings(void **state) {
    (void)state;
    static const struct agent_format formats[] = {
        {CONF_MULAW, 8000, 20}, {CONF_ALAW, 8000, 10}, {CONF_G722, 16000, 40}, {CONF_PCM, 16000, 60}};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct talk *talk = talk_run(formats[i], true);
        assert_int_equal(talk->greeting_messages, 1);
        uint32_t ms = (300 + formats[i].frame_ms - 1) / formats[i].frame_ms * formats[i].frame_ms;
        assert_int_equal(talk->greeting_len, formats[i].encoding == CONF_PCM ? ms * 32 : ms * 8);
        check_echo(talk);
        free(talk);
    }
}

static void test_opus_is_one_packet_a_message(void **state) {
    (void)state;
    struct talk *talk = talk_run((struct agent_format){CONF_OPUS, 48000, 20}, true);
    assert_int_equal(talk->greeting_messages, 15);
    check_echo(talk);
    free(talk);
}

static void test_the_path_is_a_secret(void **state) {
    (void)state;
    struct talk *talk = talk_run((struct agent_format){CONF_PCM, 16000, 20}, false);
    assert_true(talk->ended && !talk->was_open);
    assert_non_null(strstr(talk->reason, "HTTP 404"));
    free(talk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pcm),
        cmocka_unit_test(test_other_encodings),
        cmocka_unit_test(test_opus_is_one_packet_a_message),
        cmocka_unit_test(test_the_path_is_a_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
