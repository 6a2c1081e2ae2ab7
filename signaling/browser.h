// SPDX-License-Identifier: Apache-2.0
// The browser's signalling socket: GET /ws/session/{sessionId}/webrtc/{clientId}/{token}. Checks path and
// token (401 before the upgrade), parses messages, limits their rate, and hands them up. ctl thread.
#ifndef IQ_SIGNALING_BROWSER_H
#define IQ_SIGNALING_BROWSER_H

#include "gateway/core/err.h"
#include "signaling/auth.h"
#include "signaling/http.h"

enum { BROWSER_PATH_ID_MAX = 320 };

// One signalling message (browser_msg.c; pure, fuzzed). Strings are owned by the message.
enum browser_msg_type { BROWSER_OFFER, BROWSER_CANDIDATE, BROWSER_HANGUP };
struct browser_msg {
    enum browser_msg_type type;
    char *sdp; // offer
    size_t sdp_len;
    char *candidate;       // "" or NULL: no more candidates
    char *sdp_mid, *ufrag; // may be NULL
    int sdp_mline_index;   // -1 when absent
};
// JSON depth <= 8, <= 64 KiB. -EINVAL (not JSON), -EPROTO (JSON but no message of ours: `err` says which
// field), -EBADMSG (a candidate with a field we cannot take: the call goes on without it).
int browser_msg_parse(const char *text, size_t len, struct browser_msg *out, struct err_text *err);
void browser_msg_clear(struct browser_msg *msg);

struct browser; // the endpoint

// `socket` is the connection's `struct ws`; `session` is what on_attach gave back.
struct browser_events {
    // Token and path are good and the token is used up. 0 and *session, or an HTTP status: 404 unknown
    // session, 503 draining.
    unsigned (*on_attach)(const char *session_id, const char *client_id, struct ws *socket, void **session,
                          void *arg);
    void (*on_open)(void *session, struct ws *socket, void *arg); // after the upgrade
    void (*on_message)(void *session, const struct browser_msg *msg, void *arg);
    void (*on_detach)(void *session, bool clean, unsigned code, void *arg);
    void *arg;
};

int browser_new(struct browser **out, struct auth *auth, const struct browser_events *events);
void browser_free(struct browser *browser);
void browser_route(struct browser *browser, struct ws_route *out); // for http_config.ws_routes

// Texts to the browser. Each is one JSON message.
int browser_send_answer(struct ws *socket, const char *sdp);
int browser_send_candidate(struct ws *socket, const char *candidate, const char *mid, int mline_index,
                           const char *ufrag);
// First message of every socket; ice_servers_json is a JSON array.
int browser_send_session(struct ws *socket, const char *session_id, const char *resume_url,
                         const char *ice_servers_json);
// {"type":"error","code","message"}; the call goes on. The message may quote what came, cut anywhere.
int browser_send_error(struct ws *socket, const char *code, const char *message);
// The same and then a close. `close_code` is 4xxx.
void browser_fail(struct ws *socket, unsigned close_code, const char *code, const char *message);

// Close codes of the signalling socket, with the "code" of the error message that goes before.
enum {
    BROWSER_CLOSE_BAD_MESSAGE = 4400, // bad_message, bad_sdp, no_audio, no_common_codec
    BROWSER_CLOSE_TIMEOUT = 4408,     // connect_timeout: media never came up
    BROWSER_CLOSE_TOO_MANY = 4429,    // too_many_messages
    BROWSER_CLOSE_AGENT = 4502,       // agent_unavailable, agent_lost
    BROWSER_CLOSE_MEDIA = 4504,       // media_failed, media_lost
    BROWSER_CLOSE_INTERNAL = 4500,    // internal
};

#endif
