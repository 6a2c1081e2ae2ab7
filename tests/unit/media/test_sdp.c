// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "media/sdp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sdp sdp;
static struct err_text err;

#define HEAD "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"

static int parse(const char *text) {
    return sdp_read(&sdp, span_str(text), &err);
}

static void assert_span(struct span s, const char *expected) {
    char text[256];
    assert_true(span_copy(s, text, sizeof text));
    assert_string_equal(text, expected);
}

static void test_errors_name_the_line(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"", "SDP line 1: "},
        {"\r\n\r\n", "SDP line 1: "},
        {"o=- 1 1 IN IP4 1.2.3.4\r\n", "SDP line 1: the first line must be v=0"},
        {"v=1\r\n", "SDP line 1: the first line must be v=0"},
        {"v=0\r\no=x\r\n", "SDP line 2: o= wants"},
        {HEAD "hello\r\n", "SDP line 5: not of the form"},
        {HEAD "M=audio 9 RTP/AVP 0\r\n", "SDP line 5: not of the form"},
        {HEAD "a=mid:x\ra=y\r\n", "SDP line 5: a carriage return"},
        {HEAD "m=audio\r\n", "SDP line 5: m= wants"},
        {HEAD "m=audio x RTP/AVP 0\r\n", "SDP line 5: m= wants"},
        {HEAD "m=audio 65536 RTP/AVP 0\r\n", "SDP line 5: m= wants"},
        {HEAD "m=audio 9x RTP/AVP 0\r\n", "SDP line 5: m= wants"},
        {HEAD "m=audio 9 RTP/AVP\r\n", "SDP line 5: m= names no format"},
        {HEAD "c=IN IP4\r\n", "SDP line 5: c= wants"},
        {HEAD "m=audio 9 RTP/AVP 96\r\na=rtpmap:96 opus\r\n", "SDP line 6: a=rtpmap wants"},
        {HEAD "m=audio 9 RTP/AVP 96\r\na=rtpmap:96 opus/\r\n", "SDP line 6: a=rtpmap without"},
        {HEAD "m=audio 9 RTP/AVP 96\r\na=rtpmap:96 opus/0/2\r\n", "SDP line 6: a=rtpmap without"},
        {HEAD "a=fingerprint:sha-256\r\n", "SDP line 5: a=fingerprint wants"},
        {HEAD "a=fingerprint:sha-256 0G:11\r\n", "SDP line 5: a=fingerprint wants"},
        {HEAD "a=fingerprint:sha-256 00:1\r\n", "SDP line 5: a=fingerprint wants"},
        {HEAD "a=fingerprint:sha-256 00:11:\r\n", "SDP line 5: a=fingerprint wants"},
        {HEAD "a=fingerprint:sha-256 0011\r\n", "SDP line 5: a=fingerprint wants"},
        {HEAD "a=setup:perhaps\r\n", "SDP line 5: a=setup wants"},
        {HEAD "a=ice-ufrag:\r\n", "SDP line 5: a=ice-ufrag is empty"},
        {HEAD "a=ice-pwd\r\n", "SDP line 5: a=ice-pwd is empty"},
        {HEAD "m=application 9 UDP/DTLS/SCTP x\r\na=sctp-port:70000\r\n", "SDP line 6: a=sctp-port"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(cases[i].text), -EBADMSG);
        if (strncmp(err.text, cases[i].says, strlen(cases[i].says)) != 0)
            fail_msg("'%s' does not begin with '%s'", err.text, cases[i].says);
        assert_int_equal(sdp_read(&sdp, span_str(cases[i].text), NULL), -EBADMSG);
    }
    assert_int_equal(sdp_read(&sdp, span_of("v=0\r\ns=\0\r\n", 11), &err), -EBADMSG);
    assert_string_equal(err.text, "SDP line 2: a zero byte");
}

