// SPDX-License-Identifier: Apache-2.0
// The circuit breaker, the counter of tries and the limits of JSON: pure, on the test's own clock.
#include "middleware/breaker.h"
#include "middleware/json_limit.h"
#include "middleware/tries.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void fail_until_open(struct breaker *breaker, uint64_t now_ms) {
    for (int i = 1; i < BREAKER_FAILURES; i++) {
        assert_true(breaker_allows(breaker, now_ms));
        assert_false(breaker_outcome(breaker, false, now_ms));
    }
    assert_true(breaker_allows(breaker, now_ms));
    assert_true(breaker_outcome(breaker, false, now_ms));
    assert_true(breaker->open);
}

static void test_opens_after_failures_in_a_row(void **state) {
    (void)state;
    struct breaker breaker = {0};
    for (int i = 1; i < BREAKER_FAILURES; i++)
        assert_false(breaker_outcome(&breaker, false, 1));
    assert_false(breaker_outcome(&breaker, true, 1)); // the row begins anew
    fail_until_open(&breaker, 1000);
    assert_false(breaker_allows(&breaker, 1000));
    assert_false(breaker_allows(&breaker, 1000 + BREAKER_REST_MS - 1));
}

static void test_half_open(void **state) {
    (void)state;
    struct breaker breaker = {0};
    fail_until_open(&breaker, 1000);
    uint64_t now_ms = 1000 + BREAKER_REST_MS;
    assert_true(breaker_allows(&breaker, now_ms));
    assert_false(breaker_allows(&breaker, now_ms)); // one only
    assert_false(breaker_outcome(&breaker, false, now_ms + 5));
    assert_false(breaker_allows(&breaker, now_ms + BREAKER_REST_MS));
    now_ms += 5 + BREAKER_REST_MS;
    assert_true(breaker_allows(&breaker, now_ms));
    assert_true(breaker_outcome(&breaker, true, now_ms));
    assert_true(breaker_allows(&breaker, now_ms));
    assert_true(breaker_allows(&breaker, now_ms));
    fail_until_open(&breaker, now_ms); // and it counts from none
}

static void test_late_failures_do_not_prolong_the_rest(void **state) {
    (void)state;
    struct breaker breaker = {0};
    fail_until_open(&breaker, 1000);
    assert_false(breaker_outcome(&breaker, false, 3000));
    assert_true(breaker_allows(&breaker, 1000 + BREAKER_REST_MS));
    fail_until_open(&(struct breaker){0}, 5);
    assert_false(breaker_outcome(&breaker, false, 2000 + BREAKER_REST_MS));
    breaker_end_rest(&breaker);
    assert_true(breaker_allows(&breaker, 2000 + BREAKER_REST_MS));
}

static void test_tries(void **state) {
    (void)state;
    struct tries tries = {0};
    for (int i = 0; i < TRIES_A_MINUTE; i++)
        assert_true(tries_count(&tries, "203.0.113.7", 5000));
    for (int i = 0; i < 1000; i++)
        assert_false(tries_count(&tries, "203.0.113.7", 5001));
    assert_true(tries_count(&tries, "203.0.113.8", 5001));
    assert_false(tries_count(&tries, "203.0.113.7", 5000 + TRIES_WINDOW_MS - 1));
    assert_true(tries_count(&tries, "203.0.113.7", 5000 + TRIES_WINDOW_MS));
    assert_true(tries_count(&tries, "", 1));
}

static void nest(char *out, int depth) {
    for (int i = 0; i < depth; i++)
        *out++ = '[';
    for (int i = 0; i < depth; i++)
        *out++ = ']';
    *out = '\0';
}

static void test_json(void **state) {
    (void)state;
    char text[4 * JSON_DEPTH_MAX];
    struct err_text err = {""};
    nest(text, JSON_DEPTH_MAX);
    json_t *root = json_load_limited(span_str(text), &err);
    assert_non_null(root);
    json_decref(root);
    nest(text, JSON_DEPTH_MAX + 1);
    assert_null(json_load_limited(span_str(text), &err));
    assert_string_equal(err.text, "nested more than 32 deep");
    assert_null(json_load_limited(span_str("{\"a\":1,\"a\":2}"), &err));
    assert_non_null(strstr(err.text, "duplicate"));
    assert_null(json_load_limited(span_str("{} x"), &err));
    assert_null(json_load_limited(span_str(""), NULL));
    assert_null(json_load_limited(span_of("{\"a\":\"\xff\"}", 9), &err));
    root = json_load_limited(span_str("{\"a\":1,\"A\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}"), &err);
    assert_int_equal(json_object_size(root), 2);
    json_decref(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_after_failures_in_a_row),
        cmocka_unit_test(test_half_open),
        cmocka_unit_test(test_late_failures_do_not_prolong_the_rest),
        cmocka_unit_test(test_tries),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
