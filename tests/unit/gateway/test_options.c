// SPDX-License-Identifier: Apache-2.0
#include "gateway/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int parse(char **argv, struct options *out) {
    int argc = 0;
    while (argv[argc])
        argc++;
    return options_parse(argc, argv, out);
}

static void defaults_to_running_with_the_system_file(void **state) {
    (void)state;
    struct options options;
    assert_int_equal(parse((char *[]){"iqra-gateway", NULL}, &options), 0);
    assert_int_equal(options.action, OPTIONS_RUN);
    assert_string_equal(options.config, "/etc/iqra-gateway/appsettings.json");
}

static void takes_every_option(void **state) {
    (void)state;
    struct options options;
    assert_int_equal(parse((char *[]){"iqra-gateway", "--config", "a.json", "--check", NULL}, &options), 0);
    assert_int_equal(options.action, OPTIONS_CHECK);
    assert_string_equal(options.config, "a.json");
    assert_int_equal(parse((char *[]){"iqra-gateway", "--print-config", NULL}, &options), 0);
    assert_int_equal(options.action, OPTIONS_PRINT_CONFIG);
    assert_int_equal(parse((char *[]){"iqra-gateway", "--version", NULL}, &options), 0);
    assert_int_equal(options.action, OPTIONS_VERSION);
    assert_int_equal(parse((char *[]){"iqra-gateway", "-h", NULL}, &options), 0);
    assert_int_equal(options.action, OPTIONS_HELP);
}

static void refuses_what_it_does_not_know(void **state) {
    (void)state;
    struct options options = {.config = "untouched"};
    assert_int_equal(parse((char *[]){"iqra-gateway", "--confg", "x", NULL}, &options), -EINVAL);
    assert_int_equal(parse((char *[]){"iqra-gateway", "stray", NULL}, &options), -EINVAL);
    assert_int_equal(parse((char *[]){"iqra-gateway", "--config", NULL}, &options), -EINVAL);
    assert_string_equal(options.config, "untouched");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_to_running_with_the_system_file),
        cmocka_unit_test(takes_every_option),
        cmocka_unit_test(refuses_what_it_does_not_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
