// SPDX-License-Identifier: Apache-2.0
// Reputation: the rules, and lookups from a service that is a real server on the test's loop, kept in a real
// Redis.
#include "middleware/ipcheck.h"

#include "middleware/breaker.h"
#include "tests/unit/middleware/redis_fixture.h"

#include "tests/unit/middleware/desk_fixture.h"

#include <ctype.h>

#define KEY "SECRET/KEY&1"
#define ON "\"EnableIpApiCheck\":true,\"EnableIpApiCache\":true"
#define CLEAN                                                                                                \
    "{\"is_vpn\":false,\"is_proxy\":false,\"is_datacenter\":false,\"is_tor\":false,\"is_abuser\":false}"
#define VPN "{\"ip\":\"x\",\"is_vpn\":true,\"is_proxy\":false,\"is_datacenter\":true,\"company\":{\"a\":[1]}}"

static struct {
    struct desk desk;
    struct redis_server_child server;
    struct redis *redis;
    struct ipcheck *ipcheck;
    // The service.
    unsigned asked, held_count, held_most;
    unsigned status; // 0: it does not answer yet
    const char *body;
    char query[512];
    struct http_exchange *held[512];
    // Verdicts.
    unsigned done, allowed;
    char message[64];
} t;

static void on_lookup(const struct http_request *request, void *arg) {
    (void)arg;
    t.asked++;
    snprintf(t.query, sizeof t.query, "%s", request->query);
    if (!t.status)
        t.held[t.held_count++] = request->exchange;
    else
        http_reply_json(request->exchange, t.status, t.body);
}

static void answer_held(unsigned status, const char *body) {
    unsigned count = t.held_count;
    struct http_exchange *held[512];
    memcpy(held, t.held, sizeof held);
    t.held_count = 0;
    for (unsigned i = 0; i < count; i++)
        http_reply_json(held[i], status, body);
}

static const struct http_route routes[] = {{"GET", "/check", on_lookup, NULL}};

static void set_conf(const char *security, bool fail_open) {
    struct conf *conf = desk_conf("{\"IpApi\":{\"ApiKey\":\"%s\",\"BaseUrl\":\"%scheck\",\"FailOpen\":%s},"
                                  "\"Security\":{%s},\"Agent\":{\"Builtin\":\"echo\"}}",
                                  KEY, t.desk.base, fail_open ? "true" : "false", security);
    if (t.ipcheck)
        ipcheck_set_conf(t.ipcheck, conf);
    conf_free(t.desk.conf);
    t.desk.conf = conf;
}

static void on_up(void *arg) {
    (void)arg;
}

static void on_down(const char *why, void *arg) {
    (void)why;
    (void)arg;
}

static int set_up(void **state) {
    struct err_text err = {""};
    const struct redis_events events = {on_up, on_down, NULL};
    memset(&t, 0, sizeof t);
    desk_start(&t.desk, routes, 1);
    if (*state) { // tests that say so have a Redis
        redis_child_start(&t.server, NULL);
        assert_int_equal(redis_new(&t.redis, &t.desk.loop, t.server.target, &events, &err), 0);
        redis_until(&t.desk.loop, redis_is_up, t.redis);
    }
    set_conf(ON ",\"BlockVpn\":true,\"BlockProxy\":true", false);
    t.status = 200;
    t.body = CLEAN;
    return ipcheck_new(&t.ipcheck, &t.desk.loop, t.desk.conf, t.desk.client, t.redis);
}

static int tear_down(void **state) {
    (void)state;
    desk_close_client(&t.desk);
    if (t.redis) {
        redis_close_and_wait(t.redis, &t.desk.loop);
        redis_child_end(&t.server);
    }
    answer_held(200, CLEAN);
    ipcheck_free(t.ipcheck);
    desk_stop(&t.desk);
    assert_int_equal(metric_read(METRIC_IPCHECK_LOOKUPS_NOW), 0);
    assert_int_equal(metric_read(METRIC_IPCHECK_BREAKER), 0);
    return 0;
}

static void on_verdict(const struct ipcheck_verdict *verdict, void *arg) {
    assert_ptr_equal(arg, &t);
    t.done++;
    t.allowed += verdict->allowed;
    assert_true(verdict->allowed == !verdict->message[0]);
    snprintf(t.message, sizeof t.message, "%s", verdict->message);
}

static void ask(const char *address) {
    ipcheck_ask(t.ipcheck, address, on_verdict, &t);
}

