// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/json_depth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool ok(const char *text, int max) {
    return json_depth_ok(text, strlen(text), max);
}

static void test_depth(void **state) {
    (void)state;
    assert_true(ok("{\"a\":[1,{}]}", 3));
    assert_false(ok("{\"a\":[1,{}]}", 2));
    assert_true(ok("[][][]{}", 1));
    assert_true(ok("", 0));
    assert_false(ok("[", 0));
}

static void test_brackets_in_strings_do_not_count(void **state) {
    (void)state;
    assert_true(ok("[\"[[[{{{\"]", 1));
    assert_true(ok("[\"\\\"[[[\"]", 1));
    assert_false(ok("[\"\\\\\",[]]", 1));
    assert_true(ok("\"\\", 0)); // cut off after the backslash
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_brackets_in_strings_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
