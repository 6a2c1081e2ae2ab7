// SPDX-License-Identifier: Apache-2.0
// The desk with a real Redis, a platform that answers when the test says so, and a hub that writes down what is told.
#ifndef IQ_TESTS_DESK_HOUSE_H
#define IQ_TESTS_DESK_HOUSE_H

#include "middleware/desk.h"
#include "middleware/desk_impl.h"
#include "tests/unit/middleware/redis_fixture.h"

#include <time.h>

enum { ASKED_MAX = 16, TOLD_MAX = 16 };

static struct {
    uv_loop_t loop;
    struct redis_server_child server;
    struct redis *redis;
    struct desk *desk;
    struct conf *conf;
    // the platform
    struct {
        void (*on_done)(const struct httpc_response *response, void *arg);
        void *arg;
        bool billing;
    } asked[ASKED_MAX];
    size_t asked_count;
    int platform_sessions;
    // the hub
    struct {
        char id[64], target[32], args[512];
    } told[TOLD_MAX];
    size_t told_count;
    // the layer above
    const char *closed;
    int sessions, session_err;
    char session_id[64];
    bool desk_closed;
} t;

// ---- stand-ins, linked instead of the real modules

int httpc_send(struct httpc *client, const struct httpc_request *request,
               void (*on_done)(const struct httpc_response *response, void *arg), void *arg) {
    (void)client;
    for (size_t i = 0; i < ASKED_MAX; i++) {
        if (t.asked[i].on_done)
            continue;
        t.asked[i].on_done = on_done;
        t.asked[i].arg = arg;
        t.asked[i].billing = strstr(request->url, "/user/billing/") != NULL;
        t.asked_count += !t.asked[i].billing;
        return 0;
    }
    return -ENOMEM;
}

int hub_send(struct hub *hub, const char *id, const char *target, json_t *args) {
    (void)hub;
    assert_true(t.told_count < TOLD_MAX);
    char *text = json_dumps(args, JSON_COMPACT);
    snprintf(t.told[t.told_count].id, sizeof t.told[0].id, "%s", id);
    snprintf(t.told[t.told_count].target, sizeof t.told[0].target, "%s", target);
    snprintf(t.told[t.told_count].args, sizeof t.told[0].args, "%s", text);
    t.told_count++;
    free(text);
    return 0;
}

static int on_session(const struct api_session *session, const struct http_request_origin *origin, char *url,
                      size_t url_size, void *arg) {
    (void)origin;
    (void)arg;
    t.sessions++;
    snprintf(t.session_id, sizeof t.session_id, "%s", session->session_id);
    snprintf(url, url_size, "wss://gw/%s", session->session_id);
    return t.session_err;
}

static const char *why_closed(void *arg) {
    (void)arg;
    return t.closed;
}

static const char *ice_servers_json(void *arg) {
    (void)arg;
    return "[]";
}

// ---- the platform's answers

static void answer_at(size_t i, int err, long status, const char *body) {
    struct httpc_response response = {
        .err = err, .status = status, .body = body, .body_len = strlen(body), .text = ""};
    void (*on_done)(const struct httpc_response *, void *) = t.asked[i].on_done;
    t.asked[i].on_done = NULL;
    on_done(&response, t.asked[i].arg);
}

static bool is_asked(void *arg) {
    (void)arg;
    for (size_t i = 0; i < ASKED_MAX; i++) {
        if (t.asked[i].on_done && !t.asked[i].billing)
            return true;
    }
    return false;
}

// Waits until the platform is asked for a session, and answers the first that asks.
static void platform_says(const char *body) {
    redis_until(&t.loop, is_asked, NULL);
    for (size_t i = 0; i < ASKED_MAX; i++) {
        if (!t.asked[i].on_done || t.asked[i].billing)
            continue;
        answer_at(i, 0, 200, body);
        return;
    }
}

