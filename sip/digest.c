// SPDX-License-Identifier: Apache-2.0
#include "sip/digest.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NONCES = 4096, KEY_LEN = 32, STAMP_LEN = 8, MAC_LEN = 16, HEX_MAX = 2 * EVP_MAX_MD_SIZE + 1 };

struct nonce_use {
    uint32_t serial; // of the nonce that holds this place
    uint32_t count;  // the highest nc that was good
};

struct digest {
    uint8_t key[KEY_LEN];
    uint32_t serial;               // of the newest nonce
    struct nonce_use uses[NONCES]; // by serial, so that the newest push out the oldest
};

int digest_new(struct digest **out) {
    struct digest *digest = calloc(1, sizeof *digest);
    if (!digest)
        return -ENOMEM;
    if (RAND_bytes(digest->key, KEY_LEN) != 1) {
        free(digest);
        return -EIO;
    }
    *out = digest;
    return 0;
}

void digest_free(struct digest *digest) {
    if (!digest)
        return;
    OPENSSL_cleanse(digest->key, sizeof digest->key);
    free(digest);
}

static void to_hex(const uint8_t *bytes, size_t len, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

static bool from_hex(const char *text, size_t digits, uint32_t *out) {
    uint32_t value = 0;
    for (size_t i = 0; i < digits; i++) {
        unsigned char c = (unsigned char)text[i];
        if (!isxdigit(c))
            return false;
        value = value << 4 | (uint32_t)(isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
    }
    *out = value;
    return true;
}

static int write_nonce(const struct digest *digest, uint32_t time_s, uint32_t serial,
                       char out[DIGEST_NONCE]) {
    char stamp[2 * STAMP_LEN + 1];
    snprintf(stamp, sizeof stamp, "%08x%08x", time_s, serial);
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = sizeof mac;
    if (!HMAC(EVP_sha256(), digest->key, KEY_LEN, (const uint8_t *)stamp, 2 * STAMP_LEN, mac, &mac_len))
        return -EIO;
    memcpy(out, stamp, 2 * STAMP_LEN);
    to_hex(mac, MAC_LEN, out + 2 * STAMP_LEN);
    return 0;
}

int digest_nonce(struct digest *digest, int64_t now_s, char out[DIGEST_NONCE]) {
    uint32_t serial = digest->serial + 1;
    int err = write_nonce(digest, (uint32_t)now_s, serial, out);
    if (err)
        return err;
    digest->serial = serial;
    digest->uses[serial % NONCES] = (struct nonce_use){.serial = serial};
    return 0;
}

static bool same_text(const char *a, const char *b) {
    size_t len = strlen(a);
    return len == strlen(b) && CRYPTO_memcmp(a, b, len) == 0;
}

// H(parts joined by colons) as lower-case hex; `parts` ends with NULL.
static bool hash_hex(const EVP_MD *md, const char *const *parts, char out[HEX_MAX]) {
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, md, NULL);
    for (size_t i = 0; ok && parts[i]; i++)
        ok = (!i || EVP_DigestUpdate(ctx, ":", 1)) && EVP_DigestUpdate(ctx, parts[i], strlen(parts[i]));
    ok = ok && EVP_DigestFinal_ex(ctx, hash, &len);
    EVP_MD_CTX_free(ctx);
    if (ok)
        to_hex(hash, len, out);
    OPENSSL_cleanse(hash, sizeof hash);
    return ok;
}

static bool knows_password(const struct digest_response *r, const EVP_MD *md, const char *method,
                           const char *username, const char *password) {
    char ha1[HEX_MAX], ha2[HEX_MAX], expected[HEX_MAX];
    bool ok = hash_hex(md, (const char *[]){username, DIGEST_REALM, password, NULL}, ha1) &&
              hash_hex(md, (const char *[]){method, r->uri, NULL}, ha2) &&
              hash_hex(md, (const char *[]){ha1, r->nonce, r->nc, r->cnonce, "auth", ha2, NULL}, expected);
    if (!ok)
        return false;
    bool right_response = same_text(expected, r->response);
    bool right_name = same_text(username, r->username);
    OPENSSL_cleanse(ha1, sizeof ha1);
    OPENSSL_cleanse(expected, sizeof expected);
    return right_response && right_name;
}

// Ours, young enough, and not used with this count or a higher one.
static bool nonce_is_fresh(struct digest *digest, const struct digest_response *r, int64_t now_s) {
    uint32_t time_s, serial, count;
    char signed_by_us[DIGEST_NONCE];
    if (strlen(r->nonce) != DIGEST_NONCE - 1 || !from_hex(r->nonce, 8, &time_s) ||
        !from_hex(r->nonce + 8, 8, &serial) || strlen(r->nc) != 8 || !from_hex(r->nc, 8, &count))
        return false;
    if (write_nonce(digest, time_s, serial, signed_by_us) || !same_text(signed_by_us, r->nonce))
        return false;
    struct nonce_use *use = &digest->uses[serial % NONCES];
    if ((uint32_t)now_s - time_s > DIGEST_NONCE_LIFE_S || use->serial != serial || count <= use->count)
        return false;
    use->count = count;
    return true;
}

static const EVP_MD *algorithm_of(const char *name) {
    if (!name || strcasecmp(name, "MD5") == 0)
        return EVP_md5();
    return strcasecmp(name, "SHA-256") == 0 ? EVP_sha256() : NULL;
}

enum digest_verdict digest_check(struct digest *digest, const struct digest_response *r, const char *method,
                                 const char *username, const char *password, int64_t now_s) {
    const EVP_MD *md = algorithm_of(r->algorithm);
    if (!md || !r->username || !r->realm || !r->nonce || !r->uri || !r->response || !r->qop || !r->cnonce ||
        !r->nc)
        return DIGEST_WRONG;
    if (strcmp(r->realm, DIGEST_REALM) != 0 || strcasecmp(r->qop, "auth") != 0)
        return DIGEST_WRONG;
    if (!knows_password(r, md, method, username, password))
        return DIGEST_WRONG;
    return nonce_is_fresh(digest, r, now_s) ? DIGEST_GOOD : DIGEST_STALE;
}
