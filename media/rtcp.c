// SPDX-License-Identifier: Apache-2.0
#include "media/rtcp.h"

#include <errno.h>
#include <string.h>

enum {
    RTCP_VERSION = 2,
    SDES_END = 0,
    SDES_CNAME = 1,
    BLOCK_LEN = 24,
};

int rtcp_next(struct span *compound, struct rtcp_packet *out) {
    if (!compound->len)
        return -ENODATA;
    struct span s = *compound;
    struct rtcp_packet packet;
    uint8_t flags;
    uint16_t words;
    if (!span_u8(&s, &flags) || !span_u8(&s, &packet.type) || !span_be16(&s, &words))
        return -EBADMSG;
    if (flags >> 6 != RTCP_VERSION || !span_take(&s, (size_t)words * 4, &packet.body))
        return -EBADMSG;
    packet.count = flags & 0x1f;
    if (flags & 0x20) {
        // Only the last packet of a compound may be padded (section 6.4.1), and by whole words.
        uint8_t padding = packet.body.len ? packet.body.ptr[packet.body.len - 1] : 0;
        if (s.len || !padding || padding % 4 || padding > packet.body.len)
            return -EBADMSG;
        packet.body.len -= padding;
    }
    *out = packet;
    *compound = s;
    return 0;
}

static bool take_sender_info(struct span *s, struct rtcp_sender_info *out) {
    uint32_t high, low;
    if (!span_be32(s, &high) || !span_be32(s, &low))
        return false;
    out->ntp = (uint64_t)high << 32 | low;
    return span_be32(s, &out->rtp_timestamp) && span_be32(s, &out->packets) && span_be32(s, &out->octets);
}

static bool take_block(struct span *s, struct rtcp_report_block *out) {
    uint32_t loss;
    if (!span_be32(s, &out->ssrc) || !span_be32(s, &loss))
        return false;
    out->fraction_lost = (uint8_t)(loss >> 24);
    uint32_t lost = loss & 0xffffff;
    out->lost = lost & 0x800000 ? (int32_t)lost - 0x1000000 : (int32_t)lost;
    return span_be32(s, &out->highest_seq) && span_be32(s, &out->jitter) && span_be32(s, &out->lsr) &&
           span_be32(s, &out->dlsr);
}

// Each reader walks a packet with `events` all NULL to check it, and again to tell what is in it.
static bool read_report(const struct rtcp_packet *packet, const struct rtcp_events *events, void *arg) {
    struct span s = packet->body;
    uint32_t from;
    struct rtcp_sender_info info;
    if (!span_be32(&s, &from) || (packet->type == RTCP_SR && !take_sender_info(&s, &info)))
        return false;
    if (packet->type == RTCP_SR && events->on_sender_info)
        events->on_sender_info(from, &info, arg);
    for (unsigned i = 0; i < packet->count; i++) {
        struct rtcp_report_block block;
        if (!take_block(&s, &block))
            return false;
        if (events->on_report)
            events->on_report(from, &block, arg);
    }
    return true; // what is left is a profile's extension
}

// One chunk: an SSRC, items, a zero, and zeros up to the next word.
static bool read_chunk(struct span *s, const struct rtcp_events *events, void *arg) {
    const uint8_t *start = s->ptr;
    uint32_t ssrc;
    if (!span_be32(s, &ssrc))
        return false;
    for (;;) {
        uint8_t type, len;
        struct span text;
        if (!span_u8(s, &type))
            return false;
        if (type == SDES_END)
            break;
        if (!span_u8(s, &len) || !span_take(s, len, &text))
            return false;
        if (type == SDES_CNAME && events->on_cname)
            events->on_cname(ssrc, text, arg);
    }
    size_t used = (size_t)(s->ptr - start);
    return span_skip(s, (4 - used % 4) % 4);
}

static bool read_sdes(const struct rtcp_packet *packet, const struct rtcp_events *events, void *arg) {
    struct span s = packet->body;
    for (unsigned i = 0; i < packet->count; i++) {
        if (!read_chunk(&s, events, arg))
            return false;
    }
    return true;
}

static bool read_bye(const struct rtcp_packet *packet, const struct rtcp_events *events, void *arg) {
    struct span sources, reason, s = packet->body;
    uint8_t len;
    if (!span_take(&s, (size_t)packet->count * 4, &sources))
        return false;
    reason = span_of(s.ptr, 0);
    if (s.len && (!span_u8(&s, &len) || !span_take(&s, len, &reason)))
        return false;
    uint32_t ssrc;
    while (span_be32(&sources, &ssrc)) {
        if (events->on_bye)
            events->on_bye(ssrc, reason, arg);
    }
    return true;
}

static bool read_packet(const struct rtcp_packet *packet, const struct rtcp_events *events, void *arg) {
    switch (packet->type) {
    case RTCP_SR:
    case RTCP_RR:
        return read_report(packet, events, arg);
    case RTCP_SDES:
        return read_sdes(packet, events, arg);
    case RTCP_BYE:
        return read_bye(packet, events, arg);
    default:
        return true;
    }
}

