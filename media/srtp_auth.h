// SPDX-License-Identifier: Apache-2.0
// Internal to media/srtp*.c: HMAC-SHA1 by OpenSSL for libsrtp, for the same reasons as media/srtp_cipher.h. Debian's loads
// NSS anew, 0.6 ms, for each context while no other has it, and keeps 7 kB for a key; this is 300 bytes.
#ifndef IQ_MEDIA_SRTP_AUTH_H
#define IQ_MEDIA_SRTP_AUTH_H

// Once for the process, after srtp_init and before the first session. -EIO when libsrtp's tests of it fail.
int srtp_auth_replace(void);

#endif
