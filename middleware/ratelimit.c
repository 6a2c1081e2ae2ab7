// SPDX-License-Identifier: Apache-2.0
#include "middleware/ratelimit.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "middleware/address.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_COUNT = 3, KEY_SIZE = 32 + ADDRESS_KEY_SIZE };

// Both scripts begin so. ARGV id, now (0 = Redis' clock), deadline (0 = now and the next), length of a lease.
// Every time in ms.
#define SCRIPT_HEAD                                                                                          \
    "\
local id, now, deadline = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])\n\
if now == 0 then\n\
  local time = redis.call('TIME')\n\
  now = time[1] * 1000 + math.floor(time[2] / 1000)\n\
end\n\
if deadline == 0 then deadline = now + ARGV[4] end\n\
local function hold()\n\
  redis.call('ZADD', KEYS[1], deadline, id)\n\
  local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')\n\
  redis.call('PEXPIRE', KEYS[1], math.max(1, last[2] - now))\n\
end\n"

// KEYS leases, hourly, daily. ARGV further: the three limits. Answers {verdict, ms until all three would let it
// pass}. What holds this id already lets it pass.
static struct redis_script take_script = {.text = SCRIPT_HEAD "\
local keeps = {0, 3600000, 86400000}\n\
local verdict, wait = 0, 0\n\
for i = 1, 3 do\n\
  local key, keep, limit = KEYS[i], keeps[i], tonumber(ARGV[4 + i])\n\
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - keep)\n\
  local count = redis.call('ZCARD', key)\n\
  if limit > 0 and count >= limit and not redis.call('ZSCORE', key, id) then\n\
    local blocking = redis.call('ZRANGE', key, count - limit, count - limit, 'WITHSCORES')\n\
    local free = blocking[2] + keep - now\n\
    if i == 1 then free = math.min(free, 60000) end\n\
    wait = math.max(wait, free)\n\
    if verdict == 0 then verdict = i end\n\
  end\n\
end\n\
if verdict > 0 then return {verdict, wait} end\n\
hold()\n\
for i = 2, 3 do\n\
  if tonumber(ARGV[4 + i]) > 0 then\n\
    redis.call('ZADD', KEYS[i], 'NX', now, id)\n\
    redis.call('PEXPIRE', KEYS[i], keeps[i])\n\
  end\n\
end\n\
return {0, 0}\n"};

// KEYS leases.
static struct redis_script renew_script = {.text = SCRIPT_HEAD "\
if not redis.call('ZSCORE', KEYS[1], id) then return 0 end\n\
hold()\n\
return 1\n"};

struct ratelimit {
    const struct conf *conf; // borrowed
    struct redis *redis;     // borrowed
};

struct keys {
    char text[KEY_COUNT][KEY_SIZE];
    struct redis_arg args[KEY_COUNT];
};

// One take on its way.
struct take {
    void (*done)(int err, const struct ratelimit_answer *answer, void *arg);
    void *arg;
};

const char *ratelimit_message(enum ratelimit_verdict verdict) {
    static const char *const texts[] = {
        [RATELIMIT_OK] = "",
        [RATELIMIT_CONCURRENT] = "Too many concurrent sessions from your IP.",
        [RATELIMIT_HOURLY] = "Hourly rate limit exceeded.",
        [RATELIMIT_DAILY] = "Daily rate limit exceeded.",
    };
    return texts[verdict];
}

int ratelimit_new(struct ratelimit **out, const struct conf *conf, struct redis *redis) {
    struct ratelimit *ratelimit = calloc(1, sizeof *ratelimit);
    if (!ratelimit)
        return -ENOMEM;
    ratelimit->conf = conf;
    ratelimit->redis = redis;
    *out = ratelimit;
    return 0;
}

void ratelimit_set_conf(struct ratelimit *ratelimit, const struct conf *conf) {
    ratelimit->conf = conf;
}

void ratelimit_free(struct ratelimit *ratelimit) {
    free(ratelimit);
}

static int make_keys(struct keys *keys, const char *address, const char *id) {
    static const char *const names[KEY_COUNT] = {"leases", "hourly_sliding", "daily_sliding"};
    char key[ADDRESS_KEY_SIZE];
    size_t id_len = strlen(id);
    int err = address_key(address, key);
    if (err || !id_len || id_len > RATELIMIT_ID_MAX)
        return -EINVAL;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        snprintf(keys->text[i], sizeof keys->text[i], "ratelimit:%s:%s", names[i], key);
        keys->args[i] = redis_str(keys->text[i]);
    }
    return 0;
}

