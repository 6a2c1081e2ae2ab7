// SPDX-License-Identifier: Apache-2.0
// Offer and answer, both ways round, and 100rel: RFC 3261 sections 13 and 14, RFC 3262, RFC 3264, RFC 3311.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "uas_fixture.h"

#define PEER_SDP_2                                                                                           \
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4002 RTP/AVP "         \
    "0\r\na=sendonly\r\n"
#define OUR_SDP_2                                                                                            \
    "v=0\r\no=- 7 8 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP "         \
    "0\r\na=recvonly\r\n"

static uint64_t ring(struct fixture *f, const char *headers, const char *sdp, bool *wants_reliable) {
    peer_send(&f->peer, "INVITE", headers, sdp);
    peer_expect(&f->peer, "SIP/2.0 100");
    struct mail mail = fixture_mail(f, SIP_INVITE);
    struct sip_invite *invite = mail.data;
    *wants_reliable = invite->wants_reliable;
    if (*sdp)
        assert_string_equal(invite->sdp, sdp);
    else
        assert_null(invite->sdp);
    sip_invite_free(invite);
    ctl_says(f, mail.to, SIP_PROGRESS, 0, NULL);
    return mail.to;
}

static void bye(struct fixture *f) {
    peer_send(&f->peer, "BYE", "", "");
    peer_expect(&f->peer, "SIP/2.0 200");
    fixture_over(f, SIP_OVER_BYE, "BYE");
    assert_false(fixture_has_mail(f));
}

static void prack(struct fixture *f, const char *body) {
    char rack[128];
    snprintf(rack, sizeof rack, "RAck: %s %s\r\n", peer_header(&f->peer, "RSeq"),
             peer_header(&f->peer, "CSeq"));
    peer_send(&f->peer, "PRACK", rack, body);
}

static void test_ringing_is_acknowledged(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    bool wants;
    uint64_t handle = ring(f, "Supported: 100rel\r\n", PEER_SDP, &wants);
    assert_true(wants);
    peer_expect(peer, "SIP/2.0 180");
    assert_string_equal(peer_header(peer, "Require"), "100rel");
    assert_string_not_equal(peer_header(peer, "RSeq"), "");
    assert_true(peer_next(peer, PEER_WAIT_MS)); // repeated until the PRACK
    assert_int_equal(strncmp(peer->got, "SIP/2.0 180", 11), 0);
    prack(f, "");
    peer_expect(peer, "SIP/2.0 200");
    assert_non_null(strstr(peer_header(peer, "CSeq"), "PRACK"));
    peer_send(peer, "PRACK", "RAck: 1 1 INVITE\r\n", "");
    peer_expect(peer, "SIP/2.0 481");
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_body(peer), OUR_SDP);
    peer_ack(peer, 1, "");
    fixture_skip(f, SIP_CONFIRMED);
    bye(f);
}

static void test_200_overtakes_the_prack(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    bool wants;
    uint64_t handle = ring(f, "Require: 100rel\r\n", PEER_SDP, &wants);
    peer_expect(peer, "SIP/2.0 180");
    static char ringing[PEER_MESSAGE];
    memcpy(ringing, peer->got, sizeof ringing);
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200");
    memcpy(peer->got, ringing, sizeof ringing);
    prack(f, "");
    peer_expect(peer, "SIP/2.0 200");
    assert_non_null(strstr(peer_header(peer, "CSeq"), "PRACK"));
    peer_ack(peer, 1, "");
    fixture_skip(f, SIP_CONFIRMED);
    bye(f);
}

static void test_offer_in_prack_is_refused(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    bool wants;
    ring(f, "Require: 100rel\r\n", PEER_SDP, &wants);
    peer_expect(peer, "SIP/2.0 180");
    prack(f, PEER_SDP_2);
    peer_expect(peer, "SIP/2.0 488");
    peer_same_branch(peer, "ACK", "");
    assert_false(fixture_has_mail(f));
}

static void test_no_prack_ends_the_call(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    bool wants;
    ring(f, "Require: 100rel\r\n", PEER_SDP, &wants);
    peer_expect(peer, "SIP/2.0 180");
    peer_expect(peer, "SIP/2.0 503");
    fixture_over(f, SIP_OVER_TRANSPORT, "180 was not acknowledged");
    peer_same_branch(peer, "ACK", "");
    assert_false(fixture_has_mail(f));
}

