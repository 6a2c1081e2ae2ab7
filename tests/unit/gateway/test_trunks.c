// SPDX-License-Identifier: Apache-2.0
// A trunk's call seen from ctl: the listener's side.
#include "gateway/trunks_impl.h"
#include "tests/unit/gateway/trunks_fixture.h"

static void invite_for(const char *queue_id, const char *phone_id) {
    struct sip_invite *invite = calloc(1, sizeof *invite);
    *invite = (struct sip_invite){.request = {.call_id = "id@pbx",
                                              .business_id = "123",
                                              .called = "+49302",
                                              .caller = "+49/301",
                                              .caller_name = "Ada",
                                              .source = "203.0.113.7",
                                              .transport = "udp",
                                              .header_count = 1},
                                  .local = "192.0.2.1",
                                  .sdp = strdup("offer")};
    snprintf(invite->request.queue_id, sizeof invite->request.queue_id, "%s", queue_id);
    snprintf(invite->request.phone_id, sizeof invite->request.phone_id, "%s", phone_id);
    invite->request.headers[0] = (struct sip_header){strdup("X-Account"), strdup("gold")};
    mail(SIP_INVITE, invite, sip_invite_free);
}

static void invite(void) {
    invite_for("call_1", "abc");
}

static void queue_says(enum callqueue_claim claim, const char *number_id) {
    const struct callqueue_claimed claimed = {.claim = claim,
                                              .business_id = "123",
                                              .number_id = number_id,
                                              .campaign_id = "camp",
                                              .region_id = "EU-DE"};
    f.claimed(0, &claimed, f.queue_arg);
}

static void over(enum sip_over code) {
    say(SIP_OVER, code, "");
}

static void worker_says(enum call_mail type, const char *text) {
    struct call_msg *msg = call_msg_new(text, NULL, NULL);
    f.side->on_mail(type, msg, f.side_arg);
    call_msg_free(msg);
}

static void session_ends(enum call_cause cause, const char *code, const char *text) {
    struct call_msg *msg = call_msg_new(text, code, NULL);
    msg->cause = cause;
    f.side->on_over(msg, f.side_arg);
    call_msg_free(msg);
}

static void connect_agent(void) {
    invite();
    queue_says(CALLQUEUE_CLAIMED, "abc");
    platform_says(0, "ws://agent/x");
}

static void answer(void) {
    connect_agent();
    worker_says(SESSION_ANSWER, "answer");
}

// ---- the rules

