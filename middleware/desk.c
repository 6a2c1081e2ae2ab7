// SPDX-License-Identifier: Apache-2.0
#include "middleware/desk.h"

#include "gateway/core/log.h"
#include "middleware/desk_impl.h"
#include "middleware/scripts.h"
#include "middleware/usage.h"

#include <stdlib.h>
#include <string.h>

// ---- what clients are told

static void tell(const char *id, const char *target, json_t *args, void *arg) {
    struct desk *desk = arg;
    int err = desk->hub ? hub_send(desk->hub, id, target, args) : 0;
    if (err)
        log_debug(NULL, "desk", "%s was not sent (%s); it is asked for again", target, err_name(err));
}

static void on_outcome(const char *id, const char *target, const char *args_text, void *arg) {
    json_t *args = json_loads(args_text, 0, NULL);
    if (args)
        tell(id, target, args, arg);
    json_decref(args);
}

// One registration that waits for Redis.
struct registration {
    struct desk *desk; // borrowed
    hub_done_fn *done;
    void *arg;
    char id[HUB_ID_MAX + 1];
};

static void registration_done(const struct registration *registration, const struct queue_state *state) {
    json_t *args = NULL;
    struct hub_event event = {.target = NULL};
    bool known = state->position != QUEUE_IS_UNKNOWN;
    if (state->position > 0) {
        args = waiters_position_args(state->position, state->eta_s);
        event = (struct hub_event){"QueuePosition", args};
    } else if (state->position == QUEUE_IS_DONE) {
        args = json_loads(state->args, 0, NULL);
        event = (struct hub_event){state->target, args};
    } else if (!known && waiters_has(registration->desk->waiters, registration->id)) {
        // Redis has lost what its client has been waiting for.
        args = json_loads(queue_failed_args, 0, NULL);
        event = (struct hub_event){"SessionFailed", args};
    }
    registration->done(known ? 0 : -ENOENT, &event, args ? 1 : 0, registration->arg);
    json_decref(args);
}

static void on_state(int err, const struct queue_state *state, void *arg) {
    struct registration *registration = arg;
    if (err)
        registration->done(err, NULL, 0, registration->arg);
    else
        registration_done(registration, state);
    free(registration);
}

static void on_register(const char *id, hub_done_fn *done, void *done_arg, void *arg) {
    struct desk *desk = arg;
    struct registration *registration = malloc(sizeof *registration);
    int err = -ENOMEM;
    if (registration) {
        *registration = (struct registration){.desk = desk, .done = done, .arg = done_arg};
        snprintf(registration->id, sizeof registration->id, "%s", id);
        err = queue_register(desk->queue, id, on_state, registration);
    }
    if (!err)
        return;
    free(registration);
    done(err, NULL, 0, done_arg);
}

static void on_back(const char *id, void *arg) {
    struct desk *desk = arg;
    waiters_add(desk->waiters, id);
}

static void on_left(const char *id, void *arg) {
    struct desk *desk = arg;
    waiters_remove(desk->waiters, id);
    queue_left(desk->queue, id);
}

void desk_hub_events(struct desk *desk, struct hub_events *out) {
    *out =
        (struct hub_events){.on_register = on_register, .on_back = on_back, .on_left = on_left, .arg = desk};
}

void desk_set_hub(struct desk *desk, struct hub *hub) {
    desk->hub = hub;
}

// ---- sessions that end, figures that come, hints from other nodes

static void on_webhook(const char *session_id, void (*done)(int err, void *done_arg), void *done_arg,
                       void *arg) {
    struct desk *desk = arg;
    slots_end_session(desk->slots, session_id, done, done_arg);
}

void desk_webhook_events(struct desk *desk, struct webhook_events *out) {
    *out = (struct webhook_events){.on_ended = on_webhook, .arg = desk};
}

void desk_session_over(struct desk *desk, const char *key) {
    slots_session_over(desk->slots, key);
}

static void on_usage(const struct usage *usage, void *arg) {
    struct desk *desk = arg;
    slots_usage(desk->slots, usage);
}

static void on_no_room(void *arg) {
    struct desk *desk = arg;
    usage_poke(desk->usage);
}

static bool may_serve(void *arg) {
    const struct desk *desk = arg;
    return (desk->config.conf->gateway.roles & CONF_ROLE_MIDDLEWARE) &&
           !desk->events.why_closed(desk->events.arg);
}

void desk_redis_up(struct desk *desk) {
    // It may have come back without the sessions and the figures; in this order, or ours would count as others', too.
    slots_renew(desk->slots);
    slots_usage(desk->slots, usage_latest(desk->usage));
    usage_poke(desk->usage);
    waiters_stir(desk->waiters);
    queue_runner_wake(desk->runner);
}

