// SPDX-License-Identifier: Apache-2.0
// A trunk as a call's far side.
#include "sip/trunk.h"
#include "tests/unit/gateway/call_fixture.h"

static struct {
    struct trunk_env env;
    int offer_result, answer_result;
    unsigned makes, answers, starts;
    char digits[8], sent[AGENT_DTMF_MAX + 1];
    unsigned digit_count;
    enum codec_id first_codec;
    size_t codec_count;
    bool require_srtp;
} p;

int trunk_new(struct trunk **out, const struct trunk_env *env, const struct trunk_config *config,
              const struct leg_events *events, void *events_arg) {
    assert_string_equal(config->local_address, "192.0.2.1");
    assert_string_equal(config->remote_address, "203.0.113.7");
    p.codec_count = config->codec_count;
    p.first_codec = config->codecs[0];
    p.require_srtp = config->require_srtp;
    fake_leg_open(env->loop, events, events_arg);
    *out = (struct trunk *)&f;
    return 0;
}

static int fake_leg_dtmf(void *leg, const char *digits) {
    (void)leg;
    strncpy(p.sent, digits, sizeof p.sent - 1);
    return 0;
}

struct leg trunk_leg(struct trunk *trunk) {
    static struct leg_ops ops;
    ops = fake_leg_ops;
    ops.send_dtmf = fake_leg_dtmf;
    return (struct leg){&ops, trunk};
}

int trunk_offer(struct trunk *trunk, const char *sdp, size_t len, char **answer, struct err_text *err) {
    (void)trunk;
    (void)sdp;
    (void)len;
    f.offers++;
    if (p.offer_result)
        return err_set(err, p.offer_result, "refused");
    *answer = strdup(f.offers == 1 ? "answer" : "another answer");
    return 0;
}

int trunk_make_offer(struct trunk *trunk, char **offer, struct err_text *err) {
    (void)trunk;
    (void)err;
    p.makes++;
    *offer = strdup("our offer");
    return 0;
}

int trunk_answer(struct trunk *trunk, const char *sdp, size_t len, struct err_text *err) {
    (void)trunk;
    (void)sdp;
    (void)len;
    p.answers++;
    return p.answer_result ? err_set(err, p.answer_result, "refused") : 0;
}

void trunk_start(struct trunk *trunk) {
    (void)trunk;
    p.starts++;
}

void trunk_dtmf(struct trunk *trunk, char digit) {
    (void)trunk;
    p.digits[p.digit_count++] = digit;
}

static int set_up(void **state) {
    (void)state;
    fixture_begin();
    memset(&p, 0, sizeof p);
    p.env.loop = &f.loop;
    f.env.trunk = &p.env;
    return 0;
}

static void begin(const char *sdp) {
    struct call_open_trunk trunk = {.sdp = (char *)(uintptr_t)sdp,
                                    .local = "192.0.2.1",
                                    .remote = "203.0.113.7",
                                    .sip_call_id = "id@pbx",
                                    .require_srtp = true};
    fixture_open(&(struct call_open){.kind = CALL_TRUNK, .trunk = &trunk});
}

static void agent_opens(void) {
    f.agent_events.on_open(f.agent_events.arg);
}

static void bring_up(void) {
    begin("sdp");
    agent_opens();
    f.leg_events->on_up(f.leg_arg);
}

// ---- the rules

static void the_answer_waits_for_the_agent(void **state) {
    (void)state;
    begin("sdp");
    assert_int_equal(p.codec_count, 4);
    assert_int_equal(p.first_codec, CODEC_PCMU);
    assert_true(p.require_srtp);
    assert_true(f.agent_open);
    assert_null(posted_of(SESSION_ANSWER));
    assert_int_equal(p.starts, 0);
    agent_opens();
    assert_string_equal(posted_of(SESSION_ANSWER)->text, "answer");
    assert_int_equal(p.starts, 1);
    f.leg_events->on_up(f.leg_arg);
    assert_int_equal(f.leg_ups, 1);
    assert_int_equal(f.agent_ups, 1);
    mail(CALL_CONFIRMED, NULL);
    assert_null(posted_of(SESSION_ENDED));
}

static void packets_reach_the_bridge_once_media_is_up(void **state) {
    (void)state;
    begin("sdp");
    f.leg_events->on_audio(f.leg_arg);
    assert_int_equal(f.leg_audios, 0);
    agent_opens();
    f.leg_events->on_up(f.leg_arg);
    f.leg_events->on_audio(f.leg_arg);
    assert_int_equal(f.leg_audios, 1);
    mail(CALL_HANGUP, NULL);
    f.leg_events->on_audio(f.leg_arg);
    assert_int_equal(f.leg_audios, 1);
}

