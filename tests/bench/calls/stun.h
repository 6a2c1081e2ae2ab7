// SPDX-License-Identifier: Apache-2.0
// ICE-lite's share of STUN (RFC 8445 section 7.3, RFC 8489): a connectivity check is answered, and that is all.
#ifndef IQ_BENCH_STUN_H
#define IQ_BENCH_STUN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Writes the answer to a Binding request into `out` (at least 128 bytes); 0 when `data` is none. The request's own
// integrity is not checked: whoever loads a gateway may trust it.
size_t stun_answer(const uint8_t *data, size_t len, const struct sockaddr_in *from, const char *password,
                   uint8_t *out, bool *nominated);

#endif
