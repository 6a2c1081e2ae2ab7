// SPDX-License-Identifier: Apache-2.0
// Calls at the listener: their beginning and their end, by real messages over UDP.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "uas_fixture.h"

static void test_call_from_invite_to_bye(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    peer_send(peer, "INVITE", "User-Agent: Test 1\r\n", PEER_SDP);
    peer_expect(peer, "SIP/2.0 100");
    struct mail mail = fixture_mail(f, SIP_INVITE);
    struct sip_invite *invite = mail.data;
    assert_string_equal(invite->request.queue_id, "queue-1");
    assert_string_equal(invite->request.called, "+96812345678");
    assert_string_equal(invite->request.caller, "+4930123456");
    assert_string_equal(invite->request.caller_name, "Alice");
    assert_string_equal(invite->request.source, "127.0.0.1");
    assert_int_equal(invite->request.source_port, peer->port);
    assert_string_equal(invite->request.transport, "udp");
    assert_string_equal(invite->request.call_id, peer->call_id);
    assert_string_equal(invite->local, "127.0.0.1");
    assert_string_equal(invite->sdp, PEER_SDP);
    assert_false(invite->wants_reliable);
    sip_invite_free(invite);

    ctl_says(f, mail.to, SIP_PROGRESS, 0, "session-1");
    peer_expect(peer, "SIP/2.0 180");
    assert_string_equal(peer_header(peer, "Require"), "");
    ctl_says(f, mail.to, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_body(peer), OUR_SDP);
    assert_string_equal(peer_header(peer, "Content-Type"), "application/sdp");
    char contact[128];
    snprintf(contact, sizeof contact, "<sip:127.0.0.1:%u;transport=udp>", f->port);
    assert_string_equal(peer_header(peer, "Contact"), contact);
    assert_string_equal(peer_header(peer, "Server"), "iqra-gateway");
    assert_non_null(strstr(peer_header(peer, "Allow"), "UPDATE"));
    assert_string_equal(peer_header(peer, "Session-Expires"), ""); // the peer did not speak of timers
    peer_ack(peer, peer->cseq, "");
    fixture_skip(f, SIP_CONFIRMED);

    peer_send(peer, "BYE", "Reason: Q.850;cause=16;text=\"Normal call clearing\", SIP;cause=200\r\n", "");
    peer_expect(peer, "SIP/2.0 200");
    fixture_over(f, SIP_OVER_BYE, "BYE: Q.850 cause 16: Normal call clearing; SIP cause 200");
    peer_send(peer, "BYE", "", "");
    peer_expect(peer, "SIP/2.0 481");
    assert_false(fixture_has_mail(f));
}

static void test_we_hang_up_with_a_reason(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    uint64_t handle = call_up(f, "");
    ctl_says(f, handle, SIP_BYE, 41, "agent \"failed\"\r\nInjected: x");
    fixture_over(f, SIP_OVER_OURS, "agent");
    peer_expect(peer, "BYE sip:alice@127.0.0.1");
    assert_string_equal(peer_header(peer, "Reason"), "Q.850;cause=41;text=\"agent failedInjected: x\"");
    assert_string_equal(peer_header(peer, "User-Agent"), "iqra-gateway");
    assert_string_equal(peer_header(peer, "Injected"), "");
    peer_answer(peer, "200 OK", "", "");
    peer_send(peer, "INFO", "", "");
    peer_expect(peer, "SIP/2.0 481");
    assert_false(fixture_has_mail(f));
}

static void test_both_hang_up_at_once(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    uint64_t handle = call_up(f, "");
    peer_send(peer, "BYE", "", "");
    ctl_says(f, handle, SIP_BYE, 0, "");
    fixture_over(f, SIP_OVER_OURS, "we hung up");
    peer_expect(peer, "BYE ");
    static char bye[PEER_MESSAGE];
    memcpy(bye, peer->got, sizeof bye);
    peer_expect(peer, "SIP/2.0 200");
    memcpy(peer->got, bye, sizeof bye);
    peer_answer(peer, "200 OK", "", "");
    peer_send(peer, "OPTIONS", "", "");
    peer_expect(peer, "SIP/2.0 481");
    assert_false(fixture_has_mail(f));
}

