// SPDX-License-Identifier: Apache-2.0
// A WebSocket URL taken apart (RFC 6455 section 3). Pure; never logs it: path and query hold tokens.
#ifndef IQ_SIGNALING_WSC_URL_H
#define IQ_SIGNALING_WSC_URL_H

#include <stdbool.h>
#include <stddef.h>

enum { WSC_URL_MAX = 4096, WSC_HOST_MAX = 253 };

struct wsc_url {
    bool secure;                  // wss
    bool bracketed;               // the host is an IPv6 literal, kept here without its brackets
    char host[WSC_HOST_MAX + 1];  // name or address
    char port[6];                 // decimal, the scheme's default when the URL has none
    bool default_port;            // `port` is the scheme's default
    char target[WSC_URL_MAX + 2]; // path and query, at least "/"
};

// -EINVAL for anything but ws:// or wss:// with a host; for user information, a fragment, blanks, control or
// non-ASCII characters, a port outside 1-65535, or more than WSC_URL_MAX bytes.
int wsc_url_parse(const char *text, struct wsc_url *out);

#endif
