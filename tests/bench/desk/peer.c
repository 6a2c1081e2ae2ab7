// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/desk/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, BACKLOG = 512, FRAME_TEXT = 0x81, FRAME_CLOSE = 0x88 };

static int epoll = -1;

static struct {
    struct peer *peers;
    size_t cap;
    struct peer door; // its fd listens
} doors;

int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void die(const char *what) {
    fprintf(stderr, "desk: %s: %s\n", what, strerror(errno));
    exit(1);
}

int peers_start(void) {
    epoll = epoll_create1(EPOLL_CLOEXEC);
    return epoll < 0 ? -errno : 0;
}

static void peer_watch(struct peer *peer) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, peer->fd, &event) != 0)
        die("epoll");
}

static struct sockaddr_in loopback(unsigned port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int peer_connect(struct peer *peer, unsigned port) {
    struct sockaddr_in to = loopback(port);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        int err = errno;
        close(fd);
        return -err;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    peer->fd = fd;
    peer->in_len = 0;
    peer->websocket = false;
    peer_watch(peer);
    return 0;
}

int peer_listen(struct peer *peers, size_t cap, unsigned port,
                void (*on_message)(struct peer *peer, const struct message *message), void *arg) {
    struct sockaddr_in at = loopback(port);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, BACKLOG) != 0) {
        int err = errno;
        if (fd >= 0)
            close(fd);
        return -err;
    }
    for (size_t i = 0; i < cap; i++)
        peers[i] = (struct peer){.fd = -1, .server = true, .on_message = on_message, .arg = arg};
    doors.peers = peers;
    doors.cap = cap;
    doors.door.fd = fd;
    peer_watch(&doors.door);
    return 0;
}

static void door_open(void) {
    int fd, one = 1;
    while ((fd = accept4(doors.door.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        size_t i = 0;
        while (i < doors.cap && doors.peers[i].fd >= 0)
            i++;
        if (i == doors.cap) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        doors.peers[i].fd = fd;
        doors.peers[i].in_len = 0;
        peer_watch(&doors.peers[i]);
    }
}

void peer_send(struct peer *peer, const char *text, size_t len) {
    if (peer->fd >= 0 && send(peer->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len &&
        errno != EPIPE && errno != ECONNRESET)
        die("send");
}

void peer_send_frame(struct peer *peer, const char *text) {
    char frame[512];
    size_t len = strlen(text), head = len < 126 ? 6 : 8;
    if (len > sizeof frame - 8)
        return;
    frame[0] = (char)FRAME_TEXT;
    frame[1] = (char)(0x80 | (len < 126 ? len : 126));
    if (len >= 126) {
        frame[2] = (char)(len >> 8);
        frame[3] = (char)len;
    }
    memset(frame + head - 4, 0, 4); // a mask of zeros changes nothing
    memcpy(frame + head, text, len);
    peer_send(peer, frame, head + len);
}

void peer_close(struct peer *peer) {
    if (peer->fd >= 0)
        close(peer->fd);
    peer->fd = -1;
}

// ---- messages

static void tell(struct peer *peer, struct message *message) {
    char *end = peer->in + (message->body - peer->in) + message->body_len, kept = *end;
    *end = '\0';
    peer->on_message(peer, message);
    *end = kept;
}

static size_t take_http(struct peer *peer) {
    peer->in[peer->in_len] = '\0';
    char *end = strstr(peer->in, "\r\n\r\n");
    if (!end)
        return 0;
    const char *length = strcasestr(peer->in, "\r\ncontent-length:");
    struct message message = {.head = peer->in, .body = end + 4};
    if (length && length < end)
        message.body_len = strtoul(length + 17, NULL, 10);
    size_t whole = (size_t)(message.body - peer->in) + message.body_len;
    if (peer->in_len < whole)
        return 0;
    tell(peer, &message);
    return whole;
}

// A server's frame: whole, unmasked.
static size_t take_frame(struct peer *peer) {
    const unsigned char *in = (const unsigned char *)peer->in;
    if (peer->in_len < 2)
        return 0;
    size_t len = in[1], head = len < 126 ? 2 : 4;
    if (peer->in_len < head)
        return 0;
    if (len >= 126)
        len = (size_t)in[2] << 8 | in[3];
    if (peer->in_len < head + len)
        return 0;
    if (in[0] == FRAME_TEXT)
        tell(peer, &(struct message){.head = "", .body = peer->in + head, .body_len = len});
    return head + len;
}

static void peer_end(struct peer *peer) {
    peer_close(peer);
    if (peer->on_end)
        peer->on_end(peer);
}

static void peer_read(struct peer *peer) {
    ssize_t len = recv(peer->fd, peer->in + peer->in_len, PEER_BYTES - peer->in_len, MSG_DONTWAIT);
    if (len < 0 && errno == EAGAIN)
        return;
    if (len <= 0) {
        peer_end(peer);
        return;
    }
    peer->in_len += (size_t)len;
    size_t used = 1;
    while (peer->fd >= 0 && peer->in_len && used) {
        used = peer->websocket ? take_frame(peer) : take_http(peer);
        peer->in_len -= used;
        memmove(peer->in, peer->in + used, peer->in_len);
    }
    if (peer->in_len == PEER_BYTES)
        die("a message of more than 16 KiB");
}

bool peers_turn(bool (*done)(void *arg), void *arg, double timeout_s) {
    struct epoll_event events[EVENTS];
    int64_t until_us = now_us() + (int64_t)(timeout_s * 1e6);
    while (!done(arg)) {
        if (now_us() > until_us)
            return false;
        int count = epoll_wait(epoll, events, EVENTS, 20);
        for (int i = 0; i < count; i++) {
            struct peer *peer = events[i].data.ptr;
            if (peer == &doors.door)
                door_open();
            else if (peer->fd >= 0)
                peer_read(peer);
        }
    }
    return true;
}

bool text_field(const char *json, const char *name, char *out, size_t out_size) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *at = strstr(json, quoted);
    at = at ? at + strlen(quoted) : "";
    at += strspn(at, " ");
    size_t len = *at == '"' ? strcspn(at + 1, "\"") : out_size;
    if (len >= out_size)
        return false;
    memcpy(out, at + 1, len);
    out[len] = '\0';
    return true;
}
