// SPDX-License-Identifier: Apache-2.0
// The sessions of this node, seen from ctl: admitted (a signed URL is out), live (a browser has come and a
// worker holds its call), ended. Joins the browser's signalling sockets with the workers' calls. ctl thread
// only.
#ifndef IQ_GATEWAY_SESSIONS_H
#define IQ_GATEWAY_SESSIONS_H

#include "gateway/media_worker.h"
#include "middleware/api.h"
#include "signaling/browser.h"

struct sessions;

// Borrowed until sessions_free.
struct sessions_config {
    uv_loop_t *loop;
    struct auth *auth;
    struct media_worker *const *workers;
    size_t worker_count;
    uint32_t capacity;                          // calls and admitted sessions together
    void (*on_idle)(void *arg);                 // while draining: the last call has gone
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

// For /api/admin: calls as a JSON array (malloc'ed), and hanging one up (-ENOENT).
char *sessions_list_json(const struct sessions *sessions);
int sessions_hang_up_one(struct sessions *sessions, const char *session_id, const char *reason);

#endif
