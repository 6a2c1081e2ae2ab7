// SPDX-License-Identifier: Apache-2.0
// Errors: every function that can fail returns 0 or a negative errno value, and writes its outputs on success
// only. Where a person must act on a failure, an err_text beside the code says which key or field and what
// cures it.
#ifndef IQ_CORE_ERR_H
#define IQ_CORE_ERR_H

#include <errno.h>

// One line for a person. Owned by the caller; always terminated.
struct err_text {
    char text[256];
};

// Writes a formatted line into `err` (which may be NULL) and returns `code`, so that `return err_set(...)`
// reads well.
int err_set(struct err_text *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

// The name of a negative errno value, e.g. "ENOMEM"; never NULL. Any thread.
const char *err_name(int code);

#endif
