// SPDX-License-Identifier: Apache-2.0
// UTF-8 (RFC 3629). Pure.
#ifndef IQ_CORE_UTF8_H
#define IQ_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

// Whether these bytes are well-formed: no overlong form, no surrogate, nothing beyond U+10FFFF, no cut-off
// end. NUL is.
bool utf8_valid(const void *text, size_t len);

#endif
