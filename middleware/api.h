// SPDX-License-Identifier: Apache-2.0
// The session desk's REST doors: POST /api/session/request and POST /api/websession/initiate. Checks what is
// asked for, has it admitted and initiated, and answers. ctl thread.
#ifndef IQ_MIDDLEWARE_API_H
#define IQ_MIDDLEWARE_API_H

#include "gateway/core/conf.h"
#include "middleware/initiate.h"
#include "signaling/http.h"

// The one place where a request is admitted, queued or refused: rate limits, reputation, concurrency and the
// queue stand behind it. `done` is called at once or later, once.
struct api_admission {
    unsigned status; // 200 go on; 202, 403, 429, 503: answered with `message`
    const char *message;
    unsigned retry_after_s; // 0 = no header
};

struct api_events {
    // Called before the platform is asked; must call done exactly once (possibly at once).
    void (*on_admit)(const struct http_request *request, const char *campaign_id,
                     void (*done)(const struct api_admission *verdict, void *done_arg), void *done_arg,
                     void *arg);
    // Gives back what on_admit took, when the session could not be made.
    void (*on_release)(const char *campaign_id, void *arg);
    const char *(*ice_servers_json)(void *arg); // JSON array for the answer, borrowed until the next call
    void *arg;
};

struct api;
// `conf` and `initiate` are borrowed. The conf may be replaced by api_set_conf after a reload.
int api_new(struct api **out, const struct conf *conf, struct initiate *initiate,
            const struct api_events *events);
void api_set_conf(struct api *api, const struct conf *conf);
void api_free(struct api *api); // after httpc_close has called back everything
enum { API_ROUTES = 2 };
void api_routes(struct api *api, struct http_route out[API_ROUTES]);

#endif
