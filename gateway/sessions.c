// SPDX-License-Identifier: Apache-2.0
//
//   api -> sessions_admit -> ADMITTED -(socket with its token)-> LIVE -(SESSION_ENDED)-> ENDED
//   -(SESSION_GONE)-> freed
//                               |                                 |  ^
//                               +-(5 minutes)-> freed             +--+ socket drops and is resumed with a
//                               fresh token
#include "gateway/sessions.h"

#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "gateway/core/slot.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SWEEP_MS = 1000, URL_MAX_BYTES = 2048 };

enum session_state { SESSION_ADMITTED, SESSION_LIVE, SESSION_OVER };

// One accepted signalling socket. A resumed socket makes a new one; the old one, still closing, then belongs
// to nobody.
struct attachment {
    uint64_t session; // handle: the session may end between the token's check and the end of the upgrade
    struct ws *socket;
};

struct session {
    uint64_t handle;
    enum session_state state;
    char id[128];
    char client_id[BROWSER_PATH_ID_MAX];
    char *agent_url; // owned; moves to the call
    struct agent_format format;
    bool same_host;
    struct http_request_origin origin;
    struct attachment *attachment; // NULL while no socket is there
    size_t worker;                 // while LIVE
    int64_t admitted_s, live_s;    // CLOCK_MONOTONIC
};

struct sessions {
    struct sessions_config config;
    struct slot_table *slots;
    json_t *by_id; // session id -> handle
    char *ice_servers_json;
    const char *public_url;
    uint32_t *worker_calls; // live calls by worker
    uint32_t live;
    bool draining;
    uv_timer_t sweep;
};

static int64_t monotonic_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

// ---- the table

static struct session *sessions_find(const struct sessions *sessions, const char *id) {
    const json_t *handle = json_object_get(sessions->by_id, id);
    return handle ? slot_get(sessions->slots, (uint64_t)json_integer_value(handle)) : NULL;
}

