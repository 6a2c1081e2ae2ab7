// SPDX-License-Identifier: Apache-2.0
#include "middleware/signalr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// ---- records

static struct {
    char text[256]; // the records, each in angle brackets
    int stop_at;    // the number of the record that is refused, from 1
    int count;
} seen;

static int on_record(struct span record, void *arg) {
    assert_ptr_equal(arg, &seen);
    size_t at = strlen(seen.text);
    snprintf(seen.text + at, sizeof seen.text - at, "<%.*s>", (int)record.len, (const char *)record.ptr);
    return ++seen.count == seen.stop_at ? -ECANCELED : 0;
}

static int feed(struct signalr_reader *reader, const char *text) {
    return signalr_read(reader, span_str(text), on_record, &seen);
}

static int setup(void **state) {
    (void)state;
    memset(&seen, 0, sizeof seen);
    return 0;
}

static void test_records_share_a_frame(void **state) {
    (void)state;
    struct signalr_reader reader = {0};
    assert_int_equal(feed(&reader, "one\x1etwo\x1e\x1ethree\x1e"), 0);
    assert_string_equal(seen.text, "<one><two><><three>");
    assert_null(reader.data);
}

static void test_records_cut_anywhere(void **state) {
    (void)state;
    static const char text[] = "one\x1e\x1etwo\x1e";
    struct signalr_reader reader = {0};
    for (size_t i = 0; i + 1 < sizeof text; i++)
        assert_int_equal(signalr_read(&reader, span_of(text + i, 1), on_record, &seen), 0);
    assert_string_equal(seen.text, "<one><><two>");
    assert_null(reader.data);
    assert_int_equal(feed(&reader, "half"), 0);
    assert_int_equal(reader.len, 4);
    signalr_reader_clear(&reader);
}

static void test_a_record_has_a_limit(void **state) {
    (void)state;
    struct signalr_reader reader = {0};
    char *text = malloc(SIGNALR_RECORD_MAX + 2);
    assert_non_null(text);
    memset(text, 'x', SIGNALR_RECORD_MAX + 1);
    text[SIGNALR_RECORD_MAX] = 0x1e;
    assert_int_equal(signalr_read(&reader, span_of(text, SIGNALR_RECORD_MAX + 1), on_record, &seen), 0);
    assert_int_equal(seen.count, 1);
    text[SIGNALR_RECORD_MAX] = 'x';
    text[SIGNALR_RECORD_MAX + 1] = 0x1e;
    assert_int_equal(signalr_read(&reader, span_of(text, SIGNALR_RECORD_MAX + 2), on_record, &seen),
                     -EMSGSIZE);
    // The same in two pieces, and without an end.
    assert_int_equal(signalr_read(&reader, span_of(text, SIGNALR_RECORD_MAX), on_record, &seen), 0);
    assert_int_equal(signalr_read(&reader, span_of(text, 1), on_record, &seen), -EMSGSIZE);
    assert_int_equal(seen.count, 1);
    signalr_reader_clear(&reader);
    free(text);
}

static void test_a_refused_record_is_the_last(void **state) {
    (void)state;
    struct signalr_reader reader = {0};
    seen.stop_at = 2;
    assert_int_equal(feed(&reader, "one\x1etwo\x1ethree\x1e"), -ECANCELED);
    assert_string_equal(seen.text, "<one><two>");
    signalr_reader_clear(&reader);
}

// ---- handshake

static const char *handshake(const char *text) {
    static struct err_text err;
    err.text[0] = '\0';
    int rc = signalr_parse_handshake(span_str(text), &err);
    assert_int_equal(rc, err.text[0] ? -EPROTO : 0);
    return err.text;
}

