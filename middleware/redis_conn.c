// SPDX-License-Identifier: Apache-2.0
//
//   command  -> format -> out -> (once a turn) stream -> Redis
//   callback <- waiting, in order <- reader <- stream <- Redis
#include "middleware/redis_conn.h"

#include "gateway/core/metrics.h"
#include "middleware/redis_reply.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STREAM_QUEUE_BYTES = 256 * 1024, // between us and the kernel
    WAITING_MIN = 64,
    OUT_MIN = 4096,
    OUT_KEEP = 256 * 1024, // a buffer that grew beyond is given back when it is empty
};

enum conn_state { CONN_OPENING, CONN_OPEN, CONN_FAILED, CONN_CLOSED };

struct waiting {
    redis_fn *fn; // may be NULL
    void *arg;
    uint64_t deadline_ms;
    uint64_t begin_ns;
    uint64_t at; // bytes of `out` ever written before this command
    size_t bytes;
};

struct redis_conn {
    struct redis_conn_config config;
    struct redis_conn_events events;
    enum conn_state state;
    struct wsc_stream *stream;
    redisReader *reader; // owns
    size_t unparsed;     // bytes since the last whole answer
    uv_timer_t timer;    // connecting; then the oldest command, or keep-alive while none waits
    uv_idle_t flush;     // runs in the next turn of the loop, which does not block while it is started
    unsigned handles;
    // Commands without an answer: a ring, owned.
    struct waiting *waiting;
    size_t waiting_cap, waiting_at, waiting_count, waiting_bytes;
    // Bytes not yet given to the stream, owned.
    char *out;
    size_t out_cap, out_at, out_len;
    uint64_t out_total, sent_total; // ever put into `out`; ever given to the stream
};

static void conn_free(struct redis_conn *conn) {
    if (conn->reader)
        redisReaderFree(conn->reader);
    free(conn->waiting);
    free(conn->out);
    free(conn);
}

static void on_stream_closed(void *arg) {
    struct redis_conn *conn = arg;
    if (--conn->handles)
        return;
    conn->events.on_closed(conn->events.arg);
    conn_free(conn);
}

static void on_handle_closed(uv_handle_t *handle) {
    on_stream_closed(handle->data);
}

// ---- commands that wait

static struct waiting waiting_pop(struct redis_conn *conn) {
    struct waiting first = conn->waiting[conn->waiting_at];
    conn->waiting_at = (conn->waiting_at + 1) % conn->waiting_cap;
    conn->waiting_count--;
    conn->waiting_bytes -= first.bytes;
    return first;
}

static int waiting_grow(struct redis_conn *conn) {
    if (conn->waiting_count < conn->waiting_cap)
        return 0;
    size_t cap = conn->waiting_cap * 2;
    struct waiting *ring = calloc(cap, sizeof *ring);
    if (!ring)
        return -ENOMEM;
    for (size_t i = 0; i < conn->waiting_count; i++)
        ring[i] = conn->waiting[(conn->waiting_at + i) % conn->waiting_cap];
    free(conn->waiting);
    conn->waiting = ring;
    conn->waiting_cap = cap;
    conn->waiting_at = 0;
    return 0;
}

static void waiting_end(const struct waiting *waiting, int err, const struct redis_reply *reply) {
    if (!err) {
        metric_add(METRIC_REDIS_ANSWERS, 1);
        metric_add(METRIC_REDIS_ANSWER_US, (int64_t)((uv_hrtime() - waiting->begin_ns) / 1000));
    }
    if (err || (reply->type == REDIS_ERROR && !redis_is_error(reply, "NOSCRIPT")))
        metric_add(METRIC_REDIS_ERRORS, 1);
    if (waiting->fn)
        waiting->fn(err, reply, waiting->arg);
}

// What the stream never got was surely not carried out.
static void waiting_fail_all(struct redis_conn *conn, int why) {
    uint64_t now_ms = uv_now(conn->config.loop);
    while (conn->waiting_count) {
        struct waiting waiting = waiting_pop(conn);
        int err = why;
        if (!err && waiting.at >= conn->sent_total)
            err = -ENOTCONN;
        else if (!err)
            err = waiting.deadline_ms <= now_ms ? -ETIMEDOUT : -ECONNRESET;
        waiting_end(&waiting, err, NULL);
    }
}

void redis_conn_fail(struct redis_conn *conn, const char *why) {
    if (conn->state >= CONN_FAILED)
        return;
    conn->state = CONN_FAILED;
    uv_timer_stop(&conn->timer);
    uv_idle_stop(&conn->flush);
    waiting_fail_all(conn, 0);
    if (conn->state == CONN_FAILED)
        conn->events.on_fail(why, conn->events.arg);
}

// ---- time

static void on_timer(uv_timer_t *timer);

