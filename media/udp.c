// SPDX-License-Identifier: Apache-2.0
#include "media/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RECEIVE_BUFFER = 256 * 1024, // bytes: a second of a fast stream, should the loop be held up
    DSCP_EF = 46 << 2,
};

struct udp {
    int fd;
    uint16_t port;
    struct udp_events events;
    uv_poll_t poll;
    void (*on_closed)(void *arg);
    void *closed_arg;
    bool closing;
};

// ---- addresses

int udp_address_parse(union udp_address *out, const char *host, uint16_t port) {
    union udp_address address = {0};
    if (inet_pton(AF_INET, host, &address.in4.sin_addr) == 1) {
        address.in4.sin_family = AF_INET;
    } else if (inet_pton(AF_INET6, host, &address.in6.sin6_addr) == 1) {
        address.in6.sin6_family = AF_INET6;
    } else {
        return -EINVAL;
    }
    udp_address_set_port(&address, port);
    *out = address;
    return 0;
}

bool udp_address_known(const union udp_address *address) {
    return address->sa.sa_family == AF_INET || address->sa.sa_family == AF_INET6;
}

bool udp_address_same_host(const union udp_address *a, const union udp_address *b) {
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_INET)
        return a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
    return a->sa.sa_family == AF_INET6 && IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
}

bool udp_address_eq(const union udp_address *a, const union udp_address *b) {
    return udp_address_same_host(a, b) && udp_address_port(a) == udp_address_port(b);
}

bool udp_address_usable(const union udp_address *address) {
    if (!udp_address_known(address) || !udp_address_port(address))
        return false;
    if (address->sa.sa_family == AF_INET6)
        return !IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr) &&
               !IN6_IS_ADDR_MULTICAST(&address->in6.sin6_addr);
    uint32_t host = ntohl(address->in4.sin_addr.s_addr);
    return host != INADDR_ANY && host != INADDR_BROADCAST && !IN_MULTICAST(host);
}

uint16_t udp_address_port(const union udp_address *address) {
    return ntohs(address->sa.sa_family == AF_INET6 ? address->in6.sin6_port : address->in4.sin_port);
}

void udp_address_set_port(union udp_address *address, uint16_t port) {
    if (address->sa.sa_family == AF_INET6)
        address->in6.sin6_port = htons(port);
    else
        address->in4.sin_port = htons(port);
}

const char *udp_address_text(const union udp_address *address, char out[64]) {
    char host[INET6_ADDRSTRLEN] = "";
    bool ip6 = address->sa.sa_family == AF_INET6;
    const void *bytes = ip6 ? (const void *)&address->in6.sin6_addr : &address->in4.sin_addr;
    if (!udp_address_known(address) || !inet_ntop(address->sa.sa_family, bytes, host, sizeof host)) {
        snprintf(out, 64, "-");
        return out;
    }
    snprintf(out, 64, ip6 ? "[%s]:%u" : "%s:%u", host, udp_address_port(address));
    return out;
}

static socklen_t address_len(const union udp_address *address) {
    return address->sa.sa_family == AF_INET6 ? sizeof address->in6 : sizeof address->in4;
}

// ---- receiving

// One at a time: there is seldom more, and if there is, the loop comes back for it when the others have had their turn.
static void on_readable(uv_poll_t *poll, int status, int events) {
    struct udp *udp = poll->data;
    uint8_t data[UDP_MAX_DATAGRAM];
    union udp_address from;
    socklen_t from_len = sizeof from;
    (void)status;
    (void)events;
    ssize_t len = recvfrom(udp->fd, data, sizeof data, MSG_DONTWAIT | MSG_TRUNC, &from.sa, &from_len);
    if (len >= 0 && len <= UDP_MAX_DATAGRAM)
        udp->events.on_datagram(udp, data, (size_t)len, &from, udp->events.arg);
}

// ---- birth and death

static int socket_open(int family) {
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int size = RECEIVE_BUFFER, ef = DSCP_EF, on = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size); // as much as the system grants
    if (family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &ef, sizeof ef);
    } else {
        setsockopt(fd, IPPROTO_IP, IP_TOS, &ef, sizeof ef);
    }
    return fd;
}

static int socket_bind(int fd, const union udp_address *local) {
    return bind(fd, &local->sa, address_len(local)) == 0 ? 0 : -errno;
}

