// SPDX-License-Identifier: Apache-2.0
//
//   desk_request -> limits -> reputation -> admit -+-> slot -> initiate -+-> 200
//                     |           |                |                     +-> no room after all -> refused -> 202
//                     429         403              +-> 202 queued        +-> 500, 503: slot and limits given back
//                                                  +-> 503 full
//
// While Redis is away, and whenever it is lost on the way: 503, and what may have been taken is given back.
#include "gateway/core/log.h"
#include "middleware/address.h"
#include "middleware/desk_impl.h"
#include "signaling/auth.h"

#include <stdlib.h>
#include <string.h>

enum {
    AWAY_RETRY_S = 5,
    BUSY_RETRY_S = 10,
    FULL_RETRY_S = 30,
    POLL_MIN_S = 1,
    POLL_MAX_S = 60,
    POLL_USUAL_S = 5
};

static const char text_failed[] = "An error occurred while trying to initiate the session.";
static const char text_full[] = "The gateway is at capacity. Please try again.";
static const char text_draining[] = "The gateway is shutting down. Please try again.";
static const char text_away[] = "The session desk is not available right now. Please try again.";
static const char text_queue_full[] = "Too many are waiting already. Please try again later.";
static const char text_address[] = "Could not determine client IP address.";

// One request on its way.
struct ask {
    struct desk *desk; // borrowed
    struct initiate_request request;
    char id[DESK_REQUEST_ID_SIZE], slot[SLOT_ID_SIZE], rate[ADDRESS_KEY_SIZE];
    char *text;   // owned: the request as it is kept in the queue
    char *url;    // owned: what the client gets
    bool limited; // a place in the limits was taken, or may have been
    desk_fn *done;
    void *arg;
};

static void ask_done(struct ask *ask, const struct desk_answer *answer) {
    ask->done(answer, ask->arg);
    initiate_request_clear(&ask->request);
    free(ask->text);
    free(ask->url);
    free(ask);
}

// Ends a request that took a place in the limits and no slot.
static void ask_refuse(struct ask *ask, unsigned status, const char *message, unsigned retry_after_s) {
    if (ask->limited)
        ratelimit_give_back(ask->desk->ratelimit, ask->request.client_address, ask->id);
    ask_done(ask,
             &(struct desk_answer){.status = status, .message = message, .retry_after_s = retry_after_s});
}

// An answer of Redis is missing: what was asked of it may have been done.
static void ask_lost(struct ask *ask, int err, const char *step) {
    log_warn(NULL, "desk", "no %s: %s", step, err_name(err));
    slots_give_back(ask->desk->slots, ask->slot);
    ask_refuse(ask, 503, text_away, AWAY_RETRY_S);
}

// Ends one that has a slot: everything goes back.
static void ask_fail(struct ask *ask, unsigned status, const char *message) {
    slots_give_back(ask->desk->slots, ask->slot);
    ask_refuse(ask, status, message, status == 503 ? BUSY_RETRY_S : 0);
}

static struct queue_entry ask_entry(const struct ask *ask) {
    const struct conf_campaign *campaign = conf_campaign(ask->desk->config.conf, ask->request.campaign_id);
    return (struct queue_entry){.slot = ask->slot,
                                .id = ask->id,
                                .rate = ask->rate,
                                .text = ask->text,
                                .campaign_id = ask->request.campaign_id,
                                .weight = campaign ? campaign->weight : 1,
                                .transport = ask->request.transport};
}

// ---- queued

static void ask_queued(struct ask *ask, const struct queue_admission *admission) {
    int64_t eta = admission->eta_s < 0 ? POLL_USUAL_S : admission->eta_s;
    if (eta < POLL_MIN_S)
        eta = POLL_MIN_S;
    ask_done(ask, &(struct desk_answer){.status = 202,
                                        .retry_after_s = (unsigned)(eta < POLL_MAX_S ? eta : POLL_MAX_S),
                                        .request_id = ask->id,
                                        .position = admission->position});
}

static void on_refused(int err, const struct queue_admission *admission, void *arg) {
    struct ask *ask = arg;
    if (err)
        ask_lost(ask, err, "place in the queue");
    else
        ask_queued(ask, admission);
}

// The platform has no room after all: nobody who was here before the others loses by it.
static void ask_no_room(struct ask *ask) {
    struct queue_entry entry = ask_entry(ask);
    usage_poke(ask->desk->usage);
    if (ask->desk->config.conf->queue.max_length == 0) {
        slots_give_back(ask->desk->slots, ask->slot);
        ask_refuse(ask, 503, text_queue_full, FULL_RETRY_S);
        return;
    }
    int err = queue_refused(ask->desk->queue, &entry, on_refused, ask);
    if (err)
        ask_lost(ask, err, "place in the queue");
}

// ---- a session

static void on_held(int err, void *arg) {
    struct ask *ask = arg;
    // The session is there, and its client may as well have it: the slot is bound when it is renewed.
    if (err)
        log_warn(NULL, "desk", "a slot is not bound yet: %s", err_name(err));
    ask_done(ask, &(struct desk_answer){.status = 200, .url = ask->url});
}

