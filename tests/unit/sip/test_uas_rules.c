// SPDX-License-Identifier: Apache-2.0
// Who is let in and who is not: requests outside of calls, logins, floods, drain and stop, all transports.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sip/uas_impl.h"
#include "uas_fixture.h"

#include <openssl/evp.h>

static void test_queue_id_is_needed(void **state) {
    struct fixture *f = *state;
    f->peer.uri_params = "";
    peer_send(&f->peer, "INVITE", "", PEER_SDP);
    peer_expect(&f->peer, "SIP/2.0 404 Call queue id in request empty or not found\r\n");
    peer_same_branch(&f->peer, "ACK", "");
    assert_false(fixture_has_mail(f));
}

static void test_direct_calls(void **state) {
    (void)state;
    struct fixture *f = fixture_new(&(struct fixture_options){.sip = ",\"AcceptDirect\":true"});
    peer_open(&f->peer, fixture_turn, f->root, PEER_UDP, AF_INET, f->port);
    f->peer.uri_params = ";X-Business-Id=123;X-Phone-Id=main";
    peer_send(&f->peer, "INVITE", "", PEER_SDP);
    peer_expect(&f->peer, "SIP/2.0 100");
    struct mail mail = fixture_mail(f, SIP_INVITE);
    struct sip_invite *invite = mail.data;
    assert_string_equal(invite->request.queue_id, "");
    assert_string_equal(invite->request.business_id, "123");
    assert_string_equal(invite->request.phone_id, "main");
    sip_invite_free(invite);
    ctl_says(f, mail.to, SIP_REJECT, 403, "Unauthorized Source IP");
    peer_expect(&f->peer, "SIP/2.0 403 Unauthorized Source IP\r\n");
    fixture_skip(f, SIP_OVER);
    peer_close(&f->peer);
    fixture_free(f);
}

static void test_requests_outside_of_calls(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    peer_send(peer, "OPTIONS", "", "");
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_header(peer, "Allow"), UAS_ALLOW);
    assert_non_null(strstr(peer_header(peer, "Accept"), "application/sdp"));
    *peer->gateway_tag = '\0';
    static const struct {
        const char *method, *answer;
    } cases[] = {{"BYE", "SIP/2.0 481"},       {"UPDATE", "SIP/2.0 481"}, {"INFO", "SIP/2.0 481"},
                 {"PRACK", "SIP/2.0 481"},     {"REFER", "SIP/2.0 405"},  {"MESSAGE", "SIP/2.0 405"},
                 {"SUBSCRIBE", "SIP/2.0 405"}, {"NOTIFY", "SIP/2.0 405"}, {"REGISTER", "SIP/2.0 405"},
                 {"PUBLISH", "SIP/2.0 405"},   {"GRAZE", "SIP/2.0 501"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        peer_send(peer, cases[i].method, "RAck: 1 1 INVITE\r\nEvent: presence\r\nRefer-To: <sip:x@y>\r\n",
                  "");
        peer_expect(peer, cases[i].answer);
        if (strstr(cases[i].answer, "481") == NULL)
            assert_string_equal(peer_header(peer, "Allow"), UAS_ALLOW);
        *peer->gateway_tag = '\0';
    }
    snprintf(peer->gateway_tag, sizeof peer->gateway_tag, "nobody");
    peer_send(peer, "INVITE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 481");
    peer_same_branch(peer, "ACK", "");
    peer_send(peer, "OPTIONS", "", "");
    peer_expect(peer, "SIP/2.0 481");
    peer_ack(peer, 77, ""); // of nothing: no answer
    assert_false(peer_next(peer, 50));
    assert_false(fixture_has_mail(f));
}

