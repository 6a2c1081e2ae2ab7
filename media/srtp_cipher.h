// SPDX-License-Identifier: Apache-2.0
// Internal to media/srtp*.c: AES by OpenSSL for libsrtp, in place of what the library was built with. Debian's is built
// on NSS, where a key takes 8 kB and each packet of AES_CM makes a context of its own; here a key takes 1.3 kB and a
// packet neither allocates nor locks.
#ifndef IQ_MEDIA_SRTP_CIPHER_H
#define IQ_MEDIA_SRTP_CIPHER_H

// Once for the process, after srtp_init and before the first session. libsrtp tries each cipher first, with test
// vectors of its own and ours: -EIO when one has failed, or OpenSSL has no such cipher.
int srtp_ciphers_replace(void);

#endif
