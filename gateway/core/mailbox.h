// SPDX-License-Identifier: Apache-2.0
// The only way from one thread to another: a bounded queue of small messages that wakes the receiver's libuv
// loop. Never used for audio. Messages arrive in the order each sender posted them.
#ifndef IQ_CORE_MAILBOX_H
#define IQ_CORE_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct mail {
    uint64_t to;               // handle of the object it is for, looked up by the receiver (see slot.h)
    uint32_t type;             // the two ends agree on the values
    void *data;                // owned by the message, may be NULL
    void (*free_data)(void *); // called once after delivery, or when it is dropped; may be NULL
    bool vital;                // may not be lost: has room of its own
};

// Runs on the receiver's thread. The mail and its data live until the function returns.
// To keep the data, take the pointer and set `mail->data` to NULL.
typedef void mailbox_fn(struct mail *mail, void *arg);

struct mailbox;

// On the thread that owns `loop`, before it runs or from inside it. `capacity` messages at most wait at a
// time, and as many again when these are vital: then only they are taken.
int mailbox_new(struct mailbox **out, uv_loop_t *loop, size_t capacity, mailbox_fn *on_mail, void *arg);

// The same for a thread whose loop is not libuv's: when mailbox_fd is readable, it calls mailbox_deliver. Any
// thread may create it.
int mailbox_new_fd(struct mailbox **out, size_t capacity, mailbox_fn *on_mail, void *arg);
int mailbox_fd(const struct mailbox *box);
void mailbox_deliver(struct mailbox *box);

// Any thread, while the mailbox is open. Takes over `mail.data` in every case: on failure it is freed at
// once. -ENOSPC when full, -EPIPE after mailbox_close.
int mailbox_post(struct mailbox *box, struct mail mail);

// Owner's thread. Drops what waits; later posts are refused. The memory
// stays until mailbox_free, which the owner calls when no other thread can post any more.
void mailbox_close(struct mailbox *box);
void mailbox_free(struct mailbox *box); // after mailbox_close and after the loop has run the close callbacks

#endif
