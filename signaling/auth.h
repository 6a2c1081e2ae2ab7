// SPDX-License-Identifier: Apache-2.0
// Session tokens: what lets one client open one session's signalling socket, once, within five minutes.
// token = base64url(JSON{SessionId,ClientId,ExpirationUnix,Nonce}) "." base64url(HMAC-SHA256(secret, first
// part)).
#ifndef IQ_SIGNALING_AUTH_H
#define IQ_SIGNALING_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AUTH_TOKEN_MAX = 1024, AUTH_TOKEN_SECONDS = 300 };

struct auth; // one thread

// A `secret` of "" makes a random one, good for this process's life.
int auth_new(struct auth **out, const char *secret);
void auth_free(struct auth *auth);

int auth_mint(struct auth *auth, const char *session_id, const char *client_id, int64_t now_unix, char *out,
              size_t out_size);

enum auth_verdict {
    AUTH_OK,
    AUTH_EMPTY,
    AUTH_FORMAT,
    AUTH_SIGNATURE,
    AUTH_EXPIRED,
    AUTH_SESSION,
    AUTH_CLIENT,
    AUTH_USED
};
// Checks the signature first, in constant time, and uses the token up when all is well. Used tokens are
// remembered until they would have expired anyway, at most 65,536 of them; beyond that new tokens are refused
// (AUTH_USED), never accepted twice.
enum auth_verdict auth_use(struct auth *auth, const char *token, const char *session_id,
                           const char *client_id, int64_t now_unix);
const char *auth_verdict_text(enum auth_verdict verdict); // "Token has expired." and so on

// Names that only we give out: a sealed name is `name "." expires_unix "." base64url(HMAC-SHA256)`. `purpose`
// keeps the seals of different uses apart. Names are letters, digits, '-' and '_', at most AUTH_NAME_MAX.
enum { AUTH_NAME_MAX = 64, AUTH_SEALED_MAX = AUTH_NAME_MAX + 72 };
int auth_seal(const struct auth *auth, const char *purpose, const char *name, int64_t expires_unix,
              char out[AUTH_SEALED_MAX]);
// AUTH_OK and AUTH_EXPIRED fill `name`; otherwise AUTH_EMPTY, AUTH_FORMAT or AUTH_SIGNATURE. Not used up.
enum auth_verdict auth_open(const struct auth *auth, const char *purpose, const char *sealed,
                            int64_t now_unix, char name[AUTH_NAME_MAX + 1]);

bool auth_equal(const char *a, const char *b); // constant time in the content; for API tokens
// TURN credential for `username` (the time of expiry) by coturn's REST scheme: base64(HMAC-SHA1(secret,
// username)). -ENOBUFS, -EIO.
int auth_turn_credential(const char *secret, const char *username, char *out, size_t out_size);
// A random identifier: `prefix` + 32 hex digits.
int auth_random_id(const char *prefix, char *out, size_t out_size);

#endif
