// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/calls/socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int stream_open(struct stream *stream, int fd, SSL_CTX *context) {
    *stream = (struct stream){.fd = fd};
    if (!context)
        return 0;
    stream->tls = SSL_new(context);
    if (!stream->tls || SSL_set_fd(stream->tls, fd) != 1)
        return -ENOMEM;
    SSL_set_accept_state(stream->tls);
    return 0;
}

void stream_close(struct stream *stream) {
    SSL_free(stream->tls);
    stream->tls = NULL;
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
}

static ssize_t tls_result(const struct stream *stream, int result) {
    if (result > 0)
        return result;
    int error = SSL_get_error(stream->tls, result);
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? -EAGAIN : -EPROTO;
}

ssize_t stream_read(struct stream *stream, uint8_t *out, size_t cap) {
    if (stream->fd < 0)
        return -EPIPE;
    if (stream->tls)
        return tls_result(stream, SSL_read(stream->tls, out, (int)cap));
    ssize_t len = recv(stream->fd, out, cap, 0);
    return len < 0 ? -errno : len;
}

ssize_t stream_write(struct stream *stream, const uint8_t *data, size_t len) {
    if (stream->fd < 0)
        return -EPIPE;
    if (stream->tls)
        return tls_result(stream, SSL_write(stream->tls, data, (int)len));
    ssize_t sent = send(stream->fd, data, len, MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}
