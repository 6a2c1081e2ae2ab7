// SPDX-License-Identifier: Apache-2.0
// Numeric addresses and networks. IPv4 is kept IPv4-mapped (RFC 4291 section 2.5.5.2), so that one comparison
// serves both, and "::ffff:10.0.0.7" is 10.0.0.7. Pure; any thread.
#ifndef IQ_CORE_NETWORK_H
#define IQ_CORE_NETWORK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

enum { NETWORK_TEXT_MAX = 64 }; // of an address with its prefix length and terminator

struct network {
    struct in6_addr address;
    unsigned bits; // of the 128
};

bool address_parse(const char *text, struct in6_addr *out);                      // without brackets or port
void address_format(const struct in6_addr *address, char *out, size_t out_size); // IPv4 as IPv4
// "10.0.0.0/8", "2001:db8::/32", or an address, which is a network of one.
bool network_parse(const char *text, struct network *out);
bool network_has(const struct network *network, const struct in6_addr *address);

#endif
