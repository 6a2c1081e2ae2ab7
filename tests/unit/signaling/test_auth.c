// SPDX-License-Identifier: Apache-2.0
#include "signaling/auth.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NOW = 1700000000 };

static struct auth *make(const char *secret) {
    struct auth *auth = NULL;
    assert_int_equal(auth_new(&auth, secret), 0);
    return auth;
}

static void mint(struct auth *auth, char token[AUTH_TOKEN_MAX + 1]) {
    assert_int_equal(auth_mint(auth, "ses_1", "client-1", NOW, token, AUTH_TOKEN_MAX + 1), 0);
}

static void test_round_trip_and_single_use(void **state) {
    (void)state;
    struct auth *auth = make("secret");
    char token[AUTH_TOKEN_MAX + 1];
    mint(auth, token);
    assert_null(strpbrk(token, "/+= %"));
    assert_int_equal(auth_use(auth, token, "ses_1", "client-1", NOW), AUTH_OK);
    assert_int_equal(auth_use(auth, token, "ses_1", "client-1", NOW + 1), AUTH_USED);
    auth_free(auth);
}

static void test_wrong_names_do_not_use_it_up(void **state) {
    (void)state;
    struct auth *auth = make("secret");
    char token[AUTH_TOKEN_MAX + 1];
    mint(auth, token);
    assert_int_equal(auth_use(auth, token, "ses_2", "client-1", NOW), AUTH_SESSION);
    assert_int_equal(auth_use(auth, token, "ses_1", "client-2", NOW), AUTH_CLIENT);
    assert_int_equal(auth_use(auth, token, "ses_1", "client-1", NOW), AUTH_OK);
    auth_free(auth);
}

static void test_expiry(void **state) {
    (void)state;
    struct auth *auth = make("secret");
    char token[AUTH_TOKEN_MAX + 1];
    mint(auth, token);
    assert_int_equal(auth_use(auth, token, "ses_1", "client-1", NOW + AUTH_TOKEN_SECONDS + 1), AUTH_EXPIRED);
    assert_int_equal(auth_use(auth, token, "ses_1", "client-1", NOW + AUTH_TOKEN_SECONDS), AUTH_OK);
    auth_free(auth);
}

static void test_every_changed_byte_is_refused(void **state) {
    (void)state;
    struct auth *auth = make("secret");
    char token[AUTH_TOKEN_MAX + 1];
    mint(auth, token);
    // The last character carries two bits that decode to nothing, so it may change without changing the MAC.
    for (size_t i = 0; i + 1 < strlen(token); i++) {
        char changed[AUTH_TOKEN_MAX + 1];
        memcpy(changed, token, sizeof changed);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_int_not_equal(auth_use(auth, changed, "ses_1", "client-1", NOW), AUTH_OK);
    }
    assert_int_equal(auth_use(auth, token, "ses_1", "client-1", NOW), AUTH_OK);
    token[strlen(token) - 1] = token[strlen(token) - 1] == 'A' ? 'B' : 'A';
    assert_int_not_equal(auth_use(auth, token, "ses_1", "client-1", NOW), AUTH_OK);
    auth_free(auth);
}

