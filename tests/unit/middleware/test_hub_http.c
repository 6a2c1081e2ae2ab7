// SPDX-License-Identifier: Apache-2.0
// Negotiation, server-sent events and long polling, on one node and across two.
#include "tests/unit/middleware/hub_http_fixture.h"

// ---- negotiate and tokens

static void test_negotiate_version_1(void **state) {
    (void)state;
    struct http_exchange exchange = {0};
    request(0, "POST", "/sessionHub/negotiate", "negotiateVersion=1", "", &exchange);
    assert_int_equal(exchange.status, 200);
    json_t *root = json_loads(exchange.body, 0, NULL);
    const char *id, *token, *names[3], *format[5];
    int version;
    assert_int_equal(json_unpack(root, "{s:i,s:s,s:s,s:[{s:s,s:[s,s]},{s:s,s:[s]},{s:s,s:[s,s]}]}",
                                 "negotiateVersion", &version, "connectionId", &id, "connectionToken", &token,
                                 "availableTransports", "transport", &names[0], "transferFormats", &format[0],
                                 &format[1], "transport", &names[1], "transferFormats", &format[2],
                                 "transport", &names[2], "transferFormats", &format[3], &format[4]),
                     0);
    assert_int_equal(version, 1);
    assert_string_equal(names[0], "WebSockets");
    assert_string_equal(names[1], "ServerSentEvents");
    assert_string_equal(names[2], "LongPolling");
    assert_null(strstr(token, id)); // who sees the one does not know the other
    json_decref(root);
}

static void test_negotiate_version_0(void **state) {
    (void)state;
    struct ws ws;
    static const char *const queries[] = {"", "negotiateVersion=0", "x=1&negotiateVersion=0&y"};
    for (size_t i = 0; i < 3; i++) {
        struct http_exchange exchange = {0};
        char query[QUERY];
        request(0, "POST", "/sessionHub/negotiate", queries[i], "", &exchange);
        json_t *root = json_loads(exchange.body, 0, NULL);
        assert_null(json_object_get(root, "connectionToken"));
        assert_null(json_object_get(root, "negotiateVersion"));
        snprintf(query, sizeof query, "id=%s", json_string_value(json_object_get(root, "connectionId")));
        json_decref(root);
        assert_int_equal(ws_connect_from(1, &ws, query, "192.0.2.1"), 0);
        ws_gone(&ws);
    }
    static const char *const bad[] = {"negotiateVersion=", "negotiateVersion=one", "negotiateVersion=-1",
                                      "negotiateVersion=11111111111111111111111"};
    for (size_t i = 0; i < 4; i++) {
        struct http_exchange exchange = {0};
        request(0, "POST", "/sessionHub/negotiate", bad[i], "", &exchange);
        assert_int_equal(exchange.status, 400);
    }
}

static void test_ids_that_are_not_ours(void **state) {
    (void)state;
    static const char *const methods[] = {"GET", "POST", "DELETE"};
    struct ws ws;
    struct auth *stranger;
    char sealed[AUTH_SEALED_MAX], forged[QUERY], expired[QUERY], other[QUERY], endless[1024];
    assert_int_equal(auth_new(&stranger, "another secret"), 0);
    assert_int_equal(auth_seal(stranger, HUB_TOKEN_PURPOSE, "abc", time(NULL) + 60, sealed), 0);
    snprintf(forged, sizeof forged, "id=%s", sealed);
    assert_int_equal(auth_seal(t.auth[0], HUB_TOKEN_PURPOSE, "abc", time(NULL) - 1, sealed), 0);
    snprintf(expired, sizeof expired, "id=%s", sealed);
    assert_int_equal(auth_seal(t.auth[0], "another purpose", "abc", time(NULL) + 60, sealed), 0);
    snprintf(other, sizeof other, "id=%s", sealed);
    memset(endless, 'a', sizeof endless - 1);
    memcpy(endless, "id=", 3);
    endless[sizeof endless - 1] = '\0';
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ask(0, methods[i], forged, ""), 401);
        assert_int_equal(ask(0, methods[i], other, ""), 401);
        assert_int_equal(ask(0, methods[i], endless, ""), 401);
        assert_int_equal(ask(0, methods[i], "id=abc", ""), 401);
        assert_int_equal(ask(0, methods[i], expired, ""), 404);
        assert_int_equal(ask(0, methods[i], "", ""), 400);
        assert_int_equal(ask(0, methods[i], "xid=1", ""), 400);
    }
    assert_int_equal(ws_connect_from(0, &ws, forged, "192.0.2.1"), 401);
    assert_int_equal(ws_connect_from(0, &ws, endless, "192.0.2.1"), 401);
    assert_int_equal(ws_connect_from(0, &ws, expired, "192.0.2.1"), 404);
    assert_int_equal(ask(0, "HEAD", "", ""), 400);
    assert_int_equal(hub_connections(t.hub[0]), 0);
    auth_free(stranger);
}

