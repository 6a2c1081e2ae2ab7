// SPDX-License-Identifier: Apache-2.0
//
//   wake -> take -> initiate -+-> settle: SessionReady, SessionFailed -> on_outcome
//                             +-> again: the platform has no room, or this node cannot
//
// Whoever is taken and not settled, since this process dies or Redis goes away, goes back by itself.
#include "middleware/queue_runner.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "middleware/address.h"

#include <stdlib.h>
#include <string.h>

enum { REST_MS = 1000 };

struct queue_runner {
    struct queue_runner_config config;
    uv_timer_t sweep, pause;
    bool closing, taking, wanted; // wanted: wake once more when what is being taken is here
    bool resting;                 // this node had no room after all: not before the pause is over
    unsigned serving;
    int64_t waiting, slots; // as the metrics have them
    unsigned handles;
    void (*on_closed)(void *arg);
    void *arg;
};

// One entry while it is served. Owned by whatever callback it waits for.
struct serving {
    struct queue_runner *runner;
    struct initiate_request request;
    char rate[ADDRESS_KEY_SIZE]; // "" when the address is none
    char *id, *slot, *args;      // args: of the outcome, once there is one
    const char *target;
    char key[PLATFORM_ID_MAX + 1]; // of the session, when it is kept here
};

static void serving_free(struct serving *serving) {
    struct queue_runner *runner = serving->runner;
    initiate_request_clear(&serving->request);
    free(serving->id);
    free(serving->slot);
    free(serving->args);
    free(serving);
    if (runner->serving-- == QUEUE_RUNNER_MAX)
        queue_runner_wake(runner);
}

json_t *queue_ready_json(const char *key, const char *url, int transport, const char *ice_servers_json) {
    json_t *root = json_pack("{s:s}", key, url);
    if (!root || transport != API_TRANSPORT_WEBRTC)
        return root;
    json_t *list = ice_servers_json ? json_loads(ice_servers_json, 0, NULL) : NULL;
    json_object_set_new(root, "iceServers", list ? list : json_array());
    return root;
}

// ---- the outcome

static void on_settled(int err, void *arg) {
    struct serving *serving = arg;
    const struct queue_runner_config *config = &serving->runner->config;
    bool ready = strcmp(serving->target, "SessionReady") == 0;
    if (err) {
        // Somebody else serves it, or will. The session that was made expires unless its client comes.
        log_warn(NULL, "queue", "an outcome could not be stored (%s)", err_name(err));
        slots_session_over(config->slots, serving->key);
    } else {
        metric_add(ready ? METRIC_QUEUE_READY : METRIC_QUEUE_FAILED, 1);
        config->on_outcome(serving->id, serving->target, serving->args, config->arg);
    }
    serving_free(serving);
}

static void settle(struct serving *serving, const char *target, const char *session_id, bool here) {
    const struct queue_outcome outcome = {.id = serving->id,
                                          .slot = serving->slot,
                                          .made = strcmp(target, "SessionReady") == 0,
                                          .session_id = session_id,
                                          .here = here,
                                          .target = target,
                                          .args = serving->args ? serving->args : queue_failed_args};
    serving->target = target;
    int err = queue_settle(serving->runner->config.queue, &outcome, on_settled, serving);
    if (err)
        on_settled(err, serving);
}

static void settle_failed(struct serving *serving) {
    free(serving->args);
    serving->args = strdup(queue_failed_args);
    settle(serving, "SessionFailed", "", false);
}

static char *ready_args(const struct serving *serving, const char *url) {
    const struct queue_runner_config *config = &serving->runner->config;
    json_t *ready = queue_ready_json("webSocketUrl", url, serving->request.transport,
                                     config->ice_servers_json(config->ice_arg));
    json_t *args = ready ? json_pack("[o]", ready) : NULL;
    char *text = args ? json_dumps(args, JSON_COMPACT) : NULL;
    json_decref(args);
    return text;
}

static void settle_ready(struct serving *serving, const struct initiate_result *result) {
    const struct queue_runner_config *config = &serving->runner->config;
    bool here = serving->request.transport == API_TRANSPORT_WEBRTC;
    serving->args = ready_args(serving, result->url);
    if (!serving->args) {
        settle_failed(serving);
        return;
    }
    // Before the outcome is on its way: the session may be over before it has come back.
    const struct slots_session session = {.slot = serving->slot,
                                          .key = result->key,
                                          .session_id = result->session_id,
                                          .campaign_id = serving->request.campaign_id,
                                          .rate = serving->rate,
                                          .request_id = serving->id,
                                          .here = true};
    if (here && slots_keep(config->slots, &session) == 0)
        snprintf(serving->key, sizeof serving->key, "%s", result->key);
    settle(serving, "SessionReady", result->session_id, here);
}

static void on_again(int err, void *arg) {
    struct serving *serving = arg;
    if (err == -E2BIG) {
        settle_failed(serving);
        return;
    }
    if (err)
        log_warn(NULL, "queue", "an entry could not be put back (%s): its lease does that", err_name(err));
    metric_add(METRIC_QUEUE_AGAIN, 1);
    queue_runner_wake(serving->runner);
    serving_free(serving);
}

static void again(struct serving *serving, bool refused) {
    int err =
        queue_again(serving->runner->config.queue, serving->id, serving->slot, refused, on_again, serving);
    if (err)
        on_again(err, serving);
}

