// SPDX-License-Identifier: Apache-2.0
// The client against our own server, on one loop.
#include "signaling/http.h"
#include "signaling/httpc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    uv_loop_t loop;
    struct http_server *server;
    struct httpc *client;
    bool closed, close_from_callback;
    struct http_exchange *later[64];
    unsigned later_count;
    unsigned requests, done;
    char header[64], body[256], method[16];
    int err;
    long status;
    size_t body_len;
    char answer[256], text[256];
} t;

static void on_any(const struct http_request *request, void *arg) {
    (void)arg;
    t.requests++;
    http_header(request->exchange, "x-api-token:", t.header, sizeof t.header);
    snprintf(t.method, sizeof t.method, "%s", request->method);
    snprintf(t.body, sizeof t.body, "%.*s", (int)request->body.len, (const char *)request->body.ptr);
    http_reply_json(request->exchange, 201, "{\"ok\":true}");
}

static void on_later(const struct http_request *request, void *arg) {
    (void)arg;
    assert_true(t.later_count < sizeof t.later / sizeof *t.later);
    t.later[t.later_count++] = request->exchange;
}

static void on_redirect(const struct http_request *request, void *arg) {
    (void)arg;
    const struct http_header_field header = {"Location", "/any"};
    http_reply(request->exchange, 302, NULL, NULL, 0, &header, 1);
}

static void on_size(const struct http_request *request, void *arg) {
    (void)arg;
    size_t len = strtoul(request->query, NULL, 10);
    char *body = calloc(1, len);
    assert_non_null(body);
    http_reply(request->exchange, 200, "application/octet-stream", body, len, NULL, 0);
    free(body);
}

static const struct http_route routes[] = {
    {"GET", "/any", on_any, NULL},    {"POST", "/any", on_any, NULL},
    {"DELETE", "/any", on_any, NULL}, {"GET", "/later", on_later, NULL},
    {"GET", "/size", on_size, NULL},  {"GET", "/redirect", on_redirect, NULL},
};

static int setup(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    struct err_text err;
    uv_loop_init(&t.loop);
    const struct http_config config = {.loop = &t.loop,
                                       .listen = "127.0.0.1:0",
                                       .max_body = 65536,
                                       .routes = routes,
                                       .route_count = sizeof routes / sizeof *routes};
    assert_int_equal(http_server_new(&t.server, &config, &err), 0);
    return httpc_new(&t.client, &t.loop);
}

static void on_closed(void *arg) {
    (void)arg;
    t.closed = true;
}

static int teardown(void **state) {
    (void)state;
    if (t.client)
        httpc_close(t.client);
    http_server_close(t.server, on_closed, NULL);
    uv_run(&t.loop, UV_RUN_DEFAULT);
    assert_true(t.closed);
    return uv_loop_close(&t.loop);
}

static void on_done(const struct httpc_response *response, void *arg) {
    assert_ptr_equal(arg, &t);
    t.done++;
    t.err = response->err;
    t.status = response->status;
    t.body_len = response->body_len;
    snprintf(t.answer, sizeof t.answer, "%s", response->body);
    snprintf(t.text, sizeof t.text, "%s", response->text);
    if (t.close_from_callback) {
        httpc_close(t.client);
        t.client = NULL;
    }
}

static int send_to(const char *method, const char *url, const char *body, uint32_t timeout_ms) {
    const char *const headers[] = {"X-Api-Token: secret", "Content-Type: application/json"};
    const struct httpc_request request = {.method = method,
                                          .url = url,
                                          .headers = headers,
                                          .header_count = 2,
                                          .body = body,
                                          .body_len = body ? strlen(body) : 0,
                                          .timeout_ms = timeout_ms};
    return httpc_send(t.client, &request, on_done, &t);
}

static bool wait_done(unsigned wanted) {
    uint64_t deadline = uv_hrtime() + 10ULL * 1000000000;
    while (t.done < wanted && uv_hrtime() < deadline)
        uv_run(&t.loop, UV_RUN_ONCE);
    return t.done >= wanted;
}

static void request(const char *method, const char *path, const char *body) {
    char url[256];
    unsigned before = t.done;
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", http_server_port(t.server), path);
    assert_int_equal(send_to(method, url, body, 5000), 0);
    assert_int_equal(t.done, before);
    assert_true(wait_done(before + 1));
}

