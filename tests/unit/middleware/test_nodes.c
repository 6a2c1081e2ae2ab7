// SPDX-License-Identifier: Apache-2.0
// Two nodes and one that only looks, on a real Redis; and the text a node announces.
#include "middleware/load.h"
#include "middleware/nodes.h"
#include "tests/unit/middleware/redis_fixture.h"

static struct {
    uv_loop_t loop;
    struct redis_server_child server;
    struct redis *redis;
    struct nodes *one, *two, *proxy, *twin; // twin: NULL unless a test makes one
    bool draining;
} t;

static void on_up(void *arg) {
    (void)arg;
}

static void on_down(const char *why, void *arg) {
    (void)why;
    (void)arg;
}

static void self_one(struct node *out, void *arg) {
    (void)arg;
    *out = (struct node){.id = "node-1",
                         .region_id = "EU-DE",
                         .endpoint = "10.0.0.5",
                         .port = 5070,
                         .tls_port = 5071,
                         .calls = 3,
                         .capacity = 100};
    out->accepting = !t.draining;
}

static void self_two(struct node *out, void *arg) {
    (void)arg;
    *out = (struct node){
        .id = "node-2", .region_id = "EU-DE", .endpoint = "10.0.0.6", .port = 5080, .accepting = true};
}

static struct nodes *nodes_of(void (*self)(struct node *, void *)) {
    struct nodes *nodes = NULL;
    const struct nodes_config config = {.loop = &t.loop, .redis = t.redis, .self = self};
    assert_int_equal(nodes_new(&nodes, &config), 0);
    return nodes;
}

static int set_up(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    const struct redis_events events = {on_up, on_down, NULL};
    struct err_text err = {""};
    uv_loop_init(&t.loop);
    redis_child_start(&t.server, NULL);
    assert_int_equal(redis_new(&t.redis, &t.loop, t.server.target, &events, &err), 0);
    redis_until(&t.loop, redis_is_up, t.redis);
    t.one = nodes_of(self_one);
    t.two = nodes_of(self_two);
    t.proxy = nodes_of(NULL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    nodes_close(t.one);
    nodes_close(t.two);
    nodes_close(t.proxy);
    if (t.twin)
        nodes_close(t.twin);
    redis_close_and_wait(t.redis, &t.loop);
    nodes_free(t.one);
    nodes_free(t.two);
    nodes_free(t.proxy);
    nodes_free(t.twin);
    redis_child_end(&t.server);
    return uv_loop_close(&t.loop);
}

// A command after the beats: when it is answered, so are they.
static size_t alive(const struct node **out) {
    nodes_beat(t.one);
    nodes_beat(t.two);
    nodes_beat(t.proxy);
    redis_ask(t.redis, &t.loop, "PING");
    return nodes_alive(t.proxy, out, NODES_MAX);
}

static const struct node *find(const struct node *const *list, size_t count, const char *id) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i]->id, id) == 0)
            return list[i];
    }
    return NULL;
}

static void nodes_see_each_other(void **state) {
    (void)state;
    const struct node *list[NODES_MAX];
    size_t count = alive(list);
    assert_int_equal(count, 2);
    const struct node *one = find(list, count, "node-1");
    assert_string_equal(one->region_id, "EU-DE");
    assert_string_equal(one->endpoint, "10.0.0.5");
    assert_int_equal(one->port, 5070);
    assert_int_equal(one->tls_port, 5071);
    assert_int_equal(one->calls, 3);
    assert_int_equal(one->capacity, 100);
    assert_true(one->accepting);
    assert_in_range(one->memory_percent, 1, 100);
    assert_int_equal(nodes_alive(t.one, list, NODES_MAX), 1); // it looked before node-2 had written
}

static void a_call_sent_there_counts_until_the_next_beat(void **state) {
    (void)state;
    const struct node *list[NODES_MAX];
    size_t count = alive(list);
    nodes_sent(t.proxy, "node-1");
    nodes_sent(t.proxy, "node-1");
    nodes_sent(t.proxy, "nobody");
    assert_int_equal(find(list, count, "node-1")->calls, 5);
    count = alive(list);
    assert_int_equal(find(list, count, "node-1")->calls, 3);
}

static void a_node_drains_and_leaves(void **state) {
    (void)state;
    const struct node *list[NODES_MAX];
    t.draining = true;
    size_t count = alive(list);
    assert_false(find(list, count, "node-1")->accepting);
    nodes_leave(t.one);
    nodes_leave(t.one);
    count = alive(list);
    assert_int_equal(count, 1);
    assert_null(find(list, count, "node-1"));
}

// Another process that is node-1 too, at this address.
static const char *twin_address;

static void self_twin(struct node *out, void *arg) {
    self_one(out, arg);
    snprintf(out->endpoint, sizeof out->endpoint, "%s", twin_address);
}

static const struct node *beat_twin(void) {
    static const struct node *list[NODES_MAX];
    nodes_beat(t.twin);
    size_t count = alive(list);
    return find(list, count, "node-1");
}

static void two_of_one_name_are_noticed(void **state) {
    (void)state;
    const struct node *list[NODES_MAX];
    assert_int_equal(alive(list), 2);
    twin_address = "10.0.0.9";
    t.twin = nodes_of(self_twin);
    assert_string_equal(beat_twin()->endpoint, "10.0.0.5");
    assert_non_null(strstr(nodes_why_hidden(t.twin),
                           "Gateway.NodeId: another process, at 10.0.0.5 port 5070, is "
                           "\"node-1\" too"));
    assert_null(nodes_why_hidden(t.one));
    assert_null(nodes_why_hidden(t.proxy));
    nodes_leave(t.twin); // it takes nothing of the other's with it
    assert_int_equal(alive(list), 2);
}

