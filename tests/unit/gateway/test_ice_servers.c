// SPDX-License-Identifier: Apache-2.0
#include "gateway/ice_servers.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void parses_the_urls_of_rfc_7064_and_7065(void **state) {
    (void)state;
    struct ice_server_url url;
    assert_int_equal(ice_server_url_parse("stun:stun.example.org", &url), 0);
    assert_int_equal(url.scheme, ICE_URL_STUN);
    assert_string_equal(url.host, "stun.example.org");
    assert_int_equal(url.port, 3478);
    assert_int_equal(ice_server_url_parse("turn:10.0.0.1:1234?transport=tcp", &url), 0);
    assert_int_equal(url.scheme, ICE_URL_TURN);
    assert_int_equal(url.port, 1234);
    assert_true(url.tcp);
    assert_int_equal(ice_server_url_parse("turns:[2001:db8::1]:443", &url), 0);
    assert_string_equal(url.host, "2001:db8::1");
    assert_int_equal(url.port, 443);
    assert_true(url.tcp);
    assert_int_equal(ice_server_url_parse("turn:host?transport=udp", &url), 0);
    assert_false(url.tcp);
}

static void refuses_other_urls(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "stun:",
                                      "http://host",
                                      "stun:host:0",
                                      "stun:host:65536",
                                      "stun:host:12x",
                                      "turn:host?transport=sctp",
                                      "turn:[::1"};
    struct ice_server_url url;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(ice_server_url_parse(bad[i], &url), -EINVAL);
    assert_int_equal(ice_server_url_parse("stuns:host", &url), -ENOTSUP);
}

static struct conf *conf_with_turn(void) {
    static const char text[] =
        "{\"VoiceAiPlatform\":{\"Campaigns\":{}},\"Agent\":{\"Builtin\":\"echo\"},\"WebRtc\":{\"TurnSecret\":"
        "\"north\","
        "\"IceServers\":[{\"urls\":[\"stun:127.0.0.1:3478\"]},{\"urls\":\"turn:127.0.0.1:3479\"},"
        "{\"urls\":[\"turn:127.0.0.2\"],\"username\":\"u\",\"credential\":\"p\"}]}}";
    struct conf *conf = NULL;
    assert_int_equal(conf_parse(&conf, "test", text, sizeof text - 1, NULL, &(struct conf_report){0}), 0);
    return conf;
}

static void browsers_get_credentials_that_expire(void **state) {
    (void)state;
    struct conf *conf = conf_with_turn();
    char *text = ice_servers_json(conf, 1000, 500);
    json_t *list = json_loads(text, 0, NULL);
    assert_int_equal(json_array_size(list), 3);
    assert_null(json_object_get(json_array_get(list, 0), "credential"));
    const json_t *minted = json_array_get(list, 1);
    assert_string_equal(json_string_value(json_object_get(minted, "username")), "1500");
    // printf 1500 | openssl dgst -sha1 -hmac north -binary | base64
    assert_string_equal(json_string_value(json_object_get(minted, "credential")),
                        "5fvxvQA0wscP0+hZ0znmc1j5L0I=");
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 2), "credential")), "p");
    json_decref(list);
    free(text);
    conf_free(conf);
}

struct resolved {
    unsigned count;
    struct media_ice ice;
};

static void on_done(const struct media_ice *ice, bool whole, void *arg) {
    assert_true(whole);
    struct resolved *resolved = arg;
    resolved->count++;
    resolved->ice = *ice;
}

static void resolves_for_our_own_agents(void **state) {
    (void)state;
    struct conf *conf = conf_with_turn();
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct resolved resolved = {0};
    struct ice_servers *servers = NULL;
    assert_int_equal(ice_servers_resolve(&servers, &loop, conf, on_done, &resolved), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(resolved.count, 1);
    assert_string_equal(resolved.ice.stun_address, "127.0.0.1");
    assert_int_equal(resolved.ice.stun_port, 3478);
    assert_int_equal(resolved.ice.turn_count, 2);
    ice_servers_close(servers);
    assert_int_equal(uv_loop_close(&loop), 0);
    conf_free(conf);
}

static void closing_early_tells_nobody(void **state) {
    (void)state;
    struct conf *conf = conf_with_turn();
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct resolved resolved = {0};
    struct ice_servers *servers = NULL;
    assert_int_equal(ice_servers_resolve(&servers, &loop, conf, on_done, &resolved), 0);
    ice_servers_close(servers);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(resolved.count, 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    conf_free(conf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_the_urls_of_rfc_7064_and_7065), cmocka_unit_test(refuses_other_urls),
        cmocka_unit_test(browsers_get_credentials_that_expire), cmocka_unit_test(resolves_for_our_own_agents),
        cmocka_unit_test(closing_early_tells_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
