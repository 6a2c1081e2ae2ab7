// SPDX-License-Identifier: Apache-2.0
// Redis servers of a test, each a child process in a folder of its own, and a loop that waits for conditions.
#ifndef IQ_TESTS_REDIS_FIXTURE_H
#define IQ_TESTS_REDIS_FIXTURE_H

#include "middleware/redis.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { REDIS_TEST_TIMEOUT_MS = 30000, REDIS_TEST_ARGS = 40 };

// ---- servers

struct redis_server_child {
    pid_t pid; // 0 while it does not run
    char dir[64];
    char target[160]; // "unix:DIR/socket", a connection string
    const char *args[REDIS_TEST_ARGS];
};

static inline void redis_child_run(struct redis_server_child *child) {
    pid_t parent = getpid();
    child->pid = fork();
    assert_true(child->pid >= 0);
    if (child->pid)
        return;
    // It must not outlive a test that crashed.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    int log = -1;
    if (chdir(child->dir) == 0)
        log = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, 1);
    dup2(log, 2);
    execvp("redis-server", (char *const *)(uintptr_t)child->args);
    _exit(127);
}

// `extra` is a NULL-terminated list of further arguments, or NULL. It is not waited for: clients try again.
static inline void redis_child_start(struct redis_server_child *child, const char *const *extra) {
    static const char *const base[] = {"redis-server", "--port", "0", "--unixsocket",
                                       "socket",       "--save", "",  NULL};
    size_t count = 0;
    signal(SIGPIPE, SIG_IGN); // as the program does
    *child = (struct redis_server_child){.dir = "/tmp/iqra-redis-XXXXXX"};
    assert_non_null(mkdtemp(child->dir));
    snprintf(child->target, sizeof child->target, "unix:%s/socket", child->dir);
    for (const char *const *arg = base; *arg; arg++)
        child->args[count++] = *arg;
    for (const char *const *arg = extra; arg && *arg; arg++) {
        assert_true(count < REDIS_TEST_ARGS - 1);
        child->args[count++] = *arg;
    }
    redis_child_run(child);
}

static inline void redis_child_kill(struct redis_server_child *child) {
    if (!child->pid)
        return;
    kill(child->pid, SIGKILL);
    waitpid(child->pid, NULL, 0);
    child->pid = 0;
}

static inline int redis_fixture_unlink(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void redis_child_end(struct redis_server_child *child) {
    redis_child_kill(child);
    nftw(child->dir, redis_fixture_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

static inline uint16_t redis_free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

// Runs a program to its end, quietly.
static inline void redis_run_program(const char *const *args) {
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        execvp(args[0], (char *const *)(uintptr_t)args);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// ---- waiting

static inline void redis_fixture_tick(uv_timer_t *timer) {
    (void)timer;
}

// Turns the loop until `done` says so.
static inline void redis_until(uv_loop_t *loop, bool (*done)(void *arg), void *arg) {
    uv_timer_t tick;
    uv_timer_init(loop, &tick);
    uv_timer_start(&tick, redis_fixture_tick, 5, 5);
    uv_update_time(loop);
    uint64_t deadline_ms = uv_now(loop) + REDIS_TEST_TIMEOUT_MS;
    while (!done(arg) && uv_now(loop) < deadline_ms)
        uv_run(loop, UV_RUN_ONCE);
    bool in_time = done(arg);
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
    assert_true(in_time);
}

static inline bool redis_is_true(void *flag) {
    return *(bool *)flag;
}

static inline bool redis_is_up(void *redis) {
    return redis_up(redis);
}

// The reason it is down, as what `redis_until` waits for.
struct redis_down_for {
    struct redis *redis;
    const char *why;
};

static inline bool redis_is_down_for(void *arg) {
    const struct redis_down_for *wanted = arg;
    return !redis_up(wanted->redis) && strstr(redis_why_down(wanted->redis), wanted->why);
}

static inline bool redis_is_down(void *redis) {
    return !redis_up(redis);
}

static inline void redis_on_flag(void *flag) {
    *(bool *)flag = true;
}

static inline void redis_close_and_wait(struct redis *redis, uv_loop_t *loop) {
    bool closed = false;
    redis_close(redis, redis_on_flag, &closed);
    redis_until(loop, redis_is_true, &closed);
}

// ---- one command, waited for

struct redis_answer {
    bool done;
    int err;
    enum redis_type type;
    int64_t integer;
    char text[512]; // of a string, or the elements of an array, each followed by a space
};

static inline void redis_on_answer(int err, const struct redis_reply *reply, void *arg) {
    struct redis_answer *answer = arg;
    assert_false(answer->done);
    answer->done = true;
    answer->err = err;
    assert_true((err != 0) == (reply == NULL));
    if (!reply)
        return;
    answer->type = reply->type;
    answer->integer = reply->integer;
    size_t used = (size_t)snprintf(answer->text, sizeof answer->text, "%s", reply->str);
    for (size_t i = 0; i < reply->count && used < sizeof answer->text; i++)
        used +=
            (size_t)snprintf(answer->text + used, sizeof answer->text - used, "%s ", reply->elements[i].str);
}

// Words of a command, split at blanks.
static inline size_t redis_words(const char *words, struct redis_arg *args, size_t max) {
    size_t count = 0;
    while (*words) {
        size_t len = strcspn(words, " ");
        assert_true(count < max);
        args[count++] = (struct redis_arg){words, len};
        words += len + (words[len] == ' ');
    }
    return count;
}

static inline int redis_send_words(struct redis *redis, const char *words, redis_fn *fn, void *arg) {
    struct redis_arg args[32];
    size_t count = redis_words(words, args, 32);
    return redis_command(redis, args, count, fn, arg);
}

static inline struct redis_answer redis_ask(struct redis *redis, uv_loop_t *loop, const char *words) {
    struct redis_answer answer = {.done = false};
    assert_int_equal(redis_send_words(redis, words, redis_on_answer, &answer), 0);
    redis_until(loop, redis_is_true, &answer.done);
    return answer;
}

#endif
