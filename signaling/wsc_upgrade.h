// SPDX-License-Identifier: Apache-2.0
// The opening handshake of a WebSocket client (RFC 6455 section 4.1): the request's text, the answer's check.
// Pure.
#ifndef IQ_SIGNALING_WSC_UPGRADE_H
#define IQ_SIGNALING_WSC_UPGRADE_H

#include "signaling/wsc.h"
#include "signaling/wsc_url.h"

enum {
    WSC_KEY_LEN = 24,            // base64 of 16 random bytes
    WSC_ACCEPT_LEN = 28,         // base64 of a SHA-1
    WSC_REQUEST_MAX = 16 * 1024, // bytes of the whole request
    WSC_RESPONSE_MAX = 8 * 1024, // bytes of the answer's header
};

// Fills a new random key and what the server must answer to it. -EIO when the random source fails.
int wsc_upgrade_key(char key[WSC_KEY_LEN + 1], char accept[WSC_ACCEPT_LEN + 1]);
int wsc_upgrade_accept(const char *key, char accept[WSC_ACCEPT_LEN + 1]);

// Writes the request into `out`; its length, -EINVAL for a header that holds a line break or one of the
// handshake's own names, -EMSGSIZE when it does not fit.
int wsc_upgrade_request(char *out, size_t cap, const struct wsc_url *url, const char *key,
                        const struct wsc_header *headers, size_t header_count);

struct wsc_upgrade {
    unsigned status;    // of the answer, 0 when there is none that could be read
    const char *reason; // why it was refused, static text; NULL when accepted
};

// Reads the answer in data[0..len). Returns the header's length once it is whole and accepted (frames begin
// there), 0 while more is needed, -EPROTO with out->reason when it is refused (also beyond WSC_RESPONSE_MAX).
// `protocol_offered`: the request had a Sec-WebSocket-Protocol.
int wsc_upgrade_response(const char *data, size_t len, const char *accept, bool protocol_offered,
                         struct wsc_upgrade *out);

#endif
