// SPDX-License-Identifier: Apache-2.0
#include "signaling/auth.h"

#include "gateway/core/span.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_LEN = 32, MAC_LEN = 32, MAC_TEXT_LEN = 43, USED_MAX = 65536, USED_NONE = -1 };

// A used token is known by the front of its MAC, which differs for every token (each has a nonce) and is as
// random as a hash, so it also picks the bucket.
struct used {
    uint8_t mac[16];
    int64_t expires_unix;
    int32_t next; // in its bucket
};

struct auth {
    uint8_t key[KEY_LEN];
    struct used *used; // ring of USED_MAX in the order of use
    int32_t *buckets;  // USED_MAX heads
    size_t oldest, count;
};

int auth_new(struct auth **out, const char *secret) {
    struct auth *auth = calloc(1, sizeof *auth);
    int err = auth ? 0 : -ENOMEM;
    if (err)
        return err;
    auth->used = calloc(USED_MAX, sizeof *auth->used);
    auth->buckets = malloc(USED_MAX * sizeof *auth->buckets);
    if (!auth->used || !auth->buckets) {
        err = -ENOMEM;
        goto out;
    }
    for (size_t i = 0; i < USED_MAX; i++)
        auth->buckets[i] = USED_NONE;
    if (*secret)
        SHA256((const uint8_t *)secret, strlen(secret), auth->key);
    else if (RAND_bytes(auth->key, KEY_LEN) != 1)
        err = -EIO;
out:
    if (err)
        auth_free(auth);
    else
        *out = auth;
    return err;
}

void auth_free(struct auth *auth) {
    if (!auth)
        return;
    OPENSSL_cleanse(auth->key, sizeof auth->key);
    free(auth->used);
    free(auth->buckets);
    free(auth);
}

static bool mac_of(const struct auth *auth, const char *text, size_t len, uint8_t mac[MAC_LEN]) {
    unsigned mac_len = 0;
    return HMAC(EVP_sha256(), auth->key, KEY_LEN, (const uint8_t *)text, len, mac, &mac_len) &&
           mac_len == MAC_LEN;
}

// `out` needs 4 * ceil(len / 3) + 1 bytes: the encoder writes padding, which is then cut off.
static size_t base64url_encode(const uint8_t *data, size_t len, char *out) {
    size_t n = (size_t)EVP_EncodeBlock((uint8_t *)out, data, (int)len);
    while (n && out[n - 1] == '=')
        n--;
    out[n] = '\0';
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i]);
    return n;
}

// Returns the number of bytes, or -1. `out` needs 3 * ceil(len / 4) bytes.
static int base64url_decode(const char *text, size_t len, uint8_t *out) {
    uint8_t plain[AUTH_TOKEN_MAX + 4];
    if (len % 4 == 1 || len > AUTH_TOKEN_MAX)
        return -1;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool word = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!word && c != '-' && c != '_')
            return -1;
        plain[i] = (uint8_t)(c == '-' ? '+' : c == '_' ? '/' : c);
    }
    size_t padding = (4 - len % 4) % 4;
    memset(plain + len, '=', padding);
    int n = EVP_DecodeBlock(out, plain, (int)(len + padding));
    return n < 0 ? -1 : n - (int)padding;
}

static void hex(const uint8_t *data, size_t len, char *out) {
    for (size_t i = 0; i < len; i++)
        snprintf(out + 2 * i, 3, "%02x", data[i]);
}

int auth_random_id(const char *prefix, char *out, size_t out_size) {
    uint8_t random[16];
    char digits[2 * sizeof random + 1];
    if (strlen(prefix) + sizeof digits > out_size)
        return -ENOSPC;
    if (RAND_bytes(random, sizeof random) != 1)
        return -EIO;
    hex(random, sizeof random, digits);
    snprintf(out, out_size, "%s%s", prefix, digits);
    return 0;
}

