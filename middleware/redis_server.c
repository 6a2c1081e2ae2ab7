// SPDX-License-Identifier: Apache-2.0
//
//   start -> (one was left behind: end it) -> run -> (it died: wait) -> run -> ... -> close: SIGTERM, SIGKILL
#include "middleware/redis_server.h"

#include "gateway/core/log.h"
#include "middleware/redis_server_dir.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKOFF_MIN_MS = 100,
    BACKOFF_MAX_MS = 5000,
    STABLE_MS = 10000, // one that ran for so long did not fail at its start
    END_MS = 10000,    // to write what it holds; then it is killed
    LINE_MAX_BYTES = 256,
};

struct redis_server {
    uv_loop_t *loop;
    struct redis_server_dir dir; // owns its lock
    char program[256], setpriv[256];
    uv_process_t process;
    uv_pipe_t log; // what the process writes
    uv_timer_t timer;
    uv_poll_t leftover; // a pidfd
    int leftover_fd;    // -1 without
    unsigned handles;   // open, the timer among them
    bool running, closing;
    uint64_t started_ms, backoff_ms;
    char line[LINE_MAX_BYTES], last[LINE_MAX_BYTES]; // being read; the last whole one
    size_t line_len;
    char in[1024];
    void (*on_closed)(void *arg);
    void *arg;
};

static void server_run(struct redis_server *server);

static void on_handle_closed(uv_handle_t *handle) {
    struct redis_server *server = handle->data;
    if (--server->handles)
        return;
    redis_server_dir_close(&server->dir);
    if (server->on_closed)
        server->on_closed(server->arg);
    free(server);
}

static void handle_close(void *handle) {
    uv_close(handle, on_handle_closed);
}

// ---- its log

static void line_end(struct redis_server *server) {
    server->line[server->line_len] = '\0';
    server->line_len = 0;
    if (!server->line[0])
        return;
    log_debug(NULL, "redis-server", "%s", server->line);
    memcpy(server->last, server->line, sizeof server->last);
}

static void log_bytes(struct redis_server *server, const char *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\n')
            line_end(server);
        else if (server->line_len < sizeof server->line - 1)
            server->line[server->line_len++] = bytes[i];
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)suggested;
    struct redis_server *server = handle->data;
    *buf = uv_buf_init(server->in, sizeof server->in);
}

static void on_log(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    if (n > 0)
        log_bytes(stream->data, buf->base, (size_t)n);
    else if (n < 0)
        uv_read_stop(stream);
}

// Its last words, which may not have been read when its end is known.
static void log_drain(struct redis_server *server) {
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&server->log, &fd) != 0)
        return;
    for (ssize_t n; (n = read(fd, server->in, sizeof server->in)) > 0;)
        log_bytes(server, server->in, (size_t)n);
    line_end(server);
}

// ---- running

static void on_again(uv_timer_t *timer) {
    server_run(timer->data);
}

static void run_later(struct redis_server *server) {
    if (uv_now(server->loop) - server->started_ms >= STABLE_MS)
        server->backoff_ms = BACKOFF_MIN_MS;
    uv_timer_start(&server->timer, on_again, server->backoff_ms, 0);
    server->backoff_ms = server->backoff_ms * 2 < BACKOFF_MAX_MS ? server->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void on_ended(uv_process_t *process, int64_t status, int number) {
    struct redis_server *server = process->data;
    server->running = false;
    log_drain(server);
    handle_close(&server->log);
    handle_close(&server->process);
    if (server->closing) {
        handle_close(&server->timer);
        return;
    }
    log_error(NULL, "redis-server",
              "the private Redis ended (status %lld, signal %d) and is started again: %s", (long long)status,
              number, server->last);
    run_later(server);
}

// A gateway that is killed must not leave it behind, hence setpriv; a session of its own keeps the terminal's
// Ctrl-C away from it, since calls that end then still use it.
static int spawn(struct redis_server *server, int log_fd) {
    // A call's entry stays one piece of memory, although its list of servers is longer than 64 bytes; and 8,000 calls
    // a second would fill the usual 64 MB within a few, each time to be written anew.
    char *args[] = {server->setpriv,
                    "--pdeathsig",
                    "TERM",
                    "--",
                    server->program,
                    "--port",
                    "0",
                    "--unixsocket",
                    server->dir.socket,
                    "--unixsocketperm",
                    "700",
                    "--dir",
                    server->dir.path,
                    "--appendonly",
                    "yes",
                    "--auto-aof-rewrite-min-size",
                    "256mb",
                    "--hash-max-ziplist-value",
                    "512",
                    "--save",
                    "",
                    "--daemonize",
                    "no",
                    "--logfile",
                    "",
                    NULL};
    char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL}; // ours holds secrets
    uv_stdio_container_t stdio[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = log_fd},
        {.flags = UV_INHERIT_FD, .data.fd = log_fd},
    };
    const uv_process_options_t options = {
        .exit_cb = on_ended,
        .file = args[0],
        .args = args,
        .env = env,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = 3,
        .stdio = stdio,
    };
    server->process.data = server;
    server->handles++;
    int err = uv_spawn(server->loop, &server->process, &options);
    if (err)
        handle_close(&server->process);
    return err;
}

