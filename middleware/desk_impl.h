// SPDX-License-Identifier: Apache-2.0
// What desk.c (the whole), desk_request.c (one request's way) and desk_call.c (a telephone call's) share.
#ifndef IQ_MIDDLEWARE_DESK_IMPL_H
#define IQ_MIDDLEWARE_DESK_IMPL_H

#include "middleware/desk.h"
#include "middleware/ipcheck.h"
#include "middleware/queue.h"
#include "middleware/queue_runner.h"
#include "middleware/ratelimit.h"
#include "middleware/waiters.h"

struct desk {
    struct desk_config config; // conf: the one in force
    struct desk_events events;
    struct initiate *initiate;
    struct ratelimit *ratelimit;
    struct ipcheck *ipcheck;
    struct slots *slots;
    struct queue *queue;
    struct queue_runner *runner;
    struct waiters *waiters;
    struct usage_poll *usage;
    struct hub *hub; // borrowed; NULL = none
    unsigned closing;
    void (*on_closed)(void *arg);
    void *arg;
};

#endif
