// SPDX-License-Identifier: Apache-2.0
#include "media/srtp_cipher.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <srtp2/cipher.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { AES_KEY = 16, BLOCK = 16, SALT = 14, GCM_TAG = 16, GCM_SHORT_TAG = 8 };

struct aes {
    srtp_cipher_t cipher; // what libsrtp knows of it; cipher.state is this
    EVP_CIPHER_CTX *evp;  // owns
    uint8_t salt[BLOCK];  // of the counter mode
    unsigned tag_len;     // of GCM
};

// Looked up once: OpenSSL's own look-up takes a lock.
static EVP_CIPHER *gcm, *ctr; // kept for the life of the process

static srtp_err_status_t status_of(int one_is_good) {
    return one_is_good == 1 ? srtp_err_status_ok : srtp_err_status_cipher_fail;
}

static srtp_err_status_t aes_alloc(srtp_cipher_t **out, const srtp_cipher_type_t *type, int key_len) {
    struct aes *aes = calloc(1, sizeof *aes);
    EVP_CIPHER_CTX *evp = EVP_CIPHER_CTX_new();
    if (!aes || !evp) {
        free(aes);
        EVP_CIPHER_CTX_free(evp);
        return srtp_err_status_alloc_fail;
    }
    aes->evp = evp;
    aes->cipher = (srtp_cipher_t){.type = type, .state = aes, .key_len = key_len, .algorithm = (int)type->id};
    *out = &aes->cipher;
    return srtp_err_status_ok;
}

static srtp_err_status_t aes_dealloc(srtp_cipher_t *cipher) {
    struct aes *aes = cipher->state;
    EVP_CIPHER_CTX_free(aes->evp); // wipes the key
    OPENSSL_cleanse(aes, sizeof *aes);
    free(aes);
    return srtp_err_status_ok;
}

static srtp_err_status_t aes_set_iv(const struct aes *aes, const uint8_t *iv,
                                    srtp_cipher_direction_t direction) {
    return status_of(EVP_CipherInit_ex2(aes->evp, NULL, NULL, iv, direction == srtp_direction_encrypt, NULL));
}

static srtp_err_status_t aes_run(const struct aes *aes, uint8_t *data, unsigned len) {
    int done = 0;
    return len ? status_of(EVP_CipherUpdate(aes->evp, data, &done, data, (int)len)) : srtp_err_status_ok;
}

// ---- AEAD_AES_128_GCM (RFC 7714): set_iv, set_aad once or more, then encrypt and get_tag, or decrypt

static const srtp_cipher_type_t gcm_type;

// libsrtp tries the short tag too, which neither profile has.
static srtp_err_status_t gcm_alloc(srtp_cipher_t **out, int key_len, int tag_len) {
    if (key_len != SRTP_AES_GCM_128_KEY_LEN_WSALT || (tag_len != GCM_TAG && tag_len != GCM_SHORT_TAG))
        return srtp_err_status_bad_param;
    srtp_err_status_t status = aes_alloc(out, &gcm_type, key_len);
    if (status == srtp_err_status_ok)
        ((struct aes *)(*out)->state)->tag_len = (unsigned)tag_len;
    return status;
}

static srtp_err_status_t gcm_init(void *state, const uint8_t *key) {
    struct aes *aes = state;
    return status_of(EVP_CipherInit_ex2(aes->evp, gcm, key, NULL, 1, NULL));
}

static srtp_err_status_t gcm_set_iv(void *state, uint8_t *iv, srtp_cipher_direction_t direction) {
    return aes_set_iv(state, iv, direction);
}

static srtp_err_status_t gcm_set_aad(void *state, const uint8_t *aad, uint32_t len) {
    const struct aes *aes = state;
    int done = 0;
    return len ? status_of(EVP_CipherUpdate(aes->evp, NULL, &done, aad, (int)len)) : srtp_err_status_ok;
}

