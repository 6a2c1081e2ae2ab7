// SPDX-License-Identifier: Apache-2.0
// The proxy's question, seen from ctl.
#include "tests/unit/gateway/trunks_fixture.h"

static void ask_for(const char *number_id) {
    struct sip_route_ask *ask = calloc(1, sizeof *ask);
    *ask = (struct sip_route_ask){.request = {.call_id = "id@pbx",
                                              .business_id = "123",
                                              .called = "+49302",
                                              .caller = "+49301",
                                              .source = "203.0.113.7"},
                                  .region_id = "EU-DE"};
    snprintf(ask->number_id, sizeof ask->number_id, "%s", number_id);
    mail(SIP_ROUTE, ask, sip_route_ask_free);
}

static void queue_says(enum callqueue_verdict verdict) {
    f.opened(0, verdict, f.queue_arg);
}

static void a_call_is_redirected_to_a_node(void **state) {
    (void)state;
    ask_for("abc");
    assert_int_equal(f.asked.max_calls, 2);
    assert_false(f.asked.has_login);
    assert_false(f.asked.direct);
    assert_string_equal(f.asked_server, "node-1");
    assert_string_equal(f.asked_region, "EU-DE");
    assert_null(heard_of(SIP_ROUTED));
    queue_says(CALLQUEUE_OK);
    assert_int_equal(heard_of(SIP_ROUTED)->to, SIP_HANDLE);
    assert_int_equal(f.verdict.status, 302);
    assert_string_equal(f.verdict.reason, "Redirecting to Media Server");
    assert_int_equal(f.verdict.backend_count, 1);
    assert_string_equal(f.verdict.backends[0].endpoint, "10.0.0.5");
    assert_int_equal(f.verdict.backends[0].port, 5070);
    assert_string_equal(f.verdict.queue_id, f.asked_id);
    assert_string_equal(f.sent_to, "node-1");
}

static void a_login_is_remembered_in_the_entry(void **state) {
    (void)state;
    ask_for("log");
    assert_true(f.asked.has_login);
    queue_says(CALLQUEUE_OK);
}

static void refusals_have_their_statuses(void **state) {
    (void)state;
    ask_for("abc");
    queue_says(CALLQUEUE_DUPLICATE);
    assert_int_equal(f.verdict.status, 482);
    assert_string_equal(f.verdict.reason, "Call already exists");
    ask_for("abc");
    queue_says(CALLQUEUE_FULL);
    assert_int_equal(f.verdict.status, 503);
    assert_true(f.verdict.retry_after_s > 0);
    ask_for("gone");
    assert_int_equal(f.verdict.status, 404);
    f.queue_err = -ENOTCONN;
    ask_for("abc");
    assert_int_equal(f.verdict.status, 500);
    assert_string_equal(f.verdict.reason, "Unable to create call queue entry");
    assert_true(f.verdict.retry_after_s > 0);
}

static void without_a_node_the_entry_says_so(void **state) {
    (void)state;
    f.node_count = 0;
    ask_for("abc");
    assert_string_equal(f.asked_refusal, "No Available Servers");
    assert_int_equal(f.asked.server_count, 0);
    queue_says(CALLQUEUE_REFUSED);
    assert_int_equal(f.verdict.status, 503);
    assert_string_equal(f.verdict.reason, "No Available Servers");
    assert_string_equal(f.sent_to, "");
}

static void who_gives_up_early_holds_nothing(void **state) {
    (void)state;
    ask_for("abc");
    mail(SIP_ROUTE_GONE, NULL, NULL);
    mail(SIP_ROUTE_GONE, NULL, NULL);
    assert_int_equal(f.overs, 1);
    assert_int_equal(f.over_status, CALLQUEUE_CANCELED);
    assert_string_equal(f.over_id, f.asked_id);
    queue_says(CALLQUEUE_OK);
    assert_null(heard_of(SIP_ROUTED));
}

static void questions_left_at_the_end_are_freed(void **state) {
    (void)state;
    ask_for("abc");
    mail(SIP_ROUTE_GONE, NULL, NULL);
}

int main(void) {
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        RULE(a_call_is_redirected_to_a_node),   RULE(a_login_is_remembered_in_the_entry),
        RULE(refusals_have_their_statuses),     RULE(without_a_node_the_entry_says_so),
        RULE(who_gives_up_early_holds_nothing), RULE(questions_left_at_the_end_are_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
