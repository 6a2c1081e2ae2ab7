// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void set_returns_the_code_and_writes_the_text(void **state) {
    (void)state;
    struct err_text err;
    assert_int_equal(err_set(&err, -EINVAL, "key %s: %d", "A", 7), -EINVAL);
    assert_string_equal(err.text, "key A: 7");
    assert_int_equal(err_set(NULL, -EIO, "nobody %s", "listens"), -EIO);
}

static void long_text_is_cut_and_terminated(void **state) {
    (void)state;
    struct err_text err;
    char filler[sizeof err.text * 2];
    memset(filler, 'x', sizeof filler - 1);
    filler[sizeof filler - 1] = '\0';
    err_set(&err, -EINVAL, "%s", filler);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

static void names(void **state) {
    (void)state;
    assert_string_equal(err_name(-ENOMEM), "ENOMEM");
    assert_string_equal(err_name(ENOMEM), "ENOMEM");
    assert_string_equal(err_name(-123456), "EUNKNOWN");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_returns_the_code_and_writes_the_text),
        cmocka_unit_test(long_text_is_cut_and_terminated),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
