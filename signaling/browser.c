// SPDX-License-Identifier: Apache-2.0
#include "signaling/browser.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

enum {
    // More than the parser takes, so that what is too long is told so before the server would only close.
    MESSAGE_MAX = 128 * 1024,
    QUEUE_MAX = 256 * 1024,
    // A page with many interfaces trickles tens of candidates at once; nobody needs more than this.
    BURST = 200,
    PER_SECOND = 50,
};

static const char path_prefix[] = "/ws/session/", path_middle[] = "/webrtc/";

struct browser {
    struct auth *auth;            // borrows
    struct browser_events events; // where messages go
};

// One accepted socket; the `user` of its `struct ws`.
struct link {
    struct browser *browser;
    void *session; // what on_attach gave
    bool failed;   // an error was sent, nothing more is taken
    double credit; // messages that may still come
    uint64_t credit_at_ns;
};

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

// ---- sending

// Takes `root`. -EINVAL when it could not be made, which is text that is no UTF-8.
static int send_json(struct ws *socket, json_t *root) {
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    int rc = text ? ws_send(socket, false, text, strlen(text)) : -EINVAL;
    free(text);
    json_decref(root);
    return rc;
}

int browser_send_answer(struct ws *socket, const char *sdp) {
    return send_json(socket, json_pack("{s:s, s:s}", "type", "answer", "sdp", sdp));
}

int browser_send_candidate(struct ws *socket, const char *candidate, const char *mid, int mline_index,
                           const char *ufrag) {
    json_t *body =
        candidate && *candidate
            ? json_pack("{s:s, s:s?, s:o, s:s?}", "candidate", candidate, "sdpMid", mid, "sdpMLineIndex",
                        mline_index < 0 ? json_null() : json_integer(mline_index), "usernameFragment", ufrag)
            : json_null();
    return send_json(socket, body ? json_pack("{s:s, s:o}", "type", "candidate", "candidate", body) : NULL);
}

int browser_send_session(struct ws *socket, const char *session_id, const char *resume_url,
                         const char *ice_servers_json) {
    json_t *ice_servers = json_loads(ice_servers_json, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_array(ice_servers)) {
        json_decref(ice_servers);
        return -EINVAL;
    }
    return send_json(socket, json_pack("{s:s, s:s, s:s, s:o}", "type", "session", "sessionId", session_id,
                                       "resumeUrl", resume_url, "iceServers", ice_servers));
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
    ws_close(socket, close_code, code ? code : "internal");
}

// ---- receiving

static bool within_rate(struct link *link) {
    uint64_t now_ns = uv_hrtime();
    link->credit += (double)(now_ns - link->credit_at_ns) * PER_SECOND / 1e9;
    link->credit_at_ns = now_ns;
    if (link->credit > BURST)
        link->credit = BURST;
    if (link->credit < 1)
        return false;
    link->credit -= 1;
    return true;
}

static void fail(struct link *link, struct ws *socket, unsigned close_code, const char *code,
                 const char *message) {
    link->failed = true;
    browser_fail(socket, close_code, code, message);
}

static void on_message(struct ws *socket, bool binary, const uint8_t *data, size_t len, void *user) {
    struct link *link = user;
    struct browser_msg msg;
    struct err_text err = {""};
    if (link->failed)
        return;
    if (!within_rate(link)) {
        fail(link, socket, BROWSER_CLOSE_TOO_MANY, "too_many_messages", "Too many messages.");
        return;
    }
    int rc = binary ? err_set(&err, -EINVAL, "a message is text")
                    : browser_msg_parse((const char *)data, len, &msg, &err);
    if (rc == -EBADMSG) {
        log_debug(NULL, "browser", "candidate ignored: %s", err.text);
        return;
    }
    if (rc != 0) {
        fail(link, socket, BROWSER_CLOSE_BAD_MESSAGE, "bad_message", err.text);
        return;
    }
    link->browser->events.on_message(link->session, &msg, link->browser->events.arg);
    browser_msg_clear(&msg);
}

static void on_too_large(struct ws *socket, void *user) {
    struct link *link = user;
    if (!link->failed)
        fail(link, socket, BROWSER_CLOSE_BAD_MESSAGE, "bad_message", "A message may have at most 64 KiB.");
}

// After an error of ours the close is no drop, whatever the peer makes of it.
static void on_close(struct ws *socket, bool clean, unsigned code, void *user) {
    struct link *link = user;
    (void)socket;
    link->browser->events.on_detach(link->session, clean || link->failed, code, link->browser->events.arg);
    free(link);
}

// ---- the way in

struct address {
    char session_id[BROWSER_PATH_ID_MAX + 1], client_id[BROWSER_PATH_ID_MAX + 1];
    const char *token;
};

// Copies up to `stop`, which must be there; returns what is behind it, or NULL.
static const char *take_id(const char *at, const char *stop, char out[BROWSER_PATH_ID_MAX + 1]) {
    size_t len = strcspn(at, "/");
    if (!len || len > BROWSER_PATH_ID_MAX || strncmp(at + len, stop, strlen(stop)) != 0)
        return NULL;
    memcpy(out, at, len);
    out[len] = '\0';
    return at + len + strlen(stop);
}

static bool parse_path(const char *path, struct address *out) {
    const char *at = path + sizeof path_prefix - 1;
    if (strncmp(path, path_prefix, sizeof path_prefix - 1) != 0)
        return false;
    at = take_id(at, path_middle, out->session_id);
    if (at)
        at = take_id(at, "/", out->client_id);
    out->token = at;
    return at && !strchr(at, '/');
}

static unsigned on_accept(struct ws *socket, const struct http_request *request, void **user, void *arg) {
    struct browser *browser = arg;
    struct address address;
    if (!parse_path(request->path, &address))
        return 404;
    enum auth_verdict verdict =
        auth_use(browser->auth, address.token, address.session_id, address.client_id, (int64_t)time(NULL));
    if (verdict != AUTH_OK) {
        metric_add(METRIC_SIGNALLING_REFUSED, 1);
        // The session is what the client says it is, so it is not used as the line's call.
        log_info(NULL, "browser", "socket from %s refused: %s", request->client_address,
                 auth_verdict_text(verdict));
        return 401;
    }
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        return 503;
    unsigned status = browser->events.on_attach(address.session_id, address.client_id, socket, &link->session,
                                                browser->events.arg);
    if (status) {
        free(link);
        return status;
    }
    link->browser = browser;
    link->credit = BURST;
    link->credit_at_ns = uv_hrtime();
    *user = link;
    return 0;
}

static void on_open(struct ws *socket, void *user, void *arg) {
    struct link *link = user;
    struct browser *browser = arg;
    browser->events.on_open(link->session, socket, browser->events.arg);
}

void browser_route(struct browser *browser, struct ws_route *out) {
    static const struct ws_ops ops = {
        .on_message = on_message, .on_too_large = on_too_large, .on_close = on_close};
    *out = (struct ws_route){
        .path = "/ws/session/*",
        .max_message = MESSAGE_MAX,
        .max_queue = QUEUE_MAX,
        .ops = &ops,
        .on_accept = on_accept,
        .on_open = on_open,
        .arg = browser,
    };
}
