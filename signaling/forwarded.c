// SPDX-License-Identifier: Apache-2.0
#include "signaling/forwarded.h"

#include "gateway/core/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct forwarded {
    size_t count;
    struct network networks[];
};

int forwarded_new(struct forwarded **out, const char *const *proxies, size_t proxy_count,
                  const char *const *networks, size_t network_count, struct err_text *err) {
    size_t count = proxy_count + network_count;
    struct forwarded *forwarded = calloc(1, sizeof *forwarded + count * sizeof *forwarded->networks);
    if (!forwarded)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const char *text = i < proxy_count ? proxies[i] : networks[i - proxy_count];
        if ((i < proxy_count && strchr(text, '/')) || !network_parse(text, &forwarded->networks[i])) {
            free(forwarded);
            return err_set(err, -EINVAL, "ForwardedHeaders.%s: \"%s\" is not %s",
                           i < proxy_count ? "KnownProxies" : "KnownNetworks", text,
                           i < proxy_count ? "an address" : "a network such as 10.0.0.0/8");
        }
    }
    forwarded->count = count;
    *out = forwarded;
    return 0;
}

void forwarded_free(struct forwarded *forwarded) {
    free(forwarded);
}

static bool trusted(const struct forwarded *forwarded, const struct in6_addr *address) {
    for (size_t i = 0; i < forwarded->count; i++)
        if (network_has(&forwarded->networks[i], address))
            return true;
    return false;
}

bool forwarded_trusted(const struct forwarded *forwarded, const char *address) {
    struct in6_addr parsed;
    return address_parse(address, &parsed) && trusted(forwarded, &parsed);
}

// "203.0.113.7", "203.0.113.7:51234", "2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:51234", with blanks
// around; "fe80::7%eth0" without what only that proxy understands.
static bool parse_hop(const char *text, size_t len, struct in6_addr *out) {
    char hop[FORWARDED_ADDRESS_MAX];
    while (len && (*text == ' ' || *text == '\t'))
        text++, len--;
    while (len && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    if (len >= sizeof hop)
        return false;
    memcpy(hop, text, len);
    hop[len] = '\0';
    char *address = hop, *end = NULL;
    if (*hop == '[') {
        address++;
        end = strchr(hop, ']');
        if (!end)
            return false;
    } else if (strchr(hop, ':') == strrchr(hop, ':')) {
        end = strchr(hop, ':');
    }
    if (end)
        *end = '\0';
    address[strcspn(address, "%")] = '\0';
    return address_parse(address, out);
}

void forwarded_client(const struct forwarded *forwarded, const char *peer, const char *chain, char *out,
                      size_t out_size) {
    struct in6_addr client, hop;
    if (!address_parse(peer, &client)) {
        snprintf(out, out_size, "%s", peer);
        return;
    }
    // From the right: each hop was written by the one right of it, so it counts only while that one is
    // trusted.
    size_t end = strlen(chain);
    while (end && trusted(forwarded, &client)) {
        size_t start = end;
        while (start && chain[start - 1] != ',')
            start--;
        if (!parse_hop(chain + start, end - start, &hop))
            break;
        client = hop;
        end = start ? start - 1 : 0;
    }
    address_format(&client, out, out_size);
}
