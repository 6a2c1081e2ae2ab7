// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/err.h"
#include "webrtc/datachan.h"

enum { MESSAGE_OPEN = 0x03 };

static bool channel_type_known(uint8_t type) {
    return (type & 0x7f) <= 2; // reliable, limited retransmissions, limited time; the top bit says unordered
}

int dcep_parse_open(struct span message, struct dcep_open *out) {
    struct span rest = message;
    struct dcep_open open;
    uint8_t type;
    uint16_t label_len, protocol_len;
    if (!span_u8(&rest, &type) || type != MESSAGE_OPEN || !span_u8(&rest, &open.channel_type) ||
        !span_be16(&rest, &open.priority) || !span_be32(&rest, &open.reliability) ||
        !span_be16(&rest, &label_len) || !span_be16(&rest, &protocol_len))
        return -EPROTO;
    if (!channel_type_known(open.channel_type) || !span_take(&rest, label_len, &open.label) ||
        !span_take(&rest, protocol_len, &open.protocol) || rest.len)
        return -EPROTO;
    *out = open;
    return 0;
}
