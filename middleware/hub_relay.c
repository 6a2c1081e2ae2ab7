// SPDX-License-Identifier: Apache-2.0
// Requests for a connection that lives on another node. Redis knows which (a key per connection of server-sent
// events or long polling, "-" once it is over); one script looks it up and either passes the request on or gives
// the connection to the node that asks. Requests and answers travel on a channel of each node: a JSON head, a
// line end, the body.
//
//   request  {"n":7,"from":NODE,"ask":"post","id":CONNECTION}   answer  {"n":7,"status":200}
//
// Messages get lost. Whoever asked for a poll then asks whether it still waits ("still"), and an answer that had
// records is sent once more; it is passed over when it had arrived.
#include "middleware/hub_impl.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct redis_script find_script = {
    .text = "local owner = redis.call('GET', KEYS[1])\n"
            "if owner == '-' or owner == ARGV[1] then return '=gone' end\n"
            "if owner then\n"
            "  if ARGV[5] == '' then return '=taken' end\n"
            "  if redis.call('PUBLISH', ARGV[4] .. owner, ARGV[5]) > 0 then return owner end\n"
            "  redis.call('DEL', KEYS[1])\n"
            "  return '=gone'\n"
            "end\n"
            "if ARGV[3] ~= '1' then return '=gone' end\n"
            "redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])\n"
            "return '=yours'\n",
};

static const char *const ask_names[] = {
    [HUB_ASK_STREAM] = "stream", [HUB_ASK_POLL] = "poll", [HUB_ASK_POST] = "post",
    [HUB_ASK_DELETE] = "delete", [HUB_ASK_LEFT] = "left", [HUB_ASK_STILL] = "still"};
enum { ASKS = sizeof ask_names / sizeof *ask_names, HEAD_MAX = 512 };

// A request of a client here that waits for Redis, then for another node.
struct relay {
    struct hub *hub;
    uint64_t n; // its handle in hub->relays
    enum hub_ask ask;
    bool may_begin;
    bool in_redis;                  // an answer of Redis is still to come
    bool parked;                    // Redis is away
    bool unsure;                    // and may have passed it on all the same: it is asked again, as the same
    struct http_exchange *exchange; // NULL once it was answered
    uint64_t deadline_ms, look_ms;
    unsigned misses;          // looks that did not find the owner
    char owner[HUB_NODE_MAX]; // "" while it is not known
    char id[HUB_CONN_ID_MAX + 1], client_address[64];
};

// ---- life

static void relay_free_maybe(struct relay *relay) {
    if (relay->exchange || relay->in_redis)
        return;
    slot_take(relay->hub->relays, relay->n);
    free(relay);
}

static struct http_exchange *relay_exchange(struct relay *relay) {
    struct http_exchange *exchange = relay->exchange;
    relay->exchange = NULL;
    return exchange;
}

static void relay_refuse(struct relay *relay, unsigned status, const char *message) {
    struct http_exchange *exchange = relay_exchange(relay);
    if (exchange)
        hub_refuse(exchange, status, message);
}

static void conn_key(const char *id, char *out, size_t out_size) {
    snprintf(out, out_size, "%s%s", HUB_CONN_KEY, id);
}

static void head_of(const struct relay *relay, enum hub_ask ask, char head[HEAD_MAX]) {
    snprintf(head, HEAD_MAX, "{\"n\":%llu,\"from\":\"%s\",\"ask\":\"%s\",\"id\":\"%s\"}",
             (unsigned long long)relay->n, relay->hub->node, ask_names[ask], relay->id);
}

static int tell_owner(const struct relay *relay, enum hub_ask ask, redis_fn *fn, void *arg) {
    char channel[sizeof HUB_NODE_CHANNEL + HUB_NODE_MAX], head[HEAD_MAX];
    snprintf(channel, sizeof channel, "%s%s", HUB_NODE_CHANNEL, relay->owner);
    head_of(relay, ask, head);
    return hub_publish(relay->hub, channel, head, span_of("", 0), fn, arg);
}

