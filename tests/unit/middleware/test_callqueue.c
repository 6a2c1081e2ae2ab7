// SPDX-License-Identifier: Apache-2.0
// The call queue's life against a real Redis, with a clock that the tests move.
#include "middleware/callqueue.h"
#include "tests/unit/middleware/redis_fixture.h"

enum { START_MS = 1000000000 };

static struct {
    uv_loop_t loop;
    struct redis_server_child server;
    struct redis *redis;
    struct callqueue *queue, *elsewhere; // of node-1 and node-2
    int64_t now_ms;
    bool done;
    int err;
    enum callqueue_verdict verdict;
    enum callqueue_claim claim;
    char business[32], number[32], campaign[32], region[32];
    int64_t swept;
    json_t *page;
} t;

static int64_t now_ms(void *arg) {
    (void)arg;
    return t.now_ms;
}

static void on_up(void *arg) {
    (void)arg;
}

static void on_down(const char *why, void *arg) {
    (void)why;
    (void)arg;
}

static int set_up_all(void **state) {
    (void)state;
    const struct redis_events events = {on_up, on_down, NULL};
    struct err_text err = {""};
    uv_loop_init(&t.loop);
    redis_child_start(&t.server, NULL);
    assert_int_equal(redis_new(&t.redis, &t.loop, t.server.target, &events, &err), 0);
    redis_until(&t.loop, redis_is_up, t.redis);
    return 0;
}

static int tear_down_all(void **state) {
    (void)state;
    redis_close_and_wait(t.redis, &t.loop);
    redis_child_end(&t.server);
    return uv_loop_close(&t.loop);
}

static int set_up(void **state) {
    (void)state;
    redis_ask(t.redis, &t.loop, "FLUSHALL");
    t.now_ms = START_MS;
    struct callqueue_config config = {
        .redis = t.redis, .node_id = "node-1", .region_id = "EU-DE", .now_ms = now_ms};
    assert_int_equal(callqueue_new(&t.queue, &config), 0);
    config.node_id = "node-2";
    return callqueue_new(&t.elsewhere, &config);
}

static int tear_down(void **state) {
    (void)state;
    callqueue_free(t.queue);
    callqueue_free(t.elsewhere);
    json_decref(t.page);
    t.page = NULL;
    return 0;
}

static void wait_done(void) {
    redis_until(&t.loop, redis_is_true, &t.done);
}

static void on_opened(int err, enum callqueue_verdict verdict, void *arg) {
    (void)arg;
    t.err = err;
    t.verdict = verdict;
    t.done = true;
}

static const struct callqueue_server both[] = {{"node-1", "EU-DE", "10.0.0.5", 5070},
                                               {"node-2", "EU-DE", "10.0.0.6", 5070}};

static const struct callqueue_ask plain = {.id = "q1",
                                           .business_id = "123",
                                           .number_id = "abc",
                                           .campaign_id = "camp",
                                           .region_id = "EU-DE",
                                           .call_id = "call-1@pbx",
                                           .from_tag = "tag-1",
                                           .cseq = 1,
                                           .caller = "+49301",
                                           .called = "+49302",
                                           .source = "203.0.113.7",
                                           .max_calls = 2,
                                           .servers = both,
                                           .server_count = 1};

static enum callqueue_verdict open_ask(const struct callqueue_ask *ask) {
    t.done = false;
    assert_int_equal(callqueue_open(t.queue, ask, on_opened, NULL), 0);
    wait_done();
    assert_int_equal(t.err, 0);
    return t.verdict;
}

static enum callqueue_verdict open_call(const char *id, const char *call_id) {
    struct callqueue_ask ask = plain;
    ask.id = id;
    ask.call_id = call_id;
    return open_ask(&ask);
}