static void test_requests(void **state) {
    (void)state;
    request("GET", "/any?q=1", NULL);
    assert_int_equal(t.err, 0);
    assert_int_equal(t.status, 201);
    assert_string_equal(t.answer, "{\"ok\":true}");
    assert_int_equal(t.body_len, strlen(t.answer));
    assert_string_equal(t.header, "secret");
    assert_string_equal(t.method, "GET");
    request("POST", "/any", "{\"a\":1}");
    assert_int_equal(t.status, 201);
    assert_string_equal(t.method, "POST");
    assert_string_equal(t.body, "{\"a\":1}");
    request("POST", "/any", "");
    assert_int_equal(t.status, 201);
    request("DELETE", "/any", NULL);
    assert_string_equal(t.method, "DELETE");
    assert_int_equal(t.requests, 4);
}

static void test_redirect_is_not_followed(void **state) {
    (void)state;
    request("GET", "/redirect", NULL);
    assert_int_equal(t.err, 0);
    assert_int_equal(t.status, 302);
    assert_string_equal(t.answer, "");
    assert_int_equal(t.requests, 0);
}

static void test_body_cap(void **state) {
    (void)state;
    request("GET", "/size?1048576", NULL);
    assert_int_equal(t.err, 0);
    assert_int_equal(t.body_len, 1 << 20);
    request("GET", "/size?1048577", NULL);
    assert_int_equal(t.err, -EMSGSIZE);
    assert_string_not_equal(t.text, "");
}

static void test_many_at_once(void **state) {
    (void)state;
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/any", http_server_port(t.server));
    for (int i = 0; i < 100; i++)
        assert_int_equal(send_to("GET", url, NULL, 10000), 0);
    assert_true(wait_done(100));
    assert_int_equal(t.requests, 100);
    assert_int_equal(t.err, 0);
}

// How many this process has; `which` is the same for as long as they are the same ones.
static size_t sockets_open(uint64_t *which) {
    size_t count = 0;
    *which = 0;
    for (int fd = 0; fd < 1024; fd++) {
        struct stat about;
        if (fstat(fd, &about) == 0 && S_ISSOCK(about.st_mode)) {
            count++;
            *which += about.st_ino;
        }
    }
    return count;
}

// Both ends of each connection are here: 16 to one host, the same ones for as long as the burst lasts, then four.
static void test_a_burst_finds_its_connections_again(void **state) {
    (void)state;
    enum { AT_ONCE = 32, ALL = 400 };
    uint64_t which, first_which = 0;
    size_t before = sockets_open(&which);
    unsigned sent = 0;
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/any", http_server_port(t.server));
    uint64_t deadline = uv_hrtime() + 20ULL * 1000000000;
    while (t.done < ALL && uv_hrtime() < deadline) {
        for (; sent < ALL && sent < t.done + AT_ONCE; sent++)
            assert_int_equal(send_to("GET", url, NULL, 10000), 0);
        uv_run(&t.loop, UV_RUN_ONCE);
        if (t.done < ALL / 4 || sent == ALL)
            continue;
        assert_int_equal(sockets_open(&which), before + 2 * 16);
        if (!first_which)
            first_which = which;
        assert_int_equal(which, first_which);
    }
    assert_int_equal(t.requests, ALL);
    while (sockets_open(&which) != before + 2 * 4 && uv_hrtime() < deadline)
        uv_run(&t.loop, UV_RUN_NOWAIT);
    assert_int_equal(sockets_open(&which), before + 2 * 4);
}

static void test_timeout(void **state) {
    (void)state;
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/later", http_server_port(t.server));
    assert_int_equal(send_to("GET", url, NULL, 50), 0);
    assert_true(wait_done(1));
    assert_int_equal(t.err, -ETIMEDOUT);
    uint64_t deadline = uv_hrtime() + 10ULL * 1000000000;
    while (!t.later_count && uv_hrtime() < deadline)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_int_equal(t.later_count, 1);
    http_reply_json(t.later[0], 200, "{}");
}

// Those that wait for a connection run out of time as well.
static void test_timeout_in_the_queue(void **state) {
    (void)state;
    enum { COUNT = 80 };
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/later", http_server_port(t.server));
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(send_to("GET", url, NULL, 500), 0);
    assert_true(wait_done(COUNT));
    assert_int_equal(t.err, -ETIMEDOUT);
    assert_true(t.later_count < COUNT);
    for (unsigned i = 0; i < t.later_count; i++)
        http_reply_json(t.later[i], 200, "{}");
}

