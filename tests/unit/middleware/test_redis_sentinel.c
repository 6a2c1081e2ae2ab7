// SPDX-License-Identifier: Apache-2.0
// Finding the master through real Sentinels, and following it.
#include "tests/unit/middleware/redis_fixture.h"

static struct {
    uv_loop_t loop;
    struct redis_server_child first, second, sentinel;
    char first_port[8], second_port[8], sentinel_port[8];
    struct redis *redis;
    unsigned subscribed, messages;
} t;

static void on_up(void *arg) {
    (void)arg;
}

static void on_down(const char *why, void *arg) {
    (void)why;
    (void)arg;
}

static void client_open(const char *options) {
    const struct redis_events events = {on_up, on_down, NULL};
    struct err_text err = {""};
    char target[256];
    // The first Sentinel of the list does not exist.
    snprintf(target, sizeof target, "127.0.0.1:%u,127.0.0.1:%s,serviceName=desk,password=pw%s",
             redis_free_port(), t.sentinel_port, options);
    int rc = redis_new(&t.redis, &t.loop, target, &events, &err);
    if (rc)
        fail_msg("%s", err.text);
}

static void set_port(char out[8]) {
    snprintf(out, 8, "%u", redis_free_port());
}

// A Sentinel keeps its state in its configuration file. With a password of its own when `password` says so.
static void sentinel_start(bool password) {
    struct redis_server_child *child = &t.sentinel;
    char path[96];
    set_port(t.sentinel_port);
    *child = (struct redis_server_child){.dir = "/tmp/iqra-redis-XXXXXX",
                                         .args = {"redis-server", "sentinel.conf", "--sentinel", NULL}};
    assert_non_null(mkdtemp(child->dir));
    snprintf(path, sizeof path, "%s/sentinel.conf", child->dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file,
            "port %s\nsentinel monitor desk 127.0.0.1 %s 1\nsentinel auth-pass desk pw\n"
            "sentinel down-after-milliseconds desk 1000\nsentinel failover-timeout desk 3000\n%s",
            t.sentinel_port, t.first_port, password ? "requirepass pw\n" : "");
    fclose(file);
    redis_child_run(child);
}

static void redis_cli(const char *port, const char *const *words) {
    const char *args[16] = {"redis-cli", "-p", port, "-a", "pw"};
    for (size_t i = 0; words[i]; i++)
        args[5 + i] = words[i];
    redis_run_program(args);
}

static void shell_until(const char *port, const char *words, const char *text) {
    char script[256];
    snprintf(script, sizeof script, "until redis-cli -p %s -a pw %s | grep -q %s; do sleep 0.05; done", port,
             words, text);
    redis_run_program((const char *const[]){"timeout", "30", "sh", "-c", script, NULL});
}

static int set_up(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    set_port(t.first_port);
    redis_child_start(&t.first,
                      (const char *const[]){"--repl-diskless-sync-delay", "0", "--port", t.first_port,
                                            "--requirepass", "pw", "--masterauth", "pw", NULL});
    set_port(t.second_port);
    redis_child_start(&t.second, (const char *const[]){"--port", t.second_port, "--requirepass", "pw",
                                                       "--masterauth", "pw", NULL});
    return uv_loop_init(&t.loop);
}

static int tear_down(void **state) {
    (void)state;
    if (t.redis)
        redis_close_and_wait(t.redis, &t.loop);
    redis_child_end(&t.sentinel);
    redis_child_end(&t.first);
    redis_child_end(&t.second);
    return uv_loop_close(&t.loop);
}

static struct redis_answer ask(const char *words) {
    return redis_ask(t.redis, &t.loop, words);
}

// Asks until the answer has `text` in it. An outage meanwhile is no answer.
static void ask_until(const char *words, const char *text) {
    uint64_t deadline_ms = uv_now(&t.loop) + REDIS_TEST_TIMEOUT_MS;
    struct redis_answer a = {.done = false};
    while (a.err || !strstr(a.text, text)) {
        assert_true(uv_now(&t.loop) < deadline_ms);
        redis_until(&t.loop, redis_is_up, t.redis);
        a = (struct redis_answer){.done = false};
        if (redis_send_words(t.redis, words, redis_on_answer, &a) == 0)
            redis_until(&t.loop, redis_is_true, &a.done);
    }
}

