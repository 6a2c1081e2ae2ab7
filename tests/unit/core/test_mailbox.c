// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/mailbox.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SENDERS = 4, EACH = 2000, CAPACITY = 16 };

struct receiver {
    uv_loop_t loop;
    struct mailbox *box;
    uint32_t last[SENDERS]; // type of the last mail of each sender
    uint64_t got;
    uint64_t want; // closes the box when so many have come
    bool keep;
    void *kept;
};

static _Atomic int freed;

static void count_free(void *data) {
    atomic_fetch_add(&freed, 1);
    free(data);
}

static void on_mail(struct mail *mail, void *arg) {
    struct receiver *r = arg;
    assert_true(mail->to < SENDERS);
    assert_int_equal(mail->type, r->last[mail->to] + 1);
    r->last[mail->to] = mail->type;
    if (r->keep) {
        r->kept = mail->data;
        mail->data = NULL;
    }
    if (++r->got == r->want)
        mailbox_close(r->box);
}

static void set_up(struct receiver *r, uint64_t want) {
    *r = (struct receiver){.want = want};
    atomic_store(&freed, 0);
    assert_int_equal(uv_loop_init(&r->loop), 0);
    assert_int_equal(mailbox_new(&r->box, &r->loop, CAPACITY, on_mail, r), 0);
}

static void tear_down(struct receiver *r) {
    uv_run(&r->loop, UV_RUN_DEFAULT);
    mailbox_free(r->box);
    assert_int_equal(uv_loop_close(&r->loop), 0);
}

static struct mail mail_of(uint64_t to, uint32_t type) {
    return (struct mail){.to = to, .type = type, .data = malloc(8), .free_data = count_free};
}

static void mails_arrive_in_order_and_are_freed_once(void **state) {
    (void)state;
    struct receiver r;
    set_up(&r, 5);
    for (uint32_t i = 1; i <= 5; i++)
        assert_int_equal(mailbox_post(r.box, mail_of(0, i)), 0);
    tear_down(&r);
    assert_int_equal(r.got, 5);
    assert_int_equal(atomic_load(&freed), 5);
}

static void a_full_box_refuses_and_frees(void **state) {
    (void)state;
    struct receiver r;
    set_up(&r, CAPACITY);
    for (uint32_t i = 1; i <= CAPACITY; i++)
        assert_int_equal(mailbox_post(r.box, mail_of(0, i)), 0);
    assert_int_equal(mailbox_post(r.box, mail_of(0, 99)), -ENOSPC);
    assert_int_equal(atomic_load(&freed), 1);
    tear_down(&r);
    assert_int_equal(r.got, CAPACITY);
    assert_int_equal(atomic_load(&freed), CAPACITY + 1);
}

static void vital_mail_fits_into_a_full_box(void **state) {
    (void)state;
    struct receiver r;
    set_up(&r, 2 * CAPACITY);
    uint32_t type = 1;
    for (; type <= CAPACITY; type++)
        assert_int_equal(mailbox_post(r.box, mail_of(0, type)), 0);
    for (; type <= 2 * CAPACITY; type++) {
        struct mail mail = mail_of(0, type);
        mail.vital = true;
        assert_int_equal(mailbox_post(r.box, mail), 0);
    }
    assert_int_equal(mailbox_post(r.box, mail_of(0, 99)), -ENOSPC);
    struct mail mail = mail_of(0, 99);
    mail.vital = true;
    assert_int_equal(mailbox_post(r.box, mail), -ENOSPC);
    tear_down(&r);
    assert_int_equal(r.got, 2 * CAPACITY);
    assert_int_equal(atomic_load(&freed), 2 * CAPACITY + 2);
}

static void a_closed_box_drops_what_waits_and_refuses(void **state) {
    (void)state;
    struct receiver r;
    set_up(&r, 0);
    assert_int_equal(mailbox_post(r.box, mail_of(0, 1)), 0);
    mailbox_close(r.box);
    assert_int_equal(atomic_load(&freed), 1);
    assert_int_equal(mailbox_post(r.box, mail_of(0, 2)), -EPIPE);
    assert_int_equal(atomic_load(&freed), 2);
    tear_down(&r);
    assert_int_equal(r.got, 0);
    mailbox_free(NULL);
}

