// SPDX-License-Identifier: Apache-2.0
#include "proxy_fixture.h"

static const struct proxy_limits usual = {0};

static void a_call_is_redirected(void **state) {
    (void)state;
    struct fixture f;
    fixture_start(&f, "", "", usual);
    fixture_call(&f, (struct fixture_call){.uri = "sip:+96812345678@proxy;x-business-ID=123;X-Phone-Id=abc"});
    assert_memory_equal(fixture_receive(&f), "SIP/2.0 100 Trying\r\n", 20);
    fixture_expect(&f, "SIP/2.0 302 Redirecting to Media Server\r\n");
    fixture_expect_line(&f,
                        "Contact: <sip:+96812345678@10.0.0.5:5070;X-CallQueue-Id=q-1;transport=udp>;q=1.0");
    fixture_expect_line(
        &f, "Contact: <sip:+96812345678@[2001:db8::5]:5071;X-CallQueue-Id=q-1;transport=udp>;q=0.9");
    assert_string_equal(f.last_ask.request.business_id, "123");
    assert_string_equal(f.last_ask.number_id, "abc");
    assert_string_equal(f.last_ask.region_id, "EU");
    assert_string_equal(f.last_ask.request.caller, "+4930");
    assert_string_equal(f.last_ask.request.called, "+96812345678");
    assert_string_equal(f.last_ask.request.source, "127.0.0.1");
    assert_int_equal(f.last_ask.request.source_port, f.udp_port);
    assert_string_equal(f.last_ask.request.transport, "udp");
    fixture_stop(&f);
}

static void the_dialled_number_alone_is_enough(void **state) {
    (void)state;
    struct fixture f;
    fixture_start(&f, "", "", usual);
    fixture_call(&f, (struct fixture_call){.uri = "sip:96812345678@proxy"});
    fixture_expect(&f, "SIP/2.0 302 ");
    assert_string_equal(f.last_ask.request.business_id, "123");
    assert_string_equal(f.last_ask.number_id, "abc");
    fixture_stop(&f);
}

static void what_is_sent_again_gets_the_same_answer(void **state) {
    (void)state;
    struct fixture f;
    char first[FIXTURE_MESSAGE];
    fixture_start(&f, "", "", usual);
    fixture_call(&f, (struct fixture_call){0});
    fixture_final(&f);
    memcpy(first, f.message, sizeof first);
    for (int i = 0; i < 3; i++) {
        fixture_call(&f, (struct fixture_call){0});
        assert_string_equal(fixture_final(&f), first);
    }
    assert_int_equal(f.ask_count, 1);
    fixture_call(&f, (struct fixture_call){.method = "ACK"});
    fixture_expect_silence(&f);
    fixture_stop(&f);
}

static void while_it_waits_it_is_told_to_wait(void **state) {
    (void)state;
    struct fixture f;
    fixture_start(&f, "", "", usual);
    f.hold = true;
    for (int i = 0; i < 2; i++) {
        fixture_call(&f, (struct fixture_call){0});
        assert_memory_equal(fixture_receive(&f), "SIP/2.0 100 Trying\r\n", 20);
    }
    assert_int_equal(f.ask_count, 1);
    fixture_decide(&f, f.asked[0], 302);
    fixture_expect(&f, "SIP/2.0 302 ");
    fixture_decide(&f, f.asked[0], 302); // a second verdict finds nothing
    fixture_stop(&f);
}

static void cancel_gives_up(void **state) {
    (void)state;
    struct fixture f;
    fixture_start(&f, "", "", usual);
    f.hold = true;
    fixture_call(&f, (struct fixture_call){0});
    fixture_receive(&f);
    fixture_call(&f, (struct fixture_call){.method = "CANCEL"});
    fixture_expect(&f, "SIP/2.0 200 ");
    fixture_expect_line(&f, "CSeq: 1 CANCEL");
    fixture_expect(&f, "SIP/2.0 487 ");
    fixture_expect_line(&f, "CSeq: 1 INVITE");
    assert_int_equal(f.gone_count, 1);
    assert_true(f.gone[0] == f.asked[0]);
    fixture_decide(&f, f.asked[0], 302); // too late
    fixture_call(&f, (struct fixture_call){.method = "ACK"});
    fixture_expect_silence(&f);
    // After the answer it changes nothing; without an INVITE it is an error.
    f.hold = false;
    fixture_call(&f, (struct fixture_call){.call_id = "d"});
    fixture_expect(&f, "SIP/2.0 302 ");
    fixture_call(&f, (struct fixture_call){.call_id = "d", .method = "CANCEL"});
    fixture_expect(&f, "SIP/2.0 200 ");
    fixture_call(&f, (struct fixture_call){.call_id = "e", .method = "CANCEL"});
    fixture_expect(&f, "SIP/2.0 481 ");
    assert_int_equal(f.gone_count, 1);
    fixture_stop(&f);
}

