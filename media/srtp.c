// SPDX-License-Identifier: Apache-2.0
#include "media/srtp.h"

#include "media/srtp_auth.h"
#include "media/srtp_cipher.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <srtp2/srtp.h>
#include <stdlib.h>
#include <string.h>

enum {
    RTP_MIN_LEN = 12,
    RTP_SSRC_AT = 8,
    RTCP_MIN_LEN = 8,
    RTCP_SSRC_AT = 4,
};

struct srtp_ctx {
    srtp_t session; // owns
    enum srtp_ctx_direction direction;
    // Inbound, the session makes a stream (key schedule, replay window) for every new SSRC that
    // authenticates: so the peer, not a stranger, could make as many as it likes. These are the ones it has.
    uint32_t ssrcs[SRTP_CTX_MAX_SSRCS]; // in network order
    size_t ssrc_count;
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static int library_err = -EIO;

static void start_library(void) {
    library_err = srtp_init() == srtp_err_status_ok ? srtp_ciphers_replace() : -EIO;
    if (!library_err)
        library_err = srtp_auth_replace();
}

size_t srtp_ctx_key_len(enum srtp_ctx_profile profile) {
    switch (profile) {
    case SRTP_CTX_AEAD_AES_128_GCM:
        return SRTP_AES_GCM_128_KEY_LEN_WSALT;
    case SRTP_CTX_AES128_CM_HMAC_SHA1_80:
        return SRTP_AES_ICM_128_KEY_LEN_WSALT;
    default:
        return 0;
    }
}

static int error_of(srtp_err_status_t status) {
    switch (status) {
    case srtp_err_status_ok:
        return 0;
    case srtp_err_status_replay_fail:
    case srtp_err_status_replay_old:
        return -EALREADY;
    case srtp_err_status_key_expired:
        return -EOVERFLOW;
    case srtp_err_status_alloc_fail:
        return -ENOMEM;
    default:
        return -EBADMSG;
    }
}

static void set_ciphers(srtp_policy_t *policy, enum srtp_ctx_profile profile) {
    if (profile == SRTP_CTX_AEAD_AES_128_GCM) {
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy->rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy->rtcp);
        return;
    }
    srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy->rtp);
    srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy->rtcp);
}

static int session_new(srtp_t *out, enum srtp_ctx_profile profile, const uint8_t *key, size_t key_len,
                       enum srtp_ctx_direction direction) {
    uint8_t key_copy[SRTP_CTX_MAX_KEY_LEN]; // the policy's pointer is not const
    memcpy(key_copy, key, key_len);
    srtp_policy_t policy = {
        .ssrc.type = direction == SRTP_CTX_INBOUND ? ssrc_any_inbound : ssrc_any_outbound,
        .key = key_copy,
        .window_size = SRTP_CTX_REPLAY_WINDOW,
    };
    set_ciphers(&policy, profile);
    srtp_err_status_t status = srtp_create(out, &policy);
    explicit_bzero(key_copy, sizeof key_copy);
    if (status == srtp_err_status_alloc_fail)
        return -ENOMEM;
    return status == srtp_err_status_ok ? 0 : -EIO;
}

int srtp_ctx_new(struct srtp_ctx **out, enum srtp_ctx_profile profile, const uint8_t *key, size_t key_len,
                 enum srtp_ctx_direction direction) {
    if (!key_len || key_len != srtp_ctx_key_len(profile))
        return -EINVAL;
    pthread_once(&library_once, start_library);
    if (library_err)
        return library_err;
    struct srtp_ctx *ctx = calloc(1, sizeof *ctx);
    if (!ctx)
        return -ENOMEM;
    ctx->direction = direction;
    int err = session_new(&ctx->session, profile, key, key_len, direction);
    if (err) {
        free(ctx);
        return err;
    }
    *out = ctx;
    return 0;
}

void srtp_ctx_free(struct srtp_ctx *ctx) {
    if (!ctx)
        return;
    srtp_dealloc(ctx->session);
    free(ctx);
}

int srtp_ctx_prepare(void) {
    static const uint8_t no_key[SRTP_CTX_MAX_KEY_LEN];
    size_t len = srtp_ctx_key_len(SRTP_CTX_AEAD_AES_128_GCM);
    struct srtp_ctx *ctx;
    int err = srtp_ctx_new(&ctx, SRTP_CTX_AEAD_AES_128_GCM, no_key, len, SRTP_CTX_OUTBOUND);
    if (!err)
        srtp_ctx_free(ctx);
    return err;
}

static int protect(struct srtp_ctx *ctx, uint8_t *packet, size_t *len, size_t cap, size_t min_len,
                   srtp_err_status_t (*run)(srtp_t, void *, int *)) {
    if (ctx->direction != SRTP_CTX_OUTBOUND)
        return -EPERM;
    if (*len < min_len)
        return -EBADMSG;
    if (*len > INT_MAX - SRTP_MAX_TRAILER || cap < *len + SRTP_MAX_TRAILER)
        return -EMSGSIZE;
    int size = (int)*len;
    srtp_err_status_t status = run(ctx->session, packet, &size);
    if (status != srtp_err_status_ok)
        return error_of(status);
    *len = (size_t)size;
    return 0;
}

int srtp_ctx_protect(struct srtp_ctx *ctx, uint8_t *packet, size_t *len, size_t cap) {
    return protect(ctx, packet, len, cap, RTP_MIN_LEN, srtp_protect);
}

int srtp_ctx_protect_rtcp(struct srtp_ctx *ctx, uint8_t *packet, size_t *len, size_t cap) {
    return protect(ctx, packet, len, cap, RTCP_MIN_LEN, srtp_protect_rtcp);
}

// Called after authentication only. A source too many loses the stream it has just been given.
static int admit_ssrc(struct srtp_ctx *ctx, uint32_t ssrc) {
    for (size_t i = 0; i < ctx->ssrc_count; i++) {
        if (ctx->ssrcs[i] == ssrc)
            return 0;
    }
    if (ctx->ssrc_count == SRTP_CTX_MAX_SSRCS) {
        srtp_remove_stream(ctx->session, ssrc);
        return -ENOSPC;
    }
    ctx->ssrcs[ctx->ssrc_count++] = ssrc;
    return 0;
}

static int unprotect(struct srtp_ctx *ctx, uint8_t *packet, size_t *len, size_t min_len, size_t ssrc_at,
                     srtp_err_status_t (*run)(srtp_t, void *, int *)) {
    if (ctx->direction != SRTP_CTX_INBOUND)
        return -EPERM;
    if (*len < min_len || *len > INT_MAX)
        return -EBADMSG;
    uint32_t ssrc;
    memcpy(&ssrc, packet + ssrc_at, sizeof ssrc);
    int size = (int)*len;
    srtp_err_status_t status = run(ctx->session, packet, &size);
    if (status != srtp_err_status_ok)
        return error_of(status);
    int err = admit_ssrc(ctx, ssrc);
    if (!err)
        *len = (size_t)size;
    return err;
}

int srtp_ctx_unprotect(struct srtp_ctx *ctx, uint8_t *packet, size_t *len) {
    return unprotect(ctx, packet, len, RTP_MIN_LEN, RTP_SSRC_AT, srtp_unprotect);
}

int srtp_ctx_unprotect_rtcp(struct srtp_ctx *ctx, uint8_t *packet, size_t *len) {
    return unprotect(ctx, packet, len, RTCP_MIN_LEN, RTCP_SSRC_AT, srtp_unprotect_rtcp);
}
