// SPDX-License-Identifier: Apache-2.0
// Golden answers: each offer below is answered and compared with its file. With IQ_GOLDEN_WRITE in the
// environment the files are written instead; read the difference before committing it.
#include "webrtc/peer_sdp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT_CAP = 64 * 1024 };

#define FINGERPRINT                                                                                          \
    "a=fingerprint:sha-256 "                                                                                 \
    "42:19:C2:D8:7B:7E:A0:AA:B4:A3:1B:AE:30:8A:E1:40:AD:7D:56:21:C8:02:43:D0:E9:E7:AB:81:65:07:"             \
    "EE:79\r\n"
#define CREDENTIALS "a=ice-ufrag:mgvX\r\na=ice-pwd:NyvnV8938+cmmyITdq1fhK0/\r\n"
#define HEAD "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
#define AUDIO "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\n"

static struct sdp offer;

static char *read_text(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot open %s", path);
    char *text = malloc(TEXT_CAP);
    assert_non_null(text);
    size_t len = fread(text, 1, TEXT_CAP - 1, file);
    fclose(file);
    text[len] = '\0';
    return text;
}

static void strip_cr(char *text) {
    char *to = text;
    for (const char *from = text; *from; from++)
        if (*from != '\r')
            *to++ = *from;
    *to = '\0';
}

static const char *candidate(size_t index, void *arg) {
    (void)arg;
    static const char *const list[] = {"candidate:1 1 udp 2015363327 198.51.100.7 20001 typ host",
                                       "candidate:2 1 udp 2015363583 fd00::7 20002 typ host", NULL};
    return list[index];
}

// Answers `text` as a peer would; the buffer is the caller's.
static void answer(const char *text, bool with_candidates, char *out) {
    struct peer_plan plan;
    struct err_text err;
    if (sdp_read(&offer, span_str(text), &err) != 0 || peer_sdp_read(&plan, &offer, &err) != 0)
        fail_msg("%s", err.text);
    const struct peer_answer in = {.offer = &offer,
                                   .plan = &plan,
                                   .session_id = 4611731400430051336u,
                                   .version = 1,
                                   .ufrag = "ourU",
                                   .pwd = "ourPasswordOf22Letters",
                                   .fingerprint = "11:22",
                                   .role = plan.may_be_client ? DTLS_CLIENT : DTLS_SERVER,
                                   .ssrc = 305419896,
                                   .cname = "c0ffee",
                                   .candidate = with_candidates ? candidate : NULL,
                                   .candidates_end = true};
    size_t cap = peer_sdp_answer_cap(&offer, strlen(text));
    assert_true(cap <= 3 * TEXT_CAP + 64 * 1024);
    int len = peer_sdp_answer(&in, out, cap);
    assert_true(len > 0);
    assert_int_equal(len, strlen(out));
    // What we write must be what our own reader takes.
    static struct sdp again;
    assert_int_equal(sdp_read(&again, span_of(out, (size_t)len), &err), 0);
    assert_int_equal(again.media_count, offer.media_count);
}

static void test_golden(void **state) {
    (void)state;
    static const struct {
        const char *offer, *answer;
        bool with_candidates;
    } cases[] = {
        {"chromium", "peer_chromium", false},
        {"chromium-trickle", "peer_chromium-trickle", false},
        {"chromium", "peer_chromium-again", true},
        {"chromium-g722", "peer_chromium-g722", false},
        {"firefox", "peer_firefox", false},
        {"safari", "peer_safari", false},
        {"peer_late-tag_offer", "peer_late-tag", false},
        {"peer_plain_offer", "peer_plain", true},
    };
    char *out = malloc(4 * TEXT_CAP);
    assert_non_null(out);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[256];
        snprintf(path, sizeof path, "tests/golden/%s.sdp", cases[i].offer);
        char *text = read_text(path);
        answer(text, cases[i].with_candidates, out);
        free(text);
        strip_cr(out);
        snprintf(path, sizeof path, "tests/golden/%s.sdp", cases[i].answer);
        if (getenv("IQ_GOLDEN_WRITE")) {
            FILE *file = fopen(path, "wb");
            assert_non_null(file);
            fputs(out, file);
            fclose(file);
            continue;
        }
        char *expected = read_text(path);
        if (strcmp(expected, out) != 0)
            print_message("%s differs\n", path);
        assert_string_equal(expected, out);
        free(expected);
    }
    free(out);
}

static void test_refused_offers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *says;
    } cases[] = {
        {HEAD, -ENOENT, "no open audio"},
        {HEAD "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:96 VP8/90000\r\n", -ENOENT,
         "audio"},
        {HEAD AUDIO CREDENTIALS FINGERPRINT "a=setup:actpass\r\n", -EPROTO, "rtcp-mux"},
        {HEAD AUDIO FINGERPRINT "a=setup:actpass\r\na=rtcp-mux\r\n", -EPROTO, "ice-ufrag"},
        {HEAD AUDIO "a=ice-ufrag:ab\r\na=ice-pwd:short\r\n" FINGERPRINT "a=setup:actpass\r\na=rtcp-mux\r\n",
         -EPROTO, "malformed"},
        {HEAD AUDIO CREDENTIALS "a=setup:actpass\r\na=rtcp-mux\r\n", -EPROTO, "fingerprint"},
        {HEAD AUDIO CREDENTIALS
         "a=fingerprint:sha-1 42:19:C2:D8:7B:7E:A0:AA:B4:A3:1B:AE:30:8A:E1:40:AD:7D:56:21\r\na=rtcp-mux\r\n",
         -EPROTO, "fingerprint"},
        {HEAD AUDIO CREDENTIALS FINGERPRINT "a=setup:holdconn\r\na=rtcp-mux\r\n", -EPROTO, "holdconn"},
        {HEAD "m=audio 9 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n", -ENOTSUP, "RTP/AVP"},
        {HEAD "m=audio 9 UDP/TLS/RTP/SAVPF 97\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:97 iLBC/8000\r\n", -ENOTSUP,
         "iLBC"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer_plan plan;
        struct err_text err = {""};
        assert_int_equal(sdp_read(&offer, span_str(cases[i].text), &err), 0);
        assert_int_equal(peer_sdp_read(&plan, &offer, &err), cases[i].code);
        if (!strstr(err.text, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].says);
    }
}

static void test_setup_roles(void **state) {
    (void)state;
    static const struct {
        const char *setup;
        bool client, server;
    } cases[] = {{"a=setup:actpass\r\n", true, true},
                 {"a=setup:active\r\n", false, true},
                 {"a=setup:passive\r\n", true, false},
                 {"", true, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text, "%s%s%s", HEAD AUDIO CREDENTIALS FINGERPRINT, cases[i].setup,
                 "a=rtcp-mux\r\n");
        struct peer_plan plan;
        assert_int_equal(sdp_read(&offer, span_str(text), NULL), 0);
        assert_int_equal(peer_sdp_read(&plan, &offer, NULL), 0);
        assert_int_equal(plan.may_be_client, cases[i].client);
        assert_int_equal(plan.may_be_server, cases[i].server);
        assert_false(plan.trickle);
        assert_null(plan.application);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_refused_offers),
        cmocka_unit_test(test_setup_roles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
