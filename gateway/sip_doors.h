// SPDX-License-Identifier: Apache-2.0
// The operator's view of telephony: GET /api/admin/queue and GET /api/admin/nodes. ctl thread.
#ifndef IQ_GATEWAY_SIP_DOORS_H
#define IQ_GATEWAY_SIP_DOORS_H

#include "gateway/doors.h"
#include "gateway/telephony.h"

struct sip_doors {
    const struct doors *doors;         // borrowed; who the operator is
    const struct telephony *telephony; // borrowed
};

enum { SIP_DOORS_ROUTES = 2 };
void sip_doors_routes(struct sip_doors *doors, struct http_route out[SIP_DOORS_ROUTES]); // borrows doors

// ?status=Failed&offset=0&limit=20, each of which may be absent. False: *why says what is wrong. Pure.
bool sip_doors_page(const char *query, struct callqueue_page *out, const char **why);

#endif