static void test_limits(void **state) {
    (void)state;
    static char text[SDP_MAX_TEXT + 2];
    memset(text, '\n', sizeof text);
    memcpy(text, "v=0", 3);
    assert_int_equal(sdp_read(&sdp, span_of(text, SDP_MAX_TEXT), &err), 0);
    assert_int_equal(sdp_read(&sdp, span_of(text, SDP_MAX_TEXT + 1), &err), -EMSGSIZE);

    memset(text + 4, 'x', SDP_MAX_LINE);
    memcpy(text + 4, "a=", 2);
    assert_int_equal(sdp_read(&sdp, span_of(text, 4 + SDP_MAX_LINE), &err), 0);
    text[4 + SDP_MAX_LINE] = 'x';
    assert_int_equal(sdp_read(&sdp, span_of(text, 5 + SDP_MAX_LINE), &err), -EMSGSIZE);
    assert_string_equal(err.text, "SDP line 2: the line is longer than 8192 bytes");

    size_t len = (size_t)snprintf(text, sizeof text, "v=0\n");
    for (size_t i = 0; i < SDP_MAX_MEDIA; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "m=audio 9 RTP/AVP 0\n");
    assert_int_equal(sdp_read(&sdp, span_of(text, len), &err), 0);
    assert_int_equal(sdp.media_count, SDP_MAX_MEDIA);
    len += (size_t)snprintf(text + len, sizeof text - len, "m=audio 9 RTP/AVP 0\n");
    assert_int_equal(sdp_read(&sdp, span_of(text, len), &err), -E2BIG);
    assert_string_equal(err.text, "SDP line 18: too many m-lines, at most 16 are taken");

    len = (size_t)snprintf(text, sizeof text, "v=0\nm=video 9 RTP/AVP");
    for (int i = 0; i < SDP_MAX_FORMATS + 10; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, " %d", i);
    len += (size_t)snprintf(text + len, sizeof text - len, "\na=rtpmap:70 VP8/90000\na=fmtp:70 x=y\n");
    assert_int_equal(sdp_read(&sdp, span_of(text, len), &err), 0);
    assert_int_equal(sdp.media[0].format_count, SDP_MAX_FORMATS);
}

static void test_any_line_end(void **state) {
    (void)state;
    assert_int_equal(parse("v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 0 \na=mid:x"), 0);
    assert_int_equal(sdp.media_count, 1);
    assert_int_equal(sdp.media[0].format_count, 1);
    assert_span(sdp.media[0].mid, "x");
    assert_span(sdp.origin.address, "1.2.3.4");
}

static void test_session_holds_for_media(void **state) {
    (void)state;
    assert_int_equal(
        parse(HEAD "c=IN IP6 ::1\r\na=recvonly\r\na=ice-ufrag:uuuu\r\na=ice-pwd:pppp\r\na=ice-lite\r\n"
                   "a=setup:passive\r\na=fingerprint:sha-256 AB:cd\r\n"
                   "m=audio 9 RTP/AVP 0\r\n"
                   "m=audio 9 RTP/AVP 0\r\nc=IN IP4 9.9.9.9/3\r\na=sendrecv\r\na=ice-ufrag:vvvv\r\n"
                   "a=setup:active\r\na=fingerprint:sha-1 01\r\n"),
        0);
    const struct sdp_media *plain = &sdp.media[0], *own = &sdp.media[1];
    assert_true(sdp.ice_lite);
    assert_span(plain->connection.address, "::1");
    assert_true(plain->connection.ip6);
    assert_int_equal(plain->direction, SDP_RECVONLY);
    assert_span(plain->transport.ice_ufrag, "uuuu");
    assert_int_equal(plain->transport.setup, SDP_SETUP_PASSIVE);
    assert_int_equal(plain->transport.fingerprint_count, 1);
    assert_int_equal(plain->transport.fingerprints[0].len, 2);
    assert_int_equal(plain->transport.fingerprints[0].bytes[1], 0xcd);
    assert_span(own->connection.address, "9.9.9.9");
    assert_false(own->connection.ip6);
    assert_int_equal(own->direction, SDP_SENDRECV);
    assert_span(own->transport.ice_ufrag, "vvvv");
    assert_span(own->transport.ice_pwd, "pppp");
    assert_int_equal(own->transport.setup, SDP_SETUP_ACTIVE);
    assert_int_equal(own->transport.fingerprint_count, 1);
    assert_span(own->transport.fingerprints[0].hash, "sha-1");
}

