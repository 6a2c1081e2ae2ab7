// SPDX-License-Identifier: Apache-2.0
// Whose request it is behind reverse proxies: trusts X-Forwarded-For only as far as the hops are ours. Pure;
// any thread.
#ifndef IQ_SIGNALING_FORWARDED_H
#define IQ_SIGNALING_FORWARDED_H

#include "gateway/core/err.h"

#include <stdbool.h>
#include <stddef.h>

enum { FORWARDED_ADDRESS_MAX = 64 };

struct forwarded; // the trusted proxies and networks

// `proxies` are addresses, `networks` CIDR. -EINVAL names the entry that is neither.
int forwarded_new(struct forwarded **out, const char *const *proxies, size_t proxy_count,
                  const char *const *networks, size_t network_count, struct err_text *err);
void forwarded_free(struct forwarded *forwarded);

bool forwarded_trusted(const struct forwarded *forwarded, const char *address);

// The right-most address of `chain` (the X-Forwarded-For value, "" for none) that is no trusted hop; `peer`,
// the socket's own address, when that is not trusted itself. IPv4-mapped addresses become IPv4; ports and
// brackets are dropped.
void forwarded_client(const struct forwarded *forwarded, const char *peer, const char *chain, char *out,
                      size_t out_size);

#endif
