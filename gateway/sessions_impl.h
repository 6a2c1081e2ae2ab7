// SPDX-License-Identifier: Apache-2.0
// What sessions.c (the table, admission, the operator) and sessions_socket.c (the browsers' sockets and the
// workers' mail) share.
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
    uint64_t handle;
    enum session_state state;
    char id[128];
    char client_id[BROWSER_PATH_ID_MAX];
    char *agent_url; // owned; moves to the call
    struct agent_format format;
    bool same_host;
    struct http_request_origin origin;
    struct attachment *attachment; // NULL while no socket is there
    bool hung_up;                  // the worker has been told to end the call
    size_t worker;                 // while LIVE
    int64_t admitted_s, live_s;    // CLOCK_MONOTONIC
    int64_t greeted_s;             // when the socket was last given a URL to come back with
};

struct sessions {
    struct sessions_config config;
    struct slot_table *slots;
    json_t *by_id; // session id -> handle
    const char *public_url;
    uint32_t *worker_calls; // live calls by worker
    uint32_t live;
    bool draining;
    uv_timer_t sweep;
};

int64_t sessions_now_s(void); // CLOCK_MONOTONIC
struct session *sessions_find(const struct sessions *sessions, const char *id);
void session_free(struct sessions *sessions, struct session *session); // takes it out of the table
// A signalling URL with a fresh token.
int session_url(struct sessions *sessions, const struct session *session, char *out, size_t size);

// sessions_socket.c
void session_greet(struct sessions *sessions, struct session *session); // the socket's first message
void session_to_worker(struct session *session, struct sessions *sessions, enum call_mail type,
                       struct call_msg *msg);                                                 // takes msg
void session_hang_up(struct sessions *sessions, struct session *session, const char *reason); // LIVE; once

#endif