static void platform_gives_a_session(void) {
    char body[256];
    snprintf(body, sizeof body,
             "{\"success\":true,\"data\":{\"sessionId\":\"ses_%d\",\"sessionWebSocketURL\":\"wss://p/%d\"}}",
             t.platform_sessions, t.platform_sessions);
    t.platform_sessions++;
    platform_says(body);
}

static const char no_room[] = "{\"success\":false,\"code\":\"CONCURRENCY_LIMIT_REACHED\",\"message\":\"\"}";
static const char no_region[] = "{\"success\":false,\"code\":\"REGION_NOT_FOUND\",\"message\":\"\"}";

// ---- the fixture

static struct conf *read_conf(int max_calls) {
    struct conf_report report = {.out = stderr};
    struct conf *conf = NULL;
    char text[1024];
    snprintf(
        text, sizeof text,
        "{\"VoiceAiPlatform\":{\"ApiSecretToken\":\"TOKEN1\",\"BaseUrl\":\"https://p.example/"
        "\",\"Campaigns\":{"
        "\"Example\":{\"BusinessId\":\"12\",\"WebCampaignId\":\"web-1\",\"AllowedRegionIds\":[\"us\"]}}},"
        "\"Security\":{\"RateLimitHourly\":5,\"RateLimitConcurrency\":5},"
        "\"Gateway\":{\"MaxCalls\":%d},\"Queue\":{\"MaxLength\":2}}",
        max_calls);
    assert_int_equal(conf_parse(&conf, "test", text, strlen(text), NULL, &report), 0);
    return conf;
}

static void on_up(void *arg) {
    (void)arg;
    if (t.desk)
        desk_redis_up(t.desk);
}

static int set_up(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    uv_loop_init(&t.loop);
    redis_child_start(&t.server, NULL);
    const struct redis_events events = {.on_up = on_up};
    struct err_text err;
    assert_int_equal(redis_new(&t.redis, &t.loop, t.server.target, &events, &err), 0);
    redis_until(&t.loop, redis_is_up, t.redis);
    t.conf = read_conf(1);
    const struct desk_events desk_events = {
        .on_session = on_session, .why_closed = why_closed, .ice_servers_json = ice_servers_json};
    const struct desk_config config = {
        .loop = &t.loop, .conf = t.conf, .redis = t.redis, .events = &desk_events};
    assert_int_equal(desk_new(&t.desk, &config), 0);
    desk_set_hub(t.desk, (struct hub *)&t);
    return 0;
}

static void cancel_platform(void) {
    for (size_t i = 0; i < ASKED_MAX; i++) {
        if (t.asked[i].on_done)
            answer_at(i, -ECANCELED, 0, "");
    }
}

static int tear_down(void **state) {
    (void)state;
    desk_close(t.desk, redis_on_flag, &t.desk_closed);
    cancel_platform(); // as httpc_close does
    redis_until(&t.loop, redis_is_true, &t.desk_closed);
    cancel_platform(); // what was asked since
    redis_close_and_wait(t.redis, &t.loop);
    desk_free(t.desk);
    conf_free(t.conf);
    redis_child_end(&t.server);
    return uv_loop_close(&t.loop);
}

struct answer {
    bool done;
    unsigned status, retry_after_s;
    char message[128], url[128], request_id[64];
    int64_t position;
};

static void on_answer(const struct desk_answer *from, void *arg) {
    struct answer *answer = arg;
    assert_false(answer->done);
    *answer = (struct answer){.done = true,
                              .status = from->status,
                              .retry_after_s = from->retry_after_s,
                              .position = from->position};
    snprintf(answer->message, sizeof answer->message, "%s", from->message ? from->message : "");
    snprintf(answer->url, sizeof answer->url, "%s", from->url ? from->url : "");
    snprintf(answer->request_id, sizeof answer->request_id, "%s", from->request_id ? from->request_id : "");
}

