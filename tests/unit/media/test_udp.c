// SPDX-License-Identifier: Apache-2.0
#include "media/udp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_TURNS = 20000, RANGE_MIN = 30001, RANGE_MAX = 30012 };

struct world {
    uv_loop_t loop;
    uv_timer_t pulse;
    unsigned count, bytes, closed;
    size_t last_len;
    uint8_t last[UDP_MAX_DATAGRAM];
    union udp_address from;
    struct udp *by;
    bool close_inside;
};

static void on_closed(void *arg) {
    ((struct world *)arg)->closed++;
}

static void on_datagram(struct udp *udp, uint8_t *data, size_t len, const union udp_address *from,
                        void *arg) {
    struct world *world = arg;
    world->count++;
    world->last_len = len;
    memcpy(world->last, data, len);
    world->from = *from;
    world->by = udp;
    if (world->close_inside)
        udp_close(udp, on_closed, world);
}

static void on_pulse(uv_timer_t *timer) {
    (void)timer;
}

static void world_new(struct world *world) {
    memset(world, 0, sizeof *world);
    assert_int_equal(uv_loop_init(&world->loop), 0);
    uv_timer_init(&world->loop, &world->pulse);
    uv_timer_start(&world->pulse, on_pulse, 1, 1);
}

static void world_free(struct world *world) {
    uv_close((uv_handle_t *)&world->pulse, NULL);
    assert_int_equal(uv_run(&world->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&world->loop), 0);
}

static void wait_for(struct world *world, unsigned count) {
    for (unsigned i = 0; i < PATIENCE_TURNS && world->count < count; i++)
        uv_run(&world->loop, UV_RUN_ONCE);
    assert_int_equal(world->count, count);
}

static union udp_address loopback(const char *host, uint16_t port) {
    union udp_address address;
    assert_int_equal(udp_address_parse(&address, host, port), 0);
    return address;
}

static void there_and_back(const char *host) {
    struct world world;
    struct udp *a, *b;
    world_new(&world);
    const struct udp_events events = {.on_datagram = on_datagram, .arg = &world};
    union udp_address local = loopback(host, 0);
    assert_int_equal(udp_new(&a, &world.loop, &local, &events), 0);
    assert_int_equal(udp_new(&b, &world.loop, &local, &events), 0);
    union udp_address to = loopback(host, udp_port(b)), back = loopback(host, udp_port(a));
    assert_int_equal(udp_send(a, (const uint8_t *)"hello", 5, &to), 0);
    wait_for(&world, 1);
    assert_ptr_equal(world.by, b);
    assert_memory_equal(world.last, "hello", 5);
    assert_true(udp_address_eq(&world.from, &back));
    assert_int_equal(udp_send(b, (const uint8_t *)"", 0, &world.from), 0);
    wait_for(&world, 2);
    assert_ptr_equal(world.by, a);
    assert_int_equal(world.last_len, 0);
    udp_close(a, NULL, NULL);
    udp_close(b, on_closed, &world);
    world_free(&world);
    assert_int_equal(world.closed, 1);
}

static void test_ip4(void **state) {
    (void)state;
    there_and_back("127.0.0.1");
}

static void test_ip6(void **state) {
    (void)state;
    there_and_back("::1");
}

static void test_many_at_once_and_too_long(void **state) {
    (void)state;
    struct world world;
    struct udp *a, *b;
    world_new(&world);
    const struct udp_events events = {.on_datagram = on_datagram, .arg = &world};
    union udp_address local = loopback("127.0.0.1", 0);
    assert_int_equal(udp_new(&a, &world.loop, &local, &events), 0);
    assert_int_equal(udp_new(&b, &world.loop, &local, &events), 0);
    union udp_address to = loopback("127.0.0.1", udp_port(b));
    static uint8_t data[UDP_MAX_DATAGRAM + 1];
    assert_int_equal(udp_send(a, data, sizeof data, &to), 0); // is dropped
    for (uint8_t i = 0; i < 100; i++)
        assert_int_equal(udp_send(a, &i, 1, &to), 0);
    uv_run(&world.loop, UV_RUN_NOWAIT); // then the loop's other sockets have their turn
    assert_true(world.count <= 1);
    wait_for(&world, 100);
    assert_int_equal(world.last[0], 99);
    assert_int_equal(udp_send(a, data, UDP_MAX_DATAGRAM, &to), 0);
    wait_for(&world, 101);
    assert_int_equal(world.last_len, UDP_MAX_DATAGRAM);
    udp_close(a, NULL, NULL);
    udp_close(b, NULL, NULL);
    world_free(&world);
}

