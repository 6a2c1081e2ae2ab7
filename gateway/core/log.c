// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/log.h"

#include "gateway/core/metrics.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, TEXT_MAX_BYTES = 1600, BUCKETS = 128, BURST = 200, PER_SECOND = 50 };

// A bucket is found by hash; two modules that share one share its limit, which is harmless.
struct bucket {
    uint64_t last_ms;
    double tokens;
    uint32_t dropped;
    bool used;
};

static _Atomic int log_threshold = LOG_INFO;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static struct bucket log_buckets[BUCKETS]; // guarded by log_lock

void log_set_level(enum log_level level) {
    atomic_store(&log_threshold, (int)level);
}

int log_level_parse(const char *text, enum log_level *out) {
    static const struct {
        const char *name;
        enum log_level level;
    } names[] = {{"Trace", LOG_DEBUG}, {"Debug", LOG_DEBUG},   {"Information", LOG_INFO},
                 {"Info", LOG_INFO},   {"Warning", LOG_WARN},  {"Warn", LOG_WARN},
                 {"Error", LOG_ERROR}, {"Critical", LOG_ERROR}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(text, names[i].name) == 0) {
            *out = names[i].level;
            return 0;
        }
    }
    return -EINVAL;
}

static size_t put_escaped(char *out, size_t size, const char *text) {
    size_t n = 0;
    for (; *text && n + 7 < size; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            n += (size_t)snprintf(out + n, size - n, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
        else
            out[n++] = (char)c;
    }
    out[n] = '\0';
    return n;
}

static bool bucket_take(enum log_level level, const char *module, uint64_t now_ms, uint32_t *dropped) {
    uint32_t hash = (uint32_t)level * 2654435761u;
    for (const char *c = module; *c; c++)
        hash = hash * 31u + (unsigned char)*c;
    struct bucket *bucket = &log_buckets[hash % BUCKETS];
    if (!bucket->used)
        *bucket = (struct bucket){.used = true, .tokens = BURST, .last_ms = now_ms};
    bucket->tokens += (double)(now_ms - bucket->last_ms) * PER_SECOND / 1000.0;
    if (bucket->tokens > BURST)
        bucket->tokens = BURST;
    bucket->last_ms = now_ms;
    if (bucket->tokens < 1.0) {
        bucket->dropped++;
        return false;
    }
    bucket->tokens -= 1.0;
    *dropped = bucket->dropped;
    bucket->dropped = 0;
    return true;
}

static size_t put_head(char *line, size_t size, enum log_level level, const struct timespec *now) {
    static const char *const names[] = {"debug", "info", "warn", "error"};
    struct tm utc;
    gmtime_r(&now->tv_sec, &utc);
    char when[32];
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
    return (size_t)snprintf(line, size, "{\"ts\":\"%s.%03ldZ\",\"level\":\"%s\"", when,
                            now->tv_nsec / 1000000, names[level]);
}

static void log_emit(enum log_level level, const char *call, const char *module, const char *text,
                     uint32_t dropped) {
    char line[LINE_MAX_BYTES];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    size_t n = put_head(line, sizeof line, level, &now);
    if (call) {
        n += (size_t)snprintf(line + n, sizeof line - n, ",\"call\":\"");
        n += put_escaped(line + n, 128, call);
        n += (size_t)snprintf(line + n, sizeof line - n, "\"");
    }
    if (dropped)
        n += (size_t)snprintf(line + n, sizeof line - n, ",\"dropped\":%u", dropped);
    n += (size_t)snprintf(line + n, sizeof line - n, ",\"mod\":\"%s\",\"msg\":\"", module);
    n += put_escaped(line + n, sizeof line - n - 4, text);
    n += (size_t)snprintf(line + n, sizeof line - n, "\"}\n");
    // One write a line, so that lines of several threads never mix. A log that cannot be written must not
    // stop a call.
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written;
}

void log_write(enum log_level level, const char *call, const char *module, const char *format, ...) {
    if ((int)level < atomic_load_explicit(&log_threshold, memory_order_relaxed))
        return;
    struct timespec mono;
    clock_gettime(CLOCK_MONOTONIC, &mono);
    uint32_t dropped = 0;
    pthread_mutex_lock(&log_lock);
    bool pass = bucket_take(level, module, (uint64_t)mono.tv_sec * 1000u + (uint64_t)mono.tv_nsec / 1000000u,
                            &dropped);
    pthread_mutex_unlock(&log_lock);
    if (!pass) {
        metric_add(METRIC_LOG_DROPPED, 1);
        return;
    }
    char text[TEXT_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_emit(level, call, module, text, dropped);
}
