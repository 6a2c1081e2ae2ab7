// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_scalar_value_is_valid(void **state) {
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        uint8_t b[4];
        size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        static const uint8_t lead[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
        for (size_t i = len; i-- > 1;)
            b[i] = (uint8_t)(0x80 | (c >> 6 * (len - 1 - i) & 0x3f));
        b[0] = (uint8_t)(lead[len] | c >> 6 * (len - 1));
        bool surrogate = c >= 0xd800 && c <= 0xdfff;
        assert_int_equal(utf8_valid(b, len), !surrogate);
        for (size_t cut = 1; cut < len; cut++)
            assert_false(utf8_valid(b, cut));
    }
}

static void malformed_text_is_refused(void **state) {
    (void)state;
    static const char *bad[] = {"\x80",
                                "\xbf",
                                "\xc0\x80",
                                "\xc1\xbf",
                                "\xe0\x9f\xbf",
                                "\xed\xa0\x80",
                                "\xed\xbf\xbf",
                                "\xf0\x8f\xbf\xbf",
                                "\xf4\x90\x80\x80",
                                "\xf5\x80\x80\x80",
                                "\xfe",
                                "\xff",
                                "a\xe4",
                                "\xc3\x28",
                                "\xe2\x82\x28",
                                "\xf0\x9f\x98z"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(utf8_valid(bad[i], strlen(bad[i])));
}

static void text_is_valid(void **state) {
    (void)state;
    static const char text[] = "h\xc3\xa9llo \xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd8\xa7 \xf0\x9f\x98\x80";
    assert_true(utf8_valid(text, sizeof text)); // with its NUL
    assert_true(utf8_valid(text, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scalar_value_is_valid),
        cmocka_unit_test(malformed_text_is_refused),
        cmocka_unit_test(text_is_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
