// SPDX-License-Identifier: Apache-2.0
// The clients that wait at this node: says in Redis that they are there, and tells them how they stand. Each
// hears of a change of its position within a second, and at most once a second. ctl thread.
#ifndef IQ_MIDDLEWARE_WAITERS_H
#define IQ_MIDDLEWARE_WAITERS_H

#include "middleware/queue.h"

#include <jansson.h>

enum { WAITERS_LOOK_MS = 1000, WAITERS_KEEP_MS = 5000 };

struct waiters;

// All borrowed until waiters_free.
struct waiters_config {
    uv_loop_t *loop;
    struct redis *redis;
    struct queue *queue;
    void (*tell)(const char *id, const char *target, json_t *args, void *arg); // args: borrowed array
    void *arg;
};

int waiters_new(struct waiters **out, const struct waiters_config *config);
int waiters_add(struct waiters *waiters, const char *id);
void waiters_remove(struct waiters *waiters, const char *id);
void waiters_stir(struct waiters *waiters); // positions may have changed
// Also when it was told just now that it waits for nothing.
bool waiters_has(const struct waiters *waiters, const char *id);
size_t waiters_count(const struct waiters *waiters);
void waiters_close(struct waiters *waiters, void (*on_closed)(void *arg), void *arg);
void waiters_free(struct waiters *waiters); // after redis_close has called back everything

// [{"position", "ahead", "etaSeconds"}]; NULL when memory is out.
json_t *waiters_position_args(int64_t position, int64_t eta_s);

#endif
