// SPDX-License-Identifier: Apache-2.0
#include "webrtc/ice_candidate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int parse(struct ice_candidate *out, const char *text) {
    return ice_candidate_parse(out, span_str(text));
}

static void test_reads_chrome(void **state) {
    (void)state;
    struct ice_candidate c;
    assert_int_equal(
        parse(&c, "candidate:842163049 1 udp 1677729535 192.0.2.10 51234 typ srflx raddr 10.0.0.4 rport "
                  "51235 generation 0 ufrag EsAw network-cost 999"),
        0);
    assert_string_equal(c.foundation, "842163049");
    assert_int_equal(c.component, 1);
    assert_int_equal(c.transport, ICE_UDP);
    assert_int_equal(c.priority, 1677729535);
    assert_string_equal(c.address, "192.0.2.10");
    assert_int_equal(c.address_kind, ICE_ADDRESS_NUMERIC);
    assert_int_equal(c.port, 51234);
    assert_int_equal(c.type, ICE_SRFLX);
    assert_string_equal(c.related_address, "10.0.0.4");
    assert_int_equal(c.related_port, 51235);
    assert_string_equal(c.ufrag, "EsAw");
}

static void test_reads_other_kinds(void **state) {
    (void)state;
    struct ice_candidate c;
    assert_int_equal(parse(&c, "candidate:0 1 UDP 2122187007 2001:db8::7 53117 typ host\r\n"), 0);
    assert_int_equal(c.transport, ICE_UDP);
    assert_int_equal(c.address_kind, ICE_ADDRESS_NUMERIC);
    assert_int_equal(parse(&c, "a=candidate:1 1 tcp 1518280447 192.168.0.196 9 typ host tcptype active"), 0);
    assert_int_equal(c.transport, ICE_TCP);
    assert_int_equal(parse(&c, "candidate:1 1 ssltcp 1 192.168.0.196 443 typ relay"), 0);
    assert_int_equal(c.transport, ICE_OTHER_TRANSPORT);
    assert_int_equal(parse(&c, "candidate:1 1 udp 1 8f2c9d2e-6c3b.local 5 typ host"), 0);
    assert_int_equal(c.address_kind, ICE_ADDRESS_MDNS);
    assert_int_equal(parse(&c, "candidate:1 1 udp 1 host.example 5 typ host"), 0);
    assert_int_equal(c.address_kind, ICE_ADDRESS_NAME);
}

static void test_refuses_malformed(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "candidate:",
        "candidat:1 1 udp 5 1.2.3.4 5 typ host",
        "candidate:1 0 udp 5 1.2.3.4 5 typ host",
        "candidate:1 1 udp 4294967296 1.2.3.4 5 typ host",
        "candidate:1 1 udp 5 1.2.3.4 65536 typ host",
        "candidate:1 1 udp 5 1.2.3.4 5 typ nothing",
        "candidate:1 1 udp 5 1.2.3.4 5 host",
        "candidate:1 1 udp 5 -x 5 typ host",
        "candidate:1 1 udp 5 fe80::1%eth0 5 typ host",
        "candidate:1 1 udp 5 1.2.3.4 5 typ host generation",
        "candidate:1 1 udp 5 1.2.3.4 5 typ host\nx",
        "candidate:123456789012345678901234567890123 1 udp 5 1.2.3.4 5 typ host",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ice_candidate c = {.port = 77};
        assert_int_equal(parse(&c, bad[i]), -EINVAL);
        assert_int_equal(c.port, 77);
    }
}

static void test_writes(void **state) {
    (void)state;
    struct ice_candidate c;
    char text[ICE_CANDIDATE_TEXT];
    const char *plain = "candidate:7 1 udp 2015363327 10.0.0.9 20001 typ host";
    assert_int_equal(parse(&c, plain), 0);
    assert_int_equal(ice_candidate_write(&c, text, sizeof text), (int)strlen(plain));
    assert_string_equal(text, plain);
    const char *relay = "candidate:7 1 udp 1 203.0.113.9 20001 typ relay raddr 10.0.0.9 rport 20005";
    assert_int_equal(parse(&c, relay), 0);
    assert_true(ice_candidate_write(&c, text, sizeof text) > 0);
    assert_string_equal(text, relay);
    assert_int_equal(ice_candidate_write(&c, text, strlen(relay)), -ENOSPC);
}

static void test_address_classes(void **state) {
    (void)state;
    static const char *const private[] = {"10.1.2.3",   "172.31.255.1", "192.168.3.4",
                                          "100.64.0.1", "fd00::2",      "::ffff:10.0.0.1"};
    static const char *const public[] = {"172.32.0.1", "203.0.113.7", "2001:db8::1", "100.128.0.1",
                                         "no address"};
    for (size_t i = 0; i < sizeof private / sizeof private[0]; i++)
        assert_true(ice_address_private(private[i]));
    for (size_t i = 0; i < sizeof public / sizeof public[0]; i++)
        assert_false(ice_address_private(public[i]));
    static const char *const unsendable[] = {"0.0.0.0", "224.0.0.1", "255.255.255.255", "169.254.1.1",
                                             "::",      "ff02::1",   "fe80::1",         "name.local"};
    for (size_t i = 0; i < sizeof unsendable / sizeof unsendable[0]; i++)
        assert_false(ice_address_sendable(unsendable[i]));
    assert_true(ice_address_sendable("127.0.0.1"));
    assert_true(ice_address_loopback("127.9.9.9"));
    assert_true(ice_address_loopback("::1"));
    assert_true(ice_address_loopback("::ffff:127.0.0.1"));
    assert_false(ice_address_loopback("128.0.0.1"));
    assert_true(ice_address_same_family("1.2.3.4", "5.6.7.8"));
    assert_false(ice_address_same_family("1.2.3.4", "fd00::1"));
}

static void test_credentials(void **state) {
    (void)state;
    assert_true(ice_credentials_valid("abCD", "0123456789+/0123456789"));
    assert_false(ice_credentials_valid("abC", "0123456789+/0123456789"));
    assert_false(ice_credentials_valid("abCD", "0123456789+/012345678"));
    assert_false(ice_credentials_valid("ab:D", "0123456789+/0123456789"));
    assert_false(ice_credentials_valid("abCD", "0123456789+/012345678 "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_chrome),      cmocka_unit_test(test_reads_other_kinds),
        cmocka_unit_test(test_refuses_malformed), cmocka_unit_test(test_writes),
        cmocka_unit_test(test_address_classes),   cmocka_unit_test(test_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
