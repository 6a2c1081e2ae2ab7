// SPDX-License-Identifier: Apache-2.0
#include "gateway/load_watch.h"

#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "gateway/load_cost.h"

#include <stdlib.h>

struct load_watch {
    struct load_watch_config config;
    struct load_limits limits; // of a worker
    uint32_t max_calls;        // Gateway.MaxCalls, 0 = found
    unsigned cores;
    uv_timer_t timer;
    uint64_t at_us;   // of the timer's last turn
    const char *said; // what load_watch_refuses was then
    struct load_gauge gauges[];
};

static uint32_t read_gauge(const _Atomic uint32_t *value) {
    return atomic_load_explicit(value, memory_order_relaxed);
}

// ---- asked

bool load_watch_worker_refuses(const struct load_watch *watch, size_t index) {
    return read_gauge(&watch->gauges[index].reason) != LOAD_OK;
}

// While one worker is at ease, calls go there.
const char *load_watch_refuses(const struct load_watch *watch) {
    static const char *const reasons[] = {
        [LOAD_OK] = NULL, [LOAD_BUSY] = "the processor is busy", [LOAD_LATE] = "media runs late"};
    uint32_t reason = LOAD_OK;
    for (size_t i = 0; i < watch->config.worker_count; i++) {
        reason = read_gauge(&watch->gauges[i].reason);
        if (reason == LOAD_OK)
            break;
    }
    return reasons[reason];
}

static uint32_t capacity_of(const struct load_watch *watch) {
    uint64_t sum = 0;
    if (watch->max_calls)
        return watch->max_calls;
    for (size_t i = 0; i < watch->config.worker_count; i++) {
        const struct load_gauge *gauge = &watch->gauges[i];
        sum += load_watch_worker_refuses(watch, i) ? read_gauge(&gauge->calls) : read_gauge(&gauge->capacity);
    }
    return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

uint32_t load_watch_room(const struct load_watch *watch, uint32_t held) {
    uint32_t capacity = capacity_of(watch);
    return capacity > held && !load_watch_refuses(watch) ? capacity - held : 0;
}

struct load_gauge *load_watch_gauge(struct load_watch *watch, size_t index) {
    return &watch->gauges[index];
}

void load_watch_limits(const struct load_watch *watch, struct load_limits *out) {
    *out = watch->limits;
}

unsigned load_watch_cores(const struct load_watch *watch) {
    return watch->cores;
}

// ---- told

void load_watch_metrics(const struct load_watch *watch, FILE *out) {
    static const struct {
        const char *name, *help;
        size_t at;
        double unit;
    } figures[] = {
        {"iqra_worker_calls", "Calls of a worker", offsetof(struct load_gauge, calls), 1},
        {"iqra_worker_busy_ratio",
         "A worker's share of a core, or the program's of its cores if that is more",
         offsetof(struct load_gauge, busy_permille), 1e-3},
        {"iqra_worker_late_seconds", "99 of 100 media ticks of the last quarter second were less late",
         offsetof(struct load_gauge, late_us), 1e-6},
        {"iqra_worker_capacity", "Calls that a worker is taken to hold",
         offsetof(struct load_gauge, capacity), 1},
        {"iqra_opus_complexity", "Complexity of a worker's Opus encoders",
         offsetof(struct load_gauge, complexity), 1},
    };
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        const char *name = figures[i].name;
        fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, figures[i].help, name);
        for (size_t w = 0; w < watch->config.worker_count; w++) {
            const char *gauge = (const char *)&watch->gauges[w];
            uint32_t value = read_gauge((const _Atomic uint32_t *)(const void *)(gauge + figures[i].at));
            fprintf(out, "%s{worker=\"%zu\"} %.6g\n", name, w, value * figures[i].unit);
        }
    }
    fprintf(out,
            "# HELP iqra_calls_capacity Calls this node is taken to hold\n# TYPE iqra_calls_capacity gauge\n"
            "iqra_calls_capacity %u\n"
            "# HELP iqra_overloaded 1 while new calls are refused for load\n# TYPE iqra_overloaded gauge\n"
            "iqra_overloaded %d\n",
            capacity_of(watch), load_watch_refuses(watch) != NULL);
}

static void say(const struct load_watch *watch, const char *reason) {
    uint32_t calls = 0, busy = 0, late_us = 0;
    for (size_t i = 0; i < watch->config.worker_count; i++) {
        const struct load_gauge *gauge = &watch->gauges[i];
        calls += read_gauge(&gauge->calls);
        busy = read_gauge(&gauge->busy_permille) > busy ? read_gauge(&gauge->busy_permille) : busy;
        late_us = read_gauge(&gauge->late_us) > late_us ? read_gauge(&gauge->late_us) : late_us;
    }
    if (reason)
        log_warn(NULL, "load",
                 "overloaded, new calls are refused: %s (%u calls, busy %u %%, ticks %u us late)", reason,
                 calls, busy / 10, late_us);
    else
        log_info(NULL, "load", "at ease again, new calls are taken (%u calls, busy %u %%)", calls, busy / 10);
}

static void on_timer(uv_timer_t *timer) {
    struct load_watch *watch = timer->data;
    uint64_t now_us = ticker_now_us(), due_us = watch->at_us + LOAD_WINDOW_MS * 1000;
    metric_observe(HISTOGRAM_LAG_CTL, now_us > due_us ? (now_us - due_us) * 1000 : 0);
    watch->at_us = now_us;
    const char *reason = load_watch_refuses(watch);
    bool changed = (reason == NULL) != (watch->said == NULL);
    watch->said = reason;
    if (!changed)
        return;
    say(watch, reason);
    watch->config.on_change(watch->config.arg);
}

// ---- the whole

int load_watch_new(struct load_watch **out, const struct load_watch_config *config) {
    struct load_watch *watch = calloc(1, sizeof *watch + config->worker_count * sizeof watch->gauges[0]);
    if (!watch)
        return -ENOMEM;
    const struct conf *conf = config->conf;
    watch->config = *config;
    watch->config.conf = NULL;
    watch->max_calls = (uint32_t)conf->gateway.max_calls;
    watch->cores = load_cores();
    watch->limits = (struct load_limits){.busy_percent = (uint32_t)conf->gateway.overload_cpu_percent,
                                         .late_us = (uint32_t)conf->gateway.overload_late_ms * 1000};
    uint32_t per_core = load_calls_per_core(conf, watch->limits.busy_percent);
    uint64_t share =
        (uint64_t)per_core * watch->cores / config->worker_count; // of a worker, if there are many
    watch->limits.calls_assumed = share < per_core ? (uint32_t)share : per_core;
    for (size_t i = 0; i < config->worker_count; i++)
        atomic_store(&watch->gauges[i].capacity, watch->limits.calls_assumed);
    uv_timer_init(config->loop, &watch->timer);
    watch->timer.data = watch;
    *out = watch;
    return 0;
}

void load_watch_start(struct load_watch *watch) {
    log_info(NULL, "load", "%u calls are taken to fit%s", capacity_of(watch),
             watch->max_calls ? " (Gateway.MaxCalls)"
                              : " until what they cost is known (Gateway.MaxCalls 0)");
    watch->at_us = ticker_now_us();
    uv_timer_start(&watch->timer, on_timer, LOAD_WINDOW_MS, LOAD_WINDOW_MS);
}

void load_watch_close(struct load_watch *watch) {
    if (watch)
        uv_close((uv_handle_t *)&watch->timer, NULL);
}

void load_watch_free(struct load_watch *watch) {
    free(watch);
}
