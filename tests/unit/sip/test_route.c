// SPDX-License-Identifier: Apache-2.0
// Who may call what: the lines of tests/golden/route.txt against the numbers of route.json. And which servers take it.
#include "sip/route.h"

#include "gateway/core/network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct conf *load(const char *path) {
    struct conf *conf = NULL;
    struct conf_report report = {0};
    assert_int_equal(conf_load(&conf, path, NULL, &report), 0);
    return conf;
}

static void take_column(char **rest, char *out, size_t out_size) {
    char *bar = strstr(*rest, " |");
    assert_non_null(bar);
    snprintf(out, out_size, "%.*s", (int)(bar - *rest), *rest);
    *rest = bar + 2 + (bar[2] == ' ');
}

static void verdict_of(const struct route_table *table, char *line, char *out, size_t out_size) {
    struct sip_request request = {0};
    struct in6_addr source;
    struct route_found found;
    struct route_refusal refusal;
    char address[64];
    char *rest = line;
    take_column(&rest, request.called, sizeof request.called);
    take_column(&rest, request.business_id, sizeof request.business_id);
    take_column(&rest, request.phone_id, sizeof request.phone_id);
    take_column(&rest, address, sizeof address);
    assert_true(address_parse(address, &source));
    memmove(line, rest, strlen(rest) + 1);
    if (route_check(table, &request, &source, &found, &refusal))
        snprintf(out, out_size, "%s/%s", found.business->id, found.number->id);
    else
        snprintf(out, out_size, "%u %s", refusal.status, refusal.reason);
}

static void the_golden_table(void **state) {
    (void)state;
    struct conf *conf = load("tests/golden/route.json");
    struct route_table *table = NULL;
    assert_int_equal(route_table_new(&table, conf), 0);
    FILE *file = fopen("tests/golden/route.txt", "r");
    assert_non_null(file);
    char line[512], copy[512], verdict[128];
    unsigned lines = 0, wrong = 0;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (*line == '#' || !*line)
            continue;
        lines++;
        memcpy(copy, line, sizeof copy);
        verdict_of(table, line, verdict, sizeof verdict);
        if (strcmp(line, verdict) != 0) {
            print_error("%s\n  came out as %s\n", copy, verdict);
            wrong++;
        }
    }
    fclose(file);
    route_table_free(table);
    conf_free(conf);
    assert_int_equal(wrong, 0);
    assert_true(lines > 40);
}

static const char regions[] =
    "{\"Agent\":{\"Builtin\":\"echo\"},\"Gateway\":{\"Roles\":[\"proxy\"]},\"Regions\":{"
    "\"EU\":{\"FallbackRegionIds\":[\"OFF\",\"US\",\"AS\"],\"Servers\":{"
    "\"dev\":{\"Development\":true},\"off\":{\"Enabled\":false},"
    "\"said\":{\"Endpoint\":\"said.example\",\"SipPort\":5999,\"SipTlsPort\":5998}}},"
    "\"US\":{},\"AS\":{},\"OFF\":{\"Enabled\":false},\"LONE\":{}}}";

#define NODE(name, region, max, now)                                                                         \
    {                                                                                                        \
        .id = (name), .region_id = (region), .endpoint = name ".example", .port = 5070, .tls_port = 5071,    \
        .accepting = true, .max_calls = (max), .calls = (now)                                                \
    }
#define BUSY(name, max, now, cpu, memory)                                                                    \
    {                                                                                                        \
        .id = (name), .region_id = "EU", .endpoint = name ".example", .port = 5070, .accepting = true,       \
        .max_calls = (max), .calls = (now), .cpu_percent = (cpu), .memory_percent = (memory)                 \
    }

struct choice {
    const char *what;
    const char *region;
    bool admin;
    const char *expected; // ids, best first; or the reason
    struct route_node nodes[6];
};