static void a_call_is_answered_when_its_agent_is_there(void **state) {
    (void)state;
    invite();
    assert_int_equal(f.claims, 1);
    assert_false(f.authorized);
    assert_null(heard_of(SIP_PROGRESS));
    assert_int_equal(trunks_pending(f.trunks), 1);
    queue_says(CALLQUEUE_CLAIMED, "abc");
    assert_string_equal(heard_of(SIP_PROGRESS)->text, "call_1");
    assert_int_equal(heard_of(SIP_PROGRESS)->to, SIP_HANDLE);
    assert_string_equal(f.client, "+49301");
    assert_string_equal(f.campaign, "camp");
    assert_string_equal(f.region, "EU-DE");
    static const char *const expected[][2] = {{"callerNumber", "+49/301"}, {"callerName", "Ada"},
                                              {"calledNumber", "+49302"},  {"sipCallId", "id@pbx"},
                                              {"callQueueId", "call_1"},   {"X-Account", "gold"}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_string_equal(json_string_value(json_object_get(f.variables, expected[i][0])), expected[i][1]);
    platform_says(0, "ws://agent/x");
    assert_string_equal(f.agent_url, "ws://agent/x");
    assert_string_equal(f.session_id, "call_1");
    assert_string_equal(f.offer, "offer");
    assert_true(f.require_srtp);
    assert_int_equal(trunks_pending(f.trunks), 0);
    assert_null(heard_of(SIP_ACCEPT));
    worker_says(SESSION_ANSWER, "answer");
    assert_string_equal(heard_of(SIP_ACCEPT)->text, "answer");
    assert_int_equal(f.answered, 1);
    say(SIP_CONFIRMED, 0, "");
    assert_int_equal(f.posted[0], CALL_CONFIRMED);
    over(SIP_OVER_BYE);
    assert_int_equal(f.posted[1], CALL_HANGUP);
    assert_string_equal(f.posted_text, "The caller hung up.");
    assert_string_equal(f.over_text, "The caller hung up.");
    session_ends(CALL_HUNG_UP, "caller_hangup", "The caller hung up.");
    assert_null(heard_of(SIP_BYE));
}

static void without_a_platform_the_built_in_agent_is_taken(void **state) {
    (void)state;
    invite();
    queue_says(CALLQUEUE_CLAIMED, "abc");
    platform_says(0, "");
    assert_string_equal(f.agent_url, "ws://builtin/");
    session_ends(CALL_HUNG_UP, "hangup", "x");
    over(SIP_OVER_OURS);
}

static void a_claim_that_fails_is_told_and_not_ours_to_end(void **state) {
    (void)state;
    static const struct {
        enum callqueue_claim claim;
        unsigned status;
        const char *phrase;
    } cases[] = {{CALLQUEUE_UNKNOWN, 404, "Call queue not found"},
                 {CALLQUEUE_NOT_HERE, 403, "Not authorized for this region/server"},
                 {CALLQUEUE_NOT_READY, 403, "Call queue not in processed proxy state"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f.heard_count = 0;
        invite();
        queue_says(cases[i].claim, "");
        assert_int_equal(heard_of(SIP_REJECT)->code, cases[i].status);
        assert_string_equal(heard_of(SIP_REJECT)->text, cases[i].phrase);
        assert_int_equal(heard_of(SIP_REJECT)->retry_after_s, 0);
        over(SIP_OVER_OURS);
    }
    assert_int_equal(f.overs, 0);
}

static void a_number_with_a_login_asks_for_it_before_the_claim(void **state) {
    (void)state;
    invite();
    queue_says(CALLQUEUE_LOGIN, "log");
    assert_string_equal(heard_of(SIP_CHALLENGE)->text, "secret");
    say(SIP_AUTHORIZED, 0, "");
    say(SIP_AUTHORIZED, 0, ""); // once is enough
    assert_int_equal(f.claims, 2);
    assert_true(f.authorized);
    queue_says(CALLQUEUE_CLAIMED, "log");
    platform_says(0, "ws://agent/x");
    assert_false(f.require_srtp);
    session_ends(CALL_HUNG_UP, "hangup", "x");
    over(SIP_OVER_OURS);
}

static void a_login_that_is_not_given_leaves_the_entry(void **state) {
    (void)state;
    invite();
    queue_says(CALLQUEUE_LOGIN, "log");
    over(SIP_OVER_LOGIN);
    assert_int_equal(f.overs, 0);
    assert_int_equal(f.posted_count, 0);
}

static void a_login_this_node_does_not_know_refuses(void **state) {
    (void)state;
    invite();
    queue_says(CALLQUEUE_LOGIN, "nobody");
    assert_int_equal(heard_of(SIP_REJECT)->code, 503);
    over(SIP_OVER_OURS);
}

static void the_platforms_refusals_have_their_statuses(void **state) {
    (void)state;
    static const int cases[][2] = {
        {-ENOENT, 404}, {-EAGAIN, 486}, {-EUSERS, 486}, {-ETIMEDOUT, 503}, {-EREMOTEIO, 503}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f.heard_count = f.overs = 0;
        invite();
        queue_says(CALLQUEUE_CLAIMED, "abc");
        platform_says(cases[i][0], NULL);
        assert_int_equal(heard_of(SIP_REJECT)->code, cases[i][1]);
        assert_int_equal(heard_of(SIP_REJECT)->retry_after_s != 0, cases[i][1] == 503);
        assert_int_equal(f.over_status, CALLQUEUE_FAILED);
        assert_string_equal(f.over_text, "The platform gave no agent.");
        over(SIP_OVER_OURS);
        assert_int_equal(f.overs, 1);
    }
}

static void an_agent_that_fails_is_503_and_the_queue_says_why(void **state) {
    (void)state;
    connect_agent();
    session_ends(CALL_NO_AGENT, "agent_unavailable", "The voice agent cannot be reached.");
    assert_int_equal(heard_of(SIP_REJECT)->code, 503);
    assert_int_equal(f.over_status, CALLQUEUE_FAILED);
    assert_string_equal(f.over_text, "The voice agent cannot be reached.");
    over(SIP_OVER_OURS);
}

static void offers_that_cannot_be_used_are_488_and_400(void **state) {
    (void)state;
    connect_agent();
    session_ends(CALL_BAD_OFFER, "no_common_codec", "x");
    assert_int_equal(heard_of(SIP_REJECT)->code, 488);
    over(SIP_OVER_OURS);
    f.heard_count = 0;
    connect_agent();
    session_ends(CALL_BAD_OFFER, "bad_sdp", "x");
    assert_int_equal(heard_of(SIP_REJECT)->code, 400);
    over(SIP_OVER_OURS);
}

static void a_full_node_says_486_and_leaves_the_entry_to_the_next(void **state) {
    (void)state;
    f.room = 0;
    invite();
    assert_int_equal(f.claims, 0);
    assert_int_equal(heard_of(SIP_REJECT)->code, 486);
    assert_int_equal(f.notes, 1);
    assert_int_equal(f.overs, 0);
    over(SIP_OVER_OURS);
    f.room = 10;
    f.open_err = -ENOSPC; // filled while the platform thought
    f.heard_count = 0;
    connect_agent();
    assert_int_equal(heard_of(SIP_REJECT)->code, 486);
    assert_string_equal(f.given_back, "call_1");
    over(SIP_OVER_OURS);
}

static void an_overloaded_node_says_503_and_when_to_come_again(void **state) {
    (void)state;
    f.room = 0;
    f.overloaded = "media runs late";
    invite();
    assert_int_equal(f.claims, 0);
    assert_int_equal(heard_of(SIP_REJECT)->code, 503);
    assert_int_equal(heard_of(SIP_REJECT)->retry_after_s, 5);
    assert_int_equal(f.notes, 1); // the entry stays for the next server of the redirect
    assert_int_equal(f.overs, 0);
    over(SIP_OVER_OURS);
}

static void calls_that_still_wait_count_against_the_room(void **state) {
    (void)state;
    f.room = 1;
    invite();
    struct mail second = {.to = SIP_HANDLE + 1, .type = SIP_INVITE};
    struct sip_invite *other = calloc(1, sizeof *other);
    snprintf(other->request.queue_id, sizeof other->request.queue_id, "call_1");
    second.data = other;
    trunks_mail(f.trunks, &second);
    assert_int_equal(heard_of(SIP_REJECT)->code, 486);
    assert_int_equal(heard_of(SIP_REJECT)->to, SIP_HANDLE + 1);
    struct mail gone = {.to = SIP_HANDLE + 1, .type = SIP_OVER};
    trunks_mail(f.trunks, &gone);
    queue_says(CALLQUEUE_UNKNOWN, "");
    over(SIP_OVER_OURS);
}

static void redis_away_is_503(void **state) {
    (void)state;
    f.queue_err = -ENOTCONN;
    invite();
    assert_int_equal(heard_of(SIP_REJECT)->code, 503);
    over(SIP_OVER_OURS);
    f.queue_err = 0;
    f.heard_count = 0;
    invite();
    f.claimed(-ECONNRESET, NULL, f.queue_arg);
    assert_int_equal(heard_of(SIP_REJECT)->code, 503);
    over(SIP_OVER_OURS);
}

static void a_cancel_at_any_moment_gives_all_back(void **state) {
    (void)state;
    invite(); // while Redis thinks: the claim that comes then is ended
    over(SIP_OVER_CANCEL);
    assert_int_equal(f.overs, 0);
    queue_says(CALLQUEUE_CLAIMED, "abc");
    assert_int_equal(f.over_status, CALLQUEUE_CANCELED);
    assert_null(f.agent_done);
    f.overs = 0;
    invite(); // while the platform thinks
    queue_says(CALLQUEUE_CLAIMED, "abc");
    over(SIP_OVER_CANCEL);
    assert_int_equal(f.over_status, CALLQUEUE_CANCELED);
    platform_says(0, "ws://agent/x");
    assert_null(f.side);
    assert_string_equal(f.given_back, "call_1");
    f.overs = 0;
    connect_agent(); // while the agent is called
    over(SIP_OVER_CANCEL);
    assert_int_equal(f.posted[0], CALL_HANGUP);
    assert_int_equal(f.over_status, CALLQUEUE_CANCELED);
    worker_says(SESSION_ANSWER, "too late");
    session_ends(CALL_HUNG_UP, "caller_gave_up", "x");
    assert_null(heard_of(SIP_ACCEPT));
    assert_null(heard_of(SIP_REJECT));
}

static void the_agents_end_is_a_bye_with_its_cause(void **state) {
    (void)state;
    answer();
    session_ends(CALL_HUNG_UP, "agent_hangup", "The agent ended the call.");
    assert_int_equal(heard_of(SIP_BYE)->code, 16);
    assert_string_equal(heard_of(SIP_BYE)->text, "The agent ended the call.");
    over(SIP_OVER_OURS);
    assert_int_equal(f.overs, 1);
    f.heard_count = 0;
    answer();
    session_ends(CALL_NO_AGENT, "agent_lost", "The connection to the voice agent was lost.");
    assert_int_equal(heard_of(SIP_BYE)->code, 41);
    over(SIP_OVER_OURS);
}

static void later_offers_and_digits_cross(void **state) {
    (void)state;
    answer();
    say(SIP_OFFER, 0, "hold");
    assert_int_equal(f.posted[0], CALL_OFFER);
    assert_string_equal(f.posted_text, "hold");
    f.heard_count = 0;
    worker_says(SESSION_ANSWER, "held");
    assert_string_equal(heard_of(SIP_ACCEPT)->text, "held");
    assert_int_equal(f.answered, 1);
    worker_says(SESSION_REFUSED, "no");
    assert_int_equal(heard_of(SIP_REJECT)->code, 488);
    say(SIP_ANSWER, 0, "theirs");
    assert_int_equal(f.posted[1], CALL_ANSWER);
    say(SIP_DTMF, 0, "5");
    assert_int_equal(f.posted[2], CALL_DTMF);
    assert_string_equal(f.posted_text, "5");
    over(SIP_OVER_BYE);
    session_ends(CALL_HUNG_UP, "caller_hangup", "x");
}

static void leases_are_renewed_while_calls_live(void **state) {
    (void)state;
    invite();
    trunk_calls_renew(f.trunks);
    assert_int_equal(f.renewed, 0); // nothing is claimed yet
    queue_says(CALLQUEUE_CLAIMED, "abc");
    trunk_calls_renew(f.trunks);
    assert_int_equal(f.renewed, 1);
    platform_says(0, "ws://agent/x");
    worker_says(SESSION_ANSWER, "answer");
    trunk_calls_renew(f.trunks);
    assert_int_equal(f.renewed, 2);
    over(SIP_OVER_BYE);
    trunk_calls_renew(f.trunks);
    assert_int_equal(f.renewed, 2);
    session_ends(CALL_HUNG_UP, "caller_hangup", "x");
}

static void the_operator_sees_the_call(void **state) {
    (void)state;
    answer();
    json_t *item = json_object();
    f.side->describe(item, f.side_arg);
    assert_string_equal(json_string_value(json_object_get(item, "callId")), "id@pbx");
    assert_string_equal(json_string_value(json_object_get(item, "state")), "up");
    json_decref(item);
    over(SIP_OVER_BYE);
    session_ends(CALL_HUNG_UP, "caller_hangup", "x");
}

static void draining_takes_no_call(void **state) {
    (void)state;
    trunks_drain(f.trunks);
    invite();
    assert_int_equal(f.claims, 0);
    assert_int_equal(heard_of(SIP_REJECT)->code, 503);
    assert_true(heard_of(SIP_REJECT)->retry_after_s > 0);
    over(SIP_OVER_OURS);
}

static void what_is_left_at_the_end_is_freed(void **state) {
    (void)state;
    invite();
    queue_says(CALLQUEUE_CLAIMED, "abc");
    trunks_set_stack(f.trunks, NULL);
    platform_says(-ECANCELED, NULL); // as when the program stops
}

// ---- without a proxy

static void a_direct_call_passes_the_same_checks(void **state) {
    (void)state;
    invite_for("", "abc");
    assert_true(f.asked.direct);
    assert_int_equal(f.asked.max_calls, 2);
    f.opened(0, CALLQUEUE_OK, f.queue_arg);
    platform_says(0, "ws://agent/x");
    assert_string_equal(f.session_id, f.asked_id);
    assert_memory_equal(f.session_id, "call_", 5);
    worker_says(SESSION_ANSWER, "answer");
    assert_non_null(heard_of(SIP_ACCEPT));
    over(SIP_OVER_BYE);
    session_ends(CALL_HUNG_UP, "caller_hangup", "x");
}

static void a_direct_call_may_be_refused(void **state) {
    (void)state;
    invite_for("", "nobody");
    assert_int_equal(heard_of(SIP_REJECT)->code, 404);
    assert_string_equal(heard_of(SIP_REJECT)->text, "Number Not Found");
    over(SIP_OVER_OURS);
    f.heard_count = 0;
    invite_for("", "abc");
    f.opened(0, CALLQUEUE_FULL, f.queue_arg);
    assert_int_equal(heard_of(SIP_REJECT)->code, 503);
    over(SIP_OVER_OURS);
    f.heard_count = 0;
    invite_for("", "abc");
    f.opened(0, CALLQUEUE_DUPLICATE, f.queue_arg);
    assert_int_equal(heard_of(SIP_REJECT)->code, 482);
    over(SIP_OVER_OURS);
    assert_int_equal(f.overs, 0);
}

static void a_direct_call_logs_in_first(void **state) {
    (void)state;
    invite_for("", "log");
    assert_null(f.opened);
    assert_non_null(heard_of(SIP_CHALLENGE));
    say(SIP_AUTHORIZED, 0, "");
    assert_non_null(f.opened);
    over(SIP_OVER_CANCEL);
    f.opened(0, CALLQUEUE_OK, f.queue_arg);
    assert_int_equal(f.over_status, CALLQUEUE_CANCELED);
}

int main(void) {
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define DIRECT(name) cmocka_unit_test_setup_teardown(name, set_up_direct, tear_down)
    const struct CMUnitTest tests[] = {
        RULE(a_call_is_answered_when_its_agent_is_there),
        RULE(without_a_platform_the_built_in_agent_is_taken),
        RULE(a_claim_that_fails_is_told_and_not_ours_to_end),
        RULE(a_number_with_a_login_asks_for_it_before_the_claim),
        RULE(a_login_that_is_not_given_leaves_the_entry),
        RULE(a_login_this_node_does_not_know_refuses),
        RULE(the_platforms_refusals_have_their_statuses),
        RULE(an_agent_that_fails_is_503_and_the_queue_says_why),
        RULE(offers_that_cannot_be_used_are_488_and_400),
        RULE(a_full_node_says_486_and_leaves_the_entry_to_the_next),
        RULE(an_overloaded_node_says_503_and_when_to_come_again),
        RULE(calls_that_still_wait_count_against_the_room),
        RULE(redis_away_is_503),
        RULE(a_cancel_at_any_moment_gives_all_back),
        RULE(the_agents_end_is_a_bye_with_its_cause),
        RULE(later_offers_and_digits_cross),
        RULE(leases_are_renewed_while_calls_live),
        RULE(the_operator_sees_the_call),
        RULE(draining_takes_no_call),
        RULE(what_is_left_at_the_end_is_freed),
        DIRECT(a_direct_call_passes_the_same_checks),
        DIRECT(a_direct_call_may_be_refused),
        DIRECT(a_direct_call_logs_in_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
