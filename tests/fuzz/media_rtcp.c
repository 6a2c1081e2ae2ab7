// SPDX-License-Identifier: Apache-2.0
// Any datagram: a compound is heard whole or not at all, and every report block heard can be written and read
// back.
#include "media/rtcp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok) {
    if (!ok)
        abort();
}

static void on_back(uint32_t from_ssrc, const struct rtcp_report_block *block, void *arg) {
    const struct rtcp_report_block *want = arg;
    (void)from_ssrc;
    must(block->ssrc == want->ssrc && block->fraction_lost == want->fraction_lost &&
         block->lost == want->lost);
    must(block->highest_seq == want->highest_seq && block->jitter == want->jitter);
    must(block->lsr == want->lsr && block->dlsr == want->dlsr);
}

static void on_report(uint32_t from_ssrc, const struct rtcp_report_block *block, void *arg) {
    struct rtcp_report report = {
        .ssrc = from_ssrc, .blocks = block, .block_count = 1, .cname = "x", .bye = true, .bye_reason = "y"};
    struct rtcp_report_block want = *block;
    uint8_t out[128];
    (void)arg;
    int len = rtcp_write(out, sizeof out, &report);
    must(len > 0);
    struct rtcp_events events = {.on_report = on_back};
    must(rtcp_parse(span_of(out, (size_t)len), &events, &want) == 0);
}

static void on_text(uint32_t ssrc, struct span text, void *arg) {
    char copy[RTCP_MAX_TEXT + 1];
    (void)ssrc;
    (void)arg;
    must(span_copy(text, copy, sizeof copy));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rtcp_events events = {.on_report = on_report, .on_cname = on_text, .on_bye = on_text};
    rtcp_parse(span_of(data, size), &events, NULL);
    return 0;
}
