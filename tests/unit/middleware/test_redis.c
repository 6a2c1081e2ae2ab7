// SPDX-License-Identifier: Apache-2.0
// The client against real servers: commands, scripts, channels, outages.
#include "gateway/core/metrics.h"
#include "tests/unit/middleware/redis_fixture.h"

#include <sys/un.h>

static struct {
    uv_loop_t loop;
    struct redis_server_child server;
    struct redis *redis;
    unsigned ups, downs;
    char why[256];
} t;

static void on_up(void *arg) {
    (void)arg;
    assert_true(redis_up(t.redis));
    assert_string_equal(redis_why_down(t.redis), "");
    t.ups++;
}

static void on_down(const char *why, void *arg) {
    (void)arg;
    assert_false(redis_up(t.redis));
    snprintf(t.why, sizeof t.why, "%s", why);
    t.downs++;
}

static void client_open(const char *options) {
    const struct redis_events events = {on_up, on_down, NULL};
    struct err_text err = {""};
    char text[512];
    snprintf(text, sizeof text, "%s%s", t.server.target, options);
    t.ups = t.downs = 0;
    assert_int_equal(redis_new(&t.redis, &t.loop, text, &events, &err), 0);
    assert_false(redis_up(t.redis));
}

static void client_close(void) {
    redis_close_and_wait(t.redis, &t.loop);
    t.redis = NULL;
}

static int set_up(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    uv_loop_init(&t.loop);
    redis_child_start(&t.server, NULL);
    client_open("");
    redis_until(&t.loop, redis_is_up, t.redis);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    if (t.redis)
        client_close();
    redis_child_end(&t.server);
    return uv_loop_close(&t.loop);
}

static struct redis_answer ask(const char *words) {
    return redis_ask(t.redis, &t.loop, words);
}

// ---- commands

static void answers_of_every_type(void **state) {
    (void)state;
    assert_int_equal(t.ups, 1);
    struct redis_answer a = ask("SET k v");
    assert_int_equal(a.err, 0);
    assert_int_equal(a.type, REDIS_STATUS);
    assert_string_equal(a.text, "OK");
    a = ask("GET k");
    assert_int_equal(a.type, REDIS_STRING);
    assert_string_equal(a.text, "v");
    a = ask("GET none");
    assert_int_equal(a.type, REDIS_NIL);
    a = ask("INCRBY n 9007199254740993");
    assert_int_equal(a.type, REDIS_INTEGER);
    assert_true(a.integer == 9007199254740993);
    a = ask("MGET k none k");
    assert_int_equal(a.type, REDIS_ARRAY);
    assert_string_equal(a.text, "v  v ");
    a = ask("NOSUCH command");
    assert_int_equal(a.err, 0);
    assert_int_equal(a.type, REDIS_ERROR);
    assert_non_null(strstr(a.text, "ERR unknown command"));
    a = ask("CLIENT GETNAME");
    assert_string_equal(a.text, "iqra-gateway");
}

static void on_nested(int err, const struct redis_reply *reply, void *arg) {
    assert_int_equal(err, 0);
    assert_int_equal(reply->count, 3);
    assert_int_equal(reply->elements[0].integer, 1);
    assert_int_equal(reply->elements[1].count, 2);
    assert_string_equal(reply->elements[1].elements[0].str, "x");
    assert_int_equal(reply->elements[1].elements[1].count, 1);
    assert_string_equal(reply->elements[1].elements[1].elements[0].str, "y");
    assert_string_equal(reply->elements[2].str, "z");
    *(bool *)arg = true;
}

static void arrays_in_arrays(void **state) {
    (void)state;
    bool done = false;
    struct redis_script script = {.text = "return {1, {'x', {'y'}}, 'z'}"};
    assert_int_equal(redis_eval(t.redis, &script, NULL, 0, NULL, 0, on_nested, &done), 0);
    redis_until(&t.loop, redis_is_true, &done);
}

static void on_binary(int err, const struct redis_reply *reply, void *arg) {
    assert_int_equal(err, 0);
    assert_int_equal(reply->len, 5);
    assert_memory_equal(reply->str, "\0\r\n\0x", 5);
    *(bool *)arg = true;
}

