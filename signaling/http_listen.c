// SPDX-License-Identifier: Apache-2.0
#include "signaling/http_listen.h"

#include "gateway/core/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, ACCEPT_BURST = 32, PAUSE_MS = 100 };

struct http_listen {
    struct http_listen_events events;
    uv_poll_t poll;
    uv_timer_t pause;
    int fd;
    unsigned open_handles;
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int parse_address(const char *text, union address *out, socklen_t *len) {
    char host[64];
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || (size_t)(colon - text) >= sizeof host)
        return -EINVAL;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end || colon[1] < '0' || colon[1] > '9' || port > UINT16_MAX)
        return -EINVAL;
    memset(out, 0, sizeof *out);
    size_t host_len = strlen(host);
    if (host[0] == '[' && host[host_len - 1] == ']') {
        host[host_len - 1] = '\0';
        *len = sizeof out->v6;
        return uv_ip6_addr(host + 1, (int)port, &out->v6) == 0 ? 0 : -EINVAL;
    }
    *len = sizeof out->v4;
    return uv_ip4_addr(host, (int)port, &out->v4) == 0 ? 0 : -EINVAL;
}

static int open_socket(const union address *address, socklen_t len) {
    const int on = 1;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 && bind(fd, &address->any, len) == 0 &&
        listen(fd, BACKLOG) == 0)
        return fd;
    int err = -errno;
    close(fd);
    return err;
}

static void format_peer(const union address *address, char out[INET6_ADDRSTRLEN]) {
    if (address->any.sa_family == AF_INET)
        inet_ntop(AF_INET, &address->v4.sin_addr, out, INET6_ADDRSTRLEN);
    else if (IN6_IS_ADDR_V4MAPPED(&address->v6.sin6_addr))
        inet_ntop(AF_INET, address->v6.sin6_addr.s6_addr + 12, out, INET6_ADDRSTRLEN);
    else
        inet_ntop(AF_INET6, &address->v6.sin6_addr, out, INET6_ADDRSTRLEN);
}

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer) {
    struct http_listen *listener = timer->data;
    uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    struct http_listen *listener = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPT_BURST && !uv_is_closing((uv_handle_t *)poll); i++) {
        union address address = {.v6 = {0}};
        socklen_t len = sizeof address;
        char peer[INET6_ADDRSTRLEN];
        const int on = 1;
        int fd = accept4(listener->fd, &address.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
            // The socket stays readable, so without a pause this would spin until a descriptor is free.
            log_warn(NULL, "http", "cannot accept connections: %s", strerror(errno));
            uv_poll_stop(poll);
            uv_timer_start(&listener->pause, on_pause_over, PAUSE_MS, 0);
        }
        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        format_peer(&address, peer);
        listener->events.on_accept(fd, peer, listener->events.arg);
    }
}

int http_listen_new(struct http_listen **out, uv_loop_t *loop, const char *address,
                    const struct http_listen_events *events, struct err_text *err) {
    union address parsed;
    socklen_t len;
    if (parse_address(address, &parsed, &len) != 0)
        return err_set(err, -EINVAL,
                       "Gateway.HttpListen: \"%s\" is not of the form 0.0.0.0:8080 or [::]:8080", address);
    struct http_listen *listener = calloc(1, sizeof *listener);
    if (!listener)
        return err_set(err, -ENOMEM, "out of memory");
    listener->events = *events;
    listener->fd = open_socket(&parsed, len);
    if (listener->fd < 0) {
        int rc = listener->fd;
        free(listener);
        return err_set(err, rc, "Gateway.HttpListen: cannot listen on %s: %s", address, strerror(-rc));
    }
    int rc = uv_poll_init(loop, &listener->poll, listener->fd);
    if (rc != 0) {
        close(listener->fd);
        free(listener);
        return err_set(err, rc, "Gateway.HttpListen: cannot watch the socket of %s: %s", address,
                       strerror(-rc));
    }
    uv_timer_init(loop, &listener->pause);
    listener->poll.data = listener->pause.data = listener;
    listener->open_handles = 2;
    uv_poll_start(&listener->poll, UV_READABLE, on_readable);
    *out = listener;
    return 0;
}

uint16_t http_listen_port(const struct http_listen *listener) {
    union address address = {.v6 = {0}};
    socklen_t len = sizeof address;
    if (getsockname(listener->fd, &address.any, &len) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct http_listen *listener = handle->data;
    if (--listener->open_handles)
        return;
    if (listener->events.on_closed)
        listener->events.on_closed(listener->events.arg);
    free(listener);
}

void http_listen_close(struct http_listen *listener) {
    uv_close((uv_handle_t *)&listener->poll, on_handle_closed);
    uv_close((uv_handle_t *)&listener->pause, on_handle_closed);
    close(listener->fd);
}
