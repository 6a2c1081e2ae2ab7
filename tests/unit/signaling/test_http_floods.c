// SPDX-License-Identifier: Apache-2.0
// Clients that send too slowly, or too much.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/signaling/http_fixture.h"

static void start_strict(void) {
    static const char *const proxy = "127.0.0.1";
    struct http_config config = config_of(&t.loop);
    config.head_s = config.body_s = 1;
    config.known_proxies = &proxy;
    config.known_proxy_count = 1;
    start(&config);
}

// Each sends a byte now and then, which the library takes for a sign of life, until the server has had enough.
static void test_slow(void **state) {
    (void)state;
    static const char *const begun[] = {
        "",
        "GET /he",
        "GET /hello HTTP/1.1\r\n" HOST "X-Slow: ",
        "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n",
        "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n", // refused, and read over
    };
    enum { CLIENTS = sizeof begun / sizeof *begun };
    struct client clients[CLIENTS];
    uint64_t deadline = client_deadline(), next = 0;
    size_t ended = 0;
    start_strict();
    for (size_t i = 0; i < CLIENTS; i++) {
        open_client(&clients[i]);
        client_text(&clients[i], begun[i]);
    }
    while (ended < CLIENTS && uv_hrtime() < deadline) {
        bool due = uv_hrtime() > next;
        next = due ? uv_hrtime() + 50000000 : next;
        ended = 0;
        for (size_t i = 0; i < CLIENTS; i++) {
            client_turn(&clients[i]);
            if (due && !clients[i].ended)
                (void)!send(clients[i].fd, "x", 1, MSG_NOSIGNAL);
            ended += clients[i].ended;
        }
    }
    assert_int_equal(ended, CLIENTS);
    assert_int_equal(t.requests, 0);
    assert_non_null(strstr(clients[CLIENTS - 1].data, "HTTP/1.1 413 "));
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_null(strstr(clients[i].data, "HTTP/1.1 2"));
        client_close(&clients[i]);
    }
}

// Whoever takes its time within the limit is served.
static void test_patient_server(void **state) {
    (void)state;
    start_strict();
    struct client client;
    struct response response;
    const char *const text = "POST /api/echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nabcde";
    open_client(&client);
    for (const char *c = text; *c; c++) {
        client_write(&client, c, 1);
        client_turn(&client);
    }
    client_response(&client, &response, false);
    assert_int_equal(response.status, 200);
    assert_string_equal(response.body, "abcde");
    client_close(&client);
}

static bool refused(const char *request) {
    struct client client;
    open_client(&client);
    client_text(&client, request);
    bool ended = client_wait_end(&client);
    bool taken = strstr(client.data, "HTTP/1.1 2") != NULL;
    client_close(&client);
    return ended && !taken;
}

static void flood(char *out, size_t size, const char *format, int count) {
    size_t n = (size_t)snprintf(out, size, "GET /hello HTTP/1.1\r\n" HOST);
    for (int i = 0; i < count && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, format, i, i);
    assert_true(n + 3 < size);
    snprintf(out + n, size - n, "\r\n");
}

static void test_header_floods(void **state) {
    (void)state;
    static char text[200000];
    start_strict();
    flood(text, sizeof text, "X-Header-%d: %d\r\n", 5000);
    assert_true(refused(text));
    flood(text, sizeof text, "Cookie: a%d=%d\r\n", 5000);
    assert_true(refused(text));
    flood(text, sizeof text, "X-Forwarded-For: 10.0.%d.%d\r\n", 250);
    assert_true(refused(text));
    snprintf(text, sizeof text, "GET /%0100000d HTTP/1.1\r\n" HOST "\r\n", 1);
    assert_true(refused(text));
    snprintf(text, sizeof text, "GET /hello?%0100000d HTTP/1.1\r\n" HOST "\r\n", 1);
    assert_true(refused(text));
    snprintf(text, sizeof text, "GET /hello HTTP/1.1\r\n" HOST "%0100000d: x\r\n\r\n", 1);
    assert_true(refused(text));
    assert_int_equal(t.requests, 0);
    assert_int_equal(status_of("GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"), 202);
}

// What its proxy wrote last counts, however much a client wrote before it: it must never look like the proxy.
static void test_long_chains(void **state) {
    (void)state;
    static char text[40000];
    static const int lengths[] = {1, 10, 100, 113, 114, 115, 500, 1000, 1500};
    start_strict();
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t n = (size_t)snprintf(text, sizeof text, "GET /hello HTTP/1.1\r\n" HOST "X-Forwarded-For: ");
        for (int j = 0; j < lengths[i]; j++)
            n += (size_t)snprintf(text + n, sizeof text - n, "6.6.6.6, ");
        snprintf(text + n, sizeof text - n, "203.0.113.7\r\nConnection: close\r\n\r\n");
        copy(t.address, sizeof t.address, "");
        assert_int_equal(status_of(text), 202);
        assert_string_equal(t.address, "203.0.113.7");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_LOOP(test_slow),
        WITH_LOOP(test_patient_server),
        WITH_LOOP(test_long_chains),
        WITH_LOOP(test_header_floods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
