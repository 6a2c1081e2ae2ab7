// SPDX-License-Identifier: Apache-2.0
// The desk: who gets a session, who waits and what he is told, and that whoever comes to nothing gives everything back.
#include "tests/unit/middleware/desk_house.h"

// ---- admitted

static void a_session_here_ends_with_its_call(void **state) {
    (void)state;
    struct answer answer = asked_and_given(API_TRANSPORT_WEBRTC);
    assert_string_equal(answer.url, "wss://gw/ses_0");
    assert_int_equal(count("ZCARD slots:all"), 1);
    assert_int_equal(count("ZCARD ratelimit:leases:203.0.113.9"), 1);
    assert_int_equal(count("EXISTS slots:session:ses_0"), 1);
    assert_int_equal(slots_kept(t.desk->slots), 1);
    desk_session_over(t.desk, "ses_0");
    desk_session_over(t.desk, "ses_0");
    await_count("ZCARD slots:all", 0);
    expect_nothing_taken(1);
    assert_int_equal(slots_kept(t.desk->slots), 0);
    assert_int_equal(webhook("ses_0"), 0);
}

static void a_session_elsewhere_ends_by_the_webhook(void **state) {
    (void)state;
    struct answer answer = asked_and_given(API_TRANSPORT_WEBSOCKET);
    assert_string_equal(answer.url, "wss://p/0");
    assert_int_equal(slots_kept(t.desk->slots), 0);
    assert_int_equal(webhook("ses_7"), -ENOENT);
    assert_int_equal(webhook("ses_0"), 0);
    expect_nothing_taken(1);
    assert_int_equal(webhook("ses_0"), 0);
}

static void the_webhook_ends_what_is_renewed(void **state) {
    (void)state;
    asked_and_given(API_TRANSPORT_WEBRTC);
    assert_int_equal(webhook("ses_0"), 0);
    slots_renew(t.desk->slots);
    expect_nothing_taken(1);
    assert_int_equal(slots_kept(t.desk->slots), 0);
}

// ---- refused and failed

static void what_fails_gives_everything_back(void **state) {
    (void)state;
    struct answer answer;
    ask(&answer, API_TRANSPORT_WEBSOCKET);
    platform_says(no_region);
    await(&answer);
    assert_int_equal(answer.status, 500);
    expect_nothing_taken(0);
    static const struct {
        int err;
        unsigned status;
    } errs[] = {{-ENOSPC, 503}, {-EBUSY, 503}, {-EIO, 500}};
    for (size_t i = 0; i < sizeof errs / sizeof errs[0]; i++) {
        t.session_err = errs[i].err;
        ask(&answer, API_TRANSPORT_WEBRTC);
        platform_gives_a_session();
        await(&answer);
        assert_int_equal(answer.status, errs[i].status);
        assert_int_equal(answer.retry_after_s > 0, errs[i].status == 503);
        expect_nothing_taken(0);
    }
}

static void limits_of_the_address(void **state) {
    (void)state;
    struct answer answer;
    for (int i = 0; i < 5; i++) {
        asked_and_given(API_TRANSPORT_WEBRTC);
        desk_session_over(t.desk, t.session_id);
        await_count("ZCARD slots:all", 0);
    }
    ask(&answer, API_TRANSPORT_WEBRTC);
    await(&answer);
    assert_int_equal(answer.status, 429);
    assert_string_equal(answer.message, "Hourly rate limit exceeded.");
    assert_true(answer.retry_after_s > 0);
    expect_nothing_taken(5);
}

static void a_node_that_is_closed_takes_nothing(void **state) {
    (void)state;
    struct answer answer;
    t.closed = "Closed.";
    ask(&answer, API_TRANSPORT_WEBRTC);
    assert_true(answer.done);
    assert_int_equal(answer.status, 503);
    assert_string_equal(answer.message, "Closed.");
    assert_true(answer.retry_after_s > 0);
    expect_nothing_taken(0);
}

