// SPDX-License-Identifier: Apache-2.0
// Pairs of associations joined by queues of packets in memory: on one loop, and on two threads with the hub
// on a third.
#include "webrtc/sctp.h"

#include "gateway/core/err.h"
#include "gateway/core/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { QUEUE_MOST = 4096, DEADLINE_MS = 30000, MAX_MESSAGE = 65536, PPID = 51 };

struct packet {
    size_t len;
    uint8_t data[1500];
};

enum close_in { CLOSE_NEVER, CLOSE_IN_SEND, CLOSE_IN_UP, CLOSE_IN_MESSAGE, CLOSE_IN_TOO_LARGE };

struct end {
    struct sctp *sctp;
    struct end *peer;
    struct packet *queue; // towards this end
    size_t head, tail;
    unsigned sent, lose_each; // of the packets this end sends, every so many-th is lost
    enum close_in close_in;
    int up, ended, messages, too_large, writable, resets;
    uint64_t reset_streams; // a bit each
    uint16_t stream;
    uint32_t ppid, next_number;
    bool numbered; // messages begin with 0, 1, 2, ...
    size_t len;
    uint8_t *data; // of the last message
};

struct world {
    uv_loop_t loop;
    uv_timer_t guard;
    bool late;
    struct sctp_hub *hub;
    struct end a, b;
};

static void end_close(struct end *end) {
    struct sctp *sctp = end->sctp;
    end->sctp = NULL;
    sctp_assoc_close(sctp);
}

static bool close_now(struct end *end, enum close_in where) {
    if (end->close_in != where || !end->sctp)
        return false;
    end_close(end);
    return true;
}

static void on_send(const uint8_t *packet, size_t len, void *arg) {
    struct end *end = arg, *peer = end->peer;
    assert_true(len <= 1160);
    close_now(end, CLOSE_IN_SEND);
    if (end->lose_each && ++end->sent % end->lose_each == 0)
        return;
    assert_true(peer->tail - peer->head < QUEUE_MOST);
    struct packet *slot = &peer->queue[peer->tail++ % QUEUE_MOST];
    memcpy(slot->data, packet, len);
    slot->len = len;
}

static void on_up(void *arg) {
    struct end *end = arg;
    end->up++;
    close_now(end, CLOSE_IN_UP);
}

static void on_message(uint16_t stream, uint32_t ppid, const uint8_t *data, size_t len, void *arg) {
    struct end *end = arg;
    end->messages++;
    end->stream = stream;
    end->ppid = ppid;
    end->len = len;
    memcpy(end->data, data, len);
    if (end->numbered) {
        uint32_t number;
        memcpy(&number, data, sizeof number);
        assert_int_equal(number, end->next_number++);
    }
    close_now(end, CLOSE_IN_MESSAGE);
}

static void on_too_large(uint16_t stream, void *arg) {
    struct end *end = arg;
    end->too_large++;
    end->stream = stream;
    close_now(end, CLOSE_IN_TOO_LARGE);
}

static void on_stream_reset(uint16_t stream, void *arg) {
    struct end *end = arg;
    end->resets++;
    end->reset_streams |= UINT64_C(1) << stream;
}

static void on_writable(void *arg) {
    ((struct end *)arg)->writable++;
}

static void on_end(const char *reason, void *arg) {
    assert_non_null(reason);
    ((struct end *)arg)->ended++;
}

static const struct sctp_events events = {.on_send = on_send,
                                          .on_up = on_up,
                                          .on_message = on_message,
                                          .on_too_large = on_too_large,
                                          .on_stream_reset = on_stream_reset,
                                          .on_writable = on_writable,
                                          .on_end = on_end};

static void on_guard(uv_timer_t *timer) {
    ((struct world *)timer->data)->late = true;
}

static bool end_take(struct end *end) {
    if (end->head == end->tail)
        return false;
    struct packet *packet = &end->queue[end->head++ % QUEUE_MOST];
    if (end->sctp)
        sctp_assoc_receive(end->sctp, packet->data, packet->len);
    return true;
}

