// SPDX-License-Identifier: Apache-2.0
// sofia-sip 1.12, as Debian has it, never frees the SSL object of a TLS connection: 60 kB for each that comes and goes,
// with or without a handshake. This frees it for sofia, by OpenSSL's own callbacks. Later versions need no mending.
#ifndef IQ_SIP_TLS_MEND_H
#define IQ_SIP_TLS_MEND_H

// Around the binding of a tls: address, on the SIP thread: the SSL contexts made in between are mended.
void tls_mend_begin(void);
void tls_mend_end(void);

#endif
