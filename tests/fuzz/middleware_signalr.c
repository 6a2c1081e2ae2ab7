// SPDX-License-Identifier: Apache-2.0
// Whatever a client of the hub sends, cut wherever it likes: the records are the same as of one piece, each is
// parsed or refused with a reason, and what we make of it is a record that we could read ourselves.
#include "middleware/signalr.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t hash;
    size_t count;
};

static int note(struct span record, void *arg) {
    struct seen *seen = arg;
    seen->count++;
    for (size_t i = 0; i < record.len; i++)
        seen->hash = (seen->hash ^ record.ptr[i]) * 0x100000001b3u;
    seen->hash = (seen->hash ^ 0x1e) * 0x100000001b3u;
    return 0;
}

static void must_parse(char *record, enum signalr_type type) {
    struct signalr_message message;
    struct err_text err;
    if (!record)
        abort();
    size_t len = strlen(record);
    if (record[len - 1] != 0x1e || signalr_parse(&message, span_of(record, len - 1), &err) != 0 ||
        message.type != type)
        abort();
    signalr_message_clear(&message);
    free(record);
}

static int judge(struct span record, void *arg) {
    struct signalr_message message;
    struct err_text err = {""};
    (void)arg;
    if (signalr_parse_handshake(record, &err) != 0 && !err.text[0])
        abort();
    err.text[0] = '\0';
    if (signalr_parse(&message, record, &err) != 0) {
        if (!err.text[0])
            abort();
        return 0;
    }
    bool invocation = message.type == SIGNALR_INVOCATION || message.type == SIGNALR_STREAM_INVOCATION;
    if (invocation && json_array_size(message.arguments) < 32)
        must_parse(signalr_invocation(message.target, message.arguments), SIGNALR_INVOCATION);
    if (invocation && message.invocation_id)
        must_parse(signalr_completion(message.invocation_id, message.target), SIGNALR_COMPLETION);
    signalr_message_clear(&message);
    return 0;
}

// The first byte is the length of the pieces.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct signalr_reader whole = {0}, cut = {0};
    struct seen seen_whole = {0}, seen_cut = {0};
    if (!size)
        return 0;
    size_t step = data[0] ? data[0] : 1;
    struct span bytes = span_of(data + 1, size - 1), piece;
    int rc_whole = signalr_read(&whole, bytes, note, &seen_whole), rc_cut = 0;
    for (struct span rest = bytes; rest.len && !rc_cut;) {
        span_take(&rest, rest.len < step ? rest.len : step, &piece);
        rc_cut = signalr_read(&cut, piece, note, &seen_cut);
    }
    if (rc_whole != rc_cut || seen_whole.count != seen_cut.count || seen_whole.hash != seen_cut.hash)
        abort();
    if (whole.len > SIGNALR_RECORD_MAX)
        abort();
    signalr_reader_clear(&whole);
    signalr_reader_clear(&cut);
    signalr_read(&whole, bytes, judge, NULL);
    signalr_reader_clear(&whole);
    return 0;
}