// ---- server-sent events

static void test_sse(void **state) {
    (void)state;
    static struct http_exchange stream;
    char query[QUERY];
    negotiate(0, query);
    sse_open(0, query, &stream);
    assert_string_equal(stream.buffering, "no");
    assert_int_equal(ask(0, "POST", query, HELLO), 200);
    assert_string_equal(taken(stream.body), "data: {}|\r\n\r\n");
    assert_int_equal(ask(0, "POST", query, REGISTER("known")), 200);
    assert_string_equal(taken(stream.body), "data: " COMPLETED "\r\n\r\n");
    send_event(1, "E", "[1]");
    assert_string_equal(taken(stream.body), "data: " EVENT("E", "[1]") "\r\n\r\n");
    assert_int_equal(ask(0, "POST", query, "{\"type\":7}\x1e"), 200);
    assert_true(stream.stream_ended);
    assert_int_equal(ask(0, "POST", query, "{\"type\":6}\x1e"), 404);
    pass(1);
    expect_said("back:known left:known ");
    assert_int_equal(hub_connections(t.hub[0]), 0);
    assert_int_equal(ask(0, "POST", query, "{\"type\":6}\x1e"), 404);
}

static void test_sse_client_leaves(void **state) {
    (void)state;
    static struct http_exchange stream;
    char query[QUERY];
    negotiate(0, query);
    sse_open(0, query, &stream);
    ask(0, "POST", query, HELLO REGISTER("known"));
    client_leaves(&stream);
    expect_said("back:known left:known ");
    assert_true(stream.stream_ended);
    assert_int_equal(hub_connections(t.hub[0]), 0);
    assert_int_equal(ask(0, "POST", query, "{\"type\":6}\x1e"), 404);
    assert_int_equal(ask(1, "POST", query, "{\"type\":6}\x1e"), 404);
    // The id is used up.
    struct http_exchange again = {.accept = "text/event-stream"};
    request(1, "GET", "/sessionHub", query, "", &again);
    settle();
    assert_int_equal(again.status, 404);
}

static void test_sse_id_is_good_for_one_connection(void **state) {
    (void)state;
    static struct http_exchange stream;
    struct http_exchange again = {.accept = "text/event-stream"}, there = again;
    char query[QUERY];
    negotiate(0, query);
    sse_open(0, query, &stream);
    request(0, "GET", "/sessionHub", query, "", &again);
    request(1, "GET", "/sessionHub", query, "", &there);
    settle();
    assert_int_equal(again.status, 409);
    assert_int_equal(there.status, 409);
    assert_int_equal(ask(0, "GET", query, ""), 409); // a poll
    assert_false(stream.stream_ended);
    assert_int_equal(ask(0, "DELETE", query, ""), 202);
    assert_true(stream.stream_ended);
}

