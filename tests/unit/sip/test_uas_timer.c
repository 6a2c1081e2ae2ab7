// SPDX-License-Identifier: Apache-2.0
// Session timers in both roles (RFC 4028), whose seconds last half a millisecond here.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "uas_fixture.h"

#define PEER_SDP_2                                                                                           \
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4002 RTP/AVP 0\r\n"

#define OUR_SDP_2                                                                                            \
    "v=0\r\no=- 7 8 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP "         \
    "0\r\na=recvonly\r\n"

static int setup(void **state) {
    struct fixture *f = fixture_new(&(struct fixture_options){.timing = {.second_us = 500}});
    peer_open(&f->peer, fixture_turn, f->root, PEER_UDP, AF_INET, f->port);
    *state = f;
    return 0;
}

static void test_peer_refreshes(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    peer_send(peer, "INVITE", "Supported: timer\r\nSession-Expires: 1800;refresher=uac\r\n", PEER_SDP);
    peer_expect(peer, "SIP/2.0 100");
    uint64_t handle = fixture_skip(f, SIP_INVITE);
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_header(peer, "Session-Expires"), "1800;refresher=uac");
    assert_string_equal(peer_header(peer, "Require"), "timer");
    peer_ack(peer, 1, "");
    fixture_skip(f, SIP_CONFIRMED);
    uint64_t answered_ms = peer_now_ms();
    while (peer_now_ms() < answered_ms + 200)
        su_root_step(f->root, 10);
    peer_send(peer, "UPDATE", "Supported: timer\r\nSession-Expires: 1800;refresher=uac\r\n", "");
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_header(peer, "Session-Expires"), "1800;refresher=uac");
    uint64_t refreshed_ms = peer_now_ms();
    peer_expect(peer, "BYE "); // no second one comes
    assert_true(peer_now_ms() >= refreshed_ms + 870);
    assert_string_equal(peer_header(peer, "Reason"), "Q.850;cause=102;text=\"session timer expired\"");
    peer_answer(peer, "200 OK", "", "");
    fixture_over(f, SIP_OVER_EXPIRED, "no session refresh");
    assert_false(fixture_has_mail(f));
}

static uint64_t call_that_we_refresh(struct fixture *f, const char *allow) {
    struct peer *peer = &f->peer;
    char headers[256];
    snprintf(headers, sizeof headers,
             "Supported: timer\r\nSession-Expires: 1800;refresher=uas\r\nAllow: %s\r\n", allow);
    peer_send(peer, "INVITE", headers, PEER_SDP);
    peer_expect(peer, "SIP/2.0 100");
    uint64_t handle = fixture_skip(f, SIP_INVITE);
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_header(peer, "Session-Expires"), "1800;refresher=uas");
    peer_ack(peer, 1, "");
    fixture_skip(f, SIP_CONFIRMED);
    return handle;
}

static void test_we_refresh_by_update(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    call_that_we_refresh(f, "INVITE, ACK, BYE, UPDATE");
    for (int i = 0; i < 2; i++) {
        peer_expect(peer, "UPDATE sip:alice@");
        assert_string_equal(peer_header(peer, "Session-Expires"), "1800;refresher=uac");
        assert_string_equal(peer_header(peer, "Min-SE"), "90");
        assert_string_equal(peer_body(peer), "");
        peer_answer(peer, "200 OK", "Require: timer\r\nSession-Expires: 1800;refresher=uac\r\n", "");
    }
    peer_expect(peer, "UPDATE ");
    peer_answer(peer, "481 Gone", "", "");
    peer_expect(peer, "BYE ");
    peer_answer(peer, "200 OK", "", "");
    fixture_over(f, SIP_OVER_EXPIRED, "does not know the call");
}

static void test_we_refresh_by_reinvite(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    uint64_t handle = call_that_we_refresh(f, "INVITE, ACK, BYE");
    peer_expect(peer, "INVITE sip:alice@");
    assert_string_equal(peer_body(peer), OUR_SDP); // as it was
    unsigned cseq = peer_number(peer, "CSeq");
    // Both want to change the session at once.
    static char invite[PEER_MESSAGE];
    memcpy(invite, peer->got, sizeof invite);
    peer_send(peer, "INVITE", "", PEER_SDP_2);
    peer_expect(peer, "SIP/2.0 491");
    peer_same_branch(peer, "ACK", "");
    memcpy(peer->got, invite, sizeof invite);
    peer_answer(peer, "200 OK", "Session-Expires: 1800;refresher=uac\r\n", PEER_SDP);
    peer_expect(peer, "ACK sip:alice@");
    assert_int_equal(peer_number(peer, "CSeq"), cseq);
    memcpy(peer->got, invite, sizeof invite);
    peer_answer(peer, "200 OK", "Session-Expires: 1800;refresher=uac\r\n", PEER_SDP); // the ACK was lost
    assert_true(peer_next(peer, PEER_WAIT_MS));
    assert_int_equal(strncmp(peer->got, "ACK ", 4), 0);
    assert_false(fixture_has_mail(f));
    peer_expect(peer, "INVITE ");
    peer_answer(peer, "200 OK", "Session-Expires: 1800;refresher=uac\r\n", PEER_SDP_2);
    peer_expect(peer, "ACK ");
    fixture_text(f, SIP_OFFER, PEER_SDP_2); // something new
    peer_send(peer, "UPDATE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 500"); // one at a time
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP_2);
    peer_expect(peer, "INVITE ");
    assert_string_equal(peer_body(peer), OUR_SDP_2);
    peer_answer(peer, "200 OK", "Session-Expires: 1800;refresher=uac\r\n", PEER_SDP_2);
    peer_expect(peer, "ACK ");
    peer_send(peer, "BYE", "", "");
    peer_expect(peer, "SIP/2.0 200");
    fixture_over(f, SIP_OVER_BYE, "BYE");
}

