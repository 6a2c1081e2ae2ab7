// SPDX-License-Identifier: Apache-2.0
// The pure parts of the WebSocket client: URL, handshake texts, framing.
#include "gateway/core/err.h"
#include "signaling/wsc_frame.h"
#include "signaling/wsc_upgrade.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_url_forms(void **state) {
    (void)state;
    struct wsc_url url;
    assert_int_equal(wsc_url_parse("ws://host", &url), 0);
    assert_string_equal(url.host, "host");
    assert_string_equal(url.port, "80");
    assert_string_equal(url.target, "/");
    assert_true(url.default_port && !url.secure);
    assert_int_equal(wsc_url_parse("WSS://a.example:9443/ws/x?token=1", &url), 0);
    assert_true(url.secure && !url.default_port);
    assert_string_equal(url.port, "9443");
    assert_string_equal(url.target, "/ws/x?token=1");
    assert_int_equal(wsc_url_parse("ws://[::1]:8080?q", &url), 0);
    assert_string_equal(url.host, "::1");
    assert_true(url.bracketed);
    assert_string_equal(url.target, "/?q");
}

static void test_url_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",          "http://a/",    "ws://",       "ws:///x",       "ws://a:0/",      "ws://a:65536/",
        "ws://a:x/", "ws://u@a/",    "ws://u:p@a/", "ws://a/#frag",  "ws://a/b c",     "ws://a/\r\nX",
        "ws://[::1", "ws://[::1]x/", "ws://a:1:2",  "ws://[host]/x", "ws://h\xc3\xa9/"};
    struct wsc_url url;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(wsc_url_parse(bad[i], &url), -EINVAL);
    char *long_url = malloc(WSC_URL_MAX + 32);
    memset(long_url, 'a', WSC_URL_MAX + 31);
    long_url[WSC_URL_MAX + 31] = '\0';
    memcpy(long_url, "ws://h/", 7);
    assert_int_equal(wsc_url_parse(long_url, &url), -EINVAL);
    free(long_url);
    assert_int_equal(wsc_url_parse(NULL, &url), -EINVAL);
}

// The example of RFC 6455 section 1.3.
static void test_accept_of_the_rfc(void **state) {
    (void)state;
    char accept[WSC_ACCEPT_LEN + 1];
    assert_int_equal(wsc_upgrade_accept("dGhlIHNhbXBsZSBub25jZQ==", accept), 0);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void test_request(void **state) {
    (void)state;
    struct wsc_url url;
    char text[WSC_REQUEST_MAX];
    const struct wsc_header good = {"Authorization", "Bearer x"};
    const struct wsc_header bad[] = {
        {"A", "b\r\nEvil: 1"}, {"A:", "b"}, {"", "b"}, {"Host", "x"}, {"Sec-WebSocket-Key", "x"}};
    assert_int_equal(wsc_url_parse("ws://[::1]:81/p?q", &url), 0);
    int len = wsc_upgrade_request(text, sizeof text, &url, "KEY", &good, 1);
    assert_int_equal(len, (int)strlen(text));
    assert_non_null(strstr(text, "GET /p?q HTTP/1.1\r\nHost: [::1]:81\r\n"));
    assert_non_null(strstr(text, "Sec-WebSocket-Key: KEY\r\n"));
    assert_non_null(strstr(text, "Authorization: Bearer x\r\n"));
    assert_non_null(strstr(text, "User-Agent: iqra-gateway/" IQ_VERSION "\r\n\r\n"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(wsc_upgrade_request(text, sizeof text, &url, "KEY", &bad[i], 1), -EINVAL);
    assert_int_equal(wsc_upgrade_request(text, 100, &url, "KEY", &good, 1), -EMSGSIZE);
}

#define GOOD_ANSWER                                                                                          \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\n"          \
    "Sec-WebSocket-Accept: ACC\r\n\r\n"

static void test_answer_at_every_length(void **state) {
    (void)state;
    struct wsc_upgrade out;
    const char answer[] = GOOD_ANSWER "\x81";
    size_t header = sizeof GOOD_ANSWER - 1;
    for (size_t len = 0; len < header; len++) {
        char *exact = malloc(len ? len : 1);
        memcpy(exact, answer, len);
        assert_int_equal(wsc_upgrade_response(exact, len, "ACC", false, &out), 0);
        free(exact);
    }
    assert_int_equal(wsc_upgrade_response(answer, header, "ACC", false, &out), (int)header);
    assert_int_equal(wsc_upgrade_response(answer, header + 1, "ACC", false, &out), (int)header);
}

static void test_answer_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        unsigned status;
    } bad[] = {
        {"HTTP/1.1 404 Not Found\r\n\r\n", 404},
        {"HTTP/1.1 101 X\r\n\r\n", 101},
        {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 101},
        {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: NO\r\n\r\n",
         101},
        {"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACC\r\n\r\n", 101},
        {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: close\r\nSec-WebSocket-Accept: ACC\r\n\r\n",
         101},
        {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACC\r\n"
         "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
         101},
        {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACC\r\n"
         "Sec-WebSocket-Protocol: p\r\n\r\n",
         101},
        {"HTTP/1.1 101 X\r\nno colon here\r\n\r\n", 101},
        {"HTTP/2 101 X\r\n\r\n", 0},
        {"HTTP/1.1 abc\r\n\r\n", 0},
        {"SSH-2.0-OpenSSH", 0},
    };
    struct wsc_upgrade out;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(wsc_upgrade_response(bad[i].text, strlen(bad[i].text), "ACC", false, &out), -EPROTO);
        assert_int_equal(out.status, bad[i].status);
        assert_non_null(out.reason);
    }
    char *endless = malloc(WSC_RESPONSE_MAX);
    memset(endless, 'a', WSC_RESPONSE_MAX);
    memcpy(endless, "HTTP/1.1 101 X\r\nA:", 18);
    assert_int_equal(wsc_upgrade_response(endless, WSC_RESPONSE_MAX - 1, "ACC", false, &out), 0);
    assert_int_equal(wsc_upgrade_response(endless, WSC_RESPONSE_MAX, "ACC", false, &out), -EPROTO);
    free(endless);
}

