// SPDX-License-Identifier: Apache-2.0
// What the files of the HTTP server share: the server, its connections and their exchanges. Internal to
// signaling/.
//
//   http.c           server, connections, dispatch of libwebsockets' events
//   http_request.c   from the library's header table to an exchange, before anybody else looks
//   http_exchange.c  life of an exchange: body in, route, answer out
//   http_reply.c     the text of an answer
//   ws.c             from the upgrade on
#ifndef IQ_SIGNALING_HTTP_CONN_H
#define IQ_SIGNALING_HTTP_CONN_H

#include "signaling/forwarded.h"
#include "signaling/http.h"
#include "signaling/lws_loop.h"

enum {
    HTTP_MAX_CONNECTIONS = 16384, // per server; less where the process may open fewer descriptors
    HTTP_HEAD_SECONDS = 10,       // from accept to the end of the first request's head, TLS included
    HTTP_IDLE_SECONDS = 60,       // from an answer to the end of the next request's head
    HTTP_BODY_SECONDS = 30,       // for a whole request body
    HTTP_REPLY_SECONDS = 30,      // for the client to read an answer
    HTTP_STREAM_QUEUE = 1 << 20,  // bytes of a stream the client has not read
    HTTP_WS_PING_SECONDS = 20,
};

struct http_conn {
    struct http_server *server; // borrows
    struct lws *wsi;            // NULL once closed
    struct http_conn *next, *prev;
    struct http_exchange *exchange; // the request being read or answered
    struct ws *ws;                  // owns; from on_accept on
    bool last;                      // no further request is taken
    uint64_t read_mark;             // http_conn_bytes_read() when the latest request was complete
    uint64_t deadline_ns;           // for what the client owes now; 0 = nothing
    unsigned stuck_ticks;           // how long it has sent more without reading its answer
    char peer[FORWARDED_ADDRESS_MAX];
};

struct http_server {
    struct http_config config;
    struct lws_loop *loop;
    struct http_listen *listener;
    struct forwarded *forwarded;
    struct http_conn *conns;
    size_t conn_count, conn_max, ws_count;
    uv_timer_t timer; // looks after deadlines, later after the close
    unsigned close_ticks;
    unsigned open_parts; // what on_closed still waits for
    bool closing;
    void (*on_closed)(void *arg);
    void *arg;
};

// Bytes to send, with the room in front that the library wants.
struct http_out {
    uint8_t *data; // LWS_PRE bytes of room, then `len`
    size_t len, size;
};

int http_out_add(struct http_out *out, const void *data, size_t len); // -ENOMEM
void http_out_clear(struct http_out *out);

struct http_exchange {
    struct http_conn *conn; // NULL once the client has left
    struct http_request request;
    char *path, *query, *host, *origin; // owned; request points to them
    char client_address[FORWARDED_ADDRESS_MAX];
    bool http_1_0, head, close_after;
    bool discard;  // refused before its body, which is read over so that the answer is not lost in a reset
    bool has_body; // the client announced one, of content_length bytes
    bool complete; // the request is whole and was dispatched
    bool owned;    // a route has it and still owes the answer
    bool answered; // `out` is complete
    bool flushing; // handed to the library, which has not sent all of it
    bool streaming;
    uint64_t content_length;
    uint8_t *body;
    size_t body_len;
    char *cors; // header lines for the answer, "" for none
    struct http_out out;
    void (*on_gone)(void *arg);
    void *gone_arg;
};

// http.c
uint64_t
http_conn_bytes_read(const struct http_conn *conn); // by the library, from the socket, before decryption
void http_conn_due(struct http_conn *conn, unsigned seconds); // the client owes something; 0 = nothing

// http_request.c. Reads the head into a new exchange. When the request cannot be taken, `*refusal` is the
// status to answer it with and `*message` says why.
int http_exchange_read(struct http_exchange **out, struct http_conn *conn, const char *path, size_t path_len,
                       unsigned *refusal, const char **message);
bool http_conn_header(struct lws *wsi, const char *name, char *out, size_t out_size);

// http_exchange.c. The returns of on_* are for the library: 0, or -1 to close the connection.
int http_exchange_on_request(struct http_conn *conn, const char *path, size_t path_len);
int http_exchange_on_body(struct http_conn *conn, const uint8_t *data, size_t len);
int http_exchange_on_body_end(struct http_conn *conn);
int http_exchange_on_writable(struct http_conn *conn);
void http_exchange_on_gone(struct http_exchange *exchange); // the connection is no more
void http_exchange_wants_write(
    struct http_exchange *exchange); // something is in `out`, or the answer is complete
void http_exchange_free(struct http_exchange *exchange);
bool http_exchange_stuck(const struct http_exchange *exchange); // see http_exchange.c
bool http_exchange_left(const struct http_exchange *exchange);  // held, and the client is no more
bool http_exchange_pipelined(const struct http_conn *conn);     // see http_exchange.c
bool http_path_matches(const char *pattern, const char *path);

// http_reply.c
const char *http_status_text(unsigned status);
// The whole answer, head and body, into `out`.
int http_reply_format(const struct http_exchange *exchange, unsigned status, const char *content_type,
                      const void *body, size_t len, const struct http_header_field *headers,
                      size_t header_count, struct http_out *out);
int http_reply_format_message(const struct http_exchange *exchange, unsigned status, const char *message,
                              struct http_out *out);
// The head of a stream.
int http_reply_format_stream(const struct http_exchange *exchange, unsigned status, const char *content_type,
                             const struct http_header_field *headers, size_t header_count,
                             struct http_out *out);
// Answer to OPTIONS; `allow` is the list of methods.
int http_reply_format_options(const struct http_exchange *exchange, const char *allow, struct http_out *out);

#endif