static void any_bytes(void **state) {
    (void)state;
    bool done = false;
    const struct redis_arg set[] = {redis_str("SET"), redis_str("b"), {"\0\r\n\0x", 5}};
    const struct redis_arg get[] = {redis_str("GET"), redis_str("b")};
    assert_int_equal(redis_command(t.redis, set, 3, NULL, NULL), 0);
    assert_int_equal(redis_command(t.redis, get, 2, on_binary, &done), 0);
    redis_until(&t.loop, redis_is_true, &done);
}

enum { MANY = 5000 };

static unsigned many_next;

static void on_many(int err, const struct redis_reply *reply, void *arg) {
    (void)arg;
    assert_int_equal(err, 0);
    assert_int_equal(reply->integer, ++many_next);
}

static bool many_done(void *arg) {
    (void)arg;
    return many_next == MANY;
}

static void many_are_answered_in_order(void **state) {
    (void)state;
    many_next = 0;
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(redis_send_words(t.redis, "INCR many", on_many, NULL), 0);
    assert_int_equal(many_next, 0);
    redis_until(&t.loop, many_done, NULL);
}

// ---- scripts

static void scripts_are_loaded_when_needed(void **state) {
    (void)state;
    struct redis_script script = {.text = "return redis.call('INCRBY', KEYS[1], ARGV[1]) + ARGV[2]"};
    const struct redis_arg keys[] = {redis_str("s")}, args[] = {redis_str("5"), redis_str("100")};
    for (int turn = 1; turn <= 4; turn++) {
        struct redis_answer a = {.done = false};
        assert_int_equal(redis_eval(t.redis, &script, keys, 1, args, 2, redis_on_answer, &a), 0);
        assert_false(a.done);
        redis_until(&t.loop, redis_is_true, &a.done);
        assert_int_equal(a.err, 0);
        assert_int_equal(a.integer, 5 * turn + 100);
        if (turn == 2)
            assert_string_equal(ask("SCRIPT FLUSH").text, "OK");
    }
    assert_int_equal(strlen(script.sha), 40);
    struct redis_answer a = ask("INFO commandstats");
    assert_int_equal(a.err, 0);
}

static void a_flush_amid_scripts(void **state) {
    (void)state;
    struct redis_script script = {.text = "return redis.call('INCR', KEYS[1])"};
    const struct redis_arg key = redis_str("f");
    struct redis_answer answers[40] = {{.done = false}};
    for (int i = 0; i < 40; i++) {
        assert_int_equal(redis_eval(t.redis, &script, &key, 1, NULL, 0, redis_on_answer, &answers[i]), 0);
        if (i % 10 == 5)
            assert_int_equal(redis_send_words(t.redis, "SCRIPT FLUSH", NULL, NULL), 0);
    }
    for (int i = 0; i < 40; i++) {
        redis_until(&t.loop, redis_is_true, &answers[i].done);
        assert_int_equal(answers[i].type, REDIS_INTEGER);
    }
    assert_string_equal(ask("GET f").text, "40");
}

// ---- outages

static void a_killed_server_comes_back(void **state) {
    (void)state;
    redis_child_kill(&t.server);
    redis_until(&t.loop, redis_is_down, t.redis);
    assert_int_equal(t.downs, 1);
    assert_non_null(strstr(t.why, "the server closed the connection"));
    struct redis_answer a = {.done = false};
    assert_int_equal(redis_send_words(t.redis, "GET k", redis_on_answer, &a), -ENOTCONN);
    redis_child_run(&t.server);
    redis_until(&t.loop, redis_is_up, t.redis);
    assert_int_equal(t.ups, 2);
    assert_int_equal(t.downs, 1);
    assert_false(a.done);
    assert_string_equal(ask("PING").text, "PONG");
}

static struct { unsigned ok, unsent, unknown, other; } tally;

static void on_tally(int err, const struct redis_reply *reply, void *arg) {
    bool *once = arg;
    assert_false(*once);
    *once = true;
    assert_true(err || reply->type == REDIS_INTEGER);
    tally.ok += err == 0;
    tally.unsent += err == -ENOTCONN;
    tally.unknown += err == -ECONNRESET;
    tally.other += err && err != -ENOTCONN && err != -ECONNRESET;
}

