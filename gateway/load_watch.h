// SPDX-License-Identifier: Apache-2.0
// May this node take a call now, and if not, why not? What the workers measure (load_meter.h), seen from ctl: asked by
// the sessions, and through them by the trunks' listener, the node's heartbeat, the session desk and /readyz.
// ctl thread.
#ifndef IQ_GATEWAY_LOAD_WATCH_H
#define IQ_GATEWAY_LOAD_WATCH_H

#include "gateway/core/conf.h"
#include "gateway/load_meter.h"

#include <stdio.h>
#include <uv.h>

struct load_watch;

struct load_watch_config {
    uv_loop_t *loop;
    const struct conf *conf; // read at load_watch_new only
    size_t worker_count;
    // Whether it refuses has changed. Never before load_watch_start.
    void (*on_change)(void *arg);
    void *arg;
};

int load_watch_new(struct load_watch **out, const struct load_watch_config *config); // -ENOMEM
void load_watch_start(struct load_watch *watch);                                     // its timer
void load_watch_close(struct load_watch *watch); // the loop must turn before load_watch_free; NULL is fine
void load_watch_free(struct load_watch *watch);  // after the workers have ended; NULL is fine

// For worker `index`: its limits, and where it tells how it is.
void load_watch_limits(const struct load_watch *watch, struct load_limits *out);
struct load_gauge *load_watch_gauge(struct load_watch *watch, size_t index);
unsigned load_watch_cores(const struct load_watch *watch);

// NULL while it takes calls; else why it does not, in words for a person. Static.
const char *load_watch_refuses(const struct load_watch *watch);
bool load_watch_worker_refuses(const struct load_watch *watch, size_t index);
// Calls beside the `held` ones that fit: by Gateway.MaxCalls, or by what was found; 0 while it refuses.
uint32_t load_watch_room(const struct load_watch *watch, uint32_t held);

void load_watch_metrics(const struct load_watch *watch, FILE *out); // Prometheus text, by worker

#endif
