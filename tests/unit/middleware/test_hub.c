// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/middleware/hub_fixture.h"

// ---- records of a connection

static void test_handshake(void **state) {
    (void)state;
    struct ws ws;
    assert_int_equal(ws_connect_from(0, &ws, "", "192.0.2.1"), 0);
    ws_say(&ws, "{\"protocol\":\"js");
    assert_string_equal(taken(ws.text), "");
    ws_say(&ws, "on\",\"version\":1}\x1e{\"type\":6}\x1e");
    assert_string_equal(taken(ws.text), "{}|");
    assert_false(ws.closed);
    ws_gone(&ws);
}

static void test_handshake_refused(void **state) {
    (void)state;
    struct ws ws;
    assert_int_equal(ws_connect_from(0, &ws, "", "192.0.2.1"), 0);
    ws_say(&ws, "{\"protocol\":\"messagepack\",\"version\":1}\x1e" REGISTER("known"));
    assert_string_equal(taken(ws.text), "{\"error\":\"The protocol 'messagepack' is not supported.\"}|");
    assert_true(ws.closed);
    assert_int_equal(desk.asked, 0);
    ws_gone(&ws);
}

static void test_what_is_answered_with_an_error(void **state) {
    (void)state;
    static const struct {
        const char *record, *answer;
    } cases[] = {
        {"{\"type\":1,\"invocationId\":\"7\",\"target\":\"Nope\",\"arguments\":[]}\x1e",
         "{\"type\":3,\"invocationId\":\"7\",\"error\":\"Unknown hub method 'Nope'.\"}|"},
        {"{\"type\":4,\"invocationId\":\"s\",\"target\":\"Register\",\"arguments\":[\"known\"]}\x1e",
         "{\"type\":3,\"invocationId\":\"s\",\"error\":\"Unknown hub method 'Register'.\"}|"},
        {"{\"type\":1,\"target\":\"Nope\",\"arguments\":[]}\x1e", ""},
        {"{\"type\":5,\"invocationId\":\"s\"}\x1e{\"type\":2,\"invocationId\":\"s\",\"item\":1}\x1e", ""},
        {"{\"type\":9}\x1e", ""},
        {REGISTER("unknown"), "{\"type\":3,\"invocationId\":\"0\",\"error\":\"The request is not known.\"}|"},
    };
    struct ws ws;
    ws_open(0, &ws);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ws_say(&ws, cases[i].record);
        assert_string_equal(taken(ws.text), cases[i].answer);
        assert_false(ws.closed);
    }
    expect_said("");
    ws_gone(&ws);
}

static void test_arguments_of_register(void **state) {
    (void)state;
    static const char *const bad[] = {"", "1", "null", "\"a\",\"b\"", "\"\"", "\"a\\u0007\"", "[\"a\"]"};
    char record[256];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ws ws;
        ws_open(0, &ws);
        snprintf(record, sizeof record,
                 "{\"type\":1,\"invocationId\":\"1\",\"target\":\"Register\",\"arguments\":[%s]}\x1e",
                 bad[i]);
        ws_say(&ws, record);
        assert_non_null(strstr(ws.text, "Register takes one argument"));
        ws_gone(&ws);
    }
    assert_int_equal(desk.asked, 0);
}

