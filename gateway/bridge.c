// SPDX-License-Identifier: Apache-2.0
#include "gateway/bridge.h"

#include "gateway/bridge_impl.h"
#include "gateway/core/err.h"

#include <stdlib.h>

static enum codec_id codec_of(enum conf_encoding encoding) {
    static const enum codec_id codecs[] = {[CONF_PCM] = CODEC_L16,
                                           [CONF_MULAW] = CODEC_PCMU,
                                           [CONF_ALAW] = CODEC_PCMA,
                                           [CONF_G722] = CODEC_G722,
                                           [CONF_OPUS] = CODEC_OPUS};
    return codecs[encoding];
}

// ---- clocks

static void bridge_delete(struct bridge *bridge) {
    codec_encoder_free(bridge->up.encoder);
    codec_decoder_free(bridge->down.decoder);
    resampler_free(bridge->up.resampler);
    resampler_free(bridge->down.resampler);
    pacer_free(bridge->down.pacer);
    free(bridge->down.left);
    free(bridge);
}

static void run(struct bridge *bridge, struct tick *clock, uint64_t deadline_us,
                int32_t (*step)(struct bridge *bridge, uint64_t now_us)) {
    bridge->in_tick = true;
    int32_t shift_us = step(bridge, deadline_us);
    bridge->in_tick = false;
    if (bridge->freed)
        bridge_delete(bridge);
    else
        ticker_shift(bridge->config.ticker, clock, shift_us);
}

int32_t bridge_slew(int64_t late_us) {
    if (late_us >= -BRIDGE_IN_PLACE_US && late_us <= BRIDGE_IN_PLACE_US)
        return 0;
    if (late_us > BRIDGE_SLEW_US)
        return -BRIDGE_SLEW_US;
    return late_us < -BRIDGE_SLEW_US ? BRIDGE_SLEW_US : (int32_t)-late_us;
}

static void on_up_tick(uint64_t deadline_us, void *arg) {
    struct bridge *bridge = arg;
    run(bridge, &bridge->up.clock, deadline_us, bridge_up_run);
}

static void on_down_tick(uint64_t deadline_us, void *arg) {
    struct bridge *bridge = arg;
    if (!bridge_down_waits(bridge, deadline_us))
        run(bridge, &bridge->down.clock, deadline_us, bridge_down_run);
}

static void clock_stop(struct bridge *bridge, struct tick *clock) {
    ticker_remove(bridge->config.ticker, clock);
}

static int clock_start(struct bridge *bridge, struct tick *clock, uint32_t period_ms,
                       void (*on_tick)(uint64_t deadline_us, void *arg)) {
    clock_stop(bridge, clock);
    *clock = (struct tick){.on_tick = on_tick, .arg = bridge};
    return ticker_add(bridge->config.ticker, clock, period_ms);
}

// ---- making and following the media

static bool format_ok(const struct agent_format *format) {
    bool frame =
        format->frame_ms == 10 || format->frame_ms == 20 || format->frame_ms == 40 || format->frame_ms == 60;
    bool rate = format->rate_hz == 8000 || format->rate_hz == 16000 || format->rate_hz == 24000 ||
                format->rate_hz == 48000;
    return frame && rate && (unsigned)format->encoding <= CONF_OPUS;
}

int bridge_new(struct bridge **out, const struct bridge_config *config, const struct bridge_ops *ops) {
    if (!format_ok(&config->format))
        return -EINVAL;
    struct bridge *bridge = calloc(1, sizeof *bridge);
    if (!bridge)
        return -ENOMEM;
    bridge->config = *config;
    bridge->ops = *ops;
    bridge->codec = codec_of(config->format.encoding);
    bridge->rate_hz = codec_pcm_rate(bridge->codec, config->format.rate_hz);
    bridge->up.complexity = BRIDGE_COMPLEXITY;
    bridge->up.lost_len = bridge_first_lost_opus(config->format.frame_ms, bridge->up.lost);
    struct pacer_config pacer = {.codec = bridge->codec, .rate_hz = bridge->rate_hz, .frame_ms = 20};
    int err = pacer_new(&bridge->down.pacer, &pacer);
    if (!err)
        err = codec_encoder_new(&bridge->up.encoder, bridge->codec, bridge->rate_hz);
    if (!err)
        err = codec_decoder_new(&bridge->down.decoder, bridge->codec, bridge->rate_hz);
    if (!err && bridge->codec == CODEC_OPUS) {
        bridge->down.left = malloc((BRIDGE_MAX_SAMPLES + CODEC_MAX_SAMPLES) * sizeof(int16_t));
        err = bridge->down.left ? 0 : -ENOMEM;
    }
    if (err) {
        bridge_delete(bridge);
        return err;
    }
    *out = bridge;
    return 0;
}

