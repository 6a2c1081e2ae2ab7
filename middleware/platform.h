// SPDX-License-Identifier: Apache-2.0
// The voice agent platform: asks it for a WebSocket session with an agent. ctl thread.
#ifndef IQ_MIDDLEWARE_PLATFORM_H
#define IQ_MIDDLEWARE_PLATFORM_H

#include "gateway/core/conf.h"
#include "gateway/core/err.h"
#include "signaling/httpc.h"

#include <jansson.h>

enum { PLATFORM_ID_MAX = 127, PLATFORM_URL_MAX = 2048, PLATFORM_TIMEOUT_MS = 15000 };

// The platform's numbers for encodings.
enum platform_encoding {
    PLATFORM_PCM = 1,
    PLATFORM_WAV = 2,
    PLATFORM_MULAW = 3,
    PLATFORM_ALAW = 4,
    PLATFORM_G722 = 5,
    PLATFORM_G729 = 6,
    PLATFORM_OPUS = 7,
    PLATFORM_MPEG = 8,
};

struct platform_format {
    int encoding; // enum platform_encoding
    uint32_t rate_hz, bits;
};
struct platform_format platform_format_of(enum conf_encoding encoding, uint32_t rate_hz);

// Everything is borrowed for the call.
struct platform_request {
    const char *base_url, *token;
    const char *business_id, *web_campaign_id, *region_id, *client_identifier;
    struct platform_format input, output;
    uint32_t frame_ms;
    json_t *dynamic_variables, *metadata;
};

struct platform_session {
    char session_id[PLATFORM_ID_MAX +
                    1]; // letters, digits, - _ . ~ only; "" when the platform gave none that is safe
    char url[PLATFORM_URL_MAX + 1]; // ws:// or wss://; holds the platform's token, so never log it
};

// `on_done` once and later, with 0 and the session, or a negative errno and NULL after the reason was logged:
// -ETIMEDOUT, -EPROTO (no answer of the agreed shape), -EAGAIN (the platform has no room for another
// call just now: CONCURRENCY_LIMIT_REACHED and the like), -ENOENT (codes with NOT_FOUND or NO_ROUTE), -EUSERS (with
// BUSY or CAPACITY), -EREMOTEIO (it said no otherwise) and those of httpc_response. When this function fails itself, on_done is not called.
int platform_initiate(struct httpc *client, const struct platform_request *request,
                      void (*on_done)(int err, const struct platform_session *session, void *arg), void *arg);

// Its two halves, pure. The body is malloc'ed; NULL when memory is out.
char *platform_body(const struct platform_request *request);
// Accepts both shapes of `data`: {webSessionId, conversationSessionId, sessionWebSocketURL} and {sessionId,
// sessionWebSocketURL}. `err` gets the reason.
int platform_parse(const char *text, size_t len, struct platform_session *out, struct err_text *err);

// `object`'s property of this name in any case; NULL when absent or null.
json_t *platform_field(const json_t *object, const char *name);
// How many properties have this name, in whatever case.
size_t platform_field_count(const json_t *object, const char *name);

#endif
