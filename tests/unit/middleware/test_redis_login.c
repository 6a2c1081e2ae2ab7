// SPDX-License-Identifier: Apache-2.0
// Reaching a server: passwords, users, databases, TLS, several hosts.
#include "tests/unit/middleware/redis_fixture.h"

static struct {
    uv_loop_t loop;
    struct redis_server_child server;
    uint16_t port;
    struct redis *redis;
} t;

static void on_up(void *arg) {
    (void)arg;
}

static void on_down(const char *why, void *arg) {
    (void)why;
    (void)arg;
}

static void client_open(const char *target) {
    const struct redis_events events = {on_up, on_down, NULL};
    struct err_text err = {""};
    if (t.redis)
        redis_close_and_wait(t.redis, &t.loop);
    t.redis = NULL;
    int rc = redis_new(&t.redis, &t.loop, target, &events, &err);
    if (rc)
        fail_msg("%s: %s", target, err.text);
}

static void client_up(const char *target) {
    client_open(target);
    redis_until(&t.loop, redis_is_up, t.redis);
}

static void client_down(const char *target, const char *why) {
    client_open(target);
    struct redis_down_for wanted = {t.redis, why};
    redis_until(&t.loop, redis_is_down_for, &wanted);
}

static struct redis_answer ask(const char *words) {
    return redis_ask(t.redis, &t.loop, words);
}

static int set_up(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    return uv_loop_init(&t.loop);
}

static int tear_down(void **state) {
    (void)state;
    if (t.redis)
        redis_close_and_wait(t.redis, &t.loop);
    if (t.server.dir[0])
        redis_child_end(&t.server);
    return uv_loop_close(&t.loop);
}

// The server's socket with options behind it.
static const char *with(const char *options) {
    static char text[512];
    snprintf(text, sizeof text, "%s%s", t.server.target, options);
    return text;
}

static void passwords(void **state) {
    (void)state;
    redis_child_start(&t.server, (const char *const[]){"--requirepass", "se=cret,with \"all\"", NULL});
    client_up(with(",password=\"se=cret,with \"all\"\",name=desk"));
    assert_string_equal(ask("CLIENT GETNAME").text, "desk");
    client_down(with(",password=wrong"), "WRONGPASS");
    assert_null(strstr(redis_why_down(t.redis), "wrong"));
    client_down(with(""), "NOAUTH Authentication required");
}

static void users_and_what_they_may(void **state) {
    (void)state;
    redis_child_start(&t.server, (const char *const[]){"--user", "desk", "on", ">pw", "~*", "&*", "+@all",
                                                       "-role", "-ping", "-client|setname", NULL});
    client_up(with(",user=desk,password=pw"));
    assert_string_equal(ask("ACL WHOAMI").text, "desk");
    assert_string_equal(ask("SET k v").text, "OK");
    client_down(with(",user=none,password=pw"), "WRONGPASS");
}

static void databases(void **state) {
    (void)state;
    redis_child_start(&t.server, NULL);
    client_up(with(",defaultDatabase=3"));
    assert_string_equal(ask("SET k three").text, "OK");
    client_up(with(""));
    assert_int_equal(ask("GET k").type, REDIS_NIL);
    assert_string_equal(ask("SELECT 3").text, "OK");
    assert_string_equal(ask("GET k").text, "three");
    client_down(with(",defaultDatabase=99"), "DB index is out of range");
}

// ---- a server of our own, for what a real one says too seldom

static struct {
    uv_pipe_t listener, peer;
    const char *says; // to the first bytes of a connection
    char bytes[4096];
} fake;

static void on_fake_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(fake.bytes, sizeof fake.bytes);
}

static void on_fake_read(uv_stream_t *peer, ssize_t n, const uv_buf_t *buf) {
    (void)buf;
    uv_buf_t answer = uv_buf_init((char *)(uintptr_t)fake.says, (unsigned)strlen(fake.says));
    uv_read_stop(peer);
    if (n > 0)
        assert_int_equal(uv_try_write(peer, &answer, 1), answer.len);
}