static void on_claimed(int err, const struct callqueue_claimed *claimed, void *arg) {
    (void)arg;
    t.err = err;
    t.claim = claimed->claim;
    snprintf(t.business, sizeof t.business, "%s", claimed->business_id);
    snprintf(t.number, sizeof t.number, "%s", claimed->number_id);
    snprintf(t.campaign, sizeof t.campaign, "%s", claimed->campaign_id);
    snprintf(t.region, sizeof t.region, "%s", claimed->region_id);
    t.done = true;
}

static enum callqueue_claim claim_by(struct callqueue *queue, const char *id, bool authorized) {
    t.done = false;
    assert_int_equal(callqueue_claim(queue, id, authorized, on_claimed, NULL), 0);
    wait_done();
    assert_int_equal(t.err, 0);
    return t.claim;
}

static void on_swept(int64_t expired, void *arg) {
    (void)arg;
    t.swept = expired;
    t.done = true;
}

static int64_t sweep(void) {
    t.done = false;
    callqueue_sweep(t.queue, on_swept, NULL);
    wait_done();
    return t.swept;
}

static void on_page(int err, json_t *page, void *arg) {
    (void)arg;
    assert_int_equal(err, 0);
    json_decref(t.page);
    t.page = json_incref(page);
    t.done = true;
}

static json_t *entries(int status, size_t offset, size_t limit) {
    const struct callqueue_page page = {.status = status, .offset = offset, .limit = limit};
    t.done = false;
    assert_int_equal(callqueue_list(t.queue, &page, on_page, NULL), 0);
    wait_done();
    return json_object_get(t.page, "entries");
}

static const char *field(const char *id, const char *name) {
    json_t *list = entries(-1, 0, 100), *entry;
    size_t i;
    json_array_foreach(list, i, entry) {
        if (strcmp(json_string_value(json_object_get(entry, "id")), id) == 0)
            return json_string_value(json_object_get(entry, name));
    }
    return "(no entry)";
}

static int64_t leases(void) {
    return redis_ask(t.redis, &t.loop, "ZCARD callqueue:leases:123").integer;
}

static struct callqueue_lease lease_of(const char *id) {
    return (struct callqueue_lease){id, "123", "abc", "call-1@pbx", "+49301", "+49302", .answered = true};
}

// ---- the rules

static void a_call_goes_from_the_proxy_to_its_end(void **state) {
    (void)state;
    assert_int_equal(open_ask(&plain), CALLQUEUE_OK);
    assert_string_equal(field("q1", "status"), "ProcessedProxy");
    assert_int_equal(leases(), 1);
    t.now_ms += 1000;
    assert_int_equal(claim_by(t.queue, "q1", false), CALLQUEUE_CLAIMED);
    assert_string_equal(t.business, "123");
    assert_string_equal(t.number, "abc");
    assert_string_equal(t.campaign, "camp");
    assert_string_equal(t.region, "EU-DE");
    assert_string_equal(field("q1", "status"), "ProcessingBackend");
    assert_string_equal(field("q1", "node"), "node-1");
    t.now_ms += 1000;
    callqueue_answered(t.queue, "q1", "ses_9");
    assert_string_equal(field("q1", "status"), "ProcessedBackend");
    assert_string_equal(field("q1", "sessionId"), "ses_9");
    t.now_ms += 60000;
    callqueue_over(t.queue, "q1", CALLQUEUE_FAILED, "the caller hung up");
    assert_string_equal(field("q1", "status"), "ProcessedBackend"); // it was answered
    assert_string_equal(field("q1", "reason"), "the caller hung up");
    assert_int_equal(leases(), 0);
    json_t *log = json_object_get(json_array_get(entries(-1, 0, 1), 0), "log");
    assert_int_equal(json_array_size(log), 4);
    json_t *claimed = json_array_get(log, 1);
    assert_string_equal(json_string_value(json_object_get(claimed, "text")), "claimed by node-1");
    assert_int_equal(json_integer_value(json_object_get(claimed, "ms")), START_MS + 1000);
}

