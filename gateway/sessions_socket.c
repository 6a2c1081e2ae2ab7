// SPDX-License-Identifier: Apache-2.0
//
// Browsers that have come: their sockets, and what crosses them between the browser and the call's worker.
#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "gateway/sessions_impl.h"

#include <stdlib.h>
#include <string.h>

// A socket gets a new URL to come back with while the last one is still good for a minute.
enum { REFRESH_S = AUTH_TOKEN_SECONDS - 60 };

// ---- the browser's socket

static unsigned on_attach(const char *session_id, const char *client_id, struct ws *socket, void **out,
                          void *arg) {
    struct sessions *sessions = arg;
    struct session *session = sessions_find(sessions, session_id);
    if (!session || session->state == SESSION_OVER || strcmp(session->browser.client_id, client_id) != 0)
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
    return session && session->browser.attachment == attachment ? session : NULL;
}

static int browser_go_live(struct session *session) {
    struct call_open *open = calloc(1, sizeof *open);
    if (!open)
        return -ENOMEM;
    open->kind = CALL_BROWSER;
    open->agent_url = session->browser.agent_url;
    open->format = session->browser.format;
    open->same_host = session->browser.same_host;
    session->browser.agent_url = NULL;
    int err = session_go_live(session, open);
    if (!err)
        metric_add(METRIC_SESSIONS_PENDING, -1);
    return err;
}

// Again from time to time, since the URL in it is good for five minutes and a call may last for hours; the
// credentials in it are fresh ones too.
static void session_greet(struct session *session) {
    struct sessions *sessions = session->sessions;
    char url[SESSION_URL_MAX];
    int err = session_url(session, url, sizeof url);
    session->browser.greeted_s = sessions_now_s();
    browser_send_session(session->browser.attachment->socket, session->id, err ? "" : url,
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
    if (session->browser.attachment) {
        // The old connection may not have noticed yet that its network is gone; the token proves who this is.
        ws_close(session->browser.attachment->socket, 1000, "resumed elsewhere");
    }
    session->browser.attachment = attachment;
    if (session->state == SESSION_ADMITTED) {
        int err = browser_go_live(session);
        if (err) {
            log_error(session->id, "session", "no worker takes the call (%s)", err_name(err));
            metric_add(METRIC_SESSIONS_PENDING, -1);
            session_free(session);
            browser_fail(socket, BROWSER_CLOSE_INTERNAL, "internal", "The gateway cannot take the call.");
            return;
        }
    } else {
        log_info(session->id, "session", "signalling is back");
        session_to_worker(session, CALL_SOCKET_BACK, NULL);
    }
    session_greet(session);
}

static void on_browser_message(void *user, const struct browser_msg *msg, void *arg) {
    struct session *session = attachment_session(arg, user);
    if (!session || session->state != SESSION_LIVE)
        return;
    if (msg->type == BROWSER_HANGUP) {
        session_hang_up(session, "the browser hung up");
        return;
    }
    enum call_mail type = msg->type == BROWSER_OFFER ? CALL_OFFER : CALL_CANDIDATE;
    struct call_msg *mail =
        call_msg_new(type == CALL_OFFER ? msg->sdp : msg->candidate, msg->sdp_mid, msg->ufrag);
    if (!mail)
        return;
    mail->mline_index = msg->sdp_mline_index;
    session_to_worker(session, type, mail);
}

static void on_detach(void *user, bool clean, unsigned code, void *arg) {
    struct sessions *sessions = arg;
    struct session *session = attachment_session(sessions, user);
    free(user);
    if (!session)
        return;
    session->browser.attachment = NULL;
    if (session->state != SESSION_LIVE)
        return;
    log_info(session->id, "session", "signalling socket %s (%u)", clean ? "closed" : "dropped", code);
    if (clean)
        session_hang_up(session, "the browser closed its socket");
    else
        session_to_worker(session, CALL_SOCKET_LOST, NULL);
}

void sessions_browser_events(struct sessions *sessions, struct browser_events *out) {
    *out = (struct browser_events){.on_attach = on_attach,
                                   .on_open = on_open,
                                   .on_message = on_browser_message,
                                   .on_detach = on_detach,
                                   .arg = sessions};
}

// ---- as the far side of its session

static void on_worker_mail(enum call_mail type, const struct call_msg *msg, void *arg) {
    const struct session *session = arg;
    struct ws *socket = session->browser.attachment ? session->browser.attachment->socket : NULL;
    if (!socket)
        return;
    if (type == SESSION_ANSWER)
        browser_send_answer(socket, msg->text);
    else if (type == SESSION_CANDIDATE)
        browser_send_candidate(socket, msg->text, msg->mid, msg->mline_index, msg->ufrag);
    else if (type == SESSION_REFUSED)
        browser_send_error(socket, msg->mid, msg->text);
}

static unsigned close_code(enum call_cause cause) {
    static const unsigned codes[] = {
        [CALL_HUNG_UP] = 1000,
        [CALL_BAD_OFFER] = BROWSER_CLOSE_BAD_MESSAGE,
        [CALL_TIMEOUT] = BROWSER_CLOSE_TIMEOUT,
        [CALL_NO_AGENT] = BROWSER_CLOSE_AGENT,
        [CALL_NO_MEDIA] = BROWSER_CLOSE_MEDIA,
        [CALL_INTERNAL] = BROWSER_CLOSE_INTERNAL,
    };
    return codes[cause];
}

static void on_over(const struct call_msg *msg, void *arg) {
    struct session *session = arg;
    struct attachment *attachment = session->browser.attachment;
    if (!attachment)
        return;
    session->browser.attachment = NULL;
    if (msg && msg->cause != CALL_HUNG_UP)
        browser_fail(attachment->socket, close_code(msg->cause), msg->mid, msg->text);
    else
        ws_close(attachment->socket, 1000, "call ended");
}

static void on_sweep(int64_t now_s, void *arg) {
    struct session *session = arg;
    if (session->state == SESSION_ADMITTED)
        session_expire(session, now_s);
    else if (session->state == SESSION_LIVE && session->browser.attachment &&
             now_s - session->browser.greeted_s >= REFRESH_S)
        session_greet(session);
}

static void describe(json_t *item, void *arg) {
    const struct session *session = arg;
    json_object_set_new(item, "clientId", json_string(session->browser.client_id));
    json_object_set_new(item, "signalling", json_boolean(session->browser.attachment != NULL));
}

const struct session_side session_browser_side = {.kind = "browser",
                                                  .on_mail = on_worker_mail,
                                                  .on_over = on_over,
                                                  .on_sweep = on_sweep,
                                                  .describe = describe};
