// SPDX-License-Identifier: Apache-2.0
// The one door to usrsctp: its lock, its timer, and the table from the addresses usrsctp knows (plain
// handles, never pointers) to live associations. usrsctp keeps dead associations for a while and may still
// name them; a handle that is gone finds nothing. For sctp.c alone.
#ifndef IQ_WEBRTC_SCTP_HUB_H
#define IQ_WEBRTC_SCTP_HUB_H

#include "gateway/core/slot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <usrsctp.h>
#include <uv.h>

struct sctp_packet {
    struct sctp_packet *next;
    size_t len;
    uint8_t data[];
};

// The side of an association that any thread may touch under the hub's lock.
struct sctp_port {
    uint64_t handle;
    uv_async_t *wake;         // of the association's thread; borrows
    struct sctp_packet *head; // out, owns
    struct sctp_packet **tail;
    size_t queued_bytes;
    bool woken; // usrsctp has something to read, or room to write
};

struct sctp_hub;

int hub_add(struct sctp_hub *hub, struct sctp_port *port); // any thread; -ENOSPC
void hub_remove(struct sctp_hub *hub, struct sctp_port *port);

// Every usrsctp call stands between these two, on the thread of the association `port`. In between, packets
// and upcalls of `port` need no wake-up: the caller looks for itself.
void hub_enter(struct sctp_hub *hub, struct sctp_port *port);
void hub_leave(struct sctp_hub *hub);

// The packets queued so far, in order, now the caller's; NULL for none.
struct sctp_packet *hub_take_packets(struct sctp_hub *hub, struct sctp_port *port);
// Whether usrsctp had woken the association since the last call.
bool hub_take_woken(struct sctp_hub *hub, struct sctp_port *port);

// usrsctp's name for an association.
static inline void *port_address(const struct sctp_port *port) {
    return (void *)(uintptr_t)port->handle;
}
void hub_on_upcall(struct socket *socket, void *address, int flags);

#endif