static void on_fake_connection(uv_stream_t *listener, int status) {
    assert_int_equal(status, 0);
    if (fake.peer.data)
        return; // the first one is enough
    fake.peer.data = &fake;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&fake.peer), 0);
    uv_read_start((uv_stream_t *)&fake.peer, on_fake_alloc, on_fake_read);
}

static void answered_with(const char *says, const char *why) {
    char dir[] = "/tmp/iqra-fake-XXXXXX", path[64], target[80];
    memset(&fake, 0, sizeof fake);
    fake.says = says;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/socket", dir);
    snprintf(target, sizeof target, "unix:%s", path);
    uv_pipe_init(&t.loop, &fake.listener, 0);
    uv_pipe_init(&t.loop, &fake.peer, 0);
    assert_int_equal(uv_pipe_bind(&fake.listener, path), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&fake.listener, 8, on_fake_connection), 0);
    client_down(target, why);
    uv_close((uv_handle_t *)&fake.listener, NULL);
    uv_close((uv_handle_t *)&fake.peer, NULL);
    redis_close_and_wait(t.redis, &t.loop);
    t.redis = NULL;
    rmdir(dir);
}

static void answers_that_mean_down(void **state) {
    (void)state;
    answered_with("-LOADING Redis is loading the dataset in memory\r\n", ": LOADING Redis is loading");
    answered_with("+OK\r\n+OK\r\n-MASTERDOWN Link with MASTER is down\r\n", ": MASTERDOWN Link");
    answered_with("-MISCONF Errors writing to the AOF file\r\n", ": MISCONF Errors writing");
    answered_with("+OK\r\n*1\r\n$5\r\nslave\r\n", ": it is a replica");
    answered_with("-ERR max number of clients reached\r\n", ": ERR max number of clients reached");
    answered_with("-ERR no names\r\n-ERR no roles\r\n-ERR no pings\r\n", ": ERR no pings");
    answered_with("HTTP/1.1 400 Bad Request\r\n\r\n", ": Protocol error");
    answered_with("*2\r\n*-1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", ": ");
}

// ---- TLS

static char ca[96], key[96];

static void start_tls(const char *names) {
    static char port[8], san[128];
    char dir[] = "/tmp/iqra-tls-XXXXXX";
    assert_non_null(mkdtemp(dir));
    snprintf(ca, sizeof ca, "%s/cert.pem", dir);
    snprintf(key, sizeof key, "%s/key.pem", dir);
    snprintf(san, sizeof san, "subjectAltName=%s", names);
    redis_run_program((const char *const[]){"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                                            "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                                            "/CN=x", "-addext", san, "-keyout", key, "-out", ca, NULL});
    t.port = redis_free_port();
    snprintf(port, sizeof port, "%u", t.port);
    redis_child_start(&t.server,
                      (const char *const[]){"--tls-port", port, "--tls-cert-file", ca, "--tls-key-file", key,
                                            "--tls-ca-cert-file", ca, "--tls-auth-clients", "no",
                                            "--requirepass", "pw", NULL});
}

static void end_tls(void) {
    unlink(ca);
    unlink(key);
    *strrchr(ca, '/') = '\0';
    rmdir(ca);
}

static const char *at(const char *host, const char *options) {
    static char text[512];
    snprintf(text, sizeof text, "%s:%u,password=pw,ssl=true%s%s", host, t.port, *options ? "," : "", options);
    return text;
}

static void on_large(int err, const struct redis_reply *reply, void *arg) {
    static char expected[3 * 1024 * 1024];
    memset(expected, 'x', sizeof expected);
    assert_int_equal(err, 0);
    assert_int_equal(reply->len, sizeof expected);
    assert_memory_equal(reply->str, expected, sizeof expected);
    *(bool *)arg = true;
}

