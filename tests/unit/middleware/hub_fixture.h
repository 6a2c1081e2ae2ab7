// SPDX-License-Identifier: Apache-2.0
// Two hubs on one fake Redis, with fake sockets, exchanges and a fake desk; the clock is the test's.
#ifndef IQ_TESTS_HUB_FIXTURE_H
#define IQ_TESTS_HUB_FIXTURE_H

#include "middleware/hub_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

// ---- Redis: keys, channels, and answers that come from the loop

struct redis {
    bool unused;
};

struct channel {
    char name[96];
    void (*on_subscribed)(void *arg);
    void (*on_message)(const char *message, size_t len, void *arg);
    void *arg;
};

struct event {
    struct event *next;
    redis_fn *fn; // an answer; otherwise a message, or the news of a subscription when that is NULL
    void *arg;
    int err;
    char answer[64]; // "": the number `heard`
    int64_t heard;
    char channel[96];
    char *message;
    size_t len;
};

static struct {
    bool down, deaf; // deaf: nobody hears what is published
    int fail_with;   // what commands get instead of an answer
    json_t *keys;
    struct channel channels[16];
    size_t channel_count;
    struct event *first, **last;
} redis_fake;

static inline struct event *redis_event(void) {
    struct event *event = calloc(1, sizeof *event);
    assert_non_null(event);
    *redis_fake.last = event;
    redis_fake.last = &event->next;
    return event;
}

static inline size_t redis_publish(const char *channel, const char *message, size_t len) {
    size_t count = 0;
    for (size_t i = 0; i < redis_fake.channel_count && !redis_fake.deaf; i++) {
        if (strcmp(redis_fake.channels[i].name, channel) != 0)
            continue;
        struct event *event = redis_event();
        snprintf(event->channel, sizeof event->channel, "%s", channel);
        event->arg = redis_fake.channels[i].arg;
        event->message = malloc(len + 1);
        assert_non_null(event->message);
        memcpy(event->message, message, len);
        event->len = len;
        count++;
    }
    return count;
}

struct redis_arg redis_str(const char *text) {
    return (struct redis_arg){text, strlen(text)};
}

struct redis_arg redis_int(int64_t value, char buffer[24]) {
    snprintf(buffer, 24, "%lld", (long long)value);
    return redis_str(buffer);
}

static inline char *redis_text(const struct redis_arg *arg) {
    char *text = strndup(arg->ptr, arg->len);
    assert_non_null(text);
    return text;
}

int redis_command(struct redis *redis, const struct redis_arg *args, size_t count, redis_fn *fn, void *arg) {
    (void)redis;
    if (redis_fake.down)
        return -ENOTCONN;
    char *verb = redis_text(&args[0]), *name = redis_text(&args[1]);
    if (strcmp(verb, "PUBLISH") == 0) {
        size_t heard = redis_publish(name, args[2].ptr, args[2].len);
        if (fn)
            *redis_event() =
                (struct event){.fn = fn, .arg = arg, .heard = (int64_t)heard, .err = redis_fake.fail_with};
    } else {
        assert_string_equal(verb, "SET");
        assert_int_equal(count, 5);
        json_object_set_new(redis_fake.keys, name, json_stringn(args[2].ptr, args[2].len));
    }
    free(verb);
    free(name);
    return 0;
}

