// SPDX-License-Identifier: Apache-2.0
// The call's rules, with a peer, an agent and a bridge that only record what the call does to them.
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
    char code[64];
};

static struct fixture {
    uv_loop_t loop;
    struct conf *conf;
    struct peer_env peer_env;
    struct call_env env;
    struct call *call;
    const struct leg_events *leg_events;
    void *leg_arg;
    struct agent_events agent_events;
    uv_idle_t peer_closer, agent_closer;
    int offer_result;
    uint64_t last_heard_us;
    struct posted posted[32];
    unsigned posted_count;
    unsigned offers, candidates, gone, bridges, leg_ups, agent_ups, agent_texts, leg_texts;
    bool peer_open, agent_open;
    bool failing_agent;
    char digits[8]; // given to the agent
    unsigned agent_digits;
} f;

// ---- stand-ins, linked instead of the real modules

static void on_peer_closed(uv_handle_t *handle) {
    (void)handle;
    f.peer_open = false;
    f.leg_events->on_closed(f.leg_arg);
}

static void fake_leg_close(void *leg, const char *reason) {
    (void)leg;
    (void)reason;
    uv_close((uv_handle_t *)&f.peer_closer, on_peer_closed);
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

int peer_new(struct peer **out, const struct peer_env *env, const struct peer_config *config,
             const struct peer_signals *signals, const struct leg_events *events, void *events_arg) {
    (void)config;
    (void)signals;
    f.leg_events = events;
    f.leg_arg = events_arg;
    f.peer_open = true;
    uv_idle_init(env->loop, &f.peer_closer);
    *out = (struct peer *)&f;
    return 0;
}

struct leg peer_leg(struct peer *peer) {
    return (struct leg){&fake_leg_ops, peer};
}

int peer_offer(struct peer *peer, const char *sdp, size_t len, char **answer, struct err_text *err) {
    (void)peer;
    (void)sdp;
    (void)len;
    f.offers++;
    if (f.offer_result)
        return err_set(err, f.offer_result, "refused");
    *answer = strdup("answer");
    return 0;
}

int peer_add_candidate(struct peer *peer, const struct peer_candidate *candidate) {
    (void)peer;
    (void)candidate;
    f.candidates++;
    return 0;
}

uint64_t peer_last_heard_us(const struct peer *peer) {
    (void)peer;
    return f.last_heard_us;
}

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

// ---- the fixture

static void on_post(enum call_mail type, uint64_t handle, struct call_msg *msg, void *arg) {
    (void)handle;
    (void)arg;
    assert_true(f.posted_count < sizeof f.posted / sizeof f.posted[0]);
    struct posted *posted = &f.posted[f.posted_count++];
    posted->type = type;
    if (msg) {
        posted->cause = msg->cause;
        strncpy(posted->code, msg->mid ? msg->mid : "", sizeof posted->code - 1);
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

static int set_up(void **state) {
    (void)state;
    memset(&f, 0, sizeof f);
    static const char text[] = "{\"VoiceAiPlatform\":{\"Campaigns\":{}},\"Agent\":{\"Builtin\":\"echo\"}}";
    assert_int_equal(conf_parse(&f.conf, "test", text, sizeof text - 1, NULL, &(struct conf_report){0}), 0);
    uv_loop_init(&f.loop);
    f.peer_env.loop = &f.loop;
    f.env = (struct call_env){.loop = &f.loop,
                              .peer = &f.peer_env,
                              .peer_same_host = &f.peer_env,
                              .conf = f.conf,
                              .post = on_post,
                              .on_gone = on_gone};
    char url[] = "ws://127.0.0.1:1/x";
    const struct call_open open = {.session_id = "ses_1", .agent_url = url, .format = {CONF_PCM, 16000, 20}};
    assert_int_equal(call_new(&f.call, &f.env, 77, &open), 0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    if (!f.gone)
        call_mail(f.call, CALL_HANGUP, NULL);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    assert_int_equal(f.gone, 1);
    assert_int_equal(f.bridges, 0);
    assert_false(f.peer_open);
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

static void bring_up(void) {
    mail(CALL_OFFER, "sdp");
    f.agent_events.on_open(f.agent_events.arg);
    f.leg_events->on_up(f.leg_arg);
}

// ---- the rules

static void an_offer_is_answered_and_the_agent_called(void **state) {
    (void)state;
    mail(CALL_CANDIDATE, "candidate:1");
    assert_int_equal(f.candidates, 1);
    assert_false(f.agent_open);
    mail(CALL_OFFER, "sdp");
    assert_non_null(posted_of(SESSION_ANSWER));
    assert_true(f.agent_open);
    assert_int_equal(f.bridges, 1);
    f.agent_events.on_open(f.agent_events.arg);
    f.leg_events->on_up(f.leg_arg);
    assert_int_equal(f.leg_ups, 1);
    assert_int_equal(f.agent_ups, 1);
    mail(CALL_OFFER, "again");
    assert_int_equal(f.offers, 2);
    assert_int_equal(f.bridges, 1);
}

static void texts_cross(void **state) {
    (void)state;
    mail(CALL_OFFER, "sdp");
    f.leg_events->on_text("early", 5, f.leg_arg); // the agent's client keeps it
    assert_int_equal(f.agent_texts, 1);
    f.agent_events.on_open(f.agent_events.arg);
    f.leg_events->on_up(f.leg_arg);
    f.leg_events->on_text("hi", 2, f.leg_arg);
    assert_int_equal(f.agent_texts, 2);
    f.agent_events.on_text("ho", 2, f.agent_events.arg);
    assert_int_equal(f.leg_texts, 1);
}

static void digits_go_to_the_agent_once_and_in_order(void **state) {
    (void)state;
    bring_up();
    f.leg_events->on_dtmf('4', f.leg_arg);
    f.leg_events->on_dtmf('#', f.leg_arg);
    assert_string_equal(f.digits, "4#");
    assert_false(f.agent_events.on_dtmf("12", f.agent_events.arg)); // a browser takes none
}

static void a_bad_first_offer_ends_the_call_and_names_why(void **state) {
    (void)state;
    f.offer_result = -ENOENT;
    mail(CALL_OFFER, "sdp");
    const struct posted *end = posted_of(SESSION_ENDED);
    assert_non_null(end);
    assert_int_equal(end->cause, CALL_BAD_OFFER);
    assert_string_equal(end->code, "no_audio");
    uv_run(&f.loop, UV_RUN_DEFAULT);
    assert_int_equal(f.gone, 1);
}

static void no_free_port_is_not_the_browsers_fault(void **state) {
    (void)state;
    f.offer_result = -EADDRINUSE;
    mail(CALL_OFFER, "sdp");
    assert_int_equal(posted_of(SESSION_ENDED)->cause, CALL_NO_MEDIA);
    assert_string_equal(posted_of(SESSION_ENDED)->code, "media_failed");
}

// A reload lets go of the configuration the call began with.
static void a_call_keeps_the_configuration_it_began_with(void **state) {
    (void)state;
    conf_free(f.conf);
    f.conf = NULL;
    bring_up();
    assert_true(f.agent_open);
}

static void a_call_does_not_begin_without_descriptors(void **state) {
    (void)state;
    struct rlimit limit, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = (struct rlimit){.rlim_cur = 24, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    char url[] = "ws://127.0.0.1:1/x";
    const struct call_open open = {.session_id = "ses_2", .agent_url = url, .format = {CONF_PCM, 16000, 20}};
    struct call *call = NULL;
    assert_int_equal(call_new(&call, &f.env, 78, &open), -EMFILE);
    assert_null(call);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void a_bad_later_offer_changes_nothing(void **state) {
    (void)state;
    bring_up();
    f.offer_result = -ENOTSUP;
    mail(CALL_OFFER, "sdp");
    assert_null(posted_of(SESSION_ENDED));
    assert_string_equal(posted_of(SESSION_REFUSED)->code, "no_common_codec");
    assert_true(f.agent_open);
}

static void the_agents_end_ends_the_browser(void **state) {
    (void)state;
    bring_up();
    f.agent_events.on_end(true, 1000, "bye", f.agent_events.arg);
    assert_int_equal(posted_of(SESSION_ENDED)->cause, CALL_HUNG_UP);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    assert_int_equal(f.gone, 1);
}

static void an_agent_that_dies_is_an_error(void **state) {
    (void)state;
    bring_up();
    f.agent_events.on_end(true, 1006, "reset", f.agent_events.arg);
    assert_int_equal(posted_of(SESSION_ENDED)->cause, CALL_NO_AGENT);
    assert_string_equal(posted_of(SESSION_ENDED)->code, "agent_lost");
}

static void an_agent_that_never_opens_is_an_error(void **state) {
    (void)state;
    mail(CALL_OFFER, "sdp");
    f.agent_events.on_end(false, 1006, "refused", f.agent_events.arg);
    assert_string_equal(posted_of(SESSION_ENDED)->code, "agent_unavailable");
}

static void an_agent_that_cannot_be_called_is_an_error(void **state) {
    (void)state;
    f.failing_agent = true;
    mail(CALL_OFFER, "sdp");
    assert_string_equal(posted_of(SESSION_ENDED)->code, "agent_unavailable");
}

static void lost_media_ends_the_agent(void **state) {
    (void)state;
    bring_up();
    f.leg_events->on_end(LEG_END_LOST, "consent lost", f.leg_arg);
    assert_int_equal(posted_of(SESSION_ENDED)->cause, CALL_NO_MEDIA);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    assert_int_equal(f.gone, 1);
}

static void a_dropped_socket_with_dead_media_ends_the_call(void **state) {
    (void)state;
    bring_up();
    f.last_heard_us = ticker_now_us();
    mail(CALL_SOCKET_LOST, NULL);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    assert_int_equal(f.gone, 1);
    assert_string_equal(posted_of(SESSION_ENDED)->code, "browser_gone");
}

static void a_dropped_socket_with_media_waits_and_may_come_back(void **state) {
    (void)state;
    bring_up();
    f.last_heard_us = UINT64_MAX;
    mail(CALL_SOCKET_LOST, NULL);
    uv_run(&f.loop, UV_RUN_ONCE);
    assert_null(posted_of(SESSION_ENDED));
    mail(CALL_SOCKET_BACK, NULL);
    uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_null(posted_of(SESSION_ENDED));
    assert_true(f.agent_open);
}

int main(void) {
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        RULE(an_offer_is_answered_and_the_agent_called),
        RULE(texts_cross),
        RULE(digits_go_to_the_agent_once_and_in_order),
        RULE(a_bad_first_offer_ends_the_call_and_names_why),
        RULE(no_free_port_is_not_the_browsers_fault),
        RULE(a_call_keeps_the_configuration_it_began_with),
        RULE(a_call_does_not_begin_without_descriptors),
        RULE(a_bad_later_offer_changes_nothing),
        RULE(the_agents_end_ends_the_browser),
        RULE(an_agent_that_dies_is_an_error),
        RULE(an_agent_that_never_opens_is_an_error),
        RULE(an_agent_that_cannot_be_called_is_an_error),
        RULE(lost_media_ends_the_agent),
        RULE(a_dropped_socket_with_dead_media_ends_the_call),
        RULE(a_dropped_socket_with_media_waits_and_may_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
