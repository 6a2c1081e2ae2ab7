// SPDX-License-Identifier: Apache-2.0
// The answer of callqueue_lua_list as the operator sees it. Pure.
#ifndef IQ_MIDDLEWARE_CALLQUEUE_LIST_H
#define IQ_MIDDLEWARE_CALLQUEUE_LIST_H

#include "middleware/redis.h"

#include <jansson.h>

// {"total", "offset", "entries": [...]}; NULL when it is no such answer, or memory is out. The caller's to free.
json_t *callqueue_list_json(const struct redis_reply *reply, size_t offset);

#endif
