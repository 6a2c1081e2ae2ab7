// SPDX-License-Identifier: Apache-2.0
// The media nodes, as they announce themselves in Redis: each writes itself every two seconds into the hash
// "nodes" and reads all the others. Who has been silent for ten seconds gets no calls. ctl thread.
#ifndef IQ_MIDDLEWARE_NODES_H
#define IQ_MIDDLEWARE_NODES_H

#include "middleware/redis.h"

#include <jansson.h>

enum { NODES_BEAT_MS = 2000, NODES_SILENT_MS = 10000, NODES_FORGET_MS = 60000, NODES_MAX = 256 };

struct node {
    char id[64], region_id[64];
    const char *instance;    // which process it is, of node_text; NULL of node_parse
    char endpoint[256];      // where trunks reach its listener
    uint16_t port, tls_port; // tls_port 0: it listens on no tls: address
    bool accepting;          // new calls: neither full, nor draining, nor stopped
    bool full;               // that is why it is not accepting: no room for calls, or overloaded
    int64_t calls, capacity; // capacity 0 = no limit
    unsigned cpu_percent, memory_percent;
    uint64_t heard_ms; // uv_now of this loop when it was last heard
};

struct nodes;

// Borrowed until nodes_free.
struct nodes_config {
    uv_loop_t *loop;
    struct redis *redis;
    // This node as it is now: fills in all but the load, the instance and heard_ms. NULL when it takes no calls (no media role)
    // and only looks at the others.
    void (*self)(struct node *out, void *arg);
    void *arg;
};

int nodes_new(struct nodes **out, const struct nodes_config *config);
void nodes_beat(struct nodes *nodes);  // at once: the state of this node has changed
void nodes_leave(struct nodes *nodes); // this node stops: takes it out of the hash, beats no more
void nodes_close(struct nodes *nodes); // the loop must turn, and redis be closed, before nodes_free
void nodes_free(struct nodes *nodes);

// Those heard in the last NODES_SILENT_MS; writes at most `max` pointers, good until the loop turns.
size_t nodes_alive(const struct nodes *nodes, const struct node **out, size_t max);
// A call was sent there: one more is counted until its next heartbeat tells.
void nodes_sent(struct nodes *nodes, const char *id);
// NULL, or why this node is not announced although it would be: another process has its name, and lives. Whoever had
// it first keeps it, but to a process that begins at the same address; one that has fallen silent loses it after 5 s.
const char *nodes_why_hidden(const struct nodes *nodes);
json_t *nodes_json(const struct nodes *nodes); // for the operator: all that are known, silent ones too

// One node as it is announced, and back. Pure. The text is malloc'ed, NULL when memory is out; -EINVAL.
char *node_text(const struct node *node);
int node_parse(struct node *out, const char *text, size_t len);

#endif
