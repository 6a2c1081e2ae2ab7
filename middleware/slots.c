// SPDX-License-Identifier: Apache-2.0
#include "middleware/slots.h"

#include "gateway/core/log.h"
#include "middleware/scripts.h"
#include "signaling/auth.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RENEW_BATCH = 100, RENEW_ARGS = 5 };

struct slots {
    const struct conf *conf; // borrowed
    struct redis *redis;     // borrowed
    char node[SLOTS_NODE_SIZE];
    json_t *kept; // key of a session -> [slot, session id, campaign, rate, request]
    uv_timer_t renew;
    void (*on_closed)(void *arg);
    void *arg;
};

// One answer that somebody waits for.
struct asked {
    void (*done)(int err, void *arg);
    void *arg;
};

static struct asked *asked_new(void (*done)(int err, void *arg), void *arg) {
    struct asked *asked = malloc(sizeof *asked);
    if (asked)
        *asked = (struct asked){done, arg};
    return asked;
}

static void asked_done(struct asked *asked, int err) {
    asked->done(err, asked->arg);
    free(asked);
}

static int reply_err(int err, const struct redis_reply *reply, enum redis_type wanted) {
    if (err || reply->type == wanted)
        return err;
    log_error(NULL, "slots", "Redis refused a script: %s", reply->str);
    return -EPROTO;
}

const char *slots_node(const struct slots *slots) {
    return slots->node;
}

int slots_new_id(char out[SLOT_ID_SIZE]) {
    return auth_random_id("slot_", out, SLOT_ID_SIZE);
}

int64_t slots_lease_ms(const struct slots *slots, bool here) {
    return here ? SLOTS_LEASE_MS : slots->conf->queue.web_socket_lease_seconds * 1000;
}

int64_t slots_rate_ms(const struct slots *slots, bool here) {
    return here ? SLOTS_LEASE_MS : slots->conf->security.rate_limit_lease_seconds * 1000;
}

size_t slots_kept(const struct slots *slots) {
    return json_object_size(slots->kept);
}

int slots_keep(struct slots *slots, const struct slots_session *session) {
    json_t *kept = json_pack("[s,s,s,s,s]", session->slot, session->session_id, session->campaign_id,
                             session->rate, session->request_id);
    return json_object_set_new(slots->kept, session->key, kept) == 0 ? 0 : -ENOMEM;
}

// ---- renewing

static void forget_slot(struct slots *slots, const char *slot) {
    const char *key;
    void *next;
    json_t *kept;
    json_object_foreach_safe(slots->kept, next, key, kept) {
        if (strcmp(json_string_value(json_array_get(kept, 0)), slot) != 0)
            continue;
        log_info(key, "slots", "its slot was freed by the platform's word");
        json_object_del(slots->kept, key);
    }
}

static void on_renewed(int err, const struct redis_reply *reply, void *arg) {
    struct slots *slots = arg;
    if (reply_err(err, reply, REDIS_ARRAY) != 0)
        return;
    for (size_t i = 0; i < reply->count; i++)
        forget_slot(slots, reply->elements[i].str);
}

struct renewal {
    char numbers[2][24];
    struct redis_arg args[3 + RENEW_BATCH * RENEW_ARGS];
    size_t count;
};

static void renewal_begin(const struct slots *slots, bool here, struct renewal *renewal) {
    renewal->args[0] = redis_str(slots->node);
    renewal->args[1] = redis_int(slots_lease_ms(slots, here), renewal->numbers[0]);
    renewal->args[2] = redis_int(slots_rate_ms(slots, here), renewal->numbers[1]);
    renewal->count = 3;
}

static int renewal_send(struct slots *slots, const struct renewal *renewal, redis_fn *fn, void *arg) {
    return script_run(slots->redis, SCRIPT_hold, renewal->args, renewal->count, fn, arg);
}

void slots_renew(struct slots *slots) {
    struct renewal renewal;
    const char *key;
    json_t *kept;
    if (!redis_up(slots->redis))
        return;
    renewal_begin(slots, true, &renewal);
    json_object_foreach(slots->kept, key, kept) {
        struct redis_arg *args = renewal.args + renewal.count;
        for (size_t i = 0; i < RENEW_ARGS; i++)
            args[i] = redis_str(json_string_value(json_array_get(kept, i)));
        renewal.count += RENEW_ARGS;
        if (renewal.count < sizeof renewal.args / sizeof renewal.args[0])
            continue;
        renewal_send(slots, &renewal, on_renewed, slots);
        renewal_begin(slots, true, &renewal);
    }
    if (renewal.count > 3)
        renewal_send(slots, &renewal, on_renewed, slots);
}

