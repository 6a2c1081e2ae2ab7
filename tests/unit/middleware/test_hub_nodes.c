// SPDX-License-Identifier: Apache-2.0
// The hub when nodes die, messages are lost and Redis does not answer.
#include "tests/unit/middleware/hub_http_fixture.h"

static void test_a_node_that_died(void **state) {
    (void)state;
    static struct http_exchange exchange;
    char query[QUERY], key[128];
    negotiate(0, query);
    // Its entry is there, but nobody hears its channel.
    snprintf(key, sizeof key, "%s%.*s", HUB_CONN_KEY, 32, query + 3);
    json_object_set_new(redis_fake.keys, key, json_string("gone"));
    poll(0, query, &exchange);
    assert_int_equal(exchange.status, 404);
}

static void lose_messages(void) {
    for (struct event *event = redis_fake.first; event; event = event->next)
        event->channel[0] = '\0';
    settle();
}

static void tick(int node, int seconds) {
    for (int i = 0; i < seconds; i++)
        hub_tick(t.hub[node], t.now_ms += 1000);
}

static void test_requests_that_get_lost(void **state) {
    (void)state;
    struct http_exchange post = {0}, get = {0};
    char query[QUERY];
    negotiate(0, query);
    poll_open(0, query);
    request(1, "POST", "/sessionHub", query, HELLO, &post);
    request(1, "GET", "/sessionHub", query, "", &get);
    lose_messages();
    tick(1, 4);
    settle();
    assert_int_equal(post.replies + get.replies, 0);
    tick(1, 1);
    assert_int_equal(post.status, 503);
    settle();
    expect_polled(&get, 200, ""); // once more
    assert_int_equal(slot_count(t.hub[1]->relays), 0);
}

static void test_a_poll_that_waits_is_looked_after(void **state) {
    (void)state;
    struct http_exchange exchange;
    char query[QUERY];
    negotiate(0, query);
    poll_open(0, query);
    poll(1, query, &exchange);
    for (int i = 0; i < 2; i++) {
        tick(1, 5);
        settle();
        assert_int_equal(exchange.replies, 0);
    }
    redis_fake.deaf = true; // its node has died
    tick(1, 5);
    settle();
    assert_int_equal(exchange.status, 404);
    assert_int_equal(slot_count(t.hub[1]->relays), 0);
}

static void test_a_poll_does_not_wait_for_ever(void **state) {
    (void)state;
    struct http_exchange exchange;
    char query[QUERY];
    negotiate(0, query);
    poll_open(0, query);
    poll(1, query, &exchange);
    redis_fake.down = true;
    tick(1, 34);
    assert_int_equal(exchange.replies, 0);
    tick(1, 1);
    assert_int_equal(exchange.status, 404);
    assert_int_equal(slot_count(t.hub[1]->relays), 0);
}

static void test_without_redis_one_node_still_serves(void **state) {
    (void)state;
    static struct http_exchange stream, exchange;
    char query[QUERY];
    redis_fake.down = true;
    negotiate(0, query);
    sse_open(0, query, &stream);
    assert_int_equal(ask(0, "POST", query, HELLO), 200);
    assert_string_equal(taken(stream.body), "data: {}|\r\n\r\n");
    assert_int_equal(ask(1, "POST", query, "{\"type\":6}\x1e"), 503);
    negotiate(0, query);
    poll_open(0, query);
    assert_int_equal(ask(0, "POST", query, HELLO), 200);
    // When it is back, the other node finds both.
    redis_comes_back();
    assert_int_equal(ask(1, "POST", query, "{\"type\":6}\x1e"), 200);
    poll(1, query, &exchange);
    expect_polled(&exchange, 200, EMPTY_JSON);
}

static void hear(const char *event) {
    hub_topics_event(t.hub[0], event, strlen(event));
    settle();
}

// The poll waits at the other node when Redis goes away. What it should get is kept, and nothing comes twice.
static void test_an_answer_that_is_lost(void **state) {
    (void)state;
    struct http_exchange exchange;
    char query[QUERY];
    for (int down = 0; down < 2; down++) {
        negotiate(0, query);
        poll_open(0, query);
        ask(0, "POST", query, HELLO REGISTER("known"));
        poll(1, query, &exchange);
        assert_int_equal(exchange.status, 200);
        poll(1, query, &exchange);
        redis_fake.down = down;
        redis_fake.deaf = true;
        hear("known\n{\"target\":\"E\",\"arguments\":[1]}");
        hear("known\n{\"target\":\"E\",\"arguments\":[2]}");
        assert_int_equal(exchange.replies, 0);
        desk_replays("[[\"E\",[2]]]");
        redis_comes_back();
        expect_polled(&exchange, 200, ""); // ask again
        poll(1, query, &exchange);
        expect_polled(&exchange, 200, EVENT("E", "[1]") EVENT("E", "[2]"));
        desk_replays("[]");
        assert_int_equal(ask(1, "DELETE", query, ""), 202);
        pass(1);
    }
}

static void test_the_node_of_a_poll_dies(void **state) {
    (void)state;
    struct http_exchange exchange, next;
    char query[QUERY];
    negotiate(0, query);
    poll_open(0, query);
    ask(0, "POST", query, HELLO REGISTER("known"));
    poll(1, query, &exchange);
    poll(1, query, &exchange);
    redis_fake.deaf = true;
    hear("known\n{\"target\":\"E\",\"arguments\":[1]}");
    redis_fake.deaf = false;
    poll(0, query, &next); // its client has noticed
    expect_polled(&next, 200, EVENT("E", "[1]"));
}

static void test_redis_does_not_answer(void **state) {
    (void)state;
    char query[QUERY];
    negotiate(0, query);
    redis_fake.fail_with = -ETIMEDOUT;
    assert_int_equal(ask(0, "GET", query, ""), 503);
    assert_int_equal(hub_connections(t.hub[0]), 0);
}

static void test_junk_on_the_channels(void **state) {
    (void)state;
    static const char *const junk[] = {"",
                                       "\n",
                                       "x\ny",
                                       "[]\n",
                                       "{}\n",
                                       "{\"n\":99,\"status\":200}\nx",
                                       "{\"n\":1,\"ask\":\"poll\"}\n",
                                       "{\"n\":1,\"ask\":\"fly\",\"from\":\"a\",\"id\":\"b\"}\n",
                                       "{\"n\":1,\"ask\":7,\"from\":{},\"id\":[]}\n"};
    struct ws ws;
    ws_waiter(0, &ws);
    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++) {
        hub_relay_message(t.hub[0], junk[i], strlen(junk[i]));
        hub_topics_event(t.hub[0], junk[i], strlen(junk[i]));
    }
    static const char *const events[] = {"known", "known\n", "known\n{}", "known\n{\"target\":1}",
                                         "known\n{\"target\":\"E\",\"arguments\":{}}"};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        hub_topics_event(t.hub[0], events[i], strlen(events[i]));
    settle();
    assert_string_equal(taken(ws.text), "");
    ws_gone(&ws);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_NODES(test_a_node_that_died),
        WITH_NODES(test_requests_that_get_lost),
        WITH_NODES(test_a_poll_that_waits_is_looked_after),
        WITH_NODES(test_a_poll_does_not_wait_for_ever),
        WITH_NODES(test_without_redis_one_node_still_serves),
        WITH_NODES(test_an_answer_that_is_lost),
        WITH_NODES(test_the_node_of_a_poll_dies),
        WITH_NODES(test_redis_does_not_answer),
        WITH_NODES(test_junk_on_the_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