static void on_message(const char *message, size_t len, void *arg) {
    (void)message;
    (void)len;
    (void)arg;
    t.messages++;
}

static void on_subscribed(void *arg) {
    (void)arg;
    t.subscribed++;
}

static bool has_subscribed(void *count) {
    return t.subscribed == *(unsigned *)count;
}

static bool has_message(void *arg) {
    (void)arg;
    return t.messages > 0;
}

// Before the Sentinel starts, which asks a master at once and then every ten seconds.
static void replicate(void) {
    shell_until(t.second_port, "PING", "PONG");
    redis_cli(t.second_port, (const char *const[]){"REPLICAOF", "127.0.0.1", t.first_port, NULL});
    shell_until(t.first_port, "INFO replication", "state=online");
}

static void a_failover_is_followed(void **state) {
    (void)state;
    char text[64];
    replicate();
    sentinel_start(false);
    client_open("");
    assert_int_equal(redis_subscribe(t.redis, "c", on_subscribed, on_message, NULL), 0);
    redis_until(&t.loop, redis_is_up, t.redis);
    snprintf(text, sizeof text, "tcp_port:%s", t.first_port);
    ask_until("INFO server", text);
    assert_string_equal(ask("SET k v").text, "OK");
    assert_int_equal(ask("WAIT 1 20000").integer, 1);
    redis_until(&t.loop, has_subscribed, &(unsigned){1});
    redis_child_kill(&t.first);
    snprintf(text, sizeof text, "tcp_port:%s", t.second_port);
    ask_until("INFO server", text);
    assert_string_equal(ask("GET k").text, "v");
    assert_string_equal(ask("SET k w").text, "OK");
    redis_until(&t.loop, has_subscribed, &(unsigned){2});
    assert_int_equal(ask("PUBLISH c hello").integer, 1);
    redis_until(&t.loop, has_message, NULL);
}

// The old master knows nothing of it and would go on serving us.
static void a_master_cut_off_is_left(void **state) {
    (void)state;
    char text[64];
    sentinel_start(true);
    client_open(",configCheckSeconds=1");
    redis_until(&t.loop, redis_is_up, t.redis);
    snprintf(text, sizeof text, "tcp_port:%s", t.first_port);
    ask_until("INFO server", text);
    redis_cli(t.sentinel_port, (const char *const[]){"SENTINEL", "REMOVE", "desk", NULL});
    redis_cli(t.sentinel_port,
              (const char *const[]){"SENTINEL", "MONITOR", "desk", "127.0.0.1", t.second_port, "1", NULL});
    snprintf(text, sizeof text, "tcp_port:%s", t.second_port);
    ask_until("INFO server", text);
}

static void a_sentinel_taken_for_a_server(void **state) {
    (void)state;
    const struct redis_events events = {on_up, on_down, NULL};
    char target[64];
    sentinel_start(false);
    snprintf(target, sizeof target, "localhost:%s", t.sentinel_port);
    assert_int_equal(redis_new(&t.redis, &t.loop, target, &events, NULL), 0);
    struct redis_down_for wanted = {t.redis, "it is a Sentinel: name its service by serviceName"};
    redis_until(&t.loop, redis_is_down_for, &wanted);
}

static void an_unknown_service(void **state) {
    (void)state;
    sentinel_start(false);
    client_open("");
    redis_until(&t.loop, redis_is_up, t.redis);
    redis_cli(t.sentinel_port, (const char *const[]){"SENTINEL", "REMOVE", "desk", NULL});
    redis_child_kill(&t.first);
    struct redis_down_for wanted = {t.redis, "Sentinel: knows no master named \"desk\""};
    redis_until(&t.loop, redis_is_down_for, &wanted);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_failover_is_followed),
        TEST(a_master_cut_off_is_left),
        TEST(a_sentinel_taken_for_a_server),
        TEST(an_unknown_service),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
