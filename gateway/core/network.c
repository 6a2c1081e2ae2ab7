// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/network.h"

#include "gateway/core/span.h"

#include <arpa/inet.h>
#include <string.h>

// `bits` is the length of the family's own address.
static bool parse(const char *text, struct in6_addr *out, unsigned *bits) {
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

bool address_parse(const char *text, struct in6_addr *out) {
    unsigned bits;
    return parse(text, out, &bits);
}

void address_format(const struct in6_addr *address, char *out, size_t out_size) {
    if (IN6_IS_ADDR_V4MAPPED(address))
        inet_ntop(AF_INET, address->s6_addr + 12, out, (socklen_t)out_size);
    else
        inet_ntop(AF_INET6, address, out, (socklen_t)out_size);
}

bool network_parse(const char *text, struct network *out) {
    struct span rest = span_str(text), head = rest;
    char address[NETWORK_TEXT_MAX];
    bool prefix = span_until(&rest, '/', &head);
    unsigned family_bits;
    if (!span_copy(head, address, sizeof address) || !parse(address, &out->address, &family_bits))
        return false;
    uint64_t bits = family_bits;
    if (prefix && (!span_u64(&rest, family_bits, &bits) || rest.len))
        return false;
    out->bits = (unsigned)bits + (128 - family_bits);
    return true;
}

bool network_has(const struct network *network, const struct in6_addr *address) {
    unsigned bytes = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->address.s6_addr, address->s6_addr, bytes) != 0)
        return false;
    if (!rest)
        return true;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));
    return ((network->address.s6_addr[bytes] ^ address->s6_addr[bytes]) & mask) == 0;
}