static const struct choice choices[] = {
    {"most room first",
     "EU",
     false,
     "c a b",
     {NODE("a", "EU", 100, 10), NODE("b", "EU", 100, 20), NODE("c", "EU", 200, 10)}},
    {"score is max - 1.5 x active", "EU", false, "b a", {NODE("a", "EU", 100, 40), NODE("b", "EU", 90, 33)}},
    {"at most three",
     "EU",
     false,
     "d c b",
     {NODE("a", "EU", 10, 4), NODE("b", "EU", 10, 3), NODE("c", "EU", 10, 2), NODE("d", "EU", 10, 1)}},
    {"full ones not at all", "EU", false, "b", {NODE("a", "EU", 10, 10), NODE("b", "EU", 10, 9)}},
    {"no limit counts as a thousand", "EU", false, "b a", {NODE("a", "EU", 900, 0), NODE("b", "EU", 0, 50)}},
    {"busy processors come after",
     "EU",
     false,
     "b a",
     {BUSY("a", 100, 0, 86, 10), BUSY("b", 100, 30, 85, 85)}},
    {"full memory too",
     "EU",
     false,
     "b c a",
     {BUSY("a", 100, 0, 90, 90), BUSY("b", 100, 20, 10, 10), BUSY("c", 100, 0, 10, 99)}},
    {"the same score: fewer calls, then the name",
     "EU",
     false,
     "b c a",
     {NODE("c", "EU", 10, 0), NODE("a", "EU", 13, 2), NODE("b", "EU", 10, 0)}},
    {"draining ones not at all",
     "EU",
     false,
     "b",
     {{.id = "a", .region_id = "EU", .endpoint = "a", .port = 1}, NODE("b", "EU", 10, 0)}},
    {"disabled ones not at all", "EU", false, "b", {NODE("off", "EU", 100, 0), NODE("b", "EU", 10, 0)}},
    {"development is for admins", "EU", false, "b", {NODE("dev", "EU", 100, 0), NODE("b", "EU", 10, 0)}},
    {"who may use it", "EU", true, "dev b", {NODE("dev", "EU", 100, 0), NODE("b", "EU", 10, 0)}},
    {"other regions not at all", "EU", false, "a", {NODE("a", "EU", 10, 9), NODE("b", "XX", 100, 0)}},
    {"unless they are configured",
     "EU",
     false,
     "u",
     {NODE("a", "EU", 10, 10), NODE("u", "US", 100, 0), NODE("s", "AS", 200, 0)}},
    {"in their order", "EU", false, "s", {NODE("s", "AS", 200, 0), NODE("o", "OFF", 100, 0)}},
    {"no fallback without the key", "LONE", false, "No Available Servers", {NODE("a", "EU", 10, 0)}},
    {"nobody there", "EU", false, "No Available Servers", {{0}}},
    {"a disabled region", "OFF", false, "Region not enabled", {NODE("o", "OFF", 100, 0)}},
    {"an unknown region", "XX", false, "Region not enabled", {NODE("b", "XX", 100, 0)}},
    {"an empty region", "", false, "Region not enabled", {NODE("b", "", 100, 0)}},
    {"a node without an address",
     "EU",
     false,
     "No Available Servers",
     {{.id = "a", .region_id = "EU", .endpoint = "", .accepting = true}}},
};

static void servers_are_chosen(void **state) {
    (void)state;
    struct conf *conf = NULL;
    struct conf_report report = {.out = stderr};
    unsigned wrong = 0;
    assert_int_equal(conf_parse(&conf, "t", regions, sizeof regions - 1, NULL, &report), 0);
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        const struct choice *c = &choices[i];
        struct route_choice choice;
        struct route_refusal refusal = {0, ""};
        char said[256] = "";
        size_t count = 0;
        while (count < 6 && c->nodes[count].id)
            count++;
        if (route_choose(conf, c->region, c->admin, c->nodes, count, &choice, &refusal)) {
            for (size_t j = 0; j < choice.count; j++)
                snprintf(said + strlen(said), sizeof said - strlen(said), "%s%s", j ? " " : "",
                         c->nodes[choice.nodes[j]].id);
        } else {
            assert_int_equal(refusal.status, 503);
            snprintf(said, sizeof said, "%s", refusal.reason);
        }
        if (strcmp(said, c->expected) != 0) {
            print_error("%s: wanted %s, came out as %s\n", c->what, c->expected, said);
            wrong++;
        }
    }
    conf_free(conf);
    assert_int_equal(wrong, 0);
}

static void the_configuration_says_where_a_server_is(void **state) {
    (void)state;
    struct conf *conf = NULL;
    struct conf_report report = {.out = stderr};
    const struct route_node nodes[] = {NODE("said", "EU", 10, 0), NODE("b", "EU", 10, 1)};
    struct route_choice choice;
    struct route_refusal refusal;
    assert_int_equal(conf_parse(&conf, "t", regions, sizeof regions - 1, NULL, &report), 0);
    assert_true(route_choose(conf, "EU", false, nodes, 2, &choice, &refusal));
    assert_string_equal(choice.backends[0].endpoint, "said.example");
    assert_int_equal(choice.backends[0].port, 5999);
    assert_int_equal(choice.backends[0].tls_port, 5998);
    assert_string_equal(choice.backends[1].endpoint, "b.example");
    assert_int_equal(choice.backends[1].port, 5070);
    assert_int_equal(choice.backends[1].tls_port, 5071);
    conf_free(conf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_golden_table),
        cmocka_unit_test(servers_are_chosen),
        cmocka_unit_test(the_configuration_says_where_a_server_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
