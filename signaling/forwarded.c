// SPDX-License-Identifier: Apache-2.0
#include "signaling/forwarded.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct network {
    struct in6_addr address; // IPv4 is kept IPv4-mapped, so that one comparison serves both
    unsigned bits;
};

struct forwarded {
    size_t count;
    struct network networks[];
};

// `bits` is the length of the family's own address.
static bool parse_address(const char *text, struct in6_addr *out, unsigned *bits) {
    struct in_addr v4;
    *bits = 128;
    if (inet_pton(AF_INET6, text, out) == 1)
        return true;
    *bits = 32;
    if (inet_pton(AF_INET, text, &v4) != 1)
        return false;
    memset(out, 0, sizeof *out);
    out->s6_addr[10] = out->s6_addr[11] = 0xff;
    memcpy(out->s6_addr + 12, &v4, sizeof v4);
    return true;
}

static bool parse_network(const char *text, struct network *out) {
    char address[FORWARDED_ADDRESS_MAX];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    unsigned family_bits;
    if (len >= sizeof address)
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    if (!parse_address(address, &out->address, &family_bits))
        return false;
    unsigned long prefix = family_bits;
    if (slash) {
        char *end;
        prefix = strtoul(slash + 1, &end, 10);
        if (end == slash + 1 || *end || slash[1] == '-' || slash[1] == '+' || prefix > family_bits)
            return false;
    }
    out->bits = (unsigned)prefix + (128 - family_bits);
    return true;
}

int forwarded_new(struct forwarded **out, const char *const *proxies, size_t proxy_count,
                  const char *const *networks, size_t network_count, struct err_text *err) {
    size_t count = proxy_count + network_count;
    struct forwarded *forwarded = calloc(1, sizeof *forwarded + count * sizeof *forwarded->networks);
    if (!forwarded)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const char *text = i < proxy_count ? proxies[i] : networks[i - proxy_count];
        if ((i < proxy_count && strchr(text, '/')) || !parse_network(text, &forwarded->networks[i])) {
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

static bool inside(const struct network *network, const struct in6_addr *address) {
    unsigned bytes = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->address.s6_addr, address->s6_addr, bytes) != 0)
        return false;
    if (!rest)
        return true;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));
    return ((network->address.s6_addr[bytes] ^ address->s6_addr[bytes]) & mask) == 0;
}

static bool trusted(const struct forwarded *forwarded, const struct in6_addr *address) {
    for (size_t i = 0; i < forwarded->count; i++)
        if (inside(&forwarded->networks[i], address))
            return true;
    return false;
}

bool forwarded_trusted(const struct forwarded *forwarded, const char *address) {
    struct in6_addr parsed;
    unsigned bits;
    return parse_address(address, &parsed, &bits) && trusted(forwarded, &parsed);
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
    unsigned bits;
    return parse_address(address, out, &bits);
}

static void format(const struct in6_addr *address, char *out, size_t out_size) {
    if (IN6_IS_ADDR_V4MAPPED(address))
        inet_ntop(AF_INET, address->s6_addr + 12, out, (socklen_t)out_size);
    else
        inet_ntop(AF_INET6, address, out, (socklen_t)out_size);
}

void forwarded_client(const struct forwarded *forwarded, const char *peer, const char *chain, char *out,
                      size_t out_size) {
    struct in6_addr client, hop;
    unsigned bits;
    if (!parse_address(peer, &client, &bits)) {
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
    format(&client, out, out_size);
}
