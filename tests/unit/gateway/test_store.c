// SPDX-License-Identifier: Apache-2.0
#include "gateway/store.h"
#include "tests/unit/middleware/redis_fixture.h"

static void the_data_directory(void **state) {
    (void)state;
    char out[64];
    setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
    assert_int_equal(store_directory("/srv/data", out, sizeof out), 0);
    assert_string_equal(out, "/srv/data");
    assert_int_equal(store_directory("", out, sizeof out), 0);
    assert_string_equal(out, "/var/lib/one");
    assert_int_equal(store_directory("", out, 12), -ENAMETOOLONG);
    unsetenv("STATE_DIRECTORY");
}

static bool is_open(void *store) {
    return redis_up(store_redis(store));
}

// What is given back in the last moment arrives before the connection and the private server go.
static void the_last_words_arrive(void **state) {
    (void)state;
    uv_loop_t loop;
    char dir[] = "/tmp/iqra-redis-XXXXXX";
    struct conf conf = {.redis_connection_string = (char[]){""}, .gateway.data_directory = dir};
    const struct redis_events events = {NULL, NULL, NULL};
    struct err_text err = {""};
    struct store *store = NULL;
    signal(SIGPIPE, SIG_IGN);
    assert_non_null(mkdtemp(dir));
    uv_loop_init(&loop);
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(store_start(&store, &loop, &conf, &events, &err), 0);
        redis_until(&loop, is_open, store);
        if (turn == 1)
            assert_string_equal(redis_ask(store_redis(store), &loop, "GET n").text, "500");
        for (int i = 0; i < 500; i++)
            assert_int_equal(redis_send_words(store_redis(store), "INCR n", NULL, NULL), 0);
        store_close(store);
        while (uv_loop_alive(&loop))
            uv_run(&loop, UV_RUN_ONCE);
    }
    nftw(dir, redis_fixture_unlink, 8, FTW_DEPTH | FTW_PHYS);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void what_is_in_the_way_is_named(void **state) {
    (void)state;
    uv_loop_t loop;
    struct conf conf = {.redis_connection_string = (char[]){"h,ssl=perhaps"},
                        .gateway.data_directory = (char[]){""}};
    const struct redis_events events = {NULL, NULL, NULL};
    struct err_text err = {""};
    struct store *store = NULL;
    uv_loop_init(&loop);
    assert_int_equal(store_start(&store, &loop, &conf, &events, &err), -EINVAL);
    assert_null(store);
    assert_string_equal(err.text, "RedisConnectionString: ssl must be true or false");
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_data_directory),
        cmocka_unit_test(the_last_words_arrive),
        cmocka_unit_test(what_is_in_the_way_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
