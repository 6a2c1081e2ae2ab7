// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/worker.h"

#include "gateway/core/err.h"
#include "gateway/core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    MAILBOX_CAPACITY = 16384,
    NICER = 5, // a third of a worker's share of a core
    NICEST = 19,
};

struct worker {
    uv_thread_t thread;
    uv_loop_t loop;
    struct mailbox *mailbox;
    struct mailbox *stop; // of its own, so that a full mailbox cannot lose the word to end
    struct ticker *ticker;
    struct worker_ops ops;
    void *arg;
    unsigned index;
    uv_sem_t started;
    int start_err;
};

static void on_mail(struct mail *mail, void *arg) {
    struct worker *worker = arg;
    worker->ops.on_mail(mail, worker->arg);
}

static void on_stop_mail(struct mail *mail, void *arg) {
    (void)mail;
    struct worker *worker = arg;
    worker->ops.on_stop(worker->arg);
    ticker_close(worker->ticker);
    mailbox_close(worker->mailbox);
    mailbox_close(worker->stop);
}

static int worker_set_up(struct worker *worker) {
    int err = mailbox_new(&worker->mailbox, &worker->loop, MAILBOX_CAPACITY, on_mail, worker);
    if (err)
        return err;
    err = mailbox_new(&worker->stop, &worker->loop, 1, on_stop_mail, worker);
    if (err)
        goto out_mailbox;
    err = ticker_new(&worker->ticker, &worker->loop);
    if (err)
        goto out_stop;
    err = worker->ops.on_start(worker, worker->arg);
    if (err)
        goto out_ticker;
    return 0;

out_ticker:
    ticker_close(worker->ticker);
out_stop:
    mailbox_close(worker->stop);
out_mailbox:
    mailbox_close(worker->mailbox);
    return err;
}

static void worker_main(void *arg) {
    struct worker *worker = arg;
    char name[16];
    snprintf(name, sizeof name, "w%u", worker->index);
    prctl(PR_SET_NAME, name);
    worker->start_err = worker_set_up(worker);
    uv_sem_post(&worker->started);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
}

int worker_start(struct worker **out, unsigned index, const struct worker_ops *ops, void *arg) {
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return -ENOMEM;
    worker->ops = *ops;
    worker->arg = arg;
    worker->index = index;
    int err = uv_loop_init(&worker->loop);
    if (err)
        goto out_free;
    err = uv_sem_init(&worker->started, 0);
    if (err)
        goto out_loop;
    err = uv_thread_create(&worker->thread, worker_main, worker);
    if (err)
        goto out_sem;
    uv_sem_wait(&worker->started);
    if (worker->start_err) {
        err = worker->start_err;
        worker_join(worker);
        return err;
    }
    *out = worker;
    return 0;

out_sem:
    uv_sem_destroy(&worker->started);
out_loop:
    uv_loop_close(&worker->loop);
out_free:
    free(worker);
    return err;
}

// On Linux each thread has a nice value of its own, and its children inherit it.
void worker_go_first(void) {
    int nice = getpriority(PRIO_PROCESS, (id_t)gettid()) + NICER;
    setpriority(PRIO_PROCESS, (id_t)gettid(), nice < NICEST ? nice : NICEST);
}

int worker_post(struct worker *worker, struct mail mail) {
    return mailbox_post(worker->mailbox, mail);
}

void worker_stop(struct worker *worker) {
    mailbox_post(worker->stop, (struct mail){0});
}

void worker_join(struct worker *worker) {
    uv_thread_join(&worker->thread);
    mailbox_free(worker->mailbox);
    mailbox_free(worker->stop);
    int err = uv_loop_close(&worker->loop);
    if (err)
        log_error(NULL, "worker", "worker %u ended with handles left on its loop (%s)", worker->index,
                  err_name(err));
    uv_sem_destroy(&worker->started);
    free(worker);
}

uv_loop_t *worker_loop(struct worker *worker) {
    return &worker->loop;
}

struct ticker *worker_ticker(struct worker *worker) {
    return worker->ticker;
}

unsigned worker_index(const struct worker *worker) {
    return worker->index;
}