// Its node has to know that nobody waits any more, or it would answer into the void.
static void tell_left(const struct relay *relay) {
    if (relay->ask == HUB_ASK_POLL && relay->owner[0])
        tell_owner(relay, HUB_ASK_LEFT, NULL, NULL);
}

static void on_gone(void *arg) {
    struct relay *relay = arg;
    tell_left(relay);
    relay_refuse(relay, 404, "");
    relay_free_maybe(relay);
}

// ---- asking

static void begin_here(struct relay *relay) {
    struct http_exchange *exchange = relay_exchange(relay);
    if (!exchange)
        return; // the entry in Redis runs out by itself
    if (relay->ask == HUB_ASK_STREAM)
        hub_sse_begin(relay->hub, relay->id, relay->client_address, exchange);
    else
        hub_poll_begin(relay->hub, relay->id, relay->client_address, exchange);
}

// Two polls of a client may cross, so the connection may have come to be since.
static void serve_here(struct relay *relay, struct hub_conn *conn) {
    const struct hub_caller caller = {.exchange = relay_exchange(relay)};
    if (caller.exchange)
        hub_serve(conn, relay->ask, &caller, span_of("", 0));
}

static void take_owner(struct relay *relay, const char *owner) {
    struct hub_conn *conn = hub_map_get(&relay->hub->conns_by_id, relay->id);
    if (conn && relay->ask != HUB_ASK_POST) {
        serve_here(relay, conn);
    } else if (strcmp(owner, "=yours") == 0) {
        begin_here(relay);
    } else if (strcmp(owner, "=taken") == 0) {
        relay_refuse(relay, 409, "The connection id was used already.");
    } else if (*owner == '=') {
        relay_refuse(relay, 404, "There is no such connection.");
    } else {
        snprintf(relay->owner, sizeof relay->owner, "%s", owner);
        relay->hub->others = true;
        metric_add(METRIC_HUB_RELAYED, 1);
        if (!relay->exchange)
            tell_left(relay);
    }
}

// One node alone does well without Redis. With others a poll is most likely that of a connection of theirs: it waits a
// little and is asked for again, and the connection is not lost.
static void without_redis(struct relay *relay, int err) {
    struct hub *hub = relay->hub;
    if (relay->may_begin && err == -ENOTCONN && !hub->others) {
        begin_here(relay);
    } else if (relay->ask == HUB_ASK_POLL && err && hub->others && !hub->closing) {
        relay->parked = true;
        relay->unsure = relay->unsure || err != -ENOTCONN;
        relay->look_ms = hub->now_ms + HUB_TICK_MS;
    } else {
        relay_refuse(relay, 503, NULL);
    }
}

static void on_found(int err, const struct redis_reply *reply, void *arg) {
    struct relay *relay = arg;
    struct hub *hub = relay->hub;
    hub->redis_calls--;
    relay->in_redis = false;
    if (!err && reply->type == REDIS_STRING)
        take_owner(relay, reply->str);
    else
        without_redis(relay, err);
    relay_free_maybe(relay);
    if (hub->closing)
        hub_closed_maybe(hub);
}

static int send_question(struct relay *relay, struct span body) {
    struct hub *hub = relay->hub;
    char key[sizeof HUB_CONN_KEY + HUB_CONN_ID_MAX], head[HEAD_MAX], ttl[24];
    bool passes_on = relay->ask != HUB_ASK_STREAM;
    head_of(relay, relay->ask, head);
    size_t head_len = strlen(head), len = passes_on ? head_len + 1 + body.len : 0;
    char *message = malloc(len + 1);
    if (!message)
        return -ENOMEM;
    if (passes_on) {
        memcpy(message, head, head_len);
        message[head_len] = '\n';
        if (body.len)
            memcpy(message + head_len + 1, body.ptr, body.len);
    }
    conn_key(relay->id, key, sizeof key);
    const struct redis_arg keys[] = {redis_str(key)};
    const struct redis_arg args[] = {redis_str(hub->node),
                                     redis_int(HUB_CLAIM_SECONDS, ttl),
                                     redis_str(relay->may_begin ? "1" : "0"),
                                     redis_str(HUB_NODE_CHANNEL),
                                     {message, len}};
    int rc = redis_eval(hub->config.redis, &find_script, keys, 1, args, 5, on_found, relay);
    free(message);
    return rc;
}

