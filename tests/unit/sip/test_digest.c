// SPDX-License-Identifier: Apache-2.0
#include "sip/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

// An independent client, after RFC 7616 section 3.4.
static void hash(const char *algorithm, char out[129], const char *text) {
    uint8_t bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    const EVP_MD *md = strcmp(algorithm, "SHA-256") == 0 ? EVP_sha256() : EVP_md5();
    assert_int_equal(EVP_Digest(text, strlen(text), bytes, &len, md, NULL), 1);
    for (unsigned i = 0; i < len; i++)
        snprintf(out + 2 * (size_t)i, 3, "%02x", bytes[i]);
}

static void respond(char out[129], const char *algorithm, const char *password, const char *nonce,
                    const char *nc) {
    char text[1024], ha1[129], ha2[129];
    snprintf(text, sizeof text, "trunk:iqra-gateway:%s", password);
    hash(algorithm, ha1, text);
    hash(algorithm, ha2, "INVITE:sip:1@example.org");
    snprintf(text, sizeof text, "%s:%s:%s:cn:auth:%s", ha1, nonce, nc, ha2);
    hash(algorithm, out, text);
}

static struct digest_response response_of(const char *algorithm, const char *nonce, const char *nc,
                                          const char *response) {
    return (struct digest_response){.username = "trunk",
                                    .realm = DIGEST_REALM,
                                    .nonce = nonce,
                                    .uri = "sip:1@example.org",
                                    .response = response,
                                    .algorithm = algorithm,
                                    .qop = "auth",
                                    .cnonce = "cn",
                                    .nc = nc};
}

static enum digest_verdict try(struct digest *digest, const char *algorithm, const char *password,
                               const char *nonce, const char *nc, int64_t now_s) {
    char response[129];
    respond(response, algorithm, password, nonce, nc);
    struct digest_response r = response_of(algorithm, nonce, nc, response);
    return digest_check(digest, &r, "INVITE", "trunk", "secret", now_s);
}

static int setup(void **state) {
    return digest_new((struct digest **)state);
}

static int teardown(void **state) {
    digest_free(*state);
    return 0;
}

static void test_both_algorithms(void **state) {
    char nonce[DIGEST_NONCE];
    assert_int_equal(digest_nonce(*state, 1000, nonce), 0);
    assert_int_equal(strlen(nonce), DIGEST_NONCE - 1);
    assert_int_equal(try(*state, "MD5", "secret", nonce, "00000001", 1001), DIGEST_GOOD);
    assert_int_equal(try(*state, "SHA-256", "secret", nonce, "00000002", 1001), DIGEST_GOOD);
    assert_int_equal(try(*state, "MD5", "Secret", nonce, "00000003", 1001), DIGEST_WRONG);
    assert_int_equal(try(*state, "SHA-512-256", "secret", nonce, "00000003", 1001), DIGEST_WRONG);
    char response[129];
    respond(response, "MD5", "secret", nonce, "00000003");
    struct digest_response r =
        response_of(NULL, nonce, "00000003", response); // MD5 is what no algorithm means
    assert_int_equal(digest_check(*state, &r, "INVITE", "trunk", "secret", 1001), DIGEST_GOOD);
}

static void test_a_count_is_used_once(void **state) {
    char nonce[DIGEST_NONCE];
    digest_nonce(*state, 1000, nonce);
    assert_int_equal(try(*state, "MD5", "secret", nonce, "00000001", 1000), DIGEST_GOOD);
    assert_int_equal(try(*state, "MD5", "secret", nonce, "00000001", 1000), DIGEST_STALE);
    assert_int_equal(try(*state, "MD5", "secret", nonce, "0000000a", 1000), DIGEST_GOOD);
    assert_int_equal(try(*state, "MD5", "secret", nonce, "00000009", 1000), DIGEST_STALE);
    assert_int_equal(try(*state, "MD5", "secret", nonce, "0000000B", 1000), DIGEST_GOOD);
    assert_int_equal(try(*state, "MD5", "secret", nonce, "00000000", 1000), DIGEST_STALE);
    assert_int_equal(try(*state, "MD5", "secret", nonce, "c", 1000), DIGEST_STALE);
    assert_int_equal(try(*state, "MD5", "secret", nonce, "0000000g", 1000), DIGEST_STALE);
}

