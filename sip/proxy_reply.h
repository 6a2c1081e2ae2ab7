// SPDX-License-Identifier: Apache-2.0
// The header lines of the proxy's answers. Pure; any thread.
#ifndef IQ_SIP_PROXY_REPLY_H
#define IQ_SIP_PROXY_REPLY_H

#include "sip/sip_msg.h"

#include <stddef.h>

enum { PROXY_RETRY_AFTER_S = 10, PROXY_HEADERS_MAX = 2048 };

// "Retry-After: 10", or "" for 0. Returns `out`.
const char *proxy_retry_after(char *out, size_t out_size, unsigned seconds);

// "Contact: <sip:+9681@10.0.0.5:5070;X-CallQueue-Id=7f;transport=udp>;q=1.0, ..." with a Contact for each backend.
// `transport`: how the INVITE came. -EINVAL without a backend, -ENOSPC.
int proxy_contacts(char *out, size_t out_size, const struct sip_verdict *verdict, const char *number,
                   const char *transport);

#endif
