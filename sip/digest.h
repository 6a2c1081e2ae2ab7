// SPDX-License-Identifier: Apache-2.0
// Digest authentication of a caller, the server's half: RFC 3261 section 22, RFC 7616 and RFC 8760. MD5 and SHA-256,
// qop=auth only. A nonce carries its time and a MAC of ours, so that only the last 4096 of them are remembered, and of
// those only how far their count has come. One thread.
#ifndef IQ_SIP_DIGEST_H
#define IQ_SIP_DIGEST_H

#include "gateway/core/err.h"

#include <stdint.h>

#define DIGEST_REALM "iqra-gateway"

enum { DIGEST_NONCE = 49, DIGEST_NONCE_LIFE_S = 300 };

struct digest;

// The parameters of an Authorization header, unquoted; NULL for those that are absent. Borrowed.
struct digest_response {
    const char *username, *realm, *nonce, *uri, *response, *algorithm, *qop, *cnonce, *nc;
};

enum digest_verdict {
    DIGEST_GOOD,
    DIGEST_STALE, // the caller knows the password, but the nonce is old, used up or of another node: ask again
    DIGEST_WRONG,
};

int digest_new(struct digest **out); // with a random key: -EIO when there is none to be had
void digest_free(struct digest *digest);

// A nonce for one challenge; terminated text.
int digest_nonce(struct digest *digest, int64_t now_s, char out[DIGEST_NONCE]);

// Compares in constant time, and takes as long for a wrong name as for a wrong password.
enum digest_verdict digest_check(struct digest *digest, const struct digest_response *response,
                                 const char *method, const char *username, const char *password,
                                 int64_t now_s);

#endif