static void test_what_closes_a_connection(void **state) {
    (void)state;
    static const struct {
        const char *record, *answer;
    } cases[] = {
        {"nonsense\x1e", "{\"type\":7,\"error\":\"A message is a JSON object, nested at most 16 "
                         "deep.\",\"allowReconnect\":false}|"},
        {"{\"type\":1,\"target\":\"Register\",\"arguments\":\"known\"}\x1e",
         "{\"type\":7,\"error\":\"An invocation needs an array of arguments.\",\"allowReconnect\":false}|"},
        {"{\"type\":7}\x1e" REGISTER("known"), ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ws ws;
        ws_open(0, &ws);
        ws_say(&ws, cases[i].record);
        assert_string_equal(taken(ws.text), cases[i].answer);
        assert_true(ws.closed);
        assert_int_equal(ws.code, 1000);
        ws_gone(&ws);
    }
    assert_int_equal(desk.asked, 0);
}

static void test_a_record_too_long(void **state) {
    (void)state;
    struct ws ws;
    char *text = malloc(SIGNALR_RECORD_MAX + 2);
    assert_non_null(text);
    memset(text, 'x', SIGNALR_RECORD_MAX + 1);
    text[SIGNALR_RECORD_MAX + 1] = '\0';
    ws_open(0, &ws);
    ws_say(&ws, text);
    assert_string_equal(taken(ws.text),
                        "{\"type\":7,\"error\":\"The message is too long.\",\"allowReconnect\":false}|");
    ws_gone(&ws);
    free(text);
}

// ---- time

static void test_handshake_timeout(void **state) {
    (void)state;
    struct ws ws;
    assert_int_equal(ws_connect_from(0, &ws, "", "192.0.2.1"), 0);
    pass(14);
    assert_false(ws.closed);
    pass(1);
    assert_string_equal(taken(ws.text), "{\"error\":\"No handshake came in time.\"}|");
    assert_true(ws.closed);
    ws_gone(&ws);
}

static void test_pings_both_ways(void **state) {
    (void)state;
    struct ws ws;
    ws_open(0, &ws);
    for (int i = 0; i < 4; i++) {
        pass(14);
        assert_string_equal(taken(ws.text), "");
        pass(1);
        assert_string_equal(taken(ws.text), "{\"type\":6}|");
        ws_say(&ws, "{\"type\":6}\x1e");
    }
    pass(15);
    assert_string_equal(taken(ws.text), "{\"type\":6}|");
    pass(14);
    assert_false(ws.closed);
    pass(1);
    assert_string_equal(
        taken(ws.text),
        "{\"type\":7,\"error\":\"Nothing was heard of the client.\",\"allowReconnect\":true}|");
    assert_true(ws.closed);
    ws_gone(&ws);
}

// ---- Register and events

static void test_register_and_events(void **state) {
    (void)state;
    struct ws here, there;
    desk_replays("[[\"QueuePosition\",[{\"position\":3}]]]");
    ws_open(0, &here);
    ws_say(&here,
           "{\"type\":1,\"invocationId\":\"0\",\"target\":\"register\",\"arguments\":[\"known\"]}\x1e");
    assert_string_equal(taken(here.text), COMPLETED EVENT("QueuePosition", "[{\"position\":3}]"));
    expect_said("back:known ");
    desk_replays("[]");
    ws_waiter(1, &there);
    expect_said("back:known "); // of the other node
    send_event(1, "SessionReady", "[{\"webSocketUrl\":\"wss://a\"}]");
    assert_string_equal(taken(here.text), EVENT("SessionReady", "[{\"webSocketUrl\":\"wss://a\"}]"));
    assert_string_equal(taken(there.text), EVENT("SessionReady", "[{\"webSocketUrl\":\"wss://a\"}]"));
    ws_gone(&here);
    expect_said("left:known ");
    ws_gone(&there);
    expect_said("left:known ");
    send_event(0, "SessionReady", "[1]"); // nobody is there: no error
}

static void test_register_without_an_answer(void **state) {
    (void)state;
    struct ws ws;
    ws_open(0, &ws);
    ws_say(&ws, "{\"type\":1,\"target\":\"Register\",\"arguments\":[\"known\"]}\x1e");
    assert_string_equal(taken(ws.text), "");
    send_event(0, "E", "[]");
    assert_string_equal(taken(ws.text), EVENT("E", "[]"));
    ws_gone(&ws);
}

static void test_other_ids_hear_nothing(void **state) {
    (void)state;
    struct ws ws;
    ws_waiter(0, &ws);
    json_t *args = json_array();
    assert_int_equal(hub_send(t.hub[0], "another", "E", args), 0);
    assert_int_equal(hub_send(t.hub[0], "know", "E", args), 0);
    assert_int_equal(hub_send(t.hub[0], "known\nx", "E", args), -EINVAL);
    assert_int_equal(hub_send(t.hub[0], "", "E", args), -EINVAL);
    json_decref(args);
    settle();
    assert_string_equal(taken(ws.text), "");
    ws_gone(&ws);
}

static void test_no_event_twice(void **state) {
    (void)state;
    struct ws ws;
    desk_replays("[[\"QueuePosition\",[{\"position\":3,\"etaSeconds\":9}]]]");
    ws_open(0, &ws);
    ws_say(&ws, REGISTER("known"));
    taken(ws.text);
    send_event(0, "QueuePosition", "[{\"etaSeconds\":9,\"position\":3}]"); // the order of fields is nothing
    assert_string_equal(taken(ws.text), "");
    send_event(1, "QueuePosition", "[{\"position\":2}]");
    send_event(0, "QueuePosition", "[{\"position\":2}]");
    assert_string_equal(taken(ws.text), EVENT("QueuePosition", "[{\"position\":2}]"));
    send_event(0, "SessionReady", "[{\"webSocketUrl\":\"u\"}]");
    send_event(0, "QueuePosition", "[{\"position\":2}]");
    send_event(1, "SessionReady", "[{\"webSocketUrl\":\"u\"}]");
    assert_string_equal(taken(ws.text), EVENT("SessionReady", "[{\"webSocketUrl\":\"u\"}]"));
    send_event(0, "QueuePosition", "[{\"position\":3}]");
    assert_string_equal(taken(ws.text), EVENT("QueuePosition", "[{\"position\":3}]"));
    ws_gone(&ws);
}

// What the desk said before something happened is old: it is asked again.
static void test_an_event_while_the_desk_is_asked(void **state) {
    (void)state;
    struct ws ws;
    desk.later = true;
    ws_open(0, &ws);
    ws_say(&ws, REGISTER("known"));
    send_event(1, "QueuePosition", "[{\"position\":1}]");
    desk_replays("[[\"QueuePosition\",[{\"position\":2}]]]");
    desk_answers(0);
    assert_int_equal(desk.asked, 2);
    assert_string_equal(taken(ws.text), "");
    desk_replays("[[\"QueuePosition\",[{\"position\":1}]]]");
    desk_answers(0);
    assert_string_equal(taken(ws.text), COMPLETED EVENT("QueuePosition", "[{\"position\":1}]"));
    assert_null(desk.done);
    ws_gone(&ws);
}

static void test_the_desk_is_not_asked_for_ever(void **state) {
    (void)state;
    struct ws ws;
    desk.later = true;
    ws_open(0, &ws);
    ws_say(&ws, REGISTER("known"));
    for (int i = 0; i < HUB_QUERY_TRIES; i++) {
        send_event(1, "E", i % 2 ? "[1]" : "[2]");
        desk_answers(0);
    }
    assert_int_equal(desk.asked, HUB_QUERY_TRIES);
    assert_string_equal(taken(ws.text), COMPLETED);
    ws_gone(&ws);
}

static void test_two_connections_for_one_id(void **state) {
    (void)state;
    struct ws first, second;
    ws_waiter(0, &first);
    ws_waiter(0, &second);
    expect_said("back:known ");
    send_event(0, "E", "[1]");
    assert_string_equal(taken(first.text), EVENT("E", "[1]"));
    assert_string_equal(taken(second.text), EVENT("E", "[1]"));
    ws_gone(&first);
    expect_said("");
    ws_gone(&second);
    expect_said("left:known ");
    ws_waiter(0, &first);
    expect_said("back:known ");
    ws_gone(&first);
}

static void test_left_while_the_desk_is_asked(void **state) {
    (void)state;
    struct ws ws;
    desk.later = true;
    ws_open(0, &ws);
    ws_say(&ws, REGISTER("known"));
    ws_gone(&ws);
    desk_answers(0);
    expect_said("");
}

static void test_the_desk_cannot_tell_now(void **state) {
    (void)state;
    struct ws ws;
    desk.err = -ENOTCONN;
    ws_open(0, &ws);
    ws_say(&ws, REGISTER("known"));
    assert_non_null(strstr(ws.text, "Please try again."));
    taken(ws.text);
    desk.err = 0;
    ws_say(&ws, REGISTER("known"));
    assert_string_equal(taken(ws.text), COMPLETED);
    ws_say(&ws, REGISTER("known")); // once more does no harm
    assert_string_equal(taken(ws.text), COMPLETED);
    expect_said("back:known ");
    ws_gone(&ws);
}

static void test_the_desk_does_not_answer(void **state) {
    (void)state;
    struct ws ws;
    desk.later = true;
    ws_open(0, &ws);
    ws_say(&ws, REGISTER("known"));
    pass(10);
    assert_non_null(strstr(ws.text, "Please try again."));
    desk_answers(0); // too late
    expect_said("");
    ws_gone(&ws);
}

// ---- Redis goes and comes back

static void test_an_outage(void **state) {
    (void)state;
    struct ws ws;
    ws_waiter(0, &ws);
    desk.asked = 0;
    redis_fake.down = true;
    json_t *args = json_array();
    assert_int_equal(hub_send(t.hub[1], "known", "E", args), -ENOTCONN);
    json_decref(args);
    desk_replays("[[\"E\",[]]]");
    redis_comes_back();
    assert_int_equal(desk.asked, 1);
    assert_string_equal(taken(ws.text), EVENT("E", "[]"));
    redis_comes_back();
    assert_string_equal(taken(ws.text), ""); // not a second time
    expect_said("back:known ");
    ws_gone(&ws);
}

static void test_an_id_lost_in_an_outage(void **state) {
    (void)state;
    struct ws ws;
    ws_waiter(0, &ws);
    expect_said("back:known ");
    desk.err = -ENOENT;
    desk_replays("[[\"E\",[]]]");
    redis_comes_back();
    assert_string_equal(
        taken(ws.text),
        EVENT(
            "E",
            "[]") "{\"type\":7,\"error\":\"The request is not known any more.\",\"allowReconnect\":false}|");
    pass(1);
    expect_said("left:known ");
    ws_gone(&ws);
}

static void test_the_desk_is_asked_again_after_an_outage(void **state) {
    (void)state;
    struct ws ws;
    ws_waiter(0, &ws);
    desk.err = -ETIMEDOUT;
    redis_comes_back();
    desk.err = 0;
    desk_replays("[[\"E\",[]]]");
    pass(2);
    assert_string_equal(taken(ws.text), "");
    pass(1);
    assert_string_equal(taken(ws.text), EVENT("E", "[]"));
    ws_gone(&ws);
}

static void test_register_before_redis_is_there(void **state) {
    (void)state;
    struct ws ws;
    t.hub[0]->listening = false;
    ws_open(0, &ws);
    ws_say(&ws, REGISTER("known"));
    assert_int_equal(desk.asked, 0);
    redis_comes_back();
    assert_string_equal(taken(ws.text), COMPLETED);
    ws_gone(&ws);
}

// ---- limits

static void test_connections_are_limited(void **state) {
    (void)state;
    struct ws ws[MAX_CONNECTIONS + 1];
    char address[32];
    for (int i = 0; i < PER_ADDRESS; i++)
        assert_int_equal(ws_connect_from(0, &ws[i], "", "2001:db8::1"), 0);
    // One customer has a whole /64.
    assert_int_equal(ws_connect_from(0, &ws[PER_ADDRESS], "", "2001:db8::2"), 429);
    for (int i = PER_ADDRESS; i < MAX_CONNECTIONS; i++) {
        snprintf(address, sizeof address, "192.0.2.%d", i);
        assert_int_equal(ws_connect_from(0, &ws[i], "", address), 0);
    }
    assert_int_equal(ws_connect_from(0, &ws[MAX_CONNECTIONS], "", "192.0.2.99"), 503);
    assert_int_equal(hub_connections(t.hub[0]), MAX_CONNECTIONS);
    ws_gone(&ws[0]);
    assert_int_equal(ws_connect_from(0, &ws[0], "", "2001:db8::3"), 0);
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        ws_gone(&ws[i]);
    assert_int_equal(hub_connections(t.hub[0]), 0);
    assert_int_equal(t.hub[0]->address_count, 6);
    pass(1);
    assert_int_equal(t.hub[0]->address_count, 0);
}

static void test_messages_are_limited(void **state) {
    (void)state;
    struct ws ws;
    ws_open(0, &ws);
    for (int i = 0; i < HUB_MESSAGE_BURST; i++)
        ws_say(&ws, "{\"type\":6}\x1e");
    assert_false(ws.closed);
    pass(1);
    for (int i = 0; i < HUB_MESSAGES_PER_S; i++)
        ws_say(&ws, "{\"type\":6}\x1e");
    assert_false(ws.closed);
    ws_say(&ws, "{\"type\":6}\x1e");
    assert_true(ws.closed);
    assert_non_null(strstr(ws.text, "Too many messages."));
    ws_gone(&ws);
}

static void test_registrations_of_a_connection_are_limited(void **state) {
    (void)state;
    struct ws ws;
    ws_open(0, &ws);
    for (int i = 0; i < HUB_REGISTER_BURST; i++)
        ws_say(&ws, REGISTER("known"));
    taken(ws.text);
    ws_say(&ws, REGISTER("known"));
    assert_non_null(strstr(ws.text, "Too many registrations."));
    taken(ws.text);
    pass(1);
    ws_say(&ws, REGISTER("known"));
    assert_string_equal(taken(ws.text), COMPLETED);
    ws_gone(&ws);
}

static void test_guesses_of_an_address_are_limited(void **state) {
    (void)state;
    unsigned allowed = HUB_ADDRESS_BURST / (1 + HUB_UNKNOWN_COST);
    for (unsigned i = 0; i < allowed + 1; i++) {
        struct ws ws;
        ws_open(0, &ws);
        ws_say(&ws, REGISTER("guess"));
        ws_gone(&ws);
    }
    desk.asked = 0;
    struct ws ws;
    for (int i = 0; i < 20; i++) {
        ws_open(0, &ws);
        ws_say(&ws, REGISTER("known"));
        if (strstr(ws.text, "Too many registrations."))
            break;
        ws_gone(&ws);
    }
    assert_non_null(strstr(ws.text, "Too many registrations."));
    ws_gone(&ws);
    // Another address is not concerned.
    assert_int_equal(ws_connect_from(0, &ws, "", "192.0.2.200"), 0);
    ws_say(&ws, HELLO REGISTER("known"));
    assert_string_equal(taken(ws.text), "{}|" COMPLETED);
    ws_gone(&ws);
}

static void test_ids_of_a_connection_are_limited(void **state) {
    (void)state;
    struct ws ws;
    char record[256];
    desk.later = true;
    ws_open(0, &ws);
    for (int i = 0; i < HUB_IDS_PER_CONN; i++) {
        snprintf(record, sizeof record,
                 "{\"type\":1,\"invocationId\":\"0\",\"target\":\"Register\",\"arguments\":[\"id%d\"]}\x1e",
                 i);
        ws_say(&ws, record);
        desk_answers(0);
        assert_string_equal(taken(ws.text), COMPLETED);
    }
    ws_say(&ws, REGISTER("known"));
    assert_non_null(strstr(ws.text, "Too many ids"));
    ws_gone(&ws);
    expect_said("back:id0 back:id1 back:id2 back:id3 left:id3 left:id2 left:id1 left:id0 ");
}

static void test_a_client_that_does_not_read(void **state) {
    (void)state;
    struct ws ws;
    ws_waiter(0, &ws);
    expect_said("back:known ");
    ws.full = true;
    send_event(0, "E", "[]");
    pass(1);
    expect_said("left:known ");
    ws_gone(&ws);
}

// ---- the end

static void test_drain(void **state) {
    (void)state;
    struct ws ws, late;
    ws_waiter(0, &ws);
    hub_drain(t.hub[0]);
    assert_string_equal(taken(ws.text), "{\"type\":7,\"allowReconnect\":true}|");
    assert_true(ws.closed);
    assert_int_equal(ws_connect_from(0, &late, "", "192.0.2.1"), 503);
    assert_int_equal(ws_connect_from(1, &late, "", "192.0.2.1"), 0);
    ws_gone(&late);
    ws_gone(&ws);
    expect_said("back:known left:known ");
}

// A question to the desk and a socket are still open when the hub is closed: it waits for both.
static void test_close_waits(void **state) {
    (void)state;
    struct ws ws;
    unsigned closed = 0;
    desk.later = true;
    ws_open(1, &ws);
    ws_say(&ws, REGISTER("known"));
    hub_done_fn *done = desk.done;
    hub_close(t.hub[1], on_closed, &closed);
    uv_run(&t.loop, UV_RUN_NOWAIT);
    assert_int_equal(closed, 0);
    done(0, NULL, 0, desk.done_arg);
    assert_int_equal(closed, 0);
    ws_gone(&ws);
    assert_int_equal(closed, 1);
    expect_said("");
    struct hub_config config = t.hub[0]->config;
    config.events = &desk_events;
    assert_int_equal(hub_new(&t.hub[1], &config), 0); // for the teardown
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_NODES(test_handshake),
        WITH_NODES(test_handshake_refused),
        WITH_NODES(test_what_is_answered_with_an_error),
        WITH_NODES(test_arguments_of_register),
        WITH_NODES(test_what_closes_a_connection),
        WITH_NODES(test_a_record_too_long),
        WITH_NODES(test_handshake_timeout),
        WITH_NODES(test_pings_both_ways),
        WITH_NODES(test_register_and_events),
        WITH_NODES(test_register_without_an_answer),
        WITH_NODES(test_other_ids_hear_nothing),
        WITH_NODES(test_no_event_twice),
        WITH_NODES(test_an_event_while_the_desk_is_asked),
        WITH_NODES(test_the_desk_is_not_asked_for_ever),
        WITH_NODES(test_two_connections_for_one_id),
        WITH_NODES(test_left_while_the_desk_is_asked),
        WITH_NODES(test_the_desk_cannot_tell_now),
        WITH_NODES(test_the_desk_does_not_answer),
        WITH_NODES(test_an_outage),
        WITH_NODES(test_an_id_lost_in_an_outage),
        WITH_NODES(test_the_desk_is_asked_again_after_an_outage),
        WITH_NODES(test_register_before_redis_is_there),
        WITH_NODES(test_connections_are_limited),
        WITH_NODES(test_messages_are_limited),
        WITH_NODES(test_registrations_of_a_connection_are_limited),
        WITH_NODES(test_guesses_of_an_address_are_limited),
        WITH_NODES(test_ids_of_a_connection_are_limited),
        WITH_NODES(test_a_client_that_does_not_read),
        WITH_NODES(test_drain),
        WITH_NODES(test_close_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
