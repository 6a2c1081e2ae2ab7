// SPDX-License-Identifier: Apache-2.0
// Messages that somebody has bent: bytes changed, lines doubled, dropped, moved to another message. Whatever comes of
// them, the listener stands, holds no more than it may, and takes the next good call.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/log.h"
#include "sip/uas_impl.h"
#include "uas_fixture.h"

#include <sofia-sip/su_log.h>

enum { ROUNDS = 12000, MAX_LINES = 64 };

static uint32_t seed = 1;

static uint32_t any(uint32_t below) {
    seed = seed * 1664525U + 1013904223U;
    return (seed >> 8) % below;
}

static const char *const headers[] = {
    "",
    "Supported: timer, 100rel\r\nSession-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\n",
    "Require: 100rel\r\nRecord-Route: <sip:127.0.0.1;lr>, <sip:192.0.2.1;lr>\r\n",
    "RAck: 1 1 INVITE\r\nReason: Q.850;cause=16;text=\"x\", SIP;cause=200\r\n",
    "Content-Type: multipart/mixed;boundary=x\r\n",
    "Content-Type: application/dtmf-relay\r\n",
    "Authorization: Digest username=\"a\", realm=\"iqra-gateway\", nonce=\"1\"\r\n",
    "Refer-To: <sip:a@b>\r\nEvent: refer\r\nAllow: INVITE, UPDATE\r\n",
    "P-Asserted-Identity: \"x\" <sip:+1@y>\r\nUser-Agent: z\r\nExpires: 1\r\n"};
static const char *const methods[] = {"INVITE", "INVITE", "INVITE", "ACK",   "BYE",     "CANCEL",
                                      "UPDATE", "INFO",   "PRACK",  "REFER", "OPTIONS", "NOTIFY"};
static const char *const bodies[] = {"", PEER_SDP, "Signal=5\r\nDuration=160\r\n",
                                     "--x\r\nContent-Type: application/sdp\r\n\r\n" PEER_SDP "\r\n--x--\r\n"};
#define PICK(list) ((list)[any(sizeof(list) / sizeof((list)[0]))])

static void bend_bytes(char *text, size_t len) {
    static const char odd[] = "\r\n\t ;:,<>\"@=%/\\\0\x01\x7f\xff"
                              "09az";
    for (uint32_t n = any(4); n > 0; n--)
        text[any((uint32_t)len)] = odd[any(sizeof odd - 1)];
}

// Lines of the head doubled, dropped or cut.
static size_t bend_lines(const char *text, size_t len, char *out) {
    size_t n = 0;
    for (const char *at = text; at < text + len && n < PEER_MESSAGE / 4;) {
        const char *end = memmem(at, (size_t)(text + len - at), "\r\n", 2);
        size_t line = end ? (size_t)(end + 2 - at) : (size_t)(text + len - at);
        unsigned times = any(40) ? 1 : any(3);
        for (; times > 0; times--, n += line)
            memcpy(out + n, at, line);
        at += line;
    }
    return any(30) ? n : any((uint32_t)n + 1);
}

static unsigned seen[SIP_OVER - SIP_ROUTE + 1]; // mails for ctl

// ctl decides at once, one way or another.
static void take_mail(struct fixture *f) {
    for (; f->mail_taken < f->mail_count; f->mail_taken++) {
        struct mail *mail = &f->mails[f->mail_taken];
        if (mail->type == SIP_INVITE && any(2))
            ctl_says(f, mail->to, SIP_PROGRESS, 0, NULL);
        if (mail->type == SIP_INVITE || mail->type == SIP_OFFER)
            ctl_says(f, mail->to, any(4) ? SIP_ACCEPT : SIP_REJECT, 488, any(2) ? OUR_SDP : "No");
        seen[mail->type - SIP_ROUTE]++;
        if (mail->type == SIP_CONFIRMED && !any(20))
            ctl_says(f, mail->to, SIP_BYE, 0, "");
        if (mail->free_data)
            mail->free_data(mail->data);
    }
    if (f->mail_count == FIXTURE_MAILS)
        f->mail_count = f->mail_taken = 0;
}

