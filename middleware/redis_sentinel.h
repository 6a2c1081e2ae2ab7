// SPDX-License-Identifier: Apache-2.0
// One question to one Sentinel: where is the master of the service?
#ifndef IQ_MIDDLEWARE_REDIS_SENTINEL_H
#define IQ_MIDDLEWARE_REDIS_SENTINEL_H

#include "gateway/core/redis_string.h"
#include "middleware/redis_conn.h"

struct redis_sentinel;

// One of on_master and on_fail, once, from the loop. redis_sentinel_close may be called from both; nothing but
// on_closed follows it.
struct redis_sentinel_events {
    void (*on_master)(const struct redis_host *master, void *arg);
    void (*on_fail)(const char *why, void *arg);
    void (*on_closed)(void *arg); // the memory is gone when it returns
    void *arg;
};

// `target` and `tls` are borrowed and outlive it. `which` of target->hosts is asked.
int redis_sentinel_ask(struct redis_sentinel **out, uv_loop_t *loop, const struct redis_string *target,
                       const struct wsc_tls *tls, size_t which, const struct redis_sentinel_events *events);
void redis_sentinel_close(struct redis_sentinel *sentinel);

#endif
