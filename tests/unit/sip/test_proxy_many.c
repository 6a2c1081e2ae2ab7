// SPDX-License-Identifier: Apache-2.0
// Many calls at the proxy at a time: half-open ones, all of it sent twice, several trunks.
#include "proxy_fixture.h"

enum { HALF_OPEN = 5000, PLACES = 4000, AGAIN = 200, TRUNKS = 4 };

static const struct proxy_limits patient = {.verdict_ms = 600000, .max_pending = PLACES};

struct tally {
    unsigned trying, redirected, refused, terminated, ok, other;
};

static void count_answer(struct tally *tally, const char *message) {
    static const char *const starts[] = {"SIP/2.0 100", "SIP/2.0 302", "SIP/2.0 503", "SIP/2.0 487",
                                         "SIP/2.0 200"};
    unsigned *const counts[] = {&tally->trying, &tally->redirected, &tally->refused, &tally->terminated,
                                &tally->ok};
    for (size_t i = 0; i < 5; i++) {
        if (strncmp(message, starts[i], strlen(starts[i])) == 0) {
            ++*counts[i];
            return;
        }
    }
    tally->other++;
}

static void take_answers(struct fixture *f, int fd, struct tally *tally) {
    ssize_t n;
    while ((n = recv(fd, f->message, sizeof f->message - 1, MSG_DONTWAIT)) > 0) {
        f->message[n] = '\0';
        count_answer(tally, f->message);
    }
}

// Steps until `done` says so; the answers are counted, and those that timer G sends again count once more.
static void step_until(struct fixture *f, struct tally *tally, unsigned (*done)(const struct tally *),
                       unsigned wanted) {
    uint64_t end_us = ticker_now_us() + FIXTURE_WAIT_US;
    while (done(tally) < wanted && ticker_now_us() < end_us) {
        fixture_step(f);
        take_answers(f, f->udp, tally);
    }
    assert_true(done(tally) >= wanted);
}

static unsigned tried(const struct tally *tally) {
    return tally->trying;
}

static unsigned redirected(const struct tally *tally) {
    return tally->redirected;
}

static unsigned terminated(const struct tally *tally) {
    return tally->terminated;
}

static void number_call(struct fixture *f, const char *method, unsigned i) {
    char id[24];
    snprintf(id, sizeof id, "call-%u", i);
    fixture_call(f, (struct fixture_call){.method = method, .call_id = id, .branch = id});
}

static void half_open_calls_are_bounded(void **state) {
    (void)state;
    static struct fixture f;
    struct tally tally = {0};
    fixture_start(&f, "", ",\"InvitesPerSecond\":0", patient);
    f.hold = true;
    for (unsigned i = 0; i < HALF_OPEN; i++) {
        number_call(&f, "INVITE", i);
        if (i % 16 == 15)
            step_until(&f, &tally, tried, i + 1);
    }
    step_until(&f, &tally, tried, HALF_OPEN);
    assert_int_equal(f.ask_count, PLACES);
    uint64_t end_us = ticker_now_us() + FIXTURE_WAIT_US;
    while (tally.refused < HALF_OPEN - PLACES && ticker_now_us() < end_us) {
        fixture_step(&f);
        take_answers(&f, f.udp, &tally);
    }
    assert_true(tally.refused >= HALF_OPEN - PLACES); // timer G may send some of them again
    assert_int_equal(tally.other, 0);
    // A thousand are cancelled, a thousand redirected, the rest is left to the end of the proxy.
    for (unsigned i = 0; i < 1000; i++) {
        number_call(&f, "CANCEL", i);
        if (i % 16 == 15)
            step_until(&f, &tally, terminated, i + 1);
    }
    end_us = ticker_now_us() + FIXTURE_WAIT_US;
    while (f.gone_count < 1000 && ticker_now_us() < end_us) {
        fixture_step(&f);
        take_answers(&f, f.udp, &tally);
    }
    assert_int_equal(f.gone_count, 1000);
    for (unsigned i = 1000; i < 2000; i++) {
        fixture_decide(&f, f.asked[i], 302);
        if (i % 16 == 15)
            take_answers(&f, f.udp, &tally);
    }
    end_us = ticker_now_us() + FIXTURE_WAIT_US;
    while (tally.redirected < 1000 && ticker_now_us() < end_us) {
        fixture_step(&f);
        take_answers(&f, f.udp, &tally);
    }
    assert_true(tally.redirected >= 1000);
    number_call(&f, "INVITE", HALF_OPEN); // there is room again
    fixture_expect_answer_to(&f, "call-5000", "SIP/2.0 100 ");
    proxy_free(f.proxy);
    f.proxy = NULL;
    assert_int_equal(f.gone_count, 1000 + PLACES - 2000 + 1);
    fixture_stop(&f);
}

static void everything_twice_is_one_call_each(void **state) {
    (void)state;
    static struct fixture f;
    struct tally tally = {0};
    fixture_start(&f, "", ",\"InvitesPerSecond\":0", patient);
    for (unsigned i = 0; i < AGAIN; i++) {
        for (int again = 0; again < 3; again++)
            number_call(&f, "INVITE", i);
        step_until(&f, &tally, redirected, tally.redirected + 1);
        for (int again = 0; again < 2; again++)
            number_call(&f, "CANCEL", i); // too late: 200, and the 302 stays
        for (int again = 0; again < 2; again++)
            number_call(&f, "ACK", i);
        number_call(&f, "INVITE", i); // after its ACK
        fixture_step(&f);
        take_answers(&f, f.udp, &tally);
    }
    number_call(&f, "OPTIONS", AGAIN); // behind all the rest
    fixture_expect_answer_to(&f, "call-200", "SIP/2.0 200 ");
    assert_int_equal(f.ask_count, AGAIN);
    assert_int_equal(f.gone_count, 0);
    assert_true(tally.redirected >= AGAIN);
    assert_int_equal(tally.refused + tally.terminated + tally.other, 0);
    fixture_stop(&f);
}

static void trunks_with_the_same_call_id_are_strangers(void **state) {
    (void)state;
    static struct fixture f;
    int fds[TRUNKS];
    struct tally tallies[TRUNKS] = {0};
    fixture_start(&f, "", "", patient);
    for (int i = 0; i < TRUNKS; i++) {
        char address[32], from[64], branch[16];
        uint16_t port;
        snprintf(address, sizeof address, "127.0.0.%d", i + 1);
        snprintf(from, sizeof from, "<sip:+4930%d@carrier>;tag=t%d", i, i);
        snprintf(branch, sizeof branch, "b%d", i);
        fds[i] = fixture_udp(&f, address, &port);
        f.udp = fds[i];
        f.udp_port = port;
        fixture_call(&f, (struct fixture_call){.call_id = "the same",
                                               .from = from,
                                               .branch = branch,
                                               .headers = "Via: SIP/2.0/UDP behind\r\n"});
    }
    uint64_t end_us = ticker_now_us() + FIXTURE_WAIT_US;
    unsigned done = 0;
    while (done < TRUNKS && ticker_now_us() < end_us) {
        fixture_step(&f);
        done = 0;
        for (int i = 0; i < TRUNKS; i++) {
            take_answers(&f, fds[i], &tallies[i]);
            done += tallies[i].redirected == 1;
        }
    }
    assert_int_equal(done, TRUNKS);
    assert_int_equal(f.ask_count, TRUNKS);
    for (int i = 0; i < TRUNKS - 1; i++)
        close(fds[i]);
    fixture_stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_open_calls_are_bounded),
        cmocka_unit_test(everything_twice_is_one_call_each),
        cmocka_unit_test(trunks_with_the_same_call_id_are_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
