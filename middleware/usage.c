// SPDX-License-Identifier: Apache-2.0
//
//   timer -> GET user/billing/usage, GET user/billing/featuresactivequantity -> both are there -> on_usage
//   -> timer: 15 s, after a failure or a poke sooner
#include "middleware/usage.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "middleware/json_limit.h"
#include "middleware/platform.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum question { QUESTION_CURRENT, QUESTION_MAX, QUESTION_COUNT };

static const struct {
    const char *path;
    int (*parse)(const char *text, size_t len, double *out, struct err_text *err);
    double absent; // what a platform without this path means
} questions[QUESTION_COUNT] = {
    [QUESTION_CURRENT] = {"user/billing/usage", usage_parse_current, -1},
    [QUESTION_MAX] = {"user/billing/featuresactivequantity", usage_parse_max, INFINITY},
};

struct request {
    struct usage_poll *poll;
    enum question question;
};

struct usage_poll {
    const struct conf *conf; // borrowed
    struct httpc *client;    // borrowed
    struct usage_events events;
    struct usage_pace pace;
    uv_timer_t timer;
    struct usage latest;
    uint64_t heard_ms, sent_ms; // loop time of the latest good poll, and of the latest one
    unsigned failures;          // in a row
    struct request requests[QUESTION_COUNT];
    // The poll in flight.
    unsigned pending;
    int err; // the first failure
    double figures[QUESTION_COUNT];
    int64_t sent_at_ms;
    bool poked;
    int64_t shown[2]; // in the gauges
    bool closing, timer_closed, good_before;
    void (*on_closed)(void *arg);
    void *arg;
};

// ---- the answers

static int64_t unix_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// A decimal number of .NET as text, "3.0"; the point is a point in every locale of ours (none is set).
static bool text_number(const char *text, double *out) {
    size_t len = strspn(text, "0123456789.");
    char *end;
    if (!len || text[len] || len > 32 || *text == '.')
        return false;
    *out = strtod(text, &end);
    return !*end;
}

static int take_figure(const json_t *value, double absent, double *out, struct err_text *err) {
    double figure = absent;
    if (json_is_number(value))
        figure = json_number_value(value);
    else if (value && !text_number(json_is_string(value) ? json_string_value(value) : "", &figure))
        return err_set(err, -EPROTO, "Call_Concurrency is no number");
    if (value && !(figure >= 0))
        return err_set(err, -EPROTO, "Call_Concurrency is negative");
    *out = figure;
    return 0;
}

// The figure is in `data`, or in the object of that name inside it.
static int parse(const char *text, size_t len, const char *inside, double absent, double *out,
                 struct err_text *err) {
    json_t *root = json_load_limited(span_of(text, len), NULL);
    const json_t *success = platform_field(root, "success");
    const json_t *data = platform_field(root, "data");
    int rc;
    if (inside)
        data = platform_field(data, inside);
    if (!json_is_object(root))
        rc = err_set(err, -EPROTO, "the answer is no JSON object (%zu bytes)", len);
    else if (success && !json_is_true(success))
        rc = err_set(err, -EREMOTEIO, "the platform refused");
    else
        rc = take_figure(platform_field(data, "Call_Concurrency"), absent, out, err);
    json_decref(root);
    return rc;
}

int usage_parse_current(const char *text, size_t len, double *out, struct err_text *err) {
    return parse(text, len, "currentUsage", -1, out, err);
}

int usage_parse_max(const char *text, size_t len, double *out, struct err_text *err) {
    return parse(text, len, NULL, INFINITY, out, err);
}

// ---- a poll

static void on_timer(uv_timer_t *timer);

