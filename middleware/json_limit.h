// SPDX-License-Identifier: Apache-2.0
// JSON of strangers: nested at most 32 deep, no property twice in one object, nothing behind the value. Any
// thread.
#ifndef IQ_MIDDLEWARE_JSON_LIMIT_H
#define IQ_MIDDLEWARE_JSON_LIMIT_H

#include "gateway/core/err.h"
#include "gateway/core/span.h"

#include <jansson.h>

enum { JSON_DEPTH_MAX = 32 };

// Owned by the caller. NULL: `err` (may be NULL) says why, as "line 1, column 2: ...", which may quote a
// little of the text.
json_t *json_load_limited(struct span text, struct err_text *err);

#endif