static void a_claim_is_for_one_and_once(void **state) {
    (void)state;
    open_ask(&plain);
    assert_int_equal(claim_by(t.queue, "none", false), CALLQUEUE_UNKNOWN);
    assert_int_equal(claim_by(t.elsewhere, "q1", false), CALLQUEUE_NOT_HERE);
    assert_int_equal(claim_by(t.queue, "q1", false), CALLQUEUE_CLAIMED);
    assert_int_equal(claim_by(t.queue, "q1", false), CALLQUEUE_NOT_READY);
    struct callqueue_ask ask = plain;
    ask.id = "q2";
    ask.call_id = "other";
    ask.server_count = 2;
    open_ask(&ask);
    assert_int_equal(claim_by(t.elsewhere, "q2", false), CALLQUEUE_CLAIMED);
    assert_int_equal(claim_by(t.queue, "q2", false), CALLQUEUE_NOT_READY);
}

static void the_region_must_be_the_servers(void **state) {
    (void)state;
    static const struct callqueue_server moved[] = {{"node-1", "US-EA", "10.0.0.5", 5070}};
    struct callqueue_ask ask = plain;
    ask.servers = moved;
    open_ask(&ask);
    assert_int_equal(claim_by(t.queue, "q1", false), CALLQUEUE_NOT_HERE);
}

static void a_number_with_a_login_is_claimed_after_it(void **state) {
    (void)state;
    struct callqueue_ask ask = plain;
    ask.has_login = true;
    open_ask(&ask);
    assert_int_equal(claim_by(t.queue, "q1", false), CALLQUEUE_LOGIN);
    assert_string_equal(t.number, "abc");
    assert_string_equal(field("q1", "status"), "ProcessedProxy");
    assert_int_equal(claim_by(t.queue, "q1", true), CALLQUEUE_CLAIMED);
}

static void a_call_id_is_taken_once_while_it_is_alive(void **state) {
    (void)state;
    assert_int_equal(open_call("q1", "same"), CALLQUEUE_OK);
    assert_int_equal(open_call("q2", "same"), CALLQUEUE_DUPLICATE);
    assert_string_equal(field("q2", "status"), "(no entry)");
    struct callqueue_ask ask = plain; // another number: another call
    ask.id = "q3";
    ask.call_id = "same";
    ask.number_id = "def";
    assert_int_equal(open_ask(&ask), CALLQUEUE_OK);
    callqueue_over(t.queue, "q1", CALLQUEUE_CANCELED, "the caller gave up");
    assert_int_equal(open_call("q4", "same"), CALLQUEUE_OK); // tried again after a failure
    claim_by(t.queue, "q4", false);
    callqueue_answered(t.queue, "q4", "ses");
    callqueue_over(t.queue, "q4", CALLQUEUE_FAILED, "hung up");
    assert_int_equal(open_call("q5", "same"), CALLQUEUE_DUPLICATE);
}

static void trunks_with_one_call_id_are_strangers(void **state) {
    (void)state;
    struct callqueue_ask ask = plain;
    assert_int_equal(open_ask(&ask), CALLQUEUE_OK);
    ask.id = "q2";
    ask.source = "198.51.100.1"; // the same request, forked on its way
    assert_int_equal(open_ask(&ask), CALLQUEUE_DUPLICATE);
    ask.from_tag = "tag-2";
    assert_int_equal(open_ask(&ask), CALLQUEUE_OK);
    assert_string_equal(field("q1", "status"), "ProcessedProxy");
    assert_int_equal(leases(), 2);
}

static void who_asks_again_gives_up_the_redirect_before(void **state) {
    (void)state;
    struct callqueue_ask ask = plain;
    ask.max_calls = 1;
    assert_int_equal(open_ask(&ask), CALLQUEUE_OK);
    ask.id = "q2";
    ask.cseq = 2;
    assert_int_equal(open_ask(&ask), CALLQUEUE_OK);
    assert_string_equal(field("q1", "status"), "Canceled");
    assert_string_equal(field("q1", "reason"), "the caller asked again");
    assert_int_equal(leases(), 1);
    assert_int_equal(claim_by(t.queue, "q1", false), CALLQUEUE_NOT_READY);
    assert_int_equal(claim_by(t.queue, "q2", false), CALLQUEUE_CLAIMED);
    ask.id = "q3";
    ask.cseq = 3; // a call that a node has is not touched, and keeps its place
    assert_int_equal(open_ask(&ask), CALLQUEUE_FULL);
    assert_string_equal(field("q2", "status"), "ProcessingBackend");
}

