// SPDX-License-Identifier: Apache-2.0
// The session desk as this node runs it: the desk, and the doors to it (session requests, the SignalR hub, the
// platform's webhook, the operator's view). ctl thread.
#ifndef IQ_GATEWAY_FRONT_H
#define IQ_GATEWAY_FRONT_H

#include "gateway/doors.h"
#include "middleware/api.h"
#include "middleware/desk.h"

struct front;

// All borrowed; `conf` until front_set_conf or front_free, the others until front_free.
struct front_config {
    uv_loop_t *loop;
    const struct conf *conf;
    struct redis *redis;
    struct httpc *client;
    struct auth *auth;
    const struct doors *doors;        // who the operator is
    const struct desk_events *events; // copied
};

int front_new(struct front **out, const struct front_config *config);
void front_set_conf(struct front *front, const struct conf *conf);
void front_drain(struct front *front); // who waits here is told to wait elsewhere
// Before http_server_close is called; takes nothing new, and nobody from the queue.
void front_close(struct front *front, void (*on_closed)(void *arg), void *arg);
void front_free(struct front *front); // after httpc and redis have called back everything

struct desk *front_desk(struct front *front);

enum { FRONT_ROUTES = (int)API_ROUTES + (int)HUB_ROUTES + (int)WEBHOOK_ROUTES, FRONT_ADMIN_ROUTES = 1 };
void front_routes(struct front *front, struct http_route out[FRONT_ROUTES]);
void front_admin_routes(struct front *front, struct http_route out[FRONT_ADMIN_ROUTES]);
void front_ws_route(struct front *front, struct ws_route *out);

#endif