static void test_invite_without_sdp(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    bool wants;
    uint64_t handle = ring(f, "Supported: 100rel\r\n", "", &wants);
    peer_expect(peer, "SIP/2.0 180");
    assert_string_equal(peer_header(peer, "RSeq"), ""); // a reliable one would have to have the offer
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_body(peer), OUR_SDP);
    // Until the answer is there, our offer is open: no other may begin.
    peer_send(peer, "UPDATE", "", PEER_SDP_2);
    peer_expect(peer, "SIP/2.0 491");
    peer_ack(peer, 1, PEER_SDP);
    fixture_text(f, SIP_ANSWER, PEER_SDP);
    fixture_skip(f, SIP_CONFIRMED);
    bye(f);
}

static void test_invite_without_sdp_that_requires_100rel(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    bool wants;
    uint64_t handle = ring(f, "Require: 100rel\r\n", "", &wants);
    assert_true(wants);
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200"); // no 180 before
    peer_ack(peer, 1, PEER_SDP);
    fixture_text(f, SIP_ANSWER, PEER_SDP);
    fixture_skip(f, SIP_CONFIRMED);
    bye(f);
}

static void test_ack_without_the_answer(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    bool wants;
    uint64_t handle = ring(f, "", "", &wants);
    peer_expect(peer, "SIP/2.0 180");
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200");
    peer_ack(peer, 1, "");
    peer_expect(peer, "BYE ");
    peer_answer(peer, "200 OK", "", "");
    fixture_over(f, SIP_OVER_NO_ACK, "no SDP answer");
    assert_false(fixture_has_mail(f));
}

static void test_hold_by_reinvite(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    uint64_t handle = call_up(f, "");
    peer_send(peer, "INVITE", "", PEER_SDP_2);
    fixture_text(f, SIP_OFFER, PEER_SDP_2);
    // One at a time.
    peer_send(peer, "INVITE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 500");
    assert_in_range(peer_number(peer, "Retry-After"), 1, 10);
    peer_same_branch(peer, "ACK", "");
    peer_send(peer, "UPDATE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 500");
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP_2);
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_header(peer, "CSeq"), "2 INVITE");
    assert_string_equal(peer_body(peer), OUR_SDP_2);
    peer_ack(peer, 2, "");
    peer_send(peer, "INVITE", "", PEER_SDP);
    fixture_text(f, SIP_OFFER, PEER_SDP);
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200");
    peer_ack(peer, 5, "");
    bye(f);
}

static void test_change_by_update(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    uint64_t handle = call_up(f, "");
    peer_send(peer, "UPDATE", "", PEER_SDP_2);
    fixture_text(f, SIP_OFFER, PEER_SDP_2);
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP_2);
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_header(peer, "CSeq"), "2 UPDATE");
    assert_string_equal(peer_body(peer), OUR_SDP_2);
    peer_send(peer, "UPDATE", "", PEER_SDP);
    fixture_text(f, SIP_OFFER, PEER_SDP);
    ctl_says(f, handle, SIP_REJECT, 488, "No common codec");
    peer_expect(peer, "SIP/2.0 488 No common codec");
    bye(f); // the call goes on as it was
}

static void test_refused_reinvite_changes_nothing(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    uint64_t handle = call_up(f, "");
    peer_send(peer, "INVITE", "", PEER_SDP_2);
    fixture_text(f, SIP_OFFER, PEER_SDP_2);
    ctl_says(f, handle, SIP_REJECT, 488, NULL);
    peer_expect(peer, "SIP/2.0 488");
    peer_same_branch(peer, "ACK", "");
    peer_send(peer, "INVITE", "Content-Type: text/plain\r\n", "hello");
    peer_expect(peer, "SIP/2.0 415");
    assert_string_equal(peer_header(peer, "Accept"), "application/sdp");
    peer_same_branch(peer, "ACK", "");
    bye(f);
}

static void test_reinvite_without_sdp(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    uint64_t handle = call_up(f, "");
    peer_send(peer, "INVITE", "", "");
    fixture_text(f, SIP_OFFER, "");
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP_2);
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_body(peer), OUR_SDP_2);
    peer_send(peer, "INVITE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 491");
    peer_same_branch(peer, "ACK", "");
    peer_ack(peer, 2, PEER_SDP_2);
    fixture_text(f, SIP_ANSWER, PEER_SDP_2);
    bye(f);
}

static void test_reinvite_whose_ack_never_comes(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    uint64_t handle = call_up(f, "");
    peer_send(peer, "INVITE", "", PEER_SDP_2);
    fixture_text(f, SIP_OFFER, PEER_SDP_2);
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP_2);
    peer_expect(peer, "SIP/2.0 200");
    peer_expect(peer, "BYE ");
    peer_answer(peer, "200 OK", "", "");
    fixture_over(f, SIP_OVER_NO_ACK, "not acknowledged");
}

