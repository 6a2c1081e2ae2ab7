// SPDX-License-Identifier: Apache-2.0
// Cross-origin rules (Fetch standard, "CORS protocol"): which origins may call us, and what an answer tells
// the browser. Only origins of the list get CORS headers, each echoed exactly, with credentials; so "*" in
// the list matches nothing. Pure; any thread.
#ifndef IQ_SIGNALING_CORS_H
#define IQ_SIGNALING_CORS_H

#include <stdbool.h>
#include <stddef.h>

// Scheme and host compare without case; a slash at the end of a list entry is forgiven.
bool cors_allowed(const char *const *origins, size_t count, const char *origin);

// Origin and Host name the same server: such a page is our own. Default ports may be left out on either side.
bool cors_same_origin(const char *origin, const char *host);

#endif
