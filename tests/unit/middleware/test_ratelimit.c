// SPDX-License-Identifier: Apache-2.0
// Limits of one address, in a real Redis. The clock is the test's: hours and days pass by moving it.
#include "middleware/ratelimit.h"

#include "gateway/core/metrics.h"
#include "tests/unit/middleware/redis_fixture.h"

enum { HOUR_MS = 3600000, DAY_MS = 86400000, LEASE_MS = 600000 };

static struct {
    uv_loop_t loop;
    struct redis_server_child server;
    struct redis *redis;
    struct ratelimit *ratelimit;
    struct conf *conf;
    int64_t now_ms;
    // Answers.
    unsigned done, ok, refused, failed;
    int err;
    struct ratelimit_answer answer;
    unsigned wanted;
} t;

static void limits(int concurrent, int hourly, int daily) {
    char text[512];
    struct conf_report report = {.out = NULL};
    struct conf *conf;
    int len =
        snprintf(text, sizeof text,
                 "{\"Security\":{\"RateLimitConcurrency\":%d,\"RateLimitHourly\":%d,\"RateLimitDaily\":%d,"
                 "\"RateLimitLeaseSeconds\":%d},\"Agent\":{\"Builtin\":\"echo\"}}",
                 concurrent, hourly, daily, LEASE_MS / 1000);
    assert_int_equal(conf_parse(&conf, "test", text, (size_t)len, NULL, &report), 0);
    if (t.ratelimit)
        ratelimit_set_conf(t.ratelimit, conf);
    conf_free(t.conf);
    t.conf = conf;
}

static void on_up(void *arg) {
    (void)arg;
}

static void on_down(const char *why, void *arg) {
    (void)why;
    (void)arg;
}

static int set_up(void **state) {
    (void)state;
    struct err_text err = {""};
    const struct redis_events events = {on_up, on_down, NULL};
    memset(&t, 0, sizeof t);
    uv_loop_init(&t.loop);
    redis_child_start(&t.server, NULL);
    assert_int_equal(redis_new(&t.redis, &t.loop, t.server.target, &events, &err), 0);
    redis_until(&t.loop, redis_is_up, t.redis);
    limits(1, 3, 5);
    t.now_ms = 1700000000000;
    return ratelimit_new(&t.ratelimit, t.conf, t.redis);
}

static int tear_down(void **state) {
    (void)state;
    redis_close_and_wait(t.redis, &t.loop);
    ratelimit_free(t.ratelimit);
    redis_child_end(&t.server);
    conf_free(t.conf);
    return uv_loop_close(&t.loop);
}

static void on_taken(int err, const struct ratelimit_answer *answer, void *arg) {
    assert_ptr_equal(arg, &t);
    assert_true((err != 0) == (answer == NULL));
    t.done++;
    t.err = err;
    t.failed += err != 0;
    t.answer = answer ? *answer : (struct ratelimit_answer){.verdict = RATELIMIT_OK};
    t.ok += answer && !answer->verdict;
    t.refused += answer && answer->verdict;
}

static bool enough(void *arg) {
    (void)arg;
    return t.done >= t.wanted;
}

static struct ratelimit_lease lease(const char *address, const char *id) {
    return (struct ratelimit_lease){.address = address, .id = id, .now_ms = t.now_ms};
}

static enum ratelimit_verdict take_from(const char *address, const char *id) {
    const struct ratelimit_lease wanted = lease(address, id);
    t.wanted = t.done + 1;
    assert_int_equal(ratelimit_take(t.ratelimit, &wanted, on_taken, &t), 0);
    redis_until(&t.loop, enough, NULL);
    assert_int_equal(t.err, 0);
    assert_true(t.answer.verdict ? t.answer.retry_after_s > 0 : t.answer.retry_after_s == 0);
    return t.answer.verdict;
}

static enum ratelimit_verdict take(const char *id) {
    return take_from("203.0.113.7", id);
}

static void release(const char *id) {
    assert_int_equal(ratelimit_release(t.ratelimit, "203.0.113.7", id), 0);
}

static void give_back(const char *id) {
    assert_int_equal(ratelimit_give_back(t.ratelimit, "203.0.113.7", id), 0);
}

static int64_t card(const char *name) {
    char words[128];
    snprintf(words, sizeof words, "ZCARD ratelimit:%s:203.0.113.7", name);
    return redis_ask(t.redis, &t.loop, words).integer;
}

