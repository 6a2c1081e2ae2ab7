// SPDX-License-Identifier: Apache-2.0
#include "gateway/call_report.h"

#include "gateway/core/log.h"
#include "gateway/core/ticker.h"

#include <inttypes.h>

void call_report(const char *call_id, const struct leg *leg, const struct bridge *bridge, uint64_t began_us,
                 uint64_t up_us, const char *code, const char *message) {
    uint64_t now_us = ticker_now_us();
    if (!bridge || !up_us) {
        log_info(call_id, "call", "ended (%s) before media was up, after %" PRIu64 " ms: %s", code,
                 (now_us - began_us) / 1000, message);
        return;
    }
    struct leg_stats rtp;
    struct bridge_stats audio;
    leg->ops->stats(leg->impl, &rtp);
    bridge_stats(bridge, &audio);
    struct leg_media media = leg->ops->media(leg->impl, 0);
    log_info(call_id, "call",
             "ended (%s): %s; talked %" PRIu64 " ms, %s%s, received %" PRIu64 " packets (%" PRIu64
             " lost, %" PRIu64 " late, jitter %u us, concealed %" PRIu64 " ms), sent %" PRIu64
             " (peer lost %u/256, rtt %u us), agent frames"
             " %" PRIu64 " out (%" PRIu64 " dropped) %" PRIu64 " in, %" PRIu64 " underruns",
             code, message, (now_us - up_us) / 1000, codec_desc(media.codec)->rtp_name,
             audio.passthrough ? " passthrough" : "", rtp.rx_packets, rtp.rx_lost, rtp.rx_late, rtp.jitter_us,
             rtp.concealed_ms, rtp.tx_packets, rtp.remote_fraction_lost, rtp.rtt_us, audio.frames_to_agent,
             audio.frames_dropped, audio.frames_from_agent, audio.underruns);
}