static void on_renew(uv_timer_t *timer) {
    slots_renew(timer->data);
}

static void on_held(int err, const struct redis_reply *reply, void *arg) {
    asked_done(arg, reply_err(err, reply, REDIS_ARRAY));
}

int slots_hold(struct slots *slots, const struct slots_session *session, void (*done)(int err, void *arg),
               void *arg) {
    struct renewal renewal;
    struct asked *asked = asked_new(done, arg);
    if (!asked)
        return -ENOMEM;
    renewal_begin(slots, session->here, &renewal);
    const struct redis_arg args[RENEW_ARGS] = {redis_str(session->slot), redis_str(session->session_id),
                                               redis_str(session->campaign_id), redis_str(session->rate),
                                               redis_str(session->request_id)};
    memcpy(renewal.args + renewal.count, args, sizeof args);
    renewal.count += RENEW_ARGS;
    int err = renewal_send(slots, &renewal, on_held, asked);
    if (err)
        free(asked);
    return err;
}

// ---- ending

static void end_slot(struct slots *slots, const char *slot, bool give_back) {
    const struct redis_arg args[] = {redis_str(slot), redis_str(give_back ? "1" : "0")};
    int err = script_run(slots->redis, SCRIPT_end, args, sizeof args / sizeof args[0], NULL, NULL);
    if (err)
        log_warn(NULL, "slots", "a slot is left to its lease (%s)", err_name(err));
}

void slots_give_back(struct slots *slots, const char *slot) {
    end_slot(slots, slot, true);
}

void slots_session_over(struct slots *slots, const char *key) {
    json_t *kept = json_incref(json_object_get(slots->kept, key));
    if (!kept)
        return;
    json_object_del(slots->kept, key);
    end_slot(slots, json_string_value(json_array_get(kept, 0)), false);
    json_decref(kept);
}

static void on_ended(int err, const struct redis_reply *reply, void *arg) {
    err = reply_err(err, reply, REDIS_INTEGER);
    asked_done(arg, !err && reply->integer < 0 ? -ENOENT : err);
}

void slots_end_session(struct slots *slots, const char *session_id, void (*done)(int err, void *arg),
                       void *arg) {
    const struct redis_arg args[] = {redis_str(session_id)};
    struct asked *asked = asked_new(done, arg);
    int err = asked ? script_run(slots->redis, SCRIPT_end_session, args, 1, on_ended, asked) : -ENOMEM;
    if (!err)
        return;
    free(asked);
    done(err, arg);
}

// ---- the platform's figures

void slots_usage(struct slots *slots, const struct usage *usage) {
    char max[32] = "", current[32], at[24];
    // Old figures were told when they came; none at all may be this node's trouble and no other's.
    if (!usage->known || usage->stale)
        return;
    if (isfinite(usage->max))
        snprintf(max, sizeof max, "%.3f", usage->max);
    snprintf(current, sizeof current, "%.3f", usage->current);
    const struct redis_arg args[] = {redis_str(max), redis_str(current), redis_int(usage->at_ms, at)};
    script_run(slots->redis, SCRIPT_plan, args, sizeof args / sizeof args[0], NULL, NULL);
}

// ---- the whole

int slots_new(struct slots **out, uv_loop_t *loop, const struct conf *conf, struct redis *redis) {
    char id[SLOT_ID_SIZE];
    int err = auth_random_id("", id, sizeof id);
    if (err)
        return err;
    struct slots *slots = calloc(1, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    slots->conf = conf;
    slots->redis = redis;
    slots->kept = json_object();
    snprintf(slots->node, sizeof slots->node, "%.64s-%.8s", conf->gateway.node_id, id);
    if (!slots->kept) {
        free(slots);
        return -ENOMEM;
    }
    uv_timer_init(loop, &slots->renew);
    slots->renew.data = slots;
    uv_timer_start(&slots->renew, on_renew, SLOTS_RENEW_MS, SLOTS_RENEW_MS);
    *out = slots;
    return 0;
}

void slots_set_conf(struct slots *slots, const struct conf *conf) {
    slots->conf = conf;
}

static void on_timer_closed(uv_handle_t *handle) {
    struct slots *slots = handle->data;
    slots->on_closed(slots->arg);
}

void slots_close(struct slots *slots, void (*on_closed)(void *arg), void *arg) {
    slots->on_closed = on_closed;
    slots->arg = arg;
    uv_close((uv_handle_t *)&slots->renew, on_timer_closed);
}

void slots_free(struct slots *slots) {
    if (!slots)
        return;
    json_decref(slots->kept);
    free(slots);
}
