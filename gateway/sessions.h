// SPDX-License-Identifier: Apache-2.0
// The sessions of this node, seen from ctl: admitted (a signed URL is out), live (a browser has come, or a
// trunk's call was taken, and a worker holds its call), ended. Joins the far sides, which are browsers'
// signalling sockets and SIP dialogs, with the workers' calls. ctl thread only.
#ifndef IQ_GATEWAY_SESSIONS_H
#define IQ_GATEWAY_SESSIONS_H

#include "gateway/load_watch.h"
#include "gateway/media_worker.h"
#include "middleware/api.h"
#include "signaling/browser.h"

#include <jansson.h>

struct sessions;

enum { SESSIONS_CLOSING = 64 }; // that are over, and whose sockets are not closed yet

// A kind of far side, as its session uses it.
struct session_side {
    const char *kind;                                                            // "browser", "sip"
    void (*on_mail)(enum call_mail type, const struct call_msg *msg, void *arg); // from the call's worker
    // The call is over: tell the far side, and forget the session's handle. Once; `msg` is that of
    // SESSION_ENDED and may be NULL.
    void (*on_over)(const struct call_msg *msg, void *arg);
    void (*on_sweep)(int64_t now_s, void *arg); // each second, CLOCK_MONOTONIC; may free it; may be NULL
    void (*describe)(json_t *item, void *arg);  // what the operator's list shows of it beside the rest
};

// Borrowed until sessions_free.
struct sessions_config {
    uv_loop_t *loop;
    struct auth *auth;
    struct media_worker *const *workers;
    size_t worker_count;
    uint32_t capacity;             // calls and admitted sessions together; some that are
                                   // over and still closing are held beside them
    const struct load_watch *load; // which may allow fewer, or none; NULL in tests
    void (*on_idle)(void *arg);    // while draining: the last call has gone
    // A session is over: its call has ended, or nobody came for it. Not from sessions_free. May be NULL.
    void (*on_over)(const char *session_id, void *arg);
    const char *(*ice_servers_json)(void *arg); // what browsers are told now; borrowed until the next call
    void *arg;
};

int sessions_new(struct sessions **out, const struct sessions_config *config);
void sessions_close(struct sessions *sessions); // stops its timer; the loop must turn before sessions_free
void sessions_free(struct sessions *sessions);

// An admitted session: its signalling URL, good for one client for five minutes. -ENOSPC, -EBUSY while
// draining, -EEXIST when the id is in use.
int sessions_admit(struct sessions *sessions, const struct api_session *session,
                   const struct http_request_origin *origin, char *url, size_t url_size);
// A session of any other kind, whose far side is there already: live at once. Takes `open`. The handle is good
// for sessions_post until on_over. -ENOSPC, -EBUSY while draining, -EEXIST when the id is in use.
int sessions_open(struct sessions *sessions, struct call_open *open, const struct session_side *side,
                  void *side_arg, uint64_t *handle);
void sessions_post(struct sessions *sessions, uint64_t handle, enum call_mail type,
                   struct call_msg *msg);                // to its worker; takes msg
uint32_t sessions_room(const struct sessions *sessions); // how many more fit
// Why nobody is taken in for load, in words for a person (static); NULL = they are, as far as there is room.
const char *sessions_overloaded(const struct sessions *sessions);

void sessions_set_public_url(struct sessions *sessions,
                             const char *url); // "" = from each request's Host; borrowed
// What its own timer does each second: sessions nobody came for expire, live sockets get fresh URLs.
// CLOCK_MONOTONIC.
void sessions_sweep(struct sessions *sessions, int64_t now_s);
void sessions_browser_events(struct sessions *sessions, struct browser_events *out);
void sessions_mail(struct sessions *sessions, struct mail *mail); // SESSION_* mail from the workers

void sessions_drain(
    struct sessions *sessions); // takes nothing new; on_idle follows, at once if there is no call
void sessions_hang_up(struct sessions *sessions, const char *reason); // every call
bool sessions_draining(const struct sessions *sessions);
uint32_t sessions_live(const struct sessions *sessions);

// For /api/admin: the live calls as a JSON array, to each of which `more` (may be NULL) adds what else is known by its
// handle; and hanging one up (-ENOENT).
typedef void sessions_more_fn(uint64_t handle, json_t *item, void *arg);
json_t *sessions_list(const struct sessions *sessions, sessions_more_fn *more, void *arg);
int sessions_hang_up_one(struct sessions *sessions, const char *session_id, const char *reason);

#endif
