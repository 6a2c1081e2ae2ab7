// SPDX-License-Identifier: Apache-2.0
// A connected TCP socket, plain or TLS, that never blocks.
#ifndef IQ_BENCH_SOCKET_H
#define IQ_BENCH_SOCKET_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { STREAM_READ = 65536 };

struct stream {
    int fd; // -1 once closed
    SSL *tls;
};

// Owns fd on success. `context` NULL: plain. The server's side.
int stream_open(struct stream *stream, int fd, SSL_CTX *context);
void stream_close(struct stream *stream);
ssize_t stream_read(struct stream *stream, uint8_t *out, size_t cap); // 0 at the end, -EAGAIN, -EPROTO
ssize_t stream_write(struct stream *stream, const uint8_t *data,
                     size_t len); // all of it, or a negative errno

#endif