void bridge_free(struct bridge *bridge) {
    if (!bridge)
        return;
    clock_stop(bridge, &bridge->up.clock);
    clock_stop(bridge, &bridge->down.clock);
    bridge->freed = true;
    if (!bridge->in_tick)
        bridge_delete(bridge);
}

static int resamplers_for(uint32_t rate_hz, uint32_t leg_rate_hz, struct resampler **up,
                          struct resampler **down) {
    *up = *down = NULL;
    if (rate_hz == leg_rate_hz)
        return 0;
    int err = resampler_new(up, leg_rate_hz, rate_hz);
    if (!err)
        err = resampler_new(down, rate_hz, leg_rate_hz);
    if (err)
        resampler_free(*up);
    return err;
}

static int take_media(struct bridge *bridge) {
    struct resampler *up, *down;
    const struct leg *leg = &bridge->config.leg;
    struct leg_media media = leg->ops->media(leg->impl, bridge->rate_hz);
    if (!media.ptime_ms || media.ptime_ms > 60 || media.pcm_rate_hz > 48000 || media.pcm_rate_hz < 8000)
        return -EINVAL;
    int err = resamplers_for(bridge->rate_hz, media.pcm_rate_hz, &up, &down);
    if (err)
        return err;
    resampler_free(bridge->up.resampler);
    resampler_free(bridge->down.resampler);
    bridge->up.resampler = up;
    bridge->down.resampler = down;
    bridge->media = media;
    bridge->up.passthrough = bridge->down.passthrough = media.codec == bridge->codec;
    bridge->up.missing = 0;
    if (bridge->down.passthrough) // what was decoded for the old codec has no way to this one
        bridge->down.left_samples = 0;
    pacer_set_frame_ms(bridge->down.pacer, media.ptime_ms);
    return 0;
}

static int start_up(struct bridge *bridge) {
    if (!bridge->leg_up || !bridge->agent_up || bridge->up.clock.period_us)
        return 0;
    return clock_start(bridge, &bridge->up.clock, bridge->config.format.frame_ms, on_up_tick);
}

int bridge_leg_up(struct bridge *bridge) {
    int err = take_media(bridge);
    if (!err)
        err = clock_start(bridge, &bridge->down.clock, bridge->media.ptime_ms, on_down_tick);
    if (err)
        return err;
    bridge->leg_up = true;
    return start_up(bridge);
}

int bridge_leg_media(struct bridge *bridge) {
    uint32_t ptime_ms = bridge->media.ptime_ms;
    int err = take_media(bridge);
    if (err || !bridge->leg_up || ptime_ms == bridge->media.ptime_ms)
        return err;
    return clock_start(bridge, &bridge->down.clock, bridge->media.ptime_ms, on_down_tick);
}

void bridge_agent_up(struct bridge *bridge) {
    bridge->agent_up = true;
    start_up(bridge); // cannot fail: format_ok knows the ticker's limits
}

void bridge_agent_audio(struct bridge *bridge, const uint8_t *data, size_t len, bool message_end) {
    uint64_t now_us = ticker_now_us();
    pacer_unsure(bridge->down.pacer, ticker_behind_us(bridge->config.ticker, now_us));
    pacer_put(bridge->down.pacer, data, len, message_end, now_us); // counts what it drops
    bridge_heed_pacer(bridge);
    if (pacer_ready(bridge->down.pacer))
        ticker_hasten(bridge->config.ticker, &bridge->down.clock, now_us, BRIDGE_DOWN_EARLY_US);
}

void bridge_leg_audio(struct bridge *bridge) {
    ticker_hasten(bridge->config.ticker, &bridge->up.clock, ticker_now_us(), BRIDGE_UP_EARLY_US);
}

void bridge_stats(const struct bridge *bridge, struct bridge_stats *out) {
    struct pacer_stats pacer;
    pacer_stats(bridge->down.pacer, &pacer);
    *out = (struct bridge_stats){.frames_to_agent = bridge->up.frames,
                                 .frames_dropped = bridge->up.dropped,
                                 .bytes_from_agent = pacer.bytes_in,
                                 .frames_from_agent = bridge->down.frames,
                                 .underruns = pacer.underruns,
                                 .queued_ms = pacer.queued_ms,
                                 .passthrough =
                                     bridge->leg_up && bridge->up.passthrough && bridge->down.passthrough};
}
