// SPDX-License-Identifier: Apache-2.0
#include "middleware/redis.h"

#include "gateway/core/metrics.h"
#include "middleware/redis_link.h"
#include "middleware/redis_reply.h"
#include "middleware/redis_sub.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct redis {
    struct redis_events events;
    struct redis_string target; // holds the password
    struct wsc_tls *tls;        // owns; NULL without
    struct redis_link *link;    // owns
    struct redis_subs *subs;    // owns
    bool up;                    // as the owner knows it
    unsigned connection;        // how many there were
    unsigned open;              // of the two above, not yet closed
    bool closing;
    void (*on_closed)(void *arg);
    void *on_closed_arg;
};

struct redis_arg redis_str(const char *text) {
    return (struct redis_arg){text, strlen(text)};
}

struct redis_arg redis_int(int64_t value, char buffer[24]) {
    int len = snprintf(buffer, 24, "%lld", (long long)value);
    return (struct redis_arg){buffer, (size_t)len};
}

// ---- up and down

static void on_link_up(void *arg) {
    struct redis *redis = arg;
    redis->up = true;
    redis->connection++;
    metric_add(METRIC_REDIS_UP, 1);
    if (redis->events.on_up)
        redis->events.on_up(redis->events.arg);
}

static void set_down(struct redis *redis) {
    if (redis->up)
        metric_add(METRIC_REDIS_UP, -1);
    redis->up = false;
}

static void on_link_down(const char *why, void *arg) {
    struct redis *redis = arg;
    bool was_up = redis->up;
    set_down(redis);
    if (was_up && redis->events.on_down)
        redis->events.on_down(why, redis->events.arg);
}

bool redis_up(const struct redis *redis) {
    return !redis->closing && redis_link_up(redis->link);
}

const char *redis_why_down(const struct redis *redis) {
    return redis_up(redis) ? "" : redis_link_why(redis->link);
}

// ---- life

static void redis_free(struct redis *redis) {
    wsc_tls_free(redis->tls);
    explicit_bzero(&redis->target, sizeof redis->target);
    free(redis);
}

static void on_part_closed(void *arg) {
    struct redis *redis = arg;
    if (--redis->open)
        return;
    void (*on_closed)(void *) = redis->on_closed;
    void *on_closed_arg = redis->on_closed_arg;
    redis_free(redis);
    on_closed(on_closed_arg);
}

static int redis_start(struct redis *redis, uv_loop_t *loop) {
    struct redis_link_config config = {
        .loop = loop, .target = &redis->target, .tls = redis->tls, .purpose = "messages"};
    const struct redis_link_events events = {
        .on_up = on_link_up, .on_down = on_link_down, .on_closed = on_part_closed, .arg = redis};
    int rc = redis_subs_new(&redis->subs, &config);
    if (rc)
        return rc;
    config.purpose = "commands";
    rc = redis_link_new(&redis->link, &config, &events);
    if (rc)
        free(redis->subs); // nothing of it has begun
    return rc;
}

int redis_new(struct redis **out, uv_loop_t *loop, const char *connection_string,
              const struct redis_events *events, struct err_text *err) {
    struct redis *redis = calloc(1, sizeof *redis);
    if (!redis)
        return err_set(err, -ENOMEM, "out of memory");
    if (events)
        redis->events = *events;
    redis->open = 2;
    // Begins anywhere, so that a script sent by another client is not taken for sent by this one.
    uv_random(NULL, NULL, &redis->connection, sizeof redis->connection, 0, NULL);
    int rc = redis_string_parse(connection_string, &redis->target, NULL, NULL, err);
    if (rc)
        goto out;
    rc = redis->target.tls ? wsc_tls_new(&redis->tls, redis->target.tls_ca_file, NULL) : 0;
    if (rc == -EINVAL) {
        err_set(err, rc, "sslCaFile: \"%.100s\" cannot be used: name a PEM file of certificates",
                redis->target.tls_ca_file);
        goto out;
    }
    if (!rc)
        rc = redis_start(redis, loop);
    if (rc) {
        err_set(err, rc, "the client cannot be set up (%s)", err_name(rc));
        goto out;
    }
    *out = redis;
    return 0;

out:
    redis_free(redis);
    return rc;
}