// What a byte string decodes to: data as text, control frames in brackets, '|' at each message's end.
static int decode(const uint8_t *bytes, size_t len, size_t step, char *out, size_t cap) {
    struct wsc_frames frames = {0};
    size_t used = 0;
    for (size_t at = 0; at < len; at += step) {
        size_t n = len - at < step ? len - at : step;
        uint8_t *exact = malloc(n);
        memcpy(exact, bytes + at, n);
        const uint8_t *data = exact;
        struct wsc_piece piece;
        int got;
        while ((got = wsc_frames_next(&frames, &data, &n, &piece)) > 0) {
            static const char *const open[] = {"", "[close ", "[ping ", "[pong "};
            used += (size_t)snprintf(out + used, cap - used, "%s%.*s%s", open[piece.type], (int)piece.len,
                                     (const char *)piece.data,
                                     piece.type != WSC_PIECE_DATA ? "]"
                                     : piece.end                  ? "|"
                                                                  : "");
        }
        free(exact);
        if (got < 0)
            return got;
    }
    return 0;
}

static void test_fragments_with_ping_between(void **state) {
    (void)state;
    static const uint8_t bytes[] = "\x01\x03"
                                   "Hel"
                                   "\x89\x02hi"
                                   "\x00\x00"
                                   "\x80\x02lo"
                                   "\x8a\x00"
                                   "\x82\x00"
                                   "\x82\x01x"
                                   "\x88\x02\x03\xe8";
    for (size_t step = 1; step < sizeof bytes; step++) {
        char text[128] = "";
        assert_int_equal(decode(bytes, sizeof bytes - 1, step, text, sizeof text), 0);
        assert_string_equal(text, "Hel[ping hi]lo|[pong ]|x|[close \x03\xe8]");
    }
}

