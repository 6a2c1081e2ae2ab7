// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err_text *err, int code, const char *format, ...) {
    if (!err)
        return code;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return code;
}

const char *err_name(int code) {
    const char *name = strerrorname_np(code < 0 ? -code : code);
    return name ? name : "EUNKNOWN";
}
