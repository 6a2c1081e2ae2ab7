// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static bool inside(const char *network_text, const char *address_text) {
    struct network network;
    struct in6_addr address;
    assert_true(network_parse(network_text, &network));
    assert_true(address_parse(address_text, &address));
    return network_has(&network, &address);
}

static void networks_hold_their_addresses(void **state) {
    (void)state;
    assert_true(inside("10.0.0.0/8", "10.255.1.2"));
    assert_false(inside("10.0.0.0/8", "11.0.0.1"));
    assert_true(inside("203.0.113.128/25", "203.0.113.200"));
    assert_false(inside("203.0.113.128/25", "203.0.113.127"));
    assert_true(inside("203.0.113.7", "203.0.113.7"));
    assert_false(inside("203.0.113.7", "203.0.113.8"));
    assert_true(inside("0.0.0.0/0", "8.8.8.8"));
    assert_false(inside("0.0.0.0/0", "2001:db8::1"));
    assert_true(inside("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(inside("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(inside("::/0", "2001:db8::1"));
    assert_true(inside("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert_true(inside("::ffff:10.0.0.0/104", "10.1.2.3"));
}

static void other_texts_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"",       "10.0.0",     "10.0.0.0/",  "10.0.0.0/33", "10.0.0.0/-1",
                                        "::/129", "[::1]",      "10.0.0.1:5", "10.0.0.0/8x", "10.0.0.0/8/8",
                                        "host/8", "10.0.0.0 /8"};
    struct network network;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(network_parse(wrong[i], &network));
}

static void addresses_are_written_in_one_form(void **state) {
    (void)state;
    static const char *const forms[][2] = {
        {"::ffff:10.0.0.7", "10.0.0.7"}, {"10.0.0.7", "10.0.0.7"}, {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct in6_addr address;
        char text[NETWORK_TEXT_MAX];
        assert_true(address_parse(forms[i][0], &address));
        address_format(&address, text, sizeof text);
        assert_string_equal(text, forms[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_hold_their_addresses),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(addresses_are_written_in_one_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
