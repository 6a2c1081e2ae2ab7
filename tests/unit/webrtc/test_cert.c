// SPDX-License-Identifier: Apache-2.0
#include "webrtc/cert.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void fingerprint_is_of_the_certificate_in_the_context(void **state) {
    (void)state;
    struct cert *cert = NULL;
    assert_int_equal(cert_new(&cert), 0);
    X509 *x509 = SSL_CTX_get0_certificate(cert_ssl_ctx(cert));
    uint8_t digest[32];
    unsigned len = 0;
    assert_int_equal(X509_digest(x509, EVP_sha256(), digest, &len), 1);
    char want[97] = "";
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(want + i * 3, 4, "%02X:", digest[i]);
    want[95] = '\0';
    assert_string_equal(cert_fingerprint(cert), want);
    cert_free(cert);
}

static void certificate_is_valid_now_and_for_a_year(void **state) {
    (void)state;
    struct cert *cert = NULL;
    assert_int_equal(cert_new(&cert), 0);
    X509 *x509 = SSL_CTX_get0_certificate(cert_ssl_ctx(cert));
    int days = 0, seconds = 0;
    assert_int_equal(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(x509), X509_get0_notAfter(x509)), 1);
    assert_int_equal(days, 366);
    assert_true(X509_cmp_current_time(X509_get0_notBefore(x509)) < 0);
    assert_int_equal(X509_verify(x509, X509_get0_pubkey(x509)), 1);
    char name[64];
    X509_NAME_get_text_by_NID(X509_get_subject_name(x509), NID_commonName, name, sizeof name);
    assert_string_equal(name, "iqra-gateway");
    cert_free(cert);
}

static void each_certificate_is_new(void **state) {
    (void)state;
    struct cert *a = NULL, *b = NULL;
    assert_int_equal(cert_new(&a), 0);
    assert_int_equal(cert_new(&b), 0);
    assert_string_not_equal(cert_fingerprint(a), cert_fingerprint(b));
    const ASN1_INTEGER *serial_a = X509_get0_serialNumber(SSL_CTX_get0_certificate(cert_ssl_ctx(a)));
    const ASN1_INTEGER *serial_b = X509_get0_serialNumber(SSL_CTX_get0_certificate(cert_ssl_ctx(b)));
    assert_int_not_equal(ASN1_INTEGER_cmp(serial_a, serial_b), 0);
    cert_free(a);
    cert_free(b);
}

static void nothing_older_than_dtls_1_2_is_spoken(void **state) {
    (void)state;
    struct cert *cert = NULL;
    assert_int_equal(cert_new(&cert), 0);
    SSL_CTX *ctx = cert_ssl_ctx(cert);
    assert_int_equal(SSL_CTX_get_min_proto_version(ctx), DTLS1_2_VERSION);
    STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++)
        assert_int_equal(SSL_CIPHER_is_aead(sk_SSL_CIPHER_value(ciphers, i)), 1);
    cert_free(cert);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fingerprint_is_of_the_certificate_in_the_context),
        cmocka_unit_test(certificate_is_valid_now_and_for_a_year),
        cmocka_unit_test(each_certificate_is_new),
        cmocka_unit_test(nothing_older_than_dtls_1_2_is_spoken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