static struct initiate_request request_of(int transport) {
    struct initiate_request request = {.campaign_id = strdup("Example"),
                                       .region_id = strdup("us"),
                                       .client_identifier = strdup("203.0.113.9"),
                                       .client_address = "203.0.113.9",
                                       .transport = transport,
                                       .dynamic_variables = json_object(),
                                       .metadata = json_object()};
    return request;
}

static void ask(struct answer *answer, int transport) {
    struct initiate_request request = request_of(transport);
    *answer = (struct answer){.done = false};
    desk_request(t.desk, &request, on_answer, answer);
    assert_null(request.campaign_id);
}

static void await(struct answer *answer) {
    redis_until(&t.loop, redis_is_true, &answer->done);
}

static struct answer asked_and_given(int transport) {
    struct answer answer;
    ask(&answer, transport);
    platform_gives_a_session();
    await(&answer);
    assert_int_equal(answer.status, 200);
    return answer;
}

static struct answer queued(void) {
    struct answer answer;
    ask(&answer, API_TRANSPORT_WEBSOCKET);
    await(&answer);
    assert_int_equal(answer.status, 202);
    return answer;
}

static int64_t count(const char *words) {
    return redis_ask(t.redis, &t.loop, words).integer;
}

struct wanted {
    const char *words;
    int64_t count;
    bool asking;
    int64_t got;
};

static void on_count(int err, const struct redis_reply *reply, void *arg) {
    struct wanted *wanted = arg;
    wanted->got = err ? -1 : reply->integer;
    wanted->asking = false;
}

static bool is_count(void *arg) {
    struct wanted *wanted = arg;
    if (wanted->asking)
        return false;
    if (wanted->got == wanted->count)
        return true;
    wanted->asking = redis_send_words(t.redis, wanted->words, on_count, wanted) == 0;
    return false;
}

static void await_count(const char *words, int64_t wanted_count) {
    struct wanted wanted = {.words = words, .count = wanted_count, .got = -9};
    redis_until(&t.loop, is_count, &wanted);
}

static bool is_told(void *count_wanted) {
    return t.told_count >= *(size_t *)count_wanted;
}

static void await_told(size_t n) {
    redis_until(&t.loop, is_told, &n);
}

static void expect_nothing_taken(int64_t hourly) {
    assert_int_equal(count("ZCARD slots:all"), 0);
    assert_int_equal(count("ZCARD queue:waiting"), 0);
    assert_int_equal(count("ZCARD ratelimit:leases:203.0.113.9"), 0);
    assert_int_equal(count("ZCARD ratelimit:hourly_sliding:203.0.113.9"), hourly);
}

// What the hub would be told of an id.
struct registered {
    bool done;
    int err;
    char target[32], args[512];
};

static void on_registered(int err, const struct hub_event *events, size_t n, void *arg) {
    struct registered *registered = arg;
    registered->done = true;
    registered->err = err;
    if (!n)
        return;
    char *text = json_dumps(events[0].args, JSON_COMPACT);
    snprintf(registered->target, sizeof registered->target, "%s", events[0].target);
    snprintf(registered->args, sizeof registered->args, "%s", text);
    free(text);
}

static struct registered registration(const char *id) {
    struct registered registered = {.done = false};
    struct hub_events events;
    desk_hub_events(t.desk, &events);
    events.on_register(id, on_registered, &registered, events.arg);
    redis_until(&t.loop, redis_is_true, &registered.done);
    return registered;
}

static void comes(const char *id) {
    struct hub_events events;
    desk_hub_events(t.desk, &events);
    events.on_back(id, events.arg);
}

struct ended {
    bool done;
    int err;
};

static void on_ended(int err, void *arg) {
    struct ended *ended = arg;
    *ended = (struct ended){true, err};
}

static int webhook(const char *session_id) {
    struct ended ended = {.done = false};
    struct webhook_events events;
    desk_webhook_events(t.desk, &events);
    events.on_ended(session_id, on_ended, &ended, events.arg);
    redis_until(&t.loop, redis_is_true, &ended.done);
    return ended.err;
}

#endif
