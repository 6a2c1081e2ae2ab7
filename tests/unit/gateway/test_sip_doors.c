// SPDX-License-Identifier: Apache-2.0
#include "gateway/sip_doors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void pages_are_read(void **state) {
    (void)state;
    static const struct {
        const char *query;
        int status;
        size_t offset, limit;
    } good[] = {
        {"", -1, 0, 20},
        {"status=Failed", CALLQUEUE_FAILED, 0, 20},
        {"limit=5&status=7&offset=40", CALLQUEUE_EXPIRED, 40, 5},
        {"other=1&&status=", -1, 0, 20},
        {"limit=100", -1, 0, 100},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct callqueue_page page;
        const char *why;
        assert_true(sip_doors_page(good[i].query, &page, &why));
        assert_int_equal(page.status, good[i].status);
        assert_int_equal(page.offset, good[i].offset);
        assert_int_equal(page.limit, good[i].limit);
    }
}

static void nonsense_is_named(void **state) {
    (void)state;
    static const char *const bad[] = {"status=Nope", "offset=-1", "offset=x", "offset=",
                                      "limit=0",     "limit=101", "limit=1x", "offset=99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct callqueue_page page;
        const char *why = NULL;
        assert_false(sip_doors_page(bad[i], &page, &why));
        assert_non_null(why);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pages_are_read), cmocka_unit_test(nonsense_is_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
