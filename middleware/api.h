// SPDX-License-Identifier: Apache-2.0
// The session desk's REST doors: POST /api/session/request and POST /api/websession/initiate. Checks what is
// asked for, hands it to the desk, and puts its answer into HTTP. ctl thread.
#ifndef IQ_MIDDLEWARE_API_H
#define IQ_MIDDLEWARE_API_H

#include "gateway/core/conf.h"
#include "middleware/desk.h"
#include "signaling/http.h"

struct api;

// All borrowed; `conf` until api_set_conf or api_free, the others until api_free.
struct api_config {
    const struct conf *conf;
    struct desk *desk;
    const char *(*ice_servers_json)(void *arg); // JSON array for the answer, borrowed until the next call
    void *arg;
};

int api_new(struct api **out, const struct api_config *config);
void api_set_conf(struct api *api, const struct conf *conf);
void api_free(struct api *api); // after the desk has answered everything
enum { API_ROUTES = 2 };
void api_routes(struct api *api, struct http_route out[API_ROUTES]);

#endif