// More than any buffer on the way holds, in both directions.
static void large_values_pass(void) {
    static char value[3 * 1024 * 1024];
    bool done = false;
    memset(value, 'x', sizeof value);
    const struct redis_arg set[] = {redis_str("SET"), redis_str("big"), {value, sizeof value}};
    const struct redis_arg get[] = {redis_str("GET"), redis_str("big")};
    assert_int_equal(redis_command(t.redis, set, 3, NULL, NULL), 0);
    assert_int_equal(redis_command(t.redis, get, 2, on_large, &done), 0);
    redis_until(&t.loop, redis_is_true, &done);
}

static void tls_checks_who_answers(void **state) {
    (void)state;
    char options[256];
    start_tls("DNS:redis.test,DNS:localhost");
    snprintf(options, sizeof options, "sslCaFile=%s", ca);
    client_up(at("localhost", options));
    assert_string_equal(ask("SET k v").text, "OK");
    large_values_pass();
    snprintf(options, sizeof options, "sslCaFile=%s,sslHost=redis.test", ca);
    client_up(at("127.0.0.1", options));
    assert_string_equal(ask("GET k").text, "v");
    snprintf(options, sizeof options, "sslCaFile=%s", ca);
    client_down(at("127.0.0.1", options), "certificate refused: IP address mismatch");
    snprintf(options, sizeof options, "sslCaFile=%s,sslHost=other.test", ca);
    client_down(at("127.0.0.1", options), "certificate refused: hostname mismatch");
    client_down(at("localhost", ""), "certificate refused: self-signed certificate");
    snprintf(options, sizeof options, "localhost:%u,password=pw", t.port);
    client_down(options, "the server closed the connection");
    end_tls();
}

static void trust_that_is_none(void **state) {
    (void)state;
    const struct redis_events events = {on_up, on_down, NULL};
    struct err_text err = {""};
    redis_child_start(&t.server, NULL);
    assert_int_equal(redis_new(&t.redis, &t.loop, "h:1,ssl=true,sslCaFile=/nonexistent", &events, &err),
                     -EINVAL);
    assert_string_equal(err.text,
                        "sslCaFile: \"/nonexistent\" cannot be used: name a PEM file of certificates");
}

// ---- several hosts

static void the_master_among_several(void **state) {
    (void)state;
    char port[8], replica_port[8], target[256];
    struct redis_server_child replica;
    struct redis_down_for wanted = {.why = "it is a replica, not the master"};
    snprintf(port, sizeof port, "%u", redis_free_port());
    redis_child_start(&t.server, (const char *const[]){"--port", port, NULL});
    snprintf(replica_port, sizeof replica_port, "%u", redis_free_port());
    redis_child_start(&replica,
                      (const char *const[]){"--port", replica_port, "--replicaof", "127.0.0.1", port, NULL});
    client_down(replica.target, wanted.why);
    snprintf(target, sizeof target, "127.0.0.1:%u,localhost:%s,127.0.0.1:%s", redis_free_port(), replica_port,
             port);
    client_up(target);
    assert_string_equal(ask("SET k v").text, "OK");
    // The master becomes a replica under us: what would write is not carried out, and the other one is found.
    assert_string_equal(ask("REPLICAOF 127.0.0.1 1").text, "OK");
    struct redis_answer a = ask("SET k w");
    assert_int_equal(a.err, -ENOTCONN);
    assert_false(redis_up(t.redis));
    wanted.redis = t.redis;
    redis_until(&t.loop, redis_is_down_for, &wanted);
    redis_run_program((const char *const[]){"redis-cli", "-p", replica_port, "REPLICAOF", "NO", "ONE", NULL});
    redis_until(&t.loop, redis_is_up, t.redis);
    assert_string_equal(ask("SET k w").text, "OK");
    redis_child_end(&replica);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(passwords),
        TEST(users_and_what_they_may),
        TEST(databases),
        TEST(answers_that_mean_down),
        TEST(tls_checks_who_answers),
        TEST(trust_that_is_none),
        TEST(the_master_among_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
