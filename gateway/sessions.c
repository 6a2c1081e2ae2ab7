// SPDX-License-Identifier: Apache-2.0
//
//   sessions_admit -> ADMITTED -(socket with its token)-> LIVE -(SESSION_ENDED)-> OVER -(SESSION_GONE)-> freed
//                        |                                |  ^
//                        +-(5 minutes)-> freed            +--+ socket drops, is resumed with a fresh token
#include "gateway/sessions_impl.h"

#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "gateway/core/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum {
    SWEEP_MS = 1000,
    // A socket gets a new URL to come back with while the last one is still good for a minute.
    REFRESH_S = AUTH_TOKEN_SECONDS - 60,
};

int64_t sessions_now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

// ---- the table

struct session *sessions_find(const struct sessions *sessions, const char *id) {
    const json_t *handle = json_object_get(sessions->by_id, id);
    return handle ? slot_get(sessions->slots, (uint64_t)json_integer_value(handle)) : NULL;
}

void session_free(struct sessions *sessions, struct session *session) {
    json_object_del(sessions->by_id, session->id);
    slot_take(sessions->slots, session->handle);
    free(session->agent_url);
    free(session);
}

static int sessions_insert(struct sessions *sessions, struct session *session) {
    int err = slot_put(sessions->slots, session, &session->handle);
    if (err)
        return err;
    if (json_object_set_new(sessions->by_id, session->id, json_integer((json_int_t)session->handle)) == 0)
        return 0;
    slot_take(sessions->slots, session->handle);
    return -ENOMEM;
}

// ---- admission

// What comes before the path: Gateway.PublicUrl, or the address the request was sent to.
static int session_base_url(const struct sessions *sessions, const struct session *session, char *out,
                            size_t size) {
    const char *public_url = sessions->public_url;
    bool http = strncasecmp(public_url, "http", 4) == 0;
    int wrote;
    if (http) // http(s)://… is taken as ws(s)://…: only the scheme's first letters differ
        wrote = snprintf(out, size, "ws%s", public_url + 4);
    else if (public_url[0])
        wrote = snprintf(out, size, "%s", public_url);
    else
        wrote = snprintf(out, size, "%s://%s", session->origin.secure ? "wss" : "ws", session->origin.host);
    if (wrote < 0 || (size_t)wrote >= size)
        return -ENOBUFS;
    while (wrote && out[wrote - 1] == '/')
        out[--wrote] = '\0';
    return 0;
}

int session_url(struct sessions *sessions, const struct session *session, char *out, size_t size) {
    char token[AUTH_TOKEN_MAX];
    int err = auth_mint(sessions->config.auth, session->id, session->client_id, (int64_t)time(NULL), token,
                        sizeof token);
    if (err)
        return err;
    char base[512];
    err = session_base_url(sessions, session, base, sizeof base);
    if (err)
        return err;
    int wrote =
        snprintf(out, size, "%s/ws/session/%s/webrtc/%s/%s", base, session->id, session->client_id, token);
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
    session->agent_url = strdup(from->agent_url);
    bool fits =
        strlen(from->session_id) < sizeof session->id && strlen(from->client_id) < sizeof session->client_id;
    if (!session->agent_url || !fits) {
        free(session->agent_url);
        free(session);
        return fits ? -ENOMEM : -ENAMETOOLONG;
    }
    snprintf(session->id, sizeof session->id, "%s", from->session_id);
    snprintf(session->client_id, sizeof session->client_id, "%s", from->client_id);
    session->format = (struct agent_format){from->encoding, from->sample_rate_hz, from->frame_ms};
    session->same_host = is_loopback(from->client_address);
    session->origin = *origin;
    session->admitted_s = sessions_now_s();
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
        free(session->agent_url);
        free(session);
        return err;
    }
    err = session_url(sessions, session, url, url_size);
    if (err) {
        session_free(sessions, session);
        return err;
    }
    metric_add(METRIC_SESSIONS_PENDING, 1);
    log_info(session->id, "session", "admitted for client %s", from->client_address);
    return 0;
}

struct sweep {
    struct sessions *sessions;
    int64_t now_s;
};

