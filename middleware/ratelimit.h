// SPDX-License-Identifier: Apache-2.0
// Limits of one client address: sessions at once, in an hour and in a day (sliding windows), counted in Redis
// for all nodes by one atomic script. A session at once is a lease with a deadline, so that a lost webhook or
// a crash counts against nobody for longer than the lease. ctl thread.
//
//   ratelimit:leases:{key}           zset, member = lease id, score = deadline in ms
//   ratelimit:hourly_sliding:{key}   zset, member = lease id, score = ms when it was taken
//   ratelimit:daily_sliding:{key}    the same; {key} is address_key()
//
// Use: take before the paid and slow checks; give_back when the request is refused or fails after all;
// renew while the session (or its place in the queue) lives; release when it has ended.
#ifndef IQ_MIDDLEWARE_RATELIMIT_H
#define IQ_MIDDLEWARE_RATELIMIT_H

#include "gateway/core/conf.h"
#include "middleware/redis.h"

enum { RATELIMIT_ID_MAX = 127 };

enum ratelimit_verdict { RATELIMIT_OK, RATELIMIT_CONCURRENT, RATELIMIT_HOURLY, RATELIMIT_DAILY };

struct ratelimit_answer {
    enum ratelimit_verdict verdict;
    unsigned retry_after_s; // when it would pass, at least 1; a guess for CONCURRENT, since calls may end
};

// The text of a 429; "" for RATELIMIT_OK.
const char *ratelimit_message(enum ratelimit_verdict verdict);

// Who takes: `address` is numeric, `id` names the lease, the caller's choice and unique (1 to 127 bytes).
// Borrowed for the call.
struct ratelimit_lease {
    const char *address, *id;
    int64_t now_ms;      // Unix time; 0 = the clock of Redis, which all nodes share
    int64_t deadline_ms; // Unix time; 0 = now + Security.RateLimitLeaseSeconds
};

struct ratelimit;

// Both are borrowed; `conf` until ratelimit_set_conf or ratelimit_free. Limits are read at each take, so a
// reload counts at once.
int ratelimit_new(struct ratelimit **out, const struct conf *conf, struct redis *redis);
void ratelimit_set_conf(struct ratelimit *ratelimit, const struct conf *conf);
void ratelimit_free(struct ratelimit *ratelimit); // after redis_close has called back everything

// Checks all three and takes from all three, or from none. Taking a lease that is held already moves its
// deadline and counts nothing again. `done` once, from the loop: `err` 0 and the answer; or an errno of
// redis_fn, and -EPROTO when Redis refuses the script, with `answer` NULL. After -ECONNRESET or -ETIMEDOUT it
// may have been taken: give it back. Returns -EINVAL (no address, no usable id), -ENOTCONN, -ENOMEM: then
// `done` is not called.
int ratelimit_take(struct ratelimit *ratelimit, const struct ratelimit_lease *lease,
                   void (*done)(int err, const struct ratelimit_answer *answer, void *arg), void *arg);

// These three are idempotent and answer nobody. While Redis is away they are lost (-ENOTCONN): the lease then
// lapses by itself, and the windows slide.
int ratelimit_give_back(struct ratelimit *ratelimit, const char *address,
                        const char *id);                                                 // as if never taken
int ratelimit_release(struct ratelimit *ratelimit, const char *address, const char *id); // it has ended
int ratelimit_renew(struct ratelimit *ratelimit, const struct ratelimit_lease *lease); // only one still held

#endif