static void show(struct usage_poll *poll) {
    static const enum metric metrics[] = {METRIC_PLATFORM_CALLS, METRIC_PLATFORM_CALLS_MAX};
    const struct usage *usage = &poll->latest;
    bool limited = usage->known && usage->max < 1e15;
    const int64_t now[] = {usage->known ? (int64_t)fmin(usage->current, 1e15) : -1,
                           limited ? (int64_t)usage->max : -1};
    for (size_t i = 0; i < 2; i++) {
        metric_add(metrics[i], now[i] - poll->shown[i]);
        poll->shown[i] = now[i];
    }
}

static void arm(struct usage_poll *poll, uint64_t delay_ms) {
    if (!poll->closing)
        uv_timer_start(&poll->timer, on_timer, delay_ms, 0);
}

static void poll_failed(struct usage_poll *poll) {
    struct usage *usage = &poll->latest;
    metric_add(METRIC_USAGE_FAILED, 1);
    poll->failures++;
    usage->stale = usage->known;
    if (usage->known && uv_now(poll->timer.loop) - poll->heard_ms >= poll->pace.keep_ms) {
        log_warn(NULL, "usage", "the platform's figures are too old: counting for ourselves");
        *usage = (struct usage){.known = false, .max = INFINITY, .current = -1};
    }
}

// With a fixed agent the platform is not asked for sessions, and so not for its limits.
static bool asks_platform(const struct conf *conf) {
    return *conf->platform.base_url && !*conf->agent.url && !*conf->agent.builtin;
}

static void poll_succeeded(struct usage_poll *poll) {
    metric_add(METRIC_USAGE_KNOWN, 1);
    poll->failures = 0;
    if (!poll->good_before && asks_platform(poll->conf) && isinf(poll->figures[QUESTION_MAX]))
        log_info(NULL, "usage", "the platform sets no limit of calls: counting for ourselves");
    poll->good_before = true;
    poll->heard_ms = uv_now(poll->timer.loop);
    poll->latest = (struct usage){.known = true,
                                  .max = poll->figures[QUESTION_MAX],
                                  .current = poll->figures[QUESTION_CURRENT],
                                  .at_ms = poll->sent_at_ms};
}

static void free_when_quiet(struct usage_poll *poll) {
    if (!poll->closing || !poll->timer_closed || poll->pending)
        return;
    if (poll->on_closed)
        poll->on_closed(poll->arg);
    free(poll);
}

static uint64_t next_delay(const struct usage_poll *poll) {
    if (poll->failures >= 3)
        return poll->pace.poll_ms;
    return poll->failures || poll->poked ? poll->pace.trouble_ms : poll->pace.poll_ms;
}

static void poll_done(struct usage_poll *poll) {
    if (poll->closing) {
        free_when_quiet(poll);
        return;
    }
    if (poll->err)
        poll_failed(poll);
    else
        poll_succeeded(poll);
    show(poll);
    arm(poll, next_delay(poll));
    poll->poked = false;
    poll->events.on_usage(&poll->latest, poll->events.arg);
}

static int take_response(const struct httpc_response *response, enum question question, double *out) {
    struct err_text why = {.text = ""};
    int err = response->err;
    if (!err && (response->status == 404 || response->status == 405)) {
        *out = questions[question].absent;
        return 0;
    }
    if (err)
        err_set(&why, err, "%s", err_name(err));
    else if (response->status != 200)
        err = err_set(&why, -EREMOTEIO, "HTTP %ld", response->status);
    else
        err = questions[question].parse(response->body, response->body_len, out, &why);
    if (err && err != -ECANCELED)
        log_warn(NULL, "usage", "no figures from %s: %s", questions[question].path, why.text);
    return err;
}

static void on_response(const struct httpc_response *response, void *arg) {
    const struct request *request = arg;
    struct usage_poll *poll = request->poll;
    int err = take_response(response, request->question, &poll->figures[request->question]);
    if (!poll->err)
        poll->err = err;
    if (--poll->pending == 0)
        poll_done(poll);
}

