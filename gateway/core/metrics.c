// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/metrics.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// More threads than shards share them, which costs speed and never a count.
enum { SHARDS = 64, CACHE_LINE_BYTES = 64 };

// Each shard has its own cache lines, so that workers never fight over one while counting packets.
struct shard {
    _Alignas(CACHE_LINE_BYTES) _Atomic int64_t values[METRIC_COUNT];
    struct {
        _Atomic uint64_t counts[HISTOGRAM_BUCKETS + 1], sum_ns; // the last is beyond all bounds
    } histograms[HISTOGRAM_COUNT];
};

static struct shard metric_shards[SHARDS];
static _Atomic unsigned metric_next_shard;
static _Thread_local struct shard *metric_shard;
static _Thread_local unsigned stage_turns[HISTOGRAM_COUNT];

static const struct {
    const char *type, *name, *labels, *help;
} metric_table[METRIC_COUNT] = {
#define METRIC(id, type, name, labels, help) [id] = {#type, name, labels, help},
#include "gateway/core/metrics_table.h"
#undef METRIC
};

static const struct {
    const char *name, *labels, *help;
    uint64_t first_ns;
} histogram_table[HISTOGRAM_COUNT] = {
#define HISTOGRAM(id, name, labels, help, first_ns) [id] = {name, labels, help, first_ns},
#include "gateway/core/histograms_table.h"
#undef HISTOGRAM
};

static struct shard *own_shard(void) {
    if (!metric_shard) {
        unsigned index = atomic_fetch_add_explicit(&metric_next_shard, 1, memory_order_relaxed);
        metric_shard = &metric_shards[index % SHARDS];
    }
    return metric_shard;
}

void metric_add(enum metric metric, int64_t delta) {
    atomic_fetch_add_explicit(&own_shard()->values[metric], delta, memory_order_relaxed);
}

// The first bucket whose bound is not below it.
static size_t bucket_of(uint64_t ns, uint64_t first_ns) {
    uint64_t steps = ns ? (ns - 1) / first_ns : 0;
    size_t bucket = steps ? 64 - (size_t)__builtin_clzll(steps) : 0;
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS;
}

void metric_observe(enum histogram histogram, uint64_t ns) {
    struct shard *shard = own_shard();
    size_t bucket = bucket_of(ns, histogram_table[histogram].first_ns);
    atomic_fetch_add_explicit(&shard->histograms[histogram].counts[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&shard->histograms[histogram].sum_ns, ns, memory_order_relaxed);
}

static uint64_t bucket_read(enum histogram histogram, size_t bucket) {
    uint64_t sum = 0;
    for (size_t i = 0; i < SHARDS; i++)
        sum += atomic_load_explicit(&metric_shards[i].histograms[histogram].counts[bucket],
                                    memory_order_relaxed);
    return sum;
}

uint64_t histogram_count(enum histogram histogram) {
    uint64_t sum = 0;
    for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++)
        sum += bucket_read(histogram, i);
    return sum;
}

static uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t stage_begin(enum histogram stage) {
    if (++stage_turns[stage] < STAGE_SAMPLE)
        return 0;
    stage_turns[stage] = 0;
    return clock_ns();
}

void stage_end(enum histogram stage, uint64_t begin_ns) {
    if (begin_ns)
        metric_observe(stage, clock_ns() - begin_ns);
}

int64_t metric_read(enum metric metric) {
    int64_t sum = 0;
    for (size_t i = 0; i < SHARDS; i++)
        sum += atomic_load_explicit(&metric_shards[i].values[metric], memory_order_relaxed);
    return sum;
}

static void metric_write(FILE *out, enum metric metric) {
    // HELP and TYPE may stand only once per name; the table keeps entries of one name together.
    const char *name = metric_table[metric].name;
    if (metric == 0 || strcmp(name, metric_table[metric - 1].name) != 0)
        fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, metric_table[metric].help, name,
                metric_table[metric].type);
    const char *labels = metric_table[metric].labels;
    long long value = (long long)metric_read(metric);
    if (*labels)
        fprintf(out, "%s{%s} %lld\n", name, labels, value);
    else
        fprintf(out, "%s %lld\n", name, value);
}

static void histogram_write(FILE *out, enum histogram histogram) {
    const char *name = histogram_table[histogram].name, *labels = histogram_table[histogram].labels;
    if (histogram == 0 || strcmp(name, histogram_table[histogram - 1].name) != 0)
        fprintf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, histogram_table[histogram].help, name);
    const char *comma = *labels ? "," : "", *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    uint64_t count = 0, sum_ns = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += bucket_read(histogram, i);
        fprintf(out, "%s_bucket{%s%sle=\"%.9g\"} %llu\n", name, labels, comma,
                (double)(histogram_table[histogram].first_ns << i) / 1e9, (unsigned long long)count);
    }
    count += bucket_read(histogram, HISTOGRAM_BUCKETS);
    for (size_t i = 0; i < SHARDS; i++)
        sum_ns += atomic_load_explicit(&metric_shards[i].histograms[histogram].sum_ns, memory_order_relaxed);
    fprintf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, comma, (unsigned long long)count);
    fprintf(out, "%s_sum%s%s%s %.9f\n", name, open, labels, close, (double)sum_ns / 1e9);
    fprintf(out, "%s_count%s%s%s %llu\n", name, open, labels, close, (unsigned long long)count);
}

char *metrics_text(size_t *len, void (*more)(FILE *out, void *arg), void *arg) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (int i = 0; i < METRIC_COUNT; i++)
        metric_write(out, (enum metric)i);
    for (int i = 0; i < HISTOGRAM_COUNT; i++)
        histogram_write(out, (enum histogram)i);
    if (more)
        more(out, arg);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    *len = size;
    return text;
}
