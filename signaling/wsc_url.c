// SPDX-License-Identifier: Apache-2.0
#include "signaling/wsc_url.h"

#include "gateway/core/err.h"
#include "gateway/core/span.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool plain_ascii(const char *text) {
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c <= 0x20 || c >= 0x7f || c == '#' || c == '"' || c == '<' || c == '>' || c == '\\')
            return false;
    }
    return true;
}

static bool host_ok(const char *host, bool bracketed) {
    static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    static const char literal[] = "0123456789abcdefABCDEF:.";
    return *host && strspn(host, bracketed ? literal : name) == strlen(host);
}

static bool parse_port(struct span text, struct wsc_url *out) {
    uint64_t port;
    uint64_t standard = out->secure ? 443 : 80;
    if (!text.len)
        port = standard;
    else if (!span_u64(&text, 65535, &port) || text.len || port == 0)
        return false;
    out->default_port = port == standard;
    snprintf(out->port, sizeof out->port, "%u", (unsigned)port);
    return true;
}

// authority = host [":" port], host perhaps in brackets.
static bool parse_authority(struct span authority, struct wsc_url *out) {
    if (memchr(authority.ptr, '@', authority.len))
        return false;
    struct span host = authority;
    struct span port = {0};
    out->bracketed = authority.len && authority.ptr[0] == '[';
    if (out->bracketed) {
        span_skip(&authority, 1);
        if (!span_until(&authority, ']', &host))
            return false;
        port = authority;
        if (port.len && port.ptr[0] != ':')
            return false;
        span_skip(&port, 1);
    } else if (span_until(&authority, ':', &host)) {
        port = authority;
    }
    return span_copy(host, out->host, sizeof out->host) && host_ok(out->host, out->bracketed) &&
           parse_port(port, out);
}

int wsc_url_parse(const char *text, struct wsc_url *out) {
    struct wsc_url url = {0};
    if (!text || strlen(text) > WSC_URL_MAX || !plain_ascii(text))
        return -EINVAL;
    if (strncasecmp(text, "wss://", 6) == 0)
        url.secure = true;
    else if (strncasecmp(text, "ws://", 5) != 0)
        return -EINVAL;
    text += url.secure ? 6 : 5;
    size_t authority_len = strcspn(text, "/?");
    if (!authority_len || !parse_authority(span_of(text, authority_len), &url))
        return -EINVAL;
    const char *target = text + authority_len;
    snprintf(url.target, sizeof url.target, "%s%s", *target == '/' ? "" : "/", target);
    *out = url;
    return 0;
}
