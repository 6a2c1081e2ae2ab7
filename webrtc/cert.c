// SPDX-License-Identifier: Apache-2.0
#include "webrtc/cert.h"

#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "webrtc/dtls_bio.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECONDS_PER_DAY = 86400, FINGERPRINT_TEXT = 32 * 3 };

// ECDHE with authenticated ciphers only. The RSA ones are for peers with an RSA certificate while we are the
// client.
#define CIPHERS                                                                                              \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:"             \
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384"
// GCM first: it costs no more than AES_CM with HMAC (tests/bench/path.c), and its tag is longer.
#define SRTP_PROFILES "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80"

struct cert {
    EVP_PKEY *key;
    X509 *x509;
    SSL_CTX *ssl_ctx;
    char fingerprint[FINGERPRINT_TEXT];
};

static int cert_set_serial(X509 *x509) {
    uint64_t serial = 0;
    if (RAND_bytes((uint8_t *)&serial, sizeof serial) != 1)
        return 0;
    // RFC 5280 section 4.1.2.2: positive, not zero.
    return ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509), (serial >> 1) | 1);
}

static int cert_set_subject(X509 *x509) {
    X509_NAME *name = X509_get_subject_name(x509);
    static const uint8_t common_name[] = "iqra-gateway";
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, common_name, -1, -1, 0) &&
           X509_set_issuer_name(x509, name);
}

static int cert_sign(struct cert *cert) {
    cert->key = EVP_EC_gen("P-256");
    cert->x509 = X509_new();
    X509 *x509 = cert->x509;
    // Valid since yesterday, for peers whose clock is behind ours.
    if (!cert->key || !x509 || !X509_set_version(x509, X509_VERSION_3) || !cert_set_serial(x509) ||
        !X509_gmtime_adj(X509_getm_notBefore(x509), -SECONDS_PER_DAY) ||
        !X509_gmtime_adj(X509_getm_notAfter(x509), 365L * SECONDS_PER_DAY) || !cert_set_subject(x509) ||
        !X509_set_pubkey(x509, cert->key) || !X509_sign(x509, cert->key, EVP_sha256()))
        return -EIO;
    return 0;
}

static int cert_write_fingerprint(struct cert *cert) {
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!X509_digest(cert->x509, EVP_sha256(), digest, &len))
        return -EIO;
    for (unsigned i = 0; i < len; i++)
        snprintf(cert->fingerprint + (size_t)i * 3, 4, i + 1 < len ? "%02X:" : "%02X", digest[i]);
    return 0;
}

static int cert_make_ctx(struct cert *cert) {
    SSL_CTX *ctx = SSL_CTX_new(DTLS_method());
    cert->ssl_ctx = ctx;
    if (!ctx || !SSL_CTX_set_min_proto_version(ctx, DTLS1_2_VERSION) ||
        !SSL_CTX_set_cipher_list(ctx, CIPHERS) || !SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") ||
        !SSL_CTX_use_certificate(ctx, cert->x509) || !SSL_CTX_use_PrivateKey(ctx, cert->key) ||
        SSL_CTX_set_tlsext_use_srtp(ctx, SRTP_PROFILES) != 0 ||
        !SSL_CTX_set_max_send_fragment(ctx, DTLS_MTU)) // so much is kept for each connection
        return -EIO;
    SSL_CTX_set_options(ctx, SSL_OP_NO_QUERY_MTU | SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(ctx, 1);
    return 0;
}

int cert_new(struct cert **out) {
    struct cert *cert = calloc(1, sizeof *cert);
    if (!cert)
        return -ENOMEM;
    int err = cert_sign(cert);
    if (!err)
        err = cert_write_fingerprint(cert);
    if (!err)
        err = cert_make_ctx(cert);
    if (err) {
        const char *reason = ERR_reason_error_string(ERR_get_error());
        log_error(NULL, "dtls", "cannot make a certificate: %s", reason ? reason : "out of memory");
        cert_free(cert);
        return err;
    }
    *out = cert;
    return 0;
}

void cert_free(struct cert *cert) {
    if (!cert)
        return;
    SSL_CTX_free(cert->ssl_ctx);
    X509_free(cert->x509);
    EVP_PKEY_free(cert->key);
    free(cert);
}

const char *cert_fingerprint(const struct cert *cert) {
    return cert->fingerprint;
}

void *cert_ssl_ctx(const struct cert *cert) {
    return cert->ssl_ctx;
}
