// SPDX-License-Identifier: Apache-2.0
#include "middleware/waiters.h"

#include <stdlib.h>
#include <string.h>

enum { IS_LOST = -1 };

struct waiters {
    struct waiters_config config;
    json_t
        *told; // id -> the position it heard last, 0 = none, IS_LOST = it was told that it waits for nothing
    uv_timer_t look;
    uint64_t looked_ms; // uv_now
    bool stirred;       // the timer is set for what has changed, not for the next word to Redis
    void (*on_closed)(void *arg);
    void *arg;
};

// One look at some of them.
struct look {
    struct waiters *waiters;
    size_t count;
    char *ids[QUEUE_WATCH_MAX]; // owned
};

// One whose outcome is asked for.
struct outcome {
    struct waiters *waiters;
    char *id; // owned
};

json_t *waiters_position_args(int64_t position, int64_t eta_s) {
    return json_pack("[{s:I,s:I,s:o}]", "position", (json_int_t)position, "ahead", (json_int_t)position - 1,
                     "etaSeconds", eta_s < 0 ? json_null() : json_integer(eta_s));
}

static void tell(struct waiters *waiters, const char *id, const char *target, json_t *args) {
    if (args)
        waiters->config.tell(id, target, args, waiters->config.arg);
    json_decref(args);
}

static void outcome_free(struct outcome *outcome) {
    free(outcome->id);
    free(outcome);
}

static void on_outcome(int err, const struct queue_state *state, void *arg) {
    struct outcome *outcome = arg;
    if (!err && state->position == QUEUE_IS_DONE)
        tell(outcome->waiters, outcome->id, state->target, json_loads(state->args, 0, NULL));
    if (!err)
        waiters_remove(outcome->waiters, outcome->id);
    outcome_free(outcome);
}

// Whoever served it may have died before it could tell.
static void ask_outcome(struct waiters *waiters, const char *id) {
    struct outcome *outcome = calloc(1, sizeof *outcome);
    if (!outcome)
        return;
    outcome->waiters = waiters;
    outcome->id = strdup(id);
    if (!outcome->id || queue_register(waiters->config.queue, id, on_outcome, outcome) != 0)
        outcome_free(outcome);
}

// Redis has lost it, and its client must not wait for ever. It is remembered until the next look, for a hub that finds
// out at the same time.
static void look_at_lost(struct waiters *waiters, const char *id, bool again) {
    if (again) {
        waiters_remove(waiters, id);
        return;
    }
    json_object_set_new(waiters->told, id, json_integer(IS_LOST));
    tell(waiters, id, "SessionFailed", json_loads(queue_failed_args, 0, NULL));
}

static void look_at(struct waiters *waiters, const char *id, const struct queue_state *state) {
    json_t *told = json_object_get(waiters->told, id);
    if (!told)
        return;
    if (state->position == QUEUE_IS_DONE) {
        ask_outcome(waiters, id);
    } else if (state->position == QUEUE_IS_UNKNOWN) {
        look_at_lost(waiters, id, json_integer_value(told) == IS_LOST);
    } else if (state->position > 0 && state->position != json_integer_value(told)) {
        json_object_set_new(waiters->told, id, json_integer(state->position));
        tell(waiters, id, "QueuePosition", waiters_position_args(state->position, state->eta_s));
    }
}

static void look_free(struct look *look) {
    for (size_t i = 0; i < look->count; i++)
        free(look->ids[i]);
    free(look);
}

static void on_looked(int err, const struct queue_state *states, size_t count, void *arg) {
    struct look *look = arg;
    for (size_t i = 0; !err && i < count && i < look->count; i++)
        look_at(look->waiters, look->ids[i], &states[i]);
    look_free(look);
}

static void look_send(struct look *look) {
    if (queue_watch(look->waiters->config.queue, (const char *const *)look->ids, look->count, on_looked,
                    look))
        look_free(look);
}

static void look_at_all(struct waiters *waiters) {
    struct look *look = NULL;
    const char *id;
    json_t *told;
    json_object_foreach(waiters->told, id, told) {
        if (!look)
            look = calloc(1, sizeof *look);
        char *copy = look ? strdup(id) : NULL;
        if (!copy)
            break;
        look->waiters = waiters;
        look->ids[look->count++] = copy;
        if (look->count < QUEUE_WATCH_MAX)
            continue;
        look_send(look);
        look = NULL;
    }
    if (look && look->count)
        look_send(look);
    else if (look)
        look_free(look);
}

static void on_look(uv_timer_t *timer) {
    struct waiters *waiters = timer->data;
    waiters->stirred = false;
    waiters->looked_ms = uv_now(waiters->config.loop);
    uv_timer_start(timer, on_look, WAITERS_KEEP_MS, 0);
    if (redis_up(waiters->config.redis))
        look_at_all(waiters);
}

void waiters_stir(struct waiters *waiters) {
    if (waiters->stirred || uv_is_closing((uv_handle_t *)&waiters->look))
        return;
    uint64_t next_ms = waiters->looked_ms + WAITERS_LOOK_MS, now_ms = uv_now(waiters->config.loop);
    waiters->stirred = true;
    uv_timer_start(&waiters->look, on_look, next_ms > now_ms ? next_ms - now_ms : 0, 0);
}

int waiters_add(struct waiters *waiters, const char *id) {
    if (json_object_get(waiters->told, id))
        return 0;
    if (json_object_set_new(waiters->told, id, json_integer(0)) != 0)
        return -ENOMEM;
    waiters_stir(waiters);
    return 0;
}

void waiters_remove(struct waiters *waiters, const char *id) {
    json_object_del(waiters->told, id);
}

bool waiters_has(const struct waiters *waiters, const char *id) {
    return json_object_get(waiters->told, id) != NULL;
}

size_t waiters_count(const struct waiters *waiters) {
    return json_object_size(waiters->told);
}

int waiters_new(struct waiters **out, const struct waiters_config *config) {
    struct waiters *waiters = calloc(1, sizeof *waiters);
    if (!waiters)
        return -ENOMEM;
    waiters->config = *config;
    waiters->told = json_object();
    if (!waiters->told) {
        free(waiters);
        return -ENOMEM;
    }
    uv_timer_init(config->loop, &waiters->look);
    waiters->look.data = waiters;
    uv_timer_start(&waiters->look, on_look, WAITERS_KEEP_MS, 0);
    *out = waiters;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle) {
    struct waiters *waiters = handle->data;
    waiters->on_closed(waiters->arg);
}

void waiters_close(struct waiters *waiters, void (*on_closed)(void *arg), void *arg) {
    waiters->on_closed = on_closed;
    waiters->arg = arg;
    uv_close((uv_handle_t *)&waiters->look, on_timer_closed);
}

void waiters_free(struct waiters *waiters) {
    if (!waiters)
        return;
    json_decref(waiters->told);
    free(waiters);
}
