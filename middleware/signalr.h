// SPDX-License-Identifier: Apache-2.0
// The SignalR hub protocol in JSON, version 1 (ASP.NET Core SignalR, "HubProtocol.md" and
// "TransportProtocols.md"): bytes to records, records to messages, and the records that we send. Pure; any
// thread.
#ifndef IQ_MIDDLEWARE_SIGNALR_H
#define IQ_MIDDLEWARE_SIGNALR_H

#include "gateway/core/err.h"
#include "gateway/core/span.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    SIGNALR_RECORD_MAX = 4096, // bytes of a record we take
    SIGNALR_DEPTH_MAX = 16,
    SIGNALR_ID_MAX = 64, // bytes of an invocation id
};

// What has come of a record whose end (0x1E) has not. All zero to begin with.
struct signalr_reader {
    char *data;
    size_t len;
};

// Calls on_record for every record that ends in `bytes`, without its end. Stops at the first return that is not
// 0 and returns it. -EMSGSIZE: a record is longer than SIGNALR_RECORD_MAX; -ENOMEM.
int signalr_read(struct signalr_reader *reader, struct span bytes,
                 int (*on_record)(struct span record, void *arg), void *arg);
void signalr_reader_clear(struct signalr_reader *reader);

// The client's first record. 0, or -EPROTO: `err` is the text for the client.
int signalr_parse_handshake(struct span record, struct err_text *err);

enum signalr_type {
    SIGNALR_OTHER = 0, // of a later version: to be ignored
    SIGNALR_INVOCATION = 1,
    SIGNALR_STREAM_ITEM = 2,
    SIGNALR_COMPLETION = 3,
    SIGNALR_STREAM_INVOCATION = 4,
    SIGNALR_CANCEL_INVOCATION = 5,
    SIGNALR_PING = 6,
    SIGNALR_CLOSE = 7,
};

struct signalr_message {
    enum signalr_type type;
    const char *invocation_id; // NULL: no answer is wanted. Never NULL for a stream invocation
    const char *target;        // of an invocation of either kind
    const json_t *arguments;   // array, of an invocation of either kind
    json_t *root;              // owns what the fields above borrow
};

// -EPROTO: no message of the protocol; `err` is the text for the client. -ENOMEM.
int signalr_parse(struct signalr_message *out, struct span record, struct err_text *err);
void signalr_message_clear(struct signalr_message *message);

// Records to send, ended, terminated and malloc'ed; NULL without memory (or when an argument is not UTF-8).
char *signalr_handshake_error(const char *error);
char *signalr_invocation(const char *target, const json_t *arguments);
char *signalr_completion(const char *invocation_id, const char *error); // error may be NULL
char *signalr_close(const char *error, bool allow_reconnect);           // error may be NULL
#define SIGNALR_HANDSHAKE_OK "{}\x1e"
#define SIGNALR_PING_RECORD "{\"type\":6}\x1e"

#endif