static void without_redis_nobody_is_admitted(void **state) {
    (void)state;
    struct answer answer, late;
    ask(&late, API_TRANSPORT_WEBRTC);
    redis_until(&t.loop, is_asked, NULL);
    redis_child_kill(&t.server);
    redis_until(&t.loop, redis_is_down, t.redis);
    ask(&answer, API_TRANSPORT_WEBRTC);
    await(&answer);
    assert_int_equal(answer.status, 503);
    assert_true(answer.retry_after_s > 0);
    // Whoever had a slot gets his session all the same, and a Redis that has lost everything is told of it.
    platform_gives_a_session();
    await(&late);
    assert_int_equal(late.status, 200);
    redis_child_run(&t.server);
    redis_until(&t.loop, redis_is_up, t.redis);
    await_count("ZCARD slots:all", 1);
    assert_int_equal(count("ZCARD ratelimit:leases:203.0.113.9"), 1);
}

// ---- queued

static void whoever_waits_is_told(void **state) {
    (void)state;
    asked_and_given(API_TRANSPORT_WEBRTC);
    struct answer first = queued(), second = queued(), third;
    assert_int_equal(first.position, 1);
    assert_int_equal(second.position, 2);
    assert_int_equal(strlen(first.request_id), 36);
    assert_true(first.retry_after_s > 0);
    ask(&third, API_TRANSPORT_WEBSOCKET);
    await(&third);
    assert_int_equal(third.status, 503);
    struct registered registered = registration(second.request_id);
    assert_string_equal(registered.target, "QueuePosition");
    assert_string_equal(registered.args, "[{\"position\":2,\"ahead\":1,\"etaSeconds\":null}]");
    assert_int_equal(registration("nobody").err, -ENOENT);
    comes(second.request_id);
    await_told(1);
    assert_string_equal(t.told[0].args, "[{\"position\":2,\"ahead\":1,\"etaSeconds\":null}]");
    // A slot is free: the first is served, the second moves up.
    desk_session_over(t.desk, "ses_0");
    platform_gives_a_session();
    await_told(3);
    size_t ready = strcmp(t.told[1].target, "SessionReady") == 0 ? 1 : 2;
    assert_string_equal(t.told[ready].id, first.request_id);
    assert_string_equal(t.told[ready].target, "SessionReady");
    assert_string_equal(t.told[ready].args, "[{\"webSocketUrl\":\"wss://p/1\"}]");
    assert_string_equal(t.told[3 - ready].id, second.request_id);
    assert_memory_equal(t.told[3 - ready].args, "[{\"position\":1,\"ahead\":0,", 25);
    registered = registration(first.request_id);
    assert_string_equal(registered.target, "SessionReady");
    assert_string_equal(registered.args, "[{\"webSocketUrl\":\"wss://p/1\"}]");
}

static void a_failure_is_told_and_takes_nothing(void **state) {
    (void)state;
    asked_and_given(API_TRANSPORT_WEBSOCKET);
    struct answer waiting = queued();
    assert_int_equal(webhook("ses_0"), 0);
    platform_says(no_region);
    await_told(1);
    assert_string_equal(t.told[0].id, waiting.request_id);
    assert_string_equal(t.told[0].target, "SessionFailed");
    assert_string_equal(t.told[0].args, queue_failed_args);
    expect_nothing_taken(1);
}

static void no_room_after_all_is_a_place_in_front(void **state) {
    (void)state;
    struct answer answer;
    ask(&answer, API_TRANSPORT_WEBRTC);
    platform_says(no_room);
    await(&answer);
    assert_int_equal(answer.status, 202);
    assert_int_equal(answer.position, 1);
    assert_int_equal(count("ZCARD ratelimit:hourly_sliding:203.0.113.9"), 1);
    // Tried again after a pause, by itself; and again.
    platform_says(no_room);
    await_count("ZCARD queue:waiting", 1);
    platform_gives_a_session();
    await_told(1);
    assert_string_equal(t.told[0].args, "[{\"webSocketUrl\":\"wss://gw/ses_0\",\"iceServers\":[]}]");
    assert_int_equal(t.asked_count, 3);
    assert_int_equal(slots_kept(t.desk->slots), 1);
    desk_session_over(t.desk, "ses_0");
    await_count("ZCARD slots:all", 0);
    expect_nothing_taken(1);
}

static void what_cannot_be_read_blocks_nobody(void **state) {
    (void)state;
    asked_and_given(API_TRANSPORT_WEBSOCKET);
    struct answer poison = queued(), next = queued();
    char words[128];
    snprintf(words, sizeof words, "HSET queue:entry:%s text {\"schema\":99}", poison.request_id);
    redis_ask(t.redis, &t.loop, words);
    assert_int_equal(webhook("ses_0"), 0);
    platform_gives_a_session();
    await_told(2);
    assert_string_equal(t.told[0].id, poison.request_id);
    assert_string_equal(t.told[0].target, "SessionFailed");
    assert_string_equal(t.told[1].id, next.request_id);
    assert_string_equal(t.told[1].target, "SessionReady");
}