static void a_receiver_may_keep_the_data(void **state) {
    (void)state;
    struct receiver r;
    set_up(&r, 1);
    r.keep = true;
    assert_int_equal(mailbox_post(r.box, mail_of(0, 1)), 0);
    tear_down(&r);
    assert_int_equal(atomic_load(&freed), 0);
    assert_non_null(r.kept);
    free(r.kept);
}

struct sender {
    struct receiver *receiver;
    uint64_t index;
};

static void send_all(void *arg) {
    struct sender *sender = arg;
    for (uint32_t i = 1; i <= EACH; i++) {
        while (mailbox_post(sender->receiver->box, mail_of(sender->index, i)) == -ENOSPC)
            sched_yield(); // lets the receiver run; it must not lose what was accepted
    }
}

static void many_threads_keep_each_ones_order(void **state) {
    (void)state;
    struct receiver r;
    set_up(&r, (uint64_t)SENDERS * EACH);
    uv_thread_t threads[SENDERS];
    struct sender senders[SENDERS];
    for (uint64_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.receiver = &r, .index = i};
        assert_int_equal(uv_thread_create(&threads[i], send_all, &senders[i]), 0);
    }
    uv_run(&r.loop, UV_RUN_DEFAULT);
    for (int i = 0; i < SENDERS; i++)
        uv_thread_join(&threads[i]);
    assert_int_equal(r.got, (uint64_t)SENDERS * EACH);
    assert_true(atomic_load(&freed) >= SENDERS * EACH);
    tear_down(&r);
}

static void an_eventfd_wakes_a_loop_that_is_not_libuv(void **state) {
    (void)state;
    struct receiver r = {.want = (uint64_t)SENDERS * EACH};
    atomic_store(&freed, 0);
    assert_int_equal(mailbox_new_fd(&r.box, CAPACITY, on_mail, &r), 0);
    struct pollfd fd = {.fd = mailbox_fd(r.box), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 0), 0);
    uv_thread_t threads[SENDERS];
    struct sender senders[SENDERS];
    for (uint64_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.receiver = &r, .index = i};
        assert_int_equal(uv_thread_create(&threads[i], send_all, &senders[i]), 0);
    }
    while (r.got < r.want) {
        assert_int_equal(poll(&fd, 1, 30000), 1);
        mailbox_deliver(r.box);
    }
    for (int i = 0; i < SENDERS; i++)
        uv_thread_join(&threads[i]);
    assert_int_equal(mailbox_post(r.box, mail_of(0, 1)), -EPIPE); // on_mail has closed it
    mailbox_free(r.box);
}

static void more_than_one_wake_delivers_wakes_again(void **state) {
    (void)state;
    struct receiver r = {.want = 2 * CAPACITY};
    assert_int_equal(mailbox_new_fd(&r.box, CAPACITY, on_mail, &r), 0);
    for (uint32_t type = 1; type <= 2 * CAPACITY; type++) {
        struct mail mail = mail_of(0, type);
        mail.vital = true;
        assert_int_equal(mailbox_post(r.box, mail), 0);
    }
    struct pollfd fd = {.fd = mailbox_fd(r.box), .events = POLLIN};
    for (uint64_t round = 1; round <= 2; round++) {
        assert_int_equal(poll(&fd, 1, 0), 1);
        mailbox_deliver(r.box);
        assert_int_equal(r.got, round * CAPACITY);
    }
    mailbox_free(r.box);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mails_arrive_in_order_and_are_freed_once),
        cmocka_unit_test(a_full_box_refuses_and_frees),
        cmocka_unit_test(vital_mail_fits_into_a_full_box),
        cmocka_unit_test(a_closed_box_drops_what_waits_and_refuses),
        cmocka_unit_test(a_receiver_may_keep_the_data),
        cmocka_unit_test(many_threads_keep_each_ones_order),
        cmocka_unit_test(an_eventfd_wakes_a_loop_that_is_not_libuv),
        cmocka_unit_test(more_than_one_wake_delivers_wakes_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