static srtp_err_status_t gcm_encrypt(void *state, uint8_t *data, unsigned *len) {
    return aes_run(state, data, *len);
}

static srtp_err_status_t gcm_get_tag(void *state, uint8_t *tag, uint32_t *len) {
    const struct aes *aes = state;
    uint8_t none[BLOCK];
    int done = 0;
    *len = aes->tag_len;
    if (EVP_CipherFinal_ex(aes->evp, none, &done) != 1)
        return srtp_err_status_cipher_fail;
    return status_of(EVP_CIPHER_CTX_ctrl(aes->evp, EVP_CTRL_AEAD_GET_TAG, (int)aes->tag_len, tag));
}

static srtp_err_status_t gcm_decrypt(void *state, uint8_t *data, unsigned *len) {
    const struct aes *aes = state;
    if (*len < aes->tag_len)
        return srtp_err_status_bad_param;
    unsigned plain = *len - aes->tag_len;
    uint8_t none[BLOCK];
    int done = 0;
    srtp_err_status_t status = aes_run(aes, data, plain);
    if (status != srtp_err_status_ok)
        return status;
    if (EVP_CIPHER_CTX_ctrl(aes->evp, EVP_CTRL_AEAD_SET_TAG, (int)aes->tag_len, data + plain) != 1 ||
        EVP_CipherFinal_ex(aes->evp, none, &done) != 1)
        return srtp_err_status_auth_fail;
    *len = plain;
    return srtp_err_status_ok;
}

// ---- AES in counter mode (RFC 3711 section 4.1.1), which also derives the keys of both profiles

static const srtp_cipher_type_t ctr_type;

static srtp_err_status_t ctr_alloc(srtp_cipher_t **out, int key_len, int tag_len) {
    (void)tag_len;
    if (key_len != SRTP_AES_ICM_128_KEY_LEN_WSALT)
        return srtp_err_status_bad_param;
    return aes_alloc(out, &ctr_type, key_len);
}

static srtp_err_status_t ctr_init(void *state, const uint8_t *key) {
    struct aes *aes = state;
    memcpy(aes->salt, key + AES_KEY, SALT); // two zeros follow
    return status_of(EVP_CipherInit_ex2(aes->evp, ctr, key, NULL, 1, NULL));
}

static srtp_err_status_t ctr_set_iv(void *state, uint8_t *iv, srtp_cipher_direction_t direction) {
    (void)direction; // the same both ways
    const struct aes *aes = state;
    uint8_t counter[BLOCK];
    for (size_t i = 0; i < BLOCK; i++)
        counter[i] = aes->salt[i] ^ iv[i];
    return aes_set_iv(aes, counter, srtp_direction_encrypt);
}

static srtp_err_status_t ctr_run(void *state, uint8_t *data, unsigned *len) {
    return aes_run(state, data, *len);
}

// ---- test vectors, which libsrtp wants to see

// The GCM specification's test case 4.
static const uint8_t gcm_key[SRTP_AES_GCM_128_KEY_LEN_WSALT] = {
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08};
static uint8_t gcm_iv[] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};
static const uint8_t gcm_aad[] = {0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed,
                                  0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2};
static const uint8_t gcm_plain[] = {0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5,
                                    0xaf, 0xf5, 0x26, 0x9a, 0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda,
                                    0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31, 0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95,
                                    0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49, 0xa6, 0xb5, 0x25,
                                    0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39};