static void test_sse_posts_come_to_another_node(void **state) {
    (void)state;
    static struct http_exchange stream;
    char query[QUERY];
    negotiate(1, query);
    sse_open(0, query, &stream);
    assert_int_equal(ask(1, "POST", query, HELLO), 200);
    assert_string_equal(taken(stream.body), "data: {}|\r\n\r\n");
    // A record cut in two, by way of both nodes.
    assert_int_equal(ask(0, "POST", query, "{\"type\":1,\"invocationId\":\"0\",\"target\":\"Reg"), 200);
    assert_int_equal(ask(1, "POST", query, "ister\",\"arguments\":[\"known\"]}\x1e"), 200);
    assert_string_equal(taken(stream.body), "data: " COMPLETED "\r\n\r\n");
    assert_int_equal(ask(1, "DELETE", query, ""), 202);
    assert_true(stream.stream_ended);
    pass(1);
    assert_int_equal(ask(1, "POST", query, "{\"type\":6}\x1e"), 404);
}

static void test_sse_client_left_before_it_began(void **state) {
    (void)state;
    struct http_exchange stream = {.accept = "text/event-stream"};
    char query[QUERY];
    negotiate(0, query);
    request(0, "GET", "/sessionHub", query, "", &stream);
    client_leaves(&stream);
    settle();
    assert_int_equal(stream.replies, 1);
    assert_int_equal(hub_connections(t.hub[0]), 0);
}

static void test_sse_too_many(void **state) {
    (void)state;
    static struct http_exchange stream[PER_ADDRESS];
    struct http_exchange last = {.accept = "text/event-stream"};
    char query[QUERY];
    for (int i = 0; i < PER_ADDRESS; i++) {
        negotiate(0, query);
        sse_open(0, query, &stream[i]);
    }
    negotiate(0, query);
    request(0, "GET", "/sessionHub", query, "", &last);
    settle();
    assert_int_equal(last.status, 429);
    assert_string_equal(last.retry_after, "2");
}

// ---- long polling

static void test_long_polling(void **state) {
    (void)state;
    static struct http_exchange exchange;
    char query[QUERY];
    negotiate(0, query);
    poll_open(0, query);
    assert_int_equal(ask(0, "POST", query, HELLO), 200);
    poll(0, query, &exchange); // what was there before the poll
    expect_polled(&exchange, 200, EMPTY_JSON);
    poll(0, query, &exchange);
    assert_int_equal(exchange.replies, 0);
    assert_int_equal(ask(0, "POST", query, REGISTER("known")), 200);
    expect_polled(&exchange, 200, COMPLETED);
    send_event(1, "E", "[1]");
    send_event(1, "E", "[2]");
    poll(0, query, &exchange);
    expect_polled(&exchange, 200, EVENT("E", "[1]") EVENT("E", "[2]"));
    poll(0, query, &exchange);
    pass(15);
    expect_polled(&exchange, 200, "{\"type\":6}|");
    poll(0, query, &exchange);
    assert_int_equal(ask(0, "DELETE", query, ""), 202);
    expect_polled(&exchange, 204, "");
    pass(1);
    expect_said("back:known left:known ");
    poll(0, query, &exchange);
    assert_int_equal(exchange.status, 404);
    assert_int_equal(ask(0, "DELETE", query, ""), 404);
}

// Its clients send no pings: polls are enough.
static void test_long_polling_in_silence(void **state) {
    (void)state;
    struct http_exchange exchange;
    char query[QUERY];
    negotiate(0, query);
    poll_open(0, query);
    ask(0, "POST", query, HELLO);
    poll(0, query, &exchange);
    expect_polled(&exchange, 200, EMPTY_JSON);
    for (int i = 0; i < 8; i++) {
        poll(i % 2, query, &exchange);
        pass(15);
        expect_polled(&exchange, 200, "{\"type\":6}|");
    }
    assert_int_equal(hub_connections(t.hub[0]), 1);
}

