// SPDX-License-Identifier: Apache-2.0
// What a node says of its load, for figures that its workers would have told; and one meter on a real loop.
#include "gateway/core/metrics.h"
#include "gateway/load_cost.h"
#include "gateway/load_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WORKERS = 2 };

static struct {
    uv_loop_t loop;
    struct conf *conf;
    struct load_watch *watch;
    unsigned changes;
    uint32_t calls;
} f;

static void on_change(void *arg) {
    (void)arg;
    f.changes++;
}

static struct conf *parse(const char *gateway, const char *agent, const char *rest) {
    char text[1024];
    struct conf *conf;
    int len = snprintf(text, sizeof text, "{\"Gateway\":{%s},\"Agent\":{\"Builtin\":\"echo\",%s}%s}", gateway,
                       agent, rest);
    assert_int_equal(conf_parse(&conf, "test", text, (size_t)len, NULL, &(struct conf_report){.out = stderr}),
                     0);
    return conf;
}

static void start(const char *gateway) {
    memset(&f, 0, sizeof f);
    uv_loop_init(&f.loop);
    f.conf = parse(gateway, "\"Encoding\":\"PCM\"", "");
    const struct load_watch_config config = {
        .loop = &f.loop, .conf = f.conf, .worker_count = WORKERS, .on_change = on_change};
    assert_int_equal(load_watch_new(&f.watch, &config), 0);
    load_watch_start(f.watch);
}

static void finish(void) {
    load_watch_close(f.watch);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    load_watch_free(f.watch);
    conf_free(f.conf);
    assert_int_equal(uv_loop_close(&f.loop), 0);
}

static void worker_says(size_t index, uint32_t calls, uint32_t capacity, enum load_reason reason) {
    struct load_gauge *gauge = load_watch_gauge(f.watch, index);
    gauge->calls = calls;
    gauge->capacity = capacity;
    gauge->reason = reason;
}

static void room_is_what_the_workers_hold(void **state) {
    (void)state;
    start("\"MaxCalls\":0");
    worker_says(0, 10, 100, LOAD_OK);
    worker_says(1, 20, 150, LOAD_OK);
    assert_int_equal(load_watch_room(f.watch, 30), 220);
    assert_int_equal(load_watch_room(f.watch, 250), 0);
    assert_int_equal(load_watch_room(f.watch, 300), 0);
    finish();
}

static void one_worker_at_ease_is_enough(void **state) {
    (void)state;
    start("\"MaxCalls\":0");
    worker_says(0, 90, 100, LOAD_LATE);
    worker_says(1, 20, 150, LOAD_OK);
    assert_true(load_watch_worker_refuses(f.watch, 0));
    assert_false(load_watch_worker_refuses(f.watch, 1));
    assert_null(load_watch_refuses(f.watch));
    assert_int_equal(load_watch_room(f.watch, 110), 130);
    worker_says(1, 20, 150, LOAD_BUSY);
    assert_string_equal(load_watch_refuses(f.watch), "the processor is busy");
    assert_int_equal(load_watch_room(f.watch, 110), 0);
    assert_int_equal(load_watch_room(f.watch, 0), 0);
    finish();
}

static void the_operators_limit_is_kept_and_load_refuses_all_the_same(void **state) {
    (void)state;
    start("\"MaxCalls\":7");
    worker_says(0, 5, 100, LOAD_OK);
    worker_says(1, 0, 100, LOAD_OK);
    assert_int_equal(load_watch_room(f.watch, 5), 2);
    worker_says(0, 5, 100, LOAD_LATE);
    worker_says(1, 0, 100, LOAD_LATE);
    assert_string_equal(load_watch_refuses(f.watch), "media runs late");
    assert_int_equal(load_watch_room(f.watch, 5), 0);
    finish();
}

static void a_change_is_told_once_each_way(void **state) {
    (void)state;
    start("\"MaxCalls\":0");
    for (size_t i = 0; i < WORKERS; i++)
        worker_says(i, 5, 100, LOAD_LATE);
    while (f.changes < 1)
        uv_run(&f.loop, UV_RUN_ONCE);
    uint64_t lags = histogram_count(HISTOGRAM_LAG_CTL);
    while (histogram_count(HISTOGRAM_LAG_CTL) < lags + 2)
        uv_run(&f.loop, UV_RUN_ONCE);
    assert_int_equal(f.changes, 1);
    worker_says(1, 5, 100, LOAD_OK);
    while (f.changes < 2)
        uv_run(&f.loop, UV_RUN_ONCE);
    finish();
}

static void figures_are_told_by_worker(void **state) {
    (void)state;
    char *text = NULL;
    size_t len = 0;
    start("\"MaxCalls\":0");
    worker_says(0, 10, 100, LOAD_OK);
    worker_says(1, 20, 150, LOAD_OK);
    load_watch_gauge(f.watch, 1)->late_us = 1250;
    load_watch_gauge(f.watch, 1)->complexity = 3;
    load_watch_gauge(f.watch, 0)->busy_permille = 345;
    FILE *out = open_memstream(&text, &len);
    load_watch_metrics(f.watch, out);
    fclose(out);
    assert_non_null(strstr(text, "# TYPE iqra_worker_calls gauge\niqra_worker_calls{worker=\"0\"} 10\n"
                                 "iqra_worker_calls{worker=\"1\"} 20\n"));
    assert_non_null(strstr(text, "\niqra_worker_busy_ratio{worker=\"0\"} 0.345\n"));
    assert_non_null(strstr(text, "\niqra_worker_late_seconds{worker=\"1\"} 0.00125\n"));
    assert_non_null(strstr(text, "\niqra_opus_complexity{worker=\"1\"} 3\n"));
    assert_non_null(strstr(text, "\niqra_calls_capacity 250\n"));
    assert_non_null(strstr(text, "\niqra_overloaded 0\n"));
    free(text);
    finish();
}

