// SPDX-License-Identifier: Apache-2.0
// The forms of addresses in the configuration.
#include "gateway/core/conf_impl.h"
#include "gateway/core/span.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <unistd.h>

bool conf_is_word(const char *text, const char *extra) {
    if (!*text)
        return false;
    for (const char *c = text; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr(extra, *c))
            return false;
    }
    return true;
}

bool conf_is_address(const char *text) {
    struct in6_addr address;
    return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

bool conf_is_network(const char *text) {
    struct span rest = span_str(text), address;
    char copy[INET6_ADDRSTRLEN];
    uint64_t bits;
    if (!span_until(&rest, '/', &address) || !span_copy(address, copy, sizeof copy) || !conf_is_address(copy))
        return false;
    return span_u64(&rest, strchr(copy, ':') ? 128 : 32, &bits) && !rest.len;
}

static bool is_host(struct span host) {
    char copy[256];
    if (!span_copy(host, copy, sizeof copy))
        return false;
    size_t len = strlen(copy);
    if (len > 2 && copy[0] == '[' && copy[len - 1] == ']') {
        copy[len - 1] = '\0';
        return strchr(copy + 1, ':') && conf_is_address(copy + 1);
    }
    return conf_is_word(copy, ".-_");
}

// "host", "host:port", "[v6]", "[v6]:port"
static bool is_authority(struct span text, bool port_needed) {
    size_t host_len = text.len;
    for (size_t i = text.len; i-- > 0 && text.ptr[i] != ']';) {
        if (text.ptr[i] == ':') {
            host_len = i;
            break;
        }
    }
    struct span host;
    uint64_t port;
    if (!span_take(&text, host_len, &host) || !is_host(host))
        return false;
    if (!text.len)
        return !port_needed;
    return span_skip(&text, 1) && span_u64(&text, UINT16_MAX, &port) && !text.len;
}

// A numeric address: nobody should have to guess which of a name's addresses is listened on.
bool conf_is_listen(const char *text) {
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN];
    bool v6 = text[0] == '[';
    if (!is_authority(span_str(text), true) || !colon || (v6 && colon[-1] != ']'))
        return false;
    struct span inner = span_of(text + v6, (size_t)(colon - text) - 2u * v6);
    return span_copy(inner, host, sizeof host) && conf_is_address(host);
}

bool conf_is_url(const char *text, const char *const *schemes) {
    for (const char *c = text; *c; c++) {
        if (*c <= ' ' || *c >= 0x7f || strchr("\"<>\\^`{|}", *c))
            return false;
    }
    for (; *schemes; schemes++) {
        size_t len = strlen(*schemes);
        if (strncmp(text, *schemes, len) != 0 || strncmp(text + len, "://", 3) != 0)
            continue;
        const char *host = text + len + 3;
        struct span authority = span_of(host, strcspn(host, "/?#")), user;
        span_until(&authority, '@', &user);
        return is_authority(authority, false);
    }
    return false;
}

void conf_digits(const char *number, char *out, size_t out_size) {
    size_t n = 0;
    bool some = false;
    for (const char *c = number; *c && n + 1 < out_size; c++) {
        if (strchr("-.() ", *c) || (*c == '+' && c == number))
            continue;
        some |= isdigit((unsigned char)*c) != 0;
        out[n++] = *c;
    }
    out[some ? n : 0] = '\0';
}

bool conf_is_readable(const char *path) {
    return access(path, R_OK) == 0;
}
