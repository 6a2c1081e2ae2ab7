// SPDX-License-Identifier: Apache-2.0
#include "middleware/hub_impl.h"

#include "gateway/core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENT_MAX = 16384 };

// ---- limits

bool hub_bucket_take(struct hub_bucket *bucket, uint64_t now_ms, uint32_t capacity, uint32_t per_s,
                     uint32_t cost) {
    uint64_t drained = (now_ms - bucket->at_ms) * per_s;
    bucket->used_milli = bucket->used_milli > drained ? bucket->used_milli - drained : 0;
    bucket->at_ms = now_ms;
    if (bucket->used_milli + (uint64_t)cost * 1000 > (uint64_t)capacity * 1000)
        return false;
    bucket->used_milli += (uint64_t)cost * 1000;
    return true;
}

struct hub_address *hub_address_of(struct hub *hub, const char *client_address) {
    char key[ADDRESS_KEY_SIZE];
    if (address_key(client_address, key) != 0)
        snprintf(key, sizeof key, "%s", client_address);
    struct hub_address *address = hub_map_get(&hub->addresses, key);
    if (address || hub->address_count >= 2 * hub->config.max_connections)
        return address;
    address = calloc(1, sizeof *address);
    if (!address)
        return NULL;
    memcpy(address->key, key, sizeof key);
    address->entry.name = address->key;
    hub_map_put(&hub->addresses, &address->entry);
    hub->address_count++;
    return address;
}

static void address_free(struct hub *hub, struct hub_address *address) {
    hub_map_remove(&hub->addresses, &address->entry);
    hub->address_count--;
    free(address);
}

static void address_look(void *object, void *arg) {
    struct hub_address *address = object;
    struct hub *hub = arg;
    uint64_t drained = (hub->now_ms - address->registers.at_ms) * HUB_ADDRESS_PER_S;
    if (!address->conns && drained >= address->registers.used_milli)
        address_free(hub, address);
}

// ---- through Redis

int hub_publish(struct hub *hub, const char *channel, const char *head, struct span body, redis_fn *fn,
                void *arg) {
    size_t head_len = strlen(head);
    char *message = malloc(head_len + 1 + body.len);
    if (!message)
        return -ENOMEM;
    memcpy(message, head, head_len);
    message[head_len] = '\n';
    if (body.len)
        memcpy(message + head_len + 1, body.ptr, body.len);
    const struct redis_arg args[] = {
        redis_str("PUBLISH"), redis_str(channel), {message, head_len + 1 + body.len}};
    int rc = redis_command(hub->config.redis, args, 3, fn, arg);
    free(message);
    if (!rc && fn)
        hub->redis_calls++;
    return rc;
}

int hub_send(struct hub *hub, const char *id, const char *target, json_t *args) {
    size_t id_len = strlen(id);
    if (!id_len || id_len > HUB_ID_MAX || strchr(id, '\n') || !json_is_array(args))
        return -EINVAL;
    json_t *root = json_pack("{s:s,s:O}", "target", target, "arguments", args);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    int rc = text ? 0 : -ENOMEM;
    size_t len = text ? strlen(text) : 0;
    if (!rc)
        rc = len <= EVENT_MAX ? hub_publish(hub, HUB_EVENTS_CHANNEL, id, span_of(text, len), NULL, NULL)
                              : -EINVAL;
    free(text);
    json_decref(root);
    return rc;
}

static void on_event(const char *message, size_t len, void *arg) {
    hub_topics_event(arg, message, len);
}

static void on_relayed(const char *message, size_t len, void *arg) {
    hub_relay_message(arg, message, len);
}

// Redis is there, for the first time or again: what it knew of this node may be lost, and so may events.
static void on_listening(void *arg) {
    struct hub *hub = arg;
    struct hub_conn *conn;
    LIST_FOREACH(conn, &hub->conns, all) {
        hub_relay_claim(conn);
    }
    hub_relay_again(hub);
    hub_topics_listen(hub);
}

// ---- life

static void conns_look(struct hub *hub) {
    struct hub_conn *conn = LIST_FIRST(&hub->conns), *next;
    for (; conn; conn = next) {
        next = LIST_NEXT(conn, all);
        if (!hub_conn_look(conn))
            hub_conn_free(conn);
    }
}

void hub_tick(struct hub *hub, uint64_t now_ms) {
    hub->now_ms = now_ms;
    conns_look(hub);
    hub_topics_tick(hub);
    hub_relay_tick(hub);
    hub_map_each(&hub->addresses, address_look, hub);
}

