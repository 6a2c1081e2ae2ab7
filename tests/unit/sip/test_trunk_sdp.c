// SPDX-License-Identifier: Apache-2.0
// Golden answers: tests/golden/trunk_X_offer.sdp is answered, and the answer, with what was understood as
// comment lines before it, compared with trunk_X.sdp. With IQ_GOLDEN_WRITE in the environment the files are
// written instead; read the difference before committing it.
#include "sip/trunk_sdp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT_CAP = 64 * 1024 };

static const enum codec_id codecs[] = {CODEC_PCMU, CODEC_PCMA, CODEC_G722, CODEC_OPUS};
static const struct trunk_sdp_config config = {.codecs = codecs, .codec_count = 4};
static const struct trunk_sdp_config secure_config = {
    .codecs = codecs, .codec_count = 4, .require_srtp = true};
static const struct trunk_local local = {"198.51.100.2", 10000, 4611731400430051336u, 3};

static struct sdp sdp;

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

static struct sdes our_key(const struct trunk_plan *plan) {
    struct sdes ours = plan->theirs;
    memset(ours.key, 0x5a, sizeof ours.key);
    return ours;
}

// What was understood, then the answer.
static void show(const char *offer, char *out) {
    struct trunk_plan plan;
    struct err_text err = {""};
    char rtp[64], rtcp[64];
    assert_int_equal(sdp_read(&sdp, span_str(offer), &err), 0);
    int code = trunk_sdp_read_offer(&plan, &sdp, &config, &err);
    if (code) {
        snprintf(out, TEXT_CAP, "; %s: %s\n", err_name(code), err.text);
        return;
    }
    int len =
        snprintf(out, TEXT_CAP, "; rtp %s rtcp %s\n; %s%s we are %s\n", udp_address_text(&plan.rtp, rtp),
                 udp_address_text(&plan.rtcp, rtcp), plan.secure ? "secure" : "plain",
                 plan.rtcp_mux ? ", mux," : ",", sdp_direction_name(plan.audio.direction));
    struct sdes ours = our_key(&plan);
    size_t cap = trunk_sdp_answer_cap(&sdp, strlen(offer));
    assert_true(cap < TEXT_CAP - 512);
    int written = trunk_sdp_write_answer(&sdp, &plan, &local, &ours, out + len, cap);
    assert_true(written > 0);
    // What we write must be what our own reader takes, line for line.
    struct sdp *again = malloc(sizeof *again);
    assert_non_null(again);
    assert_int_equal(sdp_read(again, span_of(out + len, (size_t)written), &err), 0);
    assert_int_equal(again->media_count, sdp.media_count);
    for (size_t i = 0; i < sdp.media_count; i++)
        assert_int_equal(again->media[i].port, i == plan.audio.media_index ? local.rtp_port : 0);
    free(again);
    strip_cr(out);
}

static void test_golden(void **state) {
    (void)state;
    static const char *const names[] = {
        "baresip",   "asterisk", "cisco-cn", "opus",          "srtp",          "srtp-gcm",
        "osrtp",     "either",   "fax",      "hold-sendonly", "hold-inactive", "hold-zero",
        "two-audio", "ip6",      "private",  "name",          "200-codecs",    "opus-narrow-event"};
    char *out = malloc(TEXT_CAP);
    assert_non_null(out);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[256];
        snprintf(path, sizeof path, "tests/golden/trunk_%s_offer.sdp", names[i]);
        char *offer = read_text(path);
        show(offer, out);
        free(offer);
        snprintf(path, sizeof path, "tests/golden/trunk_%s.sdp", names[i]);
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

#define HEAD "v=0\no=- 1 1 IN IP4 203.0.113.7\ns=-\nc=IN IP4 203.0.113.7\nt=0 0\n"
#define KEY "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool secure;
        int code;
        const char *says;
    } cases[] = {
        {HEAD, false, -ENOENT, "no open audio"},
        {HEAD "m=audio 0 RTP/AVP 0\n", false, -ENOENT, "no open audio"},
        {HEAD "m=image 4000 udptl t38\n", false, -ENOENT, "no open audio"},
        {HEAD "m=audio 4000 RTP/AVP 18 101\na=rtpmap:101 telephone-event/8000\n", false, -ENOTSUP, "G729"},
        {HEAD "m=audio 4000 UDP/TLS/RTP/SAVP 0\n", false, -ENOTSUP, "UDP/TLS"},
        {HEAD "m=audio 4000 RTP/SAVP 0\n", false, -ENOTSUP, "SRTP"},
        {HEAD "m=audio 4000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:short\n", false, -ENOTSUP,
         "SRTP"},
        {HEAD "m=audio 4000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 " KEY "|2^20|1:4\n", false,
         -ENOTSUP, "MKI"},
        {HEAD "m=audio 4000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 " KEY " UNENCRYPTED_SRTP\n", false,
         -ENOTSUP, "SRTP"},
        {HEAD "m=audio 4000 RTP/AVP 0\n", true, -ENOTSUP, "RTP/AVP"},
        {HEAD "m=audio 4000 RTP/AVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 " KEY "\n", true, -ENOTSUP,
         "RTP/AVP"},
        {"v=0\no=- 1 1 IN IP4 203.0.113.7\ns=-\nt=0 0\nm=audio 4000 RTP/AVP 0\n", false, -EINVAL, "c="},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trunk_plan plan;
        struct err_text err = {""};
        assert_int_equal(sdp_read(&sdp, span_str(cases[i].text), &err), 0);
        int code = trunk_sdp_read_offer(&plan, &sdp, cases[i].secure ? &secure_config : &config, &err);
        if (code != cases[i].code || !strstr(err.text, cases[i].says))
            fail_msg("case %zu: %s \"%s\"", i, err_name(code), err.text);
    }
}