static void test_update_that_is_not_known_becomes_reinvite(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    call_that_we_refresh(f, "INVITE, UPDATE");
    peer_expect(peer, "UPDATE ");
    peer_answer(peer, "405 Method Not Allowed", "", "");
    peer_expect(peer, "INVITE ");
    peer_answer(peer, "491 Request Pending", "", "");
    peer_expect(peer, "ACK ");
    peer_expect(peer, "INVITE "); // again after up to two seconds, or it expires before
    peer_answer(peer, "422 Session Interval Too Small", "Min-SE: 3600\r\n", "");
    peer_expect(peer, "ACK ");
    peer_expect(peer, "INVITE ");
    assert_string_equal(peer_header(peer, "Session-Expires"), "3600;refresher=uac");
    peer_answer(peer, "200 OK", "Session-Expires: 3600;refresher=uas\r\n", PEER_SDP);
    peer_expect(peer, "ACK ");
    peer_send(peer, "BYE", "", "");
    peer_expect(peer, "SIP/2.0 200");
    fixture_over(f, SIP_OVER_BYE, "BYE");
}

static void test_refused_change_leaves_the_time_as_it_was(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    uint64_t handle = call_that_we_refresh(f, "INVITE, UPDATE");
    peer_send(peer, "INVITE", "Supported: timer\r\nSession-Expires: 1000;refresher=uac\r\n", PEER_SDP_2);
    fixture_text(f, SIP_OFFER, PEER_SDP_2);
    ctl_says(f, handle, SIP_REJECT, 488, NULL);
    peer_expect(peer, "SIP/2.0 488");
    peer_same_branch(peer, "ACK", "");
    peer_expect(peer, "UPDATE ");
    assert_string_equal(peer_header(peer, "Session-Expires"), "1800;refresher=uac");
}

// RFC 3261 section 13.3.1.1: the caller must not think that we have fallen asleep.
static void test_ringing_is_repeated(void **state) {
    (void)state;
    struct fixture *f = fixture_new(&(struct fixture_options){.timing = {.ring_ms = 100}});
    struct peer *peer = &f->peer;
    static const char *const supported[] = {"", "Supported: 100rel\r\n"};
    peer_open(peer, fixture_turn, f->root, PEER_UDP, AF_INET, f->port);
    for (size_t i = 0; i < 2; i++) {
        *peer->gateway_tag = '\0';
        peer_send(peer, "INVITE", supported[i], PEER_SDP);
        peer_expect(peer, "SIP/2.0 100");
        uint64_t handle = fixture_skip(f, SIP_INVITE);
        ctl_says(f, handle, SIP_PROGRESS, 0, NULL);
        unsigned first = 0;
        for (unsigned n = 0; n < 3; n++) {
            if (i)
                peer_expect(peer, "SIP/2.0 180"); // each with a number of its own
            else
                assert_true(peer_next(peer, PEER_WAIT_MS) && strncmp(peer->got, "SIP/2.0 180", 11) == 0);
            if (i) {
                char rack[64];
                first = first ? first : peer_number(peer, "RSeq");
                assert_int_equal(peer_number(peer, "RSeq"), first + n);
                snprintf(rack, sizeof rack, "RAck: %u %s\r\n", first + n, peer_header(peer, "CSeq"));
                peer_send(peer, "PRACK", rack, "");
                peer_expect(peer, "SIP/2.0 200");
            }
        }
        ctl_says(f, handle, SIP_REJECT, 486, NULL);
        peer_expect(peer, "SIP/2.0 486");
        peer_same_branch(peer, "ACK", "");
        fixture_skip(f, SIP_OVER);
    }
    peer_close(peer);
    fixture_free(f);
}

static void test_too_short(void **state) {
    (void)state;
    struct fixture *f = fixture_new(&(struct fixture_options){.sip = ",\"SessionExpiresSeconds\":600"});
    struct peer *peer = &f->peer;
    peer_open(peer, fixture_turn, f->root, PEER_UDP, AF_INET, f->port);
    peer_send(peer, "INVITE", "Supported: timer\r\nSession-Expires: 60\r\n", PEER_SDP);
    peer_expect(peer, "SIP/2.0 422");
    assert_string_equal(peer_header(peer, "Min-SE"), "90");
    peer_same_branch(peer, "ACK", "");
    *peer->gateway_tag = '\0';
    // What the caller asks for is not longer than what we would like.
    peer_send(peer, "INVITE", "Supported: timer\r\nSession-Expires: 7200\r\n", PEER_SDP);
    peer_expect(peer, "SIP/2.0 100");
    uint64_t handle = fixture_skip(f, SIP_INVITE);
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_header(peer, "Session-Expires"), "600;refresher=uas");
    peer_ack(peer, peer->cseq, "");
    fixture_skip(f, SIP_CONFIRMED);
    peer_send(peer, "UPDATE", "Supported: timer\r\nSession-Expires: 30\r\n", "");
    peer_expect(peer, "SIP/2.0 422");
    peer_close(peer);
    fixture_free(f);
}

int main(void) {
#define CALL(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        CALL(test_peer_refreshes),
        CALL(test_we_refresh_by_update),
        CALL(test_we_refresh_by_reinvite),
        CALL(test_update_that_is_not_known_becomes_reinvite),
        CALL(test_refused_change_leaves_the_time_as_it_was),
        cmocka_unit_test(test_ringing_is_repeated),
        cmocka_unit_test(test_too_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
