// SPDX-License-Identifier: Apache-2.0
#include "webrtc/dtls_bio.h"

#include <pthread.h>
#include <string.h>

static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method; // made once, kept for the life of the process

static int bio_write(BIO *bio, const char *data, int len) {
    struct dtls_wire *wire = BIO_get_data(bio);
    if (len <= 0)
        return -1;
    // A datagram that cannot be sent is a lost one: OpenSSL's timer, or SCTP's, sends it again.
    wire->on_write((const uint8_t *)data, (size_t)len, wire->arg);
    return len;
}

static int bio_read(BIO *bio, char *data, int len) {
    struct dtls_wire *wire = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!wire->in || len <= 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t take = wire->in_len < (size_t)len ? wire->in_len : (size_t)len;
    memcpy(data, wire->in, take);
    wire->in = NULL;
    return (int)take;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
    (void)bio;
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_DGRAM_QUERY_MTU:
    case BIO_CTRL_DGRAM_GET_FALLBACK_MTU:
        return DTLS_MTU;
    default: // also the MTU overhead: DTLS_MTU already leaves room for IP, UDP and TURN
        return 0;
    }
}

static void method_make(void) {
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "datagram");
    if (!method)
        return;
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_ctrl(method, bio_ctrl);
}

BIO *dtls_bio_new(struct dtls_wire *wire) {
    pthread_once(&method_once, method_make);
    BIO *bio = method ? BIO_new(method) : NULL;
    if (!bio)
        return NULL;
    BIO_set_data(bio, wire);
    BIO_set_init(bio, 1);
    return bio;
}
