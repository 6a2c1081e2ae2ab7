// SPDX-License-Identifier: Apache-2.0
//
// Browsers before they come: their sessions are admitted, wait for a socket with the signed URL, and expire.
#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "gateway/sessions_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

// What comes before the path: Gateway.PublicUrl, or the address the request was sent to.
static int base_url(const struct session *session, char *out, size_t size) {
    const char *public_url = session->sessions->public_url;
    bool http = strncasecmp(public_url, "http", 4) == 0;
    int wrote;
    if (http) // http(s)://… is taken as ws(s)://…: only the scheme's first letters differ
        wrote = snprintf(out, size, "ws%s", public_url + 4);
    else if (public_url[0])
        wrote = snprintf(out, size, "%s", public_url);
    else
        wrote = snprintf(out, size, "%s://%s", session->browser.origin.secure ? "wss" : "ws",
                         session->browser.origin.host);
    if (wrote < 0 || (size_t)wrote >= size)
        return -ENOBUFS;
    while (wrote && out[wrote - 1] == '/')
        out[--wrote] = '\0';
    return 0;
}

int session_url(const struct session *session, char *out, size_t size) {
    char token[AUTH_TOKEN_MAX];
    int err = auth_mint(session->sessions->config.auth, session->id, session->browser.client_id,
                        (int64_t)time(NULL), token, sizeof token);
    if (err)
        return err;
    char base[512];
    err = base_url(session, base, sizeof base);
    if (err)
        return err;
    int wrote = snprintf(out, size, "%s/ws/session/%s/webrtc/%s/%s", base, session->id,
                         session->browser.client_id, token);
    return wrote > 0 && (size_t)wrote < size ? 0 : -ENOBUFS;
}

static bool is_loopback(const char *address) {
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

static int session_new(struct session **out, const struct api_session *from,
                       const struct http_request_origin *origin) {
    struct session *session = calloc(1, sizeof *session);
    if (!session)
        return -ENOMEM;
    session->browser.agent_url = strdup(from->agent_url);
    bool fits = strlen(from->session_id) < sizeof session->id &&
                strlen(from->client_id) < sizeof session->browser.client_id;
    if (!session->browser.agent_url || !fits) {
        free(session->browser.agent_url);
        free(session);
        return fits ? -ENOMEM : -ENAMETOOLONG;
    }
    snprintf(session->id, sizeof session->id, "%s", from->session_id);
    snprintf(session->browser.client_id, sizeof session->browser.client_id, "%s", from->client_id);
    session->browser.format = (struct agent_format){from->encoding, from->sample_rate_hz, from->frame_ms};
    session->browser.same_host = is_loopback(from->client_address);
    session->browser.origin = *origin;
    session->browser.admitted_s = sessions_now_s();
    session->side = &session_browser_side;
    session->side_arg = session;
    *out = session;
    return 0;
}

int sessions_admit(struct sessions *sessions, const struct api_session *from,
                   const struct http_request_origin *origin, char *url, size_t url_size) {
    if (sessions->draining)
        return -EBUSY;
    if (sessions_find(sessions, from->session_id))
        return -EEXIST;
    struct session *session = NULL;
    int err = session_new(&session, from, origin);
    if (err)
        return err;
    err = sessions_insert(sessions, session);
    if (err) {
        free(session->browser.agent_url);
        free(session);
        return err;
    }
    err = session_url(session, url, url_size);
    if (err) {
        session_free(session);
        return err;
    }
    metric_add(METRIC_SESSIONS_PENDING, 1);
    log_info(session->id, "session", "admitted for client %s", from->client_address);
    return 0;
}

void session_expire(struct session *session, int64_t now_s) {
    if (now_s - session->browser.admitted_s <= AUTH_TOKEN_SECONDS)
        return;
    log_info(session->id, "session", "expired: no browser came within %d s", AUTH_TOKEN_SECONDS);
    metric_add(METRIC_SESSIONS_PENDING, -1);
    session_free(session);
}
