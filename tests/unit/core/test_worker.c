// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/worker.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAILS = 5000, WORKERS = 4 };

struct user {
    struct worker *worker; // as seen on its own thread
    pthread_t thread;
    int start_err, started, mails, ticks, stopped;
    struct tick tick;
    uv_timer_t timer; // something of the user's own on the loop
    uv_sem_t ticked;
};

static void on_tick(uint64_t deadline_us, void *arg) {
    struct user *user = arg;
    (void)deadline_us;
    assert_true(pthread_equal(user->thread, pthread_self()));
    if (++user->ticks == 3)
        uv_sem_post(&user->ticked);
}

static void on_timer(uv_timer_t *timer) {
    (void)timer;
}

static int on_start(struct worker *worker, void *arg) {
    struct user *user = arg;
    user->worker = worker;
    user->thread = pthread_self();
    user->started++;
    if (user->start_err)
        return user->start_err;
    user->tick = (struct tick){.on_tick = on_tick, .arg = user};
    uv_timer_init(worker_loop(worker), &user->timer);
    uv_timer_start(&user->timer, on_timer, 3600000, 0);
    return ticker_add(worker_ticker(worker), &user->tick, 5);
}

static void on_mail(struct mail *mail, void *arg) {
    struct user *user = arg;
    assert_true(pthread_equal(user->thread, pthread_self()));
    assert_int_equal(mail->type, 7);
    user->mails++;
}

static void on_stop(void *arg) {
    struct user *user = arg;
    user->stopped++;
    ticker_remove(worker_ticker(user->worker), &user->tick);
    uv_close((uv_handle_t *)&user->timer, NULL);
}

static const struct worker_ops ops = {.on_start = on_start, .on_mail = on_mail, .on_stop = on_stop};

static void everything_runs_on_its_thread(void **state) {
    (void)state;
    struct user users[WORKERS] = {0};
    struct worker *workers[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        uv_sem_init(&users[i].ticked, 0);
        assert_int_equal(worker_start(&workers[i], i, &ops, &users[i]), 0);
        assert_int_equal(worker_index(workers[i]), i);
        assert_false(pthread_equal(users[i].thread, pthread_self()));
    }
    for (int n = 0; n < MAILS; n++) {
        for (int i = 0; i < WORKERS; i++)
            assert_int_equal(
                worker_post(workers[i], (struct mail){.type = 7, .data = malloc(4), .free_data = free}), 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        uv_sem_wait(&users[i].ticked);
        worker_stop(workers[i]);
        worker_stop(workers[i]);
        worker_join(workers[i]);
        uv_sem_destroy(&users[i].ticked);
        // What was posted before the stop is delivered before it.
        assert_int_equal(users[i].mails, MAILS);
        assert_int_equal(users[i].stopped, 1);
    }
}

static void a_failed_start_is_returned(void **state) {
    (void)state;
    struct user user = {.start_err = -ENODEV};
    struct worker *worker = NULL;
    assert_int_equal(worker_start(&worker, 0, &ops, &user), -ENODEV);
    assert_null(worker);
    assert_int_equal(user.started, 1);
    assert_int_equal(user.stopped, 0);
}

static void *nice_of_child(void *arg) {
    *(int *)arg = getpriority(PRIO_PROCESS, (id_t)gettid());
    return NULL;
}

static void *give_way(void *arg) {
    int *nice = arg;
    pthread_t child;
    nice[0] = getpriority(PRIO_PROCESS, (id_t)gettid());
    worker_go_first();
    nice[1] = getpriority(PRIO_PROCESS, (id_t)gettid());
    assert_int_equal(pthread_create(&child, NULL, nice_of_child, &nice[2]), 0);
    pthread_join(child, NULL);
    return NULL;
}

// That thread and its children, and no other.
static void who_gives_way_is_nicer(void **state) {
    (void)state;
    pthread_t thread;
    int nice[3] = {0}, own = getpriority(PRIO_PROCESS, (id_t)gettid());
    assert_int_equal(pthread_create(&thread, NULL, give_way, nice), 0);
    pthread_join(thread, NULL);
    assert_true(nice[1] > nice[0] || nice[0] == 19);
    assert_int_equal(nice[2], nice[1]);
    assert_int_equal(getpriority(PRIO_PROCESS, (id_t)gettid()), own);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_runs_on_its_thread),
        cmocka_unit_test(a_failed_start_is_returned),
        cmocka_unit_test(who_gives_way_is_nicer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
