// SPDX-License-Identifier: Apache-2.0
//
//   wsc_connect -> stream (TCP, TLS) -> upgrade -> frames -> on_data
//   wsc_send -> header + mask -> stream
//
// States go only forward: dialling -> upgrading -> open -> [ended] -> [lingering] -> done.
#include "signaling/wsc.h"

#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "signaling/wsc_frame.h"
#include "signaling/wsc_stream.h"
#include "signaling/wsc_upgrade.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    CHUNK_BYTES = 4096,
    ENTROPY_BYTES = 1024,
    LINGER_MS = 500,
    SEND_LIMIT_MIN = 16 * 1024,
    LOOKS_PER_PING = 3,   // how often the connection is looked at
    UNANSWERED_MOST = 2,  // looks in a row at which TCP was getting no answer
    ANSWER_MIN_MS = 1000, // less may be a delayed acknowledgement or one retransmission
};

enum wsc_state { WSC_DIALLING, WSC_UPGRADING, WSC_OPEN, WSC_ENDED, WSC_LINGERING, WSC_DONE };

// Alive until the socket is open.
struct handshake {
    struct wsc_url url;
    char accept[WSC_ACCEPT_LEN + 1];
    bool protocol_offered;
    char *request; // owns
    size_t request_len;
    char *response; // owns; WSC_RESPONSE_MAX bytes once the answer begins
    size_t response_len;
};

// What every frame needs comes first, together.
struct wsc {
    enum wsc_state state;
    bool paused;
    bool close_sent;
    bool lost;                 // the stream failed
    bool discard;              // what comes is no WebSocket any more
    bool pong_due;             // to the newest ping of the bytes being read
    struct wsc_stream *stream; // owns; frees itself before on_closed
    uv_loop_t *loop;
    uint64_t heard_ms; // when the last byte came
    size_t send_limit;
    struct wsc_events events;
    struct wsc_frames frames;
    uv_timer_t timer; // connect deadline, then pings, then the wait for the close frame
    unsigned parts;   // of stream and timer, those not yet closed
    uint32_t ping_interval_ms;
    unsigned looks, unanswered; // since it was open; of them in a row, those without TCP's answer
    uint8_t pong[WSC_CONTROL_MAX];
    size_t pong_len;
    struct handshake *handshake; // owns
    char call_id[80];
};

// For masks, of all sockets of a thread: drawn in bulk, used once. So it is in the processor's cache when it is needed.
static _Thread_local struct {
    uint8_t bytes[ENTROPY_BYTES];
    size_t left;
} entropy;

static void handshake_free(struct handshake *hs) {
    if (!hs)
        return;
    free(hs->request);
    free(hs->response);
    free(hs);
}

static void wsc_part_closed(struct wsc *ws) {
    if (--ws->parts)
        return;
    if (ws->events.on_closed)
        ws->events.on_closed(ws->events.arg);
    handshake_free(ws->handshake);
    free(ws);
}

static void on_timer_closed(uv_handle_t *handle) {
    wsc_part_closed(handle->data);
}

static void wsc_finish(struct wsc *ws) {
    if (ws->state == WSC_DONE)
        return;
    ws->state = WSC_DONE;
    uv_close((uv_handle_t *)&ws->timer, on_timer_closed);
    wsc_stream_close(ws->stream);
}

static void wsc_end(struct wsc *ws, unsigned code, const char *reason) {
    if (ws->state >= WSC_ENDED)
        return;
    ws->state = WSC_ENDED;
    uv_timer_stop(&ws->timer);
    wsc_stream_pause(ws->stream, true);
    log_debug(ws->call_id, "wsc", "ended: %u %s", code, reason);
    ws->events.on_end(code, reason, ws->events.arg);
}

// ---- sending

static int next_mask(uint8_t mask[4]) {
    if (!entropy.left) {
        if (RAND_bytes(entropy.bytes, ENTROPY_BYTES) != 1)
            return -EIO;
        entropy.left = ENTROPY_BYTES;
    }
    entropy.left -= 4;
    memcpy(mask, entropy.bytes + entropy.left, 4);
    return 0;
}

// The caller made sure of the room. Small frames leave in one write, header and all.
static int send_frame(struct wsc *ws, enum wsc_opcode opcode, const uint8_t *data, size_t len) {
    uint8_t chunk[CHUNK_BYTES], mask[4];
    int err = next_mask(mask);
    if (err)
        return err;
    size_t used = wsc_frame_header(chunk, opcode, len, mask);
    size_t done = 0;
    do {
        size_t n = len - done < CHUNK_BYTES - used ? len - done : CHUNK_BYTES - used;
        if (n)
            wsc_frame_mask(chunk + used, data + done, n, mask, done);
        err = wsc_stream_write(ws->stream, chunk, used + n);
        done += n;
        used = 0;
    } while (!err && done < len);
    return err;
}

