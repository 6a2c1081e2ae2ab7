// SPDX-License-Identifier: Apache-2.0
#include "gateway/call_report.h"

#include "gateway/core/log.h"
#include "gateway/core/ticker.h"
#include "media/mos.h"

#include <inttypes.h>
#include <stdio.h>

enum { SETUP_TEXT = 420 };

// "; sip call-id X, claim 1, platform 80, agent 9, confirmed 12 ms"
static void setup_text(const struct call_setup *setup, char out[SETUP_TEXT]) {
    if (setup->sip_call_id[0])
        snprintf(out, SETUP_TEXT, "; SIP Call-ID %s, claim %u ms, platform %u ms, agent %u ms, ACK %u ms",
                 setup->sip_call_id, setup->claim_ms, setup->platform_ms, setup->agent_ms, setup->confirm_ms);
    else
        snprintf(out, SETUP_TEXT, "; agent %u ms", setup->agent_ms);
}

void call_report(const struct call_report *report) {
    uint64_t now_us = ticker_now_us();
    char setup[SETUP_TEXT];
    setup_text(report->setup, setup);
    if (!report->bridge || !report->up_us) {
        log_info(report->call_id, "call", "ended (%s) before media was up, after %" PRIu64 " ms: %s%s",
                 report->code, (now_us - report->began_us) / 1000, report->message, setup);
        return;
    }
    struct leg_stats rtp;
    struct bridge_stats audio;
    report->leg->ops->stats(report->leg->impl, &rtp);
    bridge_stats(report->bridge, &audio);
    struct leg_media media = report->leg->ops->media(report->leg->impl, 0);
    struct mos mos;
    mos_of_leg(&rtp, &media, &mos);
    log_info(report->call_id, "call",
             "ended (%s): %s; talked %" PRIu64 " ms, %s%s, received %" PRIu64 " packets (%" PRIu64
             " lost, %" PRIu64 " late, jitter %u us, concealed %" PRIu64 " ms), sent %" PRIu64
             " (peer lost %" PRIu64 ", jitter %u us, rtt %u us), MOS %.1f heard %.1f sent, agent frames"
             " %" PRIu64 " out (%" PRIu64 " dropped) %" PRIu64 " in, %" PRIu64 " underruns%s",
             report->code, report->message, (now_us - report->up_us) / 1000,
             codec_desc(media.codec)->rtp_name, audio.passthrough ? " passthrough" : "", rtp.rx_packets,
             rtp.rx_lost, rtp.rx_late, rtp.jitter_us, rtp.concealed_ms, rtp.tx_packets, rtp.remote_lost,
             rtp.remote_jitter_us, rtp.rtt_us, mos.heard, mos.sent, audio.frames_to_agent,
             audio.frames_dropped, audio.frames_from_agent, audio.underruns, setup);
}