static void test_long_polling_across_nodes(void **state) {
    (void)state;
    static struct http_exchange exchange;
    char query[QUERY];
    negotiate(1, query);
    poll_open(0, query);
    assert_int_equal(ask(1, "POST", query, HELLO), 200);
    poll(1, query, &exchange);
    expect_polled(&exchange, 200, EMPTY_JSON);
    poll(1, query, &exchange);
    assert_int_equal(exchange.replies, 0);
    assert_int_equal(ask(0, "POST", query, REGISTER("known")), 200);
    expect_polled(&exchange, 200, COMPLETED);
    poll(1, query, &exchange);
    send_event(0, "E", "[1]");
    expect_polled(&exchange, 200, EVENT("E", "[1]"));
    poll(0, query, &exchange);
    send_event(1, "E", "[2]");
    expect_polled(&exchange, 200, EVENT("E", "[2]"));
    poll(1, query, &exchange);
    assert_int_equal(ask(1, "DELETE", query, ""), 202);
    expect_polled(&exchange, 204, "");
    assert_int_equal(hub_connections(t.hub[1]), 0);
    assert_int_equal(slot_count(t.hub[1]->relays), 0);
}

// With other nodes about, a poll that comes while Redis is away is no connection of its own.
static void test_long_polling_in_an_outage(void **state) {
    (void)state;
    static struct http_exchange exchange;
    char query[QUERY], alone[QUERY];
    negotiate(0, alone);
    redis_fake.down = true;
    poll_open(0, alone); // nobody else is known yet
    redis_comes_back();
    negotiate(0, query);
    poll_open(0, query);
    ask(1, "POST", query, HELLO REGISTER("known"));
    poll(1, query, &exchange);
    expect_polled(&exchange, 200, EMPTY_JSON COMPLETED);
    redis_fake.down = true;
    for (int i = 0; i < 3; i++) {
        poll(1, query, &exchange);
        assert_int_equal(exchange.replies, 0);
        pass(1);
        expect_polled(&exchange, 200, "");
    }
    redis_fake.down = false;
    redis_fake.fail_with = -ETIMEDOUT;
    poll(1, query, &exchange);
    redis_fake.fail_with = 0;
    assert_int_equal(exchange.replies, 0);
    client_leaves(&exchange);
    redis_comes_back();
    poll(1, query, &exchange);
    assert_int_equal(exchange.replies, 0);
    send_event(0, "E", "[1]");
    expect_polled(&exchange, 200, EVENT("E", "[1]"));
    assert_int_equal(hub_connections(t.hub[1]), 0);
    assert_int_equal(slot_count(t.hub[1]->relays), 0);
}

static void test_a_second_poll_takes_the_place_of_the_first(void **state) {
    (void)state;
    static struct http_exchange first, second, third;
    char query[QUERY];
    negotiate(0, query);
    poll_open(0, query);
    poll(0, query, &first);
    poll(1, query, &second);
    expect_polled(&first, 204, "");
    poll(0, query, &third);
    settle();
    expect_polled(&second, 204, "");
    ask(0, "POST", query, HELLO);
    expect_polled(&third, 200, EMPTY_JSON);
}

static void test_client_of_a_poll_leaves(void **state) {
    (void)state;
    static struct http_exchange exchange;
    char query[QUERY];
    for (int node = 0; node < NODES; node++) {
        negotiate(0, query);
        poll_open(0, query);
        ask(0, "POST", query, HELLO REGISTER("known"));
        poll(node, query, &exchange);
        assert_non_null(strstr(exchange.body, "{}"));
        poll(node, query, &exchange);
        client_leaves(&exchange);
        settle();
        assert_int_equal(exchange.replies, 1);
        // Nothing is lost: what comes now waits for the next poll.
        send_event(0, "E", node ? "[1]" : "[2]");
        poll(node, query, &exchange);
        expect_polled(&exchange, 200, node ? EVENT("E", "[1]") : EVENT("E", "[2]"));
        desk.said[0] = '\0';
        pass(14);
        expect_said("");
        pass(2);
        expect_said("left:known ");
        assert_int_equal(hub_connections(t.hub[0]), 0);
    }
}

static void test_a_goodbye_waits_for_its_poll(void **state) {
    (void)state;
    static struct http_exchange exchange;
    char query[QUERY];
    negotiate(0, query);
    poll_open(0, query);
    ask(0, "POST", query, HELLO);
    poll(0, query, &exchange);
    ask(0, "POST", query, "nonsense\x1e");
    pass(2);
    poll(0, query, &exchange);
    assert_int_equal(exchange.status, 200);
    assert_non_null(strstr(exchange.body, "\"allowReconnect\":false"));
    poll(0, query, &exchange);
    assert_int_equal(exchange.status, 204);
    pass(1);
    assert_int_equal(hub_connections(t.hub[0]), 0);
}

