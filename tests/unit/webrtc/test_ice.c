// SPDX-License-Identifier: Apache-2.0
// Two agents of ours on one loop: the controlling one plays the browser.
#include "gateway/core/ticker.h"
#include "webrtc/ice.h"
#include "webrtc/ice_candidate.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DEADLINE_MS = 20000 };

struct side {
    struct ice *ice;
    struct side *other;
    bool deaf; // takes no candidates from the other side
    bool done, closed, close_on_packet;
    unsigned candidates, connected, packets;
    enum ice_state state;
    uint8_t last[64];
    size_t last_len;
};

struct world {
    uv_loop_t loop;
    uv_timer_t deadline;
    struct peer_env env;
    struct side a, b, c;
    unsigned fds;
};

static unsigned count_fds(void) {
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    unsigned count = 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void on_deadline(uv_timer_t *timer) {
    (void)timer;
    fail_msg("nothing came of it within %d ms", DEADLINE_MS);
}

#define RUN_UNTIL(world, condition)                                                                          \
    do {                                                                                                     \
        uv_timer_start(&(world)->deadline, on_deadline, DEADLINE_MS, 0);                                     \
        while (!(condition))                                                                                 \
            uv_run(&(world)->loop, UV_RUN_ONCE);                                                             \
        uv_timer_stop(&(world)->deadline);                                                                   \
    } while (0)

static void on_closed(void *arg) {
    struct side *side = arg;
    side->closed = true;
}

static void on_state(enum ice_state state, void *arg) {
    struct side *side = arg;
    side->state = state;
    side->connected += state == ICE_CONNECTED;
}

static void on_candidate(const char *candidate, void *arg) {
    struct side *side = arg;
    side->candidates += candidate != NULL;
    side->done = side->done || !candidate;
    if (!side->other->ice || side->other->deaf)
        return;
    if (candidate)
        assert_int_equal(ice_add_candidate(side->other->ice, candidate, ice_ufrag(side->ice)), 0);
    else
        ice_remote_done(side->other->ice);
}

static void on_packet(uint8_t *data, size_t len, void *arg) {
    struct side *side = arg;
    side->packets++;
    side->last_len = len;
    memcpy(side->last, data, len < sizeof side->last ? len : sizeof side->last);
    if (side->close_on_packet)
        ice_close(side->ice, on_closed, side);
}

static int setup(void **state) {
    struct world *world = calloc(1, sizeof *world);
    world->fds = count_fds();
    uv_loop_init(&world->loop);
    uv_timer_init(&world->loop, &world->deadline);
    world->env = (struct peer_env){
        .loop = &world->loop, .udp_port_min = 21000, .udp_port_max = 21999, .allow_loopback = true};
    world->a.other = &world->b;
    world->b.other = world->c.other = &world->a;
    *state = world;
    return 0;
}

static void side_start(struct world *world, struct side *side) {
    struct ice_events events = {on_state, on_candidate, on_packet, side};
    assert_int_equal(ice_new(&side->ice, &world->env, "test", &events), 0);
}

static void side_stop(struct world *world, struct side *side) {
    if (!side->ice)
        return;
    if (!side->close_on_packet)
        ice_close(side->ice, on_closed, side);
    RUN_UNTIL(world, side->closed);
    side->ice = NULL;
}

static int teardown(void **state) {
    struct world *world = *state;
    side_stop(world, &world->a);
    side_stop(world, &world->b);
    side_stop(world, &world->c);
    uv_close((uv_handle_t *)&world->deadline, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    unsigned fds = count_fds(), before = world->fds;
    free(world);
    if (fds > before)
        print_error("%u descriptors before, %u after\n", before, fds);
    return fds <= before ? 0 : -1;
}

static void exchange_credentials(struct world *world) {
    bool restarted;
    assert_int_equal(
        ice_remote_credentials(world->a.ice, ice_ufrag(world->b.ice), ice_pwd(world->b.ice), &restarted), 0);
    assert_false(restarted);
    assert_int_equal(
        ice_remote_credentials(world->b.ice, ice_ufrag(world->a.ice), ice_pwd(world->a.ice), &restarted), 0);
}

static void connect_both(struct world *world) {
    side_start(world, &world->a);
    side_start(world, &world->b);
    ice_set_controlling(world->b.ice, true);
    exchange_credentials(world);
    assert_int_equal(ice_gather(world->a.ice), 0);
    assert_int_equal(ice_gather(world->b.ice), 0);
    RUN_UNTIL(world, world->a.state == ICE_CONNECTED && world->b.state == ICE_CONNECTED);
}

static void test_connects_and_carries(void **state) {
    struct world *world = *state;
    connect_both(world);
    assert_true(world->a.candidates >= 1);
    assert_int_equal(ice_last_heard_us(world->a.ice), 0);
    for (uint8_t i = 1; i <= 200; i++) {
        uint8_t packet[40] = {i};
        assert_int_equal(ice_send(world->b.ice, packet, sizeof packet), 0);
        RUN_UNTIL(world, world->a.packets == i);
        assert_int_equal(world->a.last_len, sizeof packet);
        assert_int_equal(world->a.last[0], i);
    }
    assert_int_equal(ice_send(world->a.ice, (const uint8_t *)"back", 4), 0);
    RUN_UNTIL(world, world->b.packets == 1);
    assert_memory_equal(world->b.last, "back", 4);
    assert_true(ice_last_heard_us(world->a.ice) > 0);
    assert_true(ice_gathering_done(world->a.ice));
}

static void test_nothing_goes_without_a_pair(void **state) {
    struct world *world = *state;
    side_start(world, &world->a);
    assert_int_equal(ice_send(world->a.ice, (const uint8_t *)"x", 1), -EAGAIN);
    assert_int_equal(ice_state(world->a.ice), ICE_NEW);
}

// The browser's names resolve nowhere here: its checks alone must do (peer-reflexive).
static void test_connects_without_remote_candidates(void **state) {
    struct world *world = *state;
    world->a.deaf = true;
    connect_both(world);
    assert_int_equal(ice_send(world->a.ice, (const uint8_t *)"back", 4), 0);
    RUN_UNTIL(world, world->b.packets == 1);
}

static void test_skips_what_it_cannot_use(void **state) {
    struct world *world = *state;
    side_start(world, &world->a);
    bool restarted;
    assert_int_equal(ice_remote_credentials(world->a.ice, "gen1", "0123456789012345678901", &restarted), 0);
    static const char *const harmless[] = {
        "candidate:1 1 udp 1 8f2c9d2e-6c3b.local 5000 typ host",
        "candidate:1 1 udp 1 example.invalid 5000 typ host",
        "candidate:1 1 tcp 1 127.0.0.1 9 typ host tcptype active",
        "candidate:1 2 udp 1 127.0.0.1 5000 typ host",
        "candidate:1 1 udp 1 0.0.0.0 5000 typ host",
        "candidate:1 1 udp 1 127.0.0.1 0 typ host",
        "candidate:1 1 udp 1 127.0.0.1 5000 typ host ufrag gen0",
    };
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
        assert_int_equal(ice_add_candidate(world->a.ice, harmless[i], NULL), 0);
    assert_int_equal(ice_add_candidate(world->a.ice, "candidate:nonsense", NULL), -EINVAL);
    assert_int_equal(ice_remote_credentials(world->a.ice, "x", "y", &restarted), -EINVAL);
}

// The browser restarts ICE; a third agent plays what it has become, with new sockets and credentials.
static void test_restart(void **state) {
    struct world *world = *state;
    connect_both(world);
    struct side *a = &world->a, *c = &world->c;
    char ufrag[300];
    snprintf(ufrag, sizeof ufrag, "%s", ice_ufrag(a->ice));
    bool restarted;
    assert_int_equal(
        ice_remote_credentials(a->ice, ice_ufrag(world->b.ice), ice_pwd(world->b.ice), &restarted), 0);
    assert_false(restarted);

    side_start(world, c);
    ice_set_controlling(c->ice, true);
    assert_int_equal(ice_remote_credentials(a->ice, ice_ufrag(c->ice), ice_pwd(c->ice), &restarted), 0);
    assert_true(restarted);
    assert_string_not_equal(ufrag, ice_ufrag(a->ice));
    assert_int_equal(ice_send(a->ice, (const uint8_t *)"meanwhile", 9), 0);
    RUN_UNTIL(world, world->b.packets == 1); // by the old pair

    assert_int_equal(ice_remote_credentials(c->ice, ice_ufrag(a->ice), ice_pwd(a->ice), &restarted), 0);
    assert_int_equal(ice_gather(c->ice), 0);
    for (size_t i = 0; ice_local_candidate(a->ice, i); i++)
        assert_int_equal(ice_add_candidate(c->ice, ice_local_candidate(a->ice, i), NULL), 0);
    RUN_UNTIL(world, a->connected == 2 && a->state == ICE_CONNECTED && c->state == ICE_CONNECTED);
    assert_int_equal(ice_send(a->ice, (const uint8_t *)"after", 5), 0);
    RUN_UNTIL(world, c->packets == 1);
    assert_int_equal(ice_send(c->ice, (const uint8_t *)"back", 4), 0);
    RUN_UNTIL(world, a->packets == 1);
}

static void test_close_from_a_packet(void **state) {
    struct world *world = *state;
    connect_both(world);
    world->a.close_on_packet = true;
    for (int i = 0; i < 5; i++)
        assert_int_equal(ice_send(world->b.ice, (const uint8_t *)"last", 4), 0);
    RUN_UNTIL(world, world->a.closed);
    assert_int_equal(world->a.packets, 1);
}

static void test_public_address_stands_in(void **state) {
    struct world *world = *state;
    world->env.public_address = "198.51.100.77";
    world->env.udp_port_min = world->env.udp_port_max = 21500;
    world->a.deaf = true;
    side_start(world, &world->a);
    assert_int_equal(ice_gather(world->a.ice), 0);
    RUN_UNTIL(world, world->a.done);
    for (size_t i = 0; ice_local_candidate(world->a.ice, i); i++) {
        struct ice_candidate candidate;
        assert_int_equal(ice_candidate_parse(&candidate, span_str(ice_local_candidate(world->a.ice, i))), 0);
        assert_int_equal(candidate.port, 21500);
        bool v4 = ice_address_same_family(candidate.address, "1.2.3.4");
        assert_false(v4 && ice_address_private(candidate.address));
        assert_true(world->env.allow_loopback || !ice_address_loopback(candidate.address));
    }
}

static void test_no_port_left(void **state) {
    struct world *world = *state;
    world->env.udp_port_min = world->env.udp_port_max = 21501;
    world->a.deaf = world->b.deaf = true;
    side_start(world, &world->a);
    side_start(world, &world->b);
    assert_int_equal(ice_gather(world->a.ice), 0);
    assert_int_equal(ice_gather(world->b.ice), -EADDRNOTAVAIL);
}

// What libuv and GLib open once per process shall not count as a leak of the first test.
static int warm_up(void **state) {
    setup(state);
    struct world *world = *state;
    side_start(world, &world->a);
    teardown(state);
    *state = NULL;
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_goes_without_a_pair, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connects_and_carries, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connects_without_remote_candidates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_skips_what_it_cannot_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_from_a_packet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_public_address_stands_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_port_left, setup, teardown),
    };
    return cmocka_run_group_tests(tests, warm_up, NULL);
}
