// SPDX-License-Identifier: Apache-2.0
#include "signaling/browser.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    // A whole offer fits; what is larger is told so by the parser's own limit before the server's, which only
    // closes.
    MAX_MESSAGE = 128 * 1024,
    MAX_QUEUE = 256 * 1024,
    // A page with many interfaces trickles tens of candidates at once; nobody needs more than this.
    BURST = 200,
    PER_SECOND = 50,
};

struct browser {
    struct auth *auth; // borrowed
    struct browser_events events;
};

// One socket.
struct visitor {
    struct browser *browser; // borrowed
    struct ws *socket;
    void *session; // of the layer above
    double tokens;
    uint64_t refilled_ms;
    bool failed; // an error has been sent: the rest of what comes is ignored
};

// ---- the door

struct door_path {
    char session_id[BROWSER_PATH_ID_MAX];
    char client_id[BROWSER_PATH_ID_MAX];
    char token[AUTH_TOKEN_MAX];
};

// /ws/session/{sessionId}/webrtc/{clientId}/{token}
static bool door_path_parse(const char *text, struct door_path *out) {
    struct span s = span_str(text), part;
    return span_starts(s, "/ws/session/") && span_skip(&s, strlen("/ws/session/")) &&
           span_until(&s, '/', &part) && part.len &&
           span_copy(part, out->session_id, sizeof out->session_id) && span_until(&s, '/', &part) &&
           span_eq(part, "webrtc") && span_until(&s, '/', &part) && part.len &&
           span_copy(part, out->client_id, sizeof out->client_id) &&
           span_copy(s, out->token, sizeof out->token);
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static unsigned on_accept(struct ws *ws, const struct http_request *request, void **user, void *arg) {
    struct browser *browser = arg;
    struct door_path path;
    if (!door_path_parse(request->path, &path)) {
        metric_add(METRIC_SIGNALLING_REFUSED, 1);
        return 404;
    }
    enum auth_verdict verdict =
        auth_use(browser->auth, path.token, path.session_id, path.client_id, (int64_t)time(NULL));
    if (verdict != AUTH_OK) {
        metric_add(METRIC_SIGNALLING_REFUSED, 1);
        log_warn(path.session_id, "browser", "signalling refused for %s: %s", request->client_address,
                 auth_verdict_text(verdict));
        return 401;
    }
    struct visitor *visitor = calloc(1, sizeof *visitor);
    if (!visitor)
        return 503;
    *visitor = (struct visitor){.browser = browser, .socket = ws, .tokens = BURST, .refilled_ms = now_ms()};
    unsigned status = browser->events.on_attach(path.session_id, path.client_id, ws, &visitor->session,
                                                browser->events.arg);
    if (status) {
        free(visitor);
        return status;
    }
    *user = visitor;
    return 0;
}

static void on_open(struct ws *ws, void *user, void *arg) {
    const struct visitor *visitor = user;
    const struct browser *browser = arg;
    browser->events.on_open(visitor->session, ws, browser->events.arg);
}

// ---- messages

static bool visitor_may_speak(struct visitor *visitor) {
    uint64_t now = now_ms();
    visitor->tokens += (double)(now - visitor->refilled_ms) * PER_SECOND / 1000.0;
    if (visitor->tokens > BURST)
        visitor->tokens = BURST;
    visitor->refilled_ms = now;
    if (visitor->tokens < 1.0)
        return false;
    visitor->tokens -= 1.0;
    return true;
}

static void visitor_fail(struct visitor *visitor, unsigned close_code, const char *code,
                         const char *message) {
    visitor->failed = true;
    browser_fail(visitor->socket, close_code, code, message);
}

static void on_message(struct ws *ws, bool binary, const uint8_t *data, size_t len, void *user) {
    (void)ws;
    struct visitor *visitor = user;
    if (visitor->failed)
        return;
    if (!visitor_may_speak(visitor)) {
        visitor_fail(visitor, BROWSER_CLOSE_TOO_MANY, "too_many_messages", "Too many signalling messages.");
        return;
    }
    if (binary) {
        visitor_fail(visitor, BROWSER_CLOSE_BAD_MESSAGE, "bad_message",
                     "Signalling messages are JSON texts.");
        return;
    }
    struct browser_msg msg;
    struct err_text err = {""};
    int rc = browser_msg_parse((const char *)data, len, &msg, &err);
    if (rc == -EBADMSG)
        return; // one candidate more or less
    if (rc) {
        visitor_fail(visitor, BROWSER_CLOSE_BAD_MESSAGE, "bad_message", err.text);
        return;
    }
    const struct browser_events *events = &visitor->browser->events;
    events->on_message(visitor->session, &msg, events->arg);
    browser_msg_clear(&msg);
}

// After an error of ours the close is no drop, whatever the peer makes of it.
static void on_close(struct ws *ws, bool clean, unsigned code, void *user) {
    (void)ws;
    struct visitor *visitor = user;
    const struct browser_events *events = &visitor->browser->events;
    events->on_detach(visitor->session, clean || visitor->failed, code, events->arg);
    free(visitor);
}

int browser_new(struct browser **out, struct auth *auth, const struct browser_events *events) {
    struct browser *browser = calloc(1, sizeof *browser);
    if (!browser)
        return -ENOMEM;
    browser->auth = auth;
    browser->events = *events;
    *out = browser;
    return 0;
}

void browser_free(struct browser *browser) {
    free(browser);
}

void browser_route(struct browser *browser, struct ws_route *out) {
    static const struct ws_ops ops = {.on_message = on_message, .on_close = on_close};
    *out = (struct ws_route){.path = "/ws/session/*",
                             .max_message = MAX_MESSAGE,
                             .max_queue = MAX_QUEUE,
                             .ops = &ops,
                             .on_accept = on_accept,
                             .on_open = on_open,
                             .arg = browser};
}

// ---- what we say. Each takes the JSON over; NULL is out of memory.

static int send_json(struct ws *socket, json_t *json) {
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    int err = text ? ws_send(socket, false, text, strlen(text)) : -ENOMEM;
    free(text);
    json_decref(json);
    return err;
}

int browser_send_answer(struct ws *socket, const char *sdp) {
    return send_json(socket, json_pack("{s:s, s:s}", "type", "answer", "sdp", sdp));
}

int browser_send_candidate(struct ws *socket, const char *candidate, const char *mid, int mline_index,
                           const char *ufrag) {
    if (!candidate)
        return send_json(socket, json_pack("{s:s, s:n}", "type", "candidate", "candidate"));
    json_t *fields =
        json_pack("{s:s, s:s?, s:s?}", "candidate", candidate, "sdpMid", mid, "usernameFragment", ufrag);
    if (fields && mline_index >= 0)
        json_object_set_new(fields, "sdpMLineIndex", json_integer(mline_index));
    return send_json(socket, json_pack("{s:s, s:o}", "type", "candidate", "candidate", fields));
}

int browser_send_session(struct ws *socket, const char *session_id, const char *resume_url,
                         const char *ice_servers_json) {
    json_t *servers = json_loads(ice_servers_json, 0, NULL);
    if (!servers)
        servers = json_array();
    return send_json(socket, json_pack("{s:s, s:s, s:s, s:o}", "type", "session", "sessionId", session_id,
                                       "resumeUrl", resume_url, "iceServers", servers));
}

// JSON is UTF-8, and a text that quotes what a browser sent may be cut inside a character.
static json_t *text_json(const char *text) {
    char plain[512];
    json_t *whole = json_string(text);
    if (whole)
        return whole;
    snprintf(plain, sizeof plain, "%s", text);
    for (char *c = plain; *c; c++) {
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    }
    return json_string(plain);
}

int browser_send_error(struct ws *socket, const char *code, const char *message) {
    return send_json(socket, json_pack("{s:s, s:s, s:o}", "type", "error", "code", code ? code : "internal",
                                       "message", text_json(message ? message : "")));
}

void browser_fail(struct ws *socket, unsigned close_code, const char *code, const char *message) {
    browser_send_error(socket, code, message);
    ws_close(socket, close_code, code ? code : "error");
}
