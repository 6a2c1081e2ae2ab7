// SPDX-License-Identifier: Apache-2.0
#include "gateway/front.h"

#include <stdlib.h>
#include <string.h>

struct front {
    struct front_config config;
    struct desk *desk;
    struct hub *hub;
    struct webhook *webhook;
    struct api *api;
    unsigned closing;
    void (*on_closed)(void *arg);
    void *arg;
};

static int start_hub(struct front *front) {
    const struct front_config *config = &front->config;
    struct hub_events events;
    desk_hub_events(front->desk, &events);
    const struct hub_config hub = {
        .loop = config->loop,
        .redis = config->redis,
        .auth = config->auth,
        .events = &events,
        .max_connections = (size_t)config->conf->hub.max_connections,
        .max_per_address = (size_t)config->conf->hub.max_connections_per_address,
    };
    int err = hub_new(&front->hub, &hub);
    if (!err)
        desk_set_hub(front->desk, front->hub);
    return err;
}

int front_new(struct front **out, const struct front_config *config) {
    struct front *front = calloc(1, sizeof *front);
    if (!front)
        return -ENOMEM;
    front->config = *config;
    *out = front; // also when it does not start, as gateway_start's
    const struct desk_config desk = {.loop = config->loop,
                                     .conf = config->conf,
                                     .redis = config->redis,
                                     .client = config->client,
                                     .events = config->events};
    int err = desk_new(&front->desk, &desk);
    if (!err)
        err = start_hub(front);
    struct webhook_events ended;
    desk_webhook_events(front->desk, &ended);
    if (!err)
        err = webhook_new(&front->webhook, config->loop, config->conf, &ended);
    const struct api_config api = {.conf = config->conf,
                                   .desk = front->desk,
                                   .ice_servers_json = config->events->ice_servers_json,
                                   .arg = config->events->arg};
    return err ? err : api_new(&front->api, &api);
}

void front_set_conf(struct front *front, const struct conf *conf) {
    front->config.conf = conf;
    desk_set_conf(front->desk, conf);
    webhook_set_conf(front->webhook, conf);
    api_set_conf(front->api, conf);
}

void front_drain(struct front *front) {
    hub_drain(front->hub);
}

static void on_part_closed(void *arg) {
    struct front *front = arg;
    if (--front->closing == 0)
        front->on_closed(front->arg);
}

void front_close(struct front *front, void (*on_closed)(void *arg), void *arg) {
    front->on_closed = on_closed;
    front->arg = arg;
    front->closing = 2;
    desk_set_hub(front->desk, NULL);
    hub_close(front->hub, on_part_closed, front);
    desk_close(front->desk, on_part_closed, front);
}

void front_free(struct front *front) {
    if (!front)
        return;
    api_free(front->api);
    webhook_free(front->webhook);
    desk_free(front->desk);
    free(front);
}

struct desk *front_desk(struct front *front) {
    return front->desk;
}

// ---- routes

static void on_observed(int err, const char *json, void *arg) {
    struct http_exchange *exchange = arg;
    if (err)
        http_reply_message(exchange, 503, "Redis is away.");
    else
        http_reply_json(exchange, 200, json);
}

static void on_admin_desk(const struct http_request *request, void *arg) {
    struct front *front = arg;
    if (doors_admin_allowed(front->config.doors, request))
        desk_observe(front->desk, on_observed, request->exchange);
}

void front_routes(struct front *front, struct http_route out[FRONT_ROUTES]) {
    api_routes(front->api, out);
    hub_routes(front->hub, out + API_ROUTES);
    webhook_routes(front->webhook, out + API_ROUTES + HUB_ROUTES);
}

void front_admin_routes(struct front *front, struct http_route out[FRONT_ADMIN_ROUTES]) {
    out[0] = (struct http_route){"GET", "/api/admin/desk", on_admin_desk, front};
}

void front_ws_route(struct front *front, struct ws_route *out) {
    hub_ws_route(front->hub, out);
}
