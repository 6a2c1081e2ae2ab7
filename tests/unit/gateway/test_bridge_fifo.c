// SPDX-License-Identifier: Apache-2.0
#include "gateway/bridge_fifo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../count_allocations.h"

enum { BURST = 1000 * 1000, READ = 8192, KEPT_MOST = 9 * 1024 };

// The bytes of a known sequence, so that one lost, doubled or out of its place is seen.
static uint8_t byte_at(size_t n) {
    return (uint8_t)(n * 31 + n / 251);
}

static void put(struct fifo *fifo, size_t *written, size_t len) {
    uint8_t data[READ];
    for (size_t i = 0; i < len; i++)
        data[i] = byte_at(*written + i);
    assert_int_equal(fifo_put(fifo, data, len), 0);
    *written += len;
}

static void take(struct fifo *fifo, size_t *read, size_t len, size_t expected) {
    uint8_t data[READ];
    assert_int_equal(fifo_take(fifo, data, len), expected);
    for (size_t i = 0; i < expected; i++)
        assert_int_equal(data[i], byte_at(*read + i));
    *read += expected;
}

static void test_bytes_come_in_their_order(void **state) {
    (void)state;
    struct fifo fifo = {0};
    size_t written = 0, read = 0;
    uint32_t random = 1;
    while (written < 3u * BURST) {
        random = random * 1103515245u + 12345u;
        size_t len = (random >> 16) % READ;
        put(&fifo, &written, len);
        size_t want = written / BURST % 2 ? 2 * len : len / 2; // the queue grows, shrinks, and grows again
        want = want < READ ? want : READ;
        take(&fifo, &read, want, want < fifo.len ? want : fifo.len);
        assert_int_equal(fifo.len, written - read);
    }
    while (fifo.len)
        take(&fifo, &read, READ, fifo.len < READ ? fifo.len : READ);
    take(&fifo, &read, READ, 0);
    fifo_free(&fifo);
}

static void test_a_burst_leaves_little_behind(void **state) {
    (void)state;
    struct fifo fifo = {0};
    size_t written = 0, read = 0;
    held = 0;
    counting = true;
    while (written < BURST)
        put(&fifo, &written, READ);
    assert_true(held >= BURST);
    while (fifo.len)
        take(&fifo, &read, READ, fifo.len < READ ? fifo.len : READ);
    assert_in_range(held, 0, KEPT_MOST);
    fifo_free(&fifo);
    counting = false;
    assert_int_equal(held, 0);
}

// Two frames waiting, one in and one out.
static void short_queue(size_t frame) {
    struct fifo fifo = {0};
    fifo_expect(&fifo, frame);
    size_t written = 0, read = 0;
    for (int i = 0; i < 200; i++) {
        put(&fifo, &written, frame);
        if (i >= 1)
            take(&fifo, &read, frame, frame);
        allocations = i == 50 ? 0 : allocations;
        counting = i >= 50;
    }
    counting = false;
    assert_int_equal(allocations, 0);
    fifo_free(&fifo);
}

static void test_a_short_queue_never_allocates(void **state) {
    (void)state;
    for (size_t khz = 8; khz <= 48; khz *= 2)
        for (size_t ms = 10; ms <= 60; ms += 10)
            short_queue(khz * ms * 2);
    short_queue((size_t)48 * 60 * 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_come_in_their_order),
        cmocka_unit_test(test_a_burst_leaves_little_behind),
        cmocka_unit_test(test_a_short_queue_never_allocates),
    };
    count_set_up();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