static void who_tries_a_dead_server_has_time_for_the_next(void **state) {
    (void)state;
    struct callqueue_ask ask = plain;
    ask.server_count = 2;
    open_ask(&ask);
    t.now_ms += CALLQUEUE_NEXT_MS + CALLQUEUE_LEASE_MS - 1;
    assert_int_equal(sweep(), 0);
    assert_int_equal(claim_by(t.elsewhere, "q1", false), CALLQUEUE_CLAIMED);
    t.now_ms += CALLQUEUE_LEASE_MS; // from now on its node must renew it
    assert_int_equal(sweep(), 1);
}

static void the_plan_is_counted_by_leases(void **state) {
    (void)state;
    assert_int_equal(open_call("q1", "c1"), CALLQUEUE_OK);
    assert_int_equal(open_call("q2", "c2"), CALLQUEUE_OK);
    assert_int_equal(open_call("q3", "c3"), CALLQUEUE_FULL);
    assert_string_equal(field("q3", "status"), "Failed");
    assert_int_equal(leases(), 2);
    callqueue_over(t.queue, "q1", CALLQUEUE_CANCELED, "gone");
    callqueue_over(t.queue, "q1", CALLQUEUE_FAILED, "twice"); // frees nothing more
    assert_string_equal(field("q1", "status"), "Canceled");
    assert_int_equal(open_call("q3b", "c3"), CALLQUEUE_OK);
    assert_int_equal(open_call("q4", "c4"), CALLQUEUE_FULL);
    struct callqueue_ask ask = plain;
    ask.id = "q5";
    ask.call_id = "c5";
    ask.max_calls = 0; // no limit
    assert_int_equal(open_ask(&ask), CALLQUEUE_OK);
}

static void a_lease_nobody_renews_is_free_again(void **state) {
    (void)state;
    open_call("q1", "c1");
    open_call("q2", "c2");
    claim_by(t.queue, "q2", false);
    t.now_ms += CALLQUEUE_LEASE_MS - 1;
    const struct callqueue_lease lease = lease_of("q2");
    callqueue_renew(t.queue, &lease, 1);
    assert_int_equal(open_call("q3", "c3"), CALLQUEUE_FULL);
    t.now_ms += 2;
    assert_int_equal(open_call("q4", "c4"), CALLQUEUE_OK); // that of q1 has run out, even before the sweep
    assert_int_equal(open_call("q5", "c5"), CALLQUEUE_FULL);
}

static void renewal_brings_back_what_redis_lost(void **state) {
    (void)state;
    redis_ask(t.redis, &t.loop, "FLUSHALL");
    struct callqueue_lease many[] = {lease_of("q1"), lease_of("q2")};
    many[1].answered = false;
    callqueue_renew(t.queue, many, 2);
    assert_int_equal(open_call("q3", "c3"), CALLQUEUE_FULL);
    assert_int_equal(leases(), 2);
    assert_string_equal(field("q1", "status"), "ProcessedBackend");
    assert_string_equal(field("q1", "node"), "node-1");
    assert_string_equal(field("q1", "caller"), "+49301");
    assert_string_equal(field("q2", "status"), "ProcessingBackend");
    callqueue_renew(t.queue, many, 2); // nothing more to bring back
    assert_int_equal(json_array_size(entries(-1, 0, 100)), 3);
    callqueue_answered(t.queue, "q2", "ses_2");
    callqueue_over(t.queue, "q1", CALLQUEUE_FAILED, "hung up");
    callqueue_over(t.queue, "q2", CALLQUEUE_FAILED, "hung up");
    assert_string_equal(field("q2", "reason"), "hung up");
    assert_int_equal(leases(), 0);
}

