// SPDX-License-Identifier: Apache-2.0
// A listening TCP socket on a libuv loop, which hands accepted descriptors on. Its owner gets errors with
// their reason, and counts and bounds the connections before any library sees them. Owner's thread.
#ifndef IQ_SIGNALING_HTTP_LISTEN_H
#define IQ_SIGNALING_HTTP_LISTEN_H

#include "gateway/core/err.h"

#include <stdint.h>
#include <uv.h>

struct http_listen;

struct http_listen_events {
    // `fd` is non-blocking and the callee's to close; `peer` is numeric, IPv4-mapped addresses as IPv4.
    void (*on_accept)(int fd, const char *peer, void *arg);
    void (*on_closed)(void *arg); // after http_listen_close
    void *arg;
};

// `address`: "host:port" or "[v6]:port" with a numeric host, port 0 = any. -EINVAL, -EADDRINUSE, -EACCES, ...
int http_listen_new(struct http_listen **out, uv_loop_t *loop, const char *address,
                    const struct http_listen_events *events, struct err_text *err);
uint16_t http_listen_port(const struct http_listen *listener);
void http_listen_close(struct http_listen *listener); // frees itself when the loop has closed its handles

#endif