static void test_bad_invites(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    peer_send(peer, "INVITE", "Require: 100rel, telepathy\r\n", PEER_SDP);
    peer_expect(peer, "SIP/2.0 420");
    assert_string_equal(peer_header(peer, "Unsupported"), "telepathy");
    *peer->gateway_tag = '\0';
    peer_send(peer, "INVITE", "Content-Type: text/html\r\n", "<p>");
    peer_expect(peer, "SIP/2.0 415");
    assert_string_equal(peer_header(peer, "Accept"), "application/sdp");
    *peer->gateway_tag = '\0';
    peer_send(peer, "INVITE", "Content-Encoding: gzip\r\n", PEER_SDP);
    peer_expect(peer, "SIP/2.0 415");
    *peer->gateway_tag = '\0';
    peer->contact_params = ">, <sip:b@127.0.0.1"; // two of them
    peer_send(peer, "INVITE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 400");
    *peer->gateway_tag = '\0';
    peer->contact_params = "";
    static char huge[SIP_MAX_SDP + 100];
    memset(huge, 'a', sizeof huge - 1);
    peer_send(peer, "INVITE", "", huge);
    peer_expect(peer, "SIP/2.0 413");
    *peer->gateway_tag = '\0';
    static char text[PEER_MESSAGE];
    size_t len = peer_compose(peer, text, "INVITE", ++peer->cseq, ++peer->branch, "", PEER_SDP);
    memcpy(text, "INVITE ftp:", strlen("INVITE sip:"));
    peer_write(peer, text, len);
    peer_expect(peer, "SIP/2.0 416");
    assert_false(fixture_has_mail(f));
}

// The same request by two ways through the network (RFC 3261 section 8.2.2.2).
static void test_merged_request(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    peer_send(peer, "INVITE", "", PEER_SDP);
    peer_expect(peer, "SIP/2.0 100");
    fixture_skip(f, SIP_INVITE);
    static char text[PEER_MESSAGE];
    size_t len = peer_compose(peer, text, "INVITE", peer->cseq, ++peer->branch, "", PEER_SDP);
    peer_write(peer, text, len);
    peer_expect(peer, "SIP/2.0 482");
    assert_false(fixture_has_mail(f));
}

