// SPDX-License-Identifier: Apache-2.0
// A loop of the test's own with the real HTTP client and a real HTTP server on it, which stands for the service
// that is asked or carries the routes that are tested; and confs from text. Include after cmocka.h.
#ifndef IQ_TESTS_DESK_FIXTURE_H
#define IQ_TESTS_DESK_FIXTURE_H

#include "gateway/core/conf.h"
#include "gateway/core/metrics.h"
#include "signaling/http.h"
#include "signaling/httpc.h"
#include "tests/unit/signaling/http_client.h"

struct desk {
    uv_loop_t loop;
    struct httpc *client;
    struct http_server *server;
    char base[64]; // "http://127.0.0.1:port/"
    struct conf *conf;
    bool closed;
};

static inline void desk_start(struct desk *desk, const struct http_route *routes, size_t count) {
    struct err_text err = {""};
    memset(desk, 0, sizeof *desk);
    assert_int_equal(uv_loop_init(&desk->loop), 0);
    const struct http_config config = {.loop = &desk->loop,
                                       .listen = "127.0.0.1:0",
                                       .max_body = 65536,
                                       .routes = routes,
                                       .route_count = count};
    if (http_server_new(&desk->server, &config, &err) != 0)
        fail_msg("%s", err.text);
    snprintf(desk->base, sizeof desk->base, "http://127.0.0.1:%u/", http_server_port(desk->server));
    assert_int_equal(httpc_new(&desk->client, &desk->loop), 0);
}

static inline void desk_on_closed(void *arg) {
    *(bool *)arg = true;
}

// Every transfer has its callback inside, so what is asked may be freed afterwards.
static inline void desk_close_client(struct desk *desk) {
    httpc_close(desk->client);
}

static inline void desk_stop(struct desk *desk) {
    http_server_close(desk->server, desk_on_closed, &desk->closed);
    uv_run(&desk->loop, UV_RUN_DEFAULT);
    assert_true(desk->closed);
    assert_int_equal(uv_loop_close(&desk->loop), 0);
    conf_free(desk->conf);
}

// The old one is freed: tell the module first.
static inline struct conf *desk_conf(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline struct conf *desk_conf(const char *format, ...) {
    struct conf_report report = {.out = stderr};
    struct conf *conf = NULL;
    char text[2048];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert_true(len > 0 && (size_t)len < sizeof text);
    assert_int_equal(conf_parse(&conf, "test", text, (size_t)len, NULL, &report), 0);
    return conf;
}

// Turns until `*count` reaches `wanted`, at most 10 s.
static inline void desk_wait(struct desk *desk, const unsigned *count, unsigned wanted) {
    uint64_t deadline = client_deadline();
    while (*count < wanted && uv_hrtime() < deadline)
        uv_run(&desk->loop, UV_RUN_ONCE);
    assert_int_equal(*count, wanted);
}

#endif
