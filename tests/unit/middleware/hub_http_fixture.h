// SPDX-License-Identifier: Apache-2.0
// The hub's HTTP transports as a client asks for them. For test_hub_http.c and test_hub_nodes.c.
#ifndef IQ_TEST_HUB_HTTP_FIXTURE_H
#define IQ_TEST_HUB_HTTP_FIXTURE_H

#include "tests/unit/middleware/hub_fixture.h"

#define QUERY (AUTH_SEALED_MAX + 8)
#define EMPTY_JSON "{}|"

static inline unsigned ask(int node, const char *method, const char *query, const char *body) {
    struct http_exchange exchange = {0};
    request(node, method, "/sessionHub", query, body, &exchange);
    settle();
    assert_int_equal(exchange.replies, 1);
    return exchange.status;
}

// Whoever still waits when the test is over is answered by its teardown: so those exchanges are static.
static inline void sse_open(int node, const char *query, struct http_exchange *stream) {
    *stream = (struct http_exchange){.accept = "text/event-stream"};
    request(node, "GET", "/sessionHub", query, "", stream);
    settle();
    assert_int_equal(stream->status, 200);
    assert_true(stream->streaming);
    assert_string_equal(taken(stream->body), ":\r\n\r\n");
}

static inline void poll_open(int node, const char *query) {
    struct http_exchange first = {0};
    request(node, "GET", "/sessionHub", query, "", &first);
    settle();
    assert_int_equal(first.replies, 1);
    assert_int_equal(first.status, 200);
    assert_string_equal(first.body, "");
}

static inline void poll(int node, const char *query, struct http_exchange *exchange) {
    *exchange = (struct http_exchange){0};
    request(node, "GET", "/sessionHub", query, "", exchange);
    settle();
}

static inline void expect_polled(struct http_exchange *exchange, unsigned status, const char *text) {
    assert_int_equal(exchange->replies, 1);
    assert_int_equal(exchange->status, status);
    assert_string_equal(taken(exchange->body), text);
}

#endif
