// SPDX-License-Identifier: Apache-2.0
#include "signaling/cors.h"
#include "signaling/forwarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const origins[] = {"https://shop.example", "http://localhost:3000/"};

static void test_cors_rules(void **state) {
    (void)state;
    const char *const any[] = {"*"};
    assert_true(cors_allowed(origins, 2, "https://shop.example"));
    assert_true(cors_allowed(origins, 2, "HTTPS://Shop.example"));
    assert_false(cors_allowed(origins, 2, "http://shop.example"));
    assert_false(cors_allowed(origins, 2, "https://shop.example:8443"));
    assert_false(cors_allowed(origins, 2, "null"));
    assert_false(cors_allowed(origins, 2, ""));
    assert_false(cors_allowed(NULL, 0, "https://shop.example"));
    assert_false(cors_allowed(any, 1, "https://anything.example"));
    assert_false(cors_allowed(any, 1, ""));
    assert_true(cors_same_origin("http://localhost:8080", "localhost:8080"));
    assert_true(cors_same_origin("https://a.example", "a.example:443"));
    assert_true(cors_same_origin("http://a.example:80", "A.example"));
    assert_false(cors_same_origin("http://a.example", "a.example:8080"));
    assert_false(cors_same_origin("http://a.example", "b.example"));
    assert_false(cors_same_origin("null", "null"));
    assert_false(cors_same_origin("http://", ""));
}

static void expect_client(const struct forwarded *forwarded, const char *peer, const char *chain,
                          const char *client) {
    char out[FORWARDED_ADDRESS_MAX];
    forwarded_client(forwarded, peer, chain, out, sizeof out);
    assert_string_equal(out, client);
}

static void test_forwarded(void **state) {
    (void)state;
    const char *const proxies[] = {"127.0.0.1", "2001:db8::1"}, *const networks[] = {"10.0.0.0/9", "fd00::/8",
                                                                                     "0.0.0.0/32"};
    struct forwarded *none, *some;
    assert_int_equal(forwarded_new(&none, NULL, 0, NULL, 0, NULL), 0);
    expect_client(none, "127.0.0.1", "203.0.113.7", "127.0.0.1");
    expect_client(none, "::ffff:192.0.2.1", "", "192.0.2.1");
    assert_int_equal(forwarded_new(&some, proxies, 2, networks, 3, NULL), 0);
    expect_client(some, "127.0.0.1", "", "127.0.0.1");
    expect_client(some, "127.0.0.1", "203.0.113.7", "203.0.113.7");
    expect_client(some, "::ffff:127.0.0.1", "203.0.113.7", "203.0.113.7");
    expect_client(some, "127.0.0.1", "6.6.6.6, 203.0.113.7 , 10.1.2.3", "203.0.113.7");
    expect_client(some, "127.0.0.1", "10.1.2.3,10.1.2.4", "10.1.2.3");
    expect_client(some, "127.0.0.1", "203.0.113.7:5000", "203.0.113.7");
    expect_client(some, "2001:db8::1", "[2001:DB8::7]:5000", "2001:db8::7");
    expect_client(some, "127.0.0.1", "2001:db8::7", "2001:db8::7");
    expect_client(some, "127.0.0.1", "::ffff:203.0.113.7", "203.0.113.7");
    expect_client(some, "127.0.0.1", "203.0.113.7, nonsense, 10.0.0.1", "10.0.0.1");
    expect_client(some, "203.0.113.9", "198.51.100.1", "203.0.113.9");
    assert_true(forwarded_trusted(some, "10.127.255.255"));
    assert_false(forwarded_trusted(some, "10.128.0.0"));
    assert_true(forwarded_trusted(some, "fdff::1"));
    assert_false(forwarded_trusted(some, "0.0.0.1"));
    forwarded_free(none);
    forwarded_free(some);
}

static void test_forwarded_entries_checked(void **state) {
    (void)state;
    const char *const bad[] = {"10.0.0.0/33", "::/129", "x", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8 "};
    struct forwarded *forwarded;
    struct err_text err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(forwarded_new(&forwarded, NULL, 0, &bad[i], 1, &err), -EINVAL);
        assert_non_null(strstr(err.text, bad[i]));
    }
    const char *const network = "10.0.0.0/8";
    assert_int_equal(forwarded_new(&forwarded, &network, 1, NULL, 0, &err), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cors_rules),
        cmocka_unit_test(test_forwarded),
        cmocka_unit_test(test_forwarded_entries_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