// What the one script of the hub does.
int redis_eval(struct redis *redis, struct redis_script *script, const struct redis_arg *keys,
               size_t key_count, const struct redis_arg *args, size_t arg_count, redis_fn *fn, void *arg) {
    (void)redis;
    assert_non_null(strstr(script->text, "PUBLISH"));
    assert_int_equal(key_count, 1);
    assert_int_equal(arg_count, 5);
    if (redis_fake.down)
        return -ENOTCONN;
    char *key = redis_text(&keys[0]), *node = redis_text(&args[0]), channel[96];
    const char *owner = json_string_value(json_object_get(redis_fake.keys, key)), *answer = "=gone";
    snprintf(channel, sizeof channel, "%.*s%s", (int)args[3].len, args[3].ptr, owner ? owner : "");
    bool over = owner && (strcmp(owner, "-") == 0 || strcmp(owner, node) == 0);
    if (owner && !over && !args[4].len) {
        answer = "=taken";
    } else if (owner && !over && redis_publish(channel, args[4].ptr, args[4].len) > 0) {
        answer = owner;
    } else if (owner && !over) {
        json_object_del(redis_fake.keys, key);
    } else if (!owner && args[2].ptr[0] == '1') {
        json_object_set_new(redis_fake.keys, key, json_string(node));
        answer = "=yours";
    }
    struct event *event = redis_event();
    event->fn = fn;
    event->arg = arg;
    event->err = redis_fake.fail_with;
    snprintf(event->answer, sizeof event->answer, "%s", answer);
    free(key);
    free(node);
    return 0;
}

int redis_subscribe(struct redis *redis, const char *channel, void (*on_subscribed)(void *arg),
                    void (*on_message)(const char *message, size_t len, void *arg), void *arg) {
    (void)redis;
    assert_true(redis_fake.channel_count < 16);
    struct channel *entry = &redis_fake.channels[redis_fake.channel_count++];
    *entry = (struct channel){.on_subscribed = on_subscribed, .on_message = on_message, .arg = arg};
    snprintf(entry->name, sizeof entry->name, "%s", channel);
    struct event *event = redis_event();
    snprintf(event->channel, sizeof event->channel, "%s", channel);
    event->arg = arg;
    return 0;
}

void redis_unsubscribe(struct redis *redis, const char *channel) {
    (void)redis;
    // Each hub has subscribed the events: the one that asks is the one whose other channel has gone before.
    for (size_t i = 0; i < redis_fake.channel_count; i++) {
        if (strcmp(redis_fake.channels[i].name, channel) != 0)
            continue;
        struct hub *hub = redis_fake.channels[i].arg;
        if (!hub->closing && redis_fake.channel_count > 2)
            continue;
        redis_fake.channels[i] = redis_fake.channels[--redis_fake.channel_count];
        return;
    }
}

static inline void redis_deliver(const struct event *event) {
    for (size_t i = 0; i < redis_fake.channel_count; i++) {
        struct channel *channel = &redis_fake.channels[i];
        if (strcmp(channel->name, event->channel) != 0 || channel->arg != event->arg)
            continue;
        if (event->message)
            channel->on_message(event->message, event->len, channel->arg);
        else if (channel->on_subscribed)
            channel->on_subscribed(channel->arg);
        return;
    }
}

// Everything that Redis has to say, and what comes of it.
static inline void settle(void) {
    while (redis_fake.first) {
        struct event *event = redis_fake.first;
        redis_fake.first = event->next;
        if (!redis_fake.first)
            redis_fake.last = &redis_fake.first;
        struct redis_reply reply = {.type = *event->answer ? REDIS_STRING : REDIS_INTEGER,
                                    .integer = event->heard,
                                    .str = event->answer,
                                    .len = strlen(event->answer)};
        if (event->fn)
            event->fn(event->err, event->err ? NULL : &reply, event->arg);
        else
            redis_deliver(event);
        free(event->message);
        free(event);
    }
}

// An outage is over: every channel is subscribed again.
static inline void redis_comes_back(void) {
    redis_fake.down = redis_fake.deaf = false;
    for (size_t i = 0; i < redis_fake.channel_count; i++) {
        struct event *event = redis_event();
        snprintf(event->channel, sizeof event->channel, "%s", redis_fake.channels[i].name);
        event->arg = redis_fake.channels[i].arg;
    }
    settle();
}

// ---- sockets and exchanges

struct ws {
    char text[8192];
    bool closed, full;
    unsigned code;
    void *user;
};

