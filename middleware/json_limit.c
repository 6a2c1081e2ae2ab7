// SPDX-License-Identifier: Apache-2.0
#include "middleware/json_limit.h"

#include <stdbool.h>

// Before the parser, which nests 2,048 deep. Of text that is no JSON the parser says so.
static bool too_deep(struct span text) {
    unsigned depth = 0;
    bool quoted = false;
    uint8_t c;
    while (span_u8(&text, &c)) {
        if (quoted && c == '\\')
            span_skip(&text, 1);
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '[') && ++depth > JSON_DEPTH_MAX)
            return true;
        else if (!quoted && (c == '}' || c == ']') && depth)
            depth--;
    }
    return false;
}

json_t *json_load_limited(struct span text, struct err_text *err) {
    json_error_t error;
    if (too_deep(text)) {
        err_set(err, -EINVAL, "nested more than %d deep", JSON_DEPTH_MAX);
        return NULL;
    }
    json_t *root = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        err_set(err, -EINVAL, "line %d, column %d: %.80s", error.line, error.column, error.text);
    return root;
}
