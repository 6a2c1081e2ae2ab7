// SPDX-License-Identifier: Apache-2.0
// The hub over server-sent events: a held GET carries our records, POSTs carry the client's. Wherever the GET
// came to is the connection's node; POSTs that come elsewhere are relayed to it.
#include "middleware/hub_impl.h"

#include <stdlib.h>
#include <string.h>

// "data: RECORD CR LF CR LF". Records are JSON without line ends, so one line is enough.
static int sse_send(struct hub_conn *conn, const char *data, size_t len) {
    static const char before[] = "data: ", after[] = "\r\n\r\n";
    size_t before_len = sizeof before - 1, after_len = sizeof after - 1;
    char *text = malloc(before_len + len + after_len);
    if (!text)
        return -ENOMEM;
    memcpy(text, before, before_len);
    memcpy(text + before_len, data, len);
    memcpy(text + before_len + len, after, after_len);
    int rc = http_stream_send(conn->stream, text, before_len + len + after_len);
    free(text);
    return rc;
}

static void sse_end(struct hub_conn *conn) {
    if (conn->stream)
        http_stream_end(conn->stream);
    conn->stream = NULL;
}

static void sse_drop(struct hub_conn *conn) {
    sse_end(conn);
    hub_map_remove(&conn->hub->conns_by_id, &conn->entry);
    hub_relay_disclaim(conn);
}

static const struct hub_transport sse_transport = {
    .name = "ServerSentEvents", .send = sse_send, .end = sse_end, .drop = sse_drop};

static void on_gone(void *arg) {
    hub_conn_free(arg);
}

void hub_sse_begin(struct hub *hub, const char *id, const char *client_address,
                   struct http_exchange *exchange) {
    // Proxies must not keep for themselves what is sent (nginx asks to be told so).
    static const struct http_header_field headers[] = {{"Cache-Control", "no-cache, no-store"},
                                                       {"X-Accel-Buffering", "no"}};
    static const char first[] = ":\r\n\r\n"; // a comment: some proxies hold back a head without a body
    struct hub_conn *conn;
    unsigned status = hub_conn_new(&conn, hub, &sse_transport, id, client_address);
    if (status) {
        hub_refuse(exchange, status, NULL);
        return;
    }
    hub_map_put(&hub->conns_by_id, &conn->entry);
    if (http_stream_begin(exchange, 200, "text/event-stream", headers, 2, on_gone, conn) != 0) {
        hub_conn_free(conn);
        hub_refuse(exchange, 503, NULL); // nobody is there to read it, or there is no memory
        return;
    }
    conn->stream = exchange;
    if (http_stream_send(exchange, first, sizeof first - 1) != 0)
        hub_conn_end(conn);
}