static void expect(const char *address, const char *message) {
    unsigned before = t.done;
    ask(address);
    desk_wait(&t.desk, &t.done, before + 1);
    assert_string_equal(t.message, message);
}

#define UNKNOWN "Could not verify IP address."

// ---- pure

static void test_rules(void **state) {
    (void)state;
    static const struct {
        const char *key, *message;
        struct ipcheck_facts facts;
    } rules[] = {{"BlockVpn", "VPN detected.", {.vpn = true}},
                 {"BlockProxy", "Proxy detected.", {.proxy = true}},
                 {"BlockDatacenter", "Datacenter IP detected.", {.datacenter = true}},
                 {"BlockTor", "Tor exit node detected.", {.tor = true}},
                 {"BlockAbuser", "Abusive IP detected.", {.abuser = true}}};
    enum { RULES = sizeof rules / sizeof *rules };
    for (size_t i = 0; i < RULES; i++) {
        struct conf *conf =
            desk_conf("{\"Security\":{%s\"%s\":true},\"Agent\":{\"Builtin\":"
                      "\"echo\"}}",
                      strcmp(rules[i].key, "BlockTor") == 0 ? "" : "\"BlockTor\":false,", rules[i].key);
        for (size_t j = 0; j < RULES; j++) {
            struct ipcheck_verdict verdict = ipcheck_judge(conf, &rules[j].facts);
            assert_int_equal(verdict.allowed, i != j);
            assert_string_equal(verdict.message, i == j ? rules[i].message : "");
        }
        conf_free(conf);
    }
    // With no key set, only Tor is refused. Of several reasons the first is named.
    struct conf *conf = desk_conf("{\"Agent\":{\"Builtin\":\"echo\"}}");
    const struct ipcheck_facts all = {true, true, true, true, true};
    assert_string_equal(ipcheck_judge(conf, &all).message, "Tor exit node detected.");
    conf_free(conf);
    conf = desk_conf(
        "{\"Security\":{\"BlockDatacenter\":true,\"BlockVpn\":true},\"Agent\":{\"Builtin\":\"echo\"}}");
    assert_string_equal(ipcheck_judge(conf, &all).message, "VPN detected.");
    conf_free(conf);
}

static void test_answers(void **state) {
    (void)state;
    struct ipcheck_facts facts;
    struct err_text err = {""};
    assert_int_equal(ipcheck_parse(VPN, strlen(VPN), &facts, &err), 0);
    assert_true(facts.vpn && facts.datacenter && !facts.proxy && !facts.tor && !facts.abuser);
    static const char *const bad[] = {
        "",
        "x",
        "[]",
        "true",
        "{}",
        "{\"error\":\"Invalid API key SECRET\"}",
        "{\"is_vpn\":false,\"is_proxy\":false}",
        "{\"is_vpn\":\"false\",\"is_proxy\":false,\"is_datacenter\":false}",
        "{\"is_vpn\":0,\"is_proxy\":false,\"is_datacenter\":false}",
        "{\"is_vpn\":null,\"is_proxy\":false,\"is_datacenter\":false}",
        "{\"is_vpn\":false,\"is_proxy\":false,\"is_datacenter\":false,\"is_tor\":1}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        facts = (struct ipcheck_facts){.tor = true};
        err.text[0] = '\0';
        assert_int_equal(ipcheck_parse(bad[i], strlen(bad[i]), &facts, &err), -EPROTO);
        assert_true(facts.tor && err.text[0]);
        assert_null(strstr(err.text, "SECRET"));
    }
}

// ---- the service

static void test_asked(void **state) {
    (void)state;
    expect("203.0.113.7", "");
    assert_string_equal(t.query, "q=203.0.113.7&key=SECRET/KEY&1"); // decoded after the split at '&'
    t.body = VPN;
    expect("2001:db8::7", "VPN detected.");
    assert_int_equal(strncmp(t.query, "q=2001:db8::7&", 14), 0);
    assert_int_equal(t.asked, 2);
    assert_int_equal(t.allowed, 1);
}

