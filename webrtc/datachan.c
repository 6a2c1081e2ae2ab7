// SPDX-License-Identifier: Apache-2.0
#include "webrtc/datachan.h"

#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "gateway/core/utf8.h"

#include <stdlib.h>
#include <string.h>

enum {
    LOCAL_PORT = 5000,
    SEND_BUFFER = 2 * DATACHAN_MAX_MESSAGE, // usrsctp's, holds one message while another is on the way
    WAITING_MOST = 256 * 1024,
    WAITING_OVERHEAD =
        64, // what a waiting message costs beside its bytes, so that empty ones are bounded too
};

// RFC 8831 section 8. Partial messages (52, 54) are deprecated and ignored.
enum ppid { PPID_DCEP = 50, PPID_TEXT = 51, PPID_BINARY = 53, PPID_TEXT_EMPTY = 56, PPID_BINARY_EMPTY = 57 };

enum { DCEP_ACK = 0x02, DCEP_OPEN = 0x03 };

struct waiting {
    struct waiting *next;
    uint16_t stream;
    uint32_t ppid;
    size_t len;
    uint8_t data[];
};

struct channel {
    bool open;
    uint16_t stream;
};

// Messages in the order they were given.
struct queue {
    struct waiting *head, **tail; // owns
};

struct datachan {
    struct sctp *sctp; // owns
    struct datachan_events events;
    const char *greeting, *call_id; // borrows
    struct channel channels[DATACHAN_MAX_CHANNELS];
    struct channel *current; // last opened or heard from, NULL when none is open
    struct queue waiting;    // sent when usrsctp has room
    struct queue early; // texts given before the browser opened its first channel; `stream` is not yet known
    size_t waiting_bytes; // of both
    bool opened;          // a channel has been open
    size_t binary_ignored, malformed;
    unsigned depth; // of calls on the stack; a closed one is freed when the last returns
    bool closing;
};

static void datachan_enter(struct datachan *dc) {
    dc->depth++;
}

static void waiting_drop(struct datachan *dc, struct queue *queue, bool all, uint16_t stream) {
    struct waiting **link = &queue->head;
    while (*link) {
        struct waiting *message = *link;
        if (!all && message->stream != stream) {
            link = &message->next;
            continue;
        }
        *link = message->next;
        dc->waiting_bytes -= message->len + WAITING_OVERHEAD;
        free(message);
    }
    queue->tail = link;
}

static void datachan_leave(struct datachan *dc) {
    if (--dc->depth || !dc->closing)
        return;
    waiting_drop(dc, &dc->waiting, true, 0);
    waiting_drop(dc, &dc->early, true, 0);
    free(dc);
}

static struct channel *channel_find(struct datachan *dc, uint16_t stream) {
    for (size_t i = 0; i < DATACHAN_MAX_CHANNELS; i++)
        if (dc->channels[i].open && dc->channels[i].stream == stream)
            return &dc->channels[i];
    return NULL;
}

static struct channel *channel_any(struct datachan *dc, bool open) {
    for (size_t i = 0; i < DATACHAN_MAX_CHANNELS; i++)
        if (dc->channels[i].open == open)
            return &dc->channels[i];
    return NULL;
}

static int waiting_add(struct datachan *dc, struct queue *queue, uint16_t stream, uint32_t ppid,
                       const void *data, size_t len) {
    if (dc->waiting_bytes + len + WAITING_OVERHEAD > WAITING_MOST)
        return -EAGAIN;
    struct waiting *message = malloc(sizeof *message + len);
    if (!message)
        return -ENOMEM;
    *message = (struct waiting){.stream = stream, .ppid = ppid, .len = len};
    memcpy(message->data, data, len);
    *queue->tail = message;
    queue->tail = &message->next;
    dc->waiting_bytes += len + WAITING_OVERHEAD;
    return 0;
}

// In the order of the calls, also when some have to wait.
static int message_send(struct datachan *dc, uint16_t stream, uint32_t ppid, const void *data, size_t len) {
    if (dc->waiting.head)
        return waiting_add(dc, &dc->waiting, stream, ppid, data, len);
    int err = sctp_assoc_send(dc->sctp, stream, ppid, data, len);
    return err == -EAGAIN ? waiting_add(dc, &dc->waiting, stream, ppid, data, len) : err;
}

