// SPDX-License-Identifier: Apache-2.0
#include "signaling/wsc_frame.h"

#include "gateway/core/utf8.h"

#include <string.h>

static int fail(struct wsc_frames *frames, int code, const char *error) {
    frames->error = error;
    return -code;
}

// What the first two bytes alone decide.
static int check_start(struct wsc_frames *frames) {
    uint8_t first = frames->header[0];
    uint8_t opcode = first & 0x0f;
    bool fin = first & 0x80;
    bool control = opcode & 0x08;
    if (first & 0x70)
        return fail(frames, WSC_CLOSE_PROTOCOL, "a reserved bit is set");
    if ((opcode > WSC_OP_BINARY && opcode < WSC_OP_CLOSE) || opcode > WSC_OP_PONG)
        return fail(frames, WSC_CLOSE_PROTOCOL, "the opcode is reserved");
    if (frames->header[1] & 0x80)
        return fail(frames, WSC_CLOSE_PROTOCOL, "a server's frame is masked");
    if (control && (!fin || (frames->header[1] & 0x7f) > WSC_CONTROL_MAX))
        return fail(frames, WSC_CLOSE_PROTOCOL, "a control frame is fragmented or too long");
    if (opcode == WSC_OP_CONT && !frames->in_message)
        return fail(frames, WSC_CLOSE_PROTOCOL, "a continuation without a message");
    if ((opcode == WSC_OP_TEXT || opcode == WSC_OP_BINARY) && frames->in_message)
        return fail(frames, WSC_CLOSE_PROTOCOL, "a new message inside a fragmented one");
    frames->opcode = opcode;
    frames->fin = fin;
    return 0;
}

static size_t header_need(const struct wsc_frames *frames) {
    if (frames->header_len < 2)
        return 2;
    uint8_t len7 = frames->header[1] & 0x7f;
    return len7 == 127 ? 10 : len7 == 126 ? 4 : 2;
}

static int header_done(struct wsc_frames *frames) {
    uint64_t len = frames->header[1] & 0x7f;
    size_t extended = len == 127 ? 8 : len == 126 ? 2 : 0;
    if (extended) {
        len = 0;
        for (size_t i = 0; i < extended; i++)
            len = len << 8 | frames->header[2 + i];
        if (len < 126 || (extended == 8 && (len <= 0xffff || len >> 63)))
            return fail(frames, WSC_CLOSE_PROTOCOL, "the frame's length is not in its shortest form");
    }
    frames->header_len = 0;
    frames->in_payload = true;
    frames->remaining = len;
    if (frames->opcode & 0x08) {
        frames->control_len = 0;
        return 0;
    }
    if (frames->opcode != WSC_OP_CONT) {
        frames->in_message = true;
        frames->kind = frames->opcode == WSC_OP_TEXT ? WSC_TEXT : WSC_BINARY;
        frames->message_len = 0;
    }
    if (len > WSC_MESSAGE_MAX - frames->message_len)
        return fail(frames, WSC_CLOSE_TOO_BIG, "the message is larger than 8 MiB");
    frames->message_len += len;
    return 0;
}

// 1 when the header is whole.
static int read_header(struct wsc_frames *frames, const uint8_t **data, size_t *len) {
    while (*len) {
        frames->header[frames->header_len++] = *(*data)++;
        --*len;
        int err = frames->header_len == 2 ? check_start(frames) : 0;
        if (err)
            return err;
        if (frames->header_len >= 2 && frames->header_len == header_need(frames)) {
            err = header_done(frames);
            return err ? err : 1;
        }
    }
    return 0;
}

static size_t take(struct wsc_frames *frames, const uint8_t **data, size_t *len) {
    size_t n = *len < frames->remaining ? *len : (size_t)frames->remaining;
    *data += n;
    *len -= n;
    frames->remaining -= n;
    return n;
}

static int read_control(struct wsc_frames *frames, const uint8_t **data, size_t *len, struct wsc_piece *out) {
    const uint8_t *start = *data;
    size_t n = take(frames, data, len);
    if (n)
        memcpy(frames->control + frames->control_len, start, n);
    frames->control_len = (uint8_t)(frames->control_len + n);
    if (frames->remaining)
        return 0;
    frames->in_payload = false;
    enum wsc_piece_type type = frames->opcode == WSC_OP_CLOSE  ? WSC_PIECE_CLOSE
                               : frames->opcode == WSC_OP_PING ? WSC_PIECE_PING
                                                               : WSC_PIECE_PONG;
    *out = (struct wsc_piece){.type = type, .data = frames->control, .len = frames->control_len};
    return 1;
}

// A piece unless there is nothing to tell.
static int read_data(struct wsc_frames *frames, const uint8_t **data, size_t *len, struct wsc_piece *out) {
    const uint8_t *start = *data;
    size_t n = take(frames, data, len);
    bool frame_end = !frames->remaining;
    bool end = frame_end && frames->fin;
    if (frame_end)
        frames->in_payload = false;
    if (end)
        frames->in_message = false;
    *out =
        (struct wsc_piece){.type = WSC_PIECE_DATA, .kind = frames->kind, .end = end, .data = start, .len = n};
    return n || end;
}

int wsc_frames_next(struct wsc_frames *frames, const uint8_t **data, size_t *len, struct wsc_piece *out) {
    for (;;) {
        if (!frames->in_payload) {
            int got = read_header(frames, data, len);
            if (got <= 0)
                return got;
        }
        // A frame without payload is complete here; any other needs a byte.
        if (frames->remaining && !*len)
            return 0;
        bool control = frames->opcode & 0x08;
        if (control ? read_control(frames, data, len, out) : read_data(frames, data, len, out))
            return 1;
    }
}

static bool close_code_ok(unsigned code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

unsigned wsc_close_parse(const uint8_t *data, size_t len, char reason[WSC_CONTROL_MAX]) {
    reason[0] = '\0';
    if (len == 0)
        return WSC_CLOSE_NONE;
    if (len == 1)
        return WSC_CLOSE_PROTOCOL;
    unsigned code = (unsigned)data[0] << 8 | data[1];
    size_t reason_len = len - 2;
    if (!close_code_ok(code))
        return WSC_CLOSE_PROTOCOL;
    if (!utf8_valid(data + 2, reason_len) || memchr(data + 2, '\0', reason_len))
        return code;
    memcpy(reason, data + 2, reason_len);
    reason[reason_len] = '\0';
    return code;
}

size_t wsc_frame_header(uint8_t out[WSC_HEADER_MAX], enum wsc_opcode opcode, size_t payload_len,
                        const uint8_t mask[4]) {
    size_t n = 2;
    size_t extended = payload_len > 0xffff ? 8 : payload_len > 125 ? 2 : 0;
    out[0] = (uint8_t)(0x80 | opcode);
    out[1] = (uint8_t)(0x80 | (extended == 8 ? 127 : extended == 2 ? 126 : payload_len));
    for (size_t i = 0; i < extended; i++)
        out[n++] = (uint8_t)((uint64_t)payload_len >> (8 * (extended - 1 - i)));
    memcpy(out + n, mask, 4);
    return n + 4;
}

void wsc_frame_mask(uint8_t *out, const uint8_t *data, size_t len, const uint8_t mask[4], size_t offset) {
    uint8_t key[8];
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = mask[(offset + i) & 3];
    uint64_t wide_key;
    memcpy(&wide_key, key, sizeof wide_key);
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, sizeof word);
        word ^= wide_key;
        memcpy(out + i, &word, sizeof word);
    }
    for (; i < len; i++)
        out[i] = data[i] ^ key[i & 7];
}