static void concurrent(void **state) {
    (void)state;
    limits(2, 0, 0);
    assert_int_equal(take("a"), RATELIMIT_OK);
    assert_int_equal(take("b"), RATELIMIT_OK);
    assert_int_equal(take("c"), RATELIMIT_CONCURRENT);
    assert_int_equal(t.answer.retry_after_s, 60);
    assert_int_equal(take_from("203.0.113.8", "c"), RATELIMIT_OK);
    release("a");
    release("a");
    release("never");
    assert_int_equal(take("c"), RATELIMIT_OK);
    assert_int_equal(take("d"), RATELIMIT_CONCURRENT);
    assert_int_equal(card("hourly_sliding"), 0); // no limit, nothing to count
}

static void a_lease_lapses(void **state) {
    (void)state;
    limits(1, 0, 0);
    assert_int_equal(take("a"), RATELIMIT_OK);
    t.now_ms += LEASE_MS - 5000;
    assert_int_equal(take("b"), RATELIMIT_CONCURRENT);
    assert_int_equal(t.answer.retry_after_s, 5);
    t.now_ms += 4999;
    assert_int_equal(take("b"), RATELIMIT_CONCURRENT);
    assert_int_equal(t.answer.retry_after_s, 1);
    t.now_ms += 1;
    assert_int_equal(take("b"), RATELIMIT_OK);
}

static void a_lease_is_renewed(void **state) {
    (void)state;
    limits(1, 0, 0);
    struct ratelimit_lease own = lease("203.0.113.7", "a");
    own.deadline_ms = t.now_ms + 1000;
    t.wanted = t.done + 1;
    assert_int_equal(ratelimit_take(t.ratelimit, &own, on_taken, &t), 0);
    redis_until(&t.loop, enough, NULL);
    for (int i = 0; i < 5; i++) {
        t.now_ms += 900;
        own.now_ms = t.now_ms;
        own.deadline_ms = t.now_ms + 1000;
        assert_int_equal(ratelimit_renew(t.ratelimit, &own), 0);
        assert_int_equal(take("b"), RATELIMIT_CONCURRENT);
        assert_int_equal(t.answer.retry_after_s, 1);
    }
    assert_int_equal(redis_ask(t.redis, &t.loop, "PTTL ratelimit:leases:203.0.113.7").integer > 0, 1);
    t.now_ms += 1000;
    assert_int_equal(take("b"), RATELIMIT_OK);
    // What is no longer held is not brought back.
    own.deadline_ms = t.now_ms + 100000;
    assert_int_equal(ratelimit_renew(t.ratelimit, &own), 0);
    assert_int_equal(card("leases"), 1);
    release("b");
    assert_int_equal(take("c"), RATELIMIT_OK);
}

static void hour_slides(void **state) {
    (void)state;
    limits(0, 2, 0);
    assert_int_equal(take("a"), RATELIMIT_OK);
    t.now_ms += 600000;
    assert_int_equal(take("b"), RATELIMIT_OK);
    assert_int_equal(take("c"), RATELIMIT_HOURLY);
    assert_int_equal(t.answer.retry_after_s, 3000);
    release("a"); // over, but it was in this hour
    assert_int_equal(take("c"), RATELIMIT_HOURLY);
    t.now_ms += 3000 * 1000 - 1;
    assert_int_equal(take("c"), RATELIMIT_HOURLY);
    assert_int_equal(t.answer.retry_after_s, 1);
    t.now_ms += 1;
    assert_int_equal(take("c"), RATELIMIT_OK);
    assert_int_equal(take("d"), RATELIMIT_HOURLY);
    assert_int_equal(t.answer.retry_after_s, 600);
}

static void day_slides(void **state) {
    (void)state;
    limits(0, 2, 3);
    assert_int_equal(take("a"), RATELIMIT_OK);
    assert_int_equal(take("b"), RATELIMIT_OK);
    assert_int_equal(take("c"), RATELIMIT_HOURLY);
    t.now_ms += HOUR_MS;
    assert_int_equal(take("c"), RATELIMIT_OK);
    assert_int_equal(take("d"), RATELIMIT_DAILY);
    assert_int_equal(t.answer.retry_after_s, 23 * 3600);
    t.now_ms += 23 * HOUR_MS - 1;
    assert_int_equal(take("d"), RATELIMIT_DAILY);
    t.now_ms += 1;
    assert_int_equal(take("d"), RATELIMIT_OK);
    assert_int_equal(take("e"), RATELIMIT_OK);
    assert_int_equal(take("f"), RATELIMIT_HOURLY); // first of the two that refuse, and the longer wait
    assert_int_equal(t.answer.retry_after_s, 3600);
}

