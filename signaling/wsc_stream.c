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
#include <sys/un.h>
#include <unistd.h>

enum {
    READ_BYTES = 8192,
    READS_MOST = 16,        // in a row, before the loop's other sockets have their turn
    LAST_READS_MOST = 1024, // when there will be no other turn
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

// What every frame needs comes first, together.
struct wsc_stream {
    enum stream_state state;
    int fd; // owns; -1 for none
    int write_err;
    bool paused;
    bool want_room;
    struct wsc_session *session; // owns, wss only
    size_t ring_cap, ring_at, ring_len;
    uint8_t *ring; // owns; made at first need
    struct wsc_stream_events events;
    uv_poll_t poll;   // of fd
    uv_timer_t timer; // one address's share of the time; also carries a write failure to the loop
    unsigned handles; // not yet closed
    struct resolve *resolve;
    struct addrinfo *addresses, *next; // owns; the one to try next
    uint64_t deadline_ms;
    int last_err; // of the last address tried
    struct wsc_stream_config config;
};

static void dial_next(struct wsc_stream *stream);
static void on_ready(uv_poll_t *poll, int status, int events);

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

static void socket_close(struct wsc_stream *stream) {
    if (stream->fd < 0)
        return;
    uv_poll_stop(&stream->poll);
    close(stream->fd);
    stream->fd = -1;
    uv_close((uv_handle_t *)&stream->poll, on_handle_closed);
}

static int awaited(const struct wsc_stream *stream) {
    if (stream->state == STREAM_DIALLING)
        return UV_WRITABLE;
    if (stream->state >= STREAM_FAILED)
        return 0;
    bool write = stream->ring_len && !stream->write_err;
    return (stream->paused ? 0 : UV_READABLE) | (write ? UV_WRITABLE : 0);
}

// Tells the loop what to wait for.
static void socket_watch(struct wsc_stream *stream) {
    int events = awaited(stream);
    if (stream->fd < 0)
        return;
    if (events)
        uv_poll_start(&stream->poll, events, on_ready);
    else
        uv_poll_stop(&stream->poll);
}

static void stream_fail(struct wsc_stream *stream, bool eof, const char *reason) {
    if (stream->state >= STREAM_FAILED)
        return;
    stream->state = STREAM_FAILED;
    uv_timer_stop(&stream->timer);
    socket_watch(stream);
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

static void on_timer(uv_timer_t *timer) {
    struct wsc_stream *stream = timer->data;
    if (stream->write_err) {
        stream_fail_err(stream, stream->write_err);
    } else if (stream->state == STREAM_DIALLING && stream->fd < 0) {
        dial_next(stream);
    } else if (stream->state == STREAM_DIALLING) {
        stream->last_err = UV_ETIMEDOUT;
        socket_close(stream);
    }
}

// Told from the loop and not at once, since the owner is inside a send; and a little later, since a close
// frame that says why may still wait to be read.
static void write_failed(struct wsc_stream *stream, int err) {
    stream->write_err = err;
    socket_watch(stream);
    uv_timer_start(&stream->timer, on_timer, WRITE_ERR_MS, 0);
}

// It was needed because the other side did not read for a while, which is rare, and may never be needed again.
static void ring_free(struct wsc_stream *stream) {
    free(stream->ring);
    stream->ring = NULL;
    stream->ring_at = 0;
}

static void ring_taken(struct wsc_stream *stream, size_t len) {
    stream->ring_at = (stream->ring_at + len) % stream->ring_cap;
    stream->ring_len -= len;
    if (!stream->ring_len) {
        ring_free(stream);
        socket_watch(stream);
    }
    if (stream->want_room && stream->ring_len <= stream->ring_cap / 2 && stream->state == STREAM_UP) {
        stream->want_room = false;
        stream->events.on_room(stream->events.arg);
    }
}

static void ring_drain(struct wsc_stream *stream) {
    size_t first = stream->ring_cap - stream->ring_at;
    if (first > stream->ring_len)
        first = stream->ring_len;
    struct iovec parts[2] = {
        {.iov_base = stream->ring + stream->ring_at, .iov_len = first},
        {.iov_base = stream->ring, .iov_len = stream->ring_len - first},
    };
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = parts[1].iov_len ? 2 : 1};
    ssize_t n = sendmsg(stream->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
        ring_taken(stream, (size_t)n);
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        write_failed(stream, -errno);
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
    if (stream->ring_len == len)
        socket_watch(stream);
    return 0;
}

// Bytes for the wire. What the kernel does not take waits in the ring until the loop says that it would.
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

static void take_read(struct wsc_stream *stream, const uint8_t *data, ssize_t n) {
    if (n == 0)
        stream_fail_err(stream, UV_EOF);
    else if (n < 0)
        stream_fail_err(stream, -errno);
    else if (stream->session)
        secure_bytes(stream, data, (size_t)n);
    else
        stream->events.on_bytes(data, (size_t)n, stream->events.arg);
}

static void socket_read(struct wsc_stream *stream, unsigned most) {
    static _Thread_local uint8_t in[READ_BYTES]; // one for all streams of a thread
    ssize_t n = READ_BYTES;
    for (unsigned i = 0; i < most && n == READ_BYTES; i++) {
        if (stream->state >= STREAM_FAILED || stream->paused)
            return;
        n = recv(stream->fd, in, sizeof in, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        take_read(stream, in, n);
    }
}

// The socket broke, which libuv tells once: what came before is read first.
static void socket_broke(struct wsc_stream *stream) {
    int err = 0;
    socklen_t len = sizeof err;
    getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    socket_read(stream, LAST_READS_MOST);
    stream_fail_err(stream, err ? -err : UV_ECONNRESET);
}

void wsc_stream_pause(struct wsc_stream *stream, bool paused) {
    if (stream->state != STREAM_UP || stream->paused == paused)
        return;
    stream->paused = paused;
    socket_watch(stream);
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
    int on = 1;
    uv_timer_stop(&stream->timer);
    if (!stream->config.path)
        setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bool secure = !stream->config.path && stream->config.url->secure;
    stream->state = secure ? STREAM_SECURING : STREAM_UP;
    socket_watch(stream);
    if (!secure) {
        stream->events.on_up(stream->events.arg);
        return;
    }
    const char *peer = stream->config.tls_host ? stream->config.tls_host : stream->config.url->host;
    int err = wsc_session_new(&stream->session, stream->config.tls, peer, wire_put, stream);
    if (err)
        stream_fail(stream, false, "TLS cannot be set up");
    else if (wsc_session_handshake(stream->session) < 0)
        stream_fail(stream, false, wsc_session_reason(stream->session));
}

static void dialled(struct wsc_stream *stream) {
    int err = 0;
    socklen_t len = sizeof err;
    if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
        err = errno;
    if (!err) {
        connected(stream);
        return;
    }
    stream->last_err = -err;
    socket_close(stream);
}

static void on_ready(uv_poll_t *poll, int status, int events) {
    struct wsc_stream *stream = poll->data;
    if (stream->state == STREAM_DIALLING) {
        dialled(stream);
        return;
    }
    if (status < 0) {
        socket_broke(stream);
        return;
    }
    if (events & UV_READABLE)
        socket_read(stream, READS_MOST);
    if ((events & UV_WRITABLE) && (awaited(stream) & UV_WRITABLE))
        ring_drain(stream);
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

// Begins to connect; on_ready tells how that went.
static int dial(struct wsc_stream *stream, const struct sockaddr *address, socklen_t len) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int err = connect(fd, address, len) == 0 || errno == EINPROGRESS ? 0 : -errno;
    if (!err)
        err = uv_poll_init(stream->config.loop, &stream->poll, fd);
    if (err) {
        close(fd);
        return err;
    }
    stream->fd = fd;
    stream->poll.data = stream;
    stream->handles++;
    socket_watch(stream);
    return 0;
}

static void dial_next(struct wsc_stream *stream) {
    for (struct addrinfo *address; (address = stream->next);) {
        address_timer(stream);
        stream->next = address->ai_next;
        int err = dial(stream, address->ai_addr, address->ai_addrlen);
        if (!err)
            return;
        stream->last_err = err;
    }
    stream_fail_err(stream, stream->last_err);
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
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(stream->config.path);
    if (len >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, stream->config.path, len);
    stream->state = STREAM_DIALLING;
    int err = dial(stream, (const struct sockaddr *)&address, sizeof address);
    if (err)
        stream->last_err = err;
    return 0;
}

int wsc_stream_open(struct wsc_stream **out, const struct wsc_stream_config *config,
                    const struct wsc_stream_events *events) {
    struct wsc_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return -ENOMEM;
    stream->config = *config;
    stream->events = *events;
    stream->fd = -1;
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
    if (stream->state == STREAM_DIALLING && stream->fd < 0) // told from the loop
        uv_timer_start(&stream->timer, on_timer, 0, 0);
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
    socket_close(stream);
    uv_close((uv_handle_t *)&stream->timer, on_handle_closed);
}
