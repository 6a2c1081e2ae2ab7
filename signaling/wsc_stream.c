// SPDX-License-Identifier: Apache-2.0
#include "signaling/wsc_stream.h"

#include "gateway/core/err.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    READ_BYTES = 8192,
    PLAIN_BYTES = 4096,
    RING_MIN = 24 * 1024, // the handshake's request must fit
    RESERVE = 1024,       // for pings, pongs and the close frame
    WRITE_ERR_MS = 20,
};

enum stream_state {
    STREAM_RESOLVING,
    STREAM_DIALLING,
    STREAM_SECURING,
    STREAM_UP,
    STREAM_FAILED,
    STREAM_CLOSED
};

// Apart from the stream, because a lookup that runs in the thread pool cannot be stopped: the stream may go
// first.
struct resolve {
    uv_getaddrinfo_t request;
    struct wsc_stream *stream; // NULL when it has gone
};

struct wsc_stream {
    struct wsc_stream_config config;
    struct wsc_stream_events events;
    enum stream_state state;
    union {
        uv_tcp_t tcp;
        uv_pipe_t pipe; // config.path
    };
    uv_timer_t timer; // one address's share of the time; also carries a write failure to the loop
    uv_connect_t connect;
    uv_write_t write;
    unsigned handles; // not yet closed
    bool tcp_open;
    uv_os_fd_t fd; // of the connection; libuv's
    bool paused;
    bool want_room;
    struct resolve *resolve;
    struct addrinfo *addresses, *next; // owns; the one to try next
    uint64_t deadline_ms;
    int last_err; // of the last address tried
    int write_err;
    struct wsc_session *session; // owns, wss only
    uint8_t *ring;               // owns; made at first need
    size_t ring_cap, ring_at, ring_len, in_flight;
};

static void dial_next(struct wsc_stream *stream);

static void stream_finish(struct wsc_stream *stream) {
    if (stream->handles)
        return;
    stream->events.on_closed(stream->events.arg);
    wsc_session_free(stream->session);
    uv_freeaddrinfo(stream->addresses);
    free(stream->ring);
    free(stream);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct wsc_stream *stream = handle->data;
    stream->handles--;
    if (stream->state == STREAM_CLOSED)
        stream_finish(stream);
    else if (stream->state == STREAM_DIALLING)
        dial_next(stream);
}

static void tcp_close(struct wsc_stream *stream) {
    if (!stream->tcp_open)
        return;
    stream->tcp_open = false;
    uv_close((uv_handle_t *)&stream->tcp, on_handle_closed);
}

static void stream_fail(struct wsc_stream *stream, bool eof, const char *reason) {
    if (stream->state >= STREAM_FAILED)
        return;
    stream->state = STREAM_FAILED;
    uv_timer_stop(&stream->timer);
    if (stream->tcp_open)
        uv_read_stop((uv_stream_t *)&stream->tcp);
    stream->events.on_fail(eof, reason, stream->events.arg);
}

static void stream_fail_err(struct wsc_stream *stream, int err) {
    char reason[128];
    if (err == UV_ECONNREFUSED)
        snprintf(reason, sizeof reason, "connection refused");
    else if (err == UV_ETIMEDOUT)
        snprintf(reason, sizeof reason, "timed out %s", wsc_stream_phase(stream));
    else if (err == UV_EOF && stream->state == STREAM_UP)
        snprintf(reason, sizeof reason, "closed without a close frame");
    else if (stream->state < STREAM_UP)
        snprintf(reason, sizeof reason, "failed %s: %s", wsc_stream_phase(stream), uv_strerror(err));
    else
        snprintf(reason, sizeof reason, "connection lost: %s", uv_strerror(err));
    stream_fail(stream, err == UV_EOF || err == UV_ECONNRESET || err == UV_EPIPE, reason);
}

// ---- writing

static void on_written(uv_write_t *request, int status);

static void on_timer(uv_timer_t *timer) {
    struct wsc_stream *stream = timer->data;
    if (stream->write_err) {
        stream_fail_err(stream, stream->write_err);
    } else if (stream->state == STREAM_DIALLING) {
        stream->last_err = UV_ETIMEDOUT;
        tcp_close(stream);
    }
}

