// SPDX-License-Identifier: Apache-2.0
// A worker: a thread with a libuv loop, a media ticker and a mailbox. A call lives and dies on one worker.
#ifndef IQ_CORE_WORKER_H
#define IQ_CORE_WORKER_H

#include "gateway/core/mailbox.h"
#include "gateway/core/ticker.h"

#include <uv.h>

struct worker;

// All three run on the worker's thread. `on_stop` begins closing everything the user keeps on the loop; the
// thread ends when the loop has no handle left.
struct worker_ops {
    int (*on_start)(struct worker *worker, void *arg);
    void (*on_mail)(struct mail *mail, void *arg);
    void (*on_stop)(void *arg);
};

// Starts the thread and waits for on_start, whose error it returns. `arg` is borrowed until worker_join.
int worker_start(struct worker **out, unsigned index, const struct worker_ops *ops, void *arg);
int worker_post(struct worker *worker, struct mail mail); // any thread; see mailbox_post
void worker_stop(struct worker *worker);                  // any thread; asks it to end
void worker_join(struct worker *worker); // waits for the end and frees it; nobody may post any more

// The calling thread, and what it starts from now on, gives way to the workers wherever they share a core: signalling
// can wait for a few milliseconds, audio cannot. Lower is all it gets, which takes no privilege.
void worker_go_first(void);

// On the worker's own thread.
uv_loop_t *worker_loop(struct worker *worker);
struct ticker *worker_ticker(struct worker *worker);
unsigned worker_index(const struct worker *worker);

#endif
