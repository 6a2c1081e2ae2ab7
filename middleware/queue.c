// SPDX-License-Identifier: Apache-2.0
#include "middleware/queue.h"

#include "gateway/core/log.h"
#include "middleware/initiate.h"
#include "middleware/scripts.h"

#include <stdlib.h>
#include <string.h>

const char queue_failed_args[] =
    "[{\"message\":\"An error occurred while creating your session. Please try again.\"}]";

struct queue {
    const struct conf *conf; // borrowed
    struct redis *redis;     // borrowed
    struct slots *slots;     // borrowed
    bool (*has_room)(void *arg);
    void *arg;
};

// One answer that somebody waits for; which callback it is, the redis_fn knows.
struct asked {
    union {
        queue_admit_fn *admit;
        void (*take)(int err, const struct queue_taken *, size_t, int64_t, void *);
        void (*plain)(int err, void *);
        void (*state)(int err, const struct queue_state *, void *);
        void (*states)(int err, const struct queue_state *, size_t, void *);
        void (*sweep)(int err, const struct queue_sweep *, void *);
        void (*text)(int err, const char *, void *);
    } done;
    void *arg;
};

static int ask(struct queue *queue, enum script script, const struct redis_arg *args, size_t count,
               redis_fn *fn, const struct asked *asked) {
    struct asked *kept = malloc(sizeof *kept);
    if (!kept)
        return -ENOMEM;
    *kept = *asked;
    int err = script_run(queue->redis, script, args, count, fn, kept);
    if (err)
        free(kept);
    return err;
}

static int reply_err(int err, const struct redis_reply *reply, enum redis_type wanted) {
    if (err || reply->type == wanted)
        return err;
    log_error(NULL, "queue", "Redis refused a script: %s", reply->str);
    return -EPROTO;
}

static int64_t number_at(const struct redis_reply *array, size_t index) {
    return index < array->count ? array->elements[index].integer : 0;
}

static const char *text_at(const struct redis_reply *array, size_t index) {
    return index < array->count ? array->elements[index].str : "";
}

// ---- newcomers

static bool has_room(const struct queue *queue) {
    return !queue->has_room || queue->has_room(queue->arg);
}

// What slots_room of the scripts takes: below zero there is none.
static int64_t max_for(const struct queue *queue, int transport) {
    bool here = transport == API_TRANSPORT_WEBRTC;
    return here && !has_room(queue) ? -1 : queue->conf->gateway.max_calls;
}

static void on_admit(int err, const struct redis_reply *reply, void *arg) {
    struct asked *asked = arg;
    struct queue_admission admission = {.verdict = QUEUE_FULL, .eta_s = -1};
    err = reply_err(err, reply, REDIS_ARRAY);
    if (!err) {
        int64_t verdict = number_at(reply, 0);
        admission.verdict = verdict == 1 ? QUEUE_SLOT : verdict == 2 ? QUEUE_WAITS : QUEUE_FULL;
    }
    if (!err && admission.verdict == QUEUE_WAITS) {
        admission.position = number_at(reply, 1);
        admission.eta_s = number_at(reply, 2);
    }
    asked->done.admit(err, err ? NULL : &admission, asked->arg);
    free(asked);
}

int queue_admit(struct queue *queue, const struct queue_entry *entry, bool may_wait, queue_admit_fn *done,
                void *arg) {
    char node_max[24], weight[24], transport[24], most[24];
    if (strlen(entry->text) > QUEUE_TEXT_MAX)
        return -EMSGSIZE;
    const struct redis_arg args[] = {
        redis_str(entry->slot),
        redis_str(slots_node(queue->slots)),
        redis_int(max_for(queue, entry->transport), node_max),
        redis_str(entry->id),
        redis_str(entry->campaign_id),
        redis_int(entry->weight, weight),
        redis_str(entry->rate),
        redis_str(entry->text),
        redis_int(entry->transport, transport),
        redis_int(may_wait ? queue->conf->queue.max_length : 0, most),
    };
    return ask(queue, SCRIPT_admit, args, sizeof args / sizeof args[0], on_admit,
               &(struct asked){.done.admit = done, .arg = arg});
}

static void on_refused(int err, const struct redis_reply *reply, void *arg) {
    struct asked *asked = arg;
    struct queue_admission admission = {.verdict = QUEUE_WAITS};
    err = reply_err(err, reply, REDIS_ARRAY);
    if (!err) {
        admission.position = number_at(reply, 0);
        admission.eta_s = number_at(reply, 1);
    }
    asked->done.admit(err, err ? NULL : &admission, asked->arg);
    free(asked);
}

