// SPDX-License-Identifier: Apache-2.0
// The gateway's DTLS certificate: ECDSA P-256, self-signed, made anew at each start, shared read-only by all
// workers.
#ifndef IQ_WEBRTC_CERT_H
#define IQ_WEBRTC_CERT_H

struct cert;

int cert_new(struct cert **out);
void cert_free(struct cert *cert);
// SHA-256 as in a=fingerprint: "AB:CD:...", 95 characters (RFC 8122 section 5).
const char *cert_fingerprint(const struct cert *cert);
void *cert_ssl_ctx(const struct cert *cert); // SSL_CTX *, for dtls.c alone; borrowed

#endif
