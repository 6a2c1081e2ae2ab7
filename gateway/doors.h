// SPDX-License-Identifier: Apache-2.0
// The operator's HTTP doors: /healthz, /readyz, /metrics and /api/admin/…. ctl thread.
#ifndef IQ_GATEWAY_DOORS_H
#define IQ_GATEWAY_DOORS_H

#include "gateway/live.h"
#include "gateway/load_watch.h"
#include "gateway/sessions.h"
#include "middleware/nodes.h"
#include "signaling/http.h"

struct doors {
    struct sessions *sessions;   // borrowed
    struct live *live;           // borrowed
    struct load_watch *load;     // borrowed
    const struct redis *redis;   // borrowed
    const struct nodes *nodes;   // borrowed
    const char *admin_token;     // borrowed; "" = /api/admin is off (404)
    void (*on_drain)(void *arg); // POST /api/admin/drain
    void *arg;
};

enum { DOORS_ROUTES = 6 };
// Answers 404 while the admin doors are off, so that they cannot even be found, and 401 for a wrong token.
bool doors_admin_allowed(const struct doors *doors, const struct http_request *request);
void doors_routes(struct doors *doors, struct http_route out[DOORS_ROUTES]); // borrows doors

#endif