void desk_room(struct desk *desk) {
    queue_runner_wake(desk->runner);
}

// Hints may have been missed.
static void on_subscribed(void *arg) {
    struct desk *desk = arg;
    waiters_stir(desk->waiters);
    queue_runner_wake(desk->runner);
}

static void on_move(const char *message, size_t len, void *arg) {
    struct desk *desk = arg;
    if (len == strlen("slot") && memcmp(message, "slot", len) == 0)
        queue_runner_wake(desk->runner);
    waiters_stir(desk->waiters);
}

void desk_observe(struct desk *desk, void (*done)(int err, const char *json, void *arg), void *arg) {
    int err = queue_observe(desk->queue, done, arg);
    if (err)
        done(err, "", arg);
}

// ---- the whole

static int start_parts(struct desk *desk) {
    const struct desk_config *config = &desk->config;
    const struct initiate_events made = {.on_session = desk->events.on_session, .arg = desk->events.arg};
    int err = initiate_new(&desk->initiate, config->conf, config->client, &made);
    if (!err)
        err = ratelimit_new(&desk->ratelimit, config->conf, config->redis);
    if (!err)
        err = ipcheck_new(&desk->ipcheck, config->loop, config->conf, config->client, config->redis);
    if (!err)
        err = slots_new(&desk->slots, config->loop, config->conf, config->redis);
    if (!err)
        err = queue_new(&desk->queue, config->conf, config->redis, desk->slots);
    if (!err)
        queue_set_room(desk->queue, desk->events.has_room, desk->events.arg);
    return err;
}

static int start_queue(struct desk *desk) {
    const struct desk_config *config = &desk->config;
    const struct waiters_config waiters = {
        .loop = config->loop, .redis = config->redis, .queue = desk->queue, .tell = tell, .arg = desk};
    const struct queue_runner_config runner = {.loop = config->loop,
                                               .redis = config->redis,
                                               .queue = desk->queue,
                                               .slots = desk->slots,
                                               .initiate = desk->initiate,
                                               .may_serve = may_serve,
                                               .ice_servers_json = desk->events.ice_servers_json,
                                               .on_outcome = on_outcome,
                                               .on_no_room = on_no_room,
                                               .ice_arg = desk->events.arg,
                                               .arg = desk};
    const struct usage_events usage = {.on_usage = on_usage, .arg = desk};
    int err = waiters_new(&desk->waiters, &waiters);
    if (!err)
        err = queue_runner_new(&desk->runner, &runner);
    if (!err)
        err = usage_new(&desk->usage, config->loop, config->conf, config->client, &usage);
    if (!err)
        err = redis_subscribe(config->redis, SCRIPTS_CHANNEL, on_subscribed, on_move, desk);
    return err;
}

int desk_new(struct desk **out, const struct desk_config *config) {
    struct desk *desk = calloc(1, sizeof *desk);
    if (!desk)
        return -ENOMEM;
    desk->config = *config;
    desk->events = *config->events;
    *out = desk; // also when it does not start: what is there is closed and freed with the rest
    int err = start_parts(desk);
    return err ? err : start_queue(desk);
}

void desk_set_conf(struct desk *desk, const struct conf *conf) {
    desk->config.conf = conf;
    initiate_set_conf(desk->initiate, conf);
    ratelimit_set_conf(desk->ratelimit, conf);
    ipcheck_set_conf(desk->ipcheck, conf);
    slots_set_conf(desk->slots, conf);
    queue_set_conf(desk->queue, conf);
    usage_set_conf(desk->usage, conf);
}

static void on_part_closed(void *arg) {
    struct desk *desk = arg;
    if (--desk->closing == 0)
        desk->on_closed(desk->arg);
}

void desk_close(struct desk *desk, void (*on_closed)(void *arg), void *arg) {
    redis_unsubscribe(desk->config.redis, SCRIPTS_CHANNEL);
    desk->on_closed = on_closed;
    desk->arg = arg;
    desk->closing = 4;
    usage_close(desk->usage, on_part_closed, desk);
    queue_runner_close(desk->runner, on_part_closed, desk);
    waiters_close(desk->waiters, on_part_closed, desk);
    slots_close(desk->slots, on_part_closed, desk);
}

void desk_free(struct desk *desk) {
    if (!desk)
        return;
    queue_runner_free(desk->runner);
    waiters_free(desk->waiters);
    queue_free(desk->queue);
    slots_free(desk->slots);
    ipcheck_free(desk->ipcheck);
    ratelimit_free(desk->ratelimit);
    initiate_free(desk->initiate);
    free(desk);
}