static void test_handshake(void **state) {
    (void)state;
    assert_string_equal(handshake("{\"protocol\":\"json\",\"version\":1}"), "");
    assert_string_equal(handshake("{\"protocol\":\"json\",\"version\":2}"),
                        "Version 2 of the protocol 'json' is not supported.");
    assert_string_equal(handshake("{\"protocol\":\"messagepack\",\"version\":1}"),
                        "The protocol 'messagepack' is not supported.");
    static const char *const bad[] = {
        "", "{}", "[]", "{\"type\":6}", "{\"protocol\":1,\"version\":1}", "{\"protocol\":\"json\"}", "GET /"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_string_equal(handshake(bad[i]), "The first message must be a handshake request.");
}

// ---- messages

static void parsed(const char *text, struct signalr_message *message) {
    struct err_text err = {""};
    if (signalr_parse(message, span_str(text), &err) != 0)
        fail_msg("%s: %s", text, err.text);
}

static void refused(const char *text, const char *why) {
    struct signalr_message message = {.type = SIGNALR_PING};
    struct err_text err = {""};
    assert_int_equal(signalr_parse(&message, span_str(text), &err), -EPROTO);
    assert_non_null(strstr(err.text, why));
    assert_int_equal(message.type, SIGNALR_PING); // outputs only on success
}

static void test_invocations(void **state) {
    (void)state;
    struct signalr_message message;
    parsed(
        "{\"type\":1,\"invocationId\":\"0\",\"target\":\"Register\",\"arguments\":[\"abc\"],\"headers\":{}}",
        &message);
    assert_int_equal(message.type, SIGNALR_INVOCATION);
    assert_string_equal(message.invocation_id, "0");
    assert_string_equal(message.target, "Register");
    assert_string_equal(json_string_value(json_array_get(message.arguments, 0)), "abc");
    signalr_message_clear(&message);
    parsed("{\"arguments\":[],\"target\":\"t\",\"type\":1,\"invocationId\":null}", &message);
    assert_null(message.invocation_id);
    assert_int_equal(json_array_size(message.arguments), 0);
    signalr_message_clear(&message);
    parsed("{\"type\":4,\"invocationId\":\"s\",\"target\":\"t\",\"arguments\":[]}", &message);
    assert_int_equal(message.type, SIGNALR_STREAM_INVOCATION);
    signalr_message_clear(&message);
}

static void test_other_types(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum signalr_type type;
    } cases[] = {
        {"{\"type\":2,\"invocationId\":\"1\",\"item\":1}", SIGNALR_STREAM_ITEM},
        {"{\"type\":3,\"invocationId\":\"1\",\"result\":1}", SIGNALR_COMPLETION},
        {"{\"type\":5,\"invocationId\":\"1\"}", SIGNALR_CANCEL_INVOCATION},
        {"{\"type\":6}", SIGNALR_PING},
        {"{\"type\":7,\"error\":\"x\"}", SIGNALR_CLOSE},
        {"{\"type\":8,\"sequenceId\":1}", SIGNALR_OTHER},
        {"{\"type\":0}", SIGNALR_OTHER},
        {"{\"type\":-4}", SIGNALR_OTHER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct signalr_message message;
        parsed(cases[i].text, &message);
        assert_int_equal(message.type, cases[i].type);
        signalr_message_clear(&message);
    }
}

static void test_what_is_no_message(void **state) {
    (void)state;
    refused("", "JSON object");
    refused("[1]", "JSON object");
    refused("{\"type\":1", "JSON object");
    refused("{\"type\":1,\"type\":6}", "JSON object");
    refused("{\"type\":6,\"x\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", "16 deep");
    refused("{}", "type");
    refused("{\"type\":\"6\"}", "type");
    refused("{\"type\":1,\"arguments\":[]}", "target");
    refused("{\"type\":1,\"target\":1,\"arguments\":[]}", "target");
    refused("{\"type\":1,\"target\":\"t\"}", "arguments");
    refused("{\"type\":1,\"target\":\"t\",\"arguments\":\"abc\"}", "arguments");
    refused("{\"type\":1,\"target\":\"t\",\"arguments\":[],\"invocationId\":7}", "invocationId");
    refused("{\"type\":1,\"target\":\"t\",\"arguments\":[],\"invocationId\":\"0123456789012345678901234567890"
            "123456789012345678901234567890123456789\"}",
            "invocationId");
    refused("{\"type\":4,\"target\":\"t\",\"arguments\":[]}", "invocationId");
}

// ---- what we send

static void is(char *record, const char *wanted) {
    assert_non_null(record);
    assert_string_equal(record, wanted);
    free(record);
}

static void test_records_of_ours(void **state) {
    (void)state;
    json_t *args = json_pack("[{s:s}]", "webSocketUrl", "wss://a/b");
    is(signalr_invocation("SessionReady", args),
       "{\"type\":1,\"target\":\"SessionReady\",\"arguments\":[{\"webSocketUrl\":\"wss://a/b\"}]}\x1e");
    json_decref(args);
    is(signalr_completion("0", NULL), "{\"type\":3,\"invocationId\":\"0\"}\x1e");
    is(signalr_completion("a\"b", "no \x1e end"),
       "{\"type\":3,\"invocationId\":\"a\\\"b\",\"error\":\"no \\u001E end\"}\x1e");
    is(signalr_close(NULL, true), "{\"type\":7,\"allowReconnect\":true}\x1e");
    is(signalr_close("over", false), "{\"type\":7,\"error\":\"over\",\"allowReconnect\":false}\x1e");
    is(signalr_handshake_error("no"), "{\"error\":\"no\"}\x1e");
    assert_null(signalr_completion("0", "\xff"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_records_share_a_frame, setup),
        cmocka_unit_test_setup(test_records_cut_anywhere, setup),
        cmocka_unit_test_setup(test_a_record_has_a_limit, setup),
        cmocka_unit_test_setup(test_a_refused_record_is_the_last, setup),
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_invocations),
        cmocka_unit_test(test_other_types),
        cmocka_unit_test(test_what_is_no_message),
        cmocka_unit_test(test_records_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