int ws_send(struct ws *ws, bool binary, const void *data, size_t len) {
    assert_false(binary);
    assert_false(ws->closed);
    if (ws->full)
        return -ENOBUFS;
    size_t at = strlen(ws->text);
    assert_true(at + len < sizeof ws->text);
    memcpy(ws->text + at, data, len);
    ws->text[at + len] = '\0';
    return 0;
}

void ws_close(struct ws *ws, unsigned code, const char *reason) {
    (void)reason;
    ws->closed = true;
    ws->code = code;
}

struct http_exchange {
    const char *accept;
    int replies;
    unsigned status;
    bool streaming, stream_ended, client_left;
    char body[8192], retry_after[16], buffering[16];
    void (*on_gone)(void *arg);
    void *gone_arg;
};

bool http_header(struct http_exchange *exchange, const char *name, char *out, size_t out_size) {
    assert_string_equal(name, "accept:");
    snprintf(out, out_size, "%s", exchange->accept ? exchange->accept : "");
    return exchange->accept != NULL;
}

static inline void note_headers(struct http_exchange *exchange, const struct http_header_field *headers,
                                size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(headers[i].name, "Retry-After") == 0)
            snprintf(exchange->retry_after, sizeof exchange->retry_after, "%s", headers[i].value);
        if (strcmp(headers[i].name, "X-Accel-Buffering") == 0)
            snprintf(exchange->buffering, sizeof exchange->buffering, "%s", headers[i].value);
    }
}

void http_reply(struct http_exchange *exchange, unsigned status, const char *content_type, const void *body,
                size_t len, const struct http_header_field *headers, size_t header_count) {
    (void)content_type;
    assert_false(exchange->streaming);
    assert_int_equal(exchange->replies++, 0);
    exchange->status = status;
    exchange->on_gone = NULL;
    snprintf(exchange->body, sizeof exchange->body, "%.*s", (int)len, (const char *)body);
    note_headers(exchange, headers, header_count);
}

void http_reply_json(struct http_exchange *exchange, unsigned status, const char *json) {
    http_reply(exchange, status, "application/json", json, strlen(json), NULL, 0);
}

void http_reply_message(struct http_exchange *exchange, unsigned status, const char *message) {
    http_reply_json(exchange, status, message);
}

void http_hold(struct http_exchange *exchange, void (*on_gone)(void *arg), void *arg) {
    exchange->on_gone = on_gone;
    exchange->gone_arg = arg;
}

int http_stream_begin(struct http_exchange *exchange, unsigned status, const char *content_type,
                      const struct http_header_field *headers, size_t header_count,
                      void (*on_gone)(void *arg), void *arg) {
    if (exchange->client_left)
        return -EPIPE;
    assert_string_equal(content_type, "text/event-stream");
    exchange->streaming = true;
    exchange->status = status;
    note_headers(exchange, headers, header_count);
    http_hold(exchange, on_gone, arg);
    return 0;
}

int http_stream_send(struct http_exchange *exchange, const void *data, size_t len) {
    assert_true(exchange->streaming && !exchange->stream_ended);
    size_t at = strlen(exchange->body);
    assert_true(at + len < sizeof exchange->body);
    memcpy(exchange->body + at, data, len);
    exchange->body[at + len] = '\0';
    return exchange->client_left ? -EPIPE : 0;
}

void http_stream_end(struct http_exchange *exchange) {
    assert_true(exchange->streaming && !exchange->stream_ended);
    exchange->stream_ended = true;
    exchange->on_gone = NULL;
}

static inline void client_leaves(struct http_exchange *exchange) {
    void (*on_gone)(void *arg) = exchange->on_gone;
    exchange->client_left = true;
    exchange->on_gone = NULL;
    if (on_gone)
        on_gone(exchange->gone_arg);
}

// ---- the desk: ids it knows, and what it tells of them

static struct {
    char known[64]; // this id
    int err;        // for it
    bool later;     // its answers wait for desk_answers
    json_t *replay; // array of [target, args]
    unsigned asked;
    char said[512];    // "back:ID left:ID ", in their order
    hub_done_fn *done; // the latest question
    void *done_arg;
} desk;

