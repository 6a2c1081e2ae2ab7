// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/json_depth.h"

bool json_depth_ok(const char *text, size_t len, int max) {
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            depth++;
        else if (!in_string && (c == '}' || c == ']'))
            depth--;
        if (depth > max)
            return false;
    }
    return true;
}
