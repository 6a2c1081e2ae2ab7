// SPDX-License-Identifier: Apache-2.0
// The private Redis: its directory, its process, what survives.
#include "middleware/redis_server.h"
#include "middleware/redis_server_dir.h"
#include "tests/unit/middleware/redis_fixture.h"

#include <sys/stat.h>

static struct {
    uv_loop_t loop;
    char dir[64];
    struct redis_server *server;
    struct redis *redis;
} t;

static void on_up(void *arg) {
    (void)arg;
}

static void on_down(const char *why, void *arg) {
    (void)why;
    (void)arg;
}

static void start(void) {
    struct err_text err = {""};
    const struct redis_events events = {on_up, on_down, NULL};
    assert_int_equal(redis_server_start(&t.server, &t.loop, t.dir, &err), 0);
    assert_int_equal(redis_new(&t.redis, &t.loop, redis_server_target(t.server), &events, &err), 0);
    redis_until(&t.loop, redis_is_up, t.redis);
}

static void stop(void) {
    bool closed = false;
    redis_close_and_wait(t.redis, &t.loop);
    redis_server_close(t.server, redis_on_flag, &closed);
    assert_false(closed);
    redis_until(&t.loop, redis_is_true, &closed);
    t.server = NULL;
}

static int set_up(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    signal(SIGPIPE, SIG_IGN);
    snprintf(t.dir, sizeof t.dir, "/tmp/iqra-redis-XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    return uv_loop_init(&t.loop);
}

static int tear_down(void **state) {
    (void)state;
    if (t.server)
        stop();
    nftw(t.dir, redis_fixture_unlink, 8, FTW_DEPTH | FTW_PHYS);
    return uv_loop_close(&t.loop);
}

static unsigned mode_of(const char *name) {
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", t.dir, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static void what_it_holds_survives(void **state) {
    (void)state;
    start();
    assert_string_equal(redis_ask(t.redis, &t.loop, "SET k kept").text, "OK");
    assert_int_equal(mode_of("redis"), 0700);
    assert_int_equal(mode_of("redis/redis.sock"), 0700);
    assert_string_equal(redis_ask(t.redis, &t.loop, "CONFIG GET port").text, "port 0 ");
    pid_t pid = redis_server_pid(t.server);
    assert_true(pid > 0);
    assert_true(getpgid(pid) == pid);
    stop();
    assert_int_equal(kill(pid, 0), -1);
    start();
    assert_string_equal(redis_ask(t.redis, &t.loop, "GET k").text, "kept");
}

static void it_comes_back_when_killed(void **state) {
    (void)state;
    start();
    assert_string_equal(redis_ask(t.redis, &t.loop, "SET k kept").text, "OK");
    pid_t first = redis_server_pid(t.server);
    kill(first, SIGKILL);
    redis_until(&t.loop, redis_is_down, t.redis);
    redis_until(&t.loop, redis_is_up, t.redis);
    assert_true(redis_server_pid(t.server) > 0);
    assert_true(redis_server_pid(t.server) != first);
    assert_string_equal(redis_ask(t.redis, &t.loop, "GET k").text, "kept");
}

static bool is_gone(void *pid) {
    return kill(*(pid_t *)pid, 0) != 0;
}

// A gateway in a child process, whose Redis is left to itself when it is killed.
static pid_t run_and_kill(void) {
    int ends[2];
    pid_t redis_pid = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t gateway = fork();
    if (!gateway) {
        uv_loop_fork(&t.loop);
        start();
        redis_ask(t.redis, &t.loop, "SET k kept");
        redis_pid = redis_server_pid(t.server);
        if (write(ends[1], &redis_pid, sizeof redis_pid) < 0)
            _exit(1);
        pause();
    }
    assert_int_equal(read(ends[0], &redis_pid, sizeof redis_pid), sizeof redis_pid);
    close(ends[0]);
    close(ends[1]);
    kill(gateway, SIGKILL);
    waitpid(gateway, NULL, 0);
    return redis_pid;
}

static void it_ends_with_a_killed_gateway(void **state) {
    (void)state;
    // Its orphan comes to us, so that it can be waited for.
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t pid = run_and_kill();
    assert_true(pid > 0);
    waitpid(pid, NULL, 0);
    assert_true(is_gone(&pid));
    start();
    assert_string_equal(redis_ask(t.redis, &t.loop, "GET k").text, "kept");
}

static void one_that_was_left_behind_makes_room(void **state) {
    (void)state;
    char folder[96], socket_path[128];
    snprintf(folder, sizeof folder, "%s/redis", t.dir);
    snprintf(socket_path, sizeof socket_path, "%s/redis.sock", folder);
    assert_int_equal(mkdir(folder, 0755), 0);
    const char *const args[] = {"--unixsocket", socket_path, "--dir", folder, "--appendonly", "yes", NULL};
    struct redis_server_child left;
    struct redis *redis = NULL;
    const struct redis_events events = {on_up, on_down, NULL};
    redis_child_start(&left, args);
    snprintf(left.target, sizeof left.target, "unix:%s", socket_path);
    assert_int_equal(redis_new(&redis, &t.loop, left.target, &events, NULL), 0);
    redis_until(&t.loop, redis_is_up, redis);
    assert_string_equal(redis_ask(redis, &t.loop, "SET k kept").text, "OK");
    redis_close_and_wait(redis, &t.loop);
    start();
    assert_true(redis_server_pid(t.server) != left.pid);
    assert_string_equal(redis_ask(t.redis, &t.loop, "GET k").text, "kept");
    int status = -1;
    assert_int_equal(waitpid(left.pid, &status, WNOHANG), left.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    left.pid = 0;
    redis_child_end(&left);
    assert_int_equal(mode_of("redis"), 0700);
}

static void closing_at_once(void **state) {
    (void)state;
    struct err_text err = {""};
    bool closed = false;
    assert_int_equal(redis_server_start(&t.server, &t.loop, t.dir, &err), 0);
    redis_server_close(t.server, redis_on_flag, &closed);
    redis_until(&t.loop, redis_is_true, &closed);
    t.server = NULL;
}

static void refuse(const char *directory, int code, const char *text) {
    struct redis_server *server = NULL;
    struct err_text err = {""};
    assert_int_equal(redis_server_start(&server, &t.loop, directory, &err), code);
    assert_null(server);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" does not say \"%s\"", err.text, text);
}

static void directories_that_cannot_be(void **state) {
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s/a/b", t.dir);
    struct redis_server *server = NULL;
    bool closed = false;
    assert_int_equal(redis_server_start(&server, &t.loop, path, NULL), 0);
    assert_int_equal(mode_of("a"), 0700);
    refuse(path, -EBUSY, "/a/b/redis is in use by another gateway");
    redis_server_close(server, redis_on_flag, &closed);
    redis_until(&t.loop, redis_is_true, &closed);
    refuse("/proc/none", -ENOENT, "Gateway.DataDirectory: /proc/none cannot be made");
    snprintf(path, sizeof path, "%s/%0100d", t.dir, 1);
    refuse(path, -ENAMETOOLONG, "is too long for a unix socket's path");
    snprintf(path, sizeof path, "%s/a,b", t.dir);
    refuse(path, -EINVAL, "holds a comma");
    snprintf(path, sizeof path, "%s/a/redis", t.dir);
    assert_int_equal(symlink("/tmp", path), 0);
    snprintf(path, sizeof path, "%s/a", t.dir);
    refuse(path, -EPERM, "is no directory of this user's own");
}

static void without_the_program(void **state) {
    (void)state;
    char out[256];
    assert_int_equal(redis_server_program("redis-server", out, sizeof out), 0);
    assert_int_equal(access(out, X_OK), 0);
    assert_int_equal(redis_server_program("no-such-program-here", out, sizeof out), -ENOENT);
    assert_string_equal(out, "");
    assert_int_equal(redis_server_program("redis-server", out, 8), -ENOENT);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_it_holds_survives),
        TEST(it_comes_back_when_killed),
        TEST(it_ends_with_a_killed_gateway),
        TEST(one_that_was_left_behind_makes_room),
        TEST(closing_at_once),
        TEST(directories_that_cannot_be),
        TEST(without_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
