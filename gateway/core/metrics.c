// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/metrics.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// More threads than shards share them, which costs speed and never a count.
enum { SHARDS = 64, CACHE_LINE_BYTES = 64 };

// Each shard has its own cache lines, so that workers never fight over one while counting packets.
struct shard {
    _Alignas(CACHE_LINE_BYTES) _Atomic int64_t values[METRIC_COUNT];
};

static struct shard metric_shards[SHARDS];
static _Atomic unsigned metric_next_shard;
static _Thread_local struct shard *metric_shard;

static const struct {
    const char *type, *name, *labels, *help;
} metric_table[METRIC_COUNT] = {
#define METRIC(id, type, name, labels, help) [id] = {#type, name, labels, help},
#include "gateway/core/metrics_table.h"
#undef METRIC
};

void metric_add(enum metric metric, int64_t delta) {
    if (!metric_shard) {
        unsigned index = atomic_fetch_add_explicit(&metric_next_shard, 1, memory_order_relaxed);
        metric_shard = &metric_shards[index % SHARDS];
    }
    atomic_fetch_add_explicit(&metric_shard->values[metric], delta, memory_order_relaxed);
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

char *metrics_text(size_t *len) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (int i = 0; i < METRIC_COUNT; i++)
        metric_write(out, (enum metric)i);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    *len = size;
    return text;
}
