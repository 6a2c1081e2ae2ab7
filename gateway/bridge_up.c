// SPDX-License-Identifier: Apache-2.0
//
//   leg read_payload ------------------------> agent   same codec: the payload, or one that says "lost"
//   leg read_pcm -> [resample] -> encode ----> agent   otherwise
//
// Whether payloads can pass shows only when they come. The rule: MISSING_MAX frames in a row without one,
// while the leg received at least half as many packets, means that the browser's packets do not last
// frame_ms; from then on (until the leg's media change) this direction is transcoded.
#include "gateway/bridge_impl.h"
#include "gateway/core/metrics.h"

enum { MISSING_MAX = 25 };

static uint64_t packets_of(const struct leg *leg) {
    struct leg_stats stats = {0};
    leg->ops->stats(leg->impl, &stats);
    return stats.rx_packets;
}

static void count_missing(struct bridge *bridge) {
    struct bridge_up *up = &bridge->up;
    if (up->missing++ == 0)
        up->packets_then = packets_of(&bridge->config.leg);
    if (up->missing < MISSING_MAX)
        return;
    up->missing = 0;
    if (packets_of(&bridge->config.leg) - up->packets_then >= MISSING_MAX / 2) {
        up->passthrough = false;
    }
}

static size_t lost_payload(struct bridge *bridge, uint8_t *out) {
    struct bridge_up *up = &bridge->up;
    if (bridge->codec != CODEC_OPUS) {
        int len = codec_silence_payload(bridge->codec, bridge->config.format.frame_ms, out, BRIDGE_MAX_FRAME);
        return len > 0 ? (size_t)len : 0;
    }
    for (size_t i = 0; i < up->lost_len; i++)
        out[i] = up->lost[i];
    return up->lost_len;
}

static size_t pass_frame(struct bridge *bridge, uint8_t *out, uint64_t now_us) {
    struct bridge_up *up = &bridge->up;
    const struct leg *leg = &bridge->config.leg;
    size_t len =
        leg->ops->read_payload(leg->impl, out, CODEC_MAX_PAYLOAD, bridge->config.format.frame_ms, now_us);
    if (!len) {
        count_missing(bridge);
        return lost_payload(bridge, out);
    }
    up->missing = 0;
    if (bridge->codec == CODEC_OPUS) {
        size_t lost_len = bridge_lost_opus(out, len, up->lost);
        up->lost_len = lost_len ? lost_len : bridge_first_lost_opus(bridge->config.format.frame_ms, up->lost);
    }
    return len;
}

static void heed_complexity(struct bridge *bridge) {
    const unsigned *complexity = bridge->config.complexity;
    if (!complexity || *complexity == bridge->up.complexity)
        return;
    bridge->up.complexity = *complexity;
    codec_encoder_tune(bridge->up.encoder, 0, *complexity); // a WebSocket loses nothing
}

static size_t encode_frame(struct bridge *bridge, uint8_t *out, uint64_t now_us) {
    int16_t heard[BRIDGE_MAX_SAMPLES], resampled[BRIDGE_MAX_SAMPLES];
    const int16_t *pcm = heard;
    const struct leg *leg = &bridge->config.leg;
    uint32_t frame_ms = bridge->config.format.frame_ms;
    size_t samples = bridge->media.pcm_rate_hz / 1000 * frame_ms;
    leg->ops->read_pcm(leg->impl, heard, samples, now_us);
    if (bridge->up.resampler) {
        uint64_t begin_ns = stage_begin(HISTOGRAM_STAGE_RESAMPLE);
        int got = resampler_run(bridge->up.resampler, heard, samples, resampled, BRIDGE_MAX_SAMPLES);
        stage_end(HISTOGRAM_STAGE_RESAMPLE, begin_ns);
        samples = got > 0 ? (size_t)got : 0;
        pcm = resampled;
    }
    heed_complexity(bridge);
    int len = codec_encode(bridge->up.encoder, pcm, samples, out, BRIDGE_MAX_FRAME);
    return len > 0 ? (size_t)len : 0;
}

// The sender's packets have a phase of their own. Reading right when the jitter buffer holds the next one ripe
// saves the half frame that a packet would wait on average. Where packets come at a target's distance, another comes
// at that moment: the deadline lies a little behind it, so that it is the packet that sets off the frame.
//
// There are bounds to that, or the agent would get frames too many or too few. What else there is too much of, as when
// the sender's clock is fast, the jitter buffer takes out of the sound.
static int32_t toward_packets(struct bridge *bridge) {
    const struct leg *leg = &bridge->config.leg;
    int64_t late_us;
    if (!leg->ops->read_late || !leg->ops->read_late(leg->impl, &late_us))
        return 0;
    int32_t shift_us = bridge_slew(late_us - BRIDGE_UP_BEHIND_US);
    int32_t shifted_us = bridge->up.shifted_us + shift_us;
    if (shifted_us < -BRIDGE_UP_EARLIER_US || shifted_us > BRIDGE_UP_LATER_US)
        return 0;
    bridge->up.shifted_us = shifted_us;
    return shift_us;
}

int32_t bridge_up_run(struct bridge *bridge, uint64_t now_us) {
    uint8_t frame[BRIDGE_MAX_FRAME];
    size_t len =
        bridge->up.passthrough ? pass_frame(bridge, frame, now_us) : encode_frame(bridge, frame, now_us);
    if (bridge->freed)
        return 0;
    if (bridge->ops.send_audio(frame, len, bridge->ops.arg) < 0)
        bridge->up.dropped++;
    else
        bridge->up.frames++;
    return bridge->freed ? 0 : toward_packets(bridge);
}
