// SPDX-License-Identifier: Apache-2.0
// The whole program, composed: ctl (this thread's loop) with HTTP, sessions and the desk; a media worker per
// core.
#ifndef IQ_GATEWAY_GATEWAY_H
#define IQ_GATEWAY_GATEWAY_H

#include "gateway/core/conf.h"
#include "gateway/core/err.h"

#include "signaling/http.h"

#include <stdint.h>
#include <uv.h>

struct gateway;

// Starts everything on `loop`, which need not turn for it. Takes over `conf`. `err` tells a person what is in
// the way.
int gateway_start(struct gateway **out, uv_loop_t *loop, struct conf *conf, struct err_text *err);
// What its HTTP server serves; borrowed until gateway_free.
struct gateway_routes {
    const struct http_route *routes;
    size_t route_count;
    const struct ws_route *ws_routes;
    size_t ws_route_count;
};
struct gateway_routes gateway_routes(const struct gateway *gateway);
uint16_t gateway_http_port(const struct gateway *gateway);

// First call: drains (no new calls; those up may end by themselves for Gateway.DrainSeconds), then stops. A
// second call hangs up at once. The loop ends by itself when all is closed.
void gateway_stop(struct gateway *gateway);

// A changed configuration: takes over `conf`. Keys that need a restart keep their old value and are named in
// the log.
void gateway_reload(struct gateway *gateway, struct conf *conf);

void gateway_free(struct gateway *gateway); // after the loop has ended

#endif