static void a_lower_limit_waits_for_more(void **state) {
    (void)state;
    limits(0, 3, 0);
    for (int i = 0; i < 3; i++) {
        const char id[] = {(char)('a' + i), '\0'};
        assert_int_equal(take(id), RATELIMIT_OK);
        t.now_ms += 1000;
    }
    limits(0, 1, 0);
    assert_int_equal(take("d"), RATELIMIT_HOURLY);
    assert_int_equal(t.answer.retry_after_s, 3599); // until the third has slid out, one second ago
    limits(0, 0, 0);
    assert_int_equal(take("d"), RATELIMIT_OK);
}

static void refused_takes_nothing(void **state) {
    (void)state;
    limits(1, 2, 5);
    assert_int_equal(take("a"), RATELIMIT_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(take("b"), RATELIMIT_CONCURRENT);
    assert_int_equal(card("leases"), 1);
    assert_int_equal(card("hourly_sliding"), 1);
    assert_int_equal(card("daily_sliding"), 1);
}

static void given_back_is_as_never_taken(void **state) {
    (void)state;
    limits(1, 1, 1);
    assert_int_equal(take("a"), RATELIMIT_OK);
    give_back("a");
    give_back("a");
    assert_int_equal(card("leases") + card("hourly_sliding") + card("daily_sliding"), 0);
    assert_int_equal(take("b"), RATELIMIT_OK);
    give_back("a"); // another's stays
    assert_int_equal(take("c"), RATELIMIT_CONCURRENT);
}

static void the_same_lease_counts_once(void **state) {
    (void)state;
    limits(1, 1, 1);
    assert_int_equal(take("a"), RATELIMIT_OK);
    t.now_ms += LEASE_MS / 2;
    assert_int_equal(take("a"), RATELIMIT_OK);
    assert_int_equal(card("leases"), 1);
    assert_int_equal(card("hourly_sliding"), 1);
    t.now_ms += LEASE_MS / 2 + 1; // the first deadline is over, the second is not
    assert_int_equal(take("b"), RATELIMIT_CONCURRENT);
    // One that waited in the queue beyond its lease, and comes again, has its place in the windows still.
    t.now_ms += LEASE_MS;
    assert_int_equal(take("a"), RATELIMIT_OK);
    assert_int_equal(card("hourly_sliding"), 1);
}

static void two_hundred_at_once(void **state) {
    (void)state;
    limits(5, 1000, 1000);
    t.wanted = 200;
    for (int i = 0; i < 200; i++) {
        char id[16];
        snprintf(id, sizeof id, "lease-%d", i);
        const struct ratelimit_lease wanted = lease("203.0.113.7", id);
        assert_int_equal(ratelimit_take(t.ratelimit, &wanted, on_taken, &t), 0);
    }
    redis_until(&t.loop, enough, NULL);
    assert_int_equal(t.ok, 5);
    assert_int_equal(t.refused, 195);
    assert_int_equal(card("leases"), 5);
    assert_int_equal(card("daily_sliding"), 5);
}

static void one_customer_is_one_source(void **state) {
    (void)state;
    limits(1, 0, 0);
    assert_int_equal(take_from("2001:db8:1:2:3:4:5:6", "a"), RATELIMIT_OK);
    assert_int_equal(take_from("2001:db8:1:2::9", "b"), RATELIMIT_CONCURRENT);
    assert_int_equal(take_from("2001:db8:1:3::9", "b"), RATELIMIT_OK);
    assert_int_equal(take_from("203.0.113.7", "c"), RATELIMIT_OK);
    assert_int_equal(take_from("::ffff:203.0.113.7", "d"), RATELIMIT_CONCURRENT);
}

static void keys_do_not_stay(void **state) {
    (void)state;
    assert_int_equal(take("a"), RATELIMIT_OK);
    static const struct {
        const char *words;
        int64_t max_ms;
    } keys[] = {{"PTTL ratelimit:leases:203.0.113.7", LEASE_MS},
                {"PTTL ratelimit:hourly_sliding:203.0.113.7", HOUR_MS},
                {"PTTL ratelimit:daily_sliding:203.0.113.7", DAY_MS}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int64_t left_ms = redis_ask(t.redis, &t.loop, keys[i].words).integer;
        assert_true(left_ms > keys[i].max_ms - 60000 && left_ms <= keys[i].max_ms);
    }
}

static void the_clock_of_redis(void **state) {
    (void)state;
    limits(1, 1, 1);
    t.now_ms = 0;
    assert_int_equal(take("a"), RATELIMIT_OK);
    assert_int_equal(take("b"), RATELIMIT_CONCURRENT);
    int64_t left_ms = redis_ask(t.redis, &t.loop, "PTTL ratelimit:leases:203.0.113.7").integer;
    assert_true(left_ms > LEASE_MS - 60000 && left_ms <= LEASE_MS);
    release("a");
    assert_int_equal(take("b"), RATELIMIT_HOURLY);
    assert_true(t.answer.retry_after_s > 3500);
    struct ratelimit_lease own = lease("203.0.113.7", "b");
    give_back("a");
    assert_int_equal(take("b"), RATELIMIT_OK);
    own.deadline_ms = 1; // long ago
    assert_int_equal(ratelimit_renew(t.ratelimit, &own), 0);
    limits(1, 0, 0);
    assert_int_equal(take("c"), RATELIMIT_OK);
}

static void bad_arguments(void **state) {
    (void)state;
    char id[RATELIMIT_ID_MAX + 2];
    memset(id, 'x', sizeof id);
    id[RATELIMIT_ID_MAX + 1] = '\0';
    const struct ratelimit_lease bad[] = {lease("", "a"), lease("nonsense", "a"), lease("203.0.113.7", ""),
                                          lease("203.0.113.7", id)};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(ratelimit_take(t.ratelimit, &bad[i], on_taken, &t), -EINVAL);
        assert_int_equal(ratelimit_renew(t.ratelimit, &bad[i]), -EINVAL);
        assert_int_equal(ratelimit_release(t.ratelimit, bad[i].address, bad[i].id), -EINVAL);
        assert_int_equal(ratelimit_give_back(t.ratelimit, bad[i].address, bad[i].id), -EINVAL);
    }
    assert_int_equal(t.done, 0);
    assert_int_equal(take(id + 1), RATELIMIT_OK);
}