// A port where nobody listens answers by ICMP: neither sending nor receiving ends by it.
static void test_refused_by_icmp(void **state) {
    (void)state;
    struct world world;
    struct udp *a, *b;
    world_new(&world);
    const struct udp_events events = {.on_datagram = on_datagram, .arg = &world};
    union udp_address local = loopback("127.0.0.1", 0);
    assert_int_equal(udp_new(&a, &world.loop, &local, &events), 0);
    assert_int_equal(udp_new(&b, &world.loop, &local, &events), 0);
    union udp_address to = loopback("127.0.0.1", udp_port(b)), back = loopback("127.0.0.1", udp_port(a));
    udp_close(b, NULL, NULL);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(udp_send(a, (const uint8_t *)"x", 1, &to), 0);
        uv_run(&world.loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(udp_send(a, (const uint8_t *)"y", 1, &back), 0);
    wait_for(&world, 1);
    udp_close(a, NULL, NULL);
    world_free(&world);
}

static void test_closed_inside(void **state) {
    (void)state;
    struct world world;
    struct udp *a, *b;
    world_new(&world);
    const struct udp_events events = {.on_datagram = on_datagram, .arg = &world};
    union udp_address local = loopback("127.0.0.1", 0);
    assert_int_equal(udp_new(&a, &world.loop, &local, &events), 0);
    assert_int_equal(udp_new(&b, &world.loop, &local, &events), 0);
    union udp_address to = loopback("127.0.0.1", udp_port(b));
    world.close_inside = true;
    for (int i = 0; i < 20; i++)
        udp_send(a, (const uint8_t *)"x", 1, &to);
    wait_for(&world, 1);
    udp_close(a, NULL, NULL);
    world_free(&world);
    assert_int_equal(world.count, 1);
    assert_int_equal(world.closed, 1);
}

// All pairs of a small range, then none, then one again. Others of the machine may hold some.
static void test_pairs(void **state) {
    (void)state;
    struct world world;
    struct udp *pairs[8][2];
    size_t count = 0;
    world_new(&world);
    const struct udp_events events = {.on_datagram = on_datagram, .arg = &world};
    union udp_address local = loopback("127.0.0.1", 0);
    int err = 0;
    while (count < 8 && !err) {
        err = udp_pair_new(pairs[count], &world.loop, &local, RANGE_MIN, RANGE_MAX, &events);
        count += !err;
    }
    assert_int_equal(err, -EMFILE);
    assert_in_range(count, 1, 5); // 30002 to 30010: 30012 has no odd port above it in the range
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(udp_port(pairs[i][0]) % 2, 0);
        assert_int_equal(udp_port(pairs[i][1]), udp_port(pairs[i][0]) + 1);
        assert_in_range(udp_port(pairs[i][0]), RANGE_MIN, RANGE_MAX - 1);
    }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < 2; k++)
            udp_close(pairs[i][k], NULL, NULL);
    assert_int_equal(udp_pair_new(pairs[0], &world.loop, &local, RANGE_MIN, RANGE_MAX, &events), 0);
    udp_close(pairs[0][0], NULL, NULL);
    udp_close(pairs[0][1], NULL, NULL);
    world_free(&world);
}