static void on_pause(uv_timer_t *timer) {
    struct queue_runner *runner = timer->data;
    runner->resting = false;
    queue_runner_wake(runner);
}

static void on_initiated(const struct initiate_result *result, void *arg) {
    struct serving *serving = arg;
    const struct queue_runner_config *config = &serving->runner->config;
    switch (result->err) {
    case 0:
        settle_ready(serving, result);
        break;
    case -EAGAIN:
        config->on_no_room(config->arg);
        again(serving, true);
        break;
    case -ENOSPC: // MaxCalls says otherwise, yet nothing is left here: it will be, or another node has room
        serving->runner->resting = true;
        uv_timer_start(&serving->runner->pause, on_pause, REST_MS, 0);
        again(serving, false);
        break;
    case -EBUSY:
    case -ECANCELED:
        again(serving, false);
        break;
    default:
        settle_failed(serving);
    }
}

// ---- taking

static void serve(struct queue_runner *runner, const struct queue_taken *taken) {
    struct serving *serving = calloc(1, sizeof *serving);
    if (!serving)
        return; // its lease puts it back
    serving->runner = runner;
    runner->serving++;
    serving->id = strdup(taken->id);
    serving->slot = strdup(taken->slot);
    if (!serving->id || !serving->slot) {
        serving_free(serving);
        return;
    }
    metric_observe(HISTOGRAM_QUEUE_WAIT, (uint64_t)(taken->waited_ms > 0 ? taken->waited_ms : 0) * 1000000);
    if (initiate_request_parse(&serving->request, taken->text, strlen(taken->text)) != 0) {
        log_error(NULL, "queue", "an entry of campaign %.64s is no request and is given up",
                  taken->campaign_id);
        settle_failed(serving);
        return;
    }
    if (address_key(serving->request.client_address, serving->rate) != 0)
        serving->rate[0] = '\0';
    initiate_session(runner->config.initiate, &serving->request, on_initiated, serving);
}

static void on_taken(int err, const struct queue_taken *taken, size_t count, int64_t pause_ms, void *arg) {
    struct queue_runner *runner = arg;
    runner->taking = false;
    if (err || runner->closing)
        return;
    for (size_t i = 0; i < count; i++)
        serve(runner, &taken[i]);
    if (pause_ms >= 0 && !runner->resting)
        uv_timer_start(&runner->pause, on_pause, (uint64_t)pause_ms + 1, 0);
    if (runner->wanted || count == QUEUE_TAKE_MAX)
        queue_runner_wake(runner);
}

void queue_runner_wake(struct queue_runner *runner) {
    const struct queue_runner_config *config = &runner->config;
    runner->wanted = runner->taking;
    if (runner->closing || runner->taking || runner->resting || runner->serving >= QUEUE_RUNNER_MAX ||
        !redis_up(config->redis) || !config->may_serve(config->arg))
        return;
    size_t most = QUEUE_RUNNER_MAX - runner->serving;
    runner->taking = queue_take(config->queue, most, on_taken, runner) == 0;
}

static void on_swept(int err, const struct queue_sweep *sweep, void *arg) {
    struct queue_runner *runner = arg;
    if (err)
        return;
    if (sweep->lapsed || sweep->returned || sweep->failed || sweep->left)
        log_info(NULL, "queue", "%lld slots lapsed, %lld entries came back, %lld were given up, %lld left",
                 (long long)sweep->lapsed, (long long)sweep->returned, (long long)sweep->failed,
                 (long long)sweep->left);
    metric_add(METRIC_QUEUE_LEFT, sweep->left);
    metric_add(METRIC_QUEUE_LENGTH, sweep->waiting - runner->waiting);
    metric_add(METRIC_SLOTS, sweep->slots - runner->slots);
    runner->waiting = sweep->waiting;
    runner->slots = sweep->slots;
    // Hints get lost, and this does not.
    if (sweep->waiting)
        queue_runner_wake(runner);
}

static void on_sweep(uv_timer_t *timer) {
    struct queue_runner *runner = timer->data;
    if (redis_up(runner->config.redis))
        queue_sweep(runner->config.queue, on_swept, runner);
}

// ---- the whole

int queue_runner_new(struct queue_runner **out, const struct queue_runner_config *config) {
    struct queue_runner *runner = calloc(1, sizeof *runner);
    if (!runner)
        return -ENOMEM;
    runner->config = *config;
    uv_timer_init(config->loop, &runner->sweep);
    uv_timer_init(config->loop, &runner->pause);
    runner->sweep.data = runner->pause.data = runner;
    runner->handles = 2;
    uv_timer_start(&runner->sweep, on_sweep, QUEUE_SWEEP_MS, QUEUE_SWEEP_MS);
    *out = runner;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle) {
    struct queue_runner *runner = handle->data;
    if (--runner->handles == 0)
        runner->on_closed(runner->arg);
}

void queue_runner_close(struct queue_runner *runner, void (*on_closed)(void *arg), void *arg) {
    runner->closing = true;
    runner->on_closed = on_closed;
    runner->arg = arg;
    uv_close((uv_handle_t *)&runner->sweep, on_timer_closed);
    uv_close((uv_handle_t *)&runner->pause, on_timer_closed);
}

void queue_runner_free(struct queue_runner *runner) {
    free(runner);
}
