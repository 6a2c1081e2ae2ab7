// SPDX-License-Identifier: Apache-2.0
#include "webrtc/dtls_mem.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

enum { SMALL = 1000, LARGE = 21848, HUGE_BLOCK = 100000, PAGE = 4096 };

// How many of a block's pages have memory behind them.
static size_t pages_of(void *block) {
    unsigned char there[LARGE / PAGE];
    assert_int_equal((uintptr_t)block % PAGE, 0);
    assert_int_equal(mincore(block, sizeof there * PAGE, there), 0);
    size_t count = 0;
    for (size_t i = 0; i < sizeof there; i++)
        count += there[i] & 1;
    return count;
}

static uint8_t *noted_block(struct dtls_mem *mem) {
    dtls_mem_watch(mem);
    uint8_t *block = OPENSSL_malloc(LARGE);
    dtls_mem_watch(NULL);
    assert_non_null(block);
    memset(block, 7, LARGE);
    return block;
}

static void a_noted_block_gives_its_memory_back_and_can_be_filled_again(void **state) {
    (void)state;
    struct dtls_mem mem = {0};
    uint8_t *block = noted_block(&mem);
    assert_int_not_equal(mem.place, 0);
    assert_int_equal(pages_of(block), LARGE / PAGE);
    dtls_mem_discard(&mem);
    assert_int_equal(pages_of(block), 0);
    assert_int_equal(block[LARGE - 1], 0);
    memset(block, 8, LARGE);
    assert_int_equal(block[0], 8);
    OPENSSL_free(block);
}

static void only_the_first_large_block_is_noted(void **state) {
    (void)state;
    struct dtls_mem mem = {0};
    dtls_mem_watch(&mem);
    uint8_t *small = OPENSSL_malloc(SMALL), *huge = OPENSSL_malloc(HUGE_BLOCK);
    assert_int_equal(mem.place, 0);
    uint8_t *first = OPENSSL_realloc(NULL, LARGE);
    uint32_t place = mem.place;
    uint8_t *second = OPENSSL_malloc(LARGE);
    dtls_mem_watch(NULL);
    assert_int_not_equal(place, 0);
    assert_int_equal(mem.place, place);
    memset(second, 9, LARGE);
    dtls_mem_discard(&mem);
    assert_int_equal(second[0], 9);
    OPENSSL_free(first);
    OPENSSL_free(second);
    OPENSSL_free(small);
    OPENSSL_free(huge);
}

static void a_block_that_has_gone_is_let_alone(void **state) {
    (void)state;
    struct dtls_mem old = {0}, mem = {0};
    OPENSSL_free(noted_block(&old));
    uint8_t *block = noted_block(&mem);
    assert_int_equal(mem.place, old.place); // taken anew
    dtls_mem_discard(&old);
    assert_int_equal(block[0], 7);
    OPENSSL_free(block);
    dtls_mem_discard(&mem);
}

static void a_block_grows_and_keeps_what_is_in_it(void **state) {
    (void)state;
    struct dtls_mem mem = {0};
    uint8_t *block = noted_block(&mem);
    assert_ptr_equal(OPENSSL_realloc(block, LARGE - 100), block);
    uint8_t *grown = OPENSSL_realloc(block, HUGE_BLOCK);
    assert_ptr_not_equal(grown, block);
    for (size_t i = 0; i < LARGE - 100; i++)
        assert_int_equal(grown[i], 7);
    dtls_mem_discard(&mem);
    assert_int_equal(grown[0], 7);
    assert_ptr_equal(OPENSSL_realloc(grown, 0), NULL);
}

static void beyond_all_places_blocks_are_plain(void **state) {
    (void)state;
    enum { MANY = 9000 };
    static uint8_t *blocks[MANY];
    static struct dtls_mem mems[MANY];
    size_t noted = 0;
    for (size_t i = 0; i < MANY; i++) {
        dtls_mem_watch(&mems[i]);
        blocks[i] = OPENSSL_malloc(LARGE);
        dtls_mem_watch(NULL);
        assert_non_null(blocks[i]);
        noted += mems[i].place != 0;
    }
    assert_in_range(noted, 1000, MANY - 1);
    for (size_t i = 0; i < MANY; i++) {
        blocks[i][0] = 1;
        dtls_mem_discard(&mems[i]);
        assert_int_equal(blocks[i][0], mems[i].place ? 0 : 1);
        OPENSSL_free(blocks[i]);
    }
}

static void too_late_is_told(void **state) {
    (void)state;
    assert_int_equal(dtls_mem_install(), -EBUSY);
}

int main(void) {
    if (dtls_mem_install() != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_noted_block_gives_its_memory_back_and_can_be_filled_again),
        cmocka_unit_test(only_the_first_large_block_is_noted),
        cmocka_unit_test(a_block_that_has_gone_is_let_alone),
        cmocka_unit_test(a_block_grows_and_keeps_what_is_in_it),
        cmocka_unit_test(beyond_all_places_blocks_are_plain),
        cmocka_unit_test(too_late_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
