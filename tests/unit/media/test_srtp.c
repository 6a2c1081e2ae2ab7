// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants those first
#include <cmocka.h>

#include "media/rtp.h"
#include "media/srtp.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

enum { PAYLOAD_LEN = 160, CAP = 256 };

static const uint8_t key_bytes[SRTP_CTX_MAX_KEY_LEN] = "0123456789abcdefghijklmnopqrs";
static const enum srtp_ctx_profile profiles[] = {SRTP_CTX_AEAD_AES_128_GCM, SRTP_CTX_AES128_CM_HMAC_SHA1_80};

struct pair {
    struct srtp_ctx *out, *in;
};

static struct srtp_ctx *ctx_new(enum srtp_ctx_profile profile, enum srtp_ctx_direction direction,
                                uint8_t twist) {
    uint8_t key[SRTP_CTX_MAX_KEY_LEN];
    memcpy(key, key_bytes, sizeof key);
    key[3] ^= twist;
    struct srtp_ctx *ctx = NULL;
    assert_int_equal(srtp_ctx_new(&ctx, profile, key, srtp_ctx_key_len(profile), direction), 0);
    return ctx;
}

static struct pair pair_new(enum srtp_ctx_profile profile, uint8_t twist) {
    return (struct pair){ctx_new(profile, SRTP_CTX_OUTBOUND, 0), ctx_new(profile, SRTP_CTX_INBOUND, twist)};
}

static void pair_free(struct pair *pair) {
    srtp_ctx_free(pair->out);
    srtp_ctx_free(pair->in);
}

static size_t make_rtp(uint8_t *bytes, uint32_t ssrc, uint16_t seq) {
    struct rtp_packet header = {.payload_type = 111, .seq = seq, .timestamp = seq * 960u, .ssrc = ssrc};
    assert_int_equal(rtp_write(bytes, CAP, &header), RTP_HEADER_LEN);
    memset(bytes + RTP_HEADER_LEN, (uint8_t)seq, PAYLOAD_LEN);
    return RTP_HEADER_LEN + PAYLOAD_LEN;
}

static size_t send_rtp(struct srtp_ctx *ctx, uint8_t *bytes, uint32_t ssrc, uint16_t seq) {
    size_t len = make_rtp(bytes, ssrc, seq);
    assert_int_equal(srtp_ctx_protect(ctx, bytes, &len, CAP), 0);
    return len;
}

static void rtp_round_trip(void **state) {
    (void)state;
    for (size_t p = 0; p < 2; p++) {
        struct pair pair = pair_new(profiles[p], 0);
        for (uint32_t seq = 65000; seq < 66000; seq++) { // over the wrap: the rollover counter
            uint8_t bytes[CAP], plain[CAP];
            size_t plain_len = make_rtp(plain, 1, (uint16_t)seq);
            size_t len = send_rtp(pair.out, bytes, 1, (uint16_t)seq);
            assert_true(len > plain_len && len <= plain_len + SRTP_MAX_TRAILER);
            assert_memory_not_equal(bytes + RTP_HEADER_LEN, plain + RTP_HEADER_LEN, PAYLOAD_LEN);
            assert_int_equal(srtp_ctx_unprotect(pair.in, bytes, &len), 0);
            assert_int_equal(len, plain_len);
            assert_memory_equal(bytes, plain, len);
        }
        pair_free(&pair);
    }
}

static void rtcp_round_trip(void **state) {
    (void)state;
    static const uint8_t plain[] = {0x80, 201, 0, 1, 0, 0, 0, 7, 0x81, 203, 0, 1, 0, 0, 0, 7};
    for (size_t p = 0; p < 2; p++) {
        struct pair pair = pair_new(profiles[p], 0);
        uint8_t bytes[CAP], again[CAP];
        size_t len = sizeof plain;
        memcpy(bytes, plain, len);
        assert_int_equal(srtp_ctx_protect_rtcp(pair.out, bytes, &len, CAP), 0);
        assert_true(len > sizeof plain && len <= sizeof plain + SRTP_MAX_TRAILER);
        size_t again_len = len;
        memcpy(again, bytes, len);
        assert_int_equal(srtp_ctx_unprotect_rtcp(pair.in, bytes, &len), 0);
        assert_int_equal(len, sizeof plain);
        assert_memory_equal(bytes, plain, len);
        assert_int_equal(srtp_ctx_unprotect_rtcp(pair.in, again, &again_len), -EALREADY);
        pair_free(&pair);
    }
}

