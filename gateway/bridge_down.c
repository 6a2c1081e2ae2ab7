// SPDX-License-Identifier: Apache-2.0
//
//   pacer ------------------------------------> leg write_payload   same codec; its silence when dry
//   pacer -> decode -> smooth -> [resample] --> leg write_pcm       otherwise; zeros or low noise when dry
//
// An Opus packet passes when it lasts ptime. The first that does not ends the passing until the leg's media
// change.
#include "gateway/bridge_impl.h"

#include "gateway/core/metrics.h"

#include <string.h>

enum { NOISE_AMPLITUDE = 12 }; // about -69 dBFS: heard as "the line is open"

static uint64_t ptime_ticks(const struct bridge *bridge) {
    return (uint64_t)bridge->media.ptime_ms * 48;
}

void bridge_heed_pacer(struct bridge *bridge) {
    struct bridge_down *down = &bridge->down;
    uint64_t underruns = pacer_underruns(down->pacer);
    if (underruns != down->underruns) {
        metric_add(METRIC_PACER_UNDERRUN, (int64_t)(underruns - down->underruns));
        down->underruns = underruns;
    }
    if (pacer_wants_pause(down->pacer) != down->paused) {
        down->paused = !down->paused;
        bridge->ops.pause(down->paused, bridge->ops.arg);
    }
}

// ---- transcoding

static size_t decode(struct bridge *bridge, const uint8_t *payload, size_t len, int16_t *pcm, size_t cap) {
    int samples = len ? codec_decode(bridge->down.decoder, payload, len, pcm, cap) : 0;
    return samples > 0 ? (size_t)samples : 0;
}

// Where the samples go on from after G.711 that was passed through, which costs nothing while it goes on.
static void end_passing(struct bridge *bridge) {
    struct bridge_down *down = &bridge->down;
    if (down->passed)
        decode(bridge, &down->last_code, 1, &down->edge.last, 1);
    down->passed = false;
}

static size_t fill_from_stream(struct bridge *bridge, int16_t *pcm, size_t samples, uint64_t now_us) {
    uint8_t bytes[BRIDGE_MAX_FRAME];
    uint32_t ms = bridge->media.ptime_ms;
    size_t len = bridge->codec == CODEC_L16 ? samples * 2 : (size_t)ms * 8;
    size_t got = pacer_pull(bridge->down.pacer, bytes, len, now_us);
    return decode(bridge, bytes, got, pcm, samples);
}

static void decode_packet(struct bridge *bridge, const uint8_t *packet, size_t len, uint32_t ticks) {
    struct bridge_down *down = &bridge->down;
    int16_t *to = down->left + down->left_samples;
    size_t got = decode(bridge, packet, len, to, CODEC_MAX_SAMPLES);
    if (!got) { // a packet of nonsense: its time passes all the same
        got = (size_t)ticks * bridge->rate_hz / 48000;
        codec_conceal(down->decoder, NULL, 0, to, got);
    }
    down->left_samples += got;
}

static size_t fill_from_packets(struct bridge *bridge, int16_t *pcm, size_t samples, uint64_t now_us) {
    struct bridge_down *down = &bridge->down;
    uint8_t packet[CODEC_MAX_PAYLOAD];
    while (down->left_samples < samples) {
        uint32_t ticks = 0;
        size_t len = pacer_pull_packet(down->pacer, packet, &ticks, now_us);
        if (!len)
            break;
        decode_packet(bridge, packet, len, ticks);
    }
    size_t n = down->left_samples < samples ? down->left_samples : samples;
    memcpy(pcm, down->left, n * sizeof *pcm);
    down->left_samples -= n;
    memmove(down->left, down->left + n, down->left_samples * sizeof *pcm);
    return n;
}

static void fill_quiet(struct bridge *bridge, int16_t *pcm, size_t samples) {
    if (!bridge->config.comfort_noise) {
        memset(pcm, 0, samples * sizeof *pcm);
        return;
    }
    uint32_t noise = bridge->down.noise;
    for (size_t i = 0; i < samples; i++) {
        noise = noise * 1664525u + 1013904223u;
        pcm[i] = (int16_t)((int32_t)(noise >> 16) % (2 * NOISE_AMPLITUDE + 1) - NOISE_AMPLITUDE);
    }
    bridge->down.noise = noise;
}

