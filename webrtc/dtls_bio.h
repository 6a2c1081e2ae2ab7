// SPDX-License-Identifier: Apache-2.0
// The datagram BIO between OpenSSL and whoever carries the datagrams: each write is one datagram out, each
// read takes the one datagram offered, whole. For dtls.c alone.
#ifndef IQ_WEBRTC_DTLS_BIO_H
#define IQ_WEBRTC_DTLS_BIO_H

#include <openssl/bio.h>
#include <stddef.h>
#include <stdint.h>

enum { DTLS_MTU = 1200 };

struct dtls_wire {
    const uint8_t *in; // borrows; NULL when nothing is offered
    size_t in_len;
    void (*on_write)(const uint8_t *datagram, size_t len, void *arg);
    void *arg;
};

// `wire` is borrowed and outlives the BIO. NULL when memory is out. Any thread.
BIO *dtls_bio_new(struct dtls_wire *wire);

#endif
