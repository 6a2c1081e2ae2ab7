// SPDX-License-Identifier: Apache-2.0
// SRTP keys in SDP (RFC 4568, and RFC 7714 section 14.2 for AEAD_AES_128_GCM): a=crypto read and written.
// Pure. Keys are secrets: never logged, and wiped by whoever holds a struct sdes when it is done.
#ifndef IQ_SIP_SDES_H
#define IQ_SIP_SDES_H

#include "media/sdp.h"
#include "media/srtp.h"

struct sdes {
    uint32_t tag; // at most nine digits
    enum srtp_ctx_profile profile;
    uint8_t key[SRTP_CTX_MAX_KEY_LEN]; // master key, then salt
    size_t key_len;                    // srtp_ctx_key_len(profile)
};

// The value of one a=crypto. -ENOTSUP for a suite, session parameter or key form that is not ours (a MKI,
// several keys): the next line may be; -EBADMSG when malformed. `out` is written on success only.
int sdes_parse(struct sdes *out, struct span value);
// The strongest of an m-line's that we take, or -ENOENT. `tag`, when not 0, is the only one looked at.
int sdes_choose(struct sdes *out, const struct sdp_media *media, uint32_t tag);
bool sdes_offered(const struct sdp_media *media); // is there any a=crypto?

int sdes_make(struct sdes *out, enum srtp_ctx_profile profile, uint32_t tag); // a new random key. -EIO
void sdes_write(struct sdp_writer *writer, const struct sdes *sdes);          // the line
bool sdes_same_key(const struct sdes *a, const struct sdes *b);
void sdes_wipe(struct sdes *sdes);

#endif