static void test_fingerprint_bounds(void **state) {
    (void)state;
    char text[1024] = HEAD "a=fingerprint:sha-512 00";
    for (int i = 1; i < SDP_MAX_HASH; i++)
        strncat(text, ":00", sizeof text - strlen(text) - 1);
    assert_int_equal(parse(text), 0);
    assert_int_equal(sdp.transport.fingerprints[0].len, SDP_MAX_HASH);
    strncat(text, ":00", sizeof text - strlen(text) - 1);
    assert_int_equal(parse(text), -EBADMSG);

    snprintf(text, sizeof text, HEAD);
    for (int i = 0; i < SDP_MAX_FINGERPRINTS + 2; i++)
        strncat(text, "a=fingerprint:sha-1 01:02\r\n", sizeof text - strlen(text) - 1);
    assert_int_equal(parse(text), 0);
    assert_int_equal(sdp.transport.fingerprint_count, SDP_MAX_FINGERPRINTS);
}

static void test_attributes_walked(void **state) {
    (void)state;
    assert_int_equal(parse(HEAD "a=tool:x\r\n"
                                "m=audio 9 RTP/AVP 0\r\n"
                                "a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n"
                                "a=candidates:no\r\n"
                                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\r\n"
                                "a=candidate:2 1 udp 1 x.local 9 typ host\r\n"
                                "a=end-of-candidates\r\n"
                                "m=audio 9 RTP/AVP 0\r\n"
                                "a=candidate:3 1 udp 1 10.0.0.1 9 typ host\r\n"),
                     0);
    struct span cursor = sdp.media[0].text, value;
    assert_true(sdp_next_candidate(&cursor, &value));
    assert_span(value, "candidate:1 1 udp 1 10.0.0.1 9 typ host");
    assert_true(sdp_next_candidate(&cursor, &value));
    assert_span(value, "candidate:2 1 udp 1 x.local 9 typ host");
    assert_false(sdp_next_candidate(&cursor, &value)); // not the next m-line's
    cursor = sdp.media[0].text;
    assert_true(sdp_next_attribute(&cursor, "crypto", &value));
    assert_span(value, "1 AES_CM_128_HMAC_SHA1_80 inline:abc");
    assert_false(sdp_next_attribute(&cursor, "crypto", &value));
    cursor = sdp.media[0].text;
    assert_true(sdp_next_attribute(&cursor, "end-of-candidates", &value));
    assert_int_equal(value.len, 0);
    cursor = sdp.text;
    assert_true(sdp_next_attribute(&cursor, "tool", &value));
    assert_span(value, "x");
    assert_true(sdp.media[0].end_of_candidates);
    assert_false(sdp.media[1].end_of_candidates);
}

static void test_bundle(void **state) {
    (void)state;
    assert_int_equal(parse(HEAD "a=group:LS 9\r\na=group:BUNDLE 0 data\r\n"
                                "m=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
                                "m=audio 9 RTP/AVP 0\r\na=mid:9\r\n"
                                "m=audio 9 RTP/AVP 0\r\n"
                                "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:data\r\n"),
                     0);
    assert_true(sdp_bundled(&sdp, &sdp.media[0]));
    assert_false(sdp_bundled(&sdp, &sdp.media[1]));
    assert_false(sdp_bundled(&sdp, &sdp.media[2]));
    assert_true(sdp_bundled(&sdp, &sdp.media[3]));
}

static void test_fmtp_param(void **state) {
    (void)state;
    struct span value;
    assert_true(sdp_fmtp_param(span_str("minptime=10; UseInbandFec=1 ;x"), "useinbandfec", &value));
    assert_span(value, "1");
    assert_true(sdp_fmtp_param(span_str("minptime=10"), "minptime", &value));
    assert_span(value, "10");
    assert_false(sdp_fmtp_param(span_str("minptime=10;x"), "x", &value));
    assert_false(sdp_fmtp_param(span_str(""), "x", &value));
    assert_false(sdp_fmtp_param(span_str("sprop-stereo=1"), "stereo", &value));
}

