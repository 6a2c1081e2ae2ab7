// SPDX-License-Identifier: Apache-2.0
// TLS of the WebSocket client: OpenSSL without a socket. Bytes from the wire are fed in, bytes for the wire
// leave by `put`. TLS 1.2 and later; SNI, chain and host name (or address) are checked. One thread per
// session; wsc_tls outlives it.
#ifndef IQ_SIGNALING_WSC_TLS_H
#define IQ_SIGNALING_WSC_TLS_H

#include "signaling/wsc.h"
#include "signaling/wsc_url.h"

enum {
    WSC_TLS_FRAGMENT = 4096, // bytes of plaintext in one record we send
    WSC_TLS_OVERHEAD = 64,   // bytes a record adds at most
};

struct wsc_session;

// `peer` is the host name or address that the certificate must prove. `put` takes all of the bytes or fails the
// session.
int wsc_session_new(struct wsc_session **out, const struct wsc_tls *tls, const char *peer,
                    int (*put)(const uint8_t *data, size_t len, void *arg), void *arg);
void wsc_session_free(struct wsc_session *session); // NULL is fine

// Hands in what the wire brought; it is borrowed until handshake or read say that they need more.
void wsc_session_feed(struct wsc_session *session, const uint8_t *data, size_t len);
int wsc_session_handshake(struct wsc_session *session); // 1 done, 0 needs more, -EPROTO: wsc_session_reason
// Bytes of plaintext, 0 when it needs more, -EPIPE after the peer's close_notify, -EPROTO.
int wsc_session_read(struct wsc_session *session, uint8_t *out, size_t cap);
int wsc_session_write(struct wsc_session *session, const uint8_t *data, size_t len); // 0 or -EPROTO
void wsc_session_shutdown(struct wsc_session *session);                              // sends close_notify
const char *wsc_session_reason(const struct wsc_session *session); // why it failed, for operators

#endif
