// SPDX-License-Identifier: Apache-2.0
#include "gateway/call_report.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "gateway/core/ticker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SETUP_TEXT = 420 };

static void setup_text(const struct call_setup *setup, char out[SETUP_TEXT]) {
    if (setup->sip_call_id[0])
        snprintf(out, SETUP_TEXT, "; SIP Call-ID %s, claim %u ms, platform %u ms, agent %u ms, ACK %u ms",
                 setup->sip_call_id, setup->claim_ms, setup->platform_ms, setup->agent_ms, setup->confirm_ms);
    else
        snprintf(out, SETUP_TEXT, "; agent %u ms", setup->agent_ms);
}

static void count(const struct call_report *report) {
    static const enum metric codecs[] = {[CODEC_PCMU] = METRIC_CALLS_PCMU,
                                         [CODEC_PCMA] = METRIC_CALLS_PCMA,
                                         [CODEC_G722] = METRIC_CALLS_G722,
                                         [CODEC_OPUS] = METRIC_CALLS_OPUS};
    const struct call_figures *figures = report->figures;
    metric_add(METRIC_SETUP_CLAIM_MS, figures->setup.claim_ms);
    metric_add(METRIC_SETUP_PLATFORM_MS, figures->setup.platform_ms);
    metric_add(METRIC_SETUP_AGENT_MS, figures->setup.agent_ms);
    metric_add(METRIC_SETUP_CONFIRM_MS, figures->setup.confirm_ms);
    if (!figures->up)
        return;
    metric_add(codecs[figures->media.codec], 1);
    metric_add(METRIC_CALL_TALKED_MS, (int64_t)figures->talked_ms);
    metric_add(METRIC_CALL_JITTER_US, figures->rtp.jitter_us);
    metric_add(METRIC_CALL_RTT_US, figures->rtp.rtt_us);
    metric_add(METRIC_CALL_MOS_HEARD, (int64_t)(figures->mos.heard * 100));
    metric_add(METRIC_CALL_MOS_SENT, (int64_t)(figures->mos.sent * 100));
}

void call_report(const struct call_report *report) {
    const struct call_figures *figures = report->figures;
    const struct leg_stats *rtp = &figures->rtp;
    const struct bridge_stats *audio = &figures->agent;
    char setup[SETUP_TEXT];
    setup_text(&figures->setup, setup);
    count(report);
    if (!figures->up) {
        log_info(report->call_id, "call", "ended (%s) before media was up, after %" PRIu64 " ms: %s%s",
                 report->code, (ticker_now_us() - report->began_us) / 1000, report->message, setup);
        return;
    }
    log_info(report->call_id, "call",
             "ended (%s): %s; talked %" PRIu64 " ms, %s%s, received %" PRIu64 " packets (%" PRIu64
             " lost, %" PRIu64 " late, jitter %u us, concealed %" PRIu64 " ms, MOS %.2f), sent %" PRIu64
             " (peer lost %u/256, rtt %u us, MOS %.2f), agent frames"
             " %" PRIu64 " out (%" PRIu64 " dropped) %" PRIu64 " in, %" PRIu64 " underruns%s",
             report->code, report->message, figures->talked_ms, codec_desc(figures->media.codec)->rtp_name,
             audio->passthrough ? " passthrough" : "", rtp->rx_packets, rtp->rx_lost, rtp->rx_late,
             rtp->jitter_us, rtp->concealed_ms, figures->mos.heard, rtp->tx_packets,
             rtp->remote_fraction_lost, rtp->rtt_us, figures->mos.sent, audio->frames_to_agent,
             audio->frames_dropped, audio->frames_from_agent, audio->underruns, setup);
}