static void ask_opened(struct ask *ask, const struct initiate_result *result) {
    struct slots *slots = ask->desk->slots;
    const struct slots_session session = {.slot = ask->slot,
                                          .key = result->key,
                                          .session_id = result->session_id,
                                          .campaign_id = ask->request.campaign_id,
                                          .rate = ask->rate,
                                          .request_id = ask->id,
                                          .here = ask->request.transport == API_TRANSPORT_WEBRTC};
    ask->url = strdup(result->url);
    if (!ask->url) {
        ask_fail(ask, 500, text_failed);
        return;
    }
    if (session.here)
        slots_keep(slots, &session);
    int err = slots_hold(slots, &session, on_held, ask);
    if (err)
        on_held(err, ask);
}

static void on_initiated(const struct initiate_result *result, void *arg) {
    struct ask *ask = arg;
    switch (result->err) {
    case 0:
        ask_opened(ask, result);
        break;
    case -EAGAIN:
        ask_no_room(ask);
        break;
    case -ENOSPC:
        ask_fail(ask, 503, text_full);
        break;
    case -EBUSY:
    case -ECANCELED:
        ask_fail(ask, 503, text_draining);
        break;
    default:
        ask_fail(ask, 500, text_failed);
    }
}

// ---- admission

static void on_admitted(int err, const struct queue_admission *admission, void *arg) {
    struct ask *ask = arg;
    if (err)
        ask_lost(ask, err, "admission");
    else if (admission->verdict == QUEUE_SLOT)
        initiate_session(ask->desk->initiate, &ask->request, on_initiated, ask);
    else if (admission->verdict == QUEUE_WAITS)
        ask_queued(ask, admission);
    else
        ask_refuse(ask, 503, text_queue_full, FULL_RETRY_S);
}

static void on_checked(const struct ipcheck_verdict *verdict, void *arg) {
    struct ask *ask = arg;
    if (!verdict->allowed) {
        ask_refuse(ask, 403, verdict->message, 0);
        return;
    }
    struct queue_entry entry = ask_entry(ask);
    int err = queue_admit(ask->desk->queue, &entry, true, on_admitted, ask);
    if (err)
        ask_lost(ask, err, "admission");
}

static void on_limited(int err, const struct ratelimit_answer *answer, void *arg) {
    struct ask *ask = arg;
    if (err) {
        ask_lost(ask, err, "verdict of the limits");
    } else if (answer->verdict != RATELIMIT_OK) {
        ask->limited = false;
        ask_refuse(ask, 429, ratelimit_message(answer->verdict), answer->retry_after_s);
    } else {
        ipcheck_ask(ask->desk->ipcheck, ask->request.client_address, on_checked, ask);
    }
}

// ---- the beginning

// A GUID (RFC 4122, version 4) from 32 random hexadecimal digits. Whoever knows it may wait under it.
static int make_id(char out[DESK_REQUEST_ID_SIZE]) {
    char hex[DESK_REQUEST_ID_SIZE];
    int err = auth_random_id("", hex, sizeof hex);
    if (err)
        return err;
    snprintf(out, DESK_REQUEST_ID_SIZE, "%.8s-%.4s-4%.3s-a%.3s-%.12s", hex, hex + 8, hex + 13, hex + 17,
             hex + 20);
    return 0;
}

static int ask_prepare(struct ask *ask) {
    int err = make_id(ask->id);
    if (!err)
        err = slots_new_id(ask->slot);
    if (err)
        return err;
    ask->text = initiate_request_text(&ask->request);
    return ask->text ? 0 : -ENOMEM;
}

static void ask_begin(struct ask *ask) {
    struct desk *desk = ask->desk;
    const char *closed = desk->events.why_closed(desk->events.arg);
    if (closed) {
        ask_refuse(ask, 503, closed, BUSY_RETRY_S);
        return;
    }
    if (address_key(ask->request.client_address, ask->rate) != 0) {
        ask_refuse(ask, 400, text_address, 0);
        return;
    }
    if (!redis_up(desk->config.redis)) {
        ask_refuse(ask, 503, text_away, AWAY_RETRY_S);
        return;
    }
    int err = ask_prepare(ask);
    if (err) {
        ask_refuse(ask, 500, text_failed, 0);
        return;
    }
    const struct ratelimit_lease lease = {.address = ask->request.client_address, .id = ask->id};
    ask->limited = true;
    err = ratelimit_take(desk->ratelimit, &lease, on_limited, ask);
    if (err)
        ask_refuse(ask, 503, text_away, AWAY_RETRY_S);
}

void desk_request(struct desk *desk, struct initiate_request *request, desk_fn *done, void *arg) {
    struct ask *ask = calloc(1, sizeof *ask);
    if (!ask) {
        initiate_request_clear(request);
        done(&(struct desk_answer){.status = 500, .message = text_failed}, arg);
        return;
    }
    ask->desk = desk;
    ask->request = *request;
    ask->done = done;
    ask->arg = arg;
    *request = (struct initiate_request){.transport = 0};
    ask_begin(ask);
}