// Now and then the peer does what it should, so that calls get anywhere.
static void take_answer(struct peer *peer) {
    char rack[128];
    const char *tag = strstr(peer_header(peer, "To"), ";tag="), *cseq = peer_header(peer, "CSeq");
    bool request = strncmp(peer->got, "SIP/2.0 ", 8) != 0;
    if (request && any(3))
        peer_answer(peer, any(4) ? "200 OK" : "481 Gone", "", any(2) ? PEER_SDP : "");
    if (request || !any(4))
        return;
    if (tag)
        snprintf(peer->gateway_tag, sizeof peer->gateway_tag, "%.60s", tag + 5);
    if (strncmp(peer->got, "SIP/2.0 200", 11) == 0 && strstr(cseq, "INVITE"))
        peer_ack(peer, peer_number(peer, "CSeq"), any(2) ? PEER_SDP : "");
    snprintf(rack, sizeof rack, "RAck: %.20s %.40s\r\n", peer_header(peer, "RSeq"), cseq);
    if (strncmp(peer->got, "SIP/2.0 180", 11) == 0)
        peer_send(peer, "PRACK", rack, any(8) ? "" : PEER_SDP);
}

static void one_round(struct fixture *f, struct peer *peer) {
    static char text[PEER_MESSAGE], bent[PEER_MESSAGE];
    if (!any(20)) {
        snprintf(peer->call_id, sizeof peer->call_id, "bent-%u", any(1000000));
        *peer->gateway_tag = '\0';
    }
    unsigned cseq = any(4) ? ++peer->cseq : peer->cseq;
    peer->branch += any(4) > 0;
    size_t len = peer_compose(peer, text, PICK(methods), cseq, peer->branch, PICK(headers), PICK(bodies));
    memcpy(bent, text, len);
    unsigned how = any(4);
    if (how == 1)
        len = bend_lines(text, len, bent);
    if (how == 2)
        bend_bytes(bent, len);
    if (len)
        send(peer->fd, bent, len, MSG_NOSIGNAL);
    for (unsigned i = 0; i < 4; i++) { // one datagram each
        su_root_step(f->root, 0);
        take_mail(f);
    }
    while (peer_take(peer))
        take_answer(peer);
}

static void hear_nothing(void *stream, char const *format, va_list args) {
    (void)stream;
    (void)format;
    (void)args;
}

static void test_bent_messages(void **state) {
    struct fixture *f = *state;
    log_set_level(LOG_ERROR);
    su_log_redirect(NULL, hear_nothing, NULL);
    for (unsigned i = 0; i < ROUNDS; i++)
        one_round(f, &f->peer);
    struct peer good;
    peer_open(&good, fixture_turn, f->root, PEER_UDP, AF_INET, f->port);
    peer_send(&good, "OPTIONS", "", "");
    peer_expect(&good, "SIP/2.0 200");
    peer_close(&good);
    // Whoever hangs is let go by the timers: no dialog is left when all have run out.
    uint64_t until = peer_now_ms() + PEER_WAIT_MS;
    bool closed = false;
    uas_close(f->uas, fixture_closed, &closed);
    while (!closed && peer_now_ms() < until) {
        su_root_step(f->root, 2);
        take_mail(f);
    }
    assert_true(closed);
    static const enum sip_mail all[] = {SIP_INVITE, SIP_OFFER, SIP_ANSWER, SIP_CONFIRMED, SIP_OVER};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        assert_true(seen[all[i] - SIP_ROUTE] > 0); // the messages were not only refused
    assert_int_equal(seen[SIP_OVER - SIP_ROUTE], seen[SIP_INVITE - SIP_ROUTE]); // each call ends once
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bent_messages, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
