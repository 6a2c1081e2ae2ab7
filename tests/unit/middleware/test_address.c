// SPDX-License-Identifier: Apache-2.0
#include "middleware/address.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void expect_key(const char *address, const char *key) {
    char out[ADDRESS_KEY_SIZE];
    assert_int_equal(address_key(address, out), 0);
    assert_string_equal(out, key);
}

static void test_key(void **state) {
    (void)state;
    expect_key("203.0.113.7", "203.0.113.7");
    expect_key("::ffff:203.0.113.7", "203.0.113.7");
    expect_key("::FFFF:cb00:7107", "203.0.113.7");
    expect_key("2001:DB8:1:2:3:4:5:6", "2001:db8:1:2::/64");
    expect_key("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64");
    expect_key("2001:db8:1:3::", "2001:db8:1:3::/64");
    expect_key("fe80::1%eth0", "fe80::/64");
    expect_key("::1", "::/64");
    expect_key("1111:2222:3333:4444:5555:6666:7777:8888", "1111:2222:3333:4444::/64");
}

static void test_no_address(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "x",
                                      "203.0.113",
                                      "203.0.113.7:80",
                                      "[::1]",
                                      "203.0.113.7%eth0",
                                      "%1",
                                      "2001:db8:1:2:3:4:5:6:7",
                                      "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb"};
    char out[ADDRESS_KEY_SIZE] = "untouched";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(address_key(bad[i], out), -EINVAL);
        assert_string_equal(out, "untouched");
        assert_false(address_is_private(bad[i]));
    }
}

static void test_private(void **state) {
    (void)state;
    static const char *const yes[] = {"0.0.0.0",
                                      "10.0.0.1",
                                      "10.255.255.255",
                                      "100.64.0.0",
                                      "100.127.255.255",
                                      "127.0.0.1",
                                      "169.254.1.1",
                                      "172.16.0.0",
                                      "172.31.255.255",
                                      "192.168.0.1",
                                      "::1",
                                      "::",
                                      "fe80::1%eth0",
                                      "febf::1",
                                      "fc00::1",
                                      "fdff::1",
                                      "::ffff:10.0.0.1",
                                      "::ffff:127.1.1.1"};
    static const char *const no[] = {"9.255.255.255", "11.0.0.0",      "100.63.255.255", "100.128.0.0",
                                     "128.0.0.1",     "169.253.1.1",   "172.15.255.255", "172.32.0.0",
                                     "192.167.0.1",   "203.0.113.7",   "2001:db8::1",    "fec0::1",
                                     "fe00::1",       "::ffff:8.8.8.8"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!address_is_private(yes[i]))
            fail_msg("%s is private", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (address_is_private(no[i]))
            fail_msg("%s is public", no[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_no_address),
        cmocka_unit_test(test_private),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