static void test_ctl_refuses(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    peer_send(peer, "INVITE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 100");
    uint64_t handle = fixture_skip(f, SIP_INVITE);
    ctl_retry(f, handle, SIP_REJECT, 503, "No agent\r\nX: y", 7);
    peer_expect(peer, "SIP/2.0 503 No agentX: y\r\n");
    assert_string_equal(peer_header(peer, "Retry-After"), "7");
    fixture_over(f, SIP_OVER_OURS, "503");
    peer_same_branch(peer, "ACK", "");
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP); // too late: finds nothing
    *peer->gateway_tag = '\0';
    peer_send(peer, "INVITE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 100");
    handle = fixture_skip(f, SIP_INVITE);
    ctl_says(f, handle, SIP_REJECT, 404, "Call queue not found");
    peer_expect(peer, "SIP/2.0 404 Call queue not found\r\n");
    assert_string_equal(peer_header(peer, "Retry-After"), "");
    peer_same_branch(peer, "ACK", "");
    fixture_over(f, SIP_OVER_OURS, "404");
}

static void test_retransmitted_invite_is_one_call(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    static char invite[PEER_MESSAGE];
    size_t len = peer_compose(peer, invite, "INVITE", ++peer->cseq, ++peer->branch, "", PEER_SDP);
    peer_write(peer, invite, len);
    peer_write(peer, invite, len);
    peer_expect(peer, "SIP/2.0 100");
    uint64_t handle = fixture_skip(f, SIP_INVITE);
    ctl_says(f, handle, SIP_PROGRESS, 0, NULL);
    peer_expect(peer, "SIP/2.0 180");
    static char ringing[PEER_MESSAGE];
    memcpy(ringing, peer->got, sizeof ringing);
    peer_write(peer, invite, len);
    do
        assert_true(peer_next(peer, PEER_WAIT_MS));
    while (strcmp(peer->got, ringing) != 0);
    assert_false(fixture_has_mail(f));
}

static void test_cancel_while_it_rings(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    peer_send(peer, "INVITE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 100");
    uint64_t handle = fixture_skip(f, SIP_INVITE);
    ctl_says(f, handle, SIP_PROGRESS, 0, NULL);
    peer_expect(peer, "SIP/2.0 180");
    char tag[64];
    snprintf(tag, sizeof tag, "%s", peer->gateway_tag);
    *peer->gateway_tag = '\0'; // a CANCEL's To is that of the INVITE
    peer_same_branch(peer, "CANCEL", "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n");
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_header(peer, "CSeq"), "1 CANCEL");
    assert_string_equal(peer->gateway_tag, tag);
    peer_expect(peer, "SIP/2.0 487");
    assert_string_equal(peer_header(peer, "CSeq"), "1 INVITE");
    peer_same_branch(peer, "ACK", "");
    fixture_over(f, SIP_OVER_CANCEL, "CANCEL: SIP cause 200: Call completed elsewhere");
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    ctl_says(f, handle, SIP_BYE, 0, "");
    assert_false(peer_next(peer, 50) && strncmp(peer->got, "SIP/2.0 487", 11) != 0);
    assert_false(fixture_has_mail(f));
}

static void test_cancel_crosses_our_200(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    peer_send(peer, "INVITE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 100");
    uint64_t handle = fixture_skip(f, SIP_INVITE);
    peer_same_branch(peer, "CANCEL", ""); // lies in our socket while ctl accepts
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_header(peer, "CSeq"), "1 INVITE");
    peer_expect(peer, "SIP/2.0 481");
    assert_string_equal(peer_header(peer, "CSeq"), "1 CANCEL");
    peer_ack(peer, 1, "");
    fixture_skip(f, SIP_CONFIRMED);
    peer_send(peer, "BYE", "", "");
    peer_expect(peer, "SIP/2.0 200");
    fixture_over(f, SIP_OVER_BYE, "BYE");
}

static void test_cancel_of_nothing(void **state) {
    struct fixture *f = *state;
    peer_send(&f->peer, "CANCEL", "", "");
    peer_expect(&f->peer, "SIP/2.0 481");
    assert_false(fixture_has_mail(f));
}