static void sweep_one(uint64_t handle, void *object, void *arg) {
    (void)handle;
    const struct sweep *sweep = arg;
    struct sessions *sessions = sweep->sessions;
    struct session *session = object;
    if (session->state == SESSION_LIVE && session->attachment &&
        sweep->now_s - session->greeted_s >= REFRESH_S)
        session_greet(sessions, session);
    if (session->state != SESSION_ADMITTED || sweep->now_s - session->admitted_s <= AUTH_TOKEN_SECONDS)
        return;
    log_info(session->id, "session", "expired: no browser came within %d s", AUTH_TOKEN_SECONDS);
    metric_add(METRIC_SESSIONS_PENDING, -1);
    session_free(sessions, session);
}

void sessions_sweep(struct sessions *sessions, int64_t now_s) {
    slot_each(sessions->slots, sweep_one, &(struct sweep){sessions, now_s});
}

static void on_sweep(uv_timer_t *timer) {
    sessions_sweep(timer->data, sessions_now_s());
}

// ---- the whole

void sessions_drain(struct sessions *sessions) {
    sessions->draining = true;
    if (!sessions->live)
        sessions->config.on_idle(sessions->config.arg);
}

bool sessions_draining(const struct sessions *sessions) {
    return sessions->draining;
}

uint32_t sessions_live(const struct sessions *sessions) {
    return sessions->live;
}

struct hang_up_arg {
    struct sessions *sessions;
    const char *reason;
};

static void hang_up_one(uint64_t handle, void *object, void *arg) {
    (void)handle;
    const struct hang_up_arg *hang_up = arg;
    session_hang_up(hang_up->sessions, object, hang_up->reason);
}

void sessions_hang_up(struct sessions *sessions, const char *reason) {
    slot_each(sessions->slots, hang_up_one, &(struct hang_up_arg){sessions, reason});
}

int sessions_hang_up_one(struct sessions *sessions, const char *session_id, const char *reason) {
    struct session *session = sessions_find(sessions, session_id);
    if (!session || session->state != SESSION_LIVE)
        return -ENOENT;
    hang_up_one(session->handle, session, &(struct hang_up_arg){sessions, reason});
    return 0;
}

static void list_one(uint64_t handle, void *object, void *arg) {
    (void)handle;
    const struct session *session = object;
    if (session->state != SESSION_LIVE)
        return;
    json_t *item = json_pack("{s:s, s:s, s:I, s:I, s:b}", "sessionId", session->id, "clientId",
                             session->client_id, "worker", (json_int_t)session->worker, "seconds",
                             (json_int_t)(sessions_now_s() - session->live_s), "signalling",
                             session->attachment != NULL);
    if (item)
        json_array_append_new(arg, item);
}

char *sessions_list_json(const struct sessions *sessions) {
    json_t *list = json_array();
    if (!list)
        return NULL;
    slot_each(sessions->slots, list_one, list);
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

void sessions_set_public_url(struct sessions *sessions, const char *url) {
    sessions->public_url = url;
}

int sessions_new(struct sessions **out, const struct sessions_config *config) {
    struct sessions *sessions = calloc(1, sizeof *sessions);
    if (!sessions)
        return -ENOMEM;
    sessions->config = *config;
    sessions->public_url = "";
    int err = slot_table_new(&sessions->slots, config->capacity);
    if (err)
        goto out;
    err = -ENOMEM;
    sessions->by_id = json_object();
    sessions->worker_calls = calloc(config->worker_count, sizeof *sessions->worker_calls);
    if (!sessions->by_id || !sessions->worker_calls)
        goto out;
    err = uv_timer_init(config->loop, &sessions->sweep);
    if (err)
        goto out;
    sessions->sweep.data = sessions;
    uv_timer_start(&sessions->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    *out = sessions;
    return 0;

out:
    sessions_free(sessions);
    return err;
}

void sessions_close(struct sessions *sessions) {
    uv_close((uv_handle_t *)&sessions->sweep, NULL);
}

static void free_one(uint64_t handle, void *object, void *arg) {
    (void)handle;
    session_free(arg, object);
}

void sessions_free(struct sessions *sessions) {
    if (!sessions)
        return;
    if (sessions->slots)
        slot_each(sessions->slots, free_one, sessions);
    slot_table_free(sessions->slots);
    json_decref(sessions->by_id);
    free(sessions->worker_calls);
    free(sessions);
}