void redis_close(struct redis *redis, void (*on_closed)(void *arg), void *arg) {
    if (redis->closing)
        return;
    redis->closing = true;
    redis->on_closed = on_closed;
    redis->on_closed_arg = arg;
    set_down(redis);
    redis_subs_close(redis->subs, on_part_closed, redis);
    redis_link_close(redis->link);
}

// ---- commands

int redis_command(struct redis *redis, const struct redis_arg *args, size_t count, redis_fn *fn, void *arg) {
    return redis->closing ? -ENOTCONN : redis_link_command(redis->link, args, count, fn, arg);
}

// An EVALSHA on its way, with all that it takes to send it again as EVAL. One block.
struct eval {
    struct redis *redis;
    const char *text;
    redis_fn *fn;
    void *arg;
    size_t count;
    struct redis_arg args[]; // verb, script, number of keys, keys and arguments; the bytes stand behind them
};

static void on_evaluated(int err, const struct redis_reply *reply, void *arg) {
    struct eval *eval = arg;
    if (eval->fn)
        eval->fn(err, reply, eval->arg);
    free(eval);
}

static void on_eval_answer(int err, const struct redis_reply *reply, void *arg) {
    struct eval *eval = arg;
    if (err || !redis_is_error(reply, "NOSCRIPT")) {
        on_evaluated(err, reply, eval);
        return;
    }
    // EVAL keeps the script for the next EVALSHA.
    eval->args[0] = redis_str("EVAL");
    eval->args[1] = redis_str(eval->text);
    int rc = redis_command(eval->redis, eval->args, eval->count, on_evaluated, eval);
    if (rc)
        on_evaluated(rc, NULL, eval);
}

static int script_sha(struct redis_script *script) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (script->sha[0])
        return 0;
    if (!EVP_Digest(script->text, strlen(script->text), digest, NULL, EVP_sha1(), NULL))
        return -ENOMEM;
    for (size_t i = 0; i < 20; i++)
        snprintf(script->sha + 2 * i, 3, "%02x", digest[i]);
    return 0;
}

static size_t args_bytes(const struct redis_arg *args, size_t count) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += args[i].len;
    return bytes;
}

static char *copy_args(struct redis_arg *to, const struct redis_arg *from, size_t count, char *bytes) {
    for (size_t i = 0; i < count; i++) {
        if (from[i].len)
            memcpy(bytes, from[i].ptr, from[i].len);
        to[i] = (struct redis_arg){bytes, from[i].len};
        bytes += from[i].len;
    }
    return bytes;
}

int redis_eval(struct redis *redis, struct redis_script *script, const struct redis_arg *keys,
               size_t key_count, const struct redis_arg *args, size_t arg_count, redis_fn *fn, void *arg) {
    char number[24];
    const struct redis_arg keys_number = redis_int((int64_t)key_count, number);
    size_t count = 3 + key_count + arg_count;
    int rc = script_sha(script);
    if (rc)
        return rc;
    if (!redis_up(redis))
        return -ENOTCONN;
    size_t bytes = keys_number.len + args_bytes(keys, key_count) + args_bytes(args, arg_count);
    struct eval *eval = malloc(sizeof *eval + count * sizeof eval->args[0] + bytes);
    if (!eval)
        return -ENOMEM;
    *eval = (struct eval){.redis = redis, .text = script->text, .fn = fn, .arg = arg, .count = count};
    bool sent = script->sent_on == redis->connection;
    eval->args[0] = redis_str(sent ? "EVALSHA" : "EVAL");
    eval->args[1] = redis_str(sent ? script->sha : script->text);
    script->sent_on = redis->connection;
    char *end = copy_args(eval->args + 2, &keys_number, 1, (char *)(eval->args + count));
    end = copy_args(eval->args + 3, keys, key_count, end);
    copy_args(eval->args + 3 + key_count, args, arg_count, end);
    rc = redis_command(redis, eval->args, count, on_eval_answer, eval);
    if (rc)
        free(eval);
    return rc;
}

// ---- channels

int redis_subscribe(struct redis *redis, const char *channel, void (*on_subscribed)(void *arg),
                    void (*on_message)(const char *message, size_t len, void *arg), void *arg) {
    return redis->closing ? -ENOTCONN : redis_subs_add(redis->subs, channel, on_subscribed, on_message, arg);
}

void redis_unsubscribe(struct redis *redis, const char *channel) {
    if (!redis->closing)
        redis_subs_remove(redis->subs, channel);
}
