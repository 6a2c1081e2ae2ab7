// SPDX-License-Identifier: Apache-2.0
// Who may hold how many connections (TCP, TLS), and until when one must have said something whole. Pure: the caller
// owns the clock and the descriptors. One thread.
//
// Nobody says when a connection ends: what is remembered of it is looked at again when it matters, so that none is
// refused for those that are gone.
#ifndef IQ_SIP_GATE_H
#define IQ_SIP_GATE_H

#include "media/udp.h"

struct gate;

struct gate_config {
    size_t max_total, max_per_source; // 0 = no limit; IPv6 sources count by /64
    uint64_t silence_us;              // for which one may stay that has said nothing whole
    // Is `fd` still the connection of this peer?
    bool (*is_there)(int fd, const union udp_address *peer, void *arg);
    void *arg;
};

enum gate_verdict { GATE_PASS, GATE_SOURCE_FULL, GATE_FULL };

int gate_new(struct gate **out, const struct gate_config *config); // -ENOMEM
void gate_free(struct gate *gate);                                 // may be NULL
void gate_set_limits(struct gate *gate, size_t max_total, size_t max_per_source);

// A new connection. On GATE_PASS it is remembered, else the caller closes it.
enum gate_verdict gate_enter(struct gate *gate, int fd, const union udp_address *peer, uint64_t now_us);
// A whole message has come from this peer.
void gate_said(struct gate *gate, const union udp_address *peer);
bool gate_has_silent(const struct gate *gate); // are there any that have said nothing whole?
// The next connection that is there still and has said nothing for too long, once; -1 for none. Look each second or so.
int gate_overdue(struct gate *gate, uint64_t now_us);

#endif
