// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/mailbox.h"

#include "gateway/core/err.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct mailbox {
    uv_async_t wake;
    int fd;          // an eventfd in place of `wake`; -1 for a libuv loop's
    uv_mutex_t lock; // guards the ring and `closed`
    bool closed;
    size_t capacity; // of ordinary mail; the ring has twice as many places
    size_t head, count;
    mailbox_fn *on_mail;
    void *arg;
    struct mail ring[];
};

static size_t mailbox_places(const struct mailbox *box) {
    return 2 * box->capacity;
}

static bool mailbox_pop(struct mailbox *box, struct mail *out) {
    uv_mutex_lock(&box->lock);
    bool some = box->count > 0;
    if (some) {
        *out = box->ring[box->head];
        // An empty ring begins anew, in memory that is warm: going round it would touch all of it.
        box->head = --box->count ? (box->head + 1) % mailbox_places(box) : 0;
    }
    uv_mutex_unlock(&box->lock);
    return some;
}

static void mail_drop(struct mail *mail) {
    if (mail->data && mail->free_data)
        mail->free_data(mail->data);
}

// Any thread. What an eventfd's write may fail with is that it is readable already.
static void mailbox_wake(struct mailbox *box) {
    if (box->fd < 0)
        uv_async_send(&box->wake);
    else
        eventfd_write(box->fd, 1);
}

static void deliver(struct mailbox *box) {
    struct mail mail;
    // Bounded per wake, so that a busy sender cannot starve the loop's sockets.
    for (size_t n = 0; n < box->capacity; n++) {
        if (!mailbox_pop(box, &mail))
            return;
        box->on_mail(&mail, box->arg);
        mail_drop(&mail);
    }
    mailbox_wake(box);
}

static void on_wake(uv_async_t *wake) {
    deliver(wake->data);
}

// Without a loop: with an eventfd.
static int mailbox_wake_init(struct mailbox *box, uv_loop_t *loop) {
    box->fd = -1;
    if (loop) {
        box->wake.data = box;
        return uv_async_init(loop, &box->wake, on_wake);
    }
    box->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return box->fd < 0 ? -errno : 0;
}

int mailbox_new(struct mailbox **out, uv_loop_t *loop, size_t capacity, mailbox_fn *on_mail, void *arg) {
    struct mailbox *box = calloc(1, sizeof *box + 2 * capacity * sizeof box->ring[0]);
    if (!box)
        return -ENOMEM;
    box->capacity = capacity;
    box->on_mail = on_mail;
    box->arg = arg;
    int err = uv_mutex_init(&box->lock);
    if (err)
        goto out_free;
    err = mailbox_wake_init(box, loop);
    if (err)
        goto out_lock;
    *out = box;
    return 0;

out_lock:
    uv_mutex_destroy(&box->lock);
out_free:
    free(box);
    return err;
}

int mailbox_post(struct mailbox *box, struct mail mail) {
    int err = 0;
    uv_mutex_lock(&box->lock);
    if (box->closed)
        err = -EPIPE;
    else if (box->count >= (mail.vital ? mailbox_places(box) : box->capacity))
        err = -ENOSPC;
    if (!err) {
        box->ring[(box->head + box->count) % mailbox_places(box)] = mail;
        box->count++;
        // Inside the lock: after `closed` is set nobody may touch the handle any more.
        mailbox_wake(box);
    }
    uv_mutex_unlock(&box->lock);
    if (err)
        mail_drop(&mail);
    return err;
}

int mailbox_new_fd(struct mailbox **out, size_t capacity, mailbox_fn *on_mail, void *arg) {
    return mailbox_new(out, NULL, capacity, on_mail, arg);
}

int mailbox_fd(const struct mailbox *box) {
    return box->fd;
}

void mailbox_deliver(struct mailbox *box) {
    eventfd_t times;
    eventfd_read(box->fd, &times);
    deliver(box);
}

void mailbox_close(struct mailbox *box) {
    uv_mutex_lock(&box->lock);
    box->closed = true;
    uv_mutex_unlock(&box->lock);
    struct mail mail;
    while (mailbox_pop(box, &mail))
        mail_drop(&mail);
    if (box->fd < 0)
        uv_close((uv_handle_t *)&box->wake, NULL);
}

void mailbox_free(struct mailbox *box) {
    if (!box)
        return;
    if (box->fd >= 0)
        close(box->fd);
    uv_mutex_destroy(&box->lock);
    free(box);
}
