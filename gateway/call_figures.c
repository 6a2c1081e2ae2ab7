// SPDX-License-Identifier: Apache-2.0
#include "gateway/call_figures.h"

#include "gateway/core/ticker.h"

void call_figures_take(struct call_figures *out, const struct call_setup *setup, const struct leg *leg,
                       const struct bridge *bridge, uint64_t up_us) {
    *out = (struct call_figures){.setup = *setup, .up = bridge && up_us};
    if (!out->up)
        return;
    out->talked_ms = (ticker_now_us() - up_us) / 1000;
    out->media = leg->ops->media(leg->impl, 0);
    leg->ops->stats(leg->impl, &out->rtp);
    bridge_stats(bridge, &out->agent);
    mos_of_leg(&out->rtp, &out->media, &out->mos);
}

static double two_digits(double value) {
    return (double)(int)(value * 100 + 0.5) / 100;
}

void call_figures_json(const struct call_figures *figures, json_t *item) {
    const struct leg_stats *rtp = &figures->rtp;
    const struct bridge_stats *agent = &figures->agent;
    json_object_set_new(item, "agentMs", json_integer(figures->setup.agent_ms));
    if (!figures->up)
        return;
    json_t *media =
        json_pack("{s:s,s:i,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:f}", "codec",
                  codec_desc(figures->media.codec)->rtp_name, "ptimeMs", (int)figures->media.ptime_ms,
                  "passthrough", agent->passthrough, "talkedMs", (json_int_t)figures->talked_ms, "packetsIn",
                  (json_int_t)rtp->rx_packets, "packetsOut", (json_int_t)rtp->tx_packets, "lost",
                  (json_int_t)rtp->rx_lost, "late", (json_int_t)rtp->rx_late, "concealedMs",
                  (json_int_t)rtp->concealed_ms, "jitterMs", two_digits(rtp->jitter_us / 1000.0), "rttMs",
                  two_digits(rtp->rtt_us / 1000.0), "remoteLostPercent",
                  two_digits(rtp->remote_fraction_lost * 100.0 / 256), "mosHeard",
                  two_digits(figures->mos.heard), "mosSent", two_digits(figures->mos.sent));
    json_t *frames =
        json_pack("{s:I,s:I,s:I,s:I,s:I}", "framesOut", (json_int_t)agent->frames_to_agent, "framesIn",
                  (json_int_t)agent->frames_from_agent, "framesDropped", (json_int_t)agent->frames_dropped,
                  "underruns", (json_int_t)agent->underruns, "queuedMs", (json_int_t)agent->queued_ms);
    json_object_set_new(item, "media", media);
    json_object_set_new(item, "agent", frames);
}