int wsc_send(struct wsc *ws, enum wsc_kind kind, const uint8_t *data, size_t len) {
    if (ws->state != WSC_OPEN)
        return -ENOTCONN;
    if (len > ws->send_limit)
        return -EMSGSIZE;
    if (wsc_stream_room(ws->stream) < len + WSC_HEADER_MAX) {
        wsc_stream_want_room(ws->stream);
        return -EAGAIN;
    }
    return send_frame(ws, kind == WSC_TEXT ? WSC_OP_TEXT : WSC_OP_BINARY, data, len);
}

// Control frames may use the stream's reserve; one that does not even fit there is given up.
static void send_control(struct wsc *ws, enum wsc_opcode opcode, const uint8_t *data, size_t len) {
    send_frame(ws, opcode, data, len);
}

// One pong for all pings that came together (RFC 6455 section 5.5.3). It has no claim to the reserve: a peer
// that pings without reading gets no more pongs, and our close frame still leaves.
static void send_pong(struct wsc *ws) {
    if (ws->pong_due && ws->state == WSC_OPEN && wsc_stream_room(ws->stream) >= ws->pong_len + WSC_HEADER_MAX)
        send_control(ws, WSC_OP_PONG, ws->pong, ws->pong_len);
    ws->pong_due = false;
}

static void send_close(struct wsc *ws, unsigned code, const char *reason) {
    uint8_t payload[WSC_CONTROL_MAX];
    size_t len = 0;
    if (ws->close_sent)
        return;
    ws->close_sent = true;
    if (code != WSC_CLOSE_NONE && code != WSC_CLOSE_ABNORMAL) {
        payload[0] = (uint8_t)(code >> 8);
        payload[1] = (uint8_t)code;
        len = 2;
        size_t reason_len = reason ? strlen(reason) : 0;
        if (reason_len <= WSC_CONTROL_MAX - 2) {
            if (reason_len)
                memcpy(payload + len, reason, reason_len);
            len += reason_len;
        }
    }
    send_control(ws, WSC_OP_CLOSE, payload, len);
}

// ---- receiving

static void wsc_violated(struct wsc *ws, unsigned code, const char *reason) {
    send_close(ws, code, reason);
    ws->discard = true;
    wsc_end(ws, code, reason);
}

static void peer_closed(struct wsc *ws, const struct wsc_piece *piece) {
    char reason[WSC_CONTROL_MAX];
    unsigned code = wsc_close_parse(piece->data, piece->len, reason);
    send_close(ws, code, NULL);
    if (ws->state == WSC_LINGERING)
        wsc_finish(ws);
    else
        wsc_end(ws, code, *reason ? reason : code == WSC_CLOSE_PROTOCOL ? "close frame" : "");
}

static void take_piece(struct wsc *ws, const struct wsc_piece *piece) {
    switch (piece->type) {
    case WSC_PIECE_DATA:
        if (ws->state == WSC_OPEN)
            ws->events.on_data(piece->kind, piece->data, piece->len, piece->end, ws->events.arg);
        break;
    case WSC_PIECE_PING:
        ws->pong_due = true;
        ws->pong_len = piece->len;
        memcpy(ws->pong, piece->data, piece->len);
        break;
    case WSC_PIECE_CLOSE:
        send_pong(ws);
        peer_closed(ws, piece);
        break;
    case WSC_PIECE_PONG:
        break;
    }
}

static void take_frames(struct wsc *ws, const uint8_t *data, size_t len) {
    struct wsc_piece piece;
    while (!ws->discard && (ws->state == WSC_OPEN || ws->state == WSC_LINGERING)) {
        int got = wsc_frames_next(&ws->frames, &data, &len, &piece);
        if (got == 0)
            break;
        if (got > 0)
            take_piece(ws, &piece);
        else if (ws->state == WSC_OPEN)
            wsc_violated(ws, (unsigned)-got, ws->frames.error);
        else
            ws->discard = true;
    }
    send_pong(ws);
}