static void a_node_that_comes_back_has_its_calls_again(void **state) {
    (void)state;
    open_call("q1", "c1");
    open_call("q2", "c2");
    claim_by(t.queue, "q1", false);
    claim_by(t.queue, "q2", false);
    t.now_ms += CALLQUEUE_LEASE_MS;
    assert_int_equal(sweep(), 2);
    const struct callqueue_lease many[] = {lease_of("q1"), lease_of("q2")};
    callqueue_renew(t.queue, many, 2);
    assert_int_equal(leases(), 2);
    assert_string_equal(field("q1", "status"), "ProcessedBackend"); // answered meanwhile
    assert_null(field("q1", "reason"));
    callqueue_over(t.queue, "q1", CALLQUEUE_FAILED, "hung up");
    assert_string_equal(field("q1", "reason"), "hung up");
    assert_int_equal(leases(), 1);
}

static void many_leases_are_renewed(void **state) {
    (void)state;
    enum { COUNT = 250 };
    static char ids[COUNT][8];
    struct callqueue_lease many[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(ids[i], sizeof ids[i], "c%zu", i);
        many[i] = lease_of(ids[i]);
    }
    callqueue_renew(t.queue, many, COUNT);
    assert_int_equal(leases(), COUNT);
}

static void a_call_no_node_sees_expires(void **state) {
    (void)state;
    open_ask(&plain);
    t.now_ms += CALLQUEUE_LEASE_MS - 1;
    assert_int_equal(sweep(), 0);
    t.now_ms += 1;
    assert_int_equal(claim_by(t.queue, "q1", false), CALLQUEUE_NOT_READY); // too late, even before the sweep
    assert_int_equal(sweep(), 1);
    assert_int_equal(sweep(), 0);
    assert_string_equal(field("q1", "status"), "Expired");
    assert_int_equal(leases(), 0);
    assert_int_equal(claim_by(t.queue, "q1", false), CALLQUEUE_NOT_READY);
}

static void a_node_that_dies_is_noticed(void **state) {
    (void)state;
    open_call("q1", "c1");
    open_call("q2", "c2");
    claim_by(t.queue, "q1", false);
    claim_by(t.queue, "q2", false);
    callqueue_answered(t.queue, "q2", "ses");
    t.now_ms += CALLQUEUE_LEASE_MS;
    assert_int_equal(sweep(), 2);
    assert_string_equal(field("q1", "status"), "Failed");
    assert_string_equal(field("q2", "status"), "ProcessedBackend");
    assert_string_equal(field("q2", "reason"), "the media node that had the call is gone");
    assert_int_equal(leases(), 0);
}

static void one_sweep_ends_all_that_nobody_took(void **state) {
    (void)state;
    enum { COUNT = 2 * CALLQUEUE_SWEEP_MOST + 1 };
    struct callqueue_ask ask = plain;
    char id[16];
    ask.id = ask.call_id = id;
    ask.max_calls = 0;
    for (int i = 0; i < COUNT; i++) {
        snprintf(id, sizeof id, "q%d", i);
        open_ask(&ask);
    }
    t.now_ms += CALLQUEUE_LEASE_MS;
    assert_int_equal(sweep(), CALLQUEUE_SWEEP_MOST);
    // Commands are carried out in their order, and each step is sent when the one before is answered.
    for (int i = 0; i < 3; i++)
        redis_ask(t.redis, &t.loop, "PING");
    assert_int_equal(redis_ask(t.redis, &t.loop, "ZCARD callqueue:status:7").integer, COUNT);
    assert_int_equal(leases(), 0);
}