static void server_run(struct redis_server *server) {
    uv_file ends[2];
    server->started_ms = uv_now(server->loop);
    server->last[0] = '\0';
    server->line_len = 0;
    int err = uv_pipe(ends, UV_NONBLOCK_PIPE, 0);
    if (!err) {
        uv_pipe_init(server->loop, &server->log, 0); // cannot fail
        uv_pipe_open(&server->log, ends[0]);
        server->log.data = server;
        server->handles++;
        err = spawn(server, ends[1]);
        close(ends[1]);
        if (err)
            handle_close(&server->log);
    }
    if (err) {
        log_error(NULL, "redis-server", "the private Redis cannot be started: %s", uv_strerror(err));
        run_later(server);
        return;
    }
    server->running = true;
    uv_read_start((uv_stream_t *)&server->log, on_alloc, on_log);
}

// ---- one that was left behind

static void leftover_done(struct redis_server *server) {
    uv_timer_stop(&server->timer);
    handle_close(&server->leftover);
    close(server->leftover_fd);
    server->leftover_fd = -1;
}

static void on_leftover_gone(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    struct redis_server *server = poll->data;
    leftover_done(server);
    server_run(server);
}

static void on_leftover_late(uv_timer_t *timer) {
    struct redis_server *server = timer->data;
    pidfd_send_signal(server->leftover_fd, SIGKILL, NULL, 0);
}

// The process that listens on our socket, as a pidfd; -1 when nobody does. We hold the directory's lock, so it
// belongs to no living gateway.
static int leftover_find(const struct redis_server *server) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer = {.pid = 0};
    socklen_t len = sizeof peer;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", server->dir.socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), pid_fd = -1;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0)
        pid_fd = pidfd_open(peer.pid, 0);
    if (fd >= 0)
        close(fd);
    return pid_fd;
}

// Its data is the same, but its log and its end are not ours to see, so it makes room for a child.
static bool leftover_end(struct redis_server *server) {
    server->leftover_fd = leftover_find(server);
    if (server->leftover_fd < 0)
        return false;
    if (uv_poll_init(server->loop, &server->leftover, server->leftover_fd) != 0) {
        close(server->leftover_fd);
        return false;
    }
    log_warn(NULL, "redis-server", "a private Redis was left behind by a gateway that was killed; ending it");
    unlink(server->dir.socket); // nobody shall connect to it any more
    pidfd_send_signal(server->leftover_fd, SIGTERM, NULL, 0);
    server->leftover.data = server;
    server->handles++;
    uv_poll_start(&server->leftover, UV_READABLE, on_leftover_gone);
    uv_timer_start(&server->timer, on_leftover_late, END_MS, 0);
    return true;
}

// ---- life

int redis_server_start(struct redis_server **out, uv_loop_t *loop, const char *directory,
                       struct err_text *err) {
    struct redis_server *server = calloc(1, sizeof *server);
    if (!server)
        return err_set(err, -ENOMEM, "out of memory");
    int rc = redis_server_program("redis-server", server->program, sizeof server->program);
    if (rc)
        err_set(err, rc,
                "RedisConnectionString: is empty and there is no redis-server program for a private "
                "one; install the package redis-server, or name a Redis");
    if (!rc)
        rc = redis_server_program("setpriv", server->setpriv, sizeof server->setpriv);
    if (rc && *server->program)
        err_set(err, rc,
                "RedisConnectionString: is empty and there is no setpriv program to start a private "
                "Redis; install the package util-linux, or name a Redis");
    if (!rc)
        rc = redis_server_dir_open(&server->dir, directory, err);
    if (rc) {
        free(server);
        return rc;
    }
    server->loop = loop;
    server->leftover_fd = -1;
    server->backoff_ms = BACKOFF_MIN_MS;
    uv_timer_init(loop, &server->timer); // cannot fail
    server->timer.data = server;
    server->handles = 1;
    if (!leftover_end(server))
        server_run(server);
    *out = server;
    return 0;
}

const char *redis_server_target(const struct redis_server *server) {
    return server->dir.target;
}

pid_t redis_server_pid(const struct redis_server *server) {
    return server->running ? uv_process_get_pid(&server->process) : 0;
}

static void on_late(uv_timer_t *timer) {
    struct redis_server *server = timer->data;
    log_warn(NULL, "redis-server", "the private Redis does not end; killing it");
    uv_process_kill(&server->process, SIGKILL);
}

void redis_server_close(struct redis_server *server, void (*on_closed)(void *arg), void *arg) {
    if (server->closing)
        return;
    server->closing = true;
    server->on_closed = on_closed;
    server->arg = arg;
    if (server->leftover_fd >= 0)
        leftover_done(server);
    if (!server->running) {
        handle_close(&server->timer);
        return;
    }
    uv_process_kill(&server->process, SIGTERM);
    uv_timer_start(&server->timer, on_late, END_MS, 0);
}
