// SPDX-License-Identifier: Apache-2.0
#include "middleware/json_limit.h"

#include "gateway/core/json_depth.h"

json_t *json_load_limited(struct span text, struct err_text *err) {
    json_error_t error;
    if (!json_depth_ok((const char *)text.ptr, text.len, JSON_DEPTH_MAX)) {
        err_set(err, -EINVAL, "nested more than %d deep", JSON_DEPTH_MAX);
        return NULL;
    }
    json_t *root = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        err_set(err, -EINVAL, "line %d, column %d: %.80s", error.line, error.column, error.text);
    return root;
}
