// SPDX-License-Identifier: Apache-2.0
// SRTP and SRTCP (RFC 3711, RFC 7714) for one direction of one transport. libsrtp stays behind this door.
// A context is used by one thread at a time; contexts are independent of each other.
#ifndef IQ_MEDIA_SRTP_H
#define IQ_MEDIA_SRTP_H

#include <stddef.h>
#include <stdint.h>

enum srtp_ctx_profile {
    SRTP_CTX_AEAD_AES_128_GCM,       // RFC 7714; DTLS-SRTP profile 0x0007
    SRTP_CTX_AES128_CM_HMAC_SHA1_80, // RFC 3711; DTLS-SRTP profile 0x0001
};

enum srtp_ctx_direction {
    SRTP_CTX_INBOUND,  // unprotect only
    SRTP_CTX_OUTBOUND, // protect only
};

enum {
    SRTP_MAX_TRAILER = 20,         // bytes protecting may add behind a packet: tag, and SRTCP's index
    SRTP_CTX_MAX_KEY_LEN = 30,     // of any profile, key and salt
    SRTP_CTX_REPLAY_WINDOW = 1024, // packets: more than a second of reordering
    SRTP_CTX_MAX_SSRCS = 32,       // inbound sources of one peer: a PBX takes a new one at each hold
};

struct srtp_ctx;

// Bytes of master key and salt together: 28 and 30.
size_t srtp_ctx_key_len(enum srtp_ctx_profile profile);

// `key` is master key then salt, copied. -EINVAL for a wrong length or profile, -ENOMEM, -EIO when libsrtp
// refuses.
int srtp_ctx_new(struct srtp_ctx **out, enum srtp_ctx_profile profile, const uint8_t *key, size_t key_len,
                 enum srtp_ctx_direction direction);
void srtp_ctx_free(struct srtp_ctx *ctx); // NULL is fine; wipes the keys
// Starts libsrtp, which tries its ciphers for milliseconds, before the first call needs it. Errors likewise.
int srtp_ctx_prepare(void);

// In place. `*len` is the packet's length before and after; on failure it is unchanged and the bytes are
// undefined.
//   -EMSGSIZE  fewer than SRTP_MAX_TRAILER bytes of `cap` are left
//   -EBADMSG   the packet is malformed, or (unprotect) its tag is wrong: forged, or another key
//   -EALREADY  (unprotect) replayed, or older than the replay window
//   -EOVERFLOW the key is used up
//   -ENOSPC    (unprotect) authentic, but of more sources than SRTP_CTX_MAX_SSRCS
//   -EPERM     against the context's direction
// No state is kept of a packet that fails, its SSRC included.
int srtp_ctx_protect(struct srtp_ctx *ctx, uint8_t *packet, size_t *len, size_t cap);
int srtp_ctx_protect_rtcp(struct srtp_ctx *ctx, uint8_t *packet, size_t *len, size_t cap);
int srtp_ctx_unprotect(struct srtp_ctx *ctx, uint8_t *packet, size_t *len);
int srtp_ctx_unprotect_rtcp(struct srtp_ctx *ctx, uint8_t *packet, size_t *len);

#endif
