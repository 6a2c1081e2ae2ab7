// SPDX-License-Identifier: Apache-2.0
#include "middleware/callqueue_list.h"

#include "middleware/callqueue.h"

#include <stdlib.h>
#include <string.h>

enum kind { TEXT, TIME_MS, STATUS, SERVERS };

// Fields of the hash, as they are shown; what is not here is not.
static const struct field {
    const char *name, *shown;
    enum kind kind;
} fields[] = {
    {"id", "id", TEXT},
    {"status", "status", STATUS},
    {"reason", "reason", TEXT},
    {"business", "businessId", TEXT},
    {"number", "numberId", TEXT},
    {"campaign", "campaignId", TEXT},
    {"region", "regionId", TEXT},
    {"callid", "callId", TEXT},
    {"caller", "caller", TEXT},
    {"called", "called", TEXT},
    {"source", "source", TEXT},
    {"servers", "servers", SERVERS},
    {"proxy", "proxy", TEXT},
    {"node", "node", TEXT},
    {"session", "sessionId", TEXT},
    {"created", "createdMs", TIME_MS},
    {"claimed", "claimedMs", TIME_MS},
    {"answered", "answeredMs", TIME_MS},
    {"ended", "endedMs", TIME_MS},
    {"updated", "updatedMs", TIME_MS},
};

// What came from a trunk need not be UTF-8.
static json_t *text_json(const char *text, size_t len) {
    json_t *string = json_stringn(text, len);
    return string ? string : json_string("(not UTF-8)");
}

static json_t *value_json(enum kind kind, const struct redis_reply *value) {
    switch (kind) {
    case TIME_MS:
        return json_integer((json_int_t)strtod(value->str, NULL));
    case STATUS:
        return json_string(callqueue_status_name((enum callqueue_status)strtoul(value->str, NULL, 10)));
    case SERVERS:
        return json_loadb(value->str, value->len, 0, NULL);
    default:
        return text_json(value->str, value->len);
    }
}

static json_t *entry_json(const struct redis_reply *reply) {
    json_t *entry = json_object();
    for (size_t i = 0; i + 1 < reply->count; i += 2) {
        for (size_t k = 0; k < sizeof fields / sizeof fields[0]; k++) {
            if (strcmp(reply->elements[i].str, fields[k].name) == 0)
                json_object_set_new(entry, fields[k].shown,
                                    value_json(fields[k].kind, &reply->elements[i + 1]));
        }
    }
    return entry;
}

static json_t *log_json(const struct redis_reply *reply) {
    json_t *log = json_array();
    for (size_t i = 0; i < reply->count; i++) {
        const char *line = reply->elements[i].str;
        char *text = NULL;
        double ms = strtod(line, &text);
        text += *text == ' ';
        json_array_append_new(
            log, json_pack("{s:I,s:o}", "ms", (json_int_t)ms, "text", text_json(text, strlen(text))));
    }
    return log;
}

json_t *callqueue_list_json(const struct redis_reply *reply, size_t offset) {
    if (reply->type != REDIS_ARRAY || reply->count % 2 != 1 || reply->elements[0].type != REDIS_INTEGER)
        return NULL;
    json_t *entries = json_array();
    for (size_t i = 1; i < reply->count; i += 2) {
        json_t *entry = entry_json(&reply->elements[i]);
        json_object_set_new(entry, "log", log_json(&reply->elements[i + 1]));
        json_array_append_new(entries, entry);
    }
    return json_pack("{s:I,s:I,s:o}", "total", (json_int_t)reply->elements[0].integer, "offset",
                     (json_int_t)offset, "entries", entries);
}
