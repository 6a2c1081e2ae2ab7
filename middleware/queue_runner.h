// SPDX-License-Identifier: Apache-2.0
// Serves the queue on this node: whenever a slot may be free it takes who is next, has a session made for each
// at the same time as the others, and stores what became of it. Any number of nodes do so side by side. ctl
// thread.
#ifndef IQ_MIDDLEWARE_QUEUE_RUNNER_H
#define IQ_MIDDLEWARE_QUEUE_RUNNER_H

#include "middleware/initiate.h"
#include "middleware/queue.h"

enum { QUEUE_SWEEP_MS = 1000, QUEUE_RUNNER_MAX = 64 }; // sessions in the making at once

struct queue_runner;

// All borrowed until queue_runner_free.
struct queue_runner_config {
    uv_loop_t *loop;
    struct redis *redis;
    struct queue *queue;
    struct slots *slots;
    struct initiate *initiate;
    bool (*may_serve)(void *arg);               // this node can take a session now
    const char *(*ice_servers_json)(void *arg); // with ice_arg
    void *ice_arg;
    // The outcome is stored; its client is to hear it. Borrowed.
    void (*on_outcome)(const char *id, const char *target, const char *args, void *arg);
    void (*on_no_room)(void *arg); // the platform refused for want of room
    void *arg;
};

int queue_runner_new(struct queue_runner **out, const struct queue_runner_config *config);
void queue_runner_wake(struct queue_runner *runner); // a slot may be free, or somebody new waits
void queue_runner_close(struct queue_runner *runner, void (*on_closed)(void *arg), void *arg);
void queue_runner_free(struct queue_runner *runner); // after httpc and redis have called back everything

// What a client is told of its session: {"<key>": url, "iceServers": [...]}, the latter for WebRTC. NULL when
// memory is out.
json_t *queue_ready_json(const char *key, const char *url, int transport, const char *ice_servers_json);

#endif