static inline void desk_answers(int err) {
    struct hub_event events[8];
    size_t count = json_array_size(desk.replay);
    hub_done_fn *done = desk.done;
    assert_non_null(done);
    for (size_t i = 0; i < count; i++) {
        const json_t *event = json_array_get(desk.replay, i);
        events[i].target = json_string_value(json_array_get(event, 0));
        events[i].args = json_array_get(event, 1);
    }
    desk.done = NULL;
    done(err, events, err && err != -ENOENT ? 0 : count, desk.done_arg);
}

static inline void desk_replays(const char *json) {
    json_decref(desk.replay);
    desk.replay = json_loads(json, 0, NULL);
    assert_non_null(desk.replay);
}

static inline void desk_on_register(const char *id, hub_done_fn *done, void *done_arg, void *arg) {
    assert_ptr_equal(arg, &desk);
    desk.asked++;
    desk.done = done;
    desk.done_arg = done_arg;
    if (!desk.later)
        desk_answers(strcmp(id, desk.known) == 0 ? desk.err : -ENOENT);
}

static inline void desk_says(const char *what, const char *id) {
    size_t at = strlen(desk.said);
    snprintf(desk.said + at, sizeof desk.said - at, "%s:%s ", what, id);
}

static inline void desk_on_back(const char *id, void *arg) {
    assert_ptr_equal(arg, &desk);
    desk_says("back", id);
}

static inline void desk_on_left(const char *id, void *arg) {
    assert_ptr_equal(arg, &desk);
    desk_says("left", id);
}

static inline void expect_said(const char *said) {
    assert_string_equal(desk.said, said);
    desk.said[0] = '\0';
}

static const struct hub_events desk_events = {
    .on_register = desk_on_register, .on_back = desk_on_back, .on_left = desk_on_left, .arg = &desk};

// ---- two nodes

enum { NODES = 2, MAX_CONNECTIONS = 12, PER_ADDRESS = 8 };

static struct {
    uv_loop_t loop;
    struct auth *auth[NODES];
    struct hub *hub[NODES];
    struct http_route routes[NODES][HUB_ROUTES];
    struct ws_route ws[NODES];
    uint64_t now_ms;
    unsigned closed;
} t;

static inline void pass(unsigned seconds) {
    for (unsigned i = 0; i < seconds; i++) {
        t.now_ms += 1000;
        for (int n = 0; n < NODES; n++)
            hub_tick(t.hub[n], t.now_ms);
        settle();
    }
}

static inline int setup(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    memset(&desk, 0, sizeof desk);
    memset(&redis_fake, 0, sizeof redis_fake);
    redis_fake.last = &redis_fake.first;
    redis_fake.keys = json_object();
    snprintf(desk.known, sizeof desk.known, "known");
    uv_loop_init(&t.loop);
    for (int n = 0; n < NODES; n++) {
        assert_int_equal(auth_new(&t.auth[n], "secret"), 0);
        const struct hub_config config = {.loop = &t.loop,
                                          .redis = (struct redis *)&redis_fake,
                                          .auth = t.auth[n],
                                          .events = &desk_events,
                                          .max_connections = MAX_CONNECTIONS,
                                          .max_per_address = PER_ADDRESS};
        assert_int_equal(hub_new(&t.hub[n], &config), 0);
        hub_routes(t.hub[n], t.routes[n]);
        hub_ws_route(t.hub[n], &t.ws[n]);
    }
    t.now_ms = uv_now(&t.loop);
    settle();
    return 0;
}

static inline void on_closed(void *arg) {
    (*(unsigned *)arg)++;
}