static void test_what_a_client_does_not_fetch_is_bounded(void **state) {
    (void)state;
    char query[QUERY], args[8200];
    negotiate(0, query);
    poll_open(0, query);
    ask(0, "POST", query, HELLO REGISTER("known"));
    for (int i = 0; i < HUB_OUT_MAX / 8192 + 1; i++) {
        snprintf(args, sizeof args, "[\"%08180d\"]", i);
        send_event(0, "E", args);
    }
    pass(1);
    expect_said("back:known left:known ");
}

// ---- the end

static void test_drain(void **state) {
    (void)state;
    static struct http_exchange stream, poll_exchange;
    struct http_exchange late = {0};
    char stream_query[QUERY], poll_query[QUERY], unused[QUERY];
    negotiate(0, stream_query);
    negotiate(0, poll_query);
    negotiate(0, unused);
    sse_open(0, stream_query, &stream);
    ask(0, "POST", stream_query, HELLO);
    taken(stream.body);
    poll_open(0, poll_query);
    ask(0, "POST", poll_query, HELLO);
    poll(0, poll_query, &poll_exchange);
    poll(0, poll_query, &poll_exchange);
    hub_drain(t.hub[0]);
    assert_string_equal(taken(stream.body), "data: {\"type\":7,\"allowReconnect\":true}|\r\n\r\n");
    assert_true(stream.stream_ended);
    expect_polled(&poll_exchange, 200, "{\"type\":7,\"allowReconnect\":true}|");
    request(0, "POST", "/sessionHub/negotiate", "negotiateVersion=1", "", &late);
    assert_int_equal(late.status, 503);
    assert_string_equal(late.retry_after, "2");
    late = (struct http_exchange){.accept = "text/event-stream"};
    request(0, "GET", "/sessionHub", unused, "", &late);
    assert_int_equal(late.status, 503);
    poll_open(1, unused); // the other node takes it
}

static void test_close_with_requests_under_way(void **state) {
    (void)state;
    struct http_exchange waiting = {0}, relayed = {0};
    char query[QUERY];
    unsigned closed = 0;
    negotiate(0, query);
    poll_open(0, query);
    poll(1, query, &waiting);
    request(1, "POST", "/sessionHub", query, HELLO, &relayed);
    hub_close(t.hub[1], on_closed, &closed);
    assert_int_equal(waiting.status, 503);
    assert_int_equal(relayed.status, 503);
    uv_run(&t.loop, UV_RUN_NOWAIT);
    assert_int_equal(closed, 0); // the script's answer is still to come
    settle();
    assert_int_equal(closed, 1);
    struct hub_config config = t.hub[0]->config;
    config.events = &desk_events;
    assert_int_equal(hub_new(&t.hub[1], &config), 0); // for the teardown
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_NODES(test_negotiate_version_1),
        WITH_NODES(test_negotiate_version_0),
        WITH_NODES(test_ids_that_are_not_ours),
        WITH_NODES(test_sse),
        WITH_NODES(test_sse_client_leaves),
        WITH_NODES(test_sse_id_is_good_for_one_connection),
        WITH_NODES(test_sse_posts_come_to_another_node),
        WITH_NODES(test_sse_client_left_before_it_began),
        WITH_NODES(test_sse_too_many),
        WITH_NODES(test_long_polling),
        WITH_NODES(test_long_polling_in_silence),
        WITH_NODES(test_long_polling_across_nodes),
        WITH_NODES(test_long_polling_in_an_outage),
        WITH_NODES(test_a_second_poll_takes_the_place_of_the_first),
        WITH_NODES(test_client_of_a_poll_leaves),
        WITH_NODES(test_a_goodbye_waits_for_its_poll),
        WITH_NODES(test_what_a_client_does_not_fetch_is_bounded),
        WITH_NODES(test_drain),
        WITH_NODES(test_close_with_requests_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
