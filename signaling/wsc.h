// SPDX-License-Identifier: Apache-2.0
// WebSocket client (RFC 6455) for the agent's media socket: plain framing over a libuv TCP stream, TLS by
// OpenSSL. It is on the packet path, where the general server library costs several times as much
// (docs/architecture.md). One worker thread.
#ifndef IQ_SIGNALING_WSC_H
#define IQ_SIGNALING_WSC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct wsc;
struct wsc_tls; // trust anchors for wss, shared read-only by all workers

// System trust store, plus `ca_file` unless NULL or empty. `alpn` is the protocol offered (RFC 7301), "http/1.1"
// for a WebSocket, NULL for none. -EINVAL when the file holds no certificate.
int wsc_tls_new(struct wsc_tls **out, const char *ca_file, const char *alpn);
void wsc_tls_free(struct wsc_tls *tls);

struct wsc_header {
    const char *name, *value;
};

struct wsc_config {
    uv_loop_t *loop;
    const struct wsc_tls *tls;        // used for wss://; host name and chain are checked
    const char *url;                  // ws:// or wss://, with path and query; copied
    const struct wsc_header *headers; // sent with the handshake; copied
    size_t header_count;
    uint32_t connect_timeout_ms; // resolve + TCP + TLS + upgrade together
    uint32_t ping_interval_ms;   // a ping each; ended by no byte for two intervals, or by no TCP
                                 // acknowledgement for two thirds to one. 0 = none
    size_t send_limit_bytes;     // queued beyond the kernel at most; then sends say -EAGAIN
    const char *call_id;         // for logs; copied
};

enum wsc_kind { WSC_TEXT, WSC_BINARY };

// `data` pieces come as they arrive, whatever their frames: a message of 30 s is never gathered. `end` marks
// the last piece of a message (it may be empty). wsc_close may be called from any of them.
struct wsc_events {
    void (*on_open)(void *arg);
    void (*on_data)(enum wsc_kind kind, const uint8_t *data, size_t len, bool end, void *arg);
    void (*on_writable)(void *arg); // after a send said -EAGAIN and half the queue has drained
    // Once: never opened (refused, timed out, HTTP status, bad certificate) or ended. `code`: the close
    // frame's, 1006 without one. `reason` is for logs and operators. The owner then calls wsc_close.
    void (*on_end)(unsigned code, const char *reason, void *arg);
    void (*on_closed)(void *arg); // after wsc_close: nothing is left
    void *arg;
};

// -EINVAL for an URL that is not ws:// or wss://. Everything later comes by on_end.
int wsc_connect(struct wsc **out, const struct wsc_config *config, const struct wsc_events *events);
// One whole message as one frame. No allocation in steady state. -EAGAIN (nothing queued), -ENOTCONN,
// -EMSGSIZE when it is larger than send_limit_bytes.
int wsc_send(struct wsc *ws, enum wsc_kind kind, const uint8_t *data, size_t len);
void wsc_pause(struct wsc *ws, bool paused); // stops reading from the socket: TCP holds the agent back
// Sends a close frame, waits up to 500 ms for the answer, frees. No event but on_closed follows.
void wsc_close(struct wsc *ws, unsigned code, const char *reason);

#endif