static void test_our_preference_decides(void **state) {
    (void)state;
    static const char text[] = HEAD "m=audio 4000 RTP/AVP 96 9 8 0\na=rtpmap:96 opus/48000/2\n";
    for (size_t i = 0; i < 4; i++) {
        const struct trunk_sdp_config only = {.codecs = &codecs[i], .codec_count = 4 - i};
        struct trunk_plan plan;
        assert_int_equal(sdp_read(&sdp, span_str(text), NULL), 0);
        assert_int_equal(trunk_sdp_read_offer(&plan, &sdp, &only, NULL), 0);
        assert_int_equal(plan.audio.codec, codecs[i]);
    }
}

static void test_ptime(void **state) {
    (void)state;
    static const struct {
        const char *lines;
        uint32_t ptime_ms;
    } cases[] = {{"", 20},
                 {"a=ptime:10\n", 10},
                 {"a=ptime:30\n", 30},
                 {"a=ptime:50\n", 50},
                 {"a=ptime:60\n", 60},
                 {"a=ptime:90\n", 60},
                 {"a=ptime:25\n", 20},
                 {"a=ptime:30\na=maxptime:20\n", 20}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        struct trunk_plan plan;
        snprintf(text, sizeof text, HEAD "m=audio 4000 RTP/AVP 8\n%s", cases[i].lines);
        assert_int_equal(sdp_read(&sdp, span_str(text), NULL), 0);
        assert_int_equal(trunk_sdp_read_offer(&plan, &sdp, &config, NULL), 0);
        assert_int_equal(plan.audio.ptime_ms, cases[i].ptime_ms);
    }
}

static void test_where_they_listen(void **state) {
    (void)state;
    static const struct {
        const char *address, *lines, *rtp, *rtcp;
    } cases[] = {
        {"203.0.113.7", "", "203.0.113.7:4000", "203.0.113.7:4001"},
        {"203.0.113.7", "a=rtcp:5000\n", "203.0.113.7:4000", "203.0.113.7:5000"},
        {"203.0.113.7", "a=rtcp-mux\n", "203.0.113.7:4000", "203.0.113.7:4000"},
        {"203.0.113.7/127", "", "203.0.113.7:4000", "203.0.113.7:4001"},
        {"224.2.1.1/127", "", "-", "-"},
        {"255.255.255.255", "", "-", "-"},
        {"0.0.0.0", "", "-", "-"},
        {"pbx.example", "", "-", "-"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512], rtp[64], rtcp[64];
        struct trunk_plan plan;
        snprintf(text, sizeof text,
                 "v=0\no=- 1 1 IN IP4 1.2.3.4\ns=-\nc=IN IP4 %s\nm=audio 4000 RTP/AVP 8\n%s",
                 cases[i].address, cases[i].lines);
        assert_int_equal(sdp_read(&sdp, span_str(text), NULL), 0);
        assert_int_equal(trunk_sdp_read_offer(&plan, &sdp, &config, NULL), 0);
        assert_string_equal(udp_address_text(&plan.rtp, rtp), cases[i].rtp);
        assert_string_equal(udp_address_text(&plan.rtcp, rtcp), cases[i].rtcp);
    }
}