static void wrong_key_is_refused(void **state) {
    (void)state;
    for (size_t p = 0; p < 2; p++) {
        struct pair pair = pair_new(profiles[p], 1);
        uint8_t bytes[CAP];
        size_t len = send_rtp(pair.out, bytes, 1, 1);
        size_t before = len;
        assert_int_equal(srtp_ctx_unprotect(pair.in, bytes, &len), -EBADMSG);
        assert_int_equal(len, before);
        pair_free(&pair);
    }
}

static void any_flipped_bit_is_refused(void **state) {
    (void)state;
    for (size_t p = 0; p < 2; p++) {
        struct pair pair = pair_new(profiles[p], 0);
        uint8_t good[CAP];
        size_t good_len = send_rtp(pair.out, good, 1, 1);
        for (size_t i = 0; i < good_len; i++) {
            uint8_t bytes[CAP];
            size_t len = good_len;
            memcpy(bytes, good, len);
            bytes[i] ^= 0x01;
            assert_int_equal(srtp_ctx_unprotect(pair.in, bytes, &len), -EBADMSG);
        }
        for (size_t cut = 0; cut < good_len; cut++) {
            uint8_t bytes[CAP];
            size_t len = cut;
            memcpy(bytes, good, cut);
            assert_int_equal(srtp_ctx_unprotect(pair.in, bytes, &len), -EBADMSG);
        }
        assert_int_equal(srtp_ctx_unprotect(pair.in, good, &good_len), 0);
        pair_free(&pair);
    }
}

static void replays_are_refused(void **state) {
    (void)state;
    for (size_t p = 0; p < 2; p++) {
        struct pair pair = pair_new(profiles[p], 0);
        uint8_t first[CAP], copy[CAP], bytes[CAP];
        size_t first_len = send_rtp(pair.out, first, 1, 100), len = first_len;
        memcpy(copy, first, len);
        assert_int_equal(srtp_ctx_unprotect(pair.in, copy, &len), 0);
        memcpy(copy, first, first_len);
        len = first_len;
        assert_int_equal(srtp_ctx_unprotect(pair.in, copy, &len), -EALREADY);

        // Reordered inside the window is good; what has fallen out of it is a replay.
        uint8_t late[CAP], old[CAP];
        size_t old_len = send_rtp(pair.out, old, 1, 101);
        size_t late_len = send_rtp(pair.out, late, 1, 102);
        for (uint16_t seq = 103; seq < 101 + SRTP_CTX_REPLAY_WINDOW; seq++) {
            len = send_rtp(pair.out, bytes, 1, seq);
            assert_int_equal(srtp_ctx_unprotect(pair.in, bytes, &len), 0);
        }
        assert_int_equal(srtp_ctx_unprotect(pair.in, late, &late_len), 0);
        for (uint16_t i = 0; i < 2; i++) {
            len = send_rtp(pair.out, bytes, 1, (uint16_t)(101 + SRTP_CTX_REPLAY_WINDOW + i));
            assert_int_equal(srtp_ctx_unprotect(pair.in, bytes, &len), 0);
        }
        assert_int_equal(srtp_ctx_unprotect(pair.in, old, &old_len), -EALREADY);
        pair_free(&pair);
    }
}