static const uint8_t gcm_sealed[sizeof gcm_plain + GCM_TAG] = {
    0x42, 0x83, 0x1e, 0xc2, 0x21, 0x77, 0x74, 0x24, 0x4b, 0x72, 0x21, 0xb7, 0x84, 0xd0, 0xd4, 0x9c,
    0xe3, 0xaa, 0x21, 0x2f, 0x2c, 0x02, 0xa4, 0xe0, 0x35, 0xc1, 0x7e, 0x23, 0x29, 0xac, 0xa1, 0x2e,
    0x21, 0xd5, 0x14, 0xb2, 0x54, 0x66, 0x93, 0x1c, 0x7d, 0x8f, 0x6a, 0x5a, 0xac, 0x84, 0xaa, 0x05,
    0x1b, 0xa3, 0x0b, 0x39, 0x6a, 0x0a, 0xac, 0x97, 0x3d, 0x58, 0xe0, 0x91, 0x5b, 0xc9, 0x4f, 0xbc,
    0x32, 0x21, 0xa5, 0xdb, 0x94, 0xfa, 0xe9, 0x5a, 0xe7, 0x12, 0x1a, 0x47};
static const srtp_cipher_test_case_t gcm_test = {
    .key_length_octets = sizeof gcm_key,
    .key = gcm_key,
    .idx = gcm_iv,
    .plaintext_length_octets = sizeof gcm_plain,
    .plaintext = gcm_plain,
    .ciphertext_length_octets = sizeof gcm_sealed,
    .ciphertext = gcm_sealed,
    .aad_length_octets = sizeof gcm_aad,
    .aad = gcm_aad,
    .tag_length_octets = GCM_TAG,
};

// RFC 3711 appendix B.2.
static const uint8_t ctr_key[SRTP_AES_ICM_128_KEY_LEN_WSALT] = {
    0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f,
    0x3c, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd};
static uint8_t ctr_iv[BLOCK];
static const uint8_t ctr_plain[2 * BLOCK];
static const uint8_t ctr_sealed[sizeof ctr_plain] = {
    0xe0, 0x3e, 0xad, 0x09, 0x35, 0xc9, 0x5e, 0x80, 0xe1, 0x66, 0xb1, 0x6d, 0xd9, 0x2b, 0x4e, 0xb4,
    0xd2, 0x35, 0x13, 0x16, 0x2b, 0x02, 0xd0, 0xf7, 0x2a, 0x43, 0xa2, 0xfe, 0x4a, 0x5f, 0x97, 0xab};
static const srtp_cipher_test_case_t ctr_test = {
    .key_length_octets = sizeof ctr_key,
    .key = ctr_key,
    .idx = ctr_iv,
    .plaintext_length_octets = sizeof ctr_plain,
    .plaintext = ctr_plain,
    .ciphertext_length_octets = sizeof ctr_sealed,
    .ciphertext = ctr_sealed,
};

// ---- the types

static const srtp_cipher_type_t gcm_type = {
    .alloc = gcm_alloc,
    .dealloc = aes_dealloc,
    .init = gcm_init,
    .set_aad = gcm_set_aad,
    .encrypt = gcm_encrypt,
    .decrypt = gcm_decrypt,
    .set_iv = gcm_set_iv,
    .get_tag = gcm_get_tag,
    .description = "AES-128 GCM by OpenSSL",
    .test_data = &gcm_test,
    .id = SRTP_AES_GCM_128,
};

static const srtp_cipher_type_t ctr_type = {
    .alloc = ctr_alloc,
    .dealloc = aes_dealloc,
    .init = ctr_init,
    .encrypt = ctr_run,
    .decrypt = ctr_run,
    .set_iv = ctr_set_iv,
    .description = "AES-128 counter mode by OpenSSL",
    .test_data = &ctr_test,
    .id = SRTP_AES_ICM_128,
};

int srtp_ciphers_replace(void) {
    gcm = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    ctr = EVP_CIPHER_fetch(NULL, "AES-128-CTR", NULL);
    bool replaced = gcm && ctr &&
                    srtp_replace_cipher_type(&gcm_type, SRTP_AES_GCM_128) == srtp_err_status_ok &&
                    srtp_replace_cipher_type(&ctr_type, SRTP_AES_ICM_128) == srtp_err_status_ok;
    return replaced ? 0 : -EIO;
}
