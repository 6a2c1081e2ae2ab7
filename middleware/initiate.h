// SPDX-License-Identifier: Apache-2.0
// From a checked request to a session: asks the platform for an agent (or takes the fixed one), has the layer
// above open the gateway's session, and gives the client's URL. The same piece serves an HTTP request that is
// admitted at once, one that waited in the queue, and a telephone call. ctl thread.
#ifndef IQ_MIDDLEWARE_INITIATE_H
#define IQ_MIDDLEWARE_INITIATE_H

#include "gateway/core/conf.h"
#include "middleware/platform.h"
#include "signaling/httpc.h"

enum { API_TRANSPORT_WEBSOCKET = 0, API_TRANSPORT_WEBRTC = 1 };
enum { INITIATE_CLIENT_ID_MAX = 256, INITIATE_URL_MAX = 4096 };

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

// What of the HTTP request is kept: the session's URL may be made long after the exchange is over.
struct http_request_origin {
    char host[256];
    bool secure;
};

// A request that has passed every check of its contents, and can be carried out now or later, here or on
// another node.
struct initiate_request {
    char *campaign_id, *region_id; // owned
    char *client_identifier;       // owned; as the platform gets it
    char client_address[64];
    int transport;                        // API_TRANSPORT_*
    json_t *dynamic_variables, *metadata; // owned; objects of strings
    struct platform_format input, output; // of the client's audio; encoding 0 when it named none
    struct http_request_origin origin;    // for the URL of a session here
};

void initiate_request_clear(struct initiate_request *request);
// The request as JSON (malloc'ed; NULL when memory is out) with the number of its schema, and back. -EINVAL
// when it is no such text or of a schema that this program does not know; -ENOMEM.
char *initiate_request_text(const struct initiate_request *request);
int initiate_request_parse(struct initiate_request *out, const char *text, size_t len);

// Borrowed for the call.
struct initiate_result {
    // 0; -EAGAIN: the platform has no room for another call just now (its `code` says so); -ENOSPC: this node
    // has no room; -EBUSY: this node is stopping; -ENOENT: the campaign is gone from the configuration, or the
    // platform does not know what it was asked for; -EUSERS: something of the platform's is busy; any other
    // errno: it failed, and the reason is in the log.
    int err;
    const char *key;        // of the session opened here; "" when there is none
    const char *session_id; // by which the platform's webhook will call it; "" when it gave none
    const char *url;        // holds a token: never log it
    // Of the agent's socket, for those who open it.
    enum conf_encoding encoding;
    uint32_t sample_rate_hz, frame_ms;
};
typedef void initiate_fn(const struct initiate_result *result, void *arg);

struct initiate_events {
    // Writes the signalling URL for the browser into `url`. 0; -ENOSPC or -EBUSY as above; -EEXIST when the
    // id is in use (asked again with another one); another errno.
    int (*on_session)(const struct api_session *session, const struct http_request_origin *origin, char *url,
                      size_t url_size, void *arg);
    void *arg;
};

struct initiate;

// `conf` (until initiate_set_conf) and `client` are borrowed.
int initiate_new(struct initiate **out, const struct conf *conf, struct httpc *client,
                 const struct initiate_events *events);
void initiate_set_conf(struct initiate *initiate, const struct conf *conf);
void initiate_free(struct initiate *initiate); // after httpc_close has called back everything

// For a client of ours: `url` is what it is given, the platform's own (API_TRANSPORT_WEBSOCKET) or that of a
// session opened here. `done` exactly once, inside or later; `request` is borrowed until then.
void initiate_session(struct initiate *initiate, const struct initiate_request *request, initiate_fn *done,
                      void *arg);
// For a caller who comes another way (a trunk): `url` is the agent's, "" for the built-in one; no session is
// opened. `request->transport` and `origin` do not count.
void initiate_agent(struct initiate *initiate, const struct initiate_request *request, initiate_fn *done,
                    void *arg);

#endif
