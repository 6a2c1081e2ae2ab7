// SPDX-License-Identifier: Apache-2.0
// By SHA1_*, of the interface of 1.1: that of 3.0 copies a context for each packet, which allocates.
#define OPENSSL_API_COMPAT 10101
#include "media/srtp_auth.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <srtp2/auth.h>
#include <stdlib.h>
#include <string.h>

enum { INNER_PAD = 0x36, OUTER_PAD = 0x5c };

struct hmac {
    srtp_auth_t auth;     // what libsrtp knows of it; auth.state is this
    SHA_CTX inner, outer; // the key's block is in already
    SHA_CTX now;          // of the packet under way
};

static const srtp_auth_type_t hmac_type;

static srtp_err_status_t hmac_alloc(srtp_auth_t **out, int key_len, int out_len) {
    if (key_len < 0 || key_len > SHA_CBLOCK || out_len < 0 || out_len > SHA_DIGEST_LENGTH)
        return srtp_err_status_bad_param;
    struct hmac *hmac = calloc(1, sizeof *hmac);
    if (!hmac)
        return srtp_err_status_alloc_fail;
    hmac->auth = (srtp_auth_t){.type = &hmac_type, .state = hmac, .out_len = out_len, .key_len = key_len};
    *out = &hmac->auth;
    return srtp_err_status_ok;
}

static srtp_err_status_t hmac_dealloc(srtp_auth_t *auth) {
    struct hmac *hmac = auth->state;
    OPENSSL_cleanse(hmac, sizeof *hmac);
    free(hmac);
    return srtp_err_status_ok;
}

static void key_block(SHA_CTX *out, const uint8_t *key, size_t key_len, uint8_t pad) {
    uint8_t block[SHA_CBLOCK];
    memset(block, pad, sizeof block);
    for (size_t i = 0; i < key_len; i++)
        block[i] ^= key[i];
    SHA1_Init(out);
    SHA1_Update(out, block, sizeof block);
    OPENSSL_cleanse(block, sizeof block);
}

static srtp_err_status_t hmac_init(void *state, const uint8_t *key, int key_len) {
    struct hmac *hmac = state;
    if (key_len < 0 || key_len > SHA_CBLOCK)
        return srtp_err_status_bad_param;
    key_block(&hmac->inner, key, (size_t)key_len, INNER_PAD);
    key_block(&hmac->outer, key, (size_t)key_len, OUTER_PAD);
    hmac->now = hmac->inner;
    return srtp_err_status_ok;
}

static srtp_err_status_t hmac_start(void *state) {
    struct hmac *hmac = state;
    hmac->now = hmac->inner;
    return srtp_err_status_ok;
}

static srtp_err_status_t hmac_update(void *state, const uint8_t *data, int len) {
    struct hmac *hmac = state;
    SHA1_Update(&hmac->now, data, (size_t)len);
    return srtp_err_status_ok;
}

static srtp_err_status_t hmac_compute(void *state, const uint8_t *data, int len, int tag_len, uint8_t *tag) {
    struct hmac *hmac = state;
    if (tag_len < 0 || tag_len > SHA_DIGEST_LENGTH)
        return srtp_err_status_bad_param;
    uint8_t digest[SHA_DIGEST_LENGTH];
    SHA1_Update(&hmac->now, data, (size_t)len);
    SHA1_Final(digest, &hmac->now);
    hmac->now = hmac->outer;
    SHA1_Update(&hmac->now, digest, sizeof digest);
    SHA1_Final(digest, &hmac->now);
    memcpy(tag, digest, (size_t)tag_len);
    return srtp_err_status_ok;
}

// RFC 2202's first of HMAC-SHA-1.
static const uint8_t test_key[SHA_DIGEST_LENGTH] = {11, 11, 11, 11, 11, 11, 11, 11, 11, 11,
                                                    11, 11, 11, 11, 11, 11, 11, 11, 11, 11};
static const uint8_t test_data[] = {'H', 'i', ' ', 'T', 'h', 'e', 'r', 'e'};
static const uint8_t test_tag[SHA_DIGEST_LENGTH] = {0xb6, 0x17, 0x31, 0x86, 0x55, 0x05, 0x72,
                                                    0x64, 0xe2, 0x8b, 0xc0, 0xb6, 0xfb, 0x37,
                                                    0x8c, 0x8e, 0xf1, 0x46, 0xbe, 0x00};
static const srtp_auth_test_case_t test = {
    .key_length_octets = sizeof test_key,
    .key = test_key,
    .data_length_octets = sizeof test_data,
    .data = test_data,
    .tag_length_octets = sizeof test_tag,
    .tag = test_tag,
};

static const srtp_auth_type_t hmac_type = {
    .alloc = hmac_alloc,
    .dealloc = hmac_dealloc,
    .init = hmac_init,
    .compute = hmac_compute,
    .update = hmac_update,
    .start = hmac_start,
    .description = "HMAC-SHA1 by OpenSSL",
    .test_data = &test,
    .id = SRTP_HMAC_SHA1,
};

int srtp_auth_replace(void) {
    return srtp_replace_auth_type(&hmac_type, SRTP_HMAC_SHA1) == srtp_err_status_ok ? 0 : -EIO;
}
