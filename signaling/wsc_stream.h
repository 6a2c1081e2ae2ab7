// SPDX-License-Identifier: Apache-2.0
// The bytes under the WebSocket client, and under the Redis client: resolve -> TCP to each address in turn -> TLS when asked -> read and
// write.
//
//   write   at once; what the kernel does not take goes into a ring that is drained when the loop says it would
//   read    one buffer per thread, handed up as it fills
//
// The socket is our own, under uv_poll: two system calls a frame and little beside them is what a call costs. One loop's thread.
#ifndef IQ_SIGNALING_WSC_STREAM_H
#define IQ_SIGNALING_WSC_STREAM_H

#include "signaling/wsc_tls.h"

struct wsc_stream;

// wsc_stream_close may be called from any of them; nothing but on_closed follows it.
struct wsc_stream_events {
    void (*on_up)(void *arg);
    void (*on_bytes)(const uint8_t *data, size_t len, void *arg);
    void (*on_room)(void *arg); // after wsc_stream_want_room, when half of the queue is free
    void (*on_fail)(bool eof, const char *reason, void *arg); // once; eof: the other side closed or reset
    void (*on_closed)(void *arg);                             // the stream is freed when it returns
    void *arg;
};

struct wsc_stream_config {
    uv_loop_t *loop;
    const struct wsc_tls *tls; // borrowed, outlives the stream
    const struct wsc_url *url; // borrowed until on_up, or to the end
    const char *tls_host;      // whom the certificate must name in place of url->host; borrowed, may be NULL
    const char *path;          // a unix socket in place of `url`, at most 107 bytes; borrowed likewise
    uint32_t connect_timeout_ms; // shared out among the addresses; the owner keeps the overall deadline
    size_t queue_bytes;
};

int wsc_stream_open(struct wsc_stream **out, const struct wsc_stream_config *config,
                    const struct wsc_stream_events *events);
const char *wsc_stream_phase(const struct wsc_stream *stream); // "resolving the host name", for reasons

// Bytes that wsc_stream_write surely takes now, with a little kept back for control frames.
size_t wsc_stream_room(const struct wsc_stream *stream);
void wsc_stream_want_room(struct wsc_stream *stream);
// All or nothing: -EAGAIN beyond the queue, -ENOTCONN, -ENOMEM (the ring is made at first need).
int wsc_stream_write(struct wsc_stream *stream, const uint8_t *data, size_t len);
// How long the other side's TCP has acknowledged nothing while something of ours was on the way, 0 when all
// is well. A side that is there and does not read acknowledges.
uint32_t wsc_stream_unanswered_ms(const struct wsc_stream *stream);
void wsc_stream_pause(struct wsc_stream *stream, bool paused);
void wsc_stream_close(struct wsc_stream *stream);

#endif