int queue_refused(struct queue *queue, const struct queue_entry *entry, queue_admit_fn *done, void *arg) {
    char weight[24], transport[24], pause[24];
    const struct redis_arg args[] = {redis_str(entry->slot),
                                     redis_str(entry->id),
                                     redis_str(entry->campaign_id),
                                     redis_int(entry->weight, weight),
                                     redis_str(entry->rate),
                                     redis_str(entry->text),
                                     redis_int(entry->transport, transport),
                                     redis_int(QUEUE_PAUSE_MS, pause)};
    return ask(queue, SCRIPT_refused, args, sizeof args / sizeof args[0], on_refused,
               &(struct asked){.done.admit = done, .arg = arg});
}

// ---- serving

static void on_take(int err, const struct redis_reply *reply, void *arg) {
    struct asked *asked = arg;
    struct queue_taken taken[QUEUE_TAKE_MAX];
    size_t count = 0;
    err = reply_err(err, reply, REDIS_ARRAY);
    for (size_t i = 1; !err && i < reply->count && count < QUEUE_TAKE_MAX; i++) {
        const struct redis_reply *one = &reply->elements[i];
        taken[count++] = (struct queue_taken){.id = text_at(one, 0),
                                              .slot = text_at(one, 1),
                                              .text = text_at(one, 2),
                                              .campaign_id = text_at(one, 3),
                                              .waited_ms = number_at(one, 4)};
    }
    asked->done.take(err, taken, count, err ? -1 : number_at(reply, 0), asked->arg);
    free(asked);
}

int queue_take(struct queue *queue, size_t most,
               void (*done)(int err, const struct queue_taken *, size_t, int64_t, void *), void *arg) {
    char node_max[24], count[24], slot[SLOT_ID_SIZE];
    bool media = queue->conf->gateway.roles & CONF_ROLE_MEDIA;
    int err = slots_new_id(slot);
    if (err)
        return err;
    const struct redis_arg args[] = {
        redis_str(slots_node(queue->slots)),
        redis_int(queue->conf->gateway.max_calls, node_max),
        redis_int((int64_t)(most < QUEUE_TAKE_MAX ? most : QUEUE_TAKE_MAX), count),
        redis_str(slot),
        redis_str(media && has_room(queue) ? "1" : "0"),
    };
    return ask(queue, SCRIPT_take, args, sizeof args / sizeof args[0], on_take,
               &(struct asked){.done.take = done, .arg = arg});
}

static void on_settled(int err, const struct redis_reply *reply, void *arg) {
    struct asked *asked = arg;
    err = reply_err(err, reply, REDIS_INTEGER);
    if (!err && !reply->integer)
        err = -ESTALE;
    asked->done.plain(err, asked->arg);
    free(asked);
}

int queue_settle(struct queue *queue, const struct queue_outcome *outcome, void (*done)(int err, void *arg),
                 void *arg) {
    char lease[24], rate[24];
    const struct redis_arg args[] = {
        redis_str(outcome->id),
        redis_str(outcome->slot),
        redis_str(outcome->made ? "1" : "0"),
        redis_str(outcome->target),
        redis_str(outcome->args),
        redis_str(slots_node(queue->slots)),
        redis_str(outcome->session_id),
        redis_int(slots_lease_ms(queue->slots, outcome->here), lease),
        redis_int(slots_rate_ms(queue->slots, outcome->here), rate),
    };
    return ask(queue, SCRIPT_settle, args, sizeof args / sizeof args[0], on_settled,
               &(struct asked){.done.plain = done, .arg = arg});
}

static void on_again(int err, const struct redis_reply *reply, void *arg) {
    struct asked *asked = arg;
    err = reply_err(err, reply, REDIS_INTEGER);
    if (!err && reply->integer < 0)
        err = reply->integer == -1 ? -E2BIG : -ESTALE;
    asked->done.plain(err, asked->arg);
    free(asked);
}

int queue_again(struct queue *queue, const char *id, const char *slot, bool refused,
                void (*done)(int err, void *arg), void *arg) {
    char tries[24], pause[24], longest[24];
    const struct redis_arg args[] = {
        redis_str(id), redis_str(slot), redis_int(refused ? QUEUE_TRIES : 0, tries),
        redis_int(QUEUE_PAUSE_MS, pause), redis_int(QUEUE_PAUSE_LONGEST_MS, longest)};
    return ask(queue, SCRIPT_again, args, sizeof args / sizeof args[0], on_again,
               &(struct asked){.done.plain = done, .arg = arg});
}