static void test_cancel_of_a_reinvite_crosses_its_answer(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    uint64_t handle = call_up(f, "");
    peer_send(peer, "INVITE", "", PEER_SDP_2);
    fixture_text(f, SIP_OFFER, PEER_SDP_2);
    peer_same_branch(peer, "CANCEL", "");
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_header(peer, "CSeq"), "2 CANCEL");
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP_2);
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_header(peer, "CSeq"), "2 INVITE");
    peer_ack(peer, 2, "");
    bye(f);
}

static void test_peer_hangs_up_during_its_reinvite(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    uint64_t handle = call_up(f, "");
    peer_send(peer, "INVITE", "", PEER_SDP_2);
    fixture_text(f, SIP_OFFER, PEER_SDP_2);
    peer_send(peer, "BYE", "", "");
    peer_expect(peer, "SIP/2.0 200");
    fixture_over(f, SIP_OVER_BYE, "BYE");
    peer_expect(peer, "SIP/2.0 500"); // the re-INVITE is answered, too
    peer->cseq = 2;
    peer_same_branch(peer, "ACK", "");
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP_2); // late
    assert_false(fixture_has_mail(f));
}

static void test_update_without_sdp(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    bool wants;
    uint64_t handle = ring(f, "", PEER_SDP, &wants);
    peer_expect(peer, "SIP/2.0 180");
    peer_send(peer, "UPDATE", "", ""); // early: no session yet, nothing to agree on
    peer_expect(peer, "SIP/2.0 200");
    peer_send(peer, "UPDATE", "", PEER_SDP_2); // its first offer has no answer yet
    peer_expect(peer, "SIP/2.0 500");
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(peer, "SIP/2.0 200");
    peer_ack(peer, 1, "");
    fixture_skip(f, SIP_CONFIRMED);
    // A moved peer is found at its new Contact.
    peer->contact_params = ";moved=1";
    peer_send(peer, "UPDATE", "", "");
    peer_expect(peer, "SIP/2.0 200");
    ctl_says(f, handle, SIP_BYE, 0, "");
    peer_expect(peer, "BYE sip:alice@127.0.0.1:");
    assert_non_null(strstr(peer->got, ";moved=1 SIP/2.0\r\n"));
    peer_answer(peer, "200 OK", "", "");
    fixture_skip(f, SIP_OVER);
}

// A carrier's ISUP beside the SDP.
static void test_sdp_in_a_multipart_body(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    static const char body[] = "--x\r\nContent-Type: application/isup;version=itu-t92+\r\n\r\nabc\r\n"
                               "--x\r\nContent-Type: application/sdp\r\n\r\n" PEER_SDP "\r\n--x--\r\n";
    peer_send(peer, "INVITE", "Content-Type: multipart/mixed;boundary=x\r\n", body);
    peer_expect(peer, "SIP/2.0 100");
    struct mail mail = fixture_mail(f, SIP_INVITE);
    assert_non_null(strstr(((struct sip_invite *)mail.data)->sdp, "m=audio 4000 RTP/AVP 0"));
    assert_null(strstr(((struct sip_invite *)mail.data)->sdp, "--x"));
    sip_invite_free(mail.data);
    ctl_says(f, mail.to, SIP_REJECT, 486, NULL);
    peer_expect(peer, "SIP/2.0 486 Busy Here");
    peer_same_branch(peer, "ACK", "");
    fixture_skip(f, SIP_OVER);
    *peer->gateway_tag = '\0';
    peer_send(peer, "INVITE", "Content-Type: multipart/mixed;boundary=x\r\n",
              "--x\r\nContent-Type: application/isup\r\n\r\nabc\r\n--x--\r\n");
    peer_expect(peer, "SIP/2.0 415");
}

int main(void) {
#define CALL(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        CALL(test_ringing_is_acknowledged),
        CALL(test_200_overtakes_the_prack),
        CALL(test_offer_in_prack_is_refused),
        CALL(test_no_prack_ends_the_call),
        CALL(test_invite_without_sdp),
        CALL(test_invite_without_sdp_that_requires_100rel),
        CALL(test_ack_without_the_answer),
        CALL(test_hold_by_reinvite),
        CALL(test_change_by_update),
        CALL(test_refused_reinvite_changes_nothing),
        CALL(test_reinvite_without_sdp),
        CALL(test_reinvite_whose_ack_never_comes),
        CALL(test_cancel_of_a_reinvite_crosses_its_answer),
        CALL(test_peer_hangs_up_during_its_reinvite),
        CALL(test_update_without_sdp),
        CALL(test_sdp_in_a_multipart_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