static void test_no_ack_ends_in_bye(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    peer_send(peer, "INVITE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 100");
    uint64_t handle = fixture_skip(f, SIP_INVITE);
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200");
    unsigned repeated = 0;
    while (peer_next(peer, PEER_WAIT_MS) && strncmp(peer->got, "SIP/2.0 200", 11) == 0)
        repeated++;
    assert_true(repeated >= 2);
    assert_int_equal(strncmp(peer->got, "BYE ", 4), 0);
    peer_answer(peer, "200 OK", "", "");
    fixture_over(f, SIP_OVER_NO_ACK, "not acknowledged");
    assert_false(fixture_has_mail(f));
}

static void test_bye_waits_for_the_ack(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    peer_send(peer, "INVITE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 100");
    uint64_t handle = fixture_skip(f, SIP_INVITE);
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200");
    ctl_says(f, handle, SIP_BYE, 16, "agent left");
    fixture_over(f, SIP_OVER_OURS, "agent left");
    assert_true(peer_next(peer, PEER_WAIT_MS)); // only our 200 again
    assert_int_equal(strncmp(peer->got, "SIP/2.0 200", 11), 0);
    peer_ack(peer, 1, "");
    peer_expect(peer, "BYE ");
    peer_answer(peer, "200 OK", "", "");
    assert_false(fixture_has_mail(f));
}

static void test_peer_hangs_up_before_its_ack(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    peer_send(peer, "INVITE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 100");
    uint64_t handle = fixture_skip(f, SIP_INVITE);
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200");
    peer_send(peer, "BYE", "", "");
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_header(peer, "CSeq"), "2 BYE");
    fixture_over(f, SIP_OVER_BYE, "BYE");
    peer_ack(peer, 1, "");
    assert_false(fixture_has_mail(f));
}

static void test_peer_hangs_up_while_it_rings(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    peer_send(peer, "INVITE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 100");
    uint64_t handle = fixture_skip(f, SIP_INVITE);
    ctl_says(f, handle, SIP_PROGRESS, 0, NULL);
    peer_expect(peer, "SIP/2.0 180");
    peer_send(peer, "BYE", "", "");
    peer_expect(peer, "SIP/2.0 200");
    peer_expect(peer, "SIP/2.0 487");
    fixture_over(f, SIP_OVER_BYE, "BYE");
}

static void test_we_give_up_while_it_rings(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    peer_send(peer, "INVITE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 100");
    uint64_t handle = fixture_skip(f, SIP_INVITE);
    ctl_says(f, handle, SIP_BYE, 31, "hung up by an operator");
    peer_expect(peer, "SIP/2.0 487");
    assert_string_equal(peer_header(peer, "Reason"), "Q.850;cause=31;text=\"hung up by an operator\"");
    fixture_over(f, SIP_OVER_OURS, "487");
}

static void test_ctl_is_behind(void **state) {
    struct fixture *f = *state;
    f->ctl_is_full = true;
    peer_send(&f->peer, "INVITE", "", PEER_SDP);
    peer_expect(&f->peer, "SIP/2.0 503");
    assert_string_not_equal(peer_header(&f->peer, "Retry-After"), "");
    assert_false(fixture_has_mail(f));
}

static void test_keys_by_info(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    call_up(f, "");
    peer_send(peer, "INFO", "Content-Type: application/dtmf-relay\r\n", "Signal=5\r\nDuration=160\r\n");
    peer_expect(peer, "SIP/2.0 200");
    fixture_text(f, SIP_DTMF, "5");
    peer_send(peer, "INFO", "Content-Type: application/dtmf\r\n", "#");
    peer_expect(peer, "SIP/2.0 200");
    fixture_text(f, SIP_DTMF, "#");
    peer_send(peer, "INFO", "Content-Type: application/dtmf-relay\r\n", "Signal=99\r\n");
    peer_expect(peer, "SIP/2.0 400");
    peer_send(peer, "INFO", "Content-Type: application/vnd.nortelnetworks.digits\r\n",
              "p=Digit-Collection\r\n");
    peer_expect(peer, "SIP/2.0 415");
    assert_string_equal(peer_header(peer, "Accept"), "application/dtmf-relay, application/dtmf");
    peer_send(peer, "INFO", "", "");
    peer_expect(peer, "SIP/2.0 200");
    assert_false(fixture_has_mail(f));
}