static char *payload_json(const char *session_id, const char *client_id, int64_t now_unix) {
    char nonce[2 * 16 + 1];
    if (auth_random_id("", nonce, sizeof nonce) != 0)
        return NULL;
    json_t *root = json_pack("{s:s, s:s, s:I, s:s}", "SessionId", session_id, "ClientId", client_id,
                             "ExpirationUnix", (json_int_t)now_unix + AUTH_TOKEN_SECONDS, "Nonce", nonce);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

int auth_mint(struct auth *auth, const char *session_id, const char *client_id, int64_t now_unix, char *out,
              size_t out_size) {
    char *json = payload_json(session_id, client_id, now_unix);
    if (!json)
        return -EINVAL; // an identifier that is not UTF-8
    size_t json_len = strlen(json);
    char token[AUTH_TOKEN_MAX + 8];
    int err = 0;
    if ((json_len + 2) / 3 * 4 + 1 + MAC_TEXT_LEN + 2 > AUTH_TOKEN_MAX) {
        err = -ENOSPC;
        goto out;
    }
    uint8_t mac[MAC_LEN];
    size_t n = base64url_encode((const uint8_t *)json, json_len, token);
    if (!mac_of(auth, token, n, mac)) {
        err = -EIO;
        goto out;
    }
    token[n++] = '.';
    n += base64url_encode(mac, MAC_LEN, token + n);
    if (n >= out_size)
        err = -ENOSPC;
    else
        memcpy(out, token, n + 1);
out:
    free(json);
    return err;
}

static int32_t *bucket_of(struct auth *auth, const uint8_t *mac) {
    uint16_t index;
    memcpy(&index, mac, sizeof index);
    return &auth->buckets[index];
}

static bool is_used(struct auth *auth, const uint8_t *mac) {
    for (int32_t i = *bucket_of(auth, mac); i != USED_NONE; i = auth->used[i].next)
        if (memcmp(auth->used[i].mac, mac, sizeof auth->used[i].mac) == 0)
            return true;
    return false;
}

static void forget_oldest(struct auth *auth) {
    int32_t index = (int32_t)auth->oldest;
    int32_t *link = bucket_of(auth, auth->used[index].mac);
    while (*link != index)
        link = &auth->used[*link].next;
    *link = auth->used[index].next;
    auth->oldest = (auth->oldest + 1) % USED_MAX;
    auth->count--;
}

// The ring is in the order of use and a token lives AUTH_TOKEN_SECONDS at most, so an entry stays at most
// that long behind an older one that expires later.
static bool use_up(struct auth *auth, const uint8_t *mac, int64_t expires_unix, int64_t now_unix) {
    while (auth->count && auth->used[auth->oldest].expires_unix < now_unix)
        forget_oldest(auth);
    if (auth->count == USED_MAX)
        return false;
    size_t index = (auth->oldest + auth->count++) % USED_MAX;
    struct used *used = &auth->used[index];
    int32_t *head = bucket_of(auth, mac);
    memcpy(used->mac, mac, sizeof used->mac);
    used->expires_unix = expires_unix;
    used->next = *head;
    *head = (int32_t)index;
    return true;
}

// The payload is ours (its MAC was good), so whatever does not fit is a format of another version.
static enum auth_verdict check_payload(const char *json, size_t len, const char *session_id,
                                       const char *client_id, int64_t now_unix, int64_t *expires_unix) {
    const char *token_session = NULL, *token_client = NULL;
    json_int_t expires = 0;
    json_t *root = json_loadb(json, len, 0, NULL);
    enum auth_verdict verdict = AUTH_OK;
    if (!root || json_unpack(root, "{s:s, s:s, s:I}", "SessionId", &token_session, "ClientId", &token_client,
                             "ExpirationUnix", &expires) != 0)
        verdict = AUTH_FORMAT;
    else if (expires < now_unix)
        verdict = AUTH_EXPIRED;
    else if (strcmp(token_session, session_id) != 0)
        verdict = AUTH_SESSION;
    else if (strcmp(token_client, client_id) != 0)
        verdict = AUTH_CLIENT;
    *expires_unix = expires;
    json_decref(root);
    return verdict;
}

enum auth_verdict auth_use(struct auth *auth, const char *token, const char *session_id,
                           const char *client_id, int64_t now_unix) {
    size_t len = strlen(token);
    if (!len)
        return AUTH_EMPTY;
    const char *dot = strchr(token, '.');
    if (!dot || len > AUTH_TOKEN_MAX || strlen(dot + 1) != MAC_TEXT_LEN)
        return AUTH_FORMAT;
    uint8_t theirs[MAC_LEN + 3], ours[MAC_LEN], json[AUTH_TOKEN_MAX];
    if (base64url_decode(dot + 1, MAC_TEXT_LEN, theirs) != MAC_LEN)
        return AUTH_FORMAT;
    if (!mac_of(auth, token, (size_t)(dot - token), ours) || CRYPTO_memcmp(ours, theirs, MAC_LEN) != 0)
        return AUTH_SIGNATURE;
    int json_len = base64url_decode(token, (size_t)(dot - token), json);
    if (json_len < 0)
        return AUTH_FORMAT;
    int64_t expires_unix;
    enum auth_verdict verdict =
        check_payload((const char *)json, (size_t)json_len, session_id, client_id, now_unix, &expires_unix);
    if (verdict != AUTH_OK)
        return verdict;
    if (is_used(auth, ours) || !use_up(auth, ours, expires_unix, now_unix))
        return AUTH_USED;
    return AUTH_OK;
}

// ---- sealed names

static bool is_name(const char *name, size_t len) {
    if (!len || len > AUTH_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_')
            return false;
    return true;
}

// No session token's first part has a ':', so neither kind of MAC is ever one of the other.
static bool seal_mac(const struct auth *auth, const char *purpose, const char *front, size_t front_len,
                     uint8_t mac[MAC_LEN]) {
    char text[AUTH_SEALED_MAX + 32];
    int len = snprintf(text, sizeof text, "%s:%.*s", purpose, (int)front_len, front);
    return len > 0 && (size_t)len < sizeof text && mac_of(auth, text, (size_t)len, mac);
}

int auth_seal(const struct auth *auth, const char *purpose, const char *name, int64_t expires_unix,
              char out[AUTH_SEALED_MAX]) {
    uint8_t mac[MAC_LEN];
    char mac_text[MAC_TEXT_LEN + 2];
    if (!is_name(name, strlen(name)) || expires_unix < 0)
        return -EINVAL;
    int len = snprintf(out, AUTH_SEALED_MAX, "%s.%lld", name, (long long)expires_unix);
    if (!seal_mac(auth, purpose, out, (size_t)len, mac))
        return -EIO;
    base64url_encode(mac, MAC_LEN, mac_text);
    snprintf(out + len, AUTH_SEALED_MAX - (size_t)len, ".%s", mac_text);
    return 0;
}

enum auth_verdict auth_open(const struct auth *auth, const char *purpose, const char *sealed,
                            int64_t now_unix, char name[AUTH_NAME_MAX + 1]) {
    struct span rest = span_str(sealed), sealed_name, expires_text;
    uint8_t theirs[MAC_LEN + 3], ours[MAC_LEN];
    uint64_t expires;
    if (!rest.len)
        return AUTH_EMPTY;
    if (!span_until(&rest, '.', &sealed_name) || !span_until(&rest, '.', &expires_text) ||
        rest.len != MAC_TEXT_LEN || !is_name((const char *)sealed_name.ptr, sealed_name.len) ||
        !span_u64(&expires_text, INT64_MAX, &expires) || expires_text.len)
        return AUTH_FORMAT;
    const char *mac_text = (const char *)rest.ptr;
    if (base64url_decode(mac_text, MAC_TEXT_LEN, theirs) != MAC_LEN)
        return AUTH_FORMAT;
    if (!seal_mac(auth, purpose, sealed, (size_t)(mac_text - sealed) - 1, ours) ||
        CRYPTO_memcmp(ours, theirs, MAC_LEN) != 0)
        return AUTH_SIGNATURE;
    span_copy(sealed_name, name, AUTH_NAME_MAX + 1);
    return (int64_t)expires < now_unix ? AUTH_EXPIRED : AUTH_OK;
}

const char *auth_verdict_text(enum auth_verdict verdict) {
    switch (verdict) {
    case AUTH_OK:
        return "Token is valid.";
    case AUTH_EMPTY:
        return "Token is missing.";
    case AUTH_FORMAT:
        return "Token is malformed.";
    case AUTH_SIGNATURE:
        return "Token signature is not valid.";
    case AUTH_EXPIRED:
        return "Token has expired.";
    case AUTH_SESSION:
        return "Token is for another session.";
    case AUTH_CLIENT:
        return "Token is for another client.";
    case AUTH_USED:
        return "Token has already been used.";
    }
    return "Token is not valid.";
}

// Digests have one length, so neither where nor whether lengths differ shows in the time of the comparison.
bool auth_equal(const char *a, const char *b) {
    uint8_t digest_a[SHA256_DIGEST_LENGTH], digest_b[SHA256_DIGEST_LENGTH];
    SHA256((const uint8_t *)a, strlen(a), digest_a);
    SHA256((const uint8_t *)b, strlen(b), digest_b);
    return CRYPTO_memcmp(digest_a, digest_b, sizeof digest_a) == 0;
}

int auth_turn_credential(const char *secret, const char *username, char *out, size_t out_size) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    const unsigned char *text = (const unsigned char *)username;
    if (!HMAC(EVP_sha1(), secret, (int)strlen(secret), text, strlen(username), digest, &len))
        return -EIO;
    if (out_size < 4 * ((size_t)len + 2) / 3 + 1)
        return -ENOBUFS;
    EVP_EncodeBlock((unsigned char *)out, digest, (int)len);
    return 0;
}
