// SPDX-License-Identifier: Apache-2.0
#include "signaling/cors.h"

#include <string.h>
#include <strings.h>

bool cors_allowed(const char *const *origins, size_t count, const char *origin) {
    if (!*origin)
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(origins[i]);
        if (len && origins[i][len - 1] == '/')
            len--;
        if (len == strlen(origin) && strncasecmp(origins[i], origin, len) == 0)
            return true;
    }
    return false;
}

// Length of `authority` without `port` (":443") at its end.
static size_t host_len(const char *authority, const char *port) {
    size_t len = strlen(authority), port_len = strlen(port);
    if (len > port_len && strcmp(authority + len - port_len, port) == 0)
        return len - port_len;
    return len;
}

bool cors_same_origin(const char *origin, const char *host) {
    const char *authority, *port;
    if (strncasecmp(origin, "https://", 8) == 0) {
        authority = origin + 8;
        port = ":443";
    } else if (strncasecmp(origin, "http://", 7) == 0) {
        authority = origin + 7;
        port = ":80";
    } else {
        return false;
    }
    size_t len = host_len(authority, port);
    return len > 0 && len == host_len(host, port) && strncasecmp(authority, host, len) == 0;
}