// Three ways to go: the host or the network died (TCP gets no answer; told soonest, since frames are always
// on the way), the program hangs (no pong), or all is well and it is time for a ping.
static void look(struct wsc *ws) {
    uint32_t each_ms = ws->ping_interval_ms / LOOKS_PER_PING;
    uint64_t silent_ms = uv_now(ws->loop) - ws->heard_ms;
    bool answered =
        wsc_stream_unanswered_ms(ws->stream) < (each_ms > ANSWER_MIN_MS ? each_ms : ANSWER_MIN_MS);
    ws->unanswered = answered ? 0 : ws->unanswered + 1;
    if (ws->unanswered >= UNANSWERED_MOST)
        wsc_end(ws, WSC_CLOSE_ABNORMAL, "the network to the server is gone");
    else if (!ws->paused && silent_ms >= 2u * (uint64_t)ws->ping_interval_ms)
        wsc_end(ws, WSC_CLOSE_ABNORMAL, "nothing heard for two pings");
    else if (++ws->looks % LOOKS_PER_PING == 0)
        send_control(ws, WSC_OP_PING, NULL, 0);
}

static void on_timer(uv_timer_t *timer) {
    struct wsc *ws = timer->data;
    char reason[96];
    if (ws->state == WSC_LINGERING) {
        wsc_finish(ws);
    } else if (ws->state < WSC_OPEN) {
        snprintf(reason, sizeof reason, "timed out %s",
                 ws->state == WSC_UPGRADING ? "waiting for the HTTP answer" : wsc_stream_phase(ws->stream));
        wsc_end(ws, WSC_CLOSE_ABNORMAL, reason);
    } else {
        look(ws);
    }
}

static void refused(struct wsc *ws, const struct wsc_upgrade *answer) {
    char reason[128];
    if (answer->status && answer->status != 101)
        snprintf(reason, sizeof reason, "HTTP %u: %s", answer->status, answer->reason);
    else
        snprintf(reason, sizeof reason, "%s", answer->reason);
    wsc_end(ws, WSC_CLOSE_ABNORMAL, reason);
}

// Where the answer ends in data[0..len), frames begin: the server may send both at once.
static void take_answer(struct wsc *ws, const uint8_t *data, size_t len) {
    struct handshake *hs = ws->handshake;
    struct wsc_upgrade answer;
    size_t before = hs->response_len;
    size_t n = len < WSC_RESPONSE_MAX - before ? len : WSC_RESPONSE_MAX - before;
    if (!hs->response && !(hs->response = malloc(WSC_RESPONSE_MAX))) {
        wsc_end(ws, WSC_CLOSE_ABNORMAL, "out of memory");
        return;
    }
    memcpy(hs->response + before, data, n);
    hs->response_len += n;
    int header_len =
        wsc_upgrade_response(hs->response, hs->response_len, hs->accept, hs->protocol_offered, &answer);
    if (header_len == 0)
        return;
    if (header_len < 0) {
        refused(ws, &answer);
        return;
    }
    handshake_free(hs);
    ws->handshake = NULL;
    ws->state = WSC_OPEN;
    uv_timer_stop(&ws->timer);
    uint64_t look_ms = ws->ping_interval_ms / LOOKS_PER_PING;
    if (ws->ping_interval_ms)
        uv_timer_start(&ws->timer, on_timer, look_ms, look_ms ? look_ms : 1);
    size_t used = (size_t)header_len - before;
    ws->events.on_open(ws->events.arg);
    take_frames(ws, data + used, len - used);
}

// ---- the stream's events

static void on_up(void *arg) {
    struct wsc *ws = arg;
    if (ws->state != WSC_DIALLING)
        return;
    ws->state = WSC_UPGRADING;
    wsc_stream_write(ws->stream, (const uint8_t *)ws->handshake->request, ws->handshake->request_len);
}

static void on_bytes(const uint8_t *data, size_t len, void *arg) {
    struct wsc *ws = arg;
    ws->heard_ms = uv_now(ws->loop);
    if (ws->state == WSC_UPGRADING)
        take_answer(ws, data, len);
    else
        take_frames(ws, data, len);
}

static void on_room(void *arg) {
    struct wsc *ws = arg;
    if (ws->state == WSC_OPEN && ws->events.on_writable)
        ws->events.on_writable(ws->events.arg);
}

static void on_fail(bool eof, const char *reason, void *arg) {
    struct wsc *ws = arg;
    ws->lost = true;
    if (ws->state == WSC_LINGERING)
        wsc_finish(ws);
    else if (eof && ws->state < WSC_OPEN)
        wsc_end(ws, WSC_CLOSE_ABNORMAL, "closed at once, before the WebSocket was open");
    else
        wsc_end(ws, WSC_CLOSE_ABNORMAL, reason);
}