static void test_violations(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int code;
    } bad[] = {
        {"\xc1\x00", 2, 1002},                      // RSV1
        {"\x91\x00", 2, 1002},                      // RSV3
        {"\x83\x00", 2, 1002},                      // reserved data opcode
        {"\x8b\x00", 2, 1002},                      // reserved control opcode
        {"\x82\x81", 2, 1002},                      // masked
        {"\x09\x00", 2, 1002},                      // fragmented ping
        {"\x89\x7e", 2, 1002},                      // long ping
        {"\x80\x00", 2, 1002},                      // continuation of nothing
        {"\x01\x00\x81\x00", 4, 1002},              // message inside a message
        {"\x82\x7e\x00\x7d", 4, 1002},              // 125 in 16 bits
        {"\x82\x7f\0\0\0\0\0\0\xff\xff", 10, 1002}, // 65535 in 64 bits
        {"\x82\x7f\x80\0\0\0\0\0\0\1", 10, 1002},   // top bit
        {"\x82\x7f\0\0\0\0\0\x80\0\1", 10, 1009},   // 8 MiB and one byte
        {"\x02\x7f\0\0\0\0\0\x10\0\0", 10, 0},      // 1 MiB is fine
    };
    char text[64];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (size_t step = 1; step <= bad[i].len; step++)
            assert_int_equal(decode((const uint8_t *)bad[i].bytes, bad[i].len, step, text, sizeof text),
                             -bad[i].code);
    }
}

// The bound is on the message and not on the frame.
static void test_message_bound_over_fragments(void **state) {
    (void)state;
    struct wsc_frames frames = {0};
    static const uint8_t first[] = {0x02, 127, 0, 0, 0, 0, 0, 0x80, 0, 0};
    uint8_t *payload = calloc(1, WSC_MESSAGE_MAX);
    const uint8_t *data = first;
    size_t len = sizeof first;
    struct wsc_piece piece;
    assert_int_equal(wsc_frames_next(&frames, &data, &len, &piece), 0);
    data = payload;
    len = WSC_MESSAGE_MAX;
    assert_int_equal(wsc_frames_next(&frames, &data, &len, &piece), 1);
    assert_int_equal(piece.len, WSC_MESSAGE_MAX);
    static const uint8_t more[] = {0x80, 1};
    data = more;
    len = sizeof more;
    assert_int_equal(wsc_frames_next(&frames, &data, &len, &piece), -1009);
    free(payload);
}

static void test_close_payload(void **state) {
    (void)state;
    char reason[WSC_CONTROL_MAX];
    assert_int_equal(wsc_close_parse(NULL, 0, reason), 1005);
    assert_int_equal(wsc_close_parse((const uint8_t *)"\x03", 1, reason), 1002);
    assert_int_equal(wsc_close_parse((const uint8_t *)"\x03\xe8"
                                                      "bye",
                                     5, reason),
                     1000);
    assert_string_equal(reason, "bye");
    assert_int_equal(wsc_close_parse((const uint8_t *)"\x03\xed", 2, reason), 1002); // 1005
    assert_int_equal(wsc_close_parse((const uint8_t *)"\x0f\xa0\xff", 3, reason), 4000);
    assert_string_equal(reason, "");
}

static void test_sending_side(void **state) {
    (void)state;
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t header[WSC_HEADER_MAX], out[64];
    assert_int_equal(wsc_frame_header(header, WSC_OP_TEXT, 5, mask), 6);
    assert_memory_equal(header, "\x81\x85\x37\xfa\x21\x3d", 6);
    wsc_frame_mask(out, (const uint8_t *)"Hello", 5, mask, 0); // RFC 6455 section 5.7
    assert_memory_equal(out, "\x7f\x9f\x4d\x51\x58", 5);
    assert_int_equal(wsc_frame_header(header, WSC_OP_BINARY, 640, mask), 8);
    assert_memory_equal(header, "\x82\xfe\x02\x80", 4);
    assert_int_equal(wsc_frame_header(header, WSC_OP_BINARY, 65536, mask), 14);
    assert_memory_equal(header, "\x82\xff\0\0\0\0\0\1\0\0", 10);
    uint8_t plain[64], whole[64];
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * 7);
    wsc_frame_mask(whole, plain, sizeof plain, mask, 0);
    for (size_t cut = 0; cut <= sizeof plain; cut++) {
        wsc_frame_mask(out, plain, cut, mask, 0);
        wsc_frame_mask(out + cut, plain + cut, sizeof plain - cut, mask, cut);
        assert_memory_equal(out, whole, sizeof whole);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_url_forms),
        cmocka_unit_test(test_url_refused),
        cmocka_unit_test(test_accept_of_the_rfc),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_answer_at_every_length),
        cmocka_unit_test(test_answer_refused),
        cmocka_unit_test(test_fragments_with_ping_between),
        cmocka_unit_test(test_violations),
        cmocka_unit_test(test_message_bound_over_fragments),
        cmocka_unit_test(test_close_payload),
        cmocka_unit_test(test_sending_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