static int text_send(struct datachan *dc, uint16_t stream, const char *text, size_t len) {
    if (len == 0) // SCTP has no empty message: one zero byte stands for it (RFC 8831 section 6.6)
        return message_send(dc, stream, PPID_TEXT_EMPTY, "", 1);
    return message_send(dc, stream, PPID_TEXT, text, len);
}

static void on_writable(void *arg) {
    struct datachan *dc = arg;
    datachan_enter(dc);
    while (dc->waiting.head && !dc->closing) {
        struct waiting *message = dc->waiting.head;
        int err = sctp_assoc_send(dc->sctp, message->stream, message->ppid, message->data, message->len);
        if (err == -EAGAIN || dc->closing)
            break;
        if (err)
            log_warn(dc->call_id, "datachan", "a message was lost: %s", err_name(err));
        dc->waiting.head = message->next;
        if (!dc->waiting.head)
            dc->waiting.tail = &dc->waiting.head;
        dc->waiting_bytes -= message->len + WAITING_OVERHEAD;
        free(message);
    }
    datachan_leave(dc);
}

// The agent is often there, and says something, before the browser's channel is open.
static void early_send(struct datachan *dc, uint16_t stream) {
    while (dc->early.head) {
        struct waiting *message = dc->early.head;
        dc->early.head = message->next;
        dc->waiting_bytes -=
            message->len + WAITING_OVERHEAD; // or it would be counted twice when it has to wait again
        text_send(dc, stream, (const char *)message->data, message->len);
        free(message);
    }
    dc->early.tail = &dc->early.head;
}

static void channel_refuse(struct datachan *dc, uint16_t stream, const char *why) {
    if (dc->malformed++ == 0)
        log_warn(dc->call_id, "datachan", "stream %u: %s", stream, why);
    sctp_assoc_reset_stream(dc->sctp, stream);
}

static void channel_open(struct datachan *dc, uint16_t stream, const uint8_t *data, size_t len) {
    struct dcep_open open;
    if (dcep_parse_open(span_of(data, len), &open) || !utf8_valid(open.label.ptr, open.label.len)) {
        channel_refuse(dc, stream, "malformed DATA_CHANNEL_OPEN");
        return;
    }
    struct channel *channel = channel_find(dc, stream);
    if (!channel)
        channel = channel_any(dc, false);
    if (!channel) {
        channel_refuse(dc, stream, "too many data channels");
        return;
    }
    static const uint8_t ack = DCEP_ACK;
    int err = message_send(dc, stream, PPID_DCEP, &ack, sizeof ack);
    if (err) {
        channel_refuse(dc, stream, "DATA_CHANNEL_ACK could not be sent");
        return;
    }
    channel->open = true;
    channel->stream = stream;
    dc->current = channel;
    int label_len = (int)(open.label.len < DATACHAN_MAX_LABEL ? open.label.len : DATACHAN_MAX_LABEL);
    log_debug(dc->call_id, "datachan", "channel \"%.*s\" opened on stream %u", label_len,
              (const char *)open.label.ptr, stream);
    if (dc->greeting)
        text_send(dc, stream, dc->greeting, strlen(dc->greeting));
    dc->opened = true;
    early_send(dc, stream);
}

static void on_dcep(struct datachan *dc, uint16_t stream, const uint8_t *data, size_t len) {
    if (len && data[0] == DCEP_OPEN)
        channel_open(dc, stream, data, len);
    else if (!len || data[0] != DCEP_ACK) // we open none, so an ACK answers nothing
        channel_refuse(dc, stream, "unknown DCEP message");
}

static void on_text(struct datachan *dc, struct channel *channel, const uint8_t *text, size_t len) {
    dc->current = channel;
    if (utf8_valid(text, len))
        dc->events.on_text((const char *)text, len, dc->events.arg);
    else if (dc->malformed++ == 0)
        log_warn(dc->call_id, "datachan", "text that is not UTF-8 was dropped");
}

static void on_message(uint16_t stream, uint32_t ppid, const uint8_t *data, size_t len, void *arg) {
    struct datachan *dc = arg;
    datachan_enter(dc);
    struct channel *channel = channel_find(dc, stream);
    if (ppid == PPID_DCEP)
        on_dcep(dc, stream, data, len);
    else if (channel && ppid == PPID_TEXT)
        on_text(dc, channel, data, len);
    else if (channel && ppid == PPID_TEXT_EMPTY)
        on_text(dc, channel, data, 0);
    else if (channel && (ppid == PPID_BINARY || ppid == PPID_BINARY_EMPTY) && dc->binary_ignored++ == 0)
        log_info(dc->call_id, "datachan", "binary messages are ignored");
    datachan_leave(dc);
}

