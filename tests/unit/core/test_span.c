// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void numbers_are_network_order_and_bounded(void **state) {
    (void)state;
    // On the heap and exactly as large, so that the sanitizer sees a read beyond it.
    uint8_t *bytes = malloc(7);
    assert_non_null(bytes);
    memcpy(bytes, "\x01\x02\x03\xff\xfe\xfd\xfc", 7);
    struct span s = span_of(bytes, 7);
    uint8_t u8;
    uint16_t be16;
    uint32_t be32;
    assert_true(span_u8(&s, &u8));
    assert_int_equal(u8, 1);
    assert_true(span_be16(&s, &be16));
    assert_int_equal(be16, 0x0203);
    assert_true(span_be32(&s, &be32));
    assert_int_equal(be32, 0xfffefdfc);
    assert_int_equal(s.len, 0);
    assert_false(span_u8(&s, &u8));
    free(bytes);
}

static void a_failed_read_leaves_the_cursor(void **state) {
    (void)state;
    struct span s = span_str("abc"), out = span_str("kept");
    uint32_t be32 = 5;
    assert_false(span_be32(&s, &be32));
    assert_false(span_take(&s, 4, &out));
    assert_false(span_skip(&s, 4));
    assert_false(span_skip(&s, SIZE_MAX));
    assert_false(span_until(&s, 'z', &out));
    assert_int_equal(be32, 5);
    assert_true(span_eq(out, "kept"));
    assert_true(span_eq(s, "abc"));
    assert_true(span_take(&s, 3, &out));
    assert_true(span_eq(out, "abc"));
    assert_true(span_skip(&s, 0));
    struct span none = span_of(NULL, 0);
    assert_false(span_until(&none, 'a', &out));
    assert_false(span_line(&none, &out));
    assert_true(span_eq(none, ""));
    assert_true(span_eq_nocase(none, ""));
    assert_true(span_starts(none, ""));
}

static void lines(void **state) {
    (void)state;
    struct span s = span_str("one\r\ntwo\n\r\n\nlast"), line;
    const char *const wanted[] = {"one", "two", "", "", "last"};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        assert_true(span_line(&s, &line));
        assert_true(span_eq(line, wanted[i]));
    }
    assert_false(span_line(&s, &line));
}

static void words_and_stops(void **state) {
    (void)state;
    struct span s = span_str(" \t one\ttwo  "), out;
    assert_true(span_word(&s, &out));
    assert_true(span_eq(out, "one"));
    assert_true(span_word(&s, &out));
    assert_true(span_eq(out, "two"));
    assert_int_equal(s.len, 2);
    assert_false(span_word(&s, &out));
    assert_int_equal(s.len, 2);
    s = span_str("key:value:more");
    assert_true(span_until(&s, ':', &out));
    assert_true(span_eq(out, "key"));
    assert_true(span_eq(s, "value:more"));
    assert_true(span_eq(span_trim(span_str(" \ta b\t ")), "a b"));
    assert_true(span_eq(span_trim(span_str("  ")), ""));
}

static void decimal_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t max, value;
        bool good;
        size_t left;
    } cases[] = {
        {"0", 0, 0, true, 0},
        {"42x", 100, 42, true, 1},
        {"100", 100, 100, true, 0},
        {"101", 100, 0, false, 3},
        {"", 100, 0, false, 0},
        {"-1", 100, 0, false, 2},
        {" 1", 100, 0, false, 2},
        {"18446744073709551615", UINT64_MAX, UINT64_MAX, true, 0},
        {"18446744073709551616", UINT64_MAX, 0, false, 20},
        {"99999999999999999999999", UINT64_MAX, 0, false, 23},
        {"0000000000000000000000007", 9, 7, true, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct span s = span_str(cases[i].text);
        uint64_t value = 0;
        assert_int_equal(span_u64(&s, cases[i].max, &value), cases[i].good);
        assert_true(value == cases[i].value);
        assert_int_equal(s.len, cases[i].left);
    }
}

static void comparing(void **state) {
    (void)state;
    assert_true(span_eq(span_str("abc"), "abc"));
    assert_false(span_eq(span_str("abc"), "ab"));
    assert_false(span_eq(span_str("ab"), "abc"));
    assert_false(span_eq(span_str("abc"), "ABC"));
    assert_true(span_eq_nocase(span_str("aBc"), "AbC"));
    assert_false(span_eq_nocase(span_str("abc"), "abd"));
    assert_true(span_starts(span_str("candidate:1"), "candidate:"));
    assert_false(span_starts(span_str("cand"), "candidate:"));
}

static void copies_fit_or_are_empty(void **state) {
    (void)state;
    char out[4] = "xyz";
    assert_true(span_copy(span_str("abc"), out, sizeof out));
    assert_string_equal(out, "abc");
    assert_false(span_copy(span_str("abcd"), out, sizeof out));
    assert_string_equal(out, "");
    assert_true(span_copy(span_of(NULL, 0), out, sizeof out));
    assert_string_equal(out, "");
    assert_false(span_copy(span_str(""), out, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_network_order_and_bounded),
        cmocka_unit_test(a_failed_read_leaves_the_cursor),
        cmocka_unit_test(lines),
        cmocka_unit_test(words_and_stops),
        cmocka_unit_test(decimal_numbers),
        cmocka_unit_test(comparing),
        cmocka_unit_test(copies_fit_or_are_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