static void no_verdict_is_a_503(void **state) {
    (void)state;
    struct fixture f;
    fixture_start(&f, "", "", (struct proxy_limits){.verdict_ms = 50});
    f.hold = true;
    fixture_call(&f, (struct fixture_call){0});
    fixture_expect(&f, "SIP/2.0 503 ");
    fixture_expect_line(&f, "Retry-After: 10");
    assert_int_equal(f.gone_count, 1);
    f.full = true;
    fixture_call(&f, (struct fixture_call){.call_id = "d"});
    fixture_expect(&f, "SIP/2.0 503 ");
    assert_int_equal(f.ask_count, 1);
    fixture_stop(&f);
}

static void what_ctl_refuses_is_said_with_its_words(void **state) {
    (void)state;
    struct fixture f;
    fixture_start(&f, "", "", usual);
    f.status = 482;
    fixture_call(&f, (struct fixture_call){0});
    fixture_expect(&f, "SIP/2.0 482 Limit of 482\r\n");
    fixture_stop(&f);
}

static void our_own_checks_refuse_before_anybody_is_asked(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"sip:+9681@p;X-Business-Id=x;X-Phone-Id=abc", "404 Unable to parse business id to long"},
        {"sip:+9681@p;X-Business-Id=9;X-Phone-Id=abc", "404 Business Not Found"},
        {"sip:+9681@p;X-Business-Id=123", "404 Phone id in request empty or not found"},
        {"sip:+9681@p;X-Business-Id=123;X-Phone-Id=none", "404 Number Not Found"},
        {"sip:+9681@p;X-Business-Id=123;X-Phone-Id=acl", "403 Unauthorized Source IP"},
        {"sip:+777@p", "404 Number Not Found"},
        {"sip:alice@p", "404 Unable to parse business id to long"},
        {"http:alice@p", "416 Unsupported URI Scheme"},
    };
    struct fixture f;
    fixture_start(&f, "", "", usual);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char wanted[128], call_id[16];
        snprintf(call_id, sizeof call_id, "case-%zu", i);
        snprintf(wanted, sizeof wanted, "SIP/2.0 %s\r\n", cases[i][1]);
        fixture_call(&f, (struct fixture_call){.uri = cases[i][0], .call_id = call_id});
        fixture_expect(&f, wanted);
    }
    assert_int_equal(f.ask_count, 0);
    fixture_stop(&f);
}

static void other_methods(void **state) {
    (void)state;
    static const char *const methods[] = {"BYE",     "REGISTER", "SUBSCRIBE", "INFO",
                                          "MESSAGE", "PUBLISH",  "FOO"};
    struct fixture f;
    fixture_start(&f, "", "", usual);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        fixture_call(&f, (struct fixture_call){.method = methods[i], .call_id = methods[i]});
        fixture_expect(&f, "SIP/2.0 405 Proxy does not handle this method type\r\n");
        fixture_expect_line(&f, "Allow: INVITE, ACK, CANCEL, OPTIONS");
    }
    fixture_call(&f, (struct fixture_call){.method = "OPTIONS"});
    fixture_expect(&f, "SIP/2.0 200 OK\r\n");
    fixture_expect_line(&f, "Allow: INVITE, ACK, CANCEL, OPTIONS");
    fixture_call(&f, (struct fixture_call){.headers = "Proxy-Require: sec-agree, x\r\n"});
    fixture_expect(&f, "SIP/2.0 420 ");
    fixture_expect_line(&f, "Unsupported: sec-agree, x");
    fixture_call(&f, (struct fixture_call){.headers = "Require: 100rel\r\n", .call_id = "r"});
    fixture_expect(&f, "SIP/2.0 302 ");
    fixture_stop(&f);
}

static void a_merged_request_is_the_only_482_of_ours(void **state) {
    (void)state;
    struct fixture f;
    fixture_start(&f, "", "", usual);
    fixture_call(&f, (struct fixture_call){.branch = "1"});
    fixture_expect(&f, "SIP/2.0 302 ");
    fixture_call(&f, (struct fixture_call){.branch = "2"});
    fixture_expect(&f, "SIP/2.0 482 ");
    // Another trunk that happens to have the same Call-ID.
    fixture_call(&f, (struct fixture_call){.branch = "3", .from = "<sip:+4931@other>;tag=g"});
    fixture_expect(&f, "SIP/2.0 302 ");
    assert_int_equal(f.ask_count, 2);
    fixture_stop(&f);
}