// Told from the loop and not at once, since the owner is inside a send; and a little later, since a close
// frame that says why may still wait to be read.
static void write_failed(struct wsc_stream *stream, int err) {
    stream->write_err = err;
    uv_timer_start(&stream->timer, on_timer, WRITE_ERR_MS, 0);
}

// It was needed because the other side did not read for a while, which is rare, and may never be needed again.
static void ring_free(struct wsc_stream *stream) {
    free(stream->ring);
    stream->ring = NULL;
    stream->ring_at = 0;
}

static void ring_drain(struct wsc_stream *stream) {
    if (stream->in_flight || !stream->ring_len || stream->state >= STREAM_FAILED)
        return;
    size_t first = stream->ring_cap - stream->ring_at;
    if (first > stream->ring_len)
        first = stream->ring_len;
    uv_buf_t parts[2] = {
        uv_buf_init((char *)stream->ring + stream->ring_at, (unsigned)first),
        uv_buf_init((char *)stream->ring, (unsigned)(stream->ring_len - first)),
    };
    stream->in_flight = stream->ring_len;
    stream->write.data = stream;
    int err = uv_write(&stream->write, (uv_stream_t *)&stream->tcp, parts, parts[1].len ? 2 : 1, on_written);
    if (err)
        write_failed(stream, err);
}

static void on_written(uv_write_t *request, int status) {
    struct wsc_stream *stream = request->data;
    if (stream->state >= STREAM_FAILED)
        return;
    if (status < 0) {
        write_failed(stream, status);
        return;
    }
    stream->ring_at = (stream->ring_at + stream->in_flight) % stream->ring_cap;
    stream->ring_len -= stream->in_flight;
    stream->in_flight = 0;
    if (!stream->ring_len)
        ring_free(stream);
    ring_drain(stream);
    if (stream->want_room && stream->ring_len <= stream->ring_cap / 2 && stream->state == STREAM_UP) {
        stream->want_room = false;
        stream->events.on_room(stream->events.arg);
    }
}

static int ring_put(struct wsc_stream *stream, const uint8_t *data, size_t len) {
    if (len > stream->ring_cap - stream->ring_len)
        return -EAGAIN;
    if (!stream->ring && !(stream->ring = malloc(stream->ring_cap)))
        return -ENOMEM;
    size_t at = (stream->ring_at + stream->ring_len) % stream->ring_cap;
    size_t first = stream->ring_cap - at < len ? stream->ring_cap - at : len;
    memcpy(stream->ring + at, data, first);
    memcpy(stream->ring, data + first, len - first);
    stream->ring_len += len;
    return 0;
}

