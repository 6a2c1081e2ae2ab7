// SPDX-License-Identifier: Apache-2.0
// The session desk's REST doors: POST /api/session/request and POST /api/websession/initiate. Validates, asks
// the platform (or takes the fixed agent), and has the layer above make the session. ctl thread.
#ifndef IQ_MIDDLEWARE_API_H
#define IQ_MIDDLEWARE_API_H

#include "gateway/core/conf.h"
#include "signaling/http.h"
#include "signaling/httpc.h"

enum { API_TRANSPORT_WEBSOCKET = 0, API_TRANSPORT_WEBRTC = 1 };

// What the layer above needs to open a session. Strings are borrowed for the call.
struct api_session {
    const char *session_id; // ours; equals the platform's conversation id when it gave one
    const char *client_id;  // the client's identifier, made safe for a URL path; at most 256 bytes
    const char *agent_url;  // "" = the built-in agent
    const char *client_address;
    const char *campaign_id, *region_id;
    enum conf_encoding encoding; // of the agent's socket
    uint32_t sample_rate_hz, frame_ms;
};

// What of the request is kept for later (the exchange outlives the request struct).
struct http_request_origin {
    char host[256];
    bool secure;
};

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
    // Writes the signalling URL for the browser into `url`. 0; -ENOSPC or -EBUSY (answered 503 with
    // Retry-After); -EEXIST when the id is in use (asked again with another one); another errno (500).
    int (*on_session)(const struct api_session *session, const struct http_request_origin *origin, char *url,
                      size_t url_size, void *arg);
    const char *(*ice_servers_json)(void *arg); // JSON array for the answer, borrowed until the next call
    void *arg;
};

struct api;
// `conf` and `client` are borrowed. The conf may be replaced by api_set_conf after a reload.
int api_new(struct api **out, const struct conf *conf, struct httpc *client, const struct api_events *events);
void api_set_conf(struct api *api, const struct conf *conf);
void api_free(struct api *api); // after httpc_close has called back everything
enum { API_ROUTES = 2 };
void api_routes(struct api *api, struct http_route out[API_ROUTES]);

#endif
