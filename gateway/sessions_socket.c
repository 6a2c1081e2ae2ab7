// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "gateway/sessions_impl.h"

#include <stdlib.h>
#include <string.h>

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
    session->live_s = sessions_now_s();
    sessions->worker_calls[session->worker]++;
    sessions->live++;
    metric_add(METRIC_SESSIONS_PENDING, -1);
    return 0;
}

void session_to_worker(struct session *session, struct sessions *sessions, enum call_mail type,
                       struct call_msg *msg) {
    int err = media_worker_post(sessions->config.workers[session->worker], type, session->handle, msg);
    if (err)
        log_error(session->id, "session", "the worker takes no mail (%s)", err_name(err));
}

void session_hang_up(struct sessions *sessions, struct session *session, const char *reason) {
    if (session->state != SESSION_LIVE || session->hung_up)
        return;
    session->hung_up = true;
    session_to_worker(session, sessions, CALL_HANGUP, call_msg_new(reason, NULL, NULL));
}

// Again from time to time, since the URL in it is good for five minutes and a call may last for hours; the
// credentials in it are fresh ones too.
void session_greet(struct sessions *sessions, struct session *session) {
    char url[SESSION_URL_MAX];
    int err = session_url(sessions, session, url, sizeof url);
    session->greeted_s = sessions_now_s();
    browser_send_session(session->attachment->socket, session->id, err ? "" : url,
                         sessions->config.ice_servers_json(sessions->config.arg));
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
    session_greet(sessions, session);
}

static void on_browser_message(void *user, const struct browser_msg *msg, void *arg) {
    struct session *session = attachment_session(arg, user);
    if (!session || session->state != SESSION_LIVE)
        return;
    if (msg->type == BROWSER_HANGUP) {
        session_hang_up(arg, session, "the browser hung up");
        return;
    }
    enum call_mail type = msg->type == BROWSER_OFFER ? CALL_OFFER : CALL_CANDIDATE;
    struct call_msg *mail =
        call_msg_new(type == CALL_OFFER ? msg->sdp : msg->candidate, msg->sdp_mid, msg->ufrag);
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
        session_hang_up(sessions, session, "the browser closed its socket");
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
        if (socket)
            browser_send_error(socket, msg->mid, msg->text);
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