static void ask_redis(struct relay *relay, struct span body) {
    int rc = send_question(relay, body);
    relay->parked = false;
    if (rc) {
        without_redis(relay, rc);
        return;
    }
    relay->in_redis = true;
    relay->hub->redis_calls++;
}

static struct relay *relay_new(struct hub *hub, enum hub_ask ask, const char *id, bool may_begin,
                               const struct http_request *request) {
    struct relay *relay = calloc(1, sizeof *relay);
    if (!relay || slot_put(hub->relays, relay, &relay->n) != 0) {
        free(relay);
        return NULL;
    }
    relay->hub = hub;
    relay->ask = ask;
    relay->may_begin = may_begin;
    relay->exchange = request->exchange;
    relay->look_ms = hub->now_ms + HUB_RELAY_MS;
    relay->deadline_ms = hub->now_ms + (ask == HUB_ASK_POLL ? HUB_RELAY_POLL_MS : HUB_RELAY_MS);
    snprintf(relay->id, sizeof relay->id, "%s", id);
    snprintf(relay->client_address, sizeof relay->client_address, "%s", request->client_address);
    return relay;
}

void hub_relay(struct hub *hub, enum hub_ask ask, const char *id, bool may_begin,
               const struct http_request *request) {
    struct relay *relay = relay_new(hub, ask, id, may_begin, request);
    if (!relay) {
        hub_refuse(request->exchange, 503, NULL);
        return;
    }
    ask_redis(relay, request->body);
    if (relay->exchange)
        http_hold(relay->exchange, on_gone, relay);
    relay_free_maybe(relay);
}

// ---- what comes from other nodes

static void take_answer(struct hub *hub, const json_t *head, struct span body) {
    uint64_t n = (uint64_t)json_integer_value(json_object_get(head, "n"));
    json_int_t status = json_integer_value(json_object_get(head, "status"));
    struct relay *relay = slot_get(hub->relays, n);
    if (!relay || status < 200 || status > 599)
        return;
    struct http_exchange *exchange = relay_exchange(relay);
    const struct hub_caller caller = {.exchange = exchange};
    if (exchange)
        hub_answer(hub, &caller, (unsigned)status, (const char *)body.ptr, body.len);
    relay_free_maybe(relay);
}

static void take_request(struct hub *hub, const json_t *head, struct span body) {
    const char *from = json_string_value(json_object_get(head, "from"));
    const char *name = json_string_value(json_object_get(head, "ask"));
    const char *id = json_string_value(json_object_get(head, "id"));
    struct hub_caller caller = {.n = (uint64_t)json_integer_value(json_object_get(head, "n"))};
    size_t ask = 0;
    while (name && ask < ASKS && strcmp(ask_names[ask], name) != 0)
        ask++;
    if (!from || !id || !name || ask == ASKS || strlen(from) >= sizeof caller.from)
        return;
    snprintf(caller.from, sizeof caller.from, "%s", from);
    hub->others = true;
    struct hub_conn *conn = hub_map_get(&hub->conns_by_id, id);
    if (conn)
        hub_serve(conn, (enum hub_ask)ask, &caller, body);
    else if (ask != HUB_ASK_LEFT)
        hub_answer(hub, &caller, 404, NULL, 0);
}

void hub_relay_message(struct hub *hub, const char *message, size_t len) {
    struct span body = span_of(message, len), line;
    json_t *head =
        span_until(&body, '\n', &line) ? json_loadb((const char *)line.ptr, line.len, 0, NULL) : NULL;
    if (!json_is_object(head))
        log_warn(NULL, "hub", "a message of %zu bytes on this node's channel is none of the hub's", len);
    else if (json_object_get(head, "ask"))
        take_request(hub, head, body);
    else
        take_answer(hub, head, body);
    json_decref(head);
}

