// SPDX-License-Identifier: Apache-2.0
// docs/openapi.json and the routes of a running gateway say the same, both ways.
#include "gateway/gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>
#include <jansson.h>

static const char config[] = "{\"Gateway\":{\"HttpListen\":\"127.0.0.1:0\",\"Workers\":1,\"DrainSeconds\":0,"
                             "\"Roles\":[\"middleware\",\"media\"]},"
                             "\"Agent\":{\"Builtin\":\"echo\"},\"WebRtc\":{\"UdpPorts\":\"40000-40099\"},"
                             "\"RedisConnectionString\":\"127.0.0.1:1\"}";

static struct {
    uv_loop_t loop;
    struct gateway *gateway;
    json_t *paths;
} t;

static int setup(void **state) {
    (void)state;
    struct conf_report report = {.out = stderr};
    struct conf *conf = NULL;
    struct err_text err = {""};
    assert_int_equal(uv_loop_init(&t.loop), 0);
    assert_int_equal(conf_parse(&conf, "test", config, strlen(config), NULL, &report), 0);
    if (gateway_start(&t.gateway, &t.loop, conf, &err) != 0)
        fail_msg("%s", err.text);
    json_t *root = json_load_file("docs/openapi.json", JSON_REJECT_DUPLICATES, NULL);
    t.paths = json_incref(json_object_get(root, "paths"));
    json_decref(root);
    return t.paths ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    gateway_stop(t.gateway);
    gateway_stop(t.gateway);
    uv_run(&t.loop, UV_RUN_DEFAULT);
    gateway_free(t.gateway);
    json_decref(t.paths);
    return uv_loop_close(&t.loop);
}

// "/a/" + "*" and "/a/{b}" are the same, and so is "/a/{b}/c".
static bool same_path(const char *route, const char *documented) {
    size_t len = strlen(route);
    if (route[len - 1] != '*')
        return strcmp(route, documented) == 0;
    return strncmp(route, documented, len - 1) == 0 && documented[len - 1] == '{';
}

static bool same_method(const char *route, const char *documented) {
    return strcasecmp(route, documented) == 0;
}

static bool is_documented(const char *method, const char *path) {
    const char *documented, *name;
    json_t *item, *operation;
    json_object_foreach(t.paths, documented, item) {
        if (!same_path(path, documented))
            continue;
        json_object_foreach(item, name, operation) {
            if (same_method(method, name))
                return true;
        }
    }
    return false;
}

static bool is_served(const char *method, const char *path) {
    struct gateway_routes all = gateway_routes(t.gateway);
    for (size_t i = 0; i < all.route_count; i++)
        if (same_path(all.routes[i].path, path) && same_method(all.routes[i].method, method))
            return true;
    for (size_t i = 0; i < all.ws_route_count; i++)
        if (same_path(all.ws_routes[i].path, path) && same_method("GET", method))
            return true;
    return false;
}

static void test_every_route_is_documented(void **state) {
    (void)state;
    struct gateway_routes all = gateway_routes(t.gateway);
    assert_true(all.route_count > 10);
    assert_int_equal(all.ws_route_count, 2);
    for (size_t i = 0; i < all.route_count; i++)
        if (!is_documented(all.routes[i].method, all.routes[i].path))
            fail_msg("docs/openapi.json lacks %s %s", all.routes[i].method, all.routes[i].path);
    for (size_t i = 0; i < all.ws_route_count; i++)
        if (!is_documented("GET", all.ws_routes[i].path))
            fail_msg("docs/openapi.json lacks the WebSocket %s", all.ws_routes[i].path);
}

static void test_nothing_else_is_documented(void **state) {
    (void)state;
    const char *path, *method;
    json_t *item, *operation;
    json_object_foreach(t.paths, path, item) {
        json_object_foreach(item, method, operation) {
            if (!is_served(method, path))
                fail_msg("docs/openapi.json has %s %s, which nobody serves", method, path);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_route_is_documented),
        cmocka_unit_test(test_nothing_else_is_documented),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