// Turns the loop until *count reaches `want`.
static bool world_run(struct world *world, const int *count, int want) {
    world->late = false;
    uv_update_time(&world->loop);
    uv_timer_start(&world->guard, on_guard, DEADLINE_MS, 0);
    while (*count < want && !world->late) {
        bool moved = false;
        while (end_take(&world->a) || end_take(&world->b))
            moved = true;
        uv_run(&world->loop, moved ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    }
    uv_timer_stop(&world->guard);
    return *count >= want;
}

static void end_open(struct world *world, struct end *end, struct end *peer, size_t send_buffer) {
    end->peer = peer;
    end->queue = calloc(QUEUE_MOST, sizeof *end->queue);
    end->data = calloc(1, MAX_MESSAGE);
    const struct sctp_config config = {&world->loop, 5000, 5000, MAX_MESSAGE, send_buffer};
    struct sctp_events mine = events;
    mine.arg = end;
    assert_int_equal(sctp_assoc_new(&end->sctp, world->hub, &config, &mine), 0);
}

static struct world *world_new(void) {
    struct world *world = calloc(1, sizeof *world);
    assert_int_equal(uv_loop_init(&world->loop), 0);
    uv_timer_init(&world->loop, &world->guard);
    world->guard.data = world;
    assert_int_equal(sctp_hub_new(&world->hub, &world->loop), 0);
    end_open(world, &world->a, &world->b, 1 << 20);
    end_open(world, &world->b, &world->a, 128 << 10);
    return world;
}

static void world_connect(struct world *world) {
    assert_int_equal(sctp_assoc_connect(world->a.sctp), 0);
    assert_int_equal(sctp_assoc_connect(world->b.sctp), 0);
}

static struct world *world_up(void) {
    struct world *world = world_new();
    world_connect(world);
    assert_true(world_run(world, &world->a.up, 1));
    assert_true(world_run(world, &world->b.up, 1));
    return world;
}

static void world_free(struct world *world) {
    struct end *ends[] = {&world->a, &world->b};
    for (size_t i = 0; i < 2; i++)
        if (ends[i]->sctp)
            end_close(ends[i]);
    for (size_t i = 0; i < 2; i++) {
        free(ends[i]->queue);
        free(ends[i]->data);
    }
    sctp_hub_close(world->hub);
    uv_close((uv_handle_t *)&world->guard, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    free(world);
}

static uint8_t *pattern(size_t len) {
    uint8_t *data = malloc(len);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    return data;
}

static void one_hub_a_process(void **state) {
    (void)state;
    struct world *world = world_new();
    struct sctp_hub *second = NULL;
    assert_int_equal(sctp_hub_new(&second, &world->loop), -EBUSY);
    assert_null(second);
    world_free(world);
}

static void nothing_is_sent_before_the_association_is_up(void **state) {
    (void)state;
    struct world *world = world_new();
    assert_int_equal(sctp_assoc_send(world->a.sctp, 0, PPID, (const uint8_t *)"x", 1), -ENOTCONN);
    assert_int_equal(sctp_assoc_reset_stream(world->a.sctp, 0), -ENOTCONN);
    world_free(world);
}

static void messages_come_whole_with_stream_and_ppid(void **state) {
    (void)state;
    struct world *world = world_up();
    uint8_t *large = pattern(MAX_MESSAGE);
    assert_int_equal(sctp_assoc_send(world->a.sctp, 3, 51, (const uint8_t *)"hello", 5), 0);
    assert_true(world_run(world, &world->b.messages, 1));
    assert_int_equal(world->b.stream, 3);
    assert_int_equal(world->b.ppid, 51);
    assert_int_equal(world->b.len, 5);
    assert_memory_equal(world->b.data, "hello", 5);
    assert_int_equal(sctp_assoc_send(world->b.sctp, SCTP_STREAMS - 1, 53, large, MAX_MESSAGE), 0);
    assert_true(world_run(world, &world->a.messages, 1));
    assert_int_equal(world->a.stream, SCTP_STREAMS - 1);
    assert_int_equal(world->a.ppid, 53);
    assert_int_equal(world->a.len, MAX_MESSAGE);
    assert_memory_equal(world->a.data, large, MAX_MESSAGE);
    free(large);
    world_free(world);
}

static void a_too_large_message_is_dropped_alone(void **state) {
    (void)state;
    static const size_t sizes[] = {MAX_MESSAGE + 1, 70 * 1024, 300 * 1024, 900 * 1024};
    struct world *world = world_up();
    for (int i = 0; i < 4; i++) {
        uint8_t *large = pattern(sizes[i]);
        assert_int_equal(sctp_assoc_send(world->a.sctp, 1, PPID, large, sizes[i]), 0);
        assert_int_equal(sctp_assoc_send(world->a.sctp, 2, PPID, (const uint8_t *)"other", 5), 0);
        assert_int_equal(sctp_assoc_send(world->a.sctp, 1, PPID, (const uint8_t *)"next", 4), 0);
        assert_true(world_run(world, &world->b.messages, 2 * (i + 1)));
        assert_int_equal(world->b.too_large, i + 1);
        assert_int_equal(world->b.len, 4);
        assert_memory_equal(world->b.data, "next", 4);
        free(large);
    }
    world_free(world);
}

static void a_full_buffer_says_again_and_then_writable(void **state) {
    (void)state;
    struct world *world = world_up();
    uint8_t *large = pattern(40000);
    int queued = 0, err = 0;
    while (queued < 1000 && (err = sctp_assoc_send(world->b.sctp, 0, PPID, large, 40000)) == 0)
        queued++;
    assert_int_equal(err, -EAGAIN);
    assert_in_range(queued, 1, 6);
    assert_true(world_run(world, &world->b.writable, 1));
    assert_true(world_run(world, &world->a.messages, queued));
    assert_int_equal(sctp_assoc_send(world->b.sctp, 0, PPID, large, 40000), 0);
    assert_int_equal(sctp_assoc_send(world->b.sctp, 0, PPID, large, (128 << 10) + 1), -EMSGSIZE);
    assert_int_equal(sctp_assoc_send(world->b.sctp, 0, PPID, large, 0), -EINVAL);
    assert_int_equal(sctp_assoc_send(world->b.sctp, SCTP_STREAMS, PPID, large, 1), -EINVAL);
    free(large);
    world_free(world);
}

static void streams_are_reset_also_many_at_once(void **state) {
    (void)state;
    struct world *world = world_up();
    for (uint16_t stream = 0; stream < 10; stream++)
        assert_int_equal(sctp_assoc_send(world->a.sctp, stream, PPID, (const uint8_t *)"x", 1), 0);
    for (uint16_t stream = 0; stream < 10; stream += 2)
        assert_int_equal(sctp_assoc_reset_stream(world->a.sctp, stream), 0);
    assert_true(world_run(world, &world->b.resets, 5));
    assert_int_equal(world->b.reset_streams, 0x155);
    assert_int_equal(world->b.messages, 10); // what was sent before came before
    assert_int_equal(sctp_assoc_reset_stream(world->b.sctp, 4), 0);
    assert_true(world_run(world, &world->a.resets, 1));
    assert_int_equal(world->a.reset_streams, 0x10);
    assert_int_equal(sctp_assoc_send(world->a.sctp, 4, PPID, (const uint8_t *)"again", 5), 0);
    assert_true(world_run(world, &world->b.messages, 11));
    assert_int_equal(sctp_assoc_reset_stream(world->a.sctp, SCTP_STREAMS), -EINVAL);
    world_free(world);
}

static void lost_packets_are_sent_again_in_order(void **state) {
    (void)state;
    struct world *world = world_new();
    world->a.lose_each = 7;
    world->b.lose_each = 5;
    world->b.numbered = true;
    world_connect(world);
    assert_true(world_run(world, &world->a.up, 1));
    uint8_t data[3000] = {0};
    for (uint32_t number = 0; number < 100; number++) {
        memcpy(data, &number, sizeof number);
        assert_int_equal(sctp_assoc_send(world->a.sctp, 0, PPID, data, sizeof data), 0);
    }
    assert_true(world_run(world, &world->b.messages, 100));
    world_free(world);
}

static void close_ends_the_other_side(void **state) {
    (void)state;
    struct world *world = world_up();
    end_close(&world->a);
    assert_true(world_run(world, &world->b.ended, 1));
    assert_int_equal(world->a.ended, 0);
    assert_int_equal(sctp_assoc_send(world->b.sctp, 0, PPID, (const uint8_t *)"x", 1), -EPIPE);
    world_free(world);
}

static void close_is_allowed_in_every_callback(void **state) {
    (void)state;
    for (enum close_in where = CLOSE_IN_SEND; where <= CLOSE_IN_TOO_LARGE; where++) {
        struct world *world = where == CLOSE_IN_UP || where == CLOSE_IN_SEND ? world_new() : world_up();
        world->b.close_in = where;
        if (!world->b.up)
            world_connect(world);
        size_t len = where == CLOSE_IN_TOO_LARGE ? 70000 : 10;
        uint8_t *data = pattern(len);
        if (world->b.up)
            assert_int_equal(sctp_assoc_send(world->a.sctp, 0, PPID, data, len), 0);
        if (where != CLOSE_IN_SEND) // there, no packet of b ever went out
            assert_true(world_run(world, &world->a.ended, 1));
        assert_null(world->b.sctp);
        assert_int_equal(world->b.ended, 0);
        free(data);
        world_free(world);
    }
}

static void garbage_changes_nothing(void **state) {
    (void)state;
    struct world *world = world_up();
    uint8_t junk[1400];
    uint32_t seed = 7;
    for (int round = 0; round < 5000; round++) {
        for (size_t i = 0; i < sizeof junk; i++)
            junk[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
        if (round % 2)
            memcpy(junk, "\x13\x88\x13\x88", 4); // our ports
        sctp_assoc_receive(world->b.sctp, junk, seed % sizeof junk);
    }
    assert_int_equal(sctp_assoc_send(world->a.sctp, 0, PPID, (const uint8_t *)"still here", 10), 0);
    assert_true(world_run(world, &world->b.messages, 1));
    assert_int_equal(world->b.ended, 0);
    world_free(world);
}

// Pairs on threads of their own, the hub on another. Packets travel by mailbox; some are lost, so that the
// hub's thread sends too.

enum { SIDES = 4, THREAD_ROUNDS = 3, THREAD_MESSAGES = 200, THREAD_LEN = 2000 };

struct side {
    uv_thread_t thread;
    uv_loop_t loop;
    uv_timer_t guard;
    struct mailbox *box;
    struct sctp_hub *hub;
    struct side *peer;
    uv_barrier_t *barrier;
    struct sctp *sctp;
    bool echo;
    unsigned sent_packets;
    int sent, received, failed;
};

static void side_done(struct side *side) {
    if (!side->sctp)
        return;
    sctp_assoc_close(side->sctp);
    side->sctp = NULL;
    uv_close((uv_handle_t *)&side->guard, NULL);
    mailbox_close(side->box);
}

static void on_side_guard(uv_timer_t *timer) {
    struct side *side = timer->data;
    side->failed++;
    side_done(side);
}

static void side_send(const uint8_t *packet, size_t len, void *arg) {
    struct side *side = arg;
    if (++side->sent_packets % 11 == 0)
        return;
    struct packet *copy = malloc(sizeof *copy);
    memcpy(copy->data, packet, len);
    copy->len = len;
    mailbox_post(side->peer->box, (struct mail){.data = copy, .free_data = free});
}

static void on_side_mail(struct mail *mail, void *arg) {
    struct side *side = arg;
    const struct packet *packet = mail->data;
    if (side->sctp)
        sctp_assoc_receive(side->sctp, packet->data, packet->len);
}

static void side_fill(struct side *side) {
    uint8_t data[THREAD_LEN] = {0};
    while (side->sctp && !side->echo && side->sent < THREAD_MESSAGES) {
        memcpy(data, &side->sent, sizeof side->sent);
        int err = sctp_assoc_send(side->sctp, 0, PPID, data, sizeof data);
        if (err == -EAGAIN)
            return;
        side->failed += err != 0;
        side->sent++;
    }
}

static void side_up(void *arg) {
    side_fill(arg);
}

static void side_message(uint16_t stream, uint32_t ppid, const uint8_t *data, size_t len, void *arg) {
    struct side *side = arg;
    int number;
    memcpy(&number, data, sizeof number);
    side->failed += number != side->received || len != THREAD_LEN;
    side->received++;
    if (side->echo)
        side->failed += sctp_assoc_send(side->sctp, stream, ppid, data, len) != 0;
    else if (side->received == THREAD_MESSAGES)
        side_done(side);
}

static void side_nothing(uint16_t stream, void *arg) {
    (void)stream;
    ((struct side *)arg)->failed++;
}

static void side_end(const char *reason, void *arg) {
    (void)reason;
    side_done(arg);
}

static const struct sctp_events side_events = {.on_send = side_send,
                                               .on_up = side_up,
                                               .on_message = side_message,
                                               .on_too_large = side_nothing,
                                               .on_stream_reset = side_nothing,
                                               .on_writable = side_up,
                                               .on_end = side_end};

static void side_main(void *arg) {
    struct side *side = arg;
    uv_loop_init(&side->loop);
    uv_timer_init(&side->loop, &side->guard);
    side->guard.data = side;
    uv_timer_start(&side->guard, on_side_guard, DEADLINE_MS, 0);
    side->failed += mailbox_new(&side->box, &side->loop, QUEUE_MOST, on_side_mail, side) != 0;
    const struct sctp_config config = {&side->loop, 5000, 5000, MAX_MESSAGE, 1 << 20};
    struct sctp_events mine = side_events;
    mine.arg = side;
    side->failed += sctp_assoc_new(&side->sctp, side->hub, &config, &mine) != 0;
    uv_barrier_wait(side->barrier); // both mailboxes are there
    side->failed += sctp_assoc_connect(side->sctp) != 0;
    uv_run(&side->loop, UV_RUN_DEFAULT);
    side->failed += uv_loop_close(&side->loop) != 0;
}

struct hub_thread {
    uv_thread_t thread;
    uv_loop_t loop;
    uv_async_t stop;
    uv_sem_t ready;
    struct sctp_hub *hub;
};

static void on_hub_stop(uv_async_t *async) {
    struct hub_thread *home = async->data;
    sctp_hub_close(home->hub);
    uv_close((uv_handle_t *)async, NULL);
}

static void hub_main(void *arg) {
    struct hub_thread *home = arg;
    uv_loop_init(&home->loop);
    uv_async_init(&home->loop, &home->stop, on_hub_stop);
    home->stop.data = home;
    sctp_hub_new(&home->hub, &home->loop);
    uv_sem_post(&home->ready);
    uv_run(&home->loop, UV_RUN_DEFAULT);
    uv_loop_close(&home->loop);
}

// The even sides talk to the odd ones, each on its own thread, all at once.
static void sides_run(struct sctp_hub *hub, struct side *sides, unsigned count) {
    uv_barrier_t barrier;
    uv_barrier_init(&barrier, count);
    for (unsigned i = 0; i < count; i++)
        sides[i] = (struct side){.hub = hub, .peer = &sides[i ^ 1u], .barrier = &barrier, .echo = i % 2};
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(uv_thread_create(&sides[i].thread, side_main, &sides[i]), 0);
    for (unsigned i = 0; i < count; i++)
        uv_thread_join(&sides[i].thread);
    for (unsigned i = 0; i < count; i++)
        mailbox_free(sides[i].box);
    uv_barrier_destroy(&barrier);
}

static void associations_live_on_threads_of_their_own(void **state) {
    (void)state;
    struct hub_thread home = {0};
    uv_sem_init(&home.ready, 0);
    assert_int_equal(uv_thread_create(&home.thread, hub_main, &home), 0);
    uv_sem_wait(&home.ready);
    assert_non_null(home.hub);
    struct side *sides = calloc(SIDES, sizeof *sides);
    for (int round = 0; round < THREAD_ROUNDS; round++) {
        sides_run(home.hub, sides, SIDES);
        for (int i = 0; i < SIDES; i++) {
            assert_int_equal(sides[i].failed, 0);
            assert_int_equal(sides[i].received, THREAD_MESSAGES);
        }
    }
    free(sides);
    uv_async_send(&home.stop);
    uv_thread_join(&home.thread);
    uv_sem_destroy(&home.ready);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_hub_a_process),
        cmocka_unit_test(nothing_is_sent_before_the_association_is_up),
        cmocka_unit_test(messages_come_whole_with_stream_and_ppid),
        cmocka_unit_test(a_too_large_message_is_dropped_alone),
        cmocka_unit_test(a_full_buffer_says_again_and_then_writable),
        cmocka_unit_test(streams_are_reset_also_many_at_once),
        cmocka_unit_test(lost_packets_are_sent_again_in_order),
        cmocka_unit_test(close_ends_the_other_side),
        cmocka_unit_test(close_is_allowed_in_every_callback),
        cmocka_unit_test(garbage_changes_nothing),
        cmocka_unit_test(associations_live_on_threads_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