static void who_begins_again_at_its_address_is_there_at_once(void **state) {
    (void)state;
    const struct node *list[NODES_MAX];
    assert_int_equal(alive(list), 2);
    twin_address = "10.0.0.5";
    t.twin = nodes_of(self_twin);
    beat_twin();
    assert_null(nodes_why_hidden(t.twin));
    assert_non_null(nodes_why_hidden(t.one)); // so if it lives after all, it is told
    beat_twin();
    assert_null(nodes_why_hidden(t.twin));
    assert_non_null(nodes_why_hidden(t.one));
    nodes_leave(t.twin);
    beat_twin();
    assert_null(nodes_why_hidden(t.one));
}

static void a_name_is_free_when_its_process_is_silent(void **state) {
    (void)state;
    static const char *const silent_ms[] = {"4000", "5100"};
    static struct redis_script script = {.text = "\
local time = redis.call('TIME')\n\
local at = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[1]\n\
return redis.call('HSET', 'nodes', 'node-1', string.format('%.0f %s', at, ARGV[2]))\n"};
    for (size_t i = 0; i < 2; i++) {
        const struct redis_arg args[] = {
            redis_str(silent_ms[i]),
            redis_str(
                "{\"id\":\"node-1\",\"instance\":\"gone\",\"region\":\"r\",\"endpoint\":\"e\",\"port\":1,"
                "\"state\":\"running\",\"calls\":0,\"capacity\":0}")};
        const struct node *list[NODES_MAX];
        assert_int_equal(redis_eval(t.redis, &script, NULL, 0, args, 2, NULL, NULL), 0);
        size_t count = alive(list);
        assert_string_equal(find(list, count, "node-1")->endpoint, i ? "10.0.0.5" : "e");
        assert_int_equal(nodes_why_hidden(t.one) == NULL, i == 1);
    }
}

static void silence_is_noticed(void **state) {
    (void)state;
    const struct node *list[NODES_MAX];
    // As if it had been written long ago, by a node whose clock does not matter.
    static struct redis_script script = {.text = "\
local time = redis.call('TIME')\n\
return redis.call('HSET', 'nodes', 'x', string.format('%.0f %s', time[1] * 1000 - 11000, ARGV[1]))\n"};
    const struct redis_arg text = redis_str("{\"id\":\"x\",\"region\":\"r\",\"endpoint\":\"e\",\"port\":1,"
                                            "\"state\":\"running\",\"calls\":0,\"capacity\":0}");
    assert_int_equal(redis_eval(t.redis, &script, NULL, 0, &text, 1, NULL, NULL), 0);
    size_t count = alive(list);
    assert_int_equal(count, 2);
    json_t *all = nodes_json(t.proxy);
    assert_int_equal(json_array_size(all), 3);
    size_t i, silent = 0;
    json_t *node;
    json_array_foreach(all, i, node) silent +=
        strcmp(json_string_value(json_object_get(node, "state")), "silent") == 0;
    assert_int_equal(silent, 1);
    json_decref(all);
}

static void what_is_stale_or_no_node_is_taken_out(void **state) {
    (void)state;
    const struct node *list[NODES_MAX];
    const struct redis_arg set[] = {redis_str("HSET"),    redis_str("nodes"), redis_str("old"),
                                    redis_str("1000 {}"), redis_str("bad"),   redis_str("nonsense")};
    assert_int_equal(redis_command(t.redis, set, 6, NULL, NULL), 0);
    assert_int_equal(alive(list), 2);
    assert_int_equal(redis_ask(t.redis, &t.loop, "HLEN nodes").integer, 2);
}

static void a_node_is_a_text_and_back(void **state) {
    (void)state;
    struct node node, back;
    self_one(&node, NULL);
    node.cpu_percent = 42;
    char *text = node_text(&node);
    assert_int_equal(node_parse(&back, text, strlen(text)), 0);
    assert_string_equal(back.id, "node-1");
    assert_int_equal(back.cpu_percent, 42);
    free(text);
    static const char *const bad[] = {
        "", "[]", "{\"id\":\"a\"}",
        "{\"id\":\"\",\"region\":\"r\",\"endpoint\":\"e\",\"port\":1,\"state\":\"running\",\"calls\":0,"
        "\"capacity\":0}",
        "{\"id\":\"a\",\"region\":\"r\",\"endpoint\":\"e\",\"port\":65536,\"state\":\"running\",\"calls\":0,"
        "\"capacity\":0}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(node_parse(&back, bad[i], strlen(bad[i])), -EINVAL);
}

static void the_load_is_a_percentage(void **state) {
    (void)state;
    struct load load = {0};
    assert_int_equal(load_cpu_percent(&load), 0);
    load.busy -= load.busy < 100 ? load.busy : 100;
    load.total -= 200;
    assert_in_range(load_cpu_percent(&load), 1, 100);
}

int main(void) {
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        RULE(nodes_see_each_other),
        RULE(a_call_sent_there_counts_until_the_next_beat),
        RULE(a_node_drains_and_leaves),
        RULE(two_of_one_name_are_noticed),
        RULE(who_begins_again_at_its_address_is_there_at_once),
        RULE(a_name_is_free_when_its_process_is_silent),
        RULE(silence_is_noticed),
        RULE(what_is_stale_or_no_node_is_taken_out),
        cmocka_unit_test(a_node_is_a_text_and_back),
        cmocka_unit_test(the_load_is_a_percentage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