static void test_the_other_family(void **state) {
    (void)state;
    static const char text[] = "v=0\no=- 1 1 IN IP6 ::1\ns=-\nc=IN IP6 2001:db8::5\nm=audio 4000 RTP/AVP 8\n";
    struct trunk_sdp_config family = config;
    struct trunk_plan plan;
    family.family = AF_INET;
    assert_int_equal(sdp_read(&sdp, span_str(text), NULL), 0);
    assert_int_equal(trunk_sdp_read_offer(&plan, &sdp, &family, NULL), -ENOTSUP);
    family.family = AF_INET6;
    assert_int_equal(sdp_read(&sdp, span_str(text), NULL), 0);
    assert_int_equal(trunk_sdp_read_offer(&plan, &sdp, &family, NULL), 0);
}

// ---- our own offer

static void test_our_offer(void **state) {
    (void)state;
    char text[TRUNK_SDP_OFFER_CAP];
    assert_true(trunk_sdp_write_offer(&config, &local, NULL, text, sizeof text) > 0);
    strip_cr(text);
    assert_string_equal(text, "v=0\no=- 4611731400430051336 3 IN IP4 198.51.100.2\ns=-\n"
                              "c=IN IP4 198.51.100.2\nt=0 0\nm=audio 10000 RTP/AVP 0 8 9 96 101 100\n"
                              "a=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=rtpmap:9 G722/8000\n"
                              "a=rtpmap:96 opus/48000/2\na=fmtp:96 useinbandfec=1\n"
                              "a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n"
                              "a=rtpmap:100 telephone-event/48000\na=fmtp:100 0-15\n"
                              "a=ptime:20\na=maxptime:60\na=sendrecv\na=rtcp:10001\n");
    char small[64];
    assert_int_equal(trunk_sdp_write_offer(&config, &local, NULL, small, sizeof small), -ENOBUFS);
}

static void test_the_answer_to_it(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int code;
        enum codec_id codec;
        enum sdp_direction direction;
    } cases[] = {
        {HEAD "m=audio 4000 RTP/AVP 8 101\na=rtpmap:101 telephone-event/8000\n", 0, CODEC_PCMA, SDP_SENDRECV},
        {HEAD "m=audio 4000 RTP/AVP 96\na=rtpmap:96 opus/48000/2\na=recvonly\n", 0, CODEC_OPUS, SDP_SENDONLY},
        {HEAD "m=audio 0 RTP/AVP 8\n", -ENOENT, 0, 0},
        {HEAD "m=audio 4000 RTP/AVP 18\n", -ENOTSUP, 0, 0},
        {HEAD "m=audio 4000 RTP/SAVP 8\na=crypto:1 AES_CM_128_HMAC_SHA1_80 " KEY "\n", -ENOTSUP, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trunk_plan plan;
        size_t chosen = 9;
        assert_int_equal(sdp_read(&sdp, span_str(cases[i].text), NULL), 0);
        assert_int_equal(trunk_sdp_read_answer(&plan, &sdp, &config, NULL, &chosen, NULL), cases[i].code);
        if (cases[i].code)
            continue;
        assert_int_equal(plan.audio.codec, cases[i].codec);
        assert_int_equal(plan.audio.direction, cases[i].direction);
        assert_false(plan.secure);
    }
}

static void test_keys_of_our_offer(void **state) {
    (void)state;
    struct sdes ours[TRUNK_SDP_SUITES];
    char text[TRUNK_SDP_OFFER_CAP];
    assert_int_equal(sdes_make(&ours[0], SRTP_CTX_AEAD_AES_128_GCM, 1), 0);
    assert_int_equal(sdes_make(&ours[1], SRTP_CTX_AES128_CM_HMAC_SHA1_80, 2), 0);
    assert_true(trunk_sdp_write_offer(&secure_config, &local, ours, text, sizeof text) > 0);
    assert_non_null(strstr(text, "m=audio 10000 RTP/SAVP 0 "));
    struct trunk_plan plan;
    assert_int_equal(sdp_read(&sdp, span_str(text), NULL), 0);
    assert_int_equal(trunk_sdp_read_offer(&plan, &sdp, &secure_config, NULL), 0);
    assert_true(sdes_same_key(&plan.theirs, &ours[0]));
    static const struct {
        const char *crypto;
        int code;
        size_t chosen;
    } cases[] = {{"2 AES_CM_128_HMAC_SHA1_80 " KEY, 0, 1},
                 {"1 AES_CM_128_HMAC_SHA1_80 " KEY, -ENOTSUP, 0}, // not the suite of tag 1
                 {"3 AES_CM_128_HMAC_SHA1_80 " KEY, -ENOTSUP, 0}};
    for (size_t i = 0; i < 3; i++) {
        size_t chosen = 0;
        char answer[512];
        snprintf(answer, sizeof answer, HEAD "m=audio 4000 RTP/SAVP 8\na=crypto:%s\n", cases[i].crypto);
        assert_int_equal(sdp_read(&sdp, span_str(answer), NULL), 0);
        assert_int_equal(trunk_sdp_read_answer(&plan, &sdp, &secure_config, ours, &chosen, NULL),
                         cases[i].code);
        assert_int_equal(chosen, cases[i].chosen);
    }
    static const char plain[] = HEAD "m=audio 4000 RTP/AVP 8\n";
    size_t chosen = 0;
    assert_int_equal(sdp_read(&sdp, span_str(plain), NULL), 0);
    assert_int_equal(trunk_sdp_read_answer(&plan, &sdp, &secure_config, ours, &chosen, NULL), -ENOTSUP);
}

