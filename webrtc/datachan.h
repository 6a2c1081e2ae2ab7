// SPDX-License-Identifier: Apache-2.0
// Data channels (RFC 8831, 8832) on one SCTP association: accepts any label, answers DCEP OPEN with ACK, text
// and binary messages up to 64 KiB each way. One worker thread.
#ifndef IQ_WEBRTC_DATACHAN_H
#define IQ_WEBRTC_DATACHAN_H

#include "gateway/core/span.h"
#include "webrtc/sctp.h"

enum { DATACHAN_MAX_MESSAGE = 65536, DATACHAN_MAX_CHANNELS = 16, DATACHAN_MAX_LABEL = 128 };

// DATA_CHANNEL_OPEN (RFC 8832 section 5.1).
struct dcep_open {
    uint8_t channel_type;
    uint16_t priority;
    uint32_t reliability;
    struct span label, protocol; // into the message
};
int dcep_parse_open(struct span message, struct dcep_open *out); // -EPROTO

struct datachan; // all the channels of one peer

// datachan_close may be called from either.
struct datachan_events {
    void (*on_text)(const char *text, size_t len, void *arg); // valid UTF-8, not terminated, may be empty
    void (*on_send)(const uint8_t *packet, size_t len, void *arg); // an SCTP packet for DTLS
    void *arg;
};

// `greeting` (may be NULL) is sent on each channel once its ACK is out; borrowed, as is call_id for logs.
// What we send is reliable and ordered whatever the channel's type. Binary messages are ignored.
int datachan_new(struct datachan **out, struct sctp_hub *hub, uv_loop_t *loop, uint16_t remote_port,
                 const char *greeting, const char *call_id, const struct datachan_events *events);
void datachan_close(struct datachan *channels); // aborts the association by on_send, then no event follows
int datachan_start(struct datachan *channels);  // DTLS is up
void datachan_receive(struct datachan *channels, const uint8_t *packet, size_t len);

// To the channel last opened (or last heard from); before the first one opens it waits for it. -ENOTCONN when
// all have closed, -EMSGSIZE beyond 64 KiB, -EAGAIN when 256 KiB wait. A message from the browser beyond 64
// KiB is answered with the text
// {"type":"error","code":"message_too_large",...}.
int datachan_send_text(struct datachan *channels, const char *text, size_t len);

#endif