static int walk(struct span compound, const struct rtcp_events *events, void *arg) {
    struct rtcp_packet packet;
    int err;
    while ((err = rtcp_next(&compound, &packet)) == 0) {
        if (!read_packet(&packet, events, arg))
            return -EBADMSG;
    }
    return err == -ENODATA ? 0 : err;
}

int rtcp_parse(struct span datagram, const struct rtcp_events *events, void *arg) {
    static const struct rtcp_events none = {0};
    if (!datagram.len)
        return -EBADMSG;
    // First all of it is checked: half a malformed packet must not have been believed.
    int err = walk(datagram, &none, NULL);
    return err ? err : walk(datagram, events, arg);
}

// Writes while it fits; afterwards `full` says whether it did.
struct writer {
    uint8_t *out;
    size_t cap, len;
    bool full;
};

static void put_bytes(struct writer *w, const void *bytes, size_t len) {
    if (w->cap - w->len < len) {
        w->full = true;
        return;
    }
    if (len)
        memcpy(w->out + w->len, bytes, len);
    w->len += len;
}

static void put_u8(struct writer *w, uint8_t value) {
    put_bytes(w, &value, 1);
}

static void put_be32(struct writer *w, uint32_t value) {
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                        (uint8_t)value};
    put_bytes(w, bytes, sizeof bytes);
}

static void put_header(struct writer *w, uint8_t type, size_t count, size_t body_len) {
    put_u8(w, (uint8_t)(RTCP_VERSION << 6 | count));
    put_u8(w, type);
    put_u8(w, (uint8_t)(body_len / 4 >> 8));
    put_u8(w, (uint8_t)(body_len / 4));
}

static void put_zeros(struct writer *w, size_t count) {
    while (count--)
        put_u8(w, 0);
}

static uint32_t lost_24_bits(int32_t lost) {
    if (lost > 0x7fffff)
        lost = 0x7fffff;
    if (lost < -0x800000)
        lost = -0x800000;
    return (uint32_t)lost & 0xffffff;
}

static void put_report(struct writer *w, const struct rtcp_report *report) {
    size_t body_len = 4 + (report->sender ? 20u : 0u) + report->block_count * BLOCK_LEN;
    put_header(w, report->sender ? RTCP_SR : RTCP_RR, report->block_count, body_len);
    put_be32(w, report->ssrc);
    if (report->sender) {
        put_be32(w, (uint32_t)(report->sender->ntp >> 32));
        put_be32(w, (uint32_t)report->sender->ntp);
        put_be32(w, report->sender->rtp_timestamp);
        put_be32(w, report->sender->packets);
        put_be32(w, report->sender->octets);
    }
    for (size_t i = 0; i < report->block_count; i++) {
        const struct rtcp_report_block *block = &report->blocks[i];
        put_be32(w, block->ssrc);
        put_be32(w, (uint32_t)block->fraction_lost << 24 | lost_24_bits(block->lost));
        put_be32(w, block->highest_seq);
        put_be32(w, block->jitter);
        put_be32(w, block->lsr);
        put_be32(w, block->dlsr);
    }
}

static void put_sdes(struct writer *w, uint32_t ssrc, const char *cname, size_t cname_len) {
    size_t used = 4 + 2 + cname_len;
    size_t zeros = 4 - used % 4; // at least one: it ends the items
    put_header(w, RTCP_SDES, 1, used + zeros);
    put_be32(w, ssrc);
    put_u8(w, SDES_CNAME);
    put_u8(w, (uint8_t)cname_len);
    put_bytes(w, cname, cname_len);
    put_zeros(w, zeros);
}

static void put_bye(struct writer *w, uint32_t ssrc, const char *reason) {
    size_t reason_len = reason ? strnlen(reason, RTCP_MAX_TEXT) : 0;
    size_t text_len = reason_len ? 1 + reason_len : 0;
    size_t zeros = (4 - text_len % 4) % 4;
    put_header(w, RTCP_BYE, 1, 4 + text_len + zeros);
    put_be32(w, ssrc);
    if (!reason_len)
        return;
    put_u8(w, (uint8_t)reason_len);
    put_bytes(w, reason, reason_len);
    put_zeros(w, zeros);
}

int rtcp_write(uint8_t *out, size_t cap, const struct rtcp_report *report) {
    size_t cname_len = report->cname ? strnlen(report->cname, RTCP_MAX_TEXT + 1) : 0;
    if (!cname_len || cname_len > RTCP_MAX_TEXT || report->block_count > RTCP_MAX_BLOCKS)
        return -EINVAL;
    struct writer w = {.out = out, .cap = cap};
    put_report(&w, report);
    put_sdes(&w, report->ssrc, report->cname, cname_len);
    if (report->bye)
        put_bye(&w, report->ssrc, report->bye_reason);
    return w.full ? -EMSGSIZE : (int)w.len;
}
