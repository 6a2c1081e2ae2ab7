// SPDX-License-Identifier: Apache-2.0
// Malformed requests against the limit of their source, on a clock that only the test moves; how each is read and
// answered is in test_proxy_torture.c. For the listener see tests/e2e/sip-bad.test.mjs.
#include "proxy_fixture.h"

#define RATE 3

static uint64_t now_us = 5000000;

uint64_t ticker_now_us(void) {
    return now_us;
}

uint32_t ticker_behind_us(const struct ticker *ticker, uint64_t at_us) {
    (void)ticker;
    (void)at_us;
    return 0;
}

static const struct {
    const char *line, *header, *end, *said;
} kinds[] = {
    {"INVITE sip:+96812345678@proxy; lr SIP/2.0", "", "\r\n", "400"},        // the start line
    {"\x7f\x02\xff", "", "\r\n", "400"},                                     // likewise
    {"INVITE sip:+96812345678@proxy SIP/2.0", "CSeq: x\r\n", "\r\n", "400"}, // a header
    {"BYE sip:+96812345678@proxy SIP/2.0", "", "\r\n", "400"},               // one that is not there
    {"INVITE sip:+96812345678@proxy SIP/7.0", "CSeq: 1 INVITE\r\n", "\r\n", "505"},
    {"INVITE sip:+96812345678@proxy SIP/2.0", "", "", "400"}, // ends within its headers
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void write_kind(char *text, size_t size, size_t kind, const char *transport, uint16_t port,
                       unsigned id) {
    snprintf(text, size,
             "%s\r\nVia: SIP/2.0/%s 127.0.0.1:%u;branch=z9hG4bKm%u\r\nFrom: <sip:a@b>;tag=f\r\n"
             "To: <sip:b@c>\r\nCall-ID: bad-%u\r\nContent-Length: 0\r\n%s%s",
             kinds[kind].line, transport, port, id, id, kinds[kind].header, kinds[kind].end);
}

static void send_kind(struct fixture *f, size_t kind, unsigned id) {
    char text[1024];
    write_kind(text, sizeof text, kind, "UDP", f->udp_port, id);
    fixture_send(f, text);
}

// Another source, whose request is behind what was sent before: how many answers came to the first one.
static unsigned answers(struct fixture *f, const char *status) {
    static unsigned asked;
    uint16_t port;
    char from[32], text[512], wanted[64];
    snprintf(from, sizeof from, "127.0.9.%u", ++asked);
    int other = fixture_udp(f, from, &port);
    snprintf(
        text, sizeof text,
        "OPTIONS sip:proxy SIP/2.0\r\nVia: SIP/2.0/UDP %s:%u;branch=z9hG4bKo%u\r\nFrom: <sip:t@t>;tag=p\r\n"
        "To: <sip:t@t>\r\nCall-ID: other-%u\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        from, port, asked, asked);
    assert_int_equal(send(other, text, strlen(text), 0), (ssize_t)strlen(text));
    while (!fixture_receive_on(f, other, 0))
        ;
    snprintf(wanted, sizeof wanted, "Call-ID: other-%u\r\n", asked);
    assert_non_null(strstr(f->message, wanted));
    assert_memory_equal(f->message, "SIP/2.0 200", 11);
    close(other);
    unsigned count = 0;
    while (fixture_receive_on(f, f->udp, 0)) {
        assert_memory_equal(f->message + strlen("SIP/2.0 "), status, 3);
        count++;
    }
    return count;
}

static void test_one_source_gets_so_many_answers_a_second(void **state) {
    (void)state;
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct fixture f;
        unsigned id = 0;
        fixture_start(&f, "", ",\"InvitesPerSecond\":3", (struct proxy_limits){0});
        f.udp = fixture_udp(&f, "127.0.0.1", &f.udp_port);
        for (unsigned i = 0; i < 4 * RATE; i++)
            send_kind(&f, kind, id++);
        assert_int_equal(answers(&f, kinds[kind].said), RATE);
        send_kind(&f, kind, id++);
        assert_int_equal(answers(&f, kinds[kind].said), 0);
        now_us += 1000000 / RATE + 1;
        for (unsigned i = 0; i < RATE; i++)
            send_kind(&f, kind, id++);
        assert_int_equal(answers(&f, kinds[kind].said), 1);
        now_us += 1000000;
        for (unsigned i = 0; i < 2 * RATE; i++)
            send_kind(&f, kind, id++);
        assert_int_equal(answers(&f, kinds[kind].said), RATE);
        fixture_call(&f, (struct fixture_call){.call_id = "good"}); // calls count apart
        fixture_expect(&f, "SIP/2.0 302 ");
        fixture_stop(&f);
    }
}

static int connect_tcp(uint16_t port) {
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

// By a connection of its own, which ends in each case.
static bool is_answered_by_tcp(struct fixture *f, uint16_t port, size_t kind, unsigned id) {
    char text[1024], got[1024];
    size_t len = 0;
    int fd = connect_tcp(port);
    write_kind(text, sizeof text, kind, "TCP", 9, id);
    assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
    for (;;) {
        fixture_step(f);
        ssize_t n = recv(fd, got + len, sizeof got - len, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            break;
        len += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    if (len)
        assert_memory_equal(got + strlen("SIP/2.0 "), kinds[kind].said, 3);
    return len > 0;
}

static void test_tcp_and_udp_count_together(void **state) {
    (void)state;
    for (size_t kind = 0; kind < KINDS - 1; kind++) {
        struct fixture f;
        char listen[64];
        unsigned id = 100;
        uint16_t port = fixture_free_port(SOCK_STREAM);
        snprintf(listen, sizeof listen, ",\"tcp:127.0.0.1:%u\"", port);
        fixture_start(&f, listen, ",\"InvitesPerSecond\":3", (struct proxy_limits){0});
        f.udp = fixture_udp(&f, "127.0.0.1", &f.udp_port);
        send_kind(&f, kind, id++);
        assert_int_equal(answers(&f, kinds[kind].said), 1);
        for (unsigned i = 1; i < 2 * RATE; i++)
            assert_int_equal(is_answered_by_tcp(&f, port, kind, id++), i < RATE);
        send_kind(&f, kind, id++);
        assert_int_equal(answers(&f, ""), 0);
        now_us += 1000000;
        assert_true(is_answered_by_tcp(&f, port, kind, id++));
        fixture_stop(&f);
    }
}

static void test_no_limit_is_none(void **state) {
    (void)state;
    struct fixture f;
    fixture_start(&f, "", ",\"InvitesPerSecond\":0", (struct proxy_limits){0});
    f.udp = fixture_udp(&f, "127.0.0.1", &f.udp_port);
    for (unsigned i = 0; i < 60; i++)
        send_kind(&f, i % 4, i);
    assert_int_equal(answers(&f, "400"), 60);
    fixture_stop(&f);
}

// RFC 3261 section 25.1: a method is a token, and 405 needs it read in two places.
static void test_every_token_is_a_method(void **state) {
    (void)state;
    static const struct {
        const char *method, *cseq, *said;
    } cases[] = {
        {"!%*_+`.'~-", "!%*_+`.'~-", "405"},
        {"INVITE!", "INVITE!", "405"},
        {"FOO", "FOO", "405"},
        {"%41CK", "%41CK", "405"},
        {"INVITE!", "INVITE", "400"},
        {"FOO!", "FOO%", "400"},
        {"FOO@", "FOO@", "400"},
        {"{}", "{}", "400"},
    };
    struct fixture f;
    fixture_start(&f, "", "", (struct proxy_limits){0});
    f.udp = fixture_udp(&f, "127.0.0.1", &f.udp_port);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024], cseq[64];
        snprintf(text, sizeof text,
                 "%s sip:+96812345678@proxy SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bKt%zu\r\n"
                 "From: <sip:a@b>;tag=f\r\nTo: <sip:b@c>\r\nCall-ID: token-%zu\r\nCSeq: 17 %s\r\n\r\n",
                 cases[i].method, f.udp_port, i, i, cases[i].cseq);
        fixture_send(&f, text);
        fixture_final(&f);
        snprintf(cseq, sizeof cseq, "CSeq: 17 %s", cases[i].cseq);
        if (strncmp(f.message + strlen("SIP/2.0 "), cases[i].said, 3) != 0)
            fail_msg("to %s, %s came %s", cases[i].method, cases[i].cseq, f.message);
        if (strcmp(cases[i].said, "405") == 0) {
            fixture_expect_line(&f, cseq);
            fixture_expect_line(&f, "Allow: INVITE, ACK, CANCEL, OPTIONS");
        }
    }
    fixture_stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_source_gets_so_many_answers_a_second),
        cmocka_unit_test(test_tcp_and_udp_count_together),
        cmocka_unit_test(test_no_limit_is_none),
        cmocka_unit_test(test_every_token_is_a_method),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
