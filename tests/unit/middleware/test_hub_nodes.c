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

static void tick_looking(int node, int seconds) {
    for (int i = 0; i < seconds; i++) {
        tick(node, 1);
        settle();
    }
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
    redis_fake.deaf = true; // its node has died, or is connecting again
    tick_looking(1, 6);
    redis_fake.deaf = false;
    tick_looking(1, 5);
    assert_int_equal(exchange.replies, 0);
    redis_fake.deaf = true;
    tick_looking(1, 2);
    assert_int_equal(exchange.replies, 0);
    tick_looking(1, 1);
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

// A client of long polling at node 0 that is registered, and whose poll waits at node 1.
static void wait_elsewhere(char *query, struct http_exchange *exchange) {
    negotiate(0, query);
    poll_open(0, query);
    ask(0, "POST", query, HELLO REGISTER("known"));
    poll(1, query, exchange);
    assert_int_equal(exchange->status, 200);
    poll(1, query, exchange);
    assert_int_equal(exchange->replies, 0);
}

// One node is back at Redis before the other has something to say.
static void test_an_answer_to_a_node_that_was_away(void **state) {
    (void)state;
    struct http_exchange exchange;
    char query[QUERY];
    wait_elsewhere(query, &exchange);
    hub_relay_again(t.hub[1]);
    settle();
    assert_int_equal(exchange.replies, 0);
    hear("known\n{\"target\":\"E\",\"arguments\":[1]}");
    expect_polled(&exchange, 200, EVENT("E", "[1]"));
}

// Redis has taken the answer and died, or the connection of that node.
static void test_an_answer_that_never_comes(void **state) {
    (void)state;
    static struct http_exchange exchange;
    char query[QUERY];
    wait_elsewhere(query, &exchange);
    for (int round = 0; round < 2; round++) {
        static const char *const events[] = {"known\n{\"target\":\"E\",\"arguments\":[1]}",
                                             "known\n{\"target\":\"E\",\"arguments\":[2]}"};
        hub_topics_event(t.hub[0], events[round], strlen(events[round]));
        lose_messages();
        assert_int_equal(exchange.replies, 0);
        hear("known\n{\"target\":\"F\",\"arguments\":[]}");
        if (round)
            hub_relay_again(t.hub[1]);
        else
            tick(1, 5);
        settle();
        expect_polled(&exchange, 200, round ? EVENT("E", "[2]") : EVENT("E", "[1]"));
        poll(1, query, &exchange);
        if (!round) {
            expect_polled(&exchange, 200, EVENT("F", "[]"));
            poll(1, query, &exchange);
        }
        assert_int_equal(exchange.replies, 0); // nothing twice
    }
}

// The answer and the question whether the poll is still heard of cross.
static void test_an_answer_that_was_only_late(void **state) {
    (void)state;
    static struct http_exchange exchange;
    char query[QUERY];
    wait_elsewhere(query, &exchange);
    static const char event[] = "known\n{\"target\":\"E\",\"arguments\":[1]}";
    hub_topics_event(t.hub[0], event, strlen(event));
    hub_relay_again(t.hub[1]);
    settle();
    expect_polled(&exchange, 200, EVENT("E", "[1]"));
    poll(1, query, &exchange);
    assert_int_equal(exchange.replies, 0);
    hear("known\n{\"target\":\"E\",\"arguments\":[2]}");
    expect_polled(&exchange, 200, EVENT("E", "[2]"));
}

// Redis fails while it is asked for the node of a poll, and has passed the poll on all the same.
static void test_a_poll_of_which_nobody_knows(void **state) {
    (void)state;
    for (int lost = 0; lost < 2; lost++) {
        static struct http_exchange exchange;
        char query[QUERY];
        wait_elsewhere(query, &exchange);
        hear("known\n{\"target\":\"E\",\"arguments\":[1]}");
        expect_polled(&exchange, 200, EVENT("E", "[1]"));
        exchange = (struct http_exchange){0};
        request(1, "GET", "/sessionHub", query, "", &exchange);
        redis_fake.first->next->err = -ETIMEDOUT; // the answer, behind the request
        settle();
        assert_int_equal(exchange.replies, 0);
        static const char event[] = "known\n{\"target\":\"E\",\"arguments\":[2]}";
        hub_topics_event(t.hub[0], event, strlen(event));
        if (lost)
            lose_messages();
        settle();
        if (lost)
            tick_looking(1, 1);
        expect_polled(&exchange, 200, EVENT("E", "[2]"));
        assert_int_equal(ask(1, "DELETE", query, ""), 202);
        pass(1);
        assert_int_equal(slot_count(t.hub[1]->relays), 0);
    }
}

// Its client leaves while its answer is on the way.
static void test_an_answer_to_nobody(void **state) {
    (void)state;
    static struct http_exchange exchange, next;
    char query[QUERY];
    wait_elsewhere(query, &exchange);
    static const char event[] = "known\n{\"target\":\"E\",\"arguments\":[1]}";
    hub_topics_event(t.hub[0], event, strlen(event));
    client_leaves(&exchange);
    settle();
    poll(1, query, &next);
    expect_polled(&next, 200, EVENT("E", "[1]"));
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
        WITH_NODES(test_an_answer_to_a_node_that_was_away),
        WITH_NODES(test_an_answer_that_never_comes),
        WITH_NODES(test_an_answer_that_was_only_late),
        WITH_NODES(test_a_poll_of_which_nobody_knows),
        WITH_NODES(test_an_answer_to_nobody),
        WITH_NODES(test_the_node_of_a_poll_dies),
        WITH_NODES(test_redis_does_not_answer),
        WITH_NODES(test_junk_on_the_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
