// SPDX-License-Identifier: Apache-2.0
#include "sip/gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 64, SWEEP_EACH_US = 100000 };

struct visitor {
    union udp_address peer;
    int fd;
    bool silent; // has said nothing whole, and has not been told to go
    uint64_t since_us;
};

struct gate {
    struct gate_config config;
    struct visitor *visitors; // owns
    size_t count, room, silent;
    uint64_t swept_us; // 0 = never
};

int gate_new(struct gate **out, const struct gate_config *config) {
    struct gate *gate = calloc(1, sizeof *gate);
    if (!gate)
        return -ENOMEM;
    gate->config = *config;
    *out = gate;
    return 0;
}

void gate_free(struct gate *gate) {
    if (!gate)
        return;
    free(gate->visitors);
    free(gate);
}

void gate_set_limits(struct gate *gate, size_t max_total, size_t max_per_source) {
    gate->config.max_total = max_total;
    gate->config.max_per_source = max_per_source;
}

static bool same_source(const union udp_address *a, const union udp_address *b) {
    if (a->sa.sa_family != AF_INET6 || b->sa.sa_family != AF_INET6)
        return udp_address_same_host(a, b);
    return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 8) == 0;
}

static void hush(struct gate *gate, struct visitor *visitor) {
    gate->silent -= visitor->silent;
    visitor->silent = false;
}

// The last one takes its place.
static void forget(struct gate *gate, size_t at) {
    hush(gate, &gate->visitors[at]);
    gate->visitors[at] = gate->visitors[--gate->count];
}

static bool is_there(const struct gate *gate, const struct visitor *visitor) {
    return gate->config.is_there(visitor->fd, &visitor->peer, gate->config.arg);
}

// `source` NULL: of everybody.
static void forget_gone(struct gate *gate, const union udp_address *source) {
    for (size_t at = gate->count; at-- > 0;) {
        struct visitor *visitor = &gate->visitors[at];
        if ((!source || same_source(&visitor->peer, source)) && !is_there(gate, visitor))
            forget(gate, at);
    }
}

// Also forgets who had this descriptor before.
static size_t count_of(struct gate *gate, const union udp_address *source, int fd) {
    size_t count = 0;
    for (size_t at = gate->count; at-- > 0;) {
        if (gate->visitors[at].fd == fd)
            forget(gate, at);
        else
            count += same_source(&gate->visitors[at].peer, source);
    }
    return count;
}

static bool is_source_full(struct gate *gate, const union udp_address *source, int fd) {
    size_t max = gate->config.max_per_source;
    if (count_of(gate, source, fd) < max || !max)
        return false;
    forget_gone(gate, source);
    return count_of(gate, source, fd) >= max;
}

// Looks at all of them ten times a second at most, however many come.
static bool is_full(struct gate *gate, uint64_t now_us) {
    size_t max = gate->config.max_total;
    if (!max || gate->count < max)
        return false;
    if (!gate->swept_us || now_us - gate->swept_us >= SWEEP_EACH_US) {
        gate->swept_us = now_us;
        forget_gone(gate, NULL);
    }
    return gate->count >= max;
}

static bool make_room(struct gate *gate) {
    if (gate->count < gate->room)
        return true;
    size_t room = gate->room ? 2 * gate->room : FIRST_ROOM;
    struct visitor *visitors = reallocarray(gate->visitors, room, sizeof *visitors);
    if (!visitors)
        return false;
    gate->visitors = visitors;
    gate->room = room;
    return true;
}

enum gate_verdict gate_enter(struct gate *gate, int fd, const union udp_address *peer, uint64_t now_us) {
    if (is_source_full(gate, peer, fd))
        return GATE_SOURCE_FULL;
    if (is_full(gate, now_us) || !make_room(gate))
        return GATE_FULL;
    gate->visitors[gate->count++] =
        (struct visitor){.peer = *peer, .fd = fd, .silent = true, .since_us = now_us};
    gate->silent++;
    return GATE_PASS;
}

void gate_said(struct gate *gate, const union udp_address *peer) {
    for (size_t at = 0; gate->silent && at < gate->count; at++) {
        if (gate->visitors[at].silent && udp_address_eq(&gate->visitors[at].peer, peer))
            hush(gate, &gate->visitors[at]);
    }
}

bool gate_has_silent(const struct gate *gate) {
    return gate->silent > 0;
}

int gate_overdue(struct gate *gate, uint64_t now_us) {
    for (size_t at = gate->count; gate->silent && at-- > 0;) {
        struct visitor *visitor = &gate->visitors[at];
        if (!visitor->silent || now_us - visitor->since_us < gate->config.silence_us)
            continue;
        if (is_there(gate, visitor)) {
            hush(gate, visitor);
            return visitor->fd;
        }
        forget(gate, at);
    }
    return -1;
}