static void draining_sends_trunks_elsewhere(void **state) {
    (void)state;
    struct fixture f;
    fixture_start(&f, "", "", usual);
    f.hold = true;
    fixture_call(&f, (struct fixture_call){.call_id = "before"});
    fixture_receive(&f);
    proxy_drain(f.proxy);
    static const char *const methods[] = {"INVITE", "OPTIONS"};
    for (size_t i = 0; i < 2; i++) {
        fixture_call(&f, (struct fixture_call){.method = methods[i], .call_id = methods[i]});
        fixture_expect(&f, "SIP/2.0 503 Service Unavailable\r\n");
        fixture_expect_line(&f, "Retry-After: 10");
    }
    fixture_decide(&f, f.asked[0], 302); // what had begun goes on
    fixture_expect(&f, "SIP/2.0 302 ");
    fixture_stop(&f);
}

static void too_many_are_told_so_and_then_nothing(void **state) {
    (void)state;
    struct fixture f;
    char call_id[16];
    fixture_start(&f, "", ",\"InvitesPerSecond\":2", usual);
    unsigned counts[4] = {0};
    for (int i = 0; i < 40; i++) {
        snprintf(call_id, sizeof call_id, "call-%d", i);
        fixture_call(&f, (struct fixture_call){.call_id = call_id});
    }
    while (fixture_receive_on(&f, f.udp, 300000)) {
        counts[0] += strncmp(f.message, "SIP/2.0 302", 11) == 0;
        counts[1] += strncmp(f.message, "SIP/2.0 503", 11) == 0;
        counts[2] += strncmp(f.message, "SIP/2.0 100", 11) == 0;
        counts[3]++;
    }
    // Timing may add one or two of the first kinds, and timer G sends a 302 again.
    assert_true(counts[0] >= 2 && counts[1] >= 2);
    assert_int_equal(counts[0] + counts[1] + counts[2], counts[3]);
    assert_in_range(f.ask_count, 2, 20);
    assert_in_range(counts[1], 2, 20);
    fixture_stop(&f);
}

static void scanners_hear_nothing(void **state) {
    (void)state;
    struct fixture f;
    char uri[64], call_id[16];
    fixture_start(&f, "", ",\"InvitesPerSecond\":0", usual);
    fixture_call(&f, (struct fixture_call){.headers = "User-Agent: friendly-scanner\r\n"});
    fixture_call(&f, (struct fixture_call){.method = "OPTIONS", .headers = "User-Agent: SIPVicious 0.3\r\n"});
    fixture_expect_silence(&f);
    // Number after number: the first twenty are answered.
    for (int i = 0; i < 20; i++) {
        snprintf(uri, sizeof uri, "sip:+9999%d@p", i);
        snprintf(call_id, sizeof call_id, "try-%d", i);
        fixture_call(&f, (struct fixture_call){.uri = uri, .call_id = call_id});
        fixture_expect(&f, "SIP/2.0 404 ");
        fixture_call(&f, (struct fixture_call){.uri = uri, .call_id = call_id, .method = "ACK"});
    }
    fixture_call(&f, (struct fixture_call){.uri = "sip:+88888@p", .call_id = "try"});
    fixture_expect_silence(&f);
    fixture_call(&f, (struct fixture_call){.call_id = "good"}); // what is there is still reached
    fixture_expect(&f, "SIP/2.0 302 ");
    fixture_stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_redirected),
        cmocka_unit_test(the_dialled_number_alone_is_enough),
        cmocka_unit_test(what_is_sent_again_gets_the_same_answer),
        cmocka_unit_test(while_it_waits_it_is_told_to_wait),
        cmocka_unit_test(cancel_gives_up),
        cmocka_unit_test(no_verdict_is_a_503),
        cmocka_unit_test(what_ctl_refuses_is_said_with_its_words),
        cmocka_unit_test(our_own_checks_refuse_before_anybody_is_asked),
        cmocka_unit_test(other_methods),
        cmocka_unit_test(a_merged_request_is_the_only_482_of_ours),
        cmocka_unit_test(draining_sends_trunks_elsewhere),
        cmocka_unit_test(too_many_are_told_so_and_then_nothing),
        cmocka_unit_test(scanners_hear_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