static void test_refused(void **state) {
    (void)state;
    // A port that was free a moment ago and that nobody listens on.
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    assert_int_equal(send_to("GET", url, NULL, 5000), 0);
    assert_true(wait_done(1));
    assert_int_equal(t.err, -ECONNREFUSED);
    // TLS to a server that speaks none.
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", http_server_port(t.server));
    assert_int_equal(send_to("GET", url, NULL, 5000), 0);
    assert_true(wait_done(2));
    assert_true(t.err < 0);
    close(fd);
}

// A peer that keeps a connection alive and resets it when the next request comes: the request goes again on a
// new one.
static void resetting_peer(void *arg) {
    int listener = *(int *)arg;
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    char request[1024];
    int first = accept(listener, NULL, NULL);
    if (recv(first, request, sizeof request, 0) > 0 && send(first, answer, sizeof answer - 1, 0) > 0)
        recv(first, request, 1, 0);
    const struct linger reset = {.l_onoff = 1};
    setsockopt(first, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(first);
    int second = accept(listener, NULL, NULL);
    if (recv(second, request, sizeof request, 0) > 0)
        send(second, answer, sizeof answer - 1, 0);
    close(second);
}

static void test_reset_of_a_kept_connection(void **state) {
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 2), 0);
    getsockname(listener, (struct sockaddr *)&address, &len);
    uv_thread_t peer;
    assert_int_equal(uv_thread_create(&peer, resetting_peer, &listener), 0);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(send_to("POST", url, "{}", 5000), 0);
        assert_true(wait_done(i));
        assert_int_equal(t.err, 0);
        assert_int_equal(t.status, 200);
    }
    uv_thread_join(&peer);
    close(listener);
}

static void test_bad_requests(void **state) {
    (void)state;
    assert_int_equal(send_to("GET", "file:///etc/passwd", NULL, 1000), -EINVAL);
    assert_int_equal(send_to("GET", "gopher://127.0.0.1/", NULL, 1000), -EINVAL);
    assert_int_equal(send_to("GET", "", NULL, 1000), -EINVAL);
    const char *const header = "X-A: 1\r\nX-B: 2";
    const struct httpc_request bad = {.method = "GET",
                                      .url = "http://127.0.0.1/",
                                      .headers = &header,
                                      .header_count = 1,
                                      .timeout_ms = 1000};
    assert_int_equal(httpc_send(t.client, &bad, on_done, &t), -EINVAL);
    assert_int_equal(t.done, 0);
}

static void test_close_cancels(void **state) {
    (void)state;
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/later", http_server_port(t.server));
    assert_int_equal(send_to("GET", url, NULL, 5000), 0);
    assert_int_equal(send_to("GET", url, NULL, 5000), 0);
    uint64_t deadline = uv_hrtime() + 10ULL * 1000000000;
    while (t.later_count < 2 && uv_hrtime() < deadline)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_int_equal(t.later_count, 2);
    httpc_close(t.client);
    t.client = NULL;
    assert_int_equal(t.done, 2);
    assert_int_equal(t.err, -ECANCELED);
    http_reply_json(t.later[0], 200, "{}");
    http_reply_json(t.later[1], 200, "{}");
}

static void test_close_from_the_callback(void **state) {
    (void)state;
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/any", http_server_port(t.server));
    t.close_from_callback = true;
    assert_int_equal(send_to("GET", url, NULL, 5000), 0);
    assert_true(wait_done(1));
    assert_null(t.client);
    assert_int_equal(t.status, 201);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    unsetenv("http_proxy");
    unsetenv("https_proxy");
    unsetenv("ALL_PROXY");
    unsetenv("all_proxy");
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_requests),
        WITH_SERVER(test_redirect_is_not_followed),
        WITH_SERVER(test_body_cap),
        WITH_SERVER(test_many_at_once),
        WITH_SERVER(test_a_burst_finds_its_connections_again),
        WITH_SERVER(test_timeout),
        WITH_SERVER(test_timeout_in_the_queue),
        WITH_SERVER(test_refused),
        WITH_SERVER(test_reset_of_a_kept_connection),
        WITH_SERVER(test_bad_requests),
        WITH_SERVER(test_close_cancels),
        WITH_SERVER(test_close_from_the_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
