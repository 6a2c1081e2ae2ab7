// SPDX-License-Identifier: Apache-2.0
// The call's rules, and those of a browser as its far side.
#include "tests/unit/gateway/call_fixture.h"

static struct {
    struct peer_env env;
    uint64_t last_heard_us;
    unsigned candidates;
} p;

int peer_new(struct peer **out, const struct peer_env *env, const struct peer_config *config,
             const struct peer_signals *signals, const struct leg_events *events, void *events_arg) {
    (void)config;
    (void)signals;
    fake_leg_open(env->loop, events, events_arg);
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
    p.candidates++;
    return 0;
}

uint64_t peer_last_heard_us(const struct peer *peer) {
    (void)peer;
    return p.last_heard_us;
}

static int set_up(void **state) {
    (void)state;
    fixture_begin();
    memset(&p, 0, sizeof p);
    p.env.loop = &f.loop;
    f.env.peer = f.env.peer_same_host = &p.env;
    fixture_open(&(struct call_open){.kind = CALL_BROWSER});
    return 0;
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
    assert_int_equal(p.candidates, 1);
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
    p.last_heard_us = ticker_now_us();
    mail(CALL_SOCKET_LOST, NULL);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    assert_int_equal(f.gone, 1);
    assert_string_equal(posted_of(SESSION_ENDED)->code, "browser_gone");
}

static void a_dropped_socket_with_media_waits_and_may_come_back(void **state) {
    (void)state;
    bring_up();
    p.last_heard_us = UINT64_MAX;
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
