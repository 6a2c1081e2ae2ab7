// SPDX-License-Identifier: Apache-2.0
// A fake exchange, a fake platform client and a fake layer above, for the session requests.
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

// What the fake platform was asked, and how to answer it.
static struct {
    int asked, refuse_err;
    char url[512], headers[512], body[4096];
    void (*on_done)(const struct httpc_response *response, void *arg);
    void *arg;
} platform;

int httpc_send(struct httpc *client, const struct httpc_request *request,
               void (*on_done)(const struct httpc_response *response, void *arg), void *arg) {
    (void)client;
    if (platform.refuse_err)
        return platform.refuse_err;
    platform.asked++;
    assert_string_equal(request->method, "POST");
    assert_true(request->timeout_ms > 0);
    snprintf(platform.url, sizeof platform.url, "%s", request->url);
    snprintf(platform.body, sizeof platform.body, "%.*s", (int)request->body_len, request->body);
    platform.headers[0] = '\0';
    for (size_t i = 0; i < request->header_count; i++) {
        size_t n = strlen(platform.headers);
        snprintf(platform.headers + n, sizeof platform.headers - n, "%s\n", request->headers[i]);
    }
    platform.on_done = on_done;
    platform.arg = arg;
    return 0;
}

static void platform_answers(long status, const char *body) {
    struct httpc_response response = {.status = status, .body = body, .body_len = strlen(body), .text = ""};
    assert_non_null(platform.on_done);
    platform.on_done(&response, platform.arg);
    platform.on_done = NULL;
}

__attribute__((unused)) static void platform_fails(int err) {
    struct httpc_response response = {.err = err, .body = "", .text = "it did not answer"};
    platform.on_done(&response, platform.arg);
    platform.on_done = NULL;
}

struct fixture {
    struct api *api;
    struct initiate *initiate;
    struct conf *conf;
    struct http_route routes[API_ROUTES];
    struct api_admission verdict;
    bool admit_later;
    void (*done)(const struct api_admission *verdict, void *done_arg);
    void *done_arg;
    int admits, releases, sessions, session_err;
    const char *taken_id, *request_host;
    char session_id[160], client_id[300], agent_url[256], region_id[64], host[256];
    enum conf_encoding encoding;
    uint32_t rate_hz, frame_ms;
    bool secure;
};

static void on_admit(const struct http_request *request, const char *campaign_id,
                     void (*done)(const struct api_admission *verdict, void *done_arg), void *done_arg,
                     void *arg) {
    struct fixture *f = arg;
    assert_non_null(request->exchange);
    assert_string_equal(campaign_id, "Example");
    f->admits++;
    f->done = done;
    f->done_arg = done_arg;
    if (!f->admit_later)
        done(&f->verdict, done_arg);
}

static void on_release(const char *campaign_id, void *arg) {
    struct fixture *f = arg;
    assert_string_equal(campaign_id, "Example");
    f->releases++;
}

static int on_session(const struct api_session *session, const struct http_request_origin *origin, char *url,
                      size_t url_size, void *arg) {
    struct fixture *f = arg;
    f->sessions++;
    snprintf(f->session_id, sizeof f->session_id, "%s", session->session_id);
    snprintf(f->client_id, sizeof f->client_id, "%s", session->client_id);
    snprintf(f->agent_url, sizeof f->agent_url, "%s", session->agent_url);
    snprintf(f->region_id, sizeof f->region_id, "%s", session->region_id);
    snprintf(f->host, sizeof f->host, "%s", origin->host);
    f->encoding = session->encoding;
    f->rate_hz = session->sample_rate_hz;
    f->frame_ms = session->frame_ms;
    f->secure = origin->secure;
    assert_string_equal(session->campaign_id, "Example");
    snprintf(url, url_size, "wss://gw/ws/session/%s/webrtc/%s/token", session->session_id,
             session->client_id);
    return f->taken_id && strcmp(f->taken_id, session->session_id) == 0 ? -EEXIST : f->session_err;
}

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
    *f = (struct fixture){.verdict = {.status = 200}};
    memset(&platform, 0, sizeof platform);
    assert_int_equal(conf_parse(&f->conf, "test", config, strlen(config), NULL, &report), 0);
    struct api_events events = {
        .on_admit = on_admit, .on_release = on_release, .ice_servers_json = ice_servers_json, .arg = f};
    struct initiate_events made = {.on_session = on_session, .arg = f};
    assert_int_equal(initiate_new(&f->initiate, f->conf, NULL, &made), 0);
    assert_int_equal(api_new(&f->api, f->conf, f->initiate, &events), 0);
    api_routes(f->api, f->routes);
}

static void tear_down(struct fixture *f) {
    api_free(f->api);
    initiate_free(f->initiate);
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
static const char platform_good[] =
    "{\"success\":true,\"message\":\"\",\"code\":\"\",\"data\":{\"webSessionId\":\"w1\","
    "\"conversationSessionId\":"
    "\"ses_abc\",\"sessionWebSocketURL\":\"wss://agent.example/ws?token=SECRET\"}}";

__attribute__((unused)) static void expect(struct fixture *f, const char *body, unsigned status,
                                           const char *answer) {
    struct http_exchange exchange;
    post_from(f, REQUEST, "203.0.113.9", body, &exchange);
    if (exchange.status != status || !strstr(exchange.body, answer))
        print_error("for %s\ngot %u %s\n", body, exchange.status, exchange.body);
    assert_int_equal(exchange.replies, 1);
    assert_int_equal(exchange.status, status);
    assert_non_null(strstr(exchange.body, answer));
}

#endif
