// SPDX-License-Identifier: Apache-2.0
#include "middleware/signalr.h"

#include "gateway/core/json_depth.h"

#include <stdlib.h>
#include <string.h>

enum { RECORD_END = 0x1e };

// ---- bytes to records

static int keep(struct signalr_reader *reader, struct span bytes) {
    if (reader->len + bytes.len > SIGNALR_RECORD_MAX)
        return -EMSGSIZE;
    if (!bytes.len)
        return 0;
    char *grown = realloc(reader->data, reader->len + bytes.len);
    if (!grown)
        return -ENOMEM;
    memcpy(grown + reader->len, bytes.ptr, bytes.len);
    reader->data = grown;
    reader->len += bytes.len;
    return 0;
}

// `piece` ends a record: of its own, or with what was kept.
static int deliver(struct signalr_reader *reader, struct span piece,
                   int (*on_record)(struct span record, void *arg), void *arg) {
    if (!reader->len)
        return piece.len > SIGNALR_RECORD_MAX ? -EMSGSIZE : on_record(piece, arg);
    int rc = keep(reader, piece);
    if (rc)
        return rc;
    struct signalr_reader whole = *reader;
    *reader = (struct signalr_reader){0};
    rc = on_record(span_of(whole.data, whole.len), arg);
    free(whole.data);
    return rc;
}

int signalr_read(struct signalr_reader *reader, struct span bytes,
                 int (*on_record)(struct span record, void *arg), void *arg) {
    struct span piece;
    while (span_until(&bytes, RECORD_END, &piece)) {
        int rc = deliver(reader, piece, on_record, arg);
        if (rc)
            return rc;
    }
    return keep(reader, bytes);
}

void signalr_reader_clear(struct signalr_reader *reader) {
    free(reader->data);
    *reader = (struct signalr_reader){0};
}

// ---- records to messages

static json_t *load(struct span record) {
    const char *text = (const char *)record.ptr;
    if (!json_depth_ok(text, record.len, SIGNALR_DEPTH_MAX))
        return NULL;
    json_t *root = json_loadb(text, record.len, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(root))
        return root;
    json_decref(root);
    return NULL;
}

int signalr_parse_handshake(struct span record, struct err_text *err) {
    json_t *root = load(record);
    const char *protocol = json_string_value(json_object_get(root, "protocol"));
    const json_t *version = json_object_get(root, "version");
    int rc = 0;
    if (!root || !protocol || !json_is_integer(version))
        rc = err_set(err, -EPROTO, "The first message must be a handshake request.");
    else if (strcmp(protocol, "json") != 0)
        rc = err_set(err, -EPROTO, "The protocol '%.64s' is not supported.", protocol);
    else if (json_integer_value(version) != 1)
        rc = err_set(err, -EPROTO, "Version %lld of the protocol 'json' is not supported.",
                     (long long)json_integer_value(version));
    json_decref(root);
    return rc;
}

static enum signalr_type type_of(const json_t *root) {
    json_int_t number = json_integer_value(json_object_get(root, "type"));
    return number >= SIGNALR_INVOCATION && number <= SIGNALR_CLOSE ? (enum signalr_type)number
                                                                   : SIGNALR_OTHER;
}

static int take_invocation(struct signalr_message *message, struct err_text *err) {
    const json_t *id = json_object_get(message->root, "invocationId");
    message->target = json_string_value(json_object_get(message->root, "target"));
    message->arguments = json_object_get(message->root, "arguments");
    message->invocation_id = json_string_value(id);
    if (!message->target)
        return err_set(err, -EPROTO, "An invocation needs a target.");
    if (!json_is_array(message->arguments))
        return err_set(err, -EPROTO, "An invocation needs an array of arguments.");
    bool absent = !id || json_is_null(id);
    if (!absent && (!message->invocation_id || json_string_length(id) > SIGNALR_ID_MAX))
        return err_set(err, -EPROTO, "An invocationId is a string of at most %d bytes.", SIGNALR_ID_MAX);
    if (absent && message->type == SIGNALR_STREAM_INVOCATION)
        return err_set(err, -EPROTO, "A stream invocation needs an invocationId.");
    return 0;
}

int signalr_parse(struct signalr_message *out, struct span record, struct err_text *err) {
    struct signalr_message message = {.root = load(record)};
    int rc = 0;
    if (!message.root)
        return err_set(err, -EPROTO, "A message is a JSON object, nested at most %d deep.",
                       SIGNALR_DEPTH_MAX);
    if (!json_is_integer(json_object_get(message.root, "type")))
        rc = err_set(err, -EPROTO, "A message needs a type.");
    message.type = type_of(message.root);
    if (!rc && (message.type == SIGNALR_INVOCATION || message.type == SIGNALR_STREAM_INVOCATION))
        rc = take_invocation(&message, err);
    if (rc)
        json_decref(message.root);
    else
        *out = message;
    return rc;
}

void signalr_message_clear(struct signalr_message *message) {
    json_decref(message->root);
    *message = (struct signalr_message){0};
}

// ---- messages to records

// Takes the reference; `root` may be NULL.
static char *record_of(json_t *root) {
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    size_t len = text ? strlen(text) : 0;
    char *record = text ? realloc(text, len + 2) : NULL;
    if (!record) {
        free(text);
        return NULL;
    }
    record[len] = RECORD_END;
    record[len + 1] = '\0';
    return record;
}

char *signalr_handshake_error(const char *error) {
    return record_of(json_pack("{s:s}", "error", error));
}

char *signalr_invocation(const char *target, const json_t *arguments) {
    return record_of(json_pack("{s:i,s:s,s:O}", "type", SIGNALR_INVOCATION, "target", target, "arguments",
                               (json_t *)arguments));
}

char *signalr_completion(const char *invocation_id, const char *error) {
    return record_of(json_pack("{s:i,s:s,s:s*}", "type", SIGNALR_COMPLETION, "invocationId", invocation_id,
                               "error", error));
}

char *signalr_close(const char *error, bool allow_reconnect) {
    return record_of(json_pack("{s:i,s:s*,s:b}", "type", SIGNALR_CLOSE, "error", error, "allowReconnect",
                               allow_reconnect));
}
