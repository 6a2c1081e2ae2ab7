// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/fds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static unsigned open_count(void) {
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++) {
        int copy = dup(fd);
        if (copy < 0)
            continue;
        close(copy);
        count++;
    }
    return count;
}

static void the_soft_limit_is_raised_to_the_hard_one(void **state) {
    (void)state;
    struct rlimit limit = {.rlim_cur = 128, .rlim_max = 256};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(fds_raise_limit(), 256);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(limit.rlim_cur, 256);
    assert_int_equal(fds_raise_limit(), 256);
}

static void what_is_left_is_found_and_nothing_kept(void **state) {
    (void)state;
    int fds[256];
    size_t opened = 0;
    unsigned before = open_count();
    assert_true(fds_left(FDS_PER_CALL));
    assert_int_equal(open_count(), before);
    while (fds_left(10)) {
        assert_true(opened < sizeof fds / sizeof fds[0]);
        fds[opened] = eventfd(0, 0);
        assert_true(fds[opened++] >= 0);
    }
    assert_true(fds_left(9));
    while (opened)
        close(fds[--opened]);
    assert_true(fds_left(10));
    assert_int_equal(open_count(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_soft_limit_is_raised_to_the_hard_one),
        cmocka_unit_test(what_is_left_is_found_and_nothing_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
