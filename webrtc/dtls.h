// SPDX-License-Identifier: Apache-2.0
// DTLS 1.2+ for SRTP keys and the data channel (RFC 5764, RFC 8261), by OpenSSL. The peer's certificate must
// match the fingerprint of the offer, or nothing is learned and the connection ends. One worker thread.
#ifndef IQ_WEBRTC_DTLS_H
#define IQ_WEBRTC_DTLS_H

#include "webrtc/cert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct dtls;

enum dtls_role { DTLS_CLIENT, DTLS_SERVER }; // a=setup:active | passive of ours

struct dtls_fingerprint {
    char hash[16]; // "sha-256", "sha-384", "sha-512", in any case
    uint8_t digest[64];
    size_t len;
};

// SRTP keys from the exporter (RFC 5764 section 4.2), key then salt, already sorted for us.
struct dtls_srtp_keys {
    uint16_t profile; // 0x0007 AEAD_AES_128_GCM, 0x0001 AES128_CM_SHA1_80
    uint8_t send_key[32], receive_key[32];
    size_t len; // 28 for GCM, 30 for CM_SHA1_80
};

// None may free inside; dtls_close may be called from any. No event follows dtls_close.
struct dtls_events {
    void (*on_send)(const uint8_t *datagram, size_t len, void *arg);
    void (*on_connected)(const struct dtls_srtp_keys *keys,
                         void *arg);                             // once; keys are wiped when it returns
    void (*on_data)(const uint8_t *data, size_t len, void *arg); // one SCTP packet
    void (*on_end)(bool clean, const char *reason,
                   void *arg); // close_notify, fatal alert, wrong fingerprint; once
    void *arg;
};

// -EINVAL when the fingerprint's hash is none of the three or its length is not that hash's.
int dtls_new(struct dtls **out, uv_loop_t *loop, const struct cert *cert, enum dtls_role role,
             const struct dtls_fingerprint *peer, const struct dtls_events *events);
// Sends close_notify by on_send (not when called from inside on_send), frees once the loop has closed its
// timer.
void dtls_close(struct dtls *dtls);

// When the path is up: a client sends its first flight. The handshake has 15 s from here, else on_end.
int dtls_start(struct dtls *dtls);
// Before dtls_start a few datagrams are kept and taken in by it: a ClientHello often overtakes the chosen
// pair.
void dtls_receive(struct dtls *dtls, const uint8_t *datagram, size_t len);
// One SCTP packet, <= 1200 bytes. -EAGAIN before connected and from inside on_send, -EPIPE after on_end.
int dtls_send(struct dtls *dtls, const uint8_t *data, size_t len);

#endif
