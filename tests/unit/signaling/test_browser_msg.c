// SPDX-License-Identifier: Apache-2.0
#include "signaling/browser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, struct browser_msg *msg) {
    struct err_text err = {""};
    int rc = browser_msg_parse(text, strlen(text), msg, &err);
    if (rc != 0)
        assert_string_not_equal(err.text, "");
    return rc;
}

static void refused(const char *text, int code, const char *field) {
    struct browser_msg msg;
    struct err_text err = {""};
    assert_int_equal(browser_msg_parse(text, strlen(text), &msg, &err), code);
    assert_non_null(strstr(err.text, field));
}

static void test_offer(void **state) {
    (void)state;
    struct browser_msg msg;
    assert_int_equal(parse("{\"type\":\"offer\",\"sdp\":\"v=0\\r\\n\",\"more\":[1]}", &msg), 0);
    assert_int_equal(msg.type, BROWSER_OFFER);
    assert_string_equal(msg.sdp, "v=0\r\n");
    assert_int_equal(msg.sdp_len, 5);
    browser_msg_clear(&msg);
    assert_null(msg.sdp);
}

static void test_candidate(void **state) {
    (void)state;
    struct browser_msg msg;
    assert_int_equal(
        parse("{\"type\":\"candidate\",\"candidate\":{\"candidate\":\"candidate:1 1 udp 1 ::1 9 typ host\","
              "\"sdpMid\":\"0\",\"sdpMLineIndex\":2,\"usernameFragment\":\"abcd\"}}",
              &msg),
        0);
    assert_int_equal(msg.type, BROWSER_CANDIDATE);
    assert_string_equal(msg.candidate, "candidate:1 1 udp 1 ::1 9 typ host");
    assert_string_equal(msg.sdp_mid, "0");
    assert_string_equal(msg.ufrag, "abcd");
    assert_int_equal(msg.sdp_mline_index, 2);
    browser_msg_clear(&msg);
}

static void test_end_of_candidates(void **state) {
    (void)state;
    struct browser_msg msg;
    assert_int_equal(parse("{\"type\":\"candidate\",\"candidate\":null}", &msg), 0);
    assert_null(msg.candidate);
    assert_int_equal(msg.sdp_mline_index, -1);
    browser_msg_clear(&msg);
    assert_int_equal(
        parse("{\"type\":\"candidate\",\"candidate\":{\"candidate\":\"\",\"sdpMid\":null}}", &msg), 0);
    assert_string_equal(msg.candidate, "");
    assert_null(msg.sdp_mid);
    browser_msg_clear(&msg);
    assert_int_equal(parse("{\"type\":\"hangup\"}", &msg), 0);
    assert_int_equal(msg.type, BROWSER_HANGUP);
    browser_msg_clear(&msg);
}

static void test_refused(void **state) {
    (void)state;
    refused("", -EINVAL, "JSON");
    refused("{\"type\":", -EINVAL, "JSON");
    refused("{\"type\":\"hangup\"}{}", -EINVAL, "JSON");
    refused("{\"type\":\"hangup\",\"type\":\"offer\"}", -EINVAL, "JSON");
    refused("{\"type\":\"offer\",\"sdp\":\"\xff\"}", -EINVAL, "JSON");
    refused("{\"type\":\"offer\",\"sdp\":\"a\\u0000b\"}", -EINVAL, "JSON");
    refused("[]", -EPROTO, "object");
    refused("{}", -EPROTO, "type");
    refused("{\"type\":1}", -EPROTO, "type");
    refused("{\"type\":\"answer\"}", -EPROTO, "answer");
    refused("{\"type\":\"offer\"}", -EPROTO, "sdp");
    refused("{\"type\":\"offer\",\"sdp\":\"\"}", -EPROTO, "sdp");
    refused("{\"type\":\"candidate\"}", -EBADMSG, "candidate");
    refused("{\"type\":\"candidate\",\"candidate\":\"x\"}", -EBADMSG, "candidate");
    refused("{\"type\":\"candidate\",\"candidate\":{\"candidate\":7}}", -EBADMSG, "candidate.candidate");
    refused("{\"type\":\"candidate\",\"candidate\":{\"sdpMid\":7}}", -EBADMSG, "candidate.sdpMid");
    refused("{\"type\":\"candidate\",\"candidate\":{\"usernameFragment\":[]}}", -EBADMSG, "usernameFragment");
    refused("{\"type\":\"candidate\",\"candidate\":{\"sdpMLineIndex\":-1}}", -EBADMSG, "sdpMLineIndex");
    refused("{\"type\":\"candidate\",\"candidate\":{\"sdpMLineIndex\":1.5}}", -EBADMSG, "sdpMLineIndex");
}

static void test_bounds(void **state) {
    (void)state;
    refused("[[[[[[[[[]]]]]]]]]", -EINVAL, "deeper");
    refused("{\"type\":\"[[[[[[[[[[[[\"}", -EPROTO, "type");
    refused("{\"type\":\"\\\"[[[[[[[[[[[[\"}", -EPROTO, "type");
    size_t len = 70000;
    char *text = malloc(len + 1);
    assert_non_null(text);
    memset(text, ' ', len);
    text[len] = '\0';
    refused(text, -EINVAL, "longer");
    memset(text, 'a', len);
    static const char head[] = "{\"type\":\"candidate\",\"candidate\":{\"candidate\":\"";
    memcpy(text, head, sizeof head - 1);
    memcpy(text + 2000, "\"}}", 4);
    refused(text, -EBADMSG, "longer");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offer),
        cmocka_unit_test(test_candidate),
        cmocka_unit_test(test_end_of_candidates),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