// Where only the odd port of a pair is taken, the pair is skipped and nothing is left bound.
static void test_half_a_pair_is_taken(void **state) {
    (void)state;
    struct world world;
    struct udp *taken, *pair[2];
    world_new(&world);
    const struct udp_events events = {.on_datagram = on_datagram, .arg = &world};
    union udp_address local = loopback("127.0.0.2", 30101), even = loopback("127.0.0.2", 30100);
    assert_int_equal(udp_new(&taken, &world.loop, &local, &events), 0);
    assert_int_equal(udp_pair_new(pair, &world.loop, &local, 30100, 30101, &events), -EMFILE);
    assert_int_equal(udp_pair_new(pair, &world.loop, &local, 30100, 30103, &events), 0);
    assert_int_equal(udp_port(pair[0]), 30102);
    udp_close(pair[0], NULL, NULL);
    udp_close(pair[1], NULL, NULL);
    assert_int_equal(udp_new(&pair[0], &world.loop, &even, &events), 0);
    udp_close(pair[0], NULL, NULL);
    udp_close(taken, NULL, NULL);
    world_free(&world);
}

static void test_no_such_address(void **state) {
    (void)state;
    struct world world;
    struct udp *pair[2];
    world_new(&world);
    const struct udp_events events = {.on_datagram = on_datagram, .arg = &world};
    union udp_address local = loopback("203.0.113.7", 0);
    assert_int_equal(udp_pair_new(pair, &world.loop, &local, 30000, 39999, &events), -EADDRNOTAVAIL);
    assert_int_equal(udp_pair_new(pair, &world.loop, &local, 30001, 30001, &events), -EMFILE);
    world_free(&world);
}

static void test_marked_for_voice(void **state) {
    (void)state;
    struct world world;
    struct udp *udp;
    world_new(&world);
    const struct udp_events events = {.on_datagram = on_datagram, .arg = &world};
    union udp_address local = loopback("127.0.0.1", 0);
    int seen = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    assert_int_equal(bind(seen, &local.sa, sizeof local.in4), 0);
    setsockopt(seen, IPPROTO_IP, IP_RECVTOS, &on, sizeof on);
    socklen_t len = sizeof local;
    getsockname(seen, &local.sa, &len);
    union udp_address any = loopback("127.0.0.1", 0);
    assert_int_equal(udp_new(&udp, &world.loop, &any, &events), 0);
    assert_int_equal(udp_send(udp, (const uint8_t *)"x", 1, &local), 0);
    uint8_t byte, control[64];
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    assert_int_equal(recvmsg(seen, &message, 0), 1);
    struct cmsghdr *tos = CMSG_FIRSTHDR(&message);
    assert_non_null(tos);
    assert_int_equal(*CMSG_DATA(tos) >> 2, 46);
    close(seen);
    udp_close(udp, NULL, NULL);
    world_free(&world);
}

static void test_addresses(void **state) {
    (void)state;
    static const struct {
        const char *host;
        bool usable;
        const char *text;
    } cases[] = {{"192.0.2.1", true, "192.0.2.1:7"},       {"0.0.0.0", false, "0.0.0.0:7"},
                 {"224.0.0.1", false, "224.0.0.1:7"},      {"255.255.255.255", false, "255.255.255.255:7"},
                 {"2001:db8::1", true, "[2001:db8::1]:7"}, {"::", false, "[::]:7"},
                 {"ff02::1", false, "[ff02::1]:7"}};
    char text[64];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        union udp_address address = loopback(cases[i].host, 7);
        assert_int_equal(udp_address_usable(&address), cases[i].usable);
        assert_string_equal(udp_address_text(&address, text), cases[i].text);
        udp_address_set_port(&address, 0);
        assert_false(udp_address_usable(&address));
    }
    union udp_address address = {0};
    assert_int_equal(udp_address_parse(&address, "pbx.example", 1), -EINVAL);
    assert_int_equal(udp_address_parse(&address, "", 1), -EINVAL);
    assert_false(udp_address_known(&address));
    assert_false(udp_address_same_host(&address, &address));
    assert_string_equal(udp_address_text(&address, text), "-");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ip4),
        cmocka_unit_test(test_ip6),
        cmocka_unit_test(test_many_at_once_and_too_long),
        cmocka_unit_test(test_refused_by_icmp),
        cmocka_unit_test(test_closed_inside),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_half_a_pair_is_taken),
        cmocka_unit_test(test_no_such_address),
        cmocka_unit_test(test_marked_for_voice),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
