// SPDX-License-Identifier: Apache-2.0
#include "gateway/sip_endpoint.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int endpoint(const char *listen, const char *public_address, struct sip_endpoint *out) {
    char text[512];
    struct conf *conf;
    int len = snprintf(text, sizeof text,
                       "{\"VoiceAiPlatform\":{\"Campaigns\":{}},\"Agent\":{\"Builtin\":\"echo\"},"
                       "\"Gateway\":{\"PublicAddress\":\"%s\"},\"Sip\":{\"MediaListen\":[%s]}}",
                       public_address, listen);
    assert_int_equal(conf_parse(&conf, "test", text, (size_t)len, NULL, &(struct conf_report){.out = stderr}),
                     0);
    int err = sip_endpoint_of(conf, out);
    conf_free(conf);
    return err;
}

static void the_public_address_wins(void **state) {
    (void)state;
    struct sip_endpoint out;
    assert_int_equal(endpoint("\"udp:10.0.0.5:5070\"", "203.0.113.5", &out), 0);
    assert_string_equal(out.address, "203.0.113.5");
    assert_int_equal(out.port, 5070);
    assert_int_equal(out.tls_port, 0);
}

static void then_the_first_that_is_no_wildcard(void **state) {
    (void)state;
    struct sip_endpoint out;
    assert_int_equal(
        endpoint("\"tcp:0.0.0.0:5072\",\"udp:[2001:db8::5]:5070\",\"udp:10.0.0.5:5071\"", "", &out), 0);
    assert_string_equal(out.address, "2001:db8::5");
    assert_int_equal(out.port, 5072);
}

// Its default route's, or without one an interface's: every host has one, if only the loopback.
static void then_one_of_this_host(void **state) {
    (void)state;
    struct sip_endpoint out;
    assert_int_equal(endpoint("\"udp:0.0.0.0:5070\"", "", &out), 0);
    assert_non_null(strchr(out.address, '.'));
    assert_string_not_equal(out.address, "0.0.0.0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_public_address_wins),
        cmocka_unit_test(then_the_first_that_is_no_wildcard),
        cmocka_unit_test(then_one_of_this_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