static void test_malformed(void **state) {
    (void)state;
    struct auth *auth = make("secret");
    assert_int_equal(auth_use(auth, "", "s", "c", NOW), AUTH_EMPTY);
    assert_int_equal(auth_use(auth, "abc", "s", "c", NOW), AUTH_FORMAT);
    assert_int_equal(auth_use(auth, "abc.def", "s", "c", NOW), AUTH_FORMAT);
    char text[2 * AUTH_TOKEN_MAX];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    text[sizeof text - 1 - 44] = '.';
    assert_int_equal(auth_use(auth, text, "s", "c", NOW), AUTH_FORMAT);
    memset(text, '*', 44);
    assert_int_equal(auth_use(auth, ".AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "s", "c", NOW),
                     AUTH_SIGNATURE);
    assert_int_equal(auth_use(auth, "a.AAAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAAA", "s", "c", NOW),
                     AUTH_FORMAT);
    auth_free(auth);
}

static void test_secrets(void **state) {
    (void)state;
    struct auth *a = make("secret"), *b = make("secret"), *other = make("Secret"), *random = make("");
    char token[AUTH_TOKEN_MAX + 1];
    mint(a, token);
    assert_int_equal(auth_use(other, token, "ses_1", "client-1", NOW), AUTH_SIGNATURE);
    assert_int_equal(auth_use(random, token, "ses_1", "client-1", NOW), AUTH_SIGNATURE);
    assert_int_equal(auth_use(b, token, "ses_1", "client-1", NOW), AUTH_OK);
    auth_free(a);
    auth_free(b);
    auth_free(other);
    auth_free(random);
}

static void test_too_small_and_too_long(void **state) {
    (void)state;
    struct auth *auth = make("");
    char token[AUTH_TOKEN_MAX + 1], longest[1024];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(auth_mint(auth, "s", "c", NOW, token, 16), -ENOSPC);
    assert_int_equal(auth_mint(auth, longest, "c", NOW, token, sizeof token), -ENOSPC);
    assert_int_equal(auth_mint(auth, "\xff", "c", NOW, token, sizeof token), -EINVAL);
    auth_free(auth);
}

// The table of used tokens is bounded: full means refused, and time empties it.
static void test_table_of_used_tokens(void **state) {
    (void)state;
    struct auth *auth = make("secret");
    char first[AUTH_TOKEN_MAX + 1], token[AUTH_TOKEN_MAX + 1];
    mint(auth, first);
    assert_int_equal(auth_use(auth, first, "ses_1", "client-1", NOW), AUTH_OK);
    for (int i = 1; i < 65536; i++) {
        mint(auth, token);
        assert_int_equal(auth_use(auth, token, "ses_1", "client-1", NOW), AUTH_OK);
    }
    mint(auth, token);
    assert_int_equal(auth_use(auth, token, "ses_1", "client-1", NOW), AUTH_USED);
    assert_int_equal(auth_use(auth, first, "ses_1", "client-1", NOW), AUTH_USED);
    int64_t later = NOW + AUTH_TOKEN_SECONDS + 1;
    assert_int_equal(auth_mint(auth, "ses_1", "client-1", later, token, sizeof token), 0);
    assert_int_equal(auth_use(auth, token, "ses_1", "client-1", later), AUTH_OK);
    assert_int_equal(auth_use(auth, token, "ses_1", "client-1", later), AUTH_USED);
    auth_free(auth);
}

static void test_equal_and_random_id(void **state) {
    (void)state;
    assert_true(auth_equal("token", "token"));
    assert_false(auth_equal("token", "tokem"));
    assert_false(auth_equal("token", "token1"));
    assert_false(auth_equal("", "a"));
    char a[40], b[40];
    assert_int_equal(auth_random_id("ses_", a, sizeof a), 0);
    assert_int_equal(auth_random_id("ses_", b, sizeof b), 0);
    assert_int_equal(strlen(a), 36);
    assert_memory_equal(a, "ses_", 4);
    assert_string_not_equal(a, b);
    assert_int_equal(auth_random_id("ses_", a, 36), -ENOSPC);
    assert_non_null(auth_verdict_text(AUTH_EXPIRED));
}

// ---- sealed names

static void test_seal_and_open(void **state) {
    (void)state;
    struct auth *here = make("secret"), *there = make("secret"), *other = make("other");
    char sealed[AUTH_SEALED_MAX], name[AUTH_NAME_MAX + 1] = "";
    assert_int_equal(auth_seal(here, "hub", "conn-1_A", NOW + 60, sealed), 0);
    assert_int_equal(auth_open(there, "hub", sealed, NOW + 60, name), AUTH_OK);
    assert_string_equal(name, "conn-1_A");
    assert_int_equal(auth_open(there, "hub", sealed, NOW, name), AUTH_OK); // not used up
    name[0] = '\0';
    assert_int_equal(auth_open(there, "hub", sealed, NOW + 61, name), AUTH_EXPIRED);
    assert_string_equal(name, "conn-1_A");
    assert_int_equal(auth_open(there, "hubs", sealed, NOW, name), AUTH_SIGNATURE);
    assert_int_equal(auth_open(other, "hub", sealed, NOW, name), AUTH_SIGNATURE);
    auth_free(here);
    auth_free(there);
    auth_free(other);
}

static void test_every_changed_byte_of_a_seal_is_refused(void **state) {
    (void)state;
    struct auth *auth = make("secret");
    char sealed[AUTH_SEALED_MAX], name[AUTH_NAME_MAX + 1] = "untouched";
    assert_int_equal(auth_seal(auth, "hub", "abc", NOW, sealed), 0);
    for (size_t i = 0; sealed[i]; i++) {
        char kept = sealed[i];
        sealed[i] = kept == 'A' ? 'M' : 'A';
        enum auth_verdict verdict = auth_open(auth, "hub", sealed, NOW, name);
        assert_true(verdict == AUTH_SIGNATURE || verdict == AUTH_FORMAT);
        sealed[i] = kept;
    }
    assert_string_equal(name, "untouched");
    auth_free(auth);
}

static void test_names_and_seals_that_are_none(void **state) {
    (void)state;
    struct auth *auth = make("secret");
    char sealed[AUTH_SEALED_MAX], name[AUTH_NAME_MAX + 1], longest[AUTH_NAME_MAX + 2];
    memset(longest, 'n', sizeof longest);
    longest[AUTH_NAME_MAX + 1] = '\0';
    assert_int_equal(auth_seal(auth, "hub", longest, NOW, sealed), -EINVAL);
    longest[AUTH_NAME_MAX] = '\0';
    assert_int_equal(auth_seal(auth, "hub", longest, INT64_MAX, sealed), 0);
    assert_int_equal(auth_open(auth, "hub", sealed, NOW, name), AUTH_OK);
    assert_string_equal(name, longest);
    assert_int_equal(auth_seal(auth, "hub", "", NOW, sealed), -EINVAL);
    assert_int_equal(auth_seal(auth, "hub", "a.b", NOW, sealed), -EINVAL);
    assert_int_equal(auth_open(auth, "hub", "", NOW, name), AUTH_EMPTY);
    static const char *const bad[] = {
        "abc",
        "abc.1",
        "abc.1.",
        "abc.1.short",
        "..",
        "abc.1x.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "abc.-1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ".1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "a/c.1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "abc.1.AAAAAAAAAAAAAAAAAAAAA+AAAAAAAAAAAAAAAAAAAAA",
        "abc.99999999999999999999.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(auth_open(auth, "hub", bad[i], NOW, name), AUTH_FORMAT);
    auth_free(auth);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_and_single_use),
        cmocka_unit_test(test_wrong_names_do_not_use_it_up),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_every_changed_byte_is_refused),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_too_small_and_too_long),
        cmocka_unit_test(test_table_of_used_tokens),
        cmocka_unit_test(test_equal_and_random_id),
        cmocka_unit_test(test_seal_and_open),
        cmocka_unit_test(test_every_changed_byte_of_a_seal_is_refused),
        cmocka_unit_test(test_names_and_seals_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
