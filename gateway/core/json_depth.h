// SPDX-License-Identifier: Apache-2.0
// How deep JSON is nested, before it is parsed: jansson recurses up to 2,048 levels for whoever sends them.
// Pure.
#ifndef IQ_CORE_JSON_DEPTH_H
#define IQ_CORE_JSON_DEPTH_H

#include <stdbool.h>
#include <stddef.h>

// Whether no more than `max` objects and arrays stand inside each other. What is not JSON may get any answer.
bool json_depth_ok(const char *text, size_t len, int max);

#endif
