// SPDX-License-Identifier: Apache-2.0
#include "gateway/load_meter.h"

#include "gateway/core/metrics.h"

#include <time.h>

enum { FEW_SLOTS = 50 }; // of a window: fewer say nothing about 99 of 100

static uint64_t clock_us(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void publish(struct load_meter *meter, const struct load_sample *sample) {
    struct load_gauge *gauge = meter->config.gauge;
    const struct load_control *control = &meter->control;
    meter->complexity = load_control_complexity(control);
    atomic_store_explicit(&gauge->calls, sample->calls, memory_order_relaxed);
    atomic_store_explicit(&gauge->busy_permille, (uint32_t)(control->busy * 1000), memory_order_relaxed);
    atomic_store_explicit(&gauge->late_us, sample->late_us, memory_order_relaxed);
    atomic_store_explicit(&gauge->complexity, meter->complexity, memory_order_relaxed);
    atomic_store_explicit(&gauge->capacity, control->capacity, memory_order_relaxed);
    atomic_store_explicit(&gauge->reason, control->reason, memory_order_relaxed);
}

static void on_window(uv_timer_t *timer) {
    struct load_meter *meter = timer->data;
    uint64_t now_us = ticker_now_us(), thread_us = clock_us(CLOCK_THREAD_CPUTIME_ID),
             program_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t window_us = now_us - meter->at_us;
    struct ticker_late late;
    ticker_late(meter->config.ticker, &late);
    double thread = (double)(thread_us - meter->thread_us) / (double)window_us;
    double program = (double)(program_us - meter->program_us) / (double)window_us / meter->config.cores;
    const struct load_sample sample = {
        .busy = thread > program ? thread : program,
        .late_us = late.slots < FEW_SLOTS ? 0 : late.p99_us,
        .lag_us = window_us > LOAD_WINDOW_MS * 1000 ? (uint32_t)(window_us - LOAD_WINDOW_MS * 1000) : 0,
        .calls = meter->config.calls(meter->config.arg),
    };
    metric_observe(HISTOGRAM_LAG_WORKER, sample.lag_us * 1000ull);
    meter->at_us = now_us;
    meter->thread_us = thread_us;
    meter->program_us = program_us;
    load_control_step(&meter->control, &sample);
    publish(meter, &sample);
}

void load_meter_start(struct load_meter *meter, const struct load_meter_config *config) {
    *meter = (struct load_meter){.config = *config,
                                 .at_us = ticker_now_us(),
                                 .thread_us = clock_us(CLOCK_THREAD_CPUTIME_ID),
                                 .program_us = clock_us(CLOCK_PROCESS_CPUTIME_ID)};
    load_control_start(&meter->control, &config->limits);
    publish(meter, &(struct load_sample){.calls = 0});
    uv_timer_init(config->loop, &meter->timer);
    meter->timer.data = meter;
    uv_timer_start(&meter->timer, on_window, LOAD_WINDOW_MS, LOAD_WINDOW_MS);
}

void load_meter_close(struct load_meter *meter) {
    uv_close((uv_handle_t *)&meter->timer, NULL);
}
