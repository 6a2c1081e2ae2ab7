// SPDX-License-Identifier: Apache-2.0
// The agent's side of a call: a WebSocket client speaking a dialect. Dialects sit behind agent_ops; "iqra" is
// the one there is: binary = audio in the agreed encoding, no header, any length; text = chat, or digits. One
// worker thread.
#ifndef IQ_GATEWAY_AGENT_H
#define IQ_GATEWAY_AGENT_H

#include "gateway/core/conf.h"
#include "signaling/wsc.h"

struct agent;

enum { AGENT_DTMF_MAX = 64 };

// What the agent's socket carries, both ways.
struct agent_format {
    enum conf_encoding encoding;
    uint32_t rate_hz;
    uint32_t frame_ms;
};

// agent_close may be called from any of them.
struct agent_events {
    void (*on_open)(void *arg);
    // Audio as it arrives, in pieces of any size; `message_end` marks the end of a WebSocket message (OPUS:
    // one packet).
    void (*on_audio)(const uint8_t *data, size_t len, bool message_end, void *arg);
    void (*on_text)(const char *text, size_t len, void *arg); // one whole message, at most 64 KiB
    // Digits to send to the caller, 1 to AGENT_DTMF_MAX of 0-9 * # A-D and ',' for a pause. false: the far side
    // takes none. NULL: likewise.
    bool (*on_dtmf)(const char *digits, void *arg);
    void (*on_end)(bool was_open, unsigned code, const char *reason, void *arg); // once
    void (*on_closed)(void *arg); // after agent_close, from the loop
    void *arg;
};

struct agent_config {
    uv_loop_t *loop;
    const struct wsc_tls *tls;
    const char *url;
    const struct wsc_header *headers;
    size_t header_count;
    uint32_t connect_timeout_ms;
    const char *call_id;
    const char *dialect; // "iqra"
    struct agent_format format;
};

int agent_connect(struct agent **out, const struct agent_config *config, const struct agent_events *events);
// One whole frame of frame_ms in the agreed encoding. -EAGAIN when the agent does not read (the frame is
// dropped and counted).
int agent_send_audio(struct agent *agent, const uint8_t *frame, size_t len);
// -EAGAIN, -EMSGSIZE beyond 64 KiB. May come before on_open: up to 64 KiB wait for it.
int agent_send_text(struct agent *agent, const char *text, size_t len);
// A digit the caller pressed: 0-9 * # A-D. -EAGAIN, -ENOTCONN before on_open and after the end.
int agent_send_dtmf(struct agent *agent, char digit);
void agent_pause(struct agent *agent, bool paused);                       // backpressure: stop reading
void agent_close(struct agent *agent, unsigned code, const char *reason); // on_closed follows

#endif