static void redis_trouble(void **state) {
    (void)state;
    // Somebody else's key: the script is refused, and says so.
    redis_ask(t.redis, &t.loop, "SET ratelimit:leases:203.0.113.7 x");
    const struct ratelimit_lease wanted = lease("203.0.113.7", "a");
    t.wanted = 1;
    assert_int_equal(ratelimit_take(t.ratelimit, &wanted, on_taken, &t), 0);
    redis_until(&t.loop, enough, NULL);
    assert_int_equal(t.err, -EPROTO);
    redis_child_kill(&t.server);
    redis_until(&t.loop, redis_is_down, t.redis);
    assert_int_equal(ratelimit_take(t.ratelimit, &wanted, on_taken, &t), -ENOTCONN);
    assert_int_equal(ratelimit_release(t.ratelimit, "203.0.113.7", "a"), -ENOTCONN);
    assert_int_equal(t.done, 1);
    // After its restart the scripts are there again.
    redis_child_run(&t.server);
    redis_until(&t.loop, redis_is_up, t.redis);
    assert_int_equal(take("a"), RATELIMIT_OK);
}

static void messages_and_metrics(void **state) {
    (void)state;
    assert_string_equal(ratelimit_message(RATELIMIT_OK), "");
    assert_string_equal(ratelimit_message(RATELIMIT_CONCURRENT),
                        "Too many concurrent sessions from your IP.");
    assert_string_equal(ratelimit_message(RATELIMIT_HOURLY), "Hourly rate limit exceeded.");
    assert_string_equal(ratelimit_message(RATELIMIT_DAILY), "Daily rate limit exceeded.");
    int64_t ok = metric_read(METRIC_RATELIMIT_OK), refused = metric_read(METRIC_RATELIMIT_CONCURRENT);
    take("a");
    take("b");
    assert_int_equal(metric_read(METRIC_RATELIMIT_OK) - ok, 1);
    assert_int_equal(metric_read(METRIC_RATELIMIT_CONCURRENT) - refused, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(concurrent),
        TEST(a_lease_lapses),
        TEST(a_lease_is_renewed),
        TEST(hour_slides),
        TEST(day_slides),
        TEST(a_lower_limit_waits_for_more),
        TEST(refused_takes_nothing),
        TEST(given_back_is_as_never_taken),
        TEST(the_same_lease_counts_once),
        TEST(two_hundred_at_once),
        TEST(one_customer_is_one_source),
        TEST(keys_do_not_stay),
        TEST(the_clock_of_redis),
        TEST(bad_arguments),
        TEST(redis_trouble),
        TEST(messages_and_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
