// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/slot.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_handle_finds_its_object(void **state) {
    (void)state;
    struct slot_table *table = NULL;
    assert_int_equal(slot_table_new(&table, 2), 0);
    int a, b, c;
    uint64_t ha = 0, hb = 0, hc = 99;
    assert_int_equal(slot_put(table, &a, &ha), 0);
    assert_int_equal(slot_put(table, &b, &hb), 0);
    assert_int_equal(slot_put(table, &c, &hc), -ENOSPC);
    assert_int_equal(hc, 99);
    assert_int_equal(slot_count(table), 2);
    assert_ptr_equal(slot_get(table, ha), &a);
    assert_ptr_equal(slot_get(table, hb), &b);
    assert_int_not_equal(ha, hb);
    slot_table_free(table);
}

static void a_late_handle_finds_nothing(void **state) {
    (void)state;
    struct slot_table *table = NULL;
    assert_int_equal(slot_table_new(&table, 1), 0);
    int objects[3];
    uint64_t old[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(slot_put(table, &objects[i], &old[i]), 0);
        for (int j = 0; j < i; j++) {
            assert_null(slot_get(table, old[j]));
            assert_null(slot_take(table, old[j]));
        }
        assert_ptr_equal(slot_take(table, old[i]), &objects[i]);
        assert_null(slot_take(table, old[i]));
        assert_int_equal(slot_count(table), 0);
    }
    slot_table_free(table);
}

static void no_made_up_handle_is_valid(void **state) {
    (void)state;
    struct slot_table *table = NULL;
    assert_int_equal(slot_table_new(&table, 4), 0);
    int object;
    uint64_t handle;
    assert_int_equal(slot_put(table, &object, &handle), 0);
    assert_int_not_equal(handle, 0);
    assert_null(slot_get(table, 0));
    assert_null(slot_get(table, handle + 1));
    assert_null(slot_get(table, handle + 4));
    assert_null(slot_get(table, UINT64_MAX));
    assert_null(slot_get(table, handle ^ (1ull << 33)));
    slot_table_free(table);
    slot_table_free(NULL);
}

struct visit {
    struct slot_table *table;
    int seen;
};

static void take_each(uint64_t handle, void *object, void *arg) {
    struct visit *visit = arg;
    visit->seen++;
    assert_ptr_equal(slot_take(visit->table, handle), object);
}

static void each_may_take_what_it_is_given(void **state) {
    (void)state;
    struct visit visit = {0};
    assert_int_equal(slot_table_new(&visit.table, 8), 0);
    int objects[5];
    uint64_t handle;
    for (int i = 0; i < 5; i++)
        assert_int_equal(slot_put(visit.table, &objects[i], &handle), 0);
    slot_each(visit.table, take_each, &visit);
    assert_int_equal(visit.seen, 5);
    assert_int_equal(slot_count(visit.table), 0);
    slot_each(visit.table, take_each, &visit);
    assert_int_equal(visit.seen, 5);
    // All room is there again.
    for (int i = 0; i < 8; i++)
        assert_int_equal(slot_put(visit.table, &objects[0], &handle), 0);
    slot_table_free(visit.table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handle_finds_its_object),
        cmocka_unit_test(a_late_handle_finds_nothing),
        cmocka_unit_test(no_made_up_handle_is_valid),
        cmocka_unit_test(each_may_take_what_it_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
