// SPDX-License-Identifier: Apache-2.0
// The list of live calls, made of one session and what two workers, stand-ins both, say or do not say.
#include "gateway/live.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct {
    uv_loop_t loop;
    struct live *live;
    struct media_worker *workers[2];
    uint64_t asked[2 * LIVE_MAX_REQUESTS + 2];
    unsigned asked_count;
    int worker_err;
    unsigned status, replies;
    json_t *body;
} f;

int media_worker_snapshot(struct media_worker *worker, uint64_t request) {
    (void)worker;
    f.asked[f.asked_count++] = request;
    return f.worker_err;
}

json_t *sessions_list(const struct sessions *sessions, sessions_more_fn *more, void *arg) {
    (void)sessions;
    json_t *list = json_array(), *item = json_object();
    more(7, item, arg);
    json_array_append_new(list, item);
    return list;
}

void http_reply_json(struct http_exchange *exchange, unsigned status, const char *json) {
    (void)exchange;
    f.replies++;
    f.status = status;
    json_decref(f.body);
    f.body = json_loads(json, 0, NULL);
}

void http_reply_message(struct http_exchange *exchange, unsigned status, const char *message) {
    (void)exchange;
    (void)message;
    f.replies++;
    f.status = status;
}

static int set_up(void **state) {
    (void)state;
    memset(&f, 0, sizeof f);
    uv_loop_init(&f.loop);
    const struct live_config config = {.loop = &f.loop, .workers = f.workers, .worker_count = 2};
    return live_new(&f.live, &config);
}

static int tear_down(void **state) {
    (void)state;
    live_close(f.live);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    live_free(f.live);
    json_decref(f.body);
    return uv_loop_close(&f.loop);
}

static void worker_says(uint64_t request, uint64_t handle) {
    struct media_snapshot *snapshot = NULL;
    if (handle) {
        snapshot = calloc(1, sizeof *snapshot + sizeof snapshot->items[0]);
        snapshot->count = 1;
        snapshot->items[0].handle = handle;
        snapshot->items[0].figures = (struct call_figures){.up = true,
                                                           .media = {.codec = CODEC_G722, .ptime_ms = 20},
                                                           .rtp = {.rx_packets = 50, .jitter_us = 1500},
                                                           .mos = {.heard = 4.321, .sent = 4.4}};
    }
    struct mail mail = {.to = request, .type = WORKER_SNAPSHOT, .data = snapshot, .free_data = free};
    live_mail(f.live, &mail);
    free(mail.data);
}

static const json_t *member(const char *name) {
    return json_object_get(json_object_get(json_array_get(f.body, 0), "media"), name);
}

static void the_figures_of_all_workers_are_joined(void **state) {
    (void)state;
    live_list(f.live, NULL);
    assert_int_equal(f.asked_count, 2);
    worker_says(f.asked[0], 3);
    assert_int_equal(f.replies, 0);
    worker_says(f.asked[1], 7);
    assert_int_equal(f.status, 200);
    assert_string_equal(json_string_value(member("codec")), "G722");
    assert_int_equal(json_integer_value(member("packetsIn")), 50);
    assert_true(json_real_value(member("jitterMs")) == 1.5);
    assert_true(json_real_value(member("mosHeard")) == 4.32);
    worker_says(f.asked[1], 7); // nobody waits
    assert_int_equal(f.replies, 1);
}

static void a_worker_without_memory_does_not_stop_the_list(void **state) {
    (void)state;
    live_list(f.live, NULL);
    worker_says(f.asked[0], 0);
    worker_says(f.asked[1], 0);
    assert_int_equal(f.status, 200);
    assert_null(member("codec"));
}

static void workers_that_take_no_mail_are_not_waited_for(void **state) {
    (void)state;
    f.worker_err = -ENOSPC;
    live_list(f.live, NULL);
    assert_int_equal(f.status, 200);
}

static void a_late_worker_is_left_out(void **state) {
    (void)state;
    live_list(f.live, NULL);
    worker_says(f.asked[0], 7);
    while (!f.replies)
        uv_run(&f.loop, UV_RUN_ONCE);
    assert_int_equal(f.status, 200);
    assert_string_equal(json_string_value(member("codec")), "G722");
}

static void requests_are_bounded_and_answered_at_the_end(void **state) {
    (void)state;
    for (int i = 0; i < LIVE_MAX_REQUESTS; i++)
        live_list(f.live, NULL);
    assert_int_equal(f.replies, 0);
    live_list(f.live, NULL);
    assert_int_equal(f.status, 503);
    live_close(f.live);
    assert_int_equal(f.replies, LIVE_MAX_REQUESTS + 1);
    live_list(f.live, NULL);
    assert_int_equal(f.status, 503);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    live_free(f.live);
    const struct live_config config = {.loop = &f.loop};
    assert_int_equal(live_new(&f.live, &config), 0);
}

int main(void) {
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        RULE(the_figures_of_all_workers_are_joined),
        RULE(a_worker_without_memory_does_not_stop_the_list),
        RULE(workers_that_take_no_mail_are_not_waited_for),
        RULE(a_late_worker_is_left_out),
        RULE(requests_are_bounded_and_answered_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
