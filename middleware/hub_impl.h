// SPDX-License-Identifier: Apache-2.0
// What the hub's files share. Internal to middleware/.
//
//   client -> hub_http   negotiate, tokens, and which transport a request is of
//          -> hub_ws, hub_sse, hub_poll   each with the bytes of a connection
//          -> hub_conn   records, handshake, pings, timeouts, limits
//          -> hub_topic  Register: who waits for which id; asks the desk; events out, none twice
//   other nodes <-> hub_relay  requests for a connection that lives elsewhere, and their answers
//
// A connection is freed only from the tick, or from the outermost call of its transport; everything else just
// ends it (`ended`), so that nobody up the stack holds freed memory.
#ifndef IQ_MIDDLEWARE_HUB_IMPL_H
#define IQ_MIDDLEWARE_HUB_IMPL_H

#include "gateway/core/slot.h"
#include "middleware/address.h"
#include "middleware/hub.h"
#include "middleware/hub_map.h"
#include "middleware/signalr.h"

#include <sys/queue.h>

enum {
    HUB_TICK_MS = 1000,
    HUB_HANDSHAKE_MS = 15000,
    HUB_PING_MS = 15000,       // after this without a record of ours
    HUB_CLIENT_MS = 30000,     // a client silent for so long is gone
    HUB_POLL_GAP_MS = 15000,   // and so is one that does not poll
    HUB_FAREWELL_MS = 10000,   // for an ended long polling client to fetch the last records
    HUB_REGISTER_MS = 10000,   // for the desk to answer
    HUB_RETRY_MS = 3000,       // before the desk is asked again what it could not tell
    HUB_TOKEN_SECONDS = 120,   // from negotiate to the connection
    HUB_CLAIM_SECONDS = 60,    // a connection's entry in Redis, renewed every
    HUB_RENEW_MS = 20000,      // so many ms
    HUB_RELAY_MS = 5000,       // for another node's answer, and between looks whether it is there
    HUB_RELAY_POLL_MS = 35000, // the same for a poll: pings come more often than this
    HUB_RELAY_MISSES = 3,    // looks, a second apart, that find no such node: it is not just connecting again
    HUB_RELAYS_MAX = 4096,   // requests waiting for another node
    HUB_QUERIES_MAX = 256,   // questions to the desk under way, when many have to be asked again
    HUB_QUERY_TRIES = 3,     // while events come in between
    HUB_OUT_MAX = 65536,     // bytes a client may leave unread
    HUB_IDS_PER_CONN = 4,    // ids one connection may register
    HUB_TARGETS_MAX = 4,     // kinds of events whose last one is remembered
    HUB_MESSAGE_BURST = 60,  // messages of a connection at once,
    HUB_MESSAGES_PER_S = 5,  // and for long
    HUB_REGISTER_BURST = 5,  // the same for Register
    HUB_ADDRESS_BURST = 300, // Register of one address: known ids cost 1,
    HUB_ADDRESS_PER_S = 5,   //
    HUB_UNKNOWN_COST = 15,   // unknown ones this much more
    HUB_CONNECTIONS = 8192,  // defaults of struct hub_config
    HUB_PER_ADDRESS = 256,
    HUB_NODE_MAX = 40,
    HUB_CONN_ID_MAX = AUTH_NAME_MAX,
};

#define HUB_EVENTS_CHANNEL "iqra:hub:events"
#define HUB_NODE_CHANNEL "iqra:hub:node:"
#define HUB_CONN_KEY "iqra:hub:conn:"
#define HUB_TOKEN_PURPOSE "hub"

// Never more than `capacity` at once and `per_s` for long; all zero to begin with.
struct hub_bucket {
    uint64_t used_milli, at_ms;
};
bool hub_bucket_take(struct hub_bucket *bucket, uint64_t now_ms, uint32_t capacity, uint32_t per_s,
                     uint32_t cost);

// A client address: what it has and what it did. Kept while one of both counts.
struct hub_address {
    struct hub_entry entry;
    size_t conns;
    struct hub_bucket registers;
    char key[ADDRESS_KEY_SIZE];
};

struct hub_conn;

struct hub_transport {
    const char *name;
    // Takes whole records; an error means that the connection is lost, and ends it.
    int (*send)(struct hub_conn *conn, const char *data, size_t len);
    void (*end)(struct hub_conn *conn);  // after what was sent; frees nothing
    void (*drop)(struct hub_conn *conn); // it is freed; may be NULL
};

// Who waits for an answer: an exchange of this node, or request `n` of node `from`.
struct hub_caller {
    struct http_exchange *exchange;
    char from[HUB_NODE_MAX];
    uint64_t n;
};

struct hub_conn {
    struct hub_entry entry; // by `id`, unless it is a WebSocket
    LIST_ENTRY(hub_conn) all;
    struct hub *hub;
    const struct hub_transport *transport;
    struct hub_address *address;
    LIST_HEAD(, hub_reg) regs;
    size_t reg_count;
    struct signalr_reader reader;
    bool greeted, ended;
    uint64_t born_ms, heard_ms, said_ms, ended_ms, renewed_ms;
    struct hub_bucket messages, registers;
    char id[HUB_CONN_ID_MAX + 1];
    struct ws *ws;                // WebSocket
    struct http_exchange *stream; // server-sent events
    struct hub_caller poll;       // long polling: who waits for something to send
    bool poll_waits;
    uint64_t polled_ms;
    char *out; // unread records
    size_t out_len;
    // What answered a poll of another node last, kept until another poll shows that the client has it.
    struct hub_caller sent_to;
    char *sent;
    size_t sent_len;
};

