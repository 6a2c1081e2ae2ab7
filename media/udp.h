// SPDX-License-Identifier: Apache-2.0
// UDP sockets for media on a worker's loop, and pairs of ports for RTP and RTCP (RFC 3550 section 11).
//
// Nothing allocates after udp_new and udp_pair_new. ICMP errors are ignored: a peer whose port is not open
// yet, or a stranger's forgery, must not end a call. One thread: the loop's.
#ifndef IQ_MEDIA_UDP_H
#define IQ_MEDIA_UDP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct udp;

enum {
    UDP_MAX_DATAGRAM = 2048, // bytes; longer ones are dropped and counted
};

// sa.sa_family is AF_INET, AF_INET6, or AF_UNSPEC for "not known".
union udp_address {
    struct sockaddr sa;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
};

// Of a numeric address. -EINVAL for anything else.
int udp_address_parse(union udp_address *out, const char *host, uint16_t port);
bool udp_address_known(const union udp_address *address);
bool udp_address_eq(const union udp_address *a, const union udp_address *b); // host and port
bool udp_address_same_host(const union udp_address *a, const union udp_address *b);
// Where a datagram may be sent: known, with a port, neither multicast nor broadcast nor "any".
bool udp_address_usable(const union udp_address *address);
uint16_t udp_address_port(const union udp_address *address);
void udp_address_set_port(union udp_address *address, uint16_t port);
// "192.0.2.1:4000", "[2001:db8::1]:4000"; "-" when it is not known. Returns `out`.
const char *udp_address_text(const union udp_address *address, char out[64]);

struct udp_events {
    // One datagram, which may be changed in place. udp_close may be called inside.
    void (*on_datagram)(struct udp *udp, uint8_t *data, size_t len, const union udp_address *from, void *arg);
    void *arg;
};

// Bound to `local`, marked EF (RFC 3246). -EADDRINUSE, -EADDRNOTAVAIL, -EMFILE and the like.
int udp_new(struct udp **out, uv_loop_t *loop, const union udp_address *local,
            const struct udp_events *events);
// Two sockets on `host` (its port is not looked at): an even port between `min` and `max`, and the odd one
// above. The search begins anywhere in the range, so that workers and processes side by side do not run after
// each other, and a stranger cannot guess the next port. -EMFILE when no pair is free.
int udp_pair_new(struct udp *out[2], uv_loop_t *loop, const union udp_address *host, uint16_t min,
                 uint16_t max, const struct udp_events *events);
// Nothing is received any more; the memory goes and on_closed (may be NULL) is called from the loop.
void udp_close(struct udp *udp, void (*on_closed)(void *arg), void *arg);

uint16_t udp_port(const struct udp *udp);
// 0; or -EAGAIN and the like, when the datagram is lost as any might be.
int udp_send(struct udp *udp, const uint8_t *data, size_t len, const union udp_address *to);

#endif