static bool some_answered(void *arg) {
    (void)arg;
    return tally.ok >= 100;
}

// Every callback exactly once, and what was not sent is told apart.
static void a_kill_amid_pipelined_commands(void **state) {
    (void)state;
    static bool once[4000];
    memset(&tally, 0, sizeof tally);
    memset(once, 0, sizeof once);
    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(redis_send_words(t.redis, "INCR k", on_tally, &once[i]), 0);
    redis_until(&t.loop, some_answered, NULL);
    kill(t.server.pid, SIGSTOP);
    for (unsigned i = 2000; i < 3000; i++)
        assert_int_equal(redis_send_words(t.redis, "INCR k", on_tally, &once[i]), 0);
    uv_run(&t.loop, UV_RUN_NOWAIT);
    uv_run(&t.loop, UV_RUN_NOWAIT);
    redis_child_kill(&t.server);
    for (unsigned i = 3000; i < 4000; i++)
        assert_int_equal(redis_send_words(t.redis, "INCR k", on_tally, &once[i]), 0);
    redis_until(&t.loop, redis_is_down, t.redis);
    assert_int_equal(tally.ok + tally.unsent + tally.unknown, 4000);
    assert_true(tally.unknown >= 1000);
    assert_int_equal(tally.other, 0);
    redis_child_run(&t.server);
    redis_until(&t.loop, redis_is_up, t.redis);
    assert_string_equal(ask("INCR fresh").text, "");
    assert_int_equal(tally.ok + tally.unsent + tally.unknown, 4000);
}

static void no_answer_in_time(void **state) {
    (void)state;
    client_close();
    client_open(",syncTimeout=1000");
    redis_until(&t.loop, redis_is_up, t.redis);
    struct redis_answer a = ask("CLIENT PAUSE 1500"), late = {.done = false};
    assert_string_equal(a.text, "OK");
    assert_int_equal(redis_send_words(t.redis, "INCR k", redis_on_answer, &late), 0);
    redis_until(&t.loop, redis_is_true, &late.done);
    assert_int_equal(late.err, -ETIMEDOUT);
    assert_false(redis_up(t.redis));
    redis_until(&t.loop, redis_is_up, t.redis);
    assert_non_null(strstr(t.why, "no answer within the time limit"));
}

// A listener that hangs up at once, and how often it was called.
static struct {
    int fd;
    unsigned called;
} busy;

static bool is_called(void *count) {
    for (int fd; (fd = accept(busy.fd, NULL, NULL)) >= 0; busy.called++)
        close(fd);
    return busy.called >= *(unsigned *)count;
}

static void attempts_become_rarer(void **state) {
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    unsigned count = 6;
    client_close();
    snprintf(address.sun_path, sizeof address.sun_path, "%s/busy", t.server.dir);
    snprintf(t.server.target, sizeof t.server.target, "unix:%s", address.sun_path);
    busy.called = 0;
    busy.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(busy.fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(busy.fd, 64), 0);
    client_open("");
    uint64_t begin_ms = uv_now(&t.loop);
    redis_until(&t.loop, is_called, &count);
    // At least half of 50, 100, 200, 400 and 800 ms between them; how much more is the machine's business.
    assert_true(uv_now(&t.loop) - begin_ms >= 25 + 50 + 100 + 200 + 400);
    assert_int_equal(t.ups, 0);
    close(busy.fd);
}

// Nobody sends a command, and it is noticed all the same.
static void a_silent_server_is_noticed(void **state) {
    (void)state;
    client_close();
    client_open(",keepAlive=1,syncTimeout=1000");
    redis_until(&t.loop, redis_is_up, t.redis);
    kill(t.server.pid, SIGSTOP);
    redis_until(&t.loop, redis_is_down, t.redis);
    assert_non_null(strstr(t.why, "no answer within the time limit"));
    kill(t.server.pid, SIGCONT);
    redis_until(&t.loop, redis_is_up, t.redis);
}