static void the_oldest_make_room_and_nothing_of_them_stays(void **state) {
    (void)state;
    open_call("q1", "c1");
    callqueue_over(t.queue, "q1", CALLQUEUE_CANCELED, "gone");
    open_call("q2", "c1");
    callqueue_over(t.queue, "q2", CALLQUEUE_CANCELED, "gone");
    const struct redis_arg fill[] = {
        redis_str("EVAL"),
        redis_str("for i = 3, 100000 do redis.call('ZADD', 'callqueue:index', ARGV[1] + i, 'f' .. i) end"),
        redis_str("0"), redis_str("1000000000")};
    assert_int_equal(redis_command(t.redis, fill, 4, NULL, NULL), 0);
    t.now_ms += 200000;
    open_call("q3", "c3");
    assert_int_equal(redis_ask(t.redis, &t.loop, "EXISTS callqueue:entry:q1 callqueue:log:q1").integer, 0);
    assert_int_equal(redis_ask(t.redis, &t.loop, "EXISTS callqueue:call:123:abc:c1:tag-1").integer,
                     1); // it is q2's
    open_call("q4", "c4");
    assert_int_equal(redis_ask(t.redis, &t.loop, "EXISTS callqueue:call:123:abc:c1:tag-1").integer, 0);
    assert_int_equal(redis_ask(t.redis, &t.loop, "ZCARD callqueue:status:6").integer, 0);
    assert_int_equal(redis_ask(t.redis, &t.loop, "ZCARD callqueue:index").integer, 100000);
}

static void what_has_no_server_is_refused_and_told(void **state) {
    (void)state;
    struct callqueue_ask ask = plain;
    ask.server_count = 0;
    ask.refusal = "No Available Servers";
    assert_int_equal(open_ask(&ask), CALLQUEUE_REFUSED);
    assert_string_equal(field("q1", "status"), "Failed");
    assert_string_equal(field("q1", "reason"), "No Available Servers");
    assert_int_equal(leases(), 0);
    assert_int_equal(open_call("q2", plain.call_id), CALLQUEUE_OK);
}

static void a_direct_call_is_claimed_from_the_start(void **state) {
    (void)state;
    struct callqueue_ask ask = plain;
    ask.direct = true;
    ask.server_count = 0;
    assert_int_equal(open_ask(&ask), CALLQUEUE_OK);
    assert_string_equal(field("q1", "status"), "ProcessingBackend");
    assert_string_equal(field("q1", "node"), "node-1");
    assert_int_equal(claim_by(t.queue, "q1", false), CALLQUEUE_NOT_READY);
    callqueue_note(t.queue, "q1", "ringing");
    callqueue_over(t.queue, "q1", CALLQUEUE_FAILED, "the agent cannot be reached");
    assert_string_equal(field("q1", "status"), "Failed");
}

static void the_list_is_paged_and_filtered_newest_first(void **state) {
    (void)state;
    for (int n = 1; n <= 7; n++) {
        const char id[] = {'q', (char)('0' + n), '\0'};
        struct callqueue_ask ask = plain;
        ask.id = ask.call_id = id;
        ask.max_calls = 0;
        t.now_ms += 10;
        open_ask(&ask);
        if (n % 2 == 0)
            callqueue_over(t.queue, id, CALLQUEUE_CANCELED, "gone");
    }
    json_t *list = entries(-1, 0, 3);
    assert_int_equal(json_array_size(list), 3);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "id")), "q7");
    assert_int_equal(json_integer_value(json_object_get(t.page, "total")), 7);
    list = entries(-1, 6, 3);
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "id")), "q1");
    list = entries(CALLQUEUE_CANCELED, 0, 100);
    assert_int_equal(json_array_size(list), 3);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "id")), "q6");
    assert_int_equal(json_array_size(entries(CALLQUEUE_EXPIRED, 0, 100)), 0);
    assert_int_equal(json_array_size(entries(CALLQUEUE_PROCESSED_PROXY, 0, 100)), 4);
}