static inline int teardown(void **state) {
    (void)state;
    for (int n = 0; n < NODES; n++)
        hub_close(t.hub[n], on_closed, &t.closed);
    settle();
    uv_run(&t.loop, UV_RUN_DEFAULT);
    assert_int_equal(t.closed, NODES);
    assert_int_equal(uv_loop_close(&t.loop), 0);
    for (int n = 0; n < NODES; n++)
        auth_free(t.auth[n]);
    json_decref(redis_fake.keys);
    json_decref(desk.replay);
    return 0;
}

// ---- clients

static inline void request(int node, const char *method, const char *path, const char *query,
                           const char *body, struct http_exchange *exchange) {
    const struct http_request it = {.exchange = exchange,
                                    .method = method,
                                    .path = path,
                                    .query = query,
                                    .host = "h",
                                    .origin = "",
                                    .client_address = "192.0.2.1",
                                    .body = span_str(body)};
    const char *route_method = strcmp(method, "HEAD") == 0 ? "GET" : method;
    for (int i = 0; i < HUB_ROUTES; i++) {
        const struct http_route *route = &t.routes[node][i];
        if (strcmp(route->method, route_method) == 0 && strcmp(route->path, path) == 0) {
            route->on_request(&it, route->arg);
            return;
        }
    }
    fail_msg("no route for %s %s", method, path);
}

// "id=TOKEN" for a new connection.
static inline void negotiate(int node, char query[AUTH_SEALED_MAX + 8]) {
    struct http_exchange exchange = {0};
    request(node, "POST", "/sessionHub/negotiate", "negotiateVersion=1", "", &exchange);
    assert_int_equal(exchange.status, 200);
    json_t *root = json_loads(exchange.body, 0, NULL);
    snprintf(query, AUTH_SEALED_MAX + 8, "id=%s",
             json_string_value(json_object_get(root, "connectionToken")));
    json_decref(root);
}

static inline unsigned ws_connect_from(int node, struct ws *ws, const char *query, const char *address) {
    const struct http_request it = {
        .method = "GET", .path = "/sessionHub", .query = query, .client_address = address};
    memset(ws, 0, sizeof *ws);
    unsigned status = t.ws[node].on_accept(ws, &it, &ws->user, t.ws[node].arg);
    if (!status)
        t.ws[node].on_open(ws, ws->user, t.ws[node].arg);
    return status;
}

static inline void ws_say(struct ws *ws, const char *text) {
    t.ws[0].ops->on_message(ws, false, (const uint8_t *)text, strlen(text), ws->user);
}

static inline void ws_gone(struct ws *ws) {
    t.ws[0].ops->on_close(ws, true, 1000, ws->user);
}

// What came since the last look, with '|' for the end of a record.
static inline const char *taken(char *text) {
    static char out[8192];
    snprintf(out, sizeof out, "%s", text);
    for (char *c = out; *c; c++)
        *c = *c == 0x1e ? '|' : *c;
    text[0] = '\0';
    return out;
}

#define HELLO "{\"protocol\":\"json\",\"version\":1}\x1e"
#define REGISTER(id)                                                                                         \
    "{\"type\":1,\"invocationId\":\"0\",\"target\":\"Register\",\"arguments\":[\"" id "\"]}\x1e"
#define COMPLETED "{\"type\":3,\"invocationId\":\"0\"}|"
#define EVENT(target, args) "{\"type\":1,\"target\":\"" target "\",\"arguments\":" args "}|"

static inline void ws_open(int node, struct ws *ws) {
    assert_int_equal(ws_connect_from(node, ws, "", "192.0.2.1"), 0);
    ws_say(ws, HELLO);
    assert_string_equal(taken(ws->text), "{}|");
}

// Connected and registered for the known id.
static inline void ws_waiter(int node, struct ws *ws) {
    ws_open(node, ws);
    ws_say(ws, REGISTER("known"));
    assert_string_equal(taken(ws->text), COMPLETED);
}

static inline void send_event(int node, const char *target, const char *json) {
    json_t *args = json_loads(json, 0, NULL);
    assert_int_equal(hub_send(t.hub[node], "known", target, args), 0);
    json_decref(args);
    settle();
}

#define WITH_NODES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
