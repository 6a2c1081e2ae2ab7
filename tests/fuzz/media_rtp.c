// SPDX-License-Identifier: Apache-2.0
// Any datagram: classified, parsed; what parses lies inside the datagram and can be written again.
#include "media/demux.h"
#include "media/rtp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok) {
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rtp_packet packet;
    demux_classify(span_of(data, size));
    if (rtp_parse(span_of(data, size), &packet) != 0)
        return 0;
    must(packet.payload >= data && packet.payload_len <= size - (size_t)(packet.payload - data));
    must(packet.ext.len % 4 == 0 && packet.ext.len <= size);
    uint8_t header[RTP_HEADER_LEN];
    struct rtp_packet again;
    must(rtp_write(header, sizeof header, &packet) == RTP_HEADER_LEN);
    must(rtp_parse(span_of(header, sizeof header), &again) == 0);
    must(again.seq == packet.seq && again.ssrc == packet.ssrc && again.timestamp == packet.timestamp);
    return 0;
}