static bool is_answer(const struct redis_reply *reply) {
    return reply->type == REDIS_ARRAY && reply->count == 2 && reply->elements[0].type == REDIS_INTEGER &&
           reply->elements[0].integer >= RATELIMIT_OK && reply->elements[0].integer <= RATELIMIT_DAILY &&
           reply->elements[1].type == REDIS_INTEGER;
}

static void count_verdict(enum ratelimit_verdict verdict) {
    static const enum metric metrics[] = {
        [RATELIMIT_OK] = METRIC_RATELIMIT_OK,
        [RATELIMIT_CONCURRENT] = METRIC_RATELIMIT_CONCURRENT,
        [RATELIMIT_HOURLY] = METRIC_RATELIMIT_HOURLY,
        [RATELIMIT_DAILY] = METRIC_RATELIMIT_DAILY,
    };
    metric_add(metrics[verdict], 1);
}

static void on_taken(int err, const struct redis_reply *reply, void *arg) {
    struct take *take = arg;
    struct ratelimit_answer answer = {.verdict = RATELIMIT_OK};
    if (!err && !is_answer(reply)) {
        log_error(NULL, "ratelimit", "Redis refused the script: %s", reply->str);
        err = -EPROTO;
    }
    if (!err) {
        answer.verdict = (enum ratelimit_verdict)reply->elements[0].integer;
        int64_t wait_ms = reply->elements[1].integer;
        answer.retry_after_s = answer.verdict ? (unsigned)((wait_ms + 999) / 1000) : 0;
        count_verdict(answer.verdict);
    }
    take->done(err, err ? NULL : &answer, take->arg);
    free(take);
}

int ratelimit_take(struct ratelimit *ratelimit, const struct ratelimit_lease *lease,
                   void (*done)(int err, const struct ratelimit_answer *answer, void *arg), void *arg) {
    struct keys keys;
    int err = make_keys(&keys, lease->address, lease->id);
    if (err)
        return err;
    struct take *take = malloc(sizeof *take);
    if (!take)
        return -ENOMEM;
    take->done = done;
    take->arg = arg;
    char numbers[6][24];
    const struct conf *conf = ratelimit->conf;
    const struct redis_arg args[] = {
        redis_str(lease->id),
        redis_int(lease->now_ms, numbers[0]),
        redis_int(lease->deadline_ms, numbers[1]),
        redis_int(conf->security.rate_limit_lease_seconds * 1000, numbers[2]),
        redis_int(conf->security.rate_limit_concurrency, numbers[3]),
        redis_int(conf->security.rate_limit_hourly, numbers[4]),
        redis_int(conf->security.rate_limit_daily, numbers[5]),
    };
    err = redis_eval(ratelimit->redis, &take_script, keys.args, KEY_COUNT, args, sizeof args / sizeof args[0],
                     on_taken, take);
    if (err)
        free(take);
    return err;
}

// From the first `count` keys.
static int remove_from(struct ratelimit *ratelimit, const char *address, const char *id, size_t count) {
    struct keys keys;
    int err = make_keys(&keys, address, id);
    for (size_t i = 0; i < count && !err; i++) {
        const struct redis_arg args[] = {redis_str("ZREM"), keys.args[i], redis_str(id)};
        err = redis_command(ratelimit->redis, args, 3, NULL, NULL);
    }
    return err;
}

int ratelimit_give_back(struct ratelimit *ratelimit, const char *address, const char *id) {
    return remove_from(ratelimit, address, id, KEY_COUNT);
}

int ratelimit_release(struct ratelimit *ratelimit, const char *address, const char *id) {
    return remove_from(ratelimit, address, id, 1);
}

int ratelimit_renew(struct ratelimit *ratelimit, const struct ratelimit_lease *lease) {
    struct keys keys;
    int err = make_keys(&keys, lease->address, lease->id);
    if (err)
        return err;
    char numbers[3][24];
    const struct redis_arg args[] = {
        redis_str(lease->id), redis_int(lease->now_ms, numbers[0]), redis_int(lease->deadline_ms, numbers[1]),
        redis_int(ratelimit->conf->security.rate_limit_lease_seconds * 1000, numbers[2])};
    return redis_eval(ratelimit->redis, &renew_script, keys.args, 1, args, 4, NULL, NULL);
}
