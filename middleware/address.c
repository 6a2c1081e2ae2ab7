// SPDX-License-Identifier: Apache-2.0
#include "middleware/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { SITE_BYTES = 8 }; // a /64

// IPv4 is kept IPv4-mapped, so that one form serves both.
static int parse(const char *address, struct in6_addr *out) {
    char text[INET6_ADDRSTRLEN];
    struct in_addr v4;
    size_t len = strcspn(address, "%");
    if (len >= sizeof text)
        return -EINVAL;
    memcpy(text, address, len);
    text[len] = '\0';
    if (inet_pton(AF_INET6, text, out) == 1)
        return 0;
    if (address[len] || inet_pton(AF_INET, text, &v4) != 1)
        return -EINVAL;
    memset(out, 0, sizeof *out);
    out->s6_addr[10] = out->s6_addr[11] = 0xff;
    memcpy(out->s6_addr + 12, &v4, sizeof v4);
    return 0;
}

int address_key(const char *address, char out[ADDRESS_KEY_SIZE]) {
    struct in6_addr parsed;
    int err = parse(address, &parsed);
    if (err)
        return err;
    if (IN6_IS_ADDR_V4MAPPED(&parsed)) {
        inet_ntop(AF_INET, parsed.s6_addr + 12, out, ADDRESS_KEY_SIZE);
        return 0;
    }
    char text[INET6_ADDRSTRLEN];
    memset(parsed.s6_addr + SITE_BYTES, 0, sizeof parsed.s6_addr - SITE_BYTES);
    inet_ntop(AF_INET6, &parsed, text, sizeof text);
    snprintf(out, ADDRESS_KEY_SIZE, "%s/64", text);
    return 0;
}

static bool is_private_v4(const uint8_t a[4]) {
    return a[0] == 0 || a[0] == 10 || a[0] == 127 || (a[0] == 100 && (a[1] & 0xc0) == 64) ||
           (a[0] == 169 && a[1] == 254) || (a[0] == 172 && (a[1] & 0xf0) == 16) ||
           (a[0] == 192 && a[1] == 168);
}

bool address_is_private(const char *address) {
    struct in6_addr parsed;
    if (parse(address, &parsed) != 0)
        return false;
    if (IN6_IS_ADDR_V4MAPPED(&parsed))
        return is_private_v4(parsed.s6_addr + 12);
    return IN6_IS_ADDR_LOOPBACK(&parsed) || IN6_IS_ADDR_UNSPECIFIED(&parsed) ||
           IN6_IS_ADDR_LINKLOCAL(&parsed) || (parsed.s6_addr[0] & 0xfe) == 0xfc;
}
