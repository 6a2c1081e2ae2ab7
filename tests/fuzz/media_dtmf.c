// SPDX-License-Identifier: Apache-2.0
// A stream of telephone-event packets: 12 bytes each of the input are timestamp (4), SSRC (1), marker (1), the
// payload's length (1) and the payload (5). No digit but the sixteen, and no second press from a packet that
// repeats the one before.
#include "media/dtmf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD = 12 };

static void check(enum dtmf_verdict verdict, char digit, enum dtmf_verdict again) {
    if (verdict != DTMF_NOTHING && (!digit || !strchr("0123456789*#ABCD", digit)))
        abort();
    if (again == DTMF_PRESS)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct dtmf_reader reader;
    struct dtmf_merge merge = {0};
    uint64_t now_us = 1000000;
    dtmf_reader_init(&reader, size & 1 ? 8000 : 48000);
    for (; size >= RECORD; data += RECORD, size -= RECORD, now_us += 20000) {
        uint32_t timestamp;
        memcpy(&timestamp, data, sizeof timestamp);
        const struct rtp_packet packet = {.timestamp = timestamp,
                                          .ssrc = data[4],
                                          .marker = data[5] & 1,
                                          .payload = data + 7,
                                          .payload_len = data[6] % 6};
        char digit = '\0', same = '\0';
        enum dtmf_verdict verdict = dtmf_reader_packet(&reader, &packet, &digit);
        check(verdict, digit, dtmf_reader_packet(&reader, &packet, &same));
        if (verdict == DTMF_PRESS)
            dtmf_merge_press(&merge, digit, (enum dtmf_way)(data[5] >> 6 & 1), now_us);
        if (verdict == DTMF_HELD)
            dtmf_merge_held(&merge, digit, DTMF_BY_EVENT, now_us);
    }
    return 0;
}
