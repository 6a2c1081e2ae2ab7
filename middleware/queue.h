// SPDX-License-Identifier: Apache-2.0
// The queue in Redis, shared by all nodes, as typed calls of its scripts (middleware/lua/queue.lua says what is
// kept). Each call is one atomic step. Callbacks come once, from the loop, with an errno of redis_fn, or
// -EPROTO when Redis refuses a script; a call that returns an errno calls nobody back. ctl thread.
#ifndef IQ_MIDDLEWARE_QUEUE_H
#define IQ_MIDDLEWARE_QUEUE_H

#include "middleware/slots.h"

enum {
    QUEUE_TEXT_MAX = 96 * 1024, // bytes of a request as it is kept
    QUEUE_TAKE_MAX = 16,
    QUEUE_WATCH_MAX = 200,
    QUEUE_TRIES = 5, // refusals for want of room that a request survives
    QUEUE_PAUSE_MS = 1000,
    QUEUE_PAUSE_LONGEST_MS = 16000,
};

struct queue;

// Borrowed; `conf` until queue_set_conf or queue_free.
int queue_new(struct queue **out, const struct conf *conf, struct redis *redis, struct slots *slots);
void queue_set_conf(struct queue *queue, const struct conf *conf);
// See desk_events.has_room.
void queue_set_room(struct queue *queue, bool (*has_room)(void *arg), void *arg);
void queue_free(struct queue *queue); // after redis_close has called back everything

// A newcomer. Borrowed for the call.
struct queue_entry {
    const char *slot; // the name of the slot it may get
    const char *id;   // of the request; its lease in the limits has the same name
    const char *rate; // address_key
    const char *text; // initiate_request_text
    const char *campaign_id;
    int64_t weight;
    int transport;
};

enum queue_verdict { QUEUE_FULL, QUEUE_SLOT, QUEUE_WAITS };

struct queue_admission {
    enum queue_verdict verdict;
    int64_t position; // of one who waits: 1 = next
    int64_t eta_s;    // -1 = unknown
};
typedef void queue_admit_fn(int err, const struct queue_admission *admission, void *arg);

// A slot when there is one and nobody waits, else a place in the queue. `may_wait` false: a slot or nothing.
int queue_admit(struct queue *queue, const struct queue_entry *entry, bool may_wait, queue_admit_fn *done,
                void *arg);
// It got a slot, and the platform had no room for it: to the front of the queue (QUEUE_WAITS).
int queue_refused(struct queue *queue, const struct queue_entry *entry, queue_admit_fn *done, void *arg);

// Borrowed for the call.
struct queue_taken {
    const char *id, *slot, *text, *campaign_id;
    int64_t waited_ms;
};
// Takes who is next, up to `most` (at most QUEUE_TAKE_MAX), each with a slot. `pause_ms`: when somebody who has
// to wait out a refusal may be served, -1 for nobody. Each must be settled or come again within 25 s, or goes
// back.
int queue_take(struct queue *queue, size_t most,
               void (*done)(int err, const struct queue_taken *taken, size_t count, int64_t pause_ms,
                            void *arg),
               void *arg);

// What became of one that was taken. Borrowed for the call.
struct queue_outcome {
    const char *id, *slot;
    bool made;                 // there is a session
    const char *session_id;    // "" when the platform named none
    bool here;                 // it lives on this node
    const char *target, *args; // what its client is told: SessionReady or SessionFailed, and a JSON array
};
// Stored once. -ESTALE: this node took too long, and somebody else serves it: the slot is freed, the session is
// nobody's.
int queue_settle(struct queue *queue, const struct queue_outcome *outcome, void (*done)(int err, void *arg),
                 void *arg);
// Back to where it stood. `refused`: by the platform, for want of room, so that its campaign pauses; -E2BIG: once
// too often, so settle it. -ESTALE as above.
int queue_again(struct queue *queue, const char *id, const char *slot, bool refused,
                void (*done)(int err, void *arg), void *arg);

enum { QUEUE_IS_SERVED = 0, QUEUE_IS_UNKNOWN = -1, QUEUE_IS_DONE = -2 };
// How a request stands. Borrowed for the call.
struct queue_state {
    int64_t position;          // from 1, or one of the above
    int64_t eta_s;             // -1 = unknown
    const char *target, *args; // when it is done, by queue_register only
};
// Its client is there and asks.
int queue_register(struct queue *queue, const char *id,
                   void (*done)(int err, const struct queue_state *state, void *arg), void *arg);
// Its client's connection is gone: it has 10 s to come back.
int queue_left(struct queue *queue, const char *id);
// The clients of at most QUEUE_WATCH_MAX requests are there: to be said at least every 5 s.
int queue_watch(struct queue *queue, const char *const *ids, size_t count,
                void (*done)(int err, const struct queue_state *states, size_t count, void *arg), void *arg);

// What time does (leases, presence), for all nodes.
struct queue_sweep {
    int64_t lapsed, returned, failed, left; // now
    int64_t slots, waiting;                 // as it stands
};
int queue_sweep(struct queue *queue, void (*done)(int err, const struct queue_sweep *sweep, void *arg),
                void *arg);

// Everything at a glance, as a JSON text, borrowed for the call.
int queue_observe(struct queue *queue, void (*done)(int err, const char *json, void *arg), void *arg);

// What a client is told when its request came to nothing.
extern const char queue_failed_args[];

#endif
