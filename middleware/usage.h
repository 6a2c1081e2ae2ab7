// SPDX-License-Identifier: Apache-2.0
// The platform's own figures about our plan: how many calls it allows and how many run by its count. Polled at
// the start, then every 15 s, sooner after trouble. ctl thread.
#ifndef IQ_MIDDLEWARE_USAGE_H
#define IQ_MIDDLEWARE_USAGE_H

#include "gateway/core/conf.h"
#include "gateway/core/err.h"
#include "signaling/httpc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum {
    USAGE_POLL_MS = 15000,
    USAGE_TROUBLE_MS = 3000, // after a failure, and between two polls at the least when poked
    USAGE_KEEP_MS = 300000,  // figures of a platform that no longer answers are used for so long
    USAGE_TIMEOUT_MS = 5000,
};

struct usage {
    bool known; // false: nothing was heard yet, or not for USAGE_KEEP_MS: count for ourselves
    bool stale; // the latest poll failed; these are the figures of the last good one
    // Of a platform without user/billing/* (404), as the self-hosted one, both are as in the brackets.
    double max;     // calls the plan allows [INFINITY: it sets no limit]
    double current; // calls that run now by its count, ours and others' [-1: it does not say]
    int64_t at_ms;  // Unix time when the requests were sent that brought them; calls begun later are not in
};

struct usage_poll;

struct usage_pace {
    uint32_t poll_ms, trouble_ms, keep_ms;
};

struct usage_events {
    // After each poll, also a failed one, from the loop. While the platform is not asked for sessions (a fixed
    // agent, or no VoiceAiPlatform.BaseUrl) its usage is not asked for either: known, and no limit.
    void (*on_usage)(const struct usage *usage, void *arg);
    void *arg;
    const struct usage_pace *pace; // copied; NULL = the numbers above
};

// `conf` is borrowed until usage_set_conf or usage_close, `client` until then too. The first poll goes out at
// once.
int usage_new(struct usage_poll **out, uv_loop_t *loop, const struct conf *conf, struct httpc *client,
              const struct usage_events *events);
void usage_set_conf(struct usage_poll *poll, const struct conf *conf);
// The platform just refused for concurrency, or an answer got lost: look again soon. Any number of pokes
// makes one poll, and only one is ever in flight.
void usage_poke(struct usage_poll *poll);
const struct usage *usage_latest(const struct usage_poll *poll);
// No on_usage any more. A request in flight is left to httpc_close, which may come before or after;
// `on_closed` once, from the loop, when the memory is gone.
void usage_close(struct usage_poll *poll, void (*on_closed)(void *arg), void *arg);

// The two answers, pure: {success, data:{currentUsage:{Call_Concurrency}}} and {success,
// data:{Call_Concurrency}}; names in any case, numbers also as text. An answer without the figure gives
// -1 or INFINITY. -EPROTO: no such answer; -EREMOTEIO: it says no.
int usage_parse_current(const char *text, size_t len, double *out, struct err_text *err);
int usage_parse_max(const char *text, size_t len, double *out, struct err_text *err);

#endif