// Bytes for the wire. What fits leaves by a system call of our own: libuv's way to it costs more than the call does.
static int wire_put(const uint8_t *data, size_t len, void *arg) {
    struct wsc_stream *stream = arg;
    size_t sent = 0;
    if (stream->write_err)
        return -ENOTCONN;
    if (!stream->ring_len) {
        ssize_t n = send(stream->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent = n > 0 ? (size_t)n : 0;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            stream->write_err = -errno;
    }
    int err = stream->write_err || sent == len ? 0 : ring_put(stream, data + sent, len - sent);
    if (err)
        stream->write_err = UV_ENOBUFS;
    if (stream->write_err) {
        write_failed(stream, stream->write_err);
        return -ENOTCONN;
    }
    ring_drain(stream);
    return 0;
}

size_t wsc_stream_room(const struct wsc_stream *stream) {
    size_t free_bytes = stream->ring_cap - stream->ring_len;
    if (free_bytes <= RESERVE)
        return 0;
    free_bytes -= RESERVE;
    if (!stream->session)
        return free_bytes;
    // Each write may end in a record that is not full, hence one record's overhead for each half fragment.
    return free_bytes - free_bytes / (WSC_TLS_FRAGMENT / 2) * WSC_TLS_OVERHEAD;
}

void wsc_stream_want_room(struct wsc_stream *stream) {
    stream->want_room = true;
}

int wsc_stream_write(struct wsc_stream *stream, const uint8_t *data, size_t len) {
    if (stream->state != STREAM_UP || stream->write_err)
        return -ENOTCONN;
    size_t worst = len + (stream->session ? (len / WSC_TLS_FRAGMENT + 1) * WSC_TLS_OVERHEAD : 0);
    if (worst > stream->ring_cap - stream->ring_len)
        return -EAGAIN;
    if (!stream->session)
        return wire_put(data, len, stream);
    return wsc_session_write(stream->session, data, len) ? -ENOTCONN : 0;
}

uint32_t wsc_stream_unanswered_ms(const struct wsc_stream *stream) {
    struct tcp_info info;
    socklen_t len = sizeof info;
    if (stream->state != STREAM_UP || getsockopt(stream->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return 0;
    return info.tcpi_unacked ? info.tcpi_last_ack_recv : 0;
}

// ---- reading

static void secure_bytes(struct wsc_stream *stream, const uint8_t *data, size_t len) {
    uint8_t plain[PLAIN_BYTES];
    wsc_session_feed(stream->session, data, len);
    if (stream->state == STREAM_SECURING) {
        int done = wsc_session_handshake(stream->session);
        if (done < 0)
            stream_fail(stream, false, wsc_session_reason(stream->session));
        if (done <= 0)
            return;
        stream->state = STREAM_UP;
        stream->events.on_up(stream->events.arg);
    }
    while (stream->state == STREAM_UP) {
        int n = wsc_session_read(stream->session, plain, sizeof plain);
        if (n == -EPIPE)
            stream_fail_err(stream, UV_EOF);
        else if (n < 0)
            stream_fail(stream, false, wsc_session_reason(stream->session));
        if (n <= 0)
            break;
        stream->events.on_bytes(plain, (size_t)n, stream->events.arg);
    }
    wsc_session_feed(stream->session, NULL, 0);
}

// One for all streams of a thread: libuv fills it and hands it to on_read before it asks for the next.
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    static _Thread_local char in[READ_BYTES];
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(in, sizeof in);
}

static void on_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf) {
    struct wsc_stream *stream = tcp->data;
    if (n == 0 || stream->state >= STREAM_FAILED)
        return;
    if (n < 0)
        stream_fail_err(stream, (int)n);
    else if (stream->session)
        secure_bytes(stream, (const uint8_t *)buf->base, (size_t)n);
    else
        stream->events.on_bytes((const uint8_t *)buf->base, (size_t)n, stream->events.arg);
}

void wsc_stream_pause(struct wsc_stream *stream, bool paused) {
    if (stream->state != STREAM_UP || stream->paused == paused)
        return;
    stream->paused = paused;
    if (paused)
        uv_read_stop((uv_stream_t *)&stream->tcp);
    else
        uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_read);
}

// ---- coming up

const char *wsc_stream_phase(const struct wsc_stream *stream) {
    switch (stream->state) {
    case STREAM_RESOLVING:
        return "resolving the host name";
    case STREAM_DIALLING:
        return "connecting";
    case STREAM_SECURING:
        return "in the TLS handshake";
    default:
        return "on the connection";
    }
}

static void connected(struct wsc_stream *stream) {
    uv_timer_stop(&stream->timer);
    if (!stream->config.path)
        uv_tcp_nodelay(&stream->tcp, 1);
    int err = uv_fileno((const uv_handle_t *)&stream->tcp, &stream->fd);
    if (!err)
        err = uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_read);
    if (err) {
        stream_fail_err(stream, err);
        return;
    }
    if (stream->config.path || !stream->config.url->secure) {
        stream->state = STREAM_UP;
        stream->events.on_up(stream->events.arg);
        return;
    }
    stream->state = STREAM_SECURING;
    const char *peer = stream->config.tls_host ? stream->config.tls_host : stream->config.url->host;
    err = wsc_session_new(&stream->session, stream->config.tls, peer, wire_put, stream);
    if (err)
        stream_fail(stream, false, "TLS cannot be set up");
    else if (wsc_session_handshake(stream->session) < 0)
        stream_fail(stream, false, wsc_session_reason(stream->session));
}

static void on_connect(uv_connect_t *request, int status) {
    struct wsc_stream *stream = request->data;
    // Cancelled: tcp_close was called, and its callback goes on.
    if (stream->state != STREAM_DIALLING || status == UV_ECANCELED)
        return;
    if (status == 0) {
        connected(stream);
        return;
    }
    stream->last_err = status;
    tcp_close(stream);
}