// Two trunks may pick the same Call-ID; their tags differ.
static void test_same_call_id_of_two_trunks(void **state) {
    struct fixture *f = *state;
    struct peer other;
    peer_open(&other, fixture_turn, f->root, PEER_UDP, AF_INET, f->port);
    memcpy(other.call_id, f->peer.call_id, sizeof other.call_id);
    uint64_t first = call_up(f, "");
    peer_send(&other, "INVITE", "", PEER_SDP);
    peer_expect(&other, "SIP/2.0 100");
    uint64_t second = fixture_skip(f, SIP_INVITE);
    assert_true(first != second);
    ctl_says(f, second, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(&other, "SIP/2.0 200");
    peer_ack(&other, 1, "");
    assert_true(fixture_skip(f, SIP_CONFIRMED) == second);
    peer_send(&other, "BYE", "", "");
    peer_expect(&other, "SIP/2.0 200");
    assert_true(fixture_skip(f, SIP_OVER) == second);
    peer_send(&f->peer, "BYE", "", "");
    peer_expect(&f->peer, "SIP/2.0 200");
    assert_true(fixture_skip(f, SIP_OVER) == first);
    peer_close(&other);
}

// ---- logins

static void hex_of(const char *algorithm, const char *text, char out[129]) {
    uint8_t bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    const EVP_MD *md = strcmp(algorithm, "SHA-256") == 0 ? EVP_sha256() : EVP_md5();
    assert_int_equal(EVP_Digest(text, strlen(text), bytes, &len, md, NULL), 1);
    for (unsigned i = 0; i < len; i++)
        snprintf(out + 2 * (size_t)i, 3, "%02x", bytes[i]);
}

static void login_header(const struct peer *peer, const char *algorithm, const char *nonce,
                         const char *password, char out[1024]) {
    char text[512], ha1[129], ha2[129], response[129];
    snprintf(text, sizeof text, "trunk:iqra-gateway:%s", password);
    hex_of(algorithm, text, ha1);
    hex_of(algorithm, "INVITE:sip:gateway", ha2);
    snprintf(text, sizeof text, "%s:%s:00000001:c%u:auth:%s", ha1, nonce, peer->cseq, ha2);
    hex_of(algorithm, text, response);
    snprintf(out, 1024,
             "Authorization: Digest username=\"trunk\", realm=\"iqra-gateway\", nonce=\"%s\", "
             "uri=\"sip:gateway\", "
             "response=\"%s\", algorithm=%s, qop=auth, nc=00000001, cnonce=\"c%u\"\r\n",
             nonce, response, algorithm, peer->cseq);
}

static void ctl_challenges(struct fixture *f, uint64_t handle, bool sha256) {
    struct sip_login *login = calloc(1, sizeof *login);
    snprintf(login->username, sizeof login->username, "trunk");
    snprintf(login->password, sizeof login->password, "secret");
    login->sha256 = sha256;
    struct mail mail = {.to = handle, .type = SIP_CHALLENGE, .data = login, .free_data = sip_login_free};
    uas_mail(f->uas, &mail);
    sip_login_free(mail.data);
}

// An INVITE that ctl challenges; what the listener says to it.
static uint64_t challenged(struct fixture *f, const char *headers, bool sha256) {
    *f->peer.gateway_tag = '\0';
    peer_send(&f->peer, "INVITE", headers, PEER_SDP);
    peer_expect(&f->peer, "SIP/2.0 100");
    uint64_t handle = fixture_skip(f, SIP_INVITE);
    ctl_challenges(f, handle, sha256);
    return handle;
}

static void nonce_of(const struct peer *peer, char out[128]) {
    const char *nonce = strstr(peer->got, "nonce=\"");
    assert_non_null(nonce);
    snprintf(out, 128, "%.*s", (int)strcspn(nonce + 7, "\""), nonce + 7);
}

static void test_login(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    char nonce[128], header[1024];
    static const char *const algorithms[] = {"MD5", "SHA-256"};
    for (size_t i = 0; i < 2; i++) {
        challenged(f, "", i > 0);
        peer_expect(peer, "SIP/2.0 401");
        peer_same_branch(peer, "ACK", "");
        fixture_over(f, SIP_OVER_LOGIN, "asked for a login");
        // MD5 alone, or both and the better one first.
        const char *sha256 = strstr(peer->got, "algorithm=SHA-256"),
                   *md5 = strstr(peer->got, "algorithm=MD5");
        assert_true(i ? sha256 && sha256 < md5 : md5 && !sha256);
        assert_null(strstr(peer->got, "stale"));
        nonce_of(peer, nonce);

        login_header(peer, algorithms[i], nonce, "wrong", header);
        challenged(f, header, i > 0);
        peer_expect(peer, "SIP/2.0 401");
        assert_null(strstr(peer->got, "stale"));
        peer_same_branch(peer, "ACK", "");
        fixture_over(f, SIP_OVER_LOGIN, "wrong login");

        login_header(peer, algorithms[i], nonce, "secret", header);
        uint64_t handle = challenged(f, header, i > 0);
        assert_true(fixture_skip(f, SIP_AUTHORIZED) == handle);
        ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
        peer_expect(peer, "SIP/2.0 200");
        peer_ack(peer, peer->cseq, "");
        fixture_skip(f, SIP_CONFIRMED);
        peer_send(peer, "BYE", "", "");
        peer_expect(peer, "SIP/2.0 200");
        fixture_over(f, SIP_OVER_BYE, "BYE");

        challenged(f, header, i > 0); // somebody has listened and sends it again
        peer_expect(peer, "SIP/2.0 401");
        assert_non_null(strstr(peer->got, "stale=true"));
        peer_same_branch(peer, "ACK", "");
        fixture_over(f, SIP_OVER_LOGIN, "asked for a login");
    }
    assert_false(fixture_has_mail(f));
}

// ---- how much

static void test_half_open_calls_are_bounded(void **state) {
    struct fixture *f = *state; // without a rate limit
    struct peer *peer = &f->peer;
    unsigned trying = 0, refused = 0;
    for (unsigned i = 0; i < UAS_MAX_UNDECIDED + 200; i++) {
        snprintf(peer->call_id, sizeof peer->call_id, "half-open-%u", i);
        peer_send(peer, "INVITE", "", PEER_SDP);
        assert_true(peer_next(peer, PEER_WAIT_MS));
        trying += strncmp(peer->got, "SIP/2.0 100", 11) == 0;
        refused += strncmp(peer->got, "SIP/2.0 503", 11) == 0;
    }
    assert_int_equal(trying, UAS_MAX_UNDECIDED);
    assert_true(refused >= 200); // some of them twice, since they were not acknowledged
    assert_string_not_equal(peer_header(peer, "Retry-After"), "");
    assert_int_equal(f->mail_count, UAS_MAX_UNDECIDED);
    // One is decided: there is room again.
    ctl_says(f, f->mails[0].to, SIP_REJECT, 404, NULL);
    snprintf(peer->call_id, sizeof peer->call_id, "one-more");
    peer_send(peer, "INVITE", "", PEER_SDP);
    uint64_t until = peer_now_ms() + PEER_WAIT_MS;
    while (f->mail_count < UAS_MAX_UNDECIDED + 2 && peer_now_ms() < until)
        su_root_step(f->root, 2);
    assert_int_equal(f->mails[UAS_MAX_UNDECIDED].type, SIP_OVER);
    assert_int_equal(f->mails[UAS_MAX_UNDECIDED + 1].type, SIP_INVITE);
}

static void test_rate_of_one_source(void **state) {
    (void)state;
    struct fixture *f = fixture_new(&(struct fixture_options){.sip = ",\"InvitesPerSecond\":2"});
    struct peer *peer = &f->peer;
    peer_open(peer, fixture_turn, f->root, PEER_UDP, AF_INET, f->port);
    unsigned limited = 0;
    for (unsigned i = 0; i < 40; i++) {
        snprintf(peer->call_id, sizeof peer->call_id, "fast-%u", i);
        peer_send(peer, "INVITE", "", PEER_SDP);
        limited += peer_next(peer, 20) && strncmp(peer->got, "SIP/2.0 503", 11) == 0;
    }
    assert_true(limited > 0);
    assert_true(f->mail_count < 20);
    peer_close(peer);
    fixture_free(f);
}

static void test_hundreds_of_calls_leave_nothing(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    for (unsigned i = 0; i < 300; i++) {
        snprintf(peer->call_id, sizeof peer->call_id, "call-number-%u", i);
        *peer->gateway_tag = '\0';
        uint64_t handle = call_up(f, i % 2 ? "Supported: timer, 100rel\r\n" : "");
        if (i % 3) {
            peer_send(peer, "BYE", "", "");
            peer_expect(peer, "SIP/2.0 200");
        } else {
            ctl_says(f, handle, SIP_BYE, 0, "");
            peer_expect(peer, "BYE ");
            peer_answer(peer, "200 OK", "", "");
        }
        fixture_skip(f, SIP_OVER);
    }
    assert_false(fixture_has_mail(f)); // and the leak checker has the last word
}

// ---- the end

static void test_drain(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    uint64_t handle = call_up(f, "");
    uas_drain(f->uas);
    peer_send(peer, "OPTIONS", "", ""); // the call is well
    peer_expect(peer, "SIP/2.0 200");
    peer_send(peer, "INFO", "Content-Type: application/dtmf\r\n", "1");
    peer_expect(peer, "SIP/2.0 200");
    fixture_text(f, SIP_DTMF, "1");
    struct peer other;
    peer_open(&other, fixture_turn, f->root, PEER_UDP, AF_INET, f->port);
    peer_send(&other, "INVITE", "", PEER_SDP);
    peer_expect(&other, "SIP/2.0 503");
    assert_string_not_equal(peer_header(&other, "Retry-After"), "");
    *other.gateway_tag = '\0';
    peer_send(&other, "OPTIONS", "", "");
    peer_expect(&other, "SIP/2.0 503");
    peer_close(&other);
    ctl_says(f, handle, SIP_BYE, 0, "");
    fixture_skip(f, SIP_OVER);
    peer_expect(peer, "BYE ");
    peer_answer(peer, "200 OK", "", "");
    assert_false(fixture_has_mail(f));
}

static void test_close_hangs_up(void **state) {
    struct fixture *f = *state;
    struct peer *peer = &f->peer;
    struct peer ringing;
    bool closed = false;
    call_up(f, "");
    peer_open(&ringing, fixture_turn, f->root, PEER_UDP, AF_INET, f->port);
    peer_send(&ringing, "INVITE", "", PEER_SDP);
    peer_expect(&ringing, "SIP/2.0 100");
    fixture_skip(f, SIP_INVITE);
    uas_close(f->uas, fixture_closed, &closed);
    peer_expect(&ringing, "SIP/2.0 503");
    peer_expect(peer, "BYE ");
    assert_non_null(strstr(peer_header(peer, "Reason"), "the gateway stops"));
    assert_false(closed);
    peer_answer(peer, "200 OK", "", "");
    uint64_t until = peer_now_ms() + PEER_WAIT_MS;
    while (!closed && peer_now_ms() < until)
        su_root_step(f->root, 2);
    assert_true(closed);
    fixture_skip(f, SIP_OVER);
    fixture_skip(f, SIP_OVER);
    peer_close(&ringing);
}

static void test_close_does_not_wait_for_ever(void **state) {
    struct fixture *f = *state;
    bool closed = false;
    call_up(f, "");
    uas_close(f->uas, fixture_closed, &closed); // nobody answers the BYE
    uint64_t until = peer_now_ms() + PEER_WAIT_MS;
    while (!closed && peer_now_ms() < until)
        su_root_step(f->root, 2);
    assert_true(closed);
}

// ---- transports

static void call_over(struct fixture *f, enum peer_kind kind, int family, const char *contact_format) {
    struct peer *peer = &f->peer;
    peer_open(peer, fixture_turn, f->root, kind, family, f->port);
    uint64_t handle = call_up(f, "");
    char contact[128];
    snprintf(contact, sizeof contact, contact_format, f->port);
    peer_send(peer, "UPDATE", "", "");
    peer_expect(peer, "SIP/2.0 200");
    assert_string_equal(peer_header(peer, "Contact"), contact);
    ctl_says(f, handle, SIP_BYE, 0, "");
    peer_expect(peer, "BYE "); // by the connection that there is: nobody listens at our Contact
    peer_answer(peer, "200 OK", "", "");
    fixture_skip(f, SIP_OVER);
    peer_close(peer);
}

static void test_tcp(void **state) {
    (void)state;
    struct fixture *f = fixture_new(&(struct fixture_options){.listen = "\"tcp:127.0.0.1:%u\""});
    call_over(f, PEER_TCP, AF_INET, "<sip:127.0.0.1:%u;transport=tcp>");
    fixture_free(f);
}

static void test_ipv6(void **state) {
    (void)state;
    struct fixture *f = fixture_new(
        &(struct fixture_options){.listen = "\"udp:[::1]:%u\",\"tcp:[::1]:%u\",\"udp:127.0.0.1:%u\""});
    call_over(f, PEER_UDP, AF_INET6, "<sip:[::1]:%u;transport=udp>");
    call_over(f, PEER_TCP, AF_INET6, "<sip:[::1]:%u;transport=tcp>");
    call_over(f, PEER_UDP, AF_INET, "<sip:127.0.0.1:%u;transport=udp>");
    fixture_free(f);
}

static void test_wildcard(void **state) {
    (void)state;
    struct fixture *f = fixture_new(&(struct fixture_options){
        .listen = "\"udp:0.0.0.0:%u\",\"tcp:0.0.0.0:%u\",\"udp:[::]:%u\",\"tcp:[::]:%u\""});
    call_over(f, PEER_UDP, AF_INET, "<sip:127.0.0.1:%u;transport=udp>");
    call_over(f, PEER_TCP, AF_INET, "<sip:127.0.0.1:%u;transport=tcp>");
    call_over(f, PEER_UDP, AF_INET6, "<sip:[::1]:%u;transport=udp>");
    fixture_free(f);
}

static void test_public_address(void **state) {
    (void)state;
    struct fixture *f = fixture_new(&(struct fixture_options){.public_address = "203.0.113.9"});
    call_over(f, PEER_UDP, AF_INET, "<sip:203.0.113.9:%u;transport=udp>");
    fixture_free(f);
}

static void test_connection_is_lost(void **state) {
    (void)state;
    struct fixture *f = fixture_new(&(struct fixture_options){.listen = "\"tcp:127.0.0.1:%u\""});
    struct peer *peer = &f->peer;
    peer_open(peer, fixture_turn, f->root, PEER_TCP, AF_INET, f->port);
    uint64_t handle = call_up(f, "");
    peer_close(peer);
    ctl_says(f, handle, SIP_BYE, 0, ""); // goes nowhere, and ends all the same
    fixture_skip(f, SIP_OVER);
    bool closed = false;
    uas_close(f->uas, fixture_closed, &closed);
    uint64_t until = peer_now_ms() + PEER_WAIT_MS;
    while (!closed && peer_now_ms() < until)
        su_root_step(f->root, 2);
    assert_true(closed);
    fixture_free(f);
}

int main(void) {
#define CALL(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        CALL(test_queue_id_is_needed),
        cmocka_unit_test(test_direct_calls),
        CALL(test_requests_outside_of_calls),
        CALL(test_bad_invites),
        CALL(test_merged_request),
        CALL(test_same_call_id_of_two_trunks),
        CALL(test_login),
        CALL(test_half_open_calls_are_bounded),
        cmocka_unit_test(test_rate_of_one_source),
        CALL(test_hundreds_of_calls_leave_nothing),
        CALL(test_drain),
        CALL(test_close_hangs_up),
        CALL(test_close_does_not_wait_for_ever),
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_wildcard),
        cmocka_unit_test(test_public_address),
        cmocka_unit_test(test_connection_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