static void test_not_asked(void **state) {
    (void)state;
    static const char *const private[] = {"127.0.0.1",  "::1",          "10.1.2.3", "192.168.1.1",
                                          "100.64.0.1", "fe80::1%eth0", "fd00::1",  "::ffff:172.16.0.1"};
    enum { PRIVATE = sizeof private / sizeof *private };
    for (size_t i = 0; i < PRIVATE; i++)
        ask(private[i]);
    assert_int_equal(t.allowed, PRIVATE); // at once
    set_conf("\"EnableIpApiCheck\":false", false);
    ask("203.0.113.7");
    assert_int_equal(t.allowed, PRIVATE + 1);
    set_conf(ON, false);
    ask("nonsense");
    assert_int_equal(t.done, PRIVATE + 2);
    assert_string_equal(t.message, UNKNOWN);
    assert_int_equal(t.asked, 0);
}

static void test_bad_answers(void **state) {
    (void)state;
    static const struct {
        unsigned status;
        const char *body;
    } bad[] = {{500, CLEAN}, {429, CLEAN}, {200, "{\"error\":\"no\"}"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        t.status = bad[i].status;
        t.body = bad[i].body;
        expect("203.0.113.7", UNKNOWN);
    }
    set_conf(ON, true);
    expect("203.0.113.7", "");
    assert_int_equal(t.allowed, 1);
    assert_int_equal(t.asked, 4);
}

static void test_shared_lookup(void **state) {
    (void)state;
    t.status = 0;
    ask("2001:db8::1");
    ask("2001:db8::2"); // the same customer
    ask("2001:db8::1");
    ask("203.0.113.7");
    desk_wait(&t.desk, &t.held_count, 2);
    assert_int_equal(t.done, 0);
    answer_held(200, VPN);
    desk_wait(&t.desk, &t.done, 4);
    assert_int_equal(t.asked, 2);
    assert_int_equal(t.allowed, 0);
}

static void test_bounded(void **state) {
    (void)state;
    enum { ADDRESSES = 100, IN_FLIGHT = 16 };
    t.status = 0;
    for (int i = 0; i < ADDRESSES; i++) {
        char address[32];
        snprintf(address, sizeof address, "203.0.113.%d", i);
        ask(address);
    }
    desk_wait(&t.desk, &t.held_count, IN_FLIGHT);
    assert_int_equal(metric_read(METRIC_IPCHECK_LOOKUPS_NOW), IN_FLIGHT);
    t.status = 200;
    answer_held(200, CLEAN);
    desk_wait(&t.desk, &t.done, ADDRESSES);
    assert_int_equal(t.asked, ADDRESSES);
    assert_int_equal(t.allowed, ADDRESSES);
    // Beyond a thousand who wait, nobody is asked about.
    t.status = 0;
    for (int i = 0; i < 1001; i++)
        ask("203.0.113.7");
    assert_int_equal(t.done, ADDRESSES + 1);
    assert_string_equal(t.message, UNKNOWN);
    answer_held(200, CLEAN);
    desk_wait(&t.desk, &t.held_count, 1);
    answer_held(200, CLEAN);
    desk_wait(&t.desk, &t.done, ADDRESSES + 1001);
}

static void test_breaker(void **state) {
    (void)state;
    t.status = 503;
    for (int i = 0; i < BREAKER_FAILURES; i++)
        expect("203.0.113.7", UNKNOWN);
    assert_int_equal(t.asked, BREAKER_FAILURES);
    assert_int_equal(metric_read(METRIC_IPCHECK_BREAKER), 1);
    for (int i = 0; i < 10; i++)
        ask("203.0.113.7");
    assert_int_equal(t.done, BREAKER_FAILURES + 10); // at once
    assert_int_equal(t.asked, BREAKER_FAILURES);
    // Another conf may have the right key: tried by one, who still fails.
    set_conf(ON ",\"BlockVpn\":true", false);
    t.status = 0;
    ask("203.0.113.7");
    ask("203.0.113.8");
    assert_int_equal(t.done, BREAKER_FAILURES + 11);
    desk_wait(&t.desk, &t.held_count, 1);
    answer_held(503, CLEAN);
    desk_wait(&t.desk, &t.done, BREAKER_FAILURES + 12);
    assert_int_equal(metric_read(METRIC_IPCHECK_BREAKER), 1);
    // And who succeeds.
    set_conf(ON ",\"BlockVpn\":true", false);
    t.status = 200;
    expect("203.0.113.7", "");
    assert_int_equal(metric_read(METRIC_IPCHECK_BREAKER), 0);
    t.body = VPN;
    expect("203.0.113.7", "VPN detected.");
}

// What waits for its turn behind failures is answered when the breaker opens.
static void test_breaker_answers_those_who_wait(void **state) {
    (void)state;
    t.status = 0;
    for (int i = 0; i < 50; i++) {
        char address[32];
        snprintf(address, sizeof address, "203.0.113.%d", i);
        ask(address);
    }
    desk_wait(&t.desk, &t.held_count, 16);
    answer_held(500, "");
    t.status = 500;
    desk_wait(&t.desk, &t.done, 50);
    assert_true(t.asked < 50);
    assert_int_equal(t.allowed, 0);
}

static void test_closed_while_asked(void **state) {
    (void)state;
    t.status = 0;
    for (int i = 0; i < 40; i++) {
        char address[32];
        snprintf(address, sizeof address, "203.0.113.%d", i);
        ask(address);
    }
    desk_wait(&t.desk, &t.held_count, 16);
    desk_close_client(&t.desk);
    assert_int_equal(t.done, 40);
    assert_int_equal(t.allowed, 0);
}

// ---- Redis

static void test_facts_are_kept(void **state) {
    (void)state;
    t.body = VPN;
    expect("203.0.113.7", "VPN detected.");
    expect("203.0.113.7", "VPN detected.");
    assert_int_equal(t.asked, 1);
    struct redis_answer left = redis_ask(t.redis, &t.desk.loop, "TTL ipcheck:facts:203.0.113.7");
    assert_true(left.integer > 14 * 86400 - 60 && left.integer <= 14 * 86400);
    // The rules of now decide, not those of then.
    set_conf(ON ",\"BlockDatacenter\":true", false);
    expect("203.0.113.7", "Datacenter IP detected.");
    set_conf(ON, false);
    expect("203.0.113.7", "");
    assert_int_equal(t.asked, 1);
    struct redis_answer kept = redis_ask(t.redis, &t.desk.loop, "GET ipcheck:facts:203.0.113.7");
    assert_non_null(strstr(kept.text, "\"is_vpn\":true"));
}

static void test_cache_off(void **state) {
    (void)state;
    set_conf("\"EnableIpApiCheck\":true,\"EnableIpApiCache\":false", false);
    expect("203.0.113.7", "");
    expect("203.0.113.7", "");
    assert_int_equal(t.asked, 2);
    assert_int_equal(redis_ask(t.redis, &t.desk.loop, "DBSIZE").integer, 0);
}

static void test_failures_are_kept_a_minute(void **state) {
    (void)state;
    t.status = 500;
    expect("203.0.113.7", UNKNOWN);
    t.status = 200;
    expect("203.0.113.7", UNKNOWN);
    assert_int_equal(t.asked, 1);
    struct redis_answer left = redis_ask(t.redis, &t.desk.loop, "TTL ipcheck:facts:203.0.113.7");
    assert_true(left.integer > 0 && left.integer <= 60);
    set_conf(ON, true);
    expect("203.0.113.7", "");
    redis_ask(t.redis, &t.desk.loop, "DEL ipcheck:facts:203.0.113.7"); // as the minute does
    expect("203.0.113.7", "");
    assert_int_equal(t.asked, 2);
}

static void test_spoilt_cache(void **state) {
    (void)state;
    redis_ask(t.redis, &t.desk.loop, "SET ipcheck:facts:203.0.113.7 junk");
    redis_ask(t.redis, &t.desk.loop, "LPUSH ipcheck:facts:203.0.113.8 junk");
    expect("203.0.113.7", "");
    expect("203.0.113.8", "");
    assert_int_equal(t.asked, 2);
}

static void test_redis_away(void **state) {
    (void)state;
    redis_child_kill(&t.server);
    redis_until(&t.desk.loop, redis_is_down, t.redis);
    t.body = VPN;
    expect("203.0.113.7", "VPN detected.");
    assert_int_equal(t.asked, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define WITH_REDIS(name) cmocka_unit_test_prestate_setup_teardown(name, set_up, tear_down, &t)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_answers),
        TEST(test_asked),
        TEST(test_not_asked),
        TEST(test_bad_answers),
        TEST(test_shared_lookup),
        TEST(test_bounded),
        TEST(test_breaker),
        TEST(test_breaker_answers_those_who_wait),
        TEST(test_closed_while_asked),
        WITH_REDIS(test_facts_are_kept),
        WITH_REDIS(test_cache_off),
        WITH_REDIS(test_failures_are_kept_a_minute),
        WITH_REDIS(test_spoilt_cache),
        WITH_REDIS(test_redis_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
