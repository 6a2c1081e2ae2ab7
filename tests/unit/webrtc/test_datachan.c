// SPDX-License-Identifier: Apache-2.0
// The gateway's data channels against a browser's side played by a bare association, joined in memory on one
// loop.
#include "webrtc/datachan.h"

#include "gateway/core/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { QUEUE_MOST = 4096, DEADLINE_MS = 30000, LOG_MOST = 64, HEAD_MOST = 256, ROOM = 1 << 18 };

#define GREETING "Backend connected"

struct packet {
    size_t len;
    uint8_t data[1500];
};

struct queue {
    struct packet packets[QUEUE_MOST];
    size_t head, tail;
};

struct heard {
    uint16_t stream;
    uint32_t ppid;
    size_t len;
    uint8_t head[HEAD_MOST];
};

struct world {
    uv_loop_t loop;
    uv_timer_t guard;
    bool late;
    struct sctp_hub *hub;
    struct datachan *gateway;
    struct sctp *browser;
    struct queue to_gateway, to_browser;
    int up, heard_count, texts, resets, ended;
    bool hold, close_on_text; // hold: nothing reaches the browser
    uint16_t reset_stream;
    struct heard heard[LOG_MOST]; // by the browser
    size_t text_len;
    char *text; // the last the gateway heard
};

static void queue_put(struct queue *queue, const uint8_t *packet, size_t len) {
    assert_true(queue->tail - queue->head < QUEUE_MOST);
    struct packet *slot = &queue->packets[queue->tail++ % QUEUE_MOST];
    memcpy(slot->data, packet, len);
    slot->len = len;
}

static struct packet *queue_take(struct queue *queue) {
    return queue->head == queue->tail ? NULL : &queue->packets[queue->head++ % QUEUE_MOST];
}

static void on_gateway_send(const uint8_t *packet, size_t len, void *arg) {
    queue_put(&((struct world *)arg)->to_browser, packet, len);
}

static void on_text(const char *text, size_t len, void *arg) {
    struct world *world = arg;
    world->texts++;
    world->text_len = len;
    memcpy(world->text, text, len);
    if (world->close_on_text) {
        datachan_close(world->gateway);
        world->gateway = NULL;
    }
}

static void on_browser_send(const uint8_t *packet, size_t len, void *arg) {
    queue_put(&((struct world *)arg)->to_gateway, packet, len);
}

static void on_up(void *arg) {
    ((struct world *)arg)->up++;
}

static void on_message(uint16_t stream, uint32_t ppid, const uint8_t *data, size_t len, void *arg) {
    struct world *world = arg;
    struct heard *heard = &world->heard[world->heard_count++ % LOG_MOST];
    *heard = (struct heard){.stream = stream, .ppid = ppid, .len = len};
    memcpy(heard->head, data, len < HEAD_MOST ? len : HEAD_MOST - 1);
}

static void on_stream_reset(uint16_t stream, void *arg) {
    struct world *world = arg;
    world->resets++;
    world->reset_stream = stream;
}

static void on_too_large(uint16_t stream, void *arg) {
    (void)stream;
    (void)arg;
    fail();
}

static void on_writable(void *arg) {
    (void)arg;
}

static void on_end(const char *reason, void *arg) {
    (void)reason;
    ((struct world *)arg)->ended++;
}

static void on_guard(uv_timer_t *timer) {
    ((struct world *)timer->data)->late = true;
}

static bool world_move(struct world *world) {
    bool moved = false;
    for (struct packet *packet; (packet = queue_take(&world->to_gateway)); moved = true)
        if (world->gateway)
            datachan_receive(world->gateway, packet->data, packet->len);
    for (struct packet *packet; !world->hold && (packet = queue_take(&world->to_browser)); moved = true)
        sctp_assoc_receive(world->browser, packet->data, packet->len);
    return moved;
}

