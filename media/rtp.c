// SPDX-License-Identifier: Apache-2.0
#include "media/rtp.h"

#include <errno.h>

static bool take_extension(struct span *s, struct rtp_packet *packet) {
    uint16_t words;
    return span_be16(s, &packet->ext_profile) && span_be16(s, &words) &&
           span_take(s, (size_t)words * 4, &packet->ext);
}

// The last byte says how many there are, itself included; so 0 is as wrong as more than there is.
static bool drop_padding(struct span *s) {
    uint8_t padding = s->len ? s->ptr[s->len - 1] : 0;
    if (!padding || padding > s->len)
        return false;
    s->len -= padding;
    return true;
}

int rtp_parse(struct span datagram, struct rtp_packet *out) {
    struct rtp_packet packet = {0};
    struct span s = datagram;
    uint8_t flags, type;
    if (!span_u8(&s, &flags) || !span_u8(&s, &type) || flags >> 6 != RTP_VERSION)
        return -EBADMSG;
    packet.marker = type & 0x80;
    packet.payload_type = type & 0x7f;
    packet.csrc_count = flags & 0x0f;
    if (!span_be16(&s, &packet.seq) || !span_be32(&s, &packet.timestamp) || !span_be32(&s, &packet.ssrc))
        return -EBADMSG;
    if (!span_skip(&s, (size_t)packet.csrc_count * 4))
        return -EBADMSG;
    if ((flags & 0x10) && !take_extension(&s, &packet))
        return -EBADMSG;
    if ((flags & 0x20) && !drop_padding(&s))
        return -EBADMSG;
    packet.payload = s.ptr;
    packet.payload_len = s.len;
    *out = packet;
    return 0;
}

static void put_be32(uint8_t *out, uint32_t value) {
    out[0] = (uint8_t)(value >> 24);
    out[1] = (uint8_t)(value >> 16);
    out[2] = (uint8_t)(value >> 8);
    out[3] = (uint8_t)value;
}

int rtp_write(uint8_t *out, size_t cap, const struct rtp_packet *header) {
    if (cap < RTP_HEADER_LEN)
        return -EMSGSIZE;
    if (header->payload_type > 127)
        return -EINVAL;
    out[0] = RTP_VERSION << 6;
    out[1] = (uint8_t)(header->payload_type | (header->marker ? 0x80 : 0));
    out[2] = (uint8_t)(header->seq >> 8);
    out[3] = (uint8_t)header->seq;
    put_be32(out + 4, header->timestamp);
    put_be32(out + 8, header->ssrc);
    return RTP_HEADER_LEN;
}
