// SPDX-License-Identifier: Apache-2.0
#include "sip/flood.h"

#include "gateway/core/network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { SECOND = 1000000, START = 5 * SECOND };

static struct in6_addr source(const char *text) {
    struct in6_addr address;
    assert_true(address_parse(text, &address));
    return address;
}

static struct flood *flood_of(int64_t per_second) {
    struct flood *flood = NULL;
    assert_int_equal(flood_new(&flood, 64), 0);
    flood_set_rate(flood, per_second);
    return flood;
}

static void malformed_requests_count_with_other_methods(void **state) {
    (void)state;
    struct flood *flood = flood_of(3);
    struct flood_counts counts;
    struct in6_addr a = source("192.0.2.1");
    assert_int_equal(flood_request(flood, &a, false, START), FLOOD_PASS);
    for (int i = 0; i < 2; i++)
        assert_int_equal(flood_malformed(flood, &a, START), FLOOD_PASS);
    for (int i = 0; i < 10; i++)
        assert_int_equal(flood_malformed(flood, &a, START), FLOOD_SILENT);
    assert_true(flood_report(flood, &a, START, &counts));
    assert_int_equal(counts.silent, 10);
    assert_int_equal(flood_request(flood, &a, true, START), FLOOD_PASS); // calls count apart
    assert_int_equal(flood_request(flood, &a, false, START), FLOOD_REFUSE);
    assert_int_equal(flood_malformed(flood, &a, START + SECOND / 3 + 1), FLOOD_PASS);
    assert_int_equal(flood_malformed(flood, &a, START + SECOND / 3 + 1), FLOOD_SILENT);
    flood_free(flood);
}

static void passes_refuses_then_says_nothing(void **state) {
    (void)state;
    struct flood *flood = flood_of(3);
    struct in6_addr a = source("192.0.2.1"), b = source("192.0.2.2");
    for (int i = 0; i < 3; i++)
        assert_int_equal(flood_request(flood, &a, true, START), FLOOD_PASS);
    for (int i = 0; i < 3; i++)
        assert_int_equal(flood_request(flood, &a, true, START), FLOOD_REFUSE);
    for (int i = 0; i < 3; i++)
        assert_int_equal(flood_request(flood, &a, true, START), FLOOD_SILENT);
    assert_int_equal(flood_request(flood, &a, false, START), FLOOD_PASS); // other methods count apart
    assert_int_equal(flood_request(flood, &b, true, START), FLOOD_PASS);  // and other sources
    // A third of a second is one request; more than a second is no more than three.
    assert_int_equal(flood_request(flood, &a, true, START + SECOND / 3 + 1), FLOOD_PASS);
    assert_int_equal(flood_request(flood, &a, true, START + SECOND / 3 + 1), FLOOD_REFUSE);
    for (int i = 0; i < 3; i++)
        assert_int_equal(flood_request(flood, &a, true, START + 60 * SECOND), FLOOD_PASS);
    assert_int_equal(flood_request(flood, &a, true, START + 60 * SECOND), FLOOD_REFUSE);
    flood_free(flood);
}

static void a_steady_rate_passes_for_ever(void **state) {
    (void)state;
    struct flood *flood = flood_of(50);
    struct in6_addr a = source("192.0.2.1");
    for (uint64_t i = 0; i < 50 * 60; i++)
        assert_int_equal(flood_request(flood, &a, true, START + i * SECOND / 50), FLOOD_PASS);
    flood_free(flood);
}

static void zero_is_no_limit(void **state) {
    (void)state;
    struct flood *flood = flood_of(0);
    struct in6_addr a = source("192.0.2.1");
    for (int i = 0; i < 100000; i++)
        assert_int_equal(flood_request(flood, &a, true, START), FLOOD_PASS);
    flood_free(flood);
}

static void ipv6_counts_by_its_network(void **state) {
    (void)state;
    struct flood *flood = flood_of(1);
    struct in6_addr a = source("2001:db8:0:1::1"), same = source("2001:db8:0:1:ffff::9"),
                    other = source("2001:db8:0:2::1");
    assert_int_equal(flood_request(flood, &a, true, START), FLOOD_PASS);
    assert_int_equal(flood_request(flood, &same, true, START), FLOOD_REFUSE);
    assert_int_equal(flood_request(flood, &other, true, START), FLOOD_PASS);
    flood_free(flood);
}

static void mistakes_are_answered_twenty_times(void **state) {
    (void)state;
    struct flood *flood = flood_of(0);
    struct in6_addr a = source("192.0.2.1");
    for (int i = 0; i < 20; i++)
        assert_int_equal(flood_mistake(flood, &a, START), FLOOD_PASS);
    assert_int_equal(flood_mistake(flood, &a, START), FLOOD_SILENT);
    assert_int_equal(flood_mistake(flood, &a, START + 10 * SECOND), FLOOD_PASS);
    assert_int_equal(flood_mistake(flood, &a, START + 10 * SECOND), FLOOD_SILENT);
    flood_free(flood);
}

static void one_report_a_minute(void **state) {
    (void)state;
    struct flood *flood = flood_of(1);
    struct in6_addr a = source("192.0.2.1");
    struct flood_counts counts;
    assert_false(flood_report(flood, &a, START, &counts));
    for (int i = 0; i < 5; i++)
        flood_request(flood, &a, true, START);
    flood_scanner(flood, &a, START);
    assert_true(flood_report(flood, &a, START, &counts));
    assert_int_equal(counts.refused, 1);
    assert_int_equal(counts.silent, 4);
    flood_scanner(flood, &a, START + SECOND);
    assert_false(flood_report(flood, &a, START + 59 * SECOND, &counts));
    assert_true(flood_report(flood, &a, START + 60 * SECOND, &counts));
    assert_int_equal(counts.refused, 0);
    assert_int_equal(counts.silent, 1);
    assert_false(flood_report(flood, &a, START + 200 * SECOND, &counts)); // nothing new
    flood_free(flood);
}

// Many more sources than places: it stays as it is, and who comes all the time is remembered.
static void the_table_does_not_grow(void **state) {
    (void)state;
    struct flood *flood = flood_of(1);
    struct in6_addr steady = source("192.0.2.1");
    assert_int_equal(flood_request(flood, &steady, true, START), FLOOD_PASS);
    for (unsigned i = 0; i < 100000; i++) {
        struct in6_addr other = source("10.0.0.0");
        other.s6_addr[13] = (uint8_t)(i >> 16);
        other.s6_addr[14] = (uint8_t)(i >> 8);
        other.s6_addr[15] = (uint8_t)i;
        assert_int_equal(flood_request(flood, &other, true, START + i), FLOOD_PASS);
        assert_int_not_equal(flood_request(flood, &steady, true, START + i), FLOOD_PASS);
    }
    flood_free(flood);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_requests_count_with_other_methods),
        cmocka_unit_test(passes_refuses_then_says_nothing),
        cmocka_unit_test(a_steady_rate_passes_for_ever),
        cmocka_unit_test(zero_is_no_limit),
        cmocka_unit_test(ipv6_counts_by_its_network),
        cmocka_unit_test(mistakes_are_answered_twenty_times),
        cmocka_unit_test(one_report_a_minute),
        cmocka_unit_test(the_table_does_not_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