static void timer_at(struct redis_conn *conn, uint64_t at_ms) {
    uint64_t now_ms = uv_now(conn->config.loop);
    uv_timer_start(&conn->timer, on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

static void keep_alive(struct redis_conn *conn) {
    const struct redis_arg ping = redis_str("PING");
    if (redis_conn_command(conn, &ping, 1, NULL, NULL) != 0)
        redis_conn_fail(conn, "out of memory");
}

static void on_timer(uv_timer_t *timer) {
    struct redis_conn *conn = timer->data;
    uint64_t now_ms = uv_now(conn->config.loop);
    if (conn->state == CONN_OPENING) {
        char why[64];
        snprintf(why, sizeof why, "timed out %s", wsc_stream_phase(conn->stream));
        redis_conn_fail(conn, why);
    } else if (!conn->waiting_count) {
        keep_alive(conn);
    } else if (conn->waiting[conn->waiting_at].deadline_ms > now_ms) {
        timer_at(conn, conn->waiting[conn->waiting_at].deadline_ms);
    } else {
        redis_conn_fail(conn, "no answer within the time limit");
    }
}

// The timer may stand at the deadline of a command that is answered by now; on_timer sees to it.
static void timer_idle(struct redis_conn *conn) {
    if (conn->waiting_count)
        return;
    if (conn->config.keep_alive_ms)
        uv_timer_start(&conn->timer, on_timer, conn->config.keep_alive_ms, 0);
    else
        uv_timer_stop(&conn->timer);
}

// ---- writing

static void out_flush(struct redis_conn *conn) {
    while (conn->state == CONN_OPEN && conn->out_len) {
        size_t n = wsc_stream_room(conn->stream);
        if (n > conn->out_len)
            n = conn->out_len;
        if (!n) {
            wsc_stream_want_room(conn->stream);
            return;
        }
        // A failure is told by on_stream_fail, from the loop.
        if (wsc_stream_write(conn->stream, (const uint8_t *)conn->out + conn->out_at, n) != 0)
            return;
        conn->out_at += n;
        conn->out_len -= n;
        conn->sent_total += n;
    }
    if (conn->out_len)
        return;
    conn->out_at = 0;
    if (conn->out_cap > OUT_KEEP) {
        free(conn->out);
        conn->out = NULL;
        conn->out_cap = 0;
    }
}

static void on_flush(uv_idle_t *idle) {
    uv_idle_stop(idle);
    out_flush(idle->data);
}

static void on_stream_room(void *arg) {
    out_flush(arg);
}

static int out_reserve(struct redis_conn *conn, size_t len) {
    if (conn->out_len + len <= conn->out_cap - conn->out_at)
        return 0;
    size_t cap = conn->out_cap ? conn->out_cap : OUT_MIN;
    while (cap < conn->out_len + len)
        cap *= 2;
    char *out = malloc(cap);
    if (!out)
        return -ENOMEM;
    if (conn->out_len)
        memcpy(out, conn->out + conn->out_at, conn->out_len);
    free(conn->out);
    conn->out = out;
    conn->out_cap = cap;
    conn->out_at = 0;
    return 0;
}

static int conn_put(struct redis_conn *conn, const char *bytes, size_t len, redis_fn *fn, void *arg) {
    if (conn->waiting_bytes + len > REDIS_WAITING_BYTES_MAX)
        return -ENOTCONN;
    int err = waiting_grow(conn);
    if (!err)
        err = out_reserve(conn, len);
    if (err)
        return err;
    memcpy(conn->out + conn->out_at + conn->out_len, bytes, len);
    uint64_t deadline_ms = uv_now(conn->config.loop) + conn->config.command_timeout_ms;
    if (!conn->waiting_count)
        timer_at(conn, deadline_ms);
    size_t end = (conn->waiting_at + conn->waiting_count++) % conn->waiting_cap;
    conn->waiting[end] = (struct waiting){.fn = fn,
                                          .arg = arg,
                                          .deadline_ms = deadline_ms,
                                          .begin_ns = uv_hrtime(),
                                          .at = conn->out_total,
                                          .bytes = len};
    conn->waiting_bytes += len;
    conn->out_len += len;
    conn->out_total += len;
    metric_add(METRIC_REDIS_COMMANDS, 1);
    uv_idle_start(&conn->flush, on_flush);
    return 0;
}

int redis_conn_command(struct redis_conn *conn, const struct redis_arg *args, size_t count, redis_fn *fn,
                       void *arg) {
    const char *ptrs[REDIS_ARGS_MAX];
    size_t lens[REDIS_ARGS_MAX], total = 0;
    if (count > REDIS_ARGS_MAX)
        return -E2BIG;
    for (size_t i = 0; i < count; i++) {
        ptrs[i] = args[i].ptr;
        lens[i] = args[i].len;
        total += args[i].len;
        if (total > REDIS_WAITING_BYTES_MAX)
            return -E2BIG;
    }
    if (conn->state != CONN_OPEN || conn->waiting_count >= REDIS_WAITING_MAX)
        return -ENOTCONN;
    char *bytes = NULL;
    long long len = redisFormatCommandArgv(&bytes, (int)count, ptrs, lens);
    if (len < 0)
        return -ENOMEM;
    int err = conn_put(conn, bytes, (size_t)len, fn, arg);
    redisFreeCommand(bytes);
    return err;
}

int redis_conn_log_in(struct redis_conn *conn, const struct redis_string *target, redis_fn *fn, void *arg) {
    struct redis_arg args[3] = {redis_str("AUTH")};
    size_t count = 1;
    if (!*target->password)
        return 0;
    if (*target->user)
        args[count++] = redis_str(target->user);
    args[count++] = redis_str(target->password);
    return redis_conn_command(conn, args, count, fn, arg);
}

bool redis_conn_is_open(const struct redis_conn *conn) {
    return conn->state == CONN_OPEN;
}

// ---- reading

static void conn_answer(struct redis_conn *conn, const struct redis_reply *reply) {
    if (conn->events.on_push && conn->events.on_push(reply, conn->events.arg))
        return;
    if (conn->state != CONN_OPEN)
        return;
    if (!conn->waiting_count) {
        // As when Redis shuts down or has too many clients: an error, then the end.
        redis_conn_fail(conn, reply->type == REDIS_ERROR ? reply->str : "an answer that nobody asked for");
        return;
    }
    struct waiting waiting = waiting_pop(conn);
    timer_idle(conn);
    bool down = redis_means_down(reply);
    char why[128];
    snprintf(why, sizeof why, "%s", reply->str);
    // Such a command was not carried out, so it counts as not sent.
    waiting_end(&waiting, down ? -ENOTCONN : 0, down ? NULL : reply);
    if (down)
        redis_conn_fail(conn, why);
}

// False when there is no whole answer left.
static bool conn_read(struct redis_conn *conn) {
    void *raw = NULL;
    if (redisReaderGetReply(conn->reader, &raw) != REDIS_OK) {
        redis_conn_fail(conn, conn->reader->errstr);
        return false;
    }
    if (!raw)
        return false;
    conn->unparsed = 0;
    struct redis_reply *reply = redis_reply_of(raw);
    if (reply)
        conn_answer(conn, reply);
    else
        redis_conn_fail(conn, "out of memory");
    free(reply);
    freeReplyObject(raw);
    return true;
}

static void on_stream_bytes(const uint8_t *data, size_t len, void *arg) {
    struct redis_conn *conn = arg;
    conn->unparsed += len;
    if (redisReaderFeed(conn->reader, (const char *)data, len) != REDIS_OK) {
        redis_conn_fail(conn, conn->reader->errstr);
        return;
    }
    while (conn->state == CONN_OPEN && conn_read(conn)) {
    }
    if (conn->unparsed > REDIS_REPLY_BYTES_MAX)
        redis_conn_fail(conn, "an answer is too large");
}

// ---- life

static void on_stream_up(void *arg) {
    struct redis_conn *conn = arg;
    conn->state = CONN_OPEN;
    timer_idle(conn);
    conn->events.on_open(conn->events.arg);
}

static void on_stream_fail(bool eof, const char *reason, void *arg) {
    struct redis_conn *conn = arg;
    bool closed = eof && conn->state == CONN_OPEN;
    redis_conn_fail(conn, closed ? "the server closed the connection" : reason);
}

void redis_conn_url(struct wsc_url *out, const struct redis_host *host, bool tls) {
    out->secure = tls;
    out->bracketed = strchr(host->name, ':') != NULL;
    snprintf(out->host, sizeof out->host, "%s", host->name);
    snprintf(out->port, sizeof out->port, "%u", host->port);
}

int redis_conn_open(struct redis_conn **out, const struct redis_conn_config *config,
                    const struct redis_conn_events *events) {
    struct redis_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return -ENOMEM;
    conn->config = *config;
    conn->events = *events;
    const struct wsc_stream_config stream_config = {
        .loop = config->loop,
        .tls = config->tls,
        .url = config->url,
        .tls_host = config->tls_host,
        .path = config->path,
        .connect_timeout_ms = config->connect_timeout_ms,
        .queue_bytes = STREAM_QUEUE_BYTES,
    };
    const struct wsc_stream_events stream_events = {
        .on_up = on_stream_up,
        .on_bytes = on_stream_bytes,
        .on_room = on_stream_room,
        .on_fail = on_stream_fail,
        .on_closed = on_stream_closed,
        .arg = conn,
    };
    int err = -ENOMEM;
    conn->waiting_cap = WAITING_MIN;
    conn->waiting = calloc(conn->waiting_cap, sizeof *conn->waiting);
    conn->reader = redisReaderCreate();
    if (conn->waiting && conn->reader)
        err = wsc_stream_open(&conn->stream, &stream_config, &stream_events);
    if (err) {
        conn_free(conn);
        return err;
    }
    uv_timer_init(config->loop, &conn->timer); // neither can fail
    uv_idle_init(config->loop, &conn->flush);
    conn->timer.data = conn->flush.data = conn;
    conn->handles = 3;
    uv_timer_start(&conn->timer, on_timer, config->connect_timeout_ms, 0);
    *out = conn;
    return 0;
}

void redis_conn_close(struct redis_conn *conn) {
    if (conn->state == CONN_CLOSED)
        return;
    conn->state = CONN_CLOSED;
    waiting_fail_all(conn, -ECANCELED);
    wsc_stream_close(conn->stream);
    uv_close((uv_handle_t *)&conn->timer, on_handle_closed);
    uv_close((uv_handle_t *)&conn->flush, on_handle_closed);
}