static void session_free(struct sessions *sessions, struct session *session) {
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

static int session_url(struct sessions *sessions, const struct session *session, char *out, size_t size) {
    char token[AUTH_TOKEN_MAX];
    int err = auth_mint(sessions->config.auth, session->id, session->client_id, (int64_t)time(NULL), token,
                        sizeof token);
    if (err)
        return err;
    char base[512];
    const char *public_url = sessions->public_url;
    if (public_url[0]) {
        // http(s)://… is taken as ws(s)://…: only the scheme's first letters differ.
        bool http = strncmp(public_url, "http", 4) == 0;
        snprintf(base, sizeof base, "%s%s", http ? "ws" : "", http ? public_url + 4 : public_url);
    } else {
        snprintf(base, sizeof base, "%s://%s", session->origin.secure ? "wss" : "ws", session->origin.host);
    }
    size_t len = strlen(base);
    if (len && base[len - 1] == '/')
        base[len - 1] = '\0';
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
    session->admitted_s = monotonic_s();
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

static void sweep_one(uint64_t handle, void *object, void *arg) {
    (void)handle;
    struct sessions *sessions = arg;
    struct session *session = object;
    if (session->state != SESSION_ADMITTED || monotonic_s() - session->admitted_s <= AUTH_TOKEN_SECONDS)
        return;
    log_info(session->id, "session", "expired: no browser came within %d s", AUTH_TOKEN_SECONDS);
    metric_add(METRIC_SESSIONS_PENDING, -1);
    session_free(sessions, session);
}

static void on_sweep(uv_timer_t *timer) {
    struct sessions *sessions = timer->data;
    slot_each(sessions->slots, sweep_one, sessions);
}

// ---- the browser's socket

static unsigned on_attach(const char *session_id, const char *client_id, struct ws *socket, void **out,
                          void *arg) {
    struct sessions *sessions = arg;
    struct session *session = sessions_find(sessions, session_id);
    if (!session || session->state == SESSION_OVER || strcmp(session->client_id, client_id) != 0)
        return 404;
    if (session->state == SESSION_ADMITTED && sessions->draining)
        return 503;
    struct attachment *attachment = calloc(1, sizeof *attachment);
    if (!attachment)
        return 503;
    *attachment = (struct attachment){.session = session->handle, .socket = socket};
    *out = attachment;
    return 0;
}

// The session whose present socket this is; NULL for one that was replaced or whose session is over.
static struct session *attachment_session(const struct sessions *sessions,
                                          const struct attachment *attachment) {
    struct session *session = slot_get(sessions->slots, attachment->session);
    return session && session->attachment == attachment ? session : NULL;
}

static size_t least_loaded_worker(const struct sessions *sessions) {
    size_t best = 0;
    for (size_t i = 1; i < sessions->config.worker_count; i++) {
        if (sessions->worker_calls[i] < sessions->worker_calls[best])
            best = i;
    }
    return best;
}

static int session_go_live(struct sessions *sessions, struct session *session) {
    struct call_open *open = calloc(1, sizeof *open);
    if (!open)
        return -ENOMEM;
    memcpy(open->session_id, session->id, sizeof open->session_id);
    open->agent_url = session->agent_url;
    open->format = session->format;
    open->same_host = session->same_host;
    session->agent_url = NULL;
    session->worker = least_loaded_worker(sessions);
    int err = media_worker_open(sessions->config.workers[session->worker], session->handle, open);
    if (err)
        return err;
    session->state = SESSION_LIVE;
    session->live_s = monotonic_s();
    sessions->worker_calls[session->worker]++;
    sessions->live++;
    metric_add(METRIC_SESSIONS_PENDING, -1);
    return 0;
}

static void session_to_worker(struct session *session, struct sessions *sessions, enum call_mail type,
                              struct call_msg *msg) {
    int err = media_worker_post(sessions->config.workers[session->worker], type, session->handle, msg);
    if (err)
        log_error(session->id, "session", "the worker takes no mail (%s)", err_name(err));
}

static void session_greet(struct sessions *sessions, struct session *session, struct ws *socket) {
    char url[URL_MAX_BYTES];
    int err = session_url(sessions, session, url, sizeof url);
    browser_send_session(socket, session->id, err ? "" : url, sessions->ice_servers_json);
}

static void on_open(void *user, struct ws *socket, void *arg) {
    struct attachment *attachment = user;
    struct sessions *sessions = arg;
    struct session *session = slot_get(sessions->slots, attachment->session);
    if (!session || session->state == SESSION_OVER) {
        ws_close(socket, 1000, "call ended");
        return;
    }
    if (session->attachment) {
        // The old connection may not have noticed yet that its network is gone; the token proves who this is.
        ws_close(session->attachment->socket, 1000, "resumed elsewhere");
    }
    session->attachment = attachment;
    if (session->state == SESSION_ADMITTED) {
        int err = session_go_live(sessions, session);
        if (err) {
            log_error(session->id, "session", "no worker takes the call (%s)", err_name(err));
            metric_add(METRIC_SESSIONS_PENDING, -1);
            session_free(sessions, session);
            browser_fail(socket, BROWSER_CLOSE_INTERNAL, "internal", "The gateway cannot take the call.");
            return;
        }
    } else {
        log_info(session->id, "session", "signalling is back");
        session_to_worker(session, sessions, CALL_SOCKET_BACK, NULL);
    }
    session_greet(sessions, session, socket);
}

static void on_browser_message(void *user, const struct browser_msg *msg, void *arg) {
    struct session *session = attachment_session(arg, user);
    if (!session || session->state != SESSION_LIVE)
        return;
    enum call_mail type = msg->type == BROWSER_OFFER       ? CALL_OFFER
                          : msg->type == BROWSER_CANDIDATE ? CALL_CANDIDATE
                                                           : CALL_HANGUP;
    struct call_msg *mail = call_msg_new(type == CALL_OFFER       ? msg->sdp
                                         : type == CALL_CANDIDATE ? msg->candidate
                                                                  : "the browser hung up",
                                         msg->sdp_mid, msg->ufrag);
    if (!mail)
        return;
    mail->mline_index = msg->sdp_mline_index;
    session_to_worker(session, arg, type, mail);
}

static void on_detach(void *user, bool clean, unsigned code, void *arg) {
    struct sessions *sessions = arg;
    struct session *session = attachment_session(sessions, user);
    free(user);
    if (!session)
        return;
    session->attachment = NULL;
    if (session->state != SESSION_LIVE)
        return;
    log_info(session->id, "session", "signalling socket %s (%u)", clean ? "closed" : "dropped", code);
    if (clean)
        session_to_worker(session, sessions, CALL_HANGUP,
                          call_msg_new("the browser closed its socket", NULL, NULL));
    else
        session_to_worker(session, sessions, CALL_SOCKET_LOST, NULL);
}

void sessions_browser_events(struct sessions *sessions, struct browser_events *out) {
    *out = (struct browser_events){.on_attach = on_attach,
                                   .on_open = on_open,
                                   .on_message = on_browser_message,
                                   .on_detach = on_detach,
                                   .arg = sessions};
}

// ---- what the workers say

static void session_over(struct sessions *sessions, struct session *session, const struct call_msg *msg) {
    if (session->state != SESSION_LIVE)
        return;
    session->state = SESSION_OVER;
    sessions->worker_calls[session->worker]--;
    sessions->live--;
    struct attachment *attachment = session->attachment;
    if (!attachment)
        return;
    session->attachment = NULL;
    if (msg && msg->close_code)
        browser_fail(attachment->socket, msg->close_code, msg->mid, msg->text);
    else
        ws_close(attachment->socket, 1000, "call ended");
}

static void session_refused(const struct session *session, const struct call_msg *msg) {
    json_t *json = json_pack("{s:s, s:s?, s:s?}", "type", "error", "code", msg->mid, "message", msg->text);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (text && session->attachment)
        ws_send(session->attachment->socket, false, text, strlen(text));
    free(text);
    json_decref(json);
}

static void session_gone(struct sessions *sessions, struct session *session) {
    session_over(sessions, session, NULL);
    session_free(sessions, session);
    if (sessions->draining && !sessions->live)
        sessions->config.on_idle(sessions->config.arg);
}

void sessions_mail(struct sessions *sessions, struct mail *mail) {
    struct session *session = slot_get(sessions->slots, mail->to);
    if (!session)
        return;
    const struct call_msg *msg = mail->data;
    struct ws *socket = session->attachment ? session->attachment->socket : NULL;
    switch (mail->type) {
    case SESSION_ANSWER:
        if (socket)
            browser_send_answer(socket, msg->text);
        break;
    case SESSION_CANDIDATE:
        if (socket)
            browser_send_candidate(socket, msg->text, msg->mid, msg->mline_index, msg->ufrag);
        break;
    case SESSION_REFUSED:
        session_refused(session, msg);
        break;
    case SESSION_ENDED:
        session_over(sessions, session, msg);
        break;
    case SESSION_GONE:
        session_gone(sessions, session);
        break;
    default:
        break;
    }
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
    struct session *session = object;
    struct hang_up_arg *hang_up = arg;
    if (session->state == SESSION_LIVE)
        session_to_worker(session, hang_up->sessions, CALL_HANGUP, call_msg_new(hang_up->reason, NULL, NULL));
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
    json_t *item =
        json_pack("{s:s, s:s, s:I, s:I, s:b}", "sessionId", session->id, "clientId", session->client_id,
                  "worker", (json_int_t)session->worker, "seconds",
                  (json_int_t)(monotonic_s() - session->live_s), "signalling", session->attachment != NULL);
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

void sessions_set_ice_servers(struct sessions *sessions, const char *json) {
    char *copy = strdup(json);
    if (!copy)
        return;
    free(sessions->ice_servers_json);
    sessions->ice_servers_json = copy;
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
    sessions->ice_servers_json = strdup("[]");
    sessions->worker_calls = calloc(config->worker_count, sizeof *sessions->worker_calls);
    if (!sessions->by_id || !sessions->ice_servers_json || !sessions->worker_calls)
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
    free(sessions->ice_servers_json);
    free(sessions->worker_calls);
    free(sessions);
}