struct hub {
    struct hub_config config;
    struct hub_events events;
    char node[HUB_NODE_MAX]; // this process, until it ends
    uv_timer_t timer;
    uint64_t now_ms; // as of the last tick
    bool draining, closing;
    bool others; // other nodes have relayed, or have been relayed to
    LIST_HEAD(, hub_conn) conns;
    size_t conn_count;
    struct hub_map conns_by_id, topics, addresses;
    size_t address_count;
    TAILQ_HEAD(hub_stale, hub_topic) stale; // topics about which the desk has to be asked
    bool listening;                         // events are heard
    size_t queries;                         // questions to the desk under way
    bool asking;                            // the stale ones are being gone through
    struct slot_table *relays;
    size_t redis_calls; // callbacks still to come
    bool timer_closed;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

// hub.c
struct hub_address *hub_address_of(struct hub *hub, const char *client_address); // NULL: no memory, or full
// `fn` (may be NULL) counts in redis_calls until it has been called, by itself.
int hub_publish(struct hub *hub, const char *channel, const char *head, struct span body, redis_fn *fn,
                void *arg);
void hub_tick(struct hub *hub, uint64_t now_ms);
void hub_closed_maybe(struct hub *hub); // frees the hub when it was closed and nothing is left

// hub_conn.c
// 0, or the HTTP status that refuses it. `id` as in a token. Counted from here on.
unsigned hub_conn_new(struct hub_conn **out, struct hub *hub, const struct hub_transport *transport,
                      const char *id, const char *client_address);
void hub_conn_free(struct hub_conn *conn);
void hub_conn_receive(struct hub_conn *conn, struct span bytes);
void hub_conn_say(struct hub_conn *conn, const char *record); // NULL: there was no memory for it
// With a goodbye, if there still is somebody; then ended.
void hub_conn_close(struct hub_conn *conn, const char *error, bool allow_reconnect);
void hub_conn_end(struct hub_conn *conn);  // without one
bool hub_conn_look(struct hub_conn *conn); // each tick; false: it can be freed

// hub_topic.c
void hub_register(struct hub_conn *conn, const struct signalr_message *message);
void hub_complete(struct hub_conn *conn, const char *invocation_id, const char *error); // id may be NULL
void hub_unregister_all(struct hub_conn *conn);
void hub_topics_listen(struct hub *hub); // events may have been missed up to now
void hub_topics_event(struct hub *hub, const char *message, size_t len);
void hub_topics_tick(struct hub *hub);

// hub_http.c
// 0; -ENOENT, or -ENOSPC when it does not fit, and then `out` is "".
int hub_query(const char *query, const char *name, char *out, size_t out_size);
// AUTH_OK fills `id`. Without an id: AUTH_EMPTY.
enum auth_verdict hub_token_open(const struct hub *hub, const char *query, char id[HUB_CONN_ID_MAX + 1]);
void hub_refuse(struct http_exchange *exchange, unsigned status, const char *message);

// hub_sse.c, hub_poll.c: a connection of this node begins with this exchange.
void hub_sse_begin(struct hub *hub, const char *id, const char *client_address,
                   struct http_exchange *exchange);
void hub_poll_begin(struct hub *hub, const char *id, const char *client_address,
                    struct http_exchange *exchange);
bool hub_poll_is(const struct hub_conn *conn);
// Answers who waited before. The same poll once more gets the answer that it got, if that had records.
void hub_poll_wait(struct hub_conn *conn, const struct hub_caller *caller);
void hub_poll_still(struct hub_conn *conn,
                    const struct hub_caller *caller); // it waits: the answer may be lost
void hub_poll_left(struct hub_conn *conn, const struct hub_caller *caller); // its client has left
void hub_poll_drop(struct hub_conn *conn);                                  // nobody will get anything more

// hub_relay.c
enum hub_ask {
    HUB_ASK_STREAM,
    HUB_ASK_POLL,
    HUB_ASK_POST,
    HUB_ASK_DELETE,
    HUB_ASK_LEFT,  // that poll's client has left
    HUB_ASK_STILL, // that poll still waits; was it heard of?
};
// What a request asks of a connection that lives here.
void hub_serve(struct hub_conn *conn, enum hub_ask ask, const struct hub_caller *caller, struct span body);
// To the exchange, or to the node that relayed the request.
void hub_answer(struct hub *hub, const struct hub_caller *caller, unsigned status, const char *body,
                size_t len);
// To a node only; `fn` hears from Redis whether it is there to take it.
int hub_answer_away(struct hub *hub, const struct hub_caller *caller, unsigned status, struct span body,
                    redis_fn *fn, void *arg);
// A request for a connection that is not here: to its node, or a new one here when `may_begin`.
void hub_relay(struct hub *hub, enum hub_ask ask, const char *id, bool may_begin,
               const struct http_request *request);
void hub_relay_message(struct hub *hub, const char *message, size_t len); // on this node's channel
void hub_relay_claim(struct hub_conn *conn);                              // it lives here: said in Redis
void hub_relay_disclaim(struct hub_conn *conn);                           // and is over
void hub_relay_again(struct hub *hub); // answers may have been lost up to now
void hub_relay_tick(struct hub *hub);
void hub_relay_close(struct hub *hub); // answers 503 to all that wait

#endif
