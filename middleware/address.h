// SPDX-License-Identifier: Apache-2.0
// Client addresses as the session desk counts and judges them. Pure; any thread.
#ifndef IQ_MIDDLEWARE_ADDRESS_H
#define IQ_MIDDLEWARE_ADDRESS_H

#include <stdbool.h>

enum { ADDRESS_KEY_SIZE = 64 };

// What one client's limits and reputation are kept under: an IPv4 address as it is, an IPv6 address as its
// /64 ("2001:db8:1:2::/64"), because one customer has all of that (RFC 6177). IPv4-mapped addresses are
// IPv4, a scope id ("%eth0") is dropped. -EINVAL when `address` is not a numeric address.
int address_key(const char *address, char out[ADDRESS_KEY_SIZE]);

// Nobody beyond this network can have it, so no reputation service knows it: private (RFC 1918, RFC 4193),
// shared (RFC 6598), loopback, link-local, unspecified, and the mapped forms of these. False when it is no
// address.
bool address_is_private(const char *address);

#endif