// Somebody else has taken over meanwhile: what this node made is nobody's, and its client hears nothing of it.
static void whoever_is_late_tells_nobody(void **state) {
    (void)state;
    struct answer answer;
    asked_and_given(API_TRANSPORT_WEBRTC);
    ask(&answer, API_TRANSPORT_WEBRTC);
    await(&answer);
    desk_session_over(t.desk, "ses_0");
    redis_until(&t.loop, is_asked, NULL);
    char words[128];
    snprintf(words, sizeof words, "HSET queue:entry:%s lease another", answer.request_id);
    redis_ask(t.redis, &t.loop, words);
    platform_gives_a_session();
    assert_int_equal(slots_kept(t.desk->slots), 1);
    await_count("ZCARD slots:all", 0);
    assert_int_equal(slots_kept(t.desk->slots), 0);
    assert_int_equal(t.told_count, 0);
}

static void who_leaves_gets_a_deadline(void **state) {
    (void)state;
    asked_and_given(API_TRANSPORT_WEBRTC);
    struct answer waiting = queued();
    registration(waiting.request_id);
    comes(waiting.request_id);
    await_told(1);
    assert_int_equal(waiters_count(t.desk->waiters), 1);
    char words[128];
    snprintf(words, sizeof words, "ZCOUNT queue:presence -inf %lld", (long long)(time(NULL) + 20) * 1000);
    assert_int_equal(count(words), 0);
    struct hub_events events;
    desk_hub_events(t.desk, &events);
    events.on_left(waiting.request_id, events.arg);
    assert_int_equal(waiters_count(t.desk->waiters), 0);
    assert_int_equal(count(words), 1);
}

static bool nobody_waits(void *arg) {
    (void)arg;
    return waiters_count(t.desk->waiters) == 0;
}

// Redis has lost everything: whoever waits is not left waiting.
static void who_waits_for_nothing_is_told(void **state) {
    (void)state;
    asked_and_given(API_TRANSPORT_WEBRTC);
    struct answer waiting = queued();
    comes(waiting.request_id);
    await_told(1);
    redis_ask(t.redis, &t.loop, "FLUSHALL");
    waiters_stir(t.desk->waiters);
    await_told(2);
    assert_string_equal(t.told[1].target, "SessionFailed");
    // The hub may find out at the same time, and hears what it is to say before it hangs up; later no more.
    struct registered registered = registration(waiting.request_id);
    assert_int_equal(registered.err, -ENOENT);
    assert_string_equal(registered.target, "SessionFailed");
    assert_string_equal(registered.args, queue_failed_args);
    waiters_stir(t.desk->waiters);
    redis_until(&t.loop, nobody_waits, NULL);
    assert_int_equal(t.told_count, 2);
    registered = registration(waiting.request_id);
    assert_int_equal(registered.err, -ENOENT);
    assert_string_equal(registered.target, "");
}

static void a_closing_node_puts_back_what_it_serves(void **state) {
    (void)state;
    asked_and_given(API_TRANSPORT_WEBSOCKET);
    queued();
    assert_int_equal(webhook("ses_0"), 0);
    redis_until(&t.loop, is_asked, NULL);
    t.closed = "Closed.";
    cancel_platform();
    await_count("ZCARD queue:waiting", 1);
    assert_int_equal(count("ZCARD queue:taken"), 0);
    assert_int_equal(count("ZCARD slots:all"), 0);
    assert_int_equal(t.told_count, 0);
}

// With requests in every stage on their way; the sanitizer sees what is left behind.
static void closing_answers_everybody(void **state) {
    (void)state;
    static struct answer at_platform, at_redis;
    ask(&at_platform, API_TRANSPORT_WEBRTC);
    redis_until(&t.loop, is_asked, NULL);
    ask(&at_redis, API_TRANSPORT_WEBRTC);
    tear_down(state);
    assert_true(at_platform.done);
    assert_int_equal(at_platform.status, 503);
    assert_true(at_redis.done);
    set_up(state);
}

// ---- telephones