static void test_other_methods_in_a_call(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    call_up(f, "");
    peer_send(peer, "OPTIONS", "", "");
    peer_expect(peer, "SIP/2.0 200");
    assert_non_null(strstr(peer_header(peer, "Allow"), "INVITE"));
    assert_non_null(strstr(peer_header(peer, "Accept"), "application/sdp"));
    assert_non_null(strstr(peer_header(peer, "Supported"), "100rel"));
    peer_send(peer, "REFER", "Refer-To: <sip:bob@example.org>\r\n", "");
    peer_expect(peer, "SIP/2.0 603");
    static const char *const others[] = {"MESSAGE", "NOTIFY", "SUBSCRIBE", "PUBLISH"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        peer_send(peer, others[i], "Event: x\r\n", "");
        peer_expect(peer, "SIP/2.0 405");
        assert_non_null(strstr(peer_header(peer, "Allow"), "BYE"));
    }
    peer_send(peer, "FETCH", "", "");
    peer_expect(peer, "SIP/2.0 501");
    peer_send(peer, "UPDATE", "Require: telepathy\r\n", "");
    peer_expect(peer, "SIP/2.0 420");
    assert_string_equal(peer_header(peer, "Unsupported"), "telepathy");
    peer_send(peer, "PRACK", "RAck: 1 1 INVITE\r\n", "");
    peer_expect(peer, "SIP/2.0 481");
    peer->cseq = 0; // an old CSeq (RFC 3261 section 12.2.2)
    peer_send(peer, "OPTIONS", "", "");
    peer_expect(peer, "SIP/2.0 500");
    assert_false(fixture_has_mail(f));
}

// An SBC in front: our BYE goes by its Record-Route, to the peer's Contact.
static void test_route_set(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    char route[256];
    snprintf(route, sizeof route, "Record-Route: <sip:127.0.0.1:%u;lr;x=1>, <sip:192.0.2.1;lr>\r\n",
             peer->port);
    uint64_t handle = call_up(f, route);
    ctl_says(f, handle, SIP_BYE, 0, "");
    peer_expect(peer, "BYE sip:alice@127.0.0.1");
    char expected[256];
    snprintf(expected, sizeof expected, "<sip:127.0.0.1:%u;lr;x=1>, <sip:192.0.2.1;lr>", peer->port);
    char routes[512];
    snprintf(routes, sizeof routes, "%s", peer_header(peer, "Route"));
    assert_int_equal(strncmp(routes, expected, strcspn(expected, ",")), 0);
    peer_answer(peer, "200 OK", "", "");
    fixture_skip(f, SIP_OVER);
}

// The peer says a private address, but is reached where it came from.
static void test_peer_behind_nat(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    static char text[PEER_MESSAGE];
    size_t len = peer_compose(peer, text, "INVITE", ++peer->cseq, ++peer->branch, "", PEER_SDP);
    char *contact = strstr(text, "Contact: <sip:alice@127.0.0.1");
    memcpy(contact, "Contact: <sip:alice@10.0.0.99", strlen("Contact: <sip:alice@10.0.0.99"));
    peer_write(peer, text, len);
    peer_expect(peer, "SIP/2.0 100");
    uint64_t handle = fixture_skip(f, SIP_INVITE);
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200");
    peer_ack(peer, 1, "");
    fixture_skip(f, SIP_CONFIRMED);
    ctl_says(f, handle, SIP_BYE, 0, "");
    peer_expect(peer, "BYE sip:alice@10.0.0.99");
    peer_answer(peer, "200 OK", "", "");
    fixture_skip(f, SIP_OVER);
}

int main(void) {
#define CALL(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        CALL(test_call_from_invite_to_bye),
        CALL(test_we_hang_up_with_a_reason),
        CALL(test_both_hang_up_at_once),
        CALL(test_ctl_refuses),
        CALL(test_retransmitted_invite_is_one_call),
        CALL(test_cancel_while_it_rings),
        CALL(test_cancel_crosses_our_200),
        CALL(test_cancel_of_nothing),
        CALL(test_no_ack_ends_in_bye),
        CALL(test_bye_waits_for_the_ack),
        CALL(test_peer_hangs_up_before_its_ack),
        CALL(test_peer_hangs_up_while_it_rings),
        CALL(test_we_give_up_while_it_rings),
        CALL(test_ctl_is_behind),
        CALL(test_keys_by_info),
        CALL(test_other_methods_in_a_call),
        CALL(test_route_set),
        CALL(test_peer_behind_nat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