static void an_invite_without_an_offer_gets_ours(void **state) {
    (void)state;
    begin(NULL);
    assert_int_equal(p.makes, 1);
    agent_opens();
    assert_string_equal(posted_of(SESSION_ANSWER)->text, "our offer");
    mail(CALL_ANSWER, "sdp");
    assert_int_equal(p.answers, 1);
    assert_null(posted_of(SESSION_ENDED));
}

static void an_answer_that_cannot_be_used_ends_the_call(void **state) {
    (void)state;
    begin(NULL);
    agent_opens();
    p.answer_result = -ENOTSUP;
    mail(CALL_ANSWER, "sdp");
    assert_int_equal(posted_of(SESSION_ENDED)->cause, CALL_BAD_OFFER);
    assert_string_equal(posted_of(SESSION_ENDED)->code, "no_common_codec");
}

static void an_offer_that_cannot_be_used_calls_no_agent(void **state) {
    (void)state;
    p.offer_result = -ENOTSUP;
    begin("sdp");
    assert_false(f.agent_open);
    assert_int_equal(posted_of(SESSION_ENDED)->cause, CALL_BAD_OFFER);
    assert_string_equal(posted_of(SESSION_ENDED)->code, "no_common_codec");
}

static void an_agent_that_refuses_leaves_the_call_unanswered(void **state) {
    (void)state;
    begin("sdp");
    f.agent_events.on_end(false, 1006, "refused", f.agent_events.arg);
    assert_null(posted_of(SESSION_ANSWER));
    assert_int_equal(posted_of(SESSION_ENDED)->cause, CALL_NO_AGENT);
    assert_string_equal(posted_of(SESSION_ENDED)->code, "agent_unavailable");
}

static void a_later_offer_is_answered_or_refused(void **state) {
    (void)state;
    bring_up();
    f.posted_count = 0;
    mail(CALL_OFFER, "hold");
    assert_string_equal(posted_of(SESSION_ANSWER)->text, "another answer");
    f.posted_count = 0;
    mail(CALL_OFFER, "");
    assert_string_equal(posted_of(SESSION_ANSWER)->text, "our offer");
    mail(CALL_ANSWER, "sdp");
    p.offer_result = -ENOTSUP;
    mail(CALL_OFFER, "strange");
    assert_string_equal(posted_of(SESSION_REFUSED)->code, "no_common_codec");
    p.answer_result = -EINVAL;
    mail(CALL_ANSWER, "nonsense");
    assert_null(posted_of(SESSION_ENDED));
}

static void digits_cross_both_ways(void **state) {
    (void)state;
    bring_up();
    mail(CALL_DTMF, "7"); // INFO: the trunk knows which it has had by RTP
    assert_string_equal(p.digits, "7");
    f.leg_events->on_dtmf('7', f.leg_arg);
    assert_string_equal(f.digits, "7");
    assert_true(f.agent_events.on_dtmf("12,#", f.agent_events.arg));
    assert_string_equal(p.sent, "12,#");
}

static void the_caller_hangs_up(void **state) {
    (void)state;
    bring_up();
    struct call_msg *msg = call_msg_new("The caller hung up.", "caller_hangup", NULL);
    call_mail(f.call, CALL_HANGUP, msg);
    call_msg_free(msg);
    assert_int_equal(posted_of(SESSION_ENDED)->cause, CALL_HUNG_UP);
    assert_string_equal(posted_of(SESSION_ENDED)->code, "caller_hangup");
}

static void the_caller_gives_up_while_the_agent_is_called(void **state) {
    (void)state;
    begin("sdp");
    mail(CALL_HANGUP, "The caller gave up.");
    assert_null(posted_of(SESSION_ANSWER));
    assert_non_null(posted_of(SESSION_ENDED));
}

static void a_dead_call_is_an_error(void **state) {
    (void)state;
    bring_up();
    f.leg_events->on_end(LEG_END_LOST, "no RTP", f.leg_arg);
    assert_int_equal(posted_of(SESSION_ENDED)->cause, CALL_NO_MEDIA);
}

int main(void) {
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        RULE(the_answer_waits_for_the_agent),
        RULE(packets_reach_the_bridge_once_media_is_up),
        RULE(an_invite_without_an_offer_gets_ours),
        RULE(an_answer_that_cannot_be_used_ends_the_call),
        RULE(an_offer_that_cannot_be_used_calls_no_agent),
        RULE(an_agent_that_refuses_leaves_the_call_unanswered),
        RULE(a_later_offer_is_answered_or_refused),
        RULE(digits_cross_both_ways),
        RULE(the_caller_hangs_up),
        RULE(the_caller_gives_up_while_the_agent_is_called),
        RULE(a_dead_call_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
