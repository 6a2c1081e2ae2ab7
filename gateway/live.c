// SPDX-License-Identifier: Apache-2.0
#include "gateway/live.h"

#include "gateway/core/err.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_WORKERS = 64 };

struct request {
    uint64_t number; // 0 = free
    struct http_exchange *exchange;
    struct media_snapshot *snapshots[MAX_WORKERS]; // owned
    size_t heard;                                  // workers that have answered, with or without a snapshot
    size_t kept;                                   // of the snapshots
    uint64_t deadline_ms;
};

struct live {
    struct live_config config;
    struct request requests[LIVE_MAX_REQUESTS];
    uint64_t last_number;
    bool closed;
    uv_timer_t timer;
};

static int compare_handle(const void *key, const void *item) {
    uint64_t left = *(const uint64_t *)key, right = ((const struct media_snapshot_item *)item)->handle;
    return (left > right) - (left < right);
}

static void add_figures(uint64_t handle, json_t *item, void *arg) {
    const struct request *request = arg;
    for (size_t i = 0; i < request->kept; i++) {
        const struct media_snapshot *snapshot = request->snapshots[i];
        const struct media_snapshot_item *found =
            bsearch(&handle, snapshot->items, snapshot->count, sizeof snapshot->items[0], compare_handle);
        if (!found)
            continue;
        call_figures_json(&found->figures, item);
        return;
    }
}

static void request_answer(const struct live *live, struct request *request) {
    json_t *list = sessions_list(live->config.sessions, add_figures, request);
    char *text = list ? json_dumps(list, JSON_COMPACT) : NULL;
    json_decref(list);
    if (text)
        http_reply_json(request->exchange, 200, text);
    else
        http_reply_message(request->exchange, 500, "Out of memory.");
    free(text);
    for (size_t i = 0; i < request->kept; i++)
        free(request->snapshots[i]);
    *request = (struct request){.number = 0};
}

static void on_timer(uv_timer_t *timer) {
    struct live *live = timer->data;
    bool more = false;
    for (size_t i = 0; i < LIVE_MAX_REQUESTS; i++) {
        struct request *request = &live->requests[i];
        if (request->number && uv_now(live->config.loop) >= request->deadline_ms)
            request_answer(live, request);
        more = more || request->number;
    }
    if (!more)
        uv_timer_stop(timer);
}

static struct request *find(struct live *live, uint64_t number) {
    for (size_t i = 0; i < LIVE_MAX_REQUESTS; i++) {
        if (live->requests[i].number == number)
            return &live->requests[i];
    }
    return NULL;
}

void live_list(struct live *live, struct http_exchange *exchange) {
    struct request *request = live->closed ? NULL : find(live, 0);
    if (!request) {
        http_reply_message(exchange, 503, "The list is not to be had just now. Please try again.");
        return;
    }
    request->number = ++live->last_number;
    request->exchange = exchange;
    request->deadline_ms = uv_now(live->config.loop) + LIVE_WAIT_MS;
    for (size_t i = 0; i < live->config.worker_count; i++) {
        if (media_worker_snapshot(live->config.workers[i], request->number) != 0)
            request->heard++;
    }
    if (request->heard == live->config.worker_count)
        request_answer(live, request);
    else if (!uv_is_active((uv_handle_t *)&live->timer))
        uv_timer_start(&live->timer, on_timer, LIVE_WAIT_MS, LIVE_WAIT_MS / 10);
}

void live_mail(struct live *live, struct mail *mail) {
    struct request *request = mail->to ? find(live, mail->to) : NULL;
    if (!request)
        return; // too late
    if (mail->data && request->kept < MAX_WORKERS) {
        request->snapshots[request->kept++] = mail->data;
        mail->data = NULL;
    }
    if (++request->heard == live->config.worker_count)
        request_answer(live, request);
}

int live_new(struct live **out, const struct live_config *config) {
    struct live *live = calloc(1, sizeof *live);
    if (!live)
        return -ENOMEM;
    live->config = *config;
    uv_timer_init(config->loop, &live->timer);
    live->timer.data = live;
    *out = live;
    return 0;
}

void live_close(struct live *live) {
    for (size_t i = 0; i < LIVE_MAX_REQUESTS; i++) {
        if (live->requests[i].number)
            request_answer(live, &live->requests[i]);
    }
    live->closed = true;
    uv_close((uv_handle_t *)&live->timer, NULL);
}

void live_free(struct live *live) {
    free(live);
}
