// SPDX-License-Identifier: Apache-2.0
// A fake exchange and a fake desk, for the doors of the session requests.
#ifndef IQ_TESTS_API_FIXTURE_H
#define IQ_TESTS_API_FIXTURE_H

#include "middleware/api.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

struct http_exchange {
    int replies;
    unsigned status;
    char type[64], body[4096], retry_after[16];
};

void http_reply(struct http_exchange *exchange, unsigned status, const char *content_type, const void *body,
                size_t len, const struct http_header_field *headers, size_t header_count) {
    exchange->replies++;
    exchange->status = status;
    snprintf(exchange->type, sizeof exchange->type, "%s", content_type);
    snprintf(exchange->body, sizeof exchange->body, "%.*s", (int)len, (const char *)body);
    for (size_t i = 0; i < header_count; i++) {
        if (strcmp(headers[i].name, "Retry-After") == 0)
            snprintf(exchange->retry_after, sizeof exchange->retry_after, "%s", headers[i].value);
    }
}

void http_reply_json(struct http_exchange *exchange, unsigned status, const char *json) {
    http_reply(exchange, status, "application/json; charset=utf-8", json, strlen(json), NULL, 0);
}

void http_reply_message(struct http_exchange *exchange, unsigned status, const char *message) {
    char json[512];
    snprintf(json, sizeof json, "{\"message\":\"%s\"}", message);
    http_reply_json(exchange, status, json);
}

// What the fake desk was asked, and its answer.
static struct {
    int asked;
    struct initiate_request request; // the last one
    struct desk_answer answer;
} fake_desk;

void desk_request(struct desk *desk, struct initiate_request *request, desk_fn *done, void *arg) {
    (void)desk;
    fake_desk.asked++;
    initiate_request_clear(&fake_desk.request);
    fake_desk.request = *request;
    done(&fake_desk.answer, arg);
}

struct fixture {
    struct api *api;
    struct conf *conf;
    struct http_route routes[API_ROUTES];
    const char *request_host;
};

static const char *ice_servers_json(void *arg) {
    (void)arg;
    return "[{\"urls\":[\"stun:s\"]}]";
}

#define PLATFORM                                                                                             \
    "\"VoiceAiPlatform\":{\"ApiSecretToken\":\"TOKEN1\",\"BaseUrl\":\"https://p.example/api/v1/"             \
    "\",\"Campaigns\":"                                                                                      \
    "{\"Example\":{\"BusinessId\":\"12\",\"WebCampaignId\":\"web-1\",\"AllowedRegionIds\":[\"EU-DE\","       \
    "\"us\"]}}}"
#define CAMPAIGNS_ONLY                                                                                       \
    "\"VoiceAiPlatform\":{\"Campaigns\":{\"Example\":{\"BusinessId\":\"12\",\"WebCampaignId\":\"web-1\","    \
    "\"AllowedRegionIds\":[\"EU-DE\"]}}}"

static void set_up(struct fixture *f, const char *config) {
    struct conf_report report = {.out = stderr};
    *f = (struct fixture){.api = NULL};
    fake_desk.asked = 0;
    fake_desk.answer = (struct desk_answer){.status = 200, .url = "wss://gw/x"};
    assert_int_equal(conf_parse(&f->conf, "test", config, strlen(config), NULL, &report), 0);
    const struct api_config api = {.conf = f->conf, .ice_servers_json = ice_servers_json, .arg = f};
    assert_int_equal(api_new(&f->api, &api), 0);
    api_routes(f->api, f->routes);
}

static void tear_down(struct fixture *f) {
    initiate_request_clear(&fake_desk.request);
    api_free(f->api);
    conf_free(f->conf);
}

static void post_from(struct fixture *f, size_t route, const char *address, const char *body,
                      struct http_exchange *exchange) {
    *exchange = (struct http_exchange){0};
    struct http_request request = {.exchange = exchange,
                                   .method = "POST",
                                   .path = f->routes[route].path,
                                   .query = "",
                                   .host = f->request_host ? f->request_host : "gw.example",
                                   .origin = "",
                                   .secure = true,
                                   .client_address = address,
                                   .body = span_str(body)};
    f->routes[route].on_request(&request, f->routes[route].arg);
}

enum { REQUEST, INITIATE };
#define REST "\"dynamicVariables\":{},\"metadata\":{}}"
static const char good_webrtc[] =
    "{\"campaignId\":\"Example\",\"regionId\":\"EU-DE\",\"transportType\":1," REST;
static void expect(struct fixture *f, const char *body, unsigned status, const char *answer) {
    struct http_exchange exchange;
    post_from(f, REQUEST, "203.0.113.9", body, &exchange);
    if (exchange.status != status || !strstr(exchange.body, answer))
        print_error("for %s\ngot %u %s\n", body, exchange.status, exchange.body);
    assert_int_equal(exchange.replies, 1);
    assert_int_equal(exchange.status, status);
    assert_non_null(strstr(exchange.body, answer));
}

#endif