// ---- a meter

static uint32_t count_calls(void *arg) {
    (void)arg;
    return f.calls;
}

static void on_tick(uint64_t deadline_us, void *arg) {
    (void)arg;
    while (ticker_now_us() < deadline_us + 30000)
        ;
}

// Ticks that take longer than their period: the worker is a core busy, and late.
static void a_worker_that_cannot_keep_up_is_seen(void **state) {
    (void)state;
    struct ticker *ticker;
    struct load_meter meter;
    struct tick tick = {.on_tick = on_tick};
    start("\"OverloadLateMs\":10");
    f.calls = 3;
    assert_int_equal(ticker_new(&ticker, &f.loop), 0);
    struct load_meter_config config = {.loop = &f.loop,
                                       .ticker = ticker,
                                       .cores = 1,
                                       .gauge = load_watch_gauge(f.watch, 0),
                                       .calls = count_calls};
    load_watch_limits(f.watch, &config.limits);
    load_meter_start(&meter, &config);
    assert_int_equal(meter.complexity, 5);
    assert_int_equal(ticker_add(ticker, &tick, 20), 0);
    while (config.gauge->reason == LOAD_OK)
        uv_run(&f.loop, UV_RUN_ONCE);
    assert_int_equal(config.gauge->calls, 3);
    assert_true(config.gauge->busy_permille > 0);
    assert_int_equal(meter.complexity, 0);
    assert_int_equal(config.gauge->complexity, 0);
    ticker_remove(ticker, &tick);
    ticker_close(ticker);
    load_meter_close(&meter);
    finish();
}

// ---- the table

static uint32_t per_core(const char *agent, const char *rest) {
    struct conf *conf = parse("", agent, rest);
    uint32_t calls = load_calls_per_core(conf, 85);
    conf_free(conf);
    return calls;
}

#define CAMPAIGN                                                                                             \
    ",\"VoiceAiPlatform\":{\"Campaigns\":{\"camp\":{\"BusinessId\":\"1\",\"WebCampaignId\":\"w\","           \
    "\"AllowedRegionIds\":[\"EU-DE\"]}}}"
#define NUMBER                                                                                               \
    ",\"Businesses\":{\"1\":{\"Numbers\":{\"abc\":{\"Number\":\"+49302\",\"RouteId\":\"r\","                 \
    "\"RegionId\":\"EU-DE\",\"CampaignId\":\"camp\"}}}},\"Regions\":{\"EU-DE\":{}}"

static void the_dearest_kind_of_call_counts(void **state) {
    (void)state;
    uint32_t coded = per_core("\"Encoding\":\"PCM\"", CAMPAIGN);
    uint32_t passed = per_core("\"Encoding\":\"OPUS\",\"SampleRate\":48000", CAMPAIGN);
    assert_int_equal(coded, 17000 / load_cost_browser_us(CONF_PCM));
    assert_int_equal(passed, 17000 / load_cost_browser_us(CONF_OPUS));
    assert_true(passed > coded);
    // Telephones are cheap, and browsers may come as well.
    assert_int_equal(per_core("\"Encoding\":\"PCM\"", CAMPAIGN NUMBER), coded);
    assert_int_equal(per_core("\"Encoding\":\"OPUS\",\"SampleRate\":48000", CAMPAIGN NUMBER),
                     17000 / load_cost_trunk_us("PCMU", CONF_OPUS));
}

static void costs_follow_the_codecs(void **state) {
    (void)state;
    assert_true(load_cost_trunk_us("PCMA", CONF_ALAW) < load_cost_trunk_us("PCMA", CONF_PCM));
    assert_true(load_cost_trunk_us("PCMU", CONF_PCM) < load_cost_trunk_us("G722", CONF_PCM));
    assert_true(load_cost_trunk_us("G722", CONF_PCM) < load_cost_trunk_us("OPUS", CONF_PCM));
    assert_true(load_cost_trunk_us("OPUS", CONF_OPUS) == load_cost_trunk_us("PCMU", CONF_MULAW));
}

static void a_quota_is_whole_cores(void **state) {
    (void)state;
    assert_int_equal(load_cores_quota("max 100000\n"), 0);
    assert_int_equal(load_cores_quota("250000 100000\n"), 2);
    assert_int_equal(load_cores_quota("50000 100000\n"), 1);
    assert_int_equal(load_cores_quota(""), 0);
    assert_int_equal(load_cores_quota("100000 0"), 0);
    assert_true(load_cores() >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_is_what_the_workers_hold),
        cmocka_unit_test(one_worker_at_ease_is_enough),
        cmocka_unit_test(the_operators_limit_is_kept_and_load_refuses_all_the_same),
        cmocka_unit_test(a_change_is_told_once_each_way),
        cmocka_unit_test(figures_are_told_by_worker),
        cmocka_unit_test(a_worker_that_cannot_keep_up_is_seen),
        cmocka_unit_test(the_dearest_kind_of_call_counts),
        cmocka_unit_test(costs_follow_the_codecs),
        cmocka_unit_test(a_quota_is_whole_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