// A dead address must not eat the time of those behind it.
static void address_timer(struct wsc_stream *stream) {
    uint64_t left = 0, now_ms = uv_now(stream->config.loop);
    for (struct addrinfo *ai = stream->next; ai; ai = ai->ai_next)
        left++;
    if (stream->deadline_ms && left) {
        uint64_t time_ms = stream->deadline_ms > now_ms ? stream->deadline_ms - now_ms : 0;
        uv_timer_start(&stream->timer, on_timer, time_ms / left, 0);
    }
}

static void dial_next(struct wsc_stream *stream) {
    struct addrinfo *address = stream->next;
    if (!address) {
        stream_fail_err(stream, stream->last_err);
        return;
    }
    address_timer(stream);
    stream->next = address->ai_next;
    int err = uv_tcp_init(stream->config.loop, &stream->tcp);
    if (err) {
        stream_fail_err(stream, err);
        return;
    }
    stream->tcp.data = stream;
    stream->connect.data = stream;
    stream->handles++;
    stream->tcp_open = true;
    err = uv_tcp_connect(&stream->connect, &stream->tcp, address->ai_addr, on_connect);
    if (err) {
        stream->last_err = err;
        tcp_close(stream);
    }
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses) {
    struct resolve *resolve = (struct resolve *)request;
    struct wsc_stream *stream = resolve->stream;
    free(resolve);
    if (!stream) {
        uv_freeaddrinfo(addresses);
        return;
    }
    stream->resolve = NULL;
    stream->addresses = stream->next = addresses;
    if (status < 0) {
        stream_fail_err(stream, status);
        return;
    }
    stream->last_err = UV_EADDRNOTAVAIL;
    stream->state = STREAM_DIALLING;
    dial_next(stream);
}

static int resolve_start(struct wsc_stream *stream) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    struct resolve *resolve = calloc(1, sizeof *resolve);
    if (!resolve)
        return -ENOMEM;
    int err = uv_getaddrinfo(stream->config.loop, &resolve->request, on_resolved, stream->config.url->host,
                             stream->config.url->port, &hints);
    if (err) {
        free(resolve);
        return err;
    }
    resolve->stream = stream;
    stream->resolve = resolve;
    return 0;
}

static int dial_path(struct wsc_stream *stream) {
    int err = uv_pipe_init(stream->config.loop, &stream->pipe, 0);
    if (err)
        return err;
    stream->pipe.data = stream->connect.data = stream;
    stream->handles++;
    stream->tcp_open = true;
    stream->state = STREAM_DIALLING;
    uv_pipe_connect(&stream->connect, &stream->pipe, stream->config.path, on_connect);
    return 0;
}

int wsc_stream_open(struct wsc_stream **out, const struct wsc_stream_config *config,
                    const struct wsc_stream_events *events) {
    struct wsc_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return -ENOMEM;
    stream->config = *config;
    stream->events = *events;
    stream->ring_cap = config->queue_bytes + config->queue_bytes / 16 + RESERVE;
    if (stream->ring_cap < RING_MIN)
        stream->ring_cap = RING_MIN;
    if (config->connect_timeout_ms)
        stream->deadline_ms = uv_now(config->loop) + config->connect_timeout_ms;
    int err = config->path ? dial_path(stream) : resolve_start(stream);
    if (err) {
        free(stream);
        return err;
    }
    uv_timer_init(config->loop, &stream->timer); // cannot fail
    stream->timer.data = stream;
    stream->handles++;
    *out = stream;
    return 0;
}

void wsc_stream_close(struct wsc_stream *stream) {
    if (stream->state == STREAM_CLOSED)
        return;
    if (stream->state == STREAM_UP && stream->session && !stream->write_err)
        wsc_session_shutdown(stream->session);
    stream->state = STREAM_CLOSED;
    if (stream->resolve) {
        stream->resolve->stream = NULL;
        uv_cancel((uv_req_t *)&stream->resolve->request);
    }
    tcp_close(stream);
    uv_close((uv_handle_t *)&stream->timer, on_handle_closed);
}