static bool world_run(struct world *world, const int *count, int want) {
    world->late = false;
    uv_update_time(&world->loop);
    uv_timer_start(&world->guard, on_guard, DEADLINE_MS, 0);
    while (*count < want && !world->late)
        uv_run(&world->loop, world_move(world) ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    uv_timer_stop(&world->guard);
    return *count >= want;
}

static struct world *world_new(const char *greeting) {
    struct world *world = calloc(1, sizeof *world);
    world->text = malloc(ROOM);
    assert_int_equal(uv_loop_init(&world->loop), 0);
    uv_timer_init(&world->loop, &world->guard);
    world->guard.data = world;
    assert_int_equal(sctp_hub_new(&world->hub, &world->loop), 0);
    const struct datachan_events events = {.on_text = on_text, .on_send = on_gateway_send, .arg = world};
    assert_int_equal(datachan_new(&world->gateway, world->hub, &world->loop, 5000, greeting, "test", &events),
                     0);
    const struct sctp_config config = {&world->loop, 5000, 5000, DATACHAN_MAX_MESSAGE, ROOM};
    const struct sctp_events mine = {on_browser_send, on_up,       on_message, on_too_large,
                                     on_stream_reset, on_writable, on_end,     world};
    assert_int_equal(sctp_assoc_new(&world->browser, world->hub, &config, &mine), 0);
    assert_int_equal(datachan_start(world->gateway), 0);
    assert_int_equal(sctp_assoc_connect(world->browser), 0);
    assert_true(world_run(world, &world->up, 1));
    return world;
}

static void world_free(struct world *world) {
    if (world->gateway)
        datachan_close(world->gateway);
    sctp_assoc_close(world->browser);
    sctp_hub_close(world->hub);
    uv_close((uv_handle_t *)&world->guard, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    free(world->text);
    free(world);
}

static size_t open_message(uint8_t *out, const char *label) {
    size_t len = strlen(label);
    memcpy(out, "\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 12);
    out[8] = (uint8_t)(len >> 8);
    out[9] = (uint8_t)len;
    memcpy(out + 12, label, len);
    return 12 + len;
}

static void browser_send(struct world *world, uint16_t stream, uint32_t ppid, const void *data, size_t len) {
    assert_int_equal(sctp_assoc_send(world->browser, stream, ppid, data, len), 0);
}

// Opens a channel and waits for ACK and greeting.
static void browser_open(struct world *world, uint16_t stream, const char *label) {
    uint8_t message[512];
    int before = world->heard_count;
    browser_send(world, stream, 50, message, open_message(message, label));
    assert_true(world_run(world, &world->heard_count, before + 2));
}

static const struct heard *heard_at(const struct world *world, int i) {
    return &world->heard[i % LOG_MOST];
}

static void an_open_is_acknowledged_and_greeted_on_either_parity(void **state) {
    (void)state;
    for (uint16_t stream = 0; stream < 2; stream++) {
        struct world *world = world_new(GREETING);
        browser_open(world, stream, stream ? "" : "any label \xd8\xb5");
        const struct heard *ack = heard_at(world, 0), *greeting = heard_at(world, 1);
        assert_int_equal(ack->stream, stream);
        assert_int_equal(ack->ppid, 50);
        assert_int_equal(ack->len, 1);
        assert_int_equal(ack->head[0], 2);
        assert_int_equal(greeting->stream, stream);
        assert_int_equal(greeting->ppid, 51);
        assert_string_equal(greeting->head, GREETING);
        world_free(world);
    }
}

static void text_goes_both_ways(void **state) {
    (void)state;
    struct world *world = world_new(GREETING);
    browser_open(world, 0, "chat");
    browser_send(world, 0, 51, "hello", 5);
    assert_true(world_run(world, &world->texts, 1));
    assert_int_equal(world->text_len, 5);
    assert_memory_equal(world->text, "hello", 5);
    browser_send(world, 0, 56, "", 1); // the empty string
    assert_true(world_run(world, &world->texts, 2));
    assert_int_equal(world->text_len, 0);
    assert_int_equal(datachan_send_text(world->gateway, "hi", 2), 0);
    assert_int_equal(datachan_send_text(world->gateway, "", 0), 0);
    assert_true(world_run(world, &world->heard_count, 4));
    assert_string_equal(heard_at(world, 2)->head, "hi");
    assert_int_equal(heard_at(world, 3)->ppid, 56);
    assert_int_equal(heard_at(world, 3)->len, 1);
    world_free(world);
}

static void what_is_said_before_the_channel_opens_follows_the_greeting(void **state) {
    (void)state;
    struct world *world = world_new(GREETING);
    assert_int_equal(datachan_send_text(world->gateway, "first", 5), 0);
    assert_int_equal(datachan_send_text(world->gateway, "second", 6), 0);
    char *large = calloc(1, 65536);
    for (int i = 0; i < 3; i++)
        assert_int_equal(datachan_send_text(world->gateway, large, 65536), 0);
    assert_int_equal(datachan_send_text(world->gateway, large, 65536), -EAGAIN);
    free(large);
    browser_open(world, 2, "chat");
    assert_true(world_run(world, &world->heard_count, 7));
    assert_string_equal(heard_at(world, 1)->head, GREETING);
    assert_string_equal(heard_at(world, 2)->head, "first");
    assert_string_equal(heard_at(world, 3)->head, "second");
    assert_int_equal(heard_at(world, 3)->stream, 2);
    world_free(world);
}

static void sixty_four_kilobytes_go_and_no_more(void **state) {
    (void)state;
    struct world *world = world_new(GREETING);
    browser_open(world, 0, "chat");
    char *large = malloc(70 << 10);
    memset(large, 'a', 70 << 10);
    browser_send(world, 0, 51, large, 65536);
    assert_true(world_run(world, &world->texts, 1));
    assert_int_equal(world->text_len, 65536);
    assert_memory_equal(world->text, large, 65536);
    assert_int_equal(datachan_send_text(world->gateway, large, 65536), 0);
    assert_true(world_run(world, &world->heard_count, 3));
    assert_int_equal(heard_at(world, 2)->len, 65536);
    assert_int_equal(datachan_send_text(world->gateway, large, 65537), -EMSGSIZE);

    browser_send(world, 0, 51, large, 70 << 10);
    assert_true(world_run(world, &world->heard_count, 4));
    assert_int_equal(heard_at(world, 3)->ppid, 51);
    assert_non_null(strstr((const char *)heard_at(world, 3)->head, "\"code\":\"message_too_large\""));
    assert_int_equal(world->texts, 1);
    browser_send(world, 0, 51, "after", 5);
    assert_true(world_run(world, &world->texts, 2));
    assert_int_equal(world->text_len, 5);
    free(large);
    world_free(world);
}

static void what_is_no_text_is_ignored(void **state) {
    (void)state;
    struct world *world = world_new(GREETING);
    browser_open(world, 0, "chat");
    browser_send(world, 0, 53, "\x00\x01", 2);
    browser_send(world, 0, 57, "", 1);
    browser_send(world, 0, 54, "part", 4);
    browser_send(world, 0, 51, "\xff\xfe", 2); // not UTF-8
    browser_send(world, 4, 51, "unopened", 8); // no such channel
    browser_send(world, 0, 50, "\x02", 1);     // an ACK of nothing
    browser_send(world, 0, 51, "text", 4);
    assert_true(world_run(world, &world->texts, 1));
    assert_memory_equal(world->text, "text", 4);
    world_free(world);
}

static void malformed_dcep_closes_its_stream_only(void **state) {
    (void)state;
    struct world *world = world_new(GREETING);
    browser_open(world, 0, "chat");
    browser_send(world, 2, 50, "\x03\x00\x00", 3);
    assert_true(world_run(world, &world->resets, 1));
    assert_int_equal(world->reset_stream, 2);
    browser_send(world, 4, 50, "\x09", 1);
    assert_true(world_run(world, &world->resets, 2));
    assert_int_equal(world->reset_stream, 4);
    browser_send(world, 0, 51, "text", 4);
    assert_true(world_run(world, &world->texts, 1));
    world_free(world);
}

static void channels_are_limited(void **state) {
    (void)state;
    struct world *world = world_new(NULL);
    uint8_t message[64];
    for (uint16_t i = 0; i < DATACHAN_MAX_CHANNELS; i++)
        browser_send(world, (uint16_t)(i * 2), 50, message, open_message(message, "one of many"));
    assert_true(world_run(world, &world->heard_count, DATACHAN_MAX_CHANNELS));
    browser_send(world, 40, 50, message, open_message(message, "one too many"));
    assert_true(world_run(world, &world->resets, 1));
    assert_int_equal(world->reset_stream, 40);
    assert_int_equal(world->heard_count, DATACHAN_MAX_CHANNELS);
    world_free(world);
}

static void text_goes_to_the_channel_last_heard_from(void **state) {
    (void)state;
    struct world *world = world_new(GREETING);
    browser_open(world, 0, "first");
    browser_open(world, 2, "second");
    assert_int_equal(datachan_send_text(world->gateway, "a", 1), 0);
    assert_true(world_run(world, &world->heard_count, 5));
    assert_int_equal(heard_at(world, 4)->stream, 2);
    browser_send(world, 0, 51, "hello", 5);
    assert_true(world_run(world, &world->texts, 1));
    assert_int_equal(datachan_send_text(world->gateway, "b", 1), 0);
    assert_true(world_run(world, &world->heard_count, 6));
    assert_int_equal(heard_at(world, 5)->stream, 0);
    world_free(world);
}

static void a_closed_channel_is_closed_on_our_side_and_may_come_again(void **state) {
    (void)state;
    struct world *world = world_new(GREETING);
    browser_open(world, 0, "chat");
    browser_open(world, 2, "other");
    assert_int_equal(sctp_assoc_reset_stream(world->browser, 2), 0);
    assert_true(world_run(world, &world->resets, 1));
    assert_int_equal(world->reset_stream, 2);
    assert_int_equal(datachan_send_text(world->gateway, "a", 1), 0);
    assert_true(world_run(world, &world->heard_count, 5));
    assert_int_equal(heard_at(world, 4)->stream, 0);
    assert_int_equal(sctp_assoc_reset_stream(world->browser, 0), 0);
    assert_true(world_run(world, &world->resets, 2));
    assert_int_equal(datachan_send_text(world->gateway, "a", 1), -ENOTCONN);
    browser_open(world, 2, "again");
    assert_int_equal(datachan_send_text(world->gateway, "b", 1), 0);
    assert_true(world_run(world, &world->heard_count, 8));
    assert_int_equal(heard_at(world, 7)->stream, 2);
    world_free(world);
}

static void the_queue_is_bounded_and_kept_in_order(void **state) {
    (void)state;
    struct world *world = world_new(GREETING);
    browser_open(world, 0, "chat");
    char *text = malloc(20000);
    memset(text, 'x', 20000);
    world->hold = true;
    int queued = 0, err = 0;
    for (; queued < 100; queued++) {
        text[0] = (char)('0' + queued);
        if ((err = datachan_send_text(world->gateway, text, 20000)) != 0)
            break;
    }
    assert_int_equal(err, -EAGAIN);
    assert_in_range(queued, 13, 20); // 256 KiB here and 128 KiB in usrsctp
    world->hold = false;
    assert_true(world_run(world, &world->heard_count, 2 + queued));
    for (int i = 0; i < queued; i++)
        assert_int_equal(heard_at(world, 2 + i)->head[0], '0' + i);
    assert_int_equal(datachan_send_text(world->gateway, text, 20000), 0);
    assert_true(world_run(world, &world->heard_count, 3 + queued));
    free(text);
    world_free(world);
}

static void close_is_allowed_with_messages_waiting_and_in_on_text(void **state) {
    (void)state;
    struct world *world = world_new(GREETING);
    browser_open(world, 0, "chat");
    char *text = calloc(1, 60000);
    while (datachan_send_text(world->gateway, text, 60000) == 0)
        continue;
    world->close_on_text = true;
    browser_send(world, 0, 51, "one", 3);
    browser_send(world, 0, 51, "two", 3);
    assert_true(world_run(world, &world->ended, 1));
    assert_int_equal(world->texts, 1);
    assert_null(world->gateway);
    free(text);
    world_free(world);
}

static void a_lost_association_leaves_no_channel(void **state) {
    (void)state;
    struct world *world = world_new(GREETING);
    browser_open(world, 0, "chat");
    sctp_assoc_close(world->browser);
    world_move(world);
    assert_int_equal(datachan_send_text(world->gateway, "x", 1), -ENOTCONN);
    const struct sctp_config config = {&world->loop, 5000, 5000, DATACHAN_MAX_MESSAGE, ROOM};
    const struct sctp_events mine = {on_browser_send, on_up,       on_message, on_too_large,
                                     on_stream_reset, on_writable, on_end,     world};
    assert_int_equal(sctp_assoc_new(&world->browser, world->hub, &config, &mine), 0);
    world_free(world);
}

static void open_messages_are_parsed(void **state) {
    (void)state;
    static const uint8_t good[] = "\x03\x82\x01\x00\x00\x00\x13\x88\x00\x04\x00\x02"
                                  "chatv1";
    struct dcep_open open;
    assert_int_equal(dcep_parse_open(span_of(good, 18), &open), 0);
    assert_int_equal(open.channel_type, 0x82);
    assert_int_equal(open.priority, 256);
    assert_int_equal(open.reliability, 5000);
    assert_true(span_eq(open.label, "chat"));
    assert_true(span_eq(open.protocol, "v1"));
    for (size_t len = 0; len < 18; len++)
        assert_int_equal(dcep_parse_open(span_of(good, len), &open), -EPROTO);
    assert_int_equal(dcep_parse_open(span_of(good, 19), &open), -EPROTO); // a byte too many
    uint8_t bad[18];
    memcpy(bad, good, sizeof bad);
    bad[1] = 0x03; // no such channel type
    assert_int_equal(dcep_parse_open(span_of(bad, sizeof bad), &open), -EPROTO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_is_acknowledged_and_greeted_on_either_parity),
        cmocka_unit_test(text_goes_both_ways),
        cmocka_unit_test(what_is_said_before_the_channel_opens_follows_the_greeting),
        cmocka_unit_test(sixty_four_kilobytes_go_and_no_more),
        cmocka_unit_test(what_is_no_text_is_ignored),
        cmocka_unit_test(malformed_dcep_closes_its_stream_only),
        cmocka_unit_test(channels_are_limited),
        cmocka_unit_test(text_goes_to_the_channel_last_heard_from),
        cmocka_unit_test(a_closed_channel_is_closed_on_our_side_and_may_come_again),
        cmocka_unit_test(the_queue_is_bounded_and_kept_in_order),
        cmocka_unit_test(close_is_allowed_with_messages_waiting_and_in_on_text),
        cmocka_unit_test(a_lost_association_leaves_no_channel),
        cmocka_unit_test(open_messages_are_parsed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