// Strangers' packets of ever new SSRCs leave nothing behind. (Sanitizers count their heap elsewhere: this
// then holds trivially, and the plain build does the checking.)
static void forged_ssrcs_take_no_memory(void **state) {
    (void)state;
    for (size_t p = 0; p < 2; p++) {
        struct pair pair = pair_new(profiles[p], 0);
        size_t before = 0;
        for (uint32_t ssrc = 1; ssrc < 500; ssrc++) {
            if (ssrc == 20) // the allocator's own caches have settled
                before = mallinfo2().uordblks;
            uint8_t bytes[CAP];
            size_t len = make_rtp(bytes, ssrc, 1) + 16;
            assert_int_equal(srtp_ctx_unprotect(pair.in, bytes, &len), -EBADMSG);
        }
        assert_int_equal(mallinfo2().uordblks, before);
        pair_free(&pair);
    }
}

static void authentic_ssrcs_are_bounded(void **state) {
    (void)state;
    for (size_t p = 0; p < 2; p++) {
        struct pair pair = pair_new(profiles[p], 0);
        uint8_t bytes[CAP];
        for (uint32_t ssrc = 1; ssrc <= 40; ssrc++) {
            size_t len = send_rtp(pair.out, bytes, ssrc, 1);
            int want = ssrc <= SRTP_CTX_MAX_SSRCS ? 0 : -ENOSPC;
            assert_int_equal(srtp_ctx_unprotect(pair.in, bytes, &len), want);
        }
        size_t len = send_rtp(pair.out, bytes, 1, 2); // those that are in stay in
        assert_int_equal(srtp_ctx_unprotect(pair.in, bytes, &len), 0);
        pair_free(&pair);
    }
}

// What libsrtp makes of these packets by its own ciphers, those of NSS: the bytes behind the header.
static const uint8_t gcm_rtp[] = {0x53, 0x7e, 0xf5, 0xea, 0x92, 0xa9, 0x42, 0x3e, 0xe8, 0x17, 0xb1, 0x04,
                                  0x30, 0x11, 0xb2, 0x9c, 0x7f, 0x31, 0x4c, 0xbe, 0x63, 0xa3, 0xe6, 0x7a,
                                  0x17, 0xfb, 0x00, 0x9b, 0x0b, 0xa8, 0x93, 0x7f, 0xea, 0x81, 0x07, 0xd8};
static const uint8_t gcm_rtcp[] = {0xc0, 0x4c, 0xdb, 0x90, 0x0f, 0x7c, 0x6a, 0x03, 0x09, 0x67,
                                   0xba, 0x20, 0x0f, 0x7c, 0x23, 0xab, 0x62, 0x9d, 0x29, 0x1d,
                                   0xa4, 0x0d, 0xab, 0xa5, 0x3a, 0xe9, 0xc2, 0x93, 0xec, 0x2d,
                                   0x67, 0x5e, 0x0f, 0x5d, 0xe3, 0x3d, 0x80, 0x00, 0x00, 0x02};
static const uint8_t cm_rtp[] = {0xe4, 0xf6, 0x28, 0x0e, 0xb6, 0x20, 0x67, 0xd6, 0x17, 0x4f,
                                 0x12, 0xee, 0x03, 0x9b, 0x8c, 0xa5, 0x79, 0xe8, 0xd9, 0x5e,
                                 0x3a, 0xfc, 0xd8, 0xc1, 0xf0, 0x3f, 0x88, 0x26, 0xb5, 0x40};
static const uint8_t cm_rtcp[] = {0xe9, 0x16, 0xbb, 0x1a, 0x1c, 0x31, 0x94, 0xb0, 0x96, 0x24, 0xca, 0x94,
                                  0x90, 0x7e, 0xb4, 0x4d, 0xf0, 0xc6, 0x99, 0xf8, 0x80, 0x00, 0x00, 0x02,
                                  0x19, 0x5f, 0xef, 0x1c, 0x3c, 0xa1, 0x7c, 0xd1, 0x3a, 0xff};