static void on_too_large(uint16_t stream, void *arg) {
    struct datachan *dc = arg;
    datachan_enter(dc);
    static const char text[] = "{\"type\":\"error\",\"code\":\"message_too_large\","
                               "\"message\":\"A message may have at most 65536 bytes.\"}";
    if (channel_find(dc, stream))
        text_send(dc, stream, text, sizeof text - 1);
    datachan_leave(dc);
}

// The browser closed the channel; our half follows (RFC 8831 section 6.7).
static void on_stream_reset(uint16_t stream, void *arg) {
    struct datachan *dc = arg;
    struct channel *channel = channel_find(dc, stream);
    if (!channel)
        return;
    datachan_enter(dc);
    channel->open = false;
    waiting_drop(dc, &dc->waiting, false, stream);
    if (dc->current == channel)
        dc->current = channel_any(dc, true);
    sctp_assoc_reset_stream(dc->sctp, stream);
    datachan_leave(dc);
}

static void on_up(void *arg) {
    const struct datachan *dc = arg;
    log_debug(dc->call_id, "datachan", "association is up");
}

static void on_end(const char *reason, void *arg) {
    struct datachan *dc = arg;
    log_info(dc->call_id, "datachan", "%s", reason);
    for (size_t i = 0; i < DATACHAN_MAX_CHANNELS; i++)
        dc->channels[i].open = false;
    dc->current = NULL;
    waiting_drop(dc, &dc->waiting, true, 0);
}

static void on_send(const uint8_t *packet, size_t len, void *arg) {
    struct datachan *dc = arg;
    datachan_enter(dc);
    dc->events.on_send(packet, len, dc->events.arg);
    datachan_leave(dc);
}

int datachan_new(struct datachan **out, struct sctp_hub *hub, uv_loop_t *loop, uint16_t remote_port,
                 const char *greeting, const char *call_id, const struct datachan_events *events) {
    struct datachan *dc = calloc(1, sizeof *dc);
    if (!dc)
        return -ENOMEM;
    dc->events = *events;
    dc->greeting = greeting;
    dc->call_id = call_id;
    dc->waiting.tail = &dc->waiting.head;
    dc->early.tail = &dc->early.head;
    const struct sctp_config config = {.loop = loop,
                                       .local_port = LOCAL_PORT,
                                       .remote_port = remote_port,
                                       .max_message = DATACHAN_MAX_MESSAGE,
                                       .send_buffer = SEND_BUFFER};
    const struct sctp_events up = {.on_send = on_send,
                                   .on_up = on_up,
                                   .on_message = on_message,
                                   .on_too_large = on_too_large,
                                   .on_stream_reset = on_stream_reset,
                                   .on_writable = on_writable,
                                   .on_end = on_end,
                                   .arg = dc};
    int err = sctp_assoc_new(&dc->sctp, hub, &config, &up);
    if (err) {
        free(dc);
        return err;
    }
    *out = dc;
    return 0;
}

void datachan_close(struct datachan *dc) {
    if (!dc || dc->closing)
        return;
    datachan_enter(dc);
    dc->closing = true;
    sctp_assoc_close(dc->sctp);
    datachan_leave(dc);
}

int datachan_start(struct datachan *dc) {
    datachan_enter(dc);
    int err = sctp_assoc_connect(dc->sctp);
    datachan_leave(dc);
    return err;
}

void datachan_receive(struct datachan *dc, const uint8_t *packet, size_t len) {
    datachan_enter(dc);
    sctp_assoc_receive(dc->sctp, packet, len);
    datachan_leave(dc);
}

int datachan_send_text(struct datachan *dc, const char *text, size_t len) {
    if (len > DATACHAN_MAX_MESSAGE)
        return -EMSGSIZE;
    if (!dc->opened)
        return waiting_add(dc, &dc->early, 0, PPID_TEXT, text, len);
    if (!dc->current)
        return -ENOTCONN;
    datachan_enter(dc);
    int err = text_send(dc, dc->current->stream, text, len);
    datachan_leave(dc);
    return err;
}
