// SPDX-License-Identifier: Apache-2.0
// Who may call which number, and which servers take the call. Pure: the same configuration and nodes give the
// same verdict. A table never changes once it is made, so any thread may read it.
#ifndef IQ_SIP_ROUTE_H
#define IQ_SIP_ROUTE_H

#include "gateway/core/conf.h"
#include "sip/sip_msg.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The answer to a call that is refused. The reason is static text.
struct route_refusal {
    unsigned status;
    const char *reason;
};

// The businesses of a conf by id, its telephone numbers by digits, and their source lists ready to compare.
struct route_table;
int route_table_new(struct route_table **out, const struct conf *conf); // borrows the conf. -ENOMEM
void route_table_free(struct route_table *table);

struct route_found {
    const struct conf_business *business; // of the conf
    const struct conf_number *number;
};

// By X-Business-Id and X-Phone-Id, or without both by the dialled number alone; then the source's right to call
// it. False and *refusal, or true and *found.
bool route_check(const struct route_table *table, const struct sip_request *request,
                 const struct in6_addr *source, struct route_found *found, struct route_refusal *refusal);

// A media node as its heartbeat tells. Strings are borrowed.
struct route_node {
    const char *id, *region_id;
    const char *endpoint;    // where trunks reach its listener
    uint16_t port, tls_port; // tls_port 0 = none
    bool accepting;          // neither draining nor stopped
    int64_t max_calls;       // 0 = no limit
    int64_t calls;
    unsigned cpu_percent, memory_percent;
};

struct route_choice {
    size_t nodes[SIP_MAX_BACKENDS]; // indices, best first
    struct sip_backend backends[SIP_MAX_BACKENDS];
    size_t count;
};

// Up to three nodes for a call to `region_id`, or to the first of its fallback regions that has one. What the
// configuration says of a node in Regions.*.Servers (Enabled, Development, Endpoint, SipPort, SipTlsPort) counts more than
// what the node says. False and *refusal when there is none.
bool route_choose(const struct conf *conf, const char *region_id, bool admin, const struct route_node *nodes,
                  size_t node_count, struct route_choice *choice, struct route_refusal *refusal);

#endif
