// SPDX-License-Identifier: Apache-2.0
// What sessions.c (the table, the workers' mail, the operator) and the browsers' side of it (sessions_admit.c,
// sessions_socket.c) share.
#ifndef IQ_GATEWAY_SESSIONS_IMPL_H
#define IQ_GATEWAY_SESSIONS_IMPL_H

#include "gateway/core/slot.h"
#include "gateway/sessions.h"

#include <jansson.h>

enum { SESSION_URL_MAX = 2048 };

enum session_state { SESSION_ADMITTED, SESSION_LIVE, SESSION_OVER };

// One accepted signalling socket. A resumed socket makes a new one; the old one, still closing, then belongs
// to nobody.
struct attachment {
    uint64_t session; // handle: the session may end between the token's check and the end of the upgrade
    struct ws *socket;
};

struct session {
    struct sessions *sessions;
    uint64_t handle;
    enum session_state state;
    char id[128];
    const struct session_side *side;
    void *side_arg; // of the side's functions
    bool hung_up;   // the worker has been told to end the call
    size_t worker;  // while LIVE
    int64_t live_s; // CLOCK_MONOTONIC
    // A browser's: what it needs until it comes, and its socket.
    struct {
        char client_id[BROWSER_PATH_ID_MAX];
        char *agent_url; // owned; moves to the call
        struct agent_format format;
        bool same_host;
        struct http_request_origin origin;
        struct attachment *attachment; // NULL while no socket is there
        int64_t admitted_s;
        int64_t greeted_s; // when the socket was last given a URL to come back with
    } browser;
};

struct sessions {
    struct sessions_config config;
    struct slot_table *slots;
    json_t *by_id; // session id -> handle
    const char *public_url;
    uint32_t *worker_calls; // live calls by worker
    uint32_t live, over;    // over: still in the table, until its worker lets go of it
    bool draining;
    uv_timer_t sweep;
};

int64_t sessions_now_s(void); // CLOCK_MONOTONIC
struct session *sessions_find(const struct sessions *sessions, const char *id);
int sessions_insert(struct sessions *sessions, struct session *session); // -ENOSPC, -ENOMEM
void session_free(struct session *session);                              // takes it out of the table
// Gives the call to a worker. Takes `open`, whose id it fills in.
int session_go_live(struct session *session, struct call_open *open);
void session_to_worker(struct session *session, enum call_mail type, struct call_msg *msg); // takes msg
void session_hang_up(struct session *session, const char *reason);                          // LIVE; once

// Browsers, before and after they have come.
extern const struct session_side session_browser_side; // its arg is the session
int session_url(const struct session *session, char *out,
                size_t size);                                // a signalling URL, with a fresh token
void session_expire(struct session *session, int64_t now_s); // ADMITTED; frees it when its time is over

#endif