static void write_pcm(struct bridge *bridge, uint64_t now_us) {
    struct bridge_down *down = &bridge->down;
    const struct leg *leg = &bridge->config.leg;
    int16_t agent[BRIDGE_MAX_SAMPLES], out[BRIDGE_MAX_SAMPLES];
    size_t samples = bridge->rate_hz / 1000 * bridge->media.ptime_ms;
    size_t out_samples = bridge->media.pcm_rate_hz / 1000 * bridge->media.ptime_ms;
    size_t valid = bridge->codec == CODEC_OPUS ? fill_from_packets(bridge, agent, samples, now_us)
                                               : fill_from_stream(bridge, agent, samples, now_us);
    const int16_t *pcm = out;
    end_passing(bridge);
    if (valid || down->flushing) {
        pacer_smooth(&down->edge, agent, samples, valid, bridge->rate_hz);
        uint64_t begin_ns = down->resampler ? stage_begin(HISTOGRAM_STAGE_RESAMPLE) : 0;
        if (down->resampler)
            resampler_run(down->resampler, agent, samples, out, BRIDGE_MAX_SAMPLES);
        else
            pcm = agent;
        stage_end(HISTOGRAM_STAGE_RESAMPLE, begin_ns);
        down->flushing = valid > 0;
    } else {
        fill_quiet(bridge, out, out_samples);
    }
    down->frames += valid > 0;
    leg->ops->write_pcm(leg->impl, pcm, out_samples, !valid, now_us);
}

// ---- passing payloads

static size_t silence_after(struct bridge *bridge, uint8_t *payload, size_t got) {
    int len = codec_silence_payload(bridge->codec, bridge->media.ptime_ms, payload + got, CODEC_MAX_PAYLOAD);
    return len > 0 ? (size_t)len : 0;
}

// Where G.711 speech breaks off or sets in, it is decoded, smoothed and encoded again (which is exact for all
// other samples). G.722 has a memory: its decoder in the browser smooths by itself.
static void smooth_g711(struct bridge *bridge, uint8_t *payload, size_t whole, size_t got) {
    struct bridge_down *down = &bridge->down;
    int16_t pcm[BRIDGE_MAX_SAMPLES];
    bool edge = got ? got < whole || down->edge.cut : down->passed || down->edge.last != 0;
    if (bridge->codec == CODEC_G722)
        return;
    if (!edge) {
        down->passed = got > 0;
        down->last_code = got ? payload[got - 1] : 0;
        return;
    }
    end_passing(bridge);
    decode(bridge, payload, got, pcm, whole);
    pacer_smooth(&down->edge, pcm, whole, got, bridge->rate_hz);
    codec_encode(bridge->up.encoder, pcm, whole, payload, whole); // has no memory of the other direction
}

// The end of a stream is shorter than a frame: the rest is silence.
static void pass_stream(struct bridge *bridge, uint64_t now_us) {
    const struct leg *leg = &bridge->config.leg;
    uint8_t payload[2 * CODEC_MAX_PAYLOAD];
    size_t whole = (size_t)bridge->media.ptime_ms * 8;
    size_t got = pacer_pull(bridge->down.pacer, payload, whole, now_us);
    if (got < whole)
        silence_after(bridge, payload, got);
    smooth_g711(bridge, payload, whole, got);
    bridge->down.frames += got > 0;
    leg->ops->write_payload(leg->impl, payload, whole, bridge->media.ptime_ms, now_us);
}

static void pass_packet(struct bridge *bridge, uint64_t now_us) {
    const struct leg *leg = &bridge->config.leg;
    struct bridge_down *down = &bridge->down;
    uint8_t payload[CODEC_MAX_PAYLOAD];
    uint32_t ticks = 0;
    size_t len = pacer_pull_packet(down->pacer, payload, &ticks, now_us);
    if (len && ticks != ptime_ticks(bridge)) {
        down->passthrough = false;
        decode_packet(bridge, payload, len, ticks);
        write_pcm(bridge, now_us);
        return;
    }
    down->frames += len > 0;
    if (!len)
        len = silence_after(bridge, payload, 0);
    leg->ops->write_payload(leg->impl, payload, len, bridge->media.ptime_ms, now_us);
}

bool bridge_down_waits(struct bridge *bridge, uint64_t now_us) {
    struct bridge_down *down = &bridge->down;
    uint32_t wait_us = down->waited_us == now_us ? 0 : pacer_patience_us(down->pacer);
    if (!wait_us)
        return false;
    down->waited_us = now_us;
    ticker_wait(bridge->config.ticker, &down->clock, wait_us);
    return true;
}

int32_t bridge_down_run(struct bridge *bridge, uint64_t now_us) {
    if (!bridge->down.passthrough)
        write_pcm(bridge, now_us);
    else if (bridge->codec == CODEC_OPUS)
        pass_packet(bridge, now_us);
    else
        pass_stream(bridge, now_us);
    if (bridge->freed)
        return 0;
    bridge_heed_pacer(bridge);
    int64_t late_us;
    int32_t shift_us = pacer_late(bridge->down.pacer, &late_us) ? bridge_slew(late_us) : 0;
    pacer_shifted(bridge->down.pacer, shift_us);
    return shift_us;
}