static void on_agent(const struct initiate_result *result, void *arg) {
    struct answer *answer = arg;
    assert_false(answer->done);
    answer->done = true;
    answer->position = result->err;
    snprintf(answer->url, sizeof answer->url, "%s", result->url);
}

static struct answer call(const struct initiate_request *request, const char *key, const char *says) {
    struct answer answer = {.done = false};
    desk_call(t.desk, request, key, on_agent, &answer);
    if (says)
        platform_says(says);
    await(&answer);
    return answer;
}

static void a_telephone_call_takes_a_slot_and_never_waits(void **state) {
    (void)state;
    static const char yes[] =
        "{\"success\":true,\"data\":{\"sessionId\":\"ses_x\",\"sessionWebSocketURL\":\"wss://p/x\"}}";
    struct initiate_request request = request_of(API_TRANSPORT_WEBRTC);
    struct answer answer = call(&request, "call_1", yes);
    assert_int_equal(answer.position, 0);
    assert_string_equal(answer.url, "wss://p/x");
    assert_int_equal(t.sessions, 0);
    assert_int_equal(call(&request, "call_2", NULL).position, -EAGAIN);
    assert_int_equal(count("ZCARD slots:all"), 1);
    assert_int_equal(count("ZCARD queue:waiting"), 0);
    // Nor does it overtake: with somebody waiting it is busy, and the freed slot is his.
    struct answer waiting = queued();
    assert_int_equal(waiting.position, 1);
    assert_int_equal(webhook("ses_x"), 0);
    assert_int_equal(call(&request, "call_3", NULL).position, -EAGAIN);
    platform_gives_a_session();
    await_told(1);
    assert_int_equal(webhook("ses_0"), 0);
    assert_int_equal(call(&request, "call_4", no_room).position, -EAGAIN);
    assert_int_equal(call(&request, "call_5", no_region).position, -ENOENT);
    assert_int_equal(count("ZCARD slots:all"), 0);
    assert_int_equal(call(&request, "call_6", yes).position, 0);
    desk_session_over(t.desk, "call_6");
    await_count("ZCARD slots:all", 0);
    initiate_request_clear(&request);
}

static void a_reload_counts_at_once(void **state) {
    (void)state;
    asked_and_given(API_TRANSPORT_WEBSOCKET);
    struct answer waiting = queued();
    struct conf *next = read_conf(2);
    desk_set_conf(t.desk, next);
    conf_free(t.conf);
    t.conf = next;
    // The sweep finds the room.
    platform_gives_a_session();
    await_told(1);
    assert_string_equal(t.told[0].id, waiting.request_id);
}

static void on_observed(int err, const char *json, void *arg) {
    struct answer *answer = arg;
    assert_int_equal(err, 0);
    json_t *root = json_loads(json, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(root, "slots")), 1);
    assert_int_equal(json_integer_value(json_object_get(root, "waiting")), 1);
    assert_int_equal(json_object_size(json_object_get(root, "leases")), 1);
    assert_int_equal(json_object_size(json_object_get(root, "entries")), 1);
    json_decref(root);
    answer->done = true;
}

static void the_operator_sees_it(void **state) {
    (void)state;
    struct answer seen = {.done = false};
    asked_and_given(API_TRANSPORT_WEBSOCKET);
    queued();
    desk_observe(t.desk, on_observed, &seen);
    await(&seen);
}

int main(void) {
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        RULE(a_session_here_ends_with_its_call),
        RULE(a_session_elsewhere_ends_by_the_webhook),
        RULE(the_webhook_ends_what_is_renewed),
        RULE(what_fails_gives_everything_back),
        RULE(limits_of_the_address),
        RULE(a_node_that_is_closed_takes_nothing),
        RULE(without_redis_nobody_is_admitted),
        RULE(whoever_waits_is_told),
        RULE(a_failure_is_told_and_takes_nothing),
        RULE(no_room_after_all_is_a_place_in_front),
        RULE(what_cannot_be_read_blocks_nobody),
        RULE(whoever_is_late_tells_nobody),
        RULE(who_leaves_gets_a_deadline),
        RULE(who_waits_for_nothing_is_told),
        RULE(a_closing_node_puts_back_what_it_serves),
        RULE(closing_answers_everybody),
        RULE(a_telephone_call_takes_a_slot_and_never_waits),
        RULE(a_reload_counts_at_once),
        RULE(the_operator_sees_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