static void test_tolerated(void **state) {
    (void)state;
    assert_int_equal(parse(HEAD
                           "b=AS:99\r\nz=0 0\r\nk=clear:x\r\ni=words\r\na=\r\na=unknown:1\r\n"
                           "m=message 5060 TCP/MSRP *\r\n"
                           "m=audio 9/2 RTP/AVP 96 97\r\n"
                           "a=rtpmap:99 PCMU/8000\r\na=fmtp:99 x\r\na=rtpmap:abc\r\n"
                           "a=rtpmap:96 AMR-WB/16000/foo\r\n"
                           "a=ssrc:abc cname:x\r\na=ssrc:7 msid:a b\r\na=ssrc:7 cname:one\r\na=rtcp:x\r\n"
                           "a=max-message-size:x\r\n"),
                     0);
    assert_int_equal(sdp.media[0].kind, SDP_OTHER);
    assert_span(sdp.media[0].kind_name, "message");
    assert_int_equal(sdp.media[0].formats[0].payload_type, -1);
    assert_int_equal(sdp.media[1].formats[0].channels, 1);
    assert_int_equal(sdp.media[1].formats[0].clock_hz, 16000);
    assert_int_equal(sdp.media[1].formats[1].encoding.len, 0);
    assert_int_equal(sdp.media[1].ssrc, 7);
    assert_span(sdp.media[1].cname, "one");
    assert_false(sdp.media[1].has_max_message_size);
}

static void test_writer(void **state) {
    (void)state;
    char buf[64];
    struct sdp_writer w;
    sdp_writer_init(&w, buf, sizeof buf);
    sdp_printf(&w, "v=%d", 0);
    sdp_printf(&w, "a=mid:%.*s", SDP_SPAN(span_str("audio")));
    const uint8_t bytes[] = {0x0a, 0xff};
    sdp_write_fingerprint(&w, "sha-256", bytes, 2);
    assert_int_equal(sdp_writer_done(&w), (int)strlen(buf));
    assert_string_equal(buf, "v=0\r\na=mid:audio\r\na=fingerprint:sha-256 0A:FF\r\n");
    sdp_printf(&w, "a=%s", "this line has no room any more");
    assert_int_equal(sdp_writer_done(&w), -ENOBUFS);
    assert_string_equal(buf, "v=0\r\na=mid:audio\r\na=fingerprint:sha-256 0A:FF\r\n"); // no half line
    sdp_printf(&w, "a"); // would fit, but must not follow a gap
    assert_int_equal(strlen(buf), w.len);

    char exact[6];
    sdp_writer_init(&w, exact, 5);
    sdp_printf(&w, "abc");
    assert_int_equal(sdp_writer_done(&w), -ENOBUFS);
    sdp_writer_init(&w, exact, 6);
    sdp_printf(&w, "abc");
    assert_int_equal(sdp_writer_done(&w), 5);
    sdp_writer_init(&w, NULL, 0);
    sdp_printf(&w, "abc");
    assert_int_equal(sdp_writer_done(&w), -ENOBUFS);
}

static void test_refused_media(void **state) {
    (void)state;
    assert_int_equal(parse(HEAD "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:1\r\n"), 0);
    char buf[256];
    struct sdp_writer w;
    sdp_writer_init(&w, buf, sizeof buf);
    sdp_write_refused(&w, &sdp.media[0]);
    assert_true(sdp_writer_done(&w) > 0);
    assert_string_equal(buf,
                        "m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=inactive\r\n");
}

static void test_names(void **state) {
    (void)state;
    assert_string_equal(sdp_direction_name(SDP_SENDONLY), "sendonly");
    assert_int_equal(sdp_direction_turned(SDP_SENDONLY), SDP_RECVONLY);
    assert_int_equal(sdp_direction_turned(SDP_SENDRECV), SDP_SENDRECV);
    assert_string_equal(sdp_setup_name(SDP_SETUP_ACTPASS), "actpass");
    assert_string_equal(sdp_setup_name(SDP_SETUP_NONE), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_name_the_line),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_any_line_end),
        cmocka_unit_test(test_session_holds_for_media),
        cmocka_unit_test(test_fingerprint_bounds),
        cmocka_unit_test(test_attributes_walked),
        cmocka_unit_test(test_bundle),
        cmocka_unit_test(test_fmtp_param),
        cmocka_unit_test(test_tolerated),
        cmocka_unit_test(test_writer),
        cmocka_unit_test(test_refused_media),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