static void entries_are_kept_for_a_day_and_their_logs_are_short(void **state) {
    (void)state;
    open_ask(&plain);
    for (int i = 0; i < 50; i++)
        callqueue_note(t.queue, "q1", "\xff once more");
    json_t *log = json_object_get(json_array_get(entries(-1, 0, 1), 0), "log");
    assert_int_equal(json_array_size(log), 1 + 32);
    const char *first = json_string_value(json_object_get(json_array_get(log, 0), "text"));
    assert_string_equal(first, "redirected by the proxy");
    callqueue_over(t.queue, "q1", CALLQUEUE_CANCELED, "gone");
    int64_t ttl_ms = redis_ask(t.redis, &t.loop, "PTTL callqueue:entry:q1").integer;
    assert_in_range(ttl_ms, 86000000, 86400000);
    assert_true(redis_ask(t.redis, &t.loop, "PTTL callqueue:log:q1").integer > 86000000);
    t.now_ms += 86400001;
    sweep();
    assert_int_equal(json_array_size(entries(-1, 0, 10)), 0);
    assert_int_equal(json_array_size(entries(CALLQUEUE_CANCELED, 0, 10)), 0);
    callqueue_note(t.queue, "unknown", "no log grows for what is not there");
    assert_int_equal(redis_ask(t.redis, &t.loop, "EXISTS callqueue:log:unknown").integer, 0);
}

static void the_clock_of_redis_serves_all_nodes(void **state) {
    (void)state;
    struct callqueue *queue;
    const struct callqueue_config config = {.redis = t.redis, .node_id = "node-1", .region_id = "EU-DE"};
    assert_int_equal(callqueue_new(&queue, &config), 0);
    t.done = false;
    assert_int_equal(callqueue_open(queue, &plain, on_opened, NULL), 0);
    wait_done();
    json_t *entry = json_array_get(entries(-1, 0, 1), 0);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t created_s = json_integer_value(json_object_get(entry, "createdMs")) / 1000;
    assert_in_range(created_s, now.tv_sec - 60, now.tv_sec + 1);
    callqueue_free(queue);
}

static void statuses_have_names_and_numbers(void **state) {
    (void)state;
    enum callqueue_status status = CALLQUEUE_QUEUED;
    assert_int_equal(callqueue_status_parse("Expired", &status), 0);
    assert_int_equal(status, 7);
    assert_int_equal(callqueue_status_parse("5", &status), 0);
    assert_int_equal(status, CALLQUEUE_FAILED);
    assert_int_equal(callqueue_status_parse("8", &status), -EINVAL);
    assert_int_equal(callqueue_status_parse("", &status), -EINVAL);
}

int main(void) {
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        RULE(a_call_goes_from_the_proxy_to_its_end),
        RULE(a_claim_is_for_one_and_once),
        RULE(the_region_must_be_the_servers),
        RULE(a_number_with_a_login_is_claimed_after_it),
        RULE(a_call_id_is_taken_once_while_it_is_alive),
        RULE(trunks_with_one_call_id_are_strangers),
        RULE(who_asks_again_gives_up_the_redirect_before),
        RULE(who_tries_a_dead_server_has_time_for_the_next),
        RULE(the_plan_is_counted_by_leases),
        RULE(a_lease_nobody_renews_is_free_again),
        RULE(renewal_brings_back_what_redis_lost),
        RULE(a_node_that_comes_back_has_its_calls_again),
        RULE(many_leases_are_renewed),
        RULE(a_call_no_node_sees_expires),
        RULE(a_node_that_dies_is_noticed),
        RULE(one_sweep_ends_all_that_nobody_took),
        RULE(the_oldest_make_room_and_nothing_of_them_stays),
        RULE(what_has_no_server_is_refused_and_told),
        RULE(a_direct_call_is_claimed_from_the_start),
        RULE(the_list_is_paged_and_filtered_newest_first),
        RULE(entries_are_kept_for_a_day_and_their_logs_are_short),
        RULE(the_clock_of_redis_serves_all_nodes),
        RULE(statuses_have_names_and_numbers),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