static int ask(struct usage_poll *poll, enum question question) {
    const struct conf *conf = poll->conf;
    const char *base = conf->platform.base_url;
    char *url = NULL, *authorization = NULL;
    if (asprintf(&url, "%s%s%s", base, base[strlen(base) - 1] == '/' ? "" : "/", questions[question].path) <
        0)
        url = NULL;
    if (asprintf(&authorization, "Authorization: Token %s", conf->platform.api_secret_token) < 0)
        authorization = NULL;
    int err = -ENOMEM;
    if (url && authorization) {
        const char *headers[] = {authorization, "Accept: application/json"};
        const struct httpc_request request = {.method = "GET",
                                              .url = url,
                                              .headers = headers,
                                              .header_count = 2,
                                              .timeout_ms = USAGE_TIMEOUT_MS};
        err = httpc_send(poll->client, &request, on_response, &poll->requests[question]);
    }
    free(url);
    free(authorization);
    return err;
}

static void on_timer(uv_timer_t *timer) {
    struct usage_poll *poll = timer->data;
    poll->err = 0;
    poll->sent_at_ms = unix_ms();
    poll->sent_ms = uv_now(timer->loop);
    for (int i = 0; i < QUESTION_COUNT; i++)
        poll->figures[i] = questions[i].absent;
    for (int i = 0; i < QUESTION_COUNT && asks_platform(poll->conf) && !poll->err; i++) {
        poll->err = ask(poll, (enum question)i);
        poll->pending += !poll->err;
    }
    if (!poll->pending)
        poll_done(poll);
}

// ---- public

int usage_new(struct usage_poll **out, uv_loop_t *loop, const struct conf *conf, struct httpc *client,
              const struct usage_events *events) {
    struct usage_poll *poll = calloc(1, sizeof *poll);
    if (!poll)
        return -ENOMEM;
    poll->conf = conf;
    poll->client = client;
    poll->events = *events;
    poll->pace = events->pace ? *events->pace
                              : (struct usage_pace){.poll_ms = USAGE_POLL_MS,
                                                    .trouble_ms = USAGE_TROUBLE_MS,
                                                    .keep_ms = USAGE_KEEP_MS};
    poll->latest = (struct usage){.known = false, .max = INFINITY, .current = -1};
    for (int i = 0; i < QUESTION_COUNT; i++)
        poll->requests[i] = (struct request){poll, (enum question)i};
    uv_timer_init(loop, &poll->timer);
    poll->timer.data = poll;
    show(poll);
    arm(poll, 0);
    *out = poll;
    return 0;
}

void usage_set_conf(struct usage_poll *poll, const struct conf *conf) {
    poll->conf = conf;
    usage_poke(poll);
}

void usage_poke(struct usage_poll *poll) {
    if (poll->pending || poll->closing) {
        poll->poked = true;
        return;
    }
    uint64_t since_ms = uv_now(poll->timer.loop) - poll->sent_ms;
    uint64_t delay_ms = since_ms < poll->pace.trouble_ms ? poll->pace.trouble_ms - since_ms : 0;
    if (delay_ms < uv_timer_get_due_in(&poll->timer))
        arm(poll, delay_ms);
}

const struct usage *usage_latest(const struct usage_poll *poll) {
    return &poll->latest;
}

static void on_timer_closed(uv_handle_t *handle) {
    struct usage_poll *poll = handle->data;
    poll->timer_closed = true;
    free_when_quiet(poll);
}

void usage_close(struct usage_poll *poll, void (*on_closed)(void *arg), void *arg) {
    if (poll->closing)
        return;
    poll->closing = true;
    poll->on_closed = on_closed;
    poll->arg = arg;
    poll->latest = (struct usage){.known = false, .max = INFINITY, .current = -1};
    metric_add(METRIC_PLATFORM_CALLS, -poll->shown[0]);
    metric_add(METRIC_PLATFORM_CALLS_MAX, -poll->shown[1]);
    uv_close((uv_handle_t *)&poll->timer, on_timer_closed);
}
