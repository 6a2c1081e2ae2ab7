// SPDX-License-Identifier: Apache-2.0
// Calls whose leg, agent and bridge only record what the call does to them, linked instead of the real modules.
#ifndef IQ_TESTS_CALL_FIXTURE_H
#define IQ_TESTS_CALL_FIXTURE_H

#include "gateway/bridge.h"
#include "gateway/call.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

struct posted {
    enum call_mail type;
    enum call_cause cause;
    char code[64], text[64];
};

static struct fixture {
    uv_loop_t loop;
    struct conf *conf;
    struct call_env env;
    struct call *call;
    const struct leg_events *leg_events;
    void *leg_arg;
    struct agent_events agent_events;
    uv_idle_t leg_closer, agent_closer;
    int offer_result;
    struct posted posted[32];
    unsigned posted_count;
    unsigned offers, gone, bridges, leg_ups, leg_audios, agent_ups, agent_texts, leg_texts;
    bool leg_open, agent_open;
    bool failing_agent;
    char digits[8]; // given to the agent
    unsigned agent_digits;
} f;

// ---- the leg

static void on_fake_leg_closed(uv_handle_t *handle) {
    (void)handle;
    f.leg_open = false;
    f.leg_events->on_closed(f.leg_arg);
}

static void fake_leg_close(void *leg, const char *reason) {
    (void)leg;
    (void)reason;
    uv_close((uv_handle_t *)&f.leg_closer, on_fake_leg_closed);
}

static int fake_leg_text(void *leg, const char *text, size_t len) {
    (void)leg;
    (void)text;
    (void)len;
    f.leg_texts++;
    return 0;
}

static struct leg_media fake_leg_media(void *leg, uint32_t want_rate_hz) {
    (void)leg;
    return (struct leg_media){.codec = CODEC_OPUS, .ptime_ms = 20, .pcm_rate_hz = want_rate_hz};
}

static void fake_leg_stats(void *leg, struct leg_stats *out) {
    (void)leg;
    *out = (struct leg_stats){0};
}

static const struct leg_ops fake_leg_ops = {
    .media = fake_leg_media, .send_text = fake_leg_text, .stats = fake_leg_stats, .close = fake_leg_close};

static void fake_leg_open(uv_loop_t *loop, const struct leg_events *events, void *events_arg) {
    f.leg_events = events;
    f.leg_arg = events_arg;
    f.leg_open = true;
    uv_idle_init(loop, &f.leg_closer);
}

// ---- the agent and the bridge

int agent_connect(struct agent **out, const struct agent_config *config, const struct agent_events *events) {
    if (f.failing_agent)
        return -EINVAL;
    f.agent_events = *events;
    f.agent_open = true;
    uv_idle_init(config->loop, &f.agent_closer);
    *out = (struct agent *)&f;
    return 0;
}

int agent_send_audio(struct agent *agent, const uint8_t *frame, size_t len) {
    (void)agent;
    (void)frame;
    (void)len;
    return 0;
}

int agent_send_text(struct agent *agent, const char *text, size_t len) {
    (void)agent;
    (void)text;
    (void)len;
    f.agent_texts++;
    return 0;
}

int agent_send_dtmf(struct agent *agent, char digit) {
    (void)agent;
    assert_true(f.agent_digits < sizeof f.digits - 1);
    f.digits[f.agent_digits++] = digit;
    return 0;
}

void agent_pause(struct agent *agent, bool paused) {
    (void)agent;
    (void)paused;
}

static void on_agent_closed(uv_handle_t *handle) {
    (void)handle;
    f.agent_open = false;
    f.agent_events.on_closed(f.agent_events.arg);
}

void agent_close(struct agent *agent, unsigned code, const char *reason) {
    (void)agent;
    (void)code;
    (void)reason;
    uv_close((uv_handle_t *)&f.agent_closer, on_agent_closed);
}

int bridge_new(struct bridge **out, const struct bridge_config *config, const struct bridge_ops *ops) {
    (void)config;
    (void)ops;
    f.bridges++;
    *out = (struct bridge *)&f;
    return 0;
}

void bridge_free(struct bridge *bridge) {
    if (bridge)
        f.bridges--;
}

int bridge_leg_up(struct bridge *bridge) {
    (void)bridge;
    f.leg_ups++;
    return 0;
}

int bridge_leg_media(struct bridge *bridge) {
    (void)bridge;
    return 0;
}

void bridge_agent_up(struct bridge *bridge) {
    (void)bridge;
    f.agent_ups++;
}

void bridge_leg_audio(struct bridge *bridge) {
    (void)bridge;
    f.leg_audios++;
}

void bridge_agent_audio(struct bridge *bridge, const uint8_t *data, size_t len, bool message_end) {
    (void)bridge;
    (void)data;
    (void)len;
    (void)message_end;
}

void bridge_stats(const struct bridge *bridge, struct bridge_stats *out) {
    (void)bridge;
    *out = (struct bridge_stats){0};
}

// ---- ctl

static void on_post(enum call_mail type, uint64_t handle, struct call_msg *msg, void *arg) {
    (void)handle;
    (void)arg;
    assert_true(f.posted_count < sizeof f.posted / sizeof f.posted[0]);
    struct posted *posted = &f.posted[f.posted_count++];
    posted->type = type;
    if (msg) {
        posted->cause = msg->cause;
        strncpy(posted->code, msg->mid ? msg->mid : "", sizeof posted->code - 1);
        strncpy(posted->text, msg->text ? msg->text : "", sizeof posted->text - 1);
    }
    call_msg_free(msg);
}

static void on_gone(uint64_t handle, void *arg) {
    (void)arg;
    assert_int_equal(handle, 77);
    f.gone++;
}

static const struct posted *posted_of(enum call_mail type) {
    for (unsigned i = 0; i < f.posted_count; i++) {
        if (f.posted[i].type == type)
            return &f.posted[i];
    }
    return NULL;
}

static void fixture_begin(void) {
    memset(&f, 0, sizeof f);
    static const char text[] = "{\"VoiceAiPlatform\":{\"Campaigns\":{}},\"Agent\":{\"Builtin\":\"echo\"}}";
    assert_int_equal(conf_parse(&f.conf, "test", text, sizeof text - 1, NULL, &(struct conf_report){0}), 0);
    uv_loop_init(&f.loop);
    f.env = (struct call_env){.loop = &f.loop, .conf = f.conf, .post = on_post, .on_gone = on_gone};
}

static void fixture_open(struct call_open *open) {
    static char url[] = "ws://127.0.0.1:1/x";
    memcpy(open->session_id, "ses_1", sizeof "ses_1");
    open->agent_url = url;
    open->format = (struct agent_format){CONF_PCM, 16000, 20};
    assert_int_equal(call_new(&f.call, &f.env, 77, open), 0);
}

static int tear_down(void **state) {
    (void)state;
    if (!f.gone)
        call_mail(f.call, CALL_HANGUP, NULL);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    assert_int_equal(f.gone, 1);
    assert_int_equal(f.bridges, 0);
    assert_false(f.leg_open);
    assert_false(f.agent_open);
    assert_int_equal(uv_loop_close(&f.loop), 0);
    conf_free(f.conf);
    return 0;
}

static void mail(enum call_mail type, const char *text) {
    char copy[64];
    strncpy(copy, text ? text : "", sizeof copy - 1);
    copy[sizeof copy - 1] = '\0';
    const struct call_msg msg = {.text = copy, .mline_index = -1};
    call_mail(f.call, type, &msg);
}

#endif