// ---- which node has which connection

static void set_key(const struct hub_conn *conn, const char *value, int64_t seconds) {
    char key[sizeof HUB_CONN_KEY + HUB_CONN_ID_MAX], ttl[24];
    conn_key(conn->id, key, sizeof key);
    const struct redis_arg args[] = {redis_str("SET"), redis_str(key), redis_str(value), redis_str("EX"),
                                     redis_int(seconds, ttl)};
    redis_command(conn->hub->config.redis, args, 5, NULL, NULL); // when it is away: renewed when it is back
}

void hub_relay_claim(struct hub_conn *conn) {
    conn->renewed_ms = conn->hub->now_ms;
    if (!conn->ws)
        set_key(conn, conn->hub->node, HUB_CLAIM_SECONDS);
}

void hub_relay_disclaim(struct hub_conn *conn) {
    set_key(conn, "-", HUB_TOKEN_SECONDS);
}

// ---- time

// Its client asks again, which is safe as long as nobody can have answered this one.
static void answer_empty(struct relay *relay) {
    const struct hub_caller caller = {.exchange = relay_exchange(relay)};
    hub_answer(relay->hub, &caller, 200, NULL, 0);
}

// A node that is not there may be about to subscribe again, as after a restart of Redis.
static void take_look(struct relay *relay, int64_t heard) {
    relay->misses = heard ? 0 : relay->misses + 1;
    if (relay->misses >= HUB_RELAY_MISSES)
        relay_refuse(relay, 404, "The connection is lost.");
    else if (!heard)
        relay->look_ms = relay->hub->now_ms + HUB_TICK_MS;
}

static void on_looked(int err, const struct redis_reply *reply, void *arg) {
    struct relay *relay = arg;
    struct hub *hub = relay->hub;
    hub->redis_calls--;
    relay->in_redis = false;
    if (!err && reply->type == REDIS_INTEGER)
        take_look(relay, reply->integer);
    relay_free_maybe(relay);
    if (hub->closing)
        hub_closed_maybe(hub);
}

// A poll may wait long, and its node may end meanwhile, or never have heard of it, or its answer may be lost.
static void look_after(struct relay *relay) {
    if (relay->parked && relay->unsure) {
        ask_redis(relay, span_of("", 0));
    } else if (relay->parked) {
        answer_empty(relay);
    } else {
        relay->look_ms = relay->hub->now_ms + HUB_RELAY_MS;
        relay->in_redis = tell_owner(relay, HUB_ASK_STILL, on_looked, relay) == 0;
    }
    relay_free_maybe(relay);
}

static void look(uint64_t handle, void *object, void *arg) {
    struct relay *relay = object;
    struct hub *hub = arg;
    (void)handle;
    if (!relay->exchange || relay->in_redis)
        return;
    if (hub->now_ms < relay->deadline_ms) {
        if (relay->ask == HUB_ASK_POLL && hub->now_ms >= relay->look_ms)
            look_after(relay);
        return;
    }
    if (relay->ask == HUB_ASK_POLL)
        relay_refuse(relay, 404, "The connection is lost.");
    else
        relay_refuse(relay, 503, NULL);
    relay_free_maybe(relay);
}

void hub_relay_tick(struct hub *hub) {
    slot_each(hub->relays, look, hub);
}

static void look_now(uint64_t handle, void *object, void *arg) {
    struct relay *relay = object;
    (void)handle;
    (void)arg;
    if (relay->ask == HUB_ASK_POLL && relay->exchange && !relay->in_redis)
        look_after(relay);
}

void hub_relay_again(struct hub *hub) {
    slot_each(hub->relays, look_now, NULL);
}

static void drop(uint64_t handle, void *object, void *arg) {
    struct relay *relay = object;
    (void)handle;
    (void)arg;
    relay_refuse(relay, 503, NULL);
    relay_free_maybe(relay);
}

void hub_relay_close(struct hub *hub) {
    slot_each(hub->relays, drop, NULL);
}