static void the_queue_is_bounded(void **state) {
    (void)state;
    static char big[1024 * 1024];
    memset(&tally, 0, sizeof tally);
    kill(t.server.pid, SIGSTOP);
    unsigned taken = 0;
    const struct redis_arg set[] = {redis_str("SET"), redis_str("k"), {big, sizeof big}};
    while (redis_command(t.redis, set, 3, NULL, NULL) == 0)
        taken++;
    assert_int_equal(taken, 15);
    redis_child_kill(&t.server);
    redis_until(&t.loop, redis_is_down, t.redis);
    redis_child_run(&t.server);
    redis_until(&t.loop, redis_is_up, t.redis);
    static bool once[20000];
    memset(once, 0, sizeof once);
    taken = 0;
    while (redis_send_words(t.redis, "INCR k", on_tally, &once[taken]) == 0)
        taken++;
    assert_int_equal(taken, 10000);
    assert_string_equal(redis_why_down(t.redis), "");
    const struct redis_arg huge[] = {redis_str("SET"), redis_str("k"), {big, (size_t)1 << 40}};
    assert_int_equal(redis_command(t.redis, huge, 3, NULL, NULL), -E2BIG);
    redis_until(&t.loop, some_answered, NULL);
}

// ---- closing

static unsigned canceled;

static void on_canceled(int err, const struct redis_reply *reply, void *arg) {
    (void)arg;
    assert_null(reply);
    assert_int_equal(err, -ECANCELED);
    assert_int_equal(redis_send_words(t.redis, "GET k", NULL, NULL), -ENOTCONN);
    canceled++;
}

static void closing_ends_what_waits(void **state) {
    (void)state;
    canceled = 0;
    struct redis_script script = {.text = "return 1"};
    for (int i = 0; i < 10; i++)
        assert_int_equal(redis_send_words(t.redis, "GET k", on_canceled, NULL), 0);
    assert_int_equal(redis_eval(t.redis, &script, NULL, 0, NULL, 0, on_canceled, NULL), 0);
    bool closed = false;
    redis_close(t.redis, redis_on_flag, &closed);
    assert_int_equal(canceled, 11);
    assert_false(closed);
    redis_until(&t.loop, redis_is_true, &closed);
    t.redis = NULL;
}

static bool closed_inside;

static void on_answer_close(int err, const struct redis_reply *reply, void *arg) {
    (void)arg;
    assert_int_equal(err, 0);
    assert_int_equal(reply->type, REDIS_NIL);
    redis_close(t.redis, redis_on_flag, &closed_inside);
    assert_int_equal(reply->type, REDIS_NIL);
}