static int port_of(int fd, uint16_t *out) {
    union udp_address bound = {0};
    socklen_t len = sizeof bound;
    if (getsockname(fd, &bound.sa, &len) != 0)
        return -errno;
    *out = udp_address_port(&bound);
    return 0;
}

// Takes the bound socket over, on failure too.
static int udp_adopt(struct udp **out, uv_loop_t *loop, int fd, const struct udp_events *events) {
    struct udp *udp = calloc(1, sizeof *udp);
    int err = udp ? port_of(fd, &udp->port) : -ENOMEM;
    if (!err)
        err = uv_poll_init(loop, &udp->poll, fd);
    if (err) {
        free(udp);
        close(fd);
        return err;
    }
    udp->fd = fd;
    udp->events = *events;
    udp->poll.data = udp;
    uv_poll_start(&udp->poll, UV_READABLE, on_readable);
    *out = udp;
    return 0;
}

int udp_new(struct udp **out, uv_loop_t *loop, const union udp_address *local,
            const struct udp_events *events) {
    int fd = socket_open(local->sa.sa_family);
    if (fd < 0)
        return fd;
    int err = socket_bind(fd, local);
    if (err) {
        close(fd);
        return err;
    }
    return udp_adopt(out, loop, fd, events);
}

// A socket that is bound cannot be bound again; one that could not be bound is tried with the next port.
static int pair_try(int fds[2], const union udp_address *host, uint16_t port) {
    for (uint16_t i = 0; i < 2; i++) {
        union udp_address local = *host;
        udp_address_set_port(&local, (uint16_t)(port + i));
        if (fds[i] < 0)
            fds[i] = socket_open(host->sa.sa_family);
        int err = fds[i] < 0 ? fds[i] : socket_bind(fds[i], &local);
        if (!err)
            continue;
        if (i == 1) {
            close(fds[0]);
            fds[0] = -1;
        }
        return err;
    }
    return 0;
}

static int pair_find(int fds[2], const union udp_address *host, uint16_t min, uint16_t max) {
    uint32_t first = (min + 1u) & ~1u;
    uint32_t pairs = max > first ? (max - first + 1u) / 2 : 0, start = 0;
    if (getrandom(&start, sizeof start, 0) != (ssize_t)sizeof start)
        start = 0;
    int err = -EADDRINUSE;
    fds[0] = fds[1] = -1;
    for (uint32_t i = 0; i < pairs && err == -EADDRINUSE; i++)
        err = pair_try(fds, host, (uint16_t)(first + (start % pairs + i) % pairs * 2));
    for (size_t i = 0; err && i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return err == -EADDRINUSE ? -EMFILE : err;
}

int udp_pair_new(struct udp *out[2], uv_loop_t *loop, const union udp_address *host, uint16_t min,
                 uint16_t max, const struct udp_events *events) {
    int fds[2];
    struct udp *pair[2];
    int err = pair_find(fds, host, min, max);
    if (err)
        return err;
    err = udp_adopt(&pair[0], loop, fds[0], events);
    if (err) {
        close(fds[1]);
        return err;
    }
    err = udp_adopt(&pair[1], loop, fds[1], events);
    if (err) {
        udp_close(pair[0], NULL, NULL);
        return err;
    }
    out[0] = pair[0];
    out[1] = pair[1];
    return 0;
}

static void on_poll_closed(uv_handle_t *handle) {
    struct udp *udp = handle->data;
    void (*on_closed)(void *arg) = udp->on_closed;
    void *arg = udp->closed_arg;
    free(udp);
    if (on_closed)
        on_closed(arg);
}

void udp_close(struct udp *udp, void (*on_closed)(void *arg), void *arg) {
    udp->closing = true;
    udp->on_closed = on_closed;
    udp->closed_arg = arg;
    uv_poll_stop(&udp->poll);
    close(udp->fd);
    uv_close((uv_handle_t *)&udp->poll, on_poll_closed);
}

uint16_t udp_port(const struct udp *udp) {
    return udp->port;
}

int udp_send(struct udp *udp, const uint8_t *data, size_t len, const union udp_address *to) {
    ssize_t sent = sendto(udp->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL, &to->sa, address_len(to));
    return sent < 0 ? -errno : 0;
}