static void on_stream_closed(void *arg) {
    wsc_part_closed(arg);
}

// ---- the owner's calls

static bool has_header(const struct wsc_config *config, const char *name) {
    for (size_t i = 0; i < config->header_count; i++) {
        if (config->headers[i].name && strcasecmp(config->headers[i].name, name) == 0)
            return true;
    }
    return false;
}

static int write_request(struct handshake *hs, const struct wsc_config *config) {
    char key[WSC_KEY_LEN + 1], text[WSC_REQUEST_MAX];
    int len = wsc_upgrade_key(key, hs->accept);
    if (len == 0)
        len = wsc_upgrade_request(text, sizeof text, &hs->url, key, config->headers, config->header_count);
    if (len < 0)
        return len;
    hs->request = malloc((size_t)len);
    if (!hs->request)
        return -ENOMEM;
    memcpy(hs->request, text, (size_t)len);
    hs->request_len = (size_t)len;
    return 0;
}

static int handshake_new(struct handshake **out, const struct wsc_config *config) {
    struct handshake *hs = calloc(1, sizeof *hs);
    if (!hs)
        return -ENOMEM;
    int err = wsc_url_parse(config->url, &hs->url);
    if (!err && hs->url.secure && !config->tls)
        err = -EINVAL;
    if (!err)
        err = write_request(hs, config);
    if (err) {
        handshake_free(hs);
        return err;
    }
    hs->protocol_offered = has_header(config, "Sec-WebSocket-Protocol");
    *out = hs;
    return 0;
}

static void wsc_fill(struct wsc *ws, const struct wsc_config *config, const struct wsc_events *events) {
    ws->events = *events;
    ws->loop = config->loop;
    ws->ping_interval_ms = config->ping_interval_ms;
    ws->send_limit = config->send_limit_bytes < SEND_LIMIT_MIN ? SEND_LIMIT_MIN : config->send_limit_bytes;
    snprintf(ws->call_id, sizeof ws->call_id, "%s", config->call_id ? config->call_id : "");
    uv_update_time(config->loop); // the loop may have been busy: deadlines count from now
    uv_timer_init(config->loop, &ws->timer);
    ws->timer.data = ws;
    ws->parts = 2;
}

int wsc_connect(struct wsc **out, const struct wsc_config *config, const struct wsc_events *events) {
    struct wsc *ws = calloc(1, sizeof *ws);
    if (!ws)
        return -ENOMEM;
    int err = handshake_new(&ws->handshake, config);
    if (err)
        goto out;
    const struct wsc_url *url = &ws->handshake->url;
    struct wsc_stream_config stream = {
        .loop = config->loop,
        .tls = config->tls,
        .url = url,
        .connect_timeout_ms = config->connect_timeout_ms,
        .queue_bytes =
            (config->send_limit_bytes < SEND_LIMIT_MIN ? SEND_LIMIT_MIN : config->send_limit_bytes) +
            WSC_HEADER_MAX,
    };
    struct wsc_stream_events up = {on_up, on_bytes, on_room, on_fail, on_stream_closed, ws};
    err = wsc_stream_open(&ws->stream, &stream, &up);
    if (err)
        goto out;
    wsc_fill(ws, config, events);
    if (config->connect_timeout_ms)
        uv_timer_start(&ws->timer, on_timer, config->connect_timeout_ms, 0);
    log_debug(ws->call_id, "wsc", "connecting to %s port %s%s", url->host, url->port,
              url->secure ? " with TLS" : "");
    *out = ws;
    return 0;

out:
    handshake_free(ws->handshake);
    free(ws);
    return err;
}

void wsc_pause(struct wsc *ws, bool paused) {
    if (ws->state != WSC_OPEN || ws->paused == paused)
        return;
    ws->paused = paused;
    ws->heard_ms = uv_now(ws->loop);
    wsc_stream_pause(ws->stream, paused);
}

void wsc_close(struct wsc *ws, unsigned code, const char *reason) {
    if (ws->state >= WSC_LINGERING)
        return;
    if (ws->state == WSC_OPEN)
        send_close(ws, code, reason);
    // Also after a violation: closing at once with bytes unread would reset the connection and eat our close
    // frame.
    bool linger = !ws->lost && (ws->state == WSC_OPEN || ws->discard);
    if (!linger) {
        wsc_finish(ws);
        return;
    }
    ws->state = WSC_LINGERING;
    wsc_stream_pause(ws->stream, false);
    uv_timer_start(&ws->timer, on_timer, LINGER_MS, 0);
}
