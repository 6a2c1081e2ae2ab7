// SPDX-License-Identifier: Apache-2.0
// WebSocket framing, client side (RFC 6455 section 5). Pure: bytes in, pieces out; no allocation, no I/O.
#ifndef IQ_SIGNALING_WSC_FRAME_H
#define IQ_SIGNALING_WSC_FRAME_H

#include "signaling/wsc.h"

enum {
    WSC_MESSAGE_MAX = 8 * 1024 * 1024, // bytes of one message we receive; beyond: 1009
    WSC_CONTROL_MAX = 125,             // payload of a control frame (section 5.5)
    WSC_HEADER_MAX = 14,               // bytes of a frame's header with its mask
};

enum wsc_opcode {
    WSC_OP_CONT = 0,
    WSC_OP_TEXT = 1,
    WSC_OP_BINARY = 2,
    WSC_OP_CLOSE = 8,
    WSC_OP_PING = 9,
    WSC_OP_PONG = 10
};

// Close codes we use (section 7.4.1).
enum {
    WSC_CLOSE_NORMAL = 1000,
    WSC_CLOSE_PROTOCOL = 1002,
    WSC_CLOSE_NONE = 1005,     // a close frame without a code; never on the wire
    WSC_CLOSE_ABNORMAL = 1006, // no close frame; never on the wire
    WSC_CLOSE_BAD_TEXT = 1007,
    WSC_CLOSE_TOO_BIG = 1009,
};

// The reading side. Zeroed = fresh.
struct wsc_frames {
    uint8_t header[10];
    uint8_t header_len; // bytes of it here
    uint8_t opcode;     // of the current frame
    bool fin;
    bool in_payload;
    bool in_message;      // a fragmented message is open
    enum wsc_kind kind;   // of that message
    uint64_t remaining;   // payload bytes of the current frame still to come
    uint64_t message_len; // of the open message so far
    const char *error;    // after a negative result: what was wrong, static text
    uint8_t control_len;
    uint8_t control[WSC_CONTROL_MAX];
};

enum wsc_piece_type { WSC_PIECE_DATA, WSC_PIECE_CLOSE, WSC_PIECE_PING, WSC_PIECE_PONG };

struct wsc_piece {
    enum wsc_piece_type type;
    enum wsc_kind kind;  // DATA only
    bool end;            // DATA only: the message ends with this piece
    const uint8_t *data; // into the input, or into wsc_frames.control; valid until the next call
    size_t len;
};

// Takes from *data what makes one piece and advances *data, *len. 1: a piece; 0: the input is used up;
// negative: minus the close code that the violation calls for (-1002, -1009), with frames->error.
int wsc_frames_next(struct wsc_frames *frames, const uint8_t **data, size_t *len, struct wsc_piece *out);

// Code and reason of a close frame's payload: 1005 when it is empty, 1002 when it is malformed. `reason` gets
// a terminated text, "" when there is none or it is not UTF-8.
unsigned wsc_close_parse(const uint8_t *data, size_t len, char reason[WSC_CONTROL_MAX]);

// The header of a final, masked frame (section 5.2): its length, at most WSC_HEADER_MAX.
size_t wsc_frame_header(uint8_t out[WSC_HEADER_MAX], enum wsc_opcode opcode, size_t payload_len,
                        const uint8_t mask[4]);
// out = data xor mask, `offset` being the first byte's place in the payload (section 5.3). May be in place.
void wsc_frame_mask(uint8_t *out, const uint8_t *data, size_t len, const uint8_t mask[4], size_t offset);

#endif