// ---- those who wait

static struct queue_state state_of(const struct redis_reply *reply) {
    return (struct queue_state){.position = number_at(reply, 0),
                                .eta_s = number_at(reply, 1),
                                .target = text_at(reply, 2),
                                .args = text_at(reply, 3)};
}

static void on_register(int err, const struct redis_reply *reply, void *arg) {
    struct asked *asked = arg;
    struct queue_state state = {.position = QUEUE_IS_UNKNOWN};
    err = reply_err(err, reply, REDIS_ARRAY);
    if (!err)
        state = state_of(reply);
    asked->done.state(err, err ? NULL : &state, asked->arg);
    free(asked);
}

int queue_register(struct queue *queue, const char *id,
                   void (*done)(int err, const struct queue_state *state, void *arg), void *arg) {
    const struct redis_arg args[] = {redis_str(id)};
    return ask(queue, SCRIPT_register, args, 1, on_register, &(struct asked){.done.state = done, .arg = arg});
}

int queue_left(struct queue *queue, const char *id) {
    const struct redis_arg args[] = {redis_str(id)};
    return script_run(queue->redis, SCRIPT_left, args, 1, NULL, NULL);
}

static void on_watch(int err, const struct redis_reply *reply, void *arg) {
    struct asked *asked = arg;
    struct queue_state states[QUEUE_WATCH_MAX];
    size_t count = 0;
    err = reply_err(err, reply, REDIS_ARRAY);
    for (size_t i = 0; !err && i < reply->count && count < QUEUE_WATCH_MAX; i++)
        states[count++] = state_of(&reply->elements[i]);
    asked->done.states(err, states, count, asked->arg);
    free(asked);
}

int queue_watch(struct queue *queue, const char *const *ids, size_t count,
                void (*done)(int err, const struct queue_state *states, size_t count, void *arg), void *arg) {
    struct redis_arg args[QUEUE_WATCH_MAX];
    if (count > QUEUE_WATCH_MAX)
        return -E2BIG;
    for (size_t i = 0; i < count; i++)
        args[i] = redis_str(ids[i]);
    return ask(queue, SCRIPT_watch, args, count, on_watch, &(struct asked){.done.states = done, .arg = arg});
}

// ---- time, and the operator

static void on_sweep(int err, const struct redis_reply *reply, void *arg) {
    struct asked *asked = arg;
    struct queue_sweep sweep = {0};
    err = reply_err(err, reply, REDIS_ARRAY);
    if (!err)
        sweep = (struct queue_sweep){.lapsed = number_at(reply, 0),
                                     .returned = number_at(reply, 1),
                                     .failed = number_at(reply, 2),
                                     .left = number_at(reply, 3),
                                     .slots = number_at(reply, 4),
                                     .waiting = number_at(reply, 5)};
    asked->done.sweep(err, err ? NULL : &sweep, asked->arg);
    free(asked);
}

int queue_sweep(struct queue *queue, void (*done)(int err, const struct queue_sweep *sweep, void *arg),
                void *arg) {
    const struct redis_arg args[] = {redis_str("SessionFailed"), redis_str(queue_failed_args)};
    return ask(queue, SCRIPT_sweep, args, 2, on_sweep, &(struct asked){.done.sweep = done, .arg = arg});
}

static void on_observe(int err, const struct redis_reply *reply, void *arg) {
    struct asked *asked = arg;
    err = reply_err(err, reply, REDIS_STRING);
    asked->done.text(err, err ? "" : reply->str, asked->arg);
    free(asked);
}

int queue_observe(struct queue *queue, void (*done)(int err, const char *json, void *arg), void *arg) {
    const struct redis_arg args[] = {redis_str("1000")};
    return ask(queue, SCRIPT_observe, args, 1, on_observe, &(struct asked){.done.text = done, .arg = arg});
}

// ---- the whole

int queue_new(struct queue **out, const struct conf *conf, struct redis *redis, struct slots *slots) {
    struct queue *queue = malloc(sizeof *queue);
    if (!queue)
        return -ENOMEM;
    *queue = (struct queue){.conf = conf, .redis = redis, .slots = slots};
    *out = queue;
    return 0;
}

void queue_set_conf(struct queue *queue, const struct conf *conf) {
    queue->conf = conf;
}

void queue_set_room(struct queue *queue, bool (*has_room_now)(void *arg), void *arg) {
    queue->has_room = has_room_now;
    queue->arg = arg;
}

void queue_free(struct queue *queue) {
    free(queue);
}