static void packets_are_as_by_other_ciphers(void **state) {
    (void)state;
    const struct {
        const uint8_t *rtp, *rtcp;
        size_t rtp_len, rtcp_len;
    } want[] = {{gcm_rtp, gcm_rtcp, sizeof gcm_rtp, sizeof gcm_rtcp},
                {cm_rtp, cm_rtcp, sizeof cm_rtp, sizeof cm_rtcp}};
    for (size_t p = 0; p < 2; p++) {
        struct srtp_ctx *ctx = ctx_new(profiles[p], SRTP_CTX_OUTBOUND, 0);
        uint8_t rtp[CAP];
        size_t len = RTP_HEADER_LEN + 20;
        make_rtp(rtp, 0x01020304, 7);
        assert_int_equal(srtp_ctx_protect(ctx, rtp, &len, sizeof rtp), 0);
        assert_int_equal(len, RTP_HEADER_LEN + want[p].rtp_len);
        assert_memory_equal(rtp + RTP_HEADER_LEN, want[p].rtp, want[p].rtp_len);
        uint8_t bye[CAP] = {0x80, 201, 0, 1, 1, 2, 3, 4}, rtcp[CAP] = {0x80, 200, 0, 6, 1, 2, 3, 4};
        len = 8; // nothing to encrypt
        assert_int_equal(srtp_ctx_protect_rtcp(ctx, bye, &len, sizeof bye), 0);
        len = 28;
        memset(rtcp + 8, 9, 20);
        assert_int_equal(srtp_ctx_protect_rtcp(ctx, rtcp, &len, sizeof rtcp), 0);
        assert_int_equal(len, 8 + want[p].rtcp_len);
        assert_memory_equal(rtcp + 8, want[p].rtcp, want[p].rtcp_len);
        srtp_ctx_free(ctx);
    }
}

// As above, checked by the plain build. By NSS it was 16 kB a context, 29 with HMAC.
static void a_context_takes_little_memory(void **state) {
    (void)state;
    for (size_t p = 0; p < 2; p++) {
        struct srtp_ctx *ctx[8];
        srtp_ctx_free(ctx_new(profiles[p], SRTP_CTX_INBOUND, 0));
        size_t before = mallinfo2().uordblks;
        for (size_t i = 0; i < 8; i++)
            ctx[i] = ctx_new(profiles[p], i % 2 ? SRTP_CTX_INBOUND : SRTP_CTX_OUTBOUND, 0);
        assert_true(mallinfo2().uordblks - before < sizeof ctx / sizeof *ctx * 5000);
        for (size_t i = 0; i < 8; i++)
            srtp_ctx_free(ctx[i]);
    }
}

static void misuse_is_refused(void **state) {
    (void)state;
    struct srtp_ctx *ctx = NULL;
    assert_int_equal(srtp_ctx_new(&ctx, SRTP_CTX_AEAD_AES_128_GCM, key_bytes, 30, SRTP_CTX_INBOUND), -EINVAL);
    assert_int_equal(srtp_ctx_new(&ctx, SRTP_CTX_AES128_CM_HMAC_SHA1_80, key_bytes, 28, SRTP_CTX_INBOUND),
                     -EINVAL);
    assert_null(ctx);
    struct pair pair = pair_new(SRTP_CTX_AEAD_AES_128_GCM, 0);
    uint8_t bytes[CAP];
    size_t len = make_rtp(bytes, 1, 1);
    assert_int_equal(srtp_ctx_protect(pair.in, bytes, &len, CAP), -EPERM);
    assert_int_equal(srtp_ctx_unprotect(pair.out, bytes, &len), -EPERM);
    assert_int_equal(srtp_ctx_protect(pair.out, bytes, &len, len + SRTP_MAX_TRAILER - 1), -EMSGSIZE);
    len = 11;
    assert_int_equal(srtp_ctx_protect(pair.out, bytes, &len, CAP), -EBADMSG);
    pair_free(&pair);
    srtp_ctx_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rtp_round_trip),
        cmocka_unit_test(rtcp_round_trip),
        cmocka_unit_test(wrong_key_is_refused),
        cmocka_unit_test(any_flipped_bit_is_refused),
        cmocka_unit_test(replays_are_refused),
        cmocka_unit_test(forged_ssrcs_take_no_memory),
        cmocka_unit_test(authentic_ssrcs_are_bounded),
        cmocka_unit_test(packets_are_as_by_other_ciphers),
        cmocka_unit_test(a_context_takes_little_memory),
        cmocka_unit_test(misuse_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
