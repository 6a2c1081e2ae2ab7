// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

enum { THREADS = 8, ADDS = 20000 };

static void add_many(void *arg) {
    (void)arg;
    for (int i = 0; i < ADDS; i++) {
        metric_add(METRIC_RTP_IN, 1);
        metric_add(METRIC_CALLS, i % 2 ? -1 : 1);
    }
}

static void counts_of_all_threads_add_up(void **state) {
    (void)state;
    int64_t before = metric_read(METRIC_RTP_IN);
    int64_t gauge = metric_read(METRIC_CALLS);
    uv_thread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(uv_thread_create(&threads[i], add_many, NULL), 0);
    // Reading while others add is allowed; the sum only ever grows.
    int64_t during = metric_read(METRIC_RTP_IN);
    assert_true(during >= before);
    for (int i = 0; i < THREADS; i++)
        uv_thread_join(&threads[i]);
    assert_int_equal(metric_read(METRIC_RTP_IN) - before, THREADS * ADDS);
    assert_int_equal(metric_read(METRIC_CALLS), gauge);
}

static void more_threads_than_shards_lose_nothing(void **state) {
    (void)state;
    int64_t before = metric_read(METRIC_RTP_IN);
    for (int round = 0; round < 12; round++) {
        uv_thread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(uv_thread_create(&threads[i], add_many, NULL), 0);
        for (int i = 0; i < THREADS; i++)
            uv_thread_join(&threads[i]);
    }
    assert_int_equal(metric_read(METRIC_RTP_IN) - before, 12 * THREADS * ADDS);
}

static size_t occurrences(const char *text, const char *part) {
    size_t n = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        n++;
    return n;
}

static void text_is_prometheus(void **state) {
    (void)state;
    metric_add(METRIC_SESSION_OK, 3);
    size_t len = 0;
    char *text = metrics_text(&len, NULL, NULL);
    assert_non_null(text);
    assert_int_equal(strlen(text), len);
    assert_int_equal(occurrences(text, "# TYPE iqra_session_requests_total counter\n"), 1);
    assert_int_equal(occurrences(text, "# HELP iqra_session_requests_total "), 1);
    assert_non_null(strstr(text, "\niqra_session_requests_total{outcome=\"admitted\"} 3\n"));
    assert_non_null(strstr(text, "# TYPE iqra_calls gauge\niqra_calls "));
    assert_int_equal(text[len - 1], '\n');
    free(text);
}

static void observe_many(void *arg) {
    (void)arg;
    for (int i = 0; i < ADDS; i++)
        metric_observe(HISTOGRAM_PLATFORM, 1500000);
}

static uint64_t value_after(const char *text, const char *line) {
    const char *at = strstr(text, line);
    assert_non_null(at);
    return strtoull(at + strlen(line), NULL, 10);
}

// First bound 1 ms, sixteen of them: 0 and 1 ms are within the first, and 40 s is beyond the last.
static void histograms_are_cumulative(void **state) {
    (void)state;
    static const uint64_t observed_ns[] = {0, 1000000, 1000001, 2000000, 2000001, 32768000000, 32768000001};
    size_t len = 0;
    for (size_t i = 0; i < sizeof observed_ns / sizeof observed_ns[0]; i++)
        metric_observe(HISTOGRAM_QUEUE_WAIT, observed_ns[i] * 100);
    metric_observe(HISTOGRAM_STAGE_SEND, 300);
    char *text = metrics_text(&len, NULL, NULL);
    assert_int_equal(occurrences(text, "# TYPE iqra_queue_wait_seconds histogram\n"), 1);
    assert_int_equal(value_after(text, "\niqra_queue_wait_seconds_bucket{le=\"0.1\"} "), 2);
    assert_int_equal(value_after(text, "\niqra_queue_wait_seconds_bucket{le=\"0.2\"} "), 4);
    assert_int_equal(value_after(text, "\niqra_queue_wait_seconds_bucket{le=\"0.4\"} "), 5);
    assert_int_equal(value_after(text, "\niqra_queue_wait_seconds_bucket{le=\"3276.8\"} "), 6);
    assert_int_equal(value_after(text, "\niqra_queue_wait_seconds_bucket{le=\"+Inf\"} "), 7);
    assert_int_equal(value_after(text, "\niqra_queue_wait_seconds_count "), 7);
    assert_non_null(strstr(text, "\niqra_queue_wait_seconds_sum 6554.200000300\n"));
    assert_int_equal(occurrences(text, "# TYPE iqra_stage_seconds histogram\n"), 1);
    assert_int_equal(value_after(text, "\niqra_stage_seconds_bucket{stage=\"send\",le=\"2.5e-07\"} "), 0);
    assert_int_equal(value_after(text, "\niqra_stage_seconds_bucket{stage=\"send\",le=\"5e-07\"} "), 1);
    assert_int_equal(value_after(text, "\niqra_stage_seconds_count{stage=\"send\"} "), 1);
    free(text);
}

static void histograms_of_all_threads_add_up(void **state) {
    (void)state;
    uint64_t before = histogram_count(HISTOGRAM_PLATFORM);
    uv_thread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(uv_thread_create(&threads[i], observe_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        uv_thread_join(&threads[i]);
    assert_int_equal(histogram_count(HISTOGRAM_PLATFORM) - before, THREADS * ADDS);
}

static void one_run_of_a_stage_in_many_is_measured(void **state) {
    (void)state;
    uint64_t before = histogram_count(HISTOGRAM_STAGE_DECODE),
             other = histogram_count(HISTOGRAM_STAGE_ENCODE);
    for (int i = 0; i < 5 * STAGE_SAMPLE; i++)
        stage_end(HISTOGRAM_STAGE_DECODE, stage_begin(HISTOGRAM_STAGE_DECODE));
    assert_int_equal(histogram_count(HISTOGRAM_STAGE_DECODE) - before, 5);
    assert_int_equal(histogram_count(HISTOGRAM_STAGE_ENCODE), other);
}

// Prometheus refuses a page where the samples of one name do not stand together.
static void entries_of_one_name_stand_together(void **state) {
    (void)state;
    static const char *const names[] = {
#define METRIC(id, type, name, labels, help) name,
#include "gateway/core/metrics_table.h"
#undef METRIC
    };
    for (size_t i = 1; i < METRIC_COUNT; i++) {
        if (strcmp(names[i], names[i - 1]) == 0)
            continue;
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(names[i], names[j]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_of_all_threads_add_up),
        cmocka_unit_test(more_threads_than_shards_lose_nothing),
        cmocka_unit_test(text_is_prometheus),
        cmocka_unit_test(histograms_are_cumulative),
        cmocka_unit_test(histograms_of_all_threads_add_up),
        cmocka_unit_test(one_run_of_a_stage_in_many_is_measured),
        cmocka_unit_test(entries_of_one_name_stand_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
