// SPDX-License-Identifier: Apache-2.0
//
//   sofia: tport_accept -> accept -> gate_enter     full: closed at once, and sofia never hears of it
//   su_timer, while somebody is silent              overdue: shutdown; sofia reads the end and closes
#include "sip/connections.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "gateway/core/ticker.h"
#include "sip/gate.h"

#include <errno.h>
#include <sofia-sip/msg_addr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOK_MS = 1000, REPORT_US = 60000000 };

struct connections {
    struct gate *gate; // owns, like the timer
    su_timer_t *timer;
    bool looking; // the timer is set
    uint64_t refused, reported_us;
};

static _Thread_local struct connections *connections;

// ---- what is accepted

static bool is_there(int fd, const union udp_address *peer, void *arg) {
    union udp_address now = {0};
    socklen_t len = sizeof now;
    (void)arg;
    return getpeername(fd, &now.sa, &len) == 0 && udp_address_eq(&now, peer);
}

static void look(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg) {
    struct connections *all = arg;
    int fd;
    (void)magic;
    while ((fd = gate_overdue(all->gate, ticker_now_us())) >= 0) {
        metric_add(METRIC_SIP_CONNECTIONS_SILENT, 1);
        shutdown(fd, SHUT_RDWR); // the descriptor is sofia's to close
    }
    all->looking = gate_has_silent(all->gate);
    if (all->looking)
        su_timer_set_interval(timer, look, all, LOOK_MS);
}

static void report(struct connections *all, const union udp_address *peer, bool source, uint64_t now_us) {
    char text[64];
    all->refused++;
    if (all->reported_us && now_us - all->reported_us < REPORT_US)
        return;
    log_warn(NULL, "sip", "%llu connections refused, the last of %s for Sip.%s",
             (unsigned long long)all->refused, udp_address_text(peer, text),
             source ? "MaxConnectionsPerSource" : "MaxConnections");
    all->refused = 0;
    all->reported_us = now_us;
}

static bool may_enter(struct connections *all, int fd) {
    union udp_address peer = {0};
    socklen_t len = sizeof peer;
    uint64_t now_us = ticker_now_us();
    if (getpeername(fd, &peer.sa, &len) != 0)
        return false; // gone already
    enum gate_verdict verdict = gate_enter(all->gate, fd, &peer, now_us);
    if (verdict != GATE_PASS) {
        bool source = verdict == GATE_SOURCE_FULL;
        metric_add(source ? METRIC_SIP_CONNECTIONS_SOURCE : METRIC_SIP_CONNECTIONS_TOTAL, 1);
        report(all, &peer, source, now_us);
        return false;
    }
    if (!all->looking)
        su_timer_set_interval(all->timer, look, all, LOOK_MS);
    all->looking = true;
    return true;
}

// Stands before the C library's, for libraries too. On the SIP thread -1 comes with errno 0: no fault of the listening
// socket, which sofia would report.
__attribute__((visibility("default"))) int accept(int listening, __SOCKADDR_ARG address,
                                                  socklen_t *restrict len) {
    int fd = accept4(listening, address, len, connections ? SOCK_CLOEXEC : 0);
    if (!connections)
        return fd;
    if (fd >= 0 && may_enter(connections, fd))
        return fd;
    if (fd >= 0)
        close(fd);
    errno = 0;
    return -1;
}

void connections_heard(msg_t *msg) {
    if (!connections || !gate_has_silent(connections->gate) || msg_addrinfo(msg)->ai_socktype != SOCK_STREAM)
        return;
    union udp_address peer = {0};
    memcpy(&peer, msg_addr(msg), sizeof peer);
    gate_said(connections->gate, &peer);
}

// ---- birth and death

void connections_set_conf(const struct conf *conf) {
    if (connections)
        gate_set_limits(connections->gate, (size_t)conf->sip.max_connections,
                        (size_t)conf->sip.max_connections_per_source);
}

int connections_start(su_root_t *root, const struct conf *conf, unsigned silence_ms) {
    const struct gate_config config = {.silence_us = silence_ms * 1000ull, .is_there = is_there};
    struct connections *all = calloc(1, sizeof *all);
    if (!all)
        return -ENOMEM;
    all->timer = su_timer_create(su_root_task(root), 0);
    if (!all->timer || gate_new(&all->gate, &config) != 0) {
        su_timer_destroy(all->timer);
        free(all);
        return -ENOMEM;
    }
    connections = all;
    connections_set_conf(conf);
    return 0;
}

void connections_stop(void) {
    struct connections *all = connections;
    connections = NULL;
    if (!all)
        return;
    su_timer_destroy(all->timer);
    gate_free(all->gate);
    free(all);
}
