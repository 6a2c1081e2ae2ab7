// SPDX-License-Identifier: Apache-2.0
//
//   sessions_admit -> ADMITTED -(socket with its token)-> LIVE -(SESSION_ENDED)-> OVER -(SESSION_GONE)-> freed
//                        |               sessions_open ---^ |  ^
//                        +-(5 minutes)-> freed              +--+ socket drops, is resumed with a fresh token
#include "gateway/sessions_impl.h"

#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "gateway/core/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { SWEEP_MS = 1000 };

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

static void tell_over(const struct session *session) {
    const struct sessions_config *config = &session->sessions->config;
    if (config->on_over)
        config->on_over(session->id, config->arg);
}

void session_free(struct session *session) {
    struct sessions *sessions = session->sessions;
    if (session->state == SESSION_OVER)
        sessions->over--;
    else
        tell_over(session);
    json_object_del(sessions->by_id, session->id);
    slot_take(sessions->slots, session->handle);
    free(session->browser.agent_url);
    free(session);
}

int sessions_insert(struct sessions *sessions, struct session *session) {
    session->sessions = sessions;
    if (!sessions_room(sessions))
        return -ENOSPC;
    int err = slot_put(sessions->slots, session, &session->handle);
    if (err)
        return err;
    if (json_object_set_new(sessions->by_id, session->id, json_integer((json_int_t)session->handle)) == 0)
        return 0;
    slot_take(sessions->slots, session->handle);
    return -ENOMEM;
}

// ---- to the workers and from them

static bool is_better(const struct sessions *sessions, size_t worker, size_t than) {
    const struct load_watch *load = sessions->config.load;
    bool refuses = load && load_watch_worker_refuses(load, worker);
    bool other_refuses = load && load_watch_worker_refuses(load, than);
    if (refuses != other_refuses)
        return other_refuses;
    return sessions->worker_calls[worker] < sessions->worker_calls[than];
}

static size_t least_loaded_worker(const struct sessions *sessions) {
    size_t best = 0;
    for (size_t i = 1; i < sessions->config.worker_count; i++) {
        if (is_better(sessions, i, best))
            best = i;
    }
    return best;
}

int session_go_live(struct session *session, struct call_open *open) {
    struct sessions *sessions = session->sessions;
    memcpy(open->session_id, session->id, sizeof open->session_id);
    session->worker = least_loaded_worker(sessions);
    int err = media_worker_open(sessions->config.workers[session->worker], session->handle, open);
    if (err)
        return err;
    session->state = SESSION_LIVE;
    session->live_s = sessions_now_s();
    sessions->worker_calls[session->worker]++;
    sessions->live++;
    return 0;
}

void session_to_worker(struct session *session, enum call_mail type, struct call_msg *msg) {
    struct media_worker *worker = session->sessions->config.workers[session->worker];
    int err = media_worker_post(worker, type, session->handle, msg);
    if (err)
        log_error(session->id, "session", "the worker takes no mail (%s)", err_name(err));
}

void session_hang_up(struct session *session, const char *reason) {
    if (session->state != SESSION_LIVE || session->hung_up)
        return;
    session->hung_up = true;
    session_to_worker(session, CALL_HANGUP, call_msg_new(reason, NULL, NULL));
}

static void session_over(struct session *session, const struct call_msg *msg) {
    if (session->state != SESSION_LIVE)
        return;
    struct sessions *sessions = session->sessions;
    session->state = SESSION_OVER;
    sessions->worker_calls[session->worker]--;
    sessions->live--;
    sessions->over++;
    session->side->on_over(msg, session->side_arg);
    tell_over(session);
}

static void session_gone(struct session *session) {
    struct sessions *sessions = session->sessions;
    session_over(session, NULL);
    session_free(session);
    if (sessions->draining && !sessions->live)
        sessions->config.on_idle(sessions->config.arg);
}

void sessions_mail(struct sessions *sessions, struct mail *mail) {
    struct session *session = slot_get(sessions->slots, mail->to);
    if (!session)
        return;
    if (mail->type == SESSION_ENDED)
        session_over(session, mail->data);
    else if (mail->type == SESSION_GONE)
        session_gone(session);
    else if (session->state == SESSION_LIVE)
        session->side->on_mail((enum call_mail)mail->type, mail->data, session->side_arg);
}