static void test_a_nonce_ages(void **state) {
    char nonce[DIGEST_NONCE];
    digest_nonce(*state, 1000, nonce);
    assert_int_equal(try(*state, "MD5", "secret", nonce, "00000001", 1000 + DIGEST_NONCE_LIFE_S),
                     DIGEST_GOOD);
    assert_int_equal(try(*state, "MD5", "secret", nonce, "00000002", 1001 + DIGEST_NONCE_LIFE_S),
                     DIGEST_STALE);
    assert_int_equal(try(*state, "MD5", "wrong", nonce, "00000002", 1001 + DIGEST_NONCE_LIFE_S),
                     DIGEST_WRONG);
}

static void test_only_our_nonces(void **state) {
    char nonce[DIGEST_NONCE], other[DIGEST_NONCE];
    digest_nonce(*state, 1000, nonce);
    snprintf(other, sizeof other, "%s", nonce);
    other[DIGEST_NONCE - 2] = other[DIGEST_NONCE - 2] == 'a' ? 'b' : 'a';
    assert_int_equal(try(*state, "MD5", "secret", other, "00000001", 1000), DIGEST_STALE);
    assert_int_equal(try(*state, "MD5", "secret", "", "00000001", 1000), DIGEST_STALE);
    struct digest *restarted;
    assert_int_equal(digest_new(&restarted), 0);
    assert_int_equal(try(restarted, "MD5", "secret", nonce, "00000001", 1000), DIGEST_STALE);
    digest_free(restarted);
}

static void test_many_nonces_push_out_the_oldest(void **state) {
    char first[DIGEST_NONCE], last[DIGEST_NONCE];
    digest_nonce(*state, 1000, first);
    for (int i = 0; i < 4095; i++)
        digest_nonce(*state, 1000, last);
    assert_int_equal(try(*state, "MD5", "secret", first, "00000001", 1000), DIGEST_GOOD);
    digest_nonce(*state, 1000, last);
    assert_int_equal(try(*state, "MD5", "secret", first, "00000002", 1000), DIGEST_STALE);
    assert_int_equal(try(*state, "MD5", "secret", last, "00000001", 1000), DIGEST_GOOD);
}

static void test_everything_must_be_there(void **state) {
    char nonce[DIGEST_NONCE], response[129];
    digest_nonce(*state, 1000, nonce);
    respond(response, "MD5", "secret", nonce, "00000001");
    const struct digest_response whole = response_of("MD5", nonce, "00000001", response);
    static const size_t members[] = {
        offsetof(struct digest_response, username), offsetof(struct digest_response, realm),
        offsetof(struct digest_response, nonce),    offsetof(struct digest_response, uri),
        offsetof(struct digest_response, response), offsetof(struct digest_response, qop),
        offsetof(struct digest_response, cnonce),   offsetof(struct digest_response, nc)};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        struct digest_response r = whole;
        const char *none = NULL;
        memcpy((char *)&r + members[i], &none, sizeof none);
        assert_int_equal(digest_check(*state, &r, "INVITE", "trunk", "secret", 1000), DIGEST_WRONG);
    }
    struct digest_response r = whole;
    r.realm = "elsewhere";
    assert_int_equal(digest_check(*state, &r, "INVITE", "trunk", "secret", 1000), DIGEST_WRONG);
    r = whole;
    r.qop = "auth-int";
    assert_int_equal(digest_check(*state, &r, "INVITE", "trunk", "secret", 1000), DIGEST_WRONG);
    r = whole;
    r.username = "trunk2";
    assert_int_equal(digest_check(*state, &r, "INVITE", "trunk", "secret", 1000), DIGEST_WRONG);
    r = whole;
    assert_int_equal(digest_check(*state, &r, "BYE", "trunk", "secret", 1000), DIGEST_WRONG);
    assert_int_equal(digest_check(*state, &whole, "INVITE", "trunk", "secret", 1000), DIGEST_GOOD);
}

int main(void) {
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(test_both_algorithms),
        WITH(test_a_count_is_used_once),
        WITH(test_a_nonce_ages),
        WITH(test_only_our_nonces),
        WITH(test_many_nonces_push_out_the_oldest),
        WITH(test_everything_must_be_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