// ---- keys

static void test_crypto_lines(void **state) {
    (void)state;
    static const struct {
        const char *value;
        int code;
    } cases[] = {
        {"1 AES_CM_128_HMAC_SHA1_80 " KEY, 0},
        {"000000001 aes_cm_128_hmac_sha1_80 " KEY "|2^31", 0},
        {"1 AES_CM_128_HMAC_SHA1_80 " KEY " WSH=64", 0},
        {"1 AES_CM_128_HMAC_SHA1_80 " KEY " KDR=1", -ENOTSUP},
        {"1 AES_CM_128_HMAC_SHA1_80 " KEY "|2^20|1:4", -ENOTSUP},
        {"1 AES_CM_128_HMAC_SHA1_80 " KEY "|1:4", -ENOTSUP},
        {"1 AES_CM_128_HMAC_SHA1_80 " KEY ";" KEY, -ENOTSUP},
        {"1 AES_CM_128_HMAC_SHA1_80 " KEY "A", -EBADMSG},
        {"1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSo", -EBADMSG},
        {"1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAw?Soj", -EBADMSG},
        {"1 AES_CM_128_HMAC_SHA1_80 d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj", -EBADMSG},
        {"1 AEAD_AES_128_GCM " KEY, -EBADMSG}, // too long for it
        {"1 AES_256_CM_HMAC_SHA1_80 " KEY, -ENOTSUP},
        {"x AES_CM_128_HMAC_SHA1_80 " KEY, -EBADMSG},
        {"1x AES_CM_128_HMAC_SHA1_80 " KEY, -EBADMSG},
        {"9999999999 AES_CM_128_HMAC_SHA1_80 " KEY, -EBADMSG},
        {"1 AES_CM_128_HMAC_SHA1_80", -EBADMSG},
        {"", -EBADMSG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sdes sdes;
        int code = sdes_parse(&sdes, span_str(cases[i].value));
        if (code != cases[i].code)
            fail_msg("%s: %s", cases[i].value, err_name(code));
    }
}

// The base64 of RFC 4568's own example, byte by byte, and back again.
static void test_key_bytes(void **state) {
    (void)state;
    struct sdes sdes;
    assert_int_equal(sdes_parse(&sdes, span_str("1 AES_CM_128_HMAC_SHA1_80 " KEY)), 0);
    assert_memory_equal(sdes.key, "wDfvg&T+)xG7@fb5jU,RaA}\\|p0%*#", 30);
    char text[256];
    struct sdp_writer writer;
    sdp_writer_init(&writer, text, sizeof text);
    sdes_write(&writer, &sdes);
    assert_string_equal(text, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 " KEY "\r\n");
    struct sdes gcm, again;
    assert_int_equal(sdes_make(&gcm, SRTP_CTX_AEAD_AES_128_GCM, 5), 0);
    sdp_writer_init(&writer, text, sizeof text);
    sdes_write(&writer, &gcm);
    assert_int_equal(sdes_parse(&again, span_str(text + strlen("a=crypto:"))), -EBADMSG); // its CR LF
    text[strlen(text) - 2] = '\0';
    assert_int_equal(sdes_parse(&again, span_str(text + strlen("a=crypto:"))), 0);
    assert_true(sdes_same_key(&gcm, &again));
    assert_int_equal(again.tag, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_our_preference_decides),
        cmocka_unit_test(test_ptime),
        cmocka_unit_test(test_where_they_listen),
        cmocka_unit_test(test_the_other_family),
        cmocka_unit_test(test_our_offer),
        cmocka_unit_test(test_the_answer_to_it),
        cmocka_unit_test(test_keys_of_our_offer),
        cmocka_unit_test(test_crypto_lines),
        cmocka_unit_test(test_key_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