static void closing_inside_a_callback(void **state) {
    (void)state;
    canceled = 0;
    closed_inside = false;
    assert_int_equal(redis_send_words(t.redis, "GET k", on_answer_close, NULL), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(redis_send_words(t.redis, "GET k", on_canceled, NULL), 0);
    redis_until(&t.loop, redis_is_true, &closed_inside);
    assert_int_equal(canceled, 5);
    t.redis = NULL;
}

static void closing_before_it_is_up(void **state) {
    (void)state;
    client_close();
    client_open("");
    client_close();
    client_open("");
    uv_run(&t.loop, UV_RUN_NOWAIT);
    client_close();
    assert_int_equal(t.ups, 0);
}

// ---- channels

static struct {
    unsigned subscribed, messages;
    char last[64];
} heard;

static void on_subscribed(void *arg) {
    (void)arg;
    heard.subscribed++;
}

static void on_message(const char *message, size_t len, void *arg) {
    (void)arg;
    assert_int_equal(strlen(message), len);
    snprintf(heard.last, sizeof heard.last, "%s", message);
    heard.messages++;
}

static bool is_subscribed(void *count) {
    return heard.subscribed == *(unsigned *)count;
}

static bool is_heard(void *count) {
    return heard.messages == *(unsigned *)count;
}

static void messages_of_a_channel(void **state) {
    (void)state;
    unsigned count = 1;
    memset(&heard, 0, sizeof heard);
    assert_int_equal(redis_subscribe(t.redis, "one", on_subscribed, on_message, NULL), 0);
    assert_int_equal(redis_subscribe(t.redis, "one", on_subscribed, on_message, NULL), -EEXIST);
    assert_int_equal(redis_subscribe(t.redis, "quiet", NULL, on_message, NULL), 0);
    redis_until(&t.loop, is_subscribed, &count);
    assert_int_equal(ask("PUBLISH one hello").integer, 1);
    redis_until(&t.loop, is_heard, &count);
    assert_string_equal(heard.last, "hello");
    redis_unsubscribe(t.redis, "quiet");
    redis_unsubscribe(t.redis, "never was");
    assert_int_equal(redis_subscribe(t.redis, "two", on_subscribed, on_message, NULL), 0);
    count = 2;
    redis_until(&t.loop, is_subscribed, &count);
    assert_int_equal(ask("PUBLISH quiet x").integer, 0);
    assert_int_equal(ask("PUBLISH two again").integer, 1);
    redis_until(&t.loop, is_heard, &count);
    assert_string_equal(heard.last, "again");
}

static bool has_answers(void *count) {
    return metric_read(METRIC_REDIS_ANSWERS) >= *(int64_t *)count;
}

// What Redis says to a PING on a connection with channels has another form.
static void channels_outlive_the_keep_alive(void **state) {
    (void)state;
    unsigned count = 1;
    memset(&heard, 0, sizeof heard);
    client_close();
    client_open(",keepAlive=1");
    assert_int_equal(redis_subscribe(t.redis, "one", on_subscribed, on_message, NULL), 0);
    redis_until(&t.loop, is_subscribed, &count);
    redis_until(&t.loop, redis_is_up, t.redis); // either of the two connections may be first
    int64_t answers = metric_read(METRIC_REDIS_ANSWERS) + 4, connects = metric_read(METRIC_REDIS_CONNECTS);
    redis_until(&t.loop, has_answers, &answers);
    assert_int_equal(metric_read(METRIC_REDIS_CONNECTS), connects);
    assert_int_equal(ask("PUBLISH one still").integer, 1);
    redis_until(&t.loop, is_heard, &count);
}

static void channels_come_back_after_an_outage(void **state) {
    (void)state;
    unsigned count = 2;
    memset(&heard, 0, sizeof heard);
    assert_int_equal(redis_subscribe(t.redis, "one", on_subscribed, on_message, NULL), 0);
    assert_int_equal(redis_subscribe(t.redis, "two", on_subscribed, on_message, NULL), 0);
    redis_until(&t.loop, is_subscribed, &count);
    redis_child_kill(&t.server);
    redis_until(&t.loop, redis_is_down, t.redis);
    redis_unsubscribe(t.redis, "two");
    redis_child_run(&t.server);
    redis_until(&t.loop, redis_is_up, t.redis);
    count = 3;
    redis_until(&t.loop, is_subscribed, &count);
    assert_int_equal(ask("PUBLISH two x").integer, 0);
    assert_int_equal(ask("PUBLISH one back").integer, 1);
    count = 1;
    redis_until(&t.loop, is_heard, &count);
    assert_string_equal(heard.last, "back");
}

// ---- strings

static void bad_strings_are_refused(void **state) {
    (void)state;
    const struct redis_events events = {on_up, on_down, NULL};
    struct redis *redis = NULL;
    struct err_text err = {""};
    assert_int_equal(redis_new(&redis, &t.loop, "h:1,password=SECRET,ssl=maybe", &events, &err), -EINVAL);
    assert_null(redis);
    assert_string_equal(err.text, "ssl must be true or false");
    assert_int_equal(redis_new(&redis, &t.loop, "", &events, &err), -EINVAL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(answers_of_every_type),
        TEST(arrays_in_arrays),
        TEST(any_bytes),
        TEST(many_are_answered_in_order),
        TEST(scripts_are_loaded_when_needed),
        TEST(a_flush_amid_scripts),
        TEST(a_killed_server_comes_back),
        TEST(a_kill_amid_pipelined_commands),
        TEST(no_answer_in_time),
        TEST(a_silent_server_is_noticed),
        TEST(attempts_become_rarer),
        TEST(the_queue_is_bounded),
        TEST(closing_ends_what_waits),
        TEST(closing_inside_a_callback),
        TEST(closing_before_it_is_up),
        TEST(messages_of_a_channel),
        TEST(channels_outlive_the_keep_alive),
        TEST(channels_come_back_after_an_outage),
        TEST(bad_strings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