static void on_timer(uv_timer_t *timer) {
    hub_tick(timer->data, uv_now(timer->loop));
}

static int hub_listen(struct hub *hub) {
    char channel[sizeof HUB_NODE_CHANNEL + HUB_NODE_MAX];
    snprintf(channel, sizeof channel, "%s%s", HUB_NODE_CHANNEL, hub->node);
    int rc = redis_subscribe(hub->config.redis, channel, NULL, on_relayed, hub);
    return rc ? rc : redis_subscribe(hub->config.redis, HUB_EVENTS_CHANNEL, on_listening, on_event, hub);
}

static void hub_deafen(struct hub *hub) {
    char channel[sizeof HUB_NODE_CHANNEL + HUB_NODE_MAX];
    snprintf(channel, sizeof channel, "%s%s", HUB_NODE_CHANNEL, hub->node);
    redis_unsubscribe(hub->config.redis, channel);
    redis_unsubscribe(hub->config.redis, HUB_EVENTS_CHANNEL);
}

static void address_drop(void *object, void *arg) {
    address_free(arg, object);
}

static void hub_free(struct hub *hub) {
    hub_map_each(&hub->addresses, address_drop, hub);
    slot_table_free(hub->relays);
    free(hub);
}

static int hub_prepare(struct hub *hub) {
    int rc = auth_random_id("", hub->node, sizeof hub->node);
    if (!rc)
        rc = hub_map_init(&hub->conns_by_id);
    if (!rc)
        rc = hub_map_init(&hub->topics);
    if (!rc)
        rc = hub_map_init(&hub->addresses);
    return rc ? rc : slot_table_new(&hub->relays, HUB_RELAYS_MAX);
}

int hub_new(struct hub **out, const struct hub_config *config) {
    struct hub *hub = calloc(1, sizeof *hub);
    if (!hub)
        return -ENOMEM;
    hub->config = *config;
    hub->events = *config->events;
    if (!config->max_connections)
        hub->config.max_connections = HUB_CONNECTIONS;
    if (!config->max_per_address)
        hub->config.max_per_address = HUB_PER_ADDRESS;
    LIST_INIT(&hub->conns);
    TAILQ_INIT(&hub->stale);
    int rc = hub_prepare(hub);
    if (!rc)
        rc = hub_listen(hub);
    if (rc) {
        if (hub->relays)
            hub_deafen(hub);
        hub_free(hub);
        return rc;
    }
    uv_timer_init(config->loop, &hub->timer);
    hub->timer.data = hub;
    hub->now_ms = uv_now(config->loop);
    uv_timer_start(&hub->timer, on_timer, HUB_TICK_MS, HUB_TICK_MS);
    *out = hub;
    return 0;
}

size_t hub_connections(const struct hub *hub) {
    return hub->conn_count;
}

void hub_drain(struct hub *hub) {
    struct hub_conn *conn;
    if (hub->draining)
        return;
    hub->draining = true;
    if (hub->conn_count)
        log_info(NULL, "hub", "draining: %zu clients are told to connect to another node", hub->conn_count);
    LIST_FOREACH(conn, &hub->conns, all) {
        hub_conn_close(conn, NULL, true);
    }
}

// ---- the end

void hub_closed_maybe(struct hub *hub) {
    if (!hub->timer_closed || hub->conn_count || hub->queries || hub->redis_calls)
        return;
    void (*on_closed)(void *arg) = hub->on_closed;
    void *arg = hub->closed_arg;
    hub_free(hub);
    if (on_closed)
        on_closed(arg);
}

static void on_timer_closed(uv_handle_t *handle) {
    struct hub *hub = handle->data;
    hub->timer_closed = true;
    hub_closed_maybe(hub);
}

// WebSockets are freed by their on_close, everything else here.
void hub_close(struct hub *hub, void (*on_closed)(void *arg), void *arg) {
    hub->on_closed = on_closed;
    hub->closed_arg = arg;
    hub->closing = true;
    hub_drain(hub);
    hub_deafen(hub);
    hub_relay_close(hub);
    struct hub_conn *conn = LIST_FIRST(&hub->conns), *next;
    for (; conn; conn = next) {
        next = LIST_NEXT(conn, all);
        hub_unregister_all(conn);
        if (!conn->ws)
            hub_conn_free(conn);
    }
    uv_close((uv_handle_t *)&hub->timer, on_timer_closed);
}