// ---- sessions whose far side is there already

int sessions_open(struct sessions *sessions, struct call_open *open, const struct session_side *side,
                  void *side_arg, uint64_t *handle) {
    int err = sessions->draining ? -EBUSY : sessions_find(sessions, open->session_id) ? -EEXIST : 0;
    struct session *session = err ? NULL : calloc(1, sizeof *session);
    if (!err)
        err = session ? 0 : -ENOMEM;
    if (err)
        goto out;
    session->side = side;
    session->side_arg = side_arg;
    memcpy(session->id, open->session_id, sizeof session->id);
    err = sessions_insert(sessions, session);
    if (err)
        goto out;
    err = session_go_live(session, open);
    if (err) {
        session_free(session);
        return err;
    }
    *handle = session->handle;
    return 0;

out:
    free(session);
    call_open_free(open);
    return err;
}

void sessions_post(struct sessions *sessions, uint64_t handle, enum call_mail type, struct call_msg *msg) {
    struct session *session = slot_get(sessions->slots, handle);
    if (session && session->state == SESSION_LIVE)
        session_to_worker(session, type, msg);
    else
        call_msg_free(msg);
}

uint32_t sessions_room(const struct sessions *sessions) {
    uint32_t held = slot_count(sessions->slots) - sessions->over;
    uint32_t room = held < sessions->config.capacity ? sessions->config.capacity - held : 0;
    uint32_t allowed = sessions->config.load ? load_watch_room(sessions->config.load, held) : room;
    return room < allowed ? room : allowed;
}

const char *sessions_overloaded(const struct sessions *sessions) {
    return sessions->config.load ? load_watch_refuses(sessions->config.load) : NULL;
}

// ---- the sweep

static void sweep_one(uint64_t handle, void *object, void *arg) {
    (void)handle;
    const struct session *session = object;
    if (session->side->on_sweep)
        session->side->on_sweep(*(const int64_t *)arg, session->side_arg);
}

void sessions_sweep(struct sessions *sessions, int64_t now_s) {
    slot_each(sessions->slots, sweep_one, &now_s);
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

static void hang_up_one(uint64_t handle, void *object, void *arg) {
    (void)handle;
    session_hang_up(object, arg);
}

void sessions_hang_up(struct sessions *sessions, const char *reason) {
    slot_each(sessions->slots, hang_up_one, (void *)(uintptr_t)reason);
}

int sessions_hang_up_one(struct sessions *sessions, const char *session_id, const char *reason) {
    struct session *session = sessions_find(sessions, session_id);
    if (!session || session->state != SESSION_LIVE)
        return -ENOENT;
    session_hang_up(session, reason);
    return 0;
}

struct listing {
    json_t *list;
    sessions_more_fn *more;
    void *arg;
};

static void list_one(uint64_t handle, void *object, void *arg) {
    const struct session *session = object;
    const struct listing *listing = arg;
    if (session->state != SESSION_LIVE)
        return;
    json_t *item =
        json_pack("{s:s, s:s, s:I, s:I}", "sessionId", session->id, "kind", session->side->kind, "worker",
                  (json_int_t)session->worker, "seconds", (json_int_t)(sessions_now_s() - session->live_s));
    if (!item)
        return;
    session->side->describe(item, session->side_arg);
    if (listing->more)
        listing->more(handle, item, listing->arg);
    json_array_append_new(listing->list, item);
}

json_t *sessions_list(const struct sessions *sessions, sessions_more_fn *more, void *arg) {
    struct listing listing = {.list = json_array(), .more = more, .arg = arg};
    if (listing.list)
        slot_each(sessions->slots, list_one, &listing);
    return listing.list;
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
    int err = slot_table_new(&sessions->slots, config->capacity + SESSIONS_CLOSING);
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
    (void)arg;
    session_free(object);
}

void sessions_free(struct sessions *sessions) {
    if (!sessions)
        return;
    sessions->config.on_over = NULL;
    if (sessions->slots)
        slot_each(sessions->slots, free_one, NULL);
    slot_table_free(sessions->slots);
    json_decref(sessions->by_id);
    free(sessions->worker_calls);
    free(sessions);
}
