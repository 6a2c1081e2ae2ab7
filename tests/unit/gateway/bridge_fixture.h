// SPDX-License-Identifier: Apache-2.0
// The bridge between a leg and an agent that are counters, on a ticker that the test turns by hand.
#ifndef IQ_TESTS_BRIDGE_FIXTURE_H
#define IQ_TESTS_BRIDGE_FIXTURE_H

#include "gateway/bridge.h"
#include "media/tone.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TICKS_MAX = 4, START_US = 5000000 };

// ---- the clock: stands in for gateway/core/ticker.c

static struct {
    struct tick *ticks[TICKS_MAX];
    uint64_t due_us[TICKS_MAX];
    uint64_t now_us;
} world;

uint64_t ticker_now_us(void) {
    return world.now_us;
}

int ticker_add(struct ticker *ticker, struct tick *tick, uint32_t period_ms) {
    (void)ticker;
    if (period_ms < TICKER_MIN_MS || period_ms > TICKER_MAX_MS)
        return -EINVAL;
    tick->period_us = period_ms * 1000;
    for (size_t i = 0; i < TICKS_MAX; i++) {
        if (!world.ticks[i]) {
            world.ticks[i] = tick;
            world.due_us[i] = world.now_us + period_ms * 1000u;
            return 0;
        }
    }
    return -ENOMEM;
}

void ticker_remove(struct ticker *ticker, struct tick *tick) {
    (void)ticker;
    for (size_t i = 0; i < TICKS_MAX; i++) {
        if (world.ticks[i] == tick)
            world.ticks[i] = NULL;
    }
}

void ticker_shift(struct ticker *ticker, struct tick *tick, int32_t shift_us) {
    (void)ticker;
    for (size_t i = 0; i < TICKS_MAX; i++) {
        if (world.ticks[i] == tick)
            world.due_us[i] = (uint64_t)((int64_t)world.due_us[i] + shift_us);
    }
}

static uint64_t *due_of(const struct tick *tick) {
    for (size_t i = 0; i < TICKS_MAX; i++) {
        if (world.ticks[i] == tick)
            return &world.due_us[i];
    }
    return NULL;
}

bool ticker_hasten(struct ticker *ticker, struct tick *tick, uint64_t now_us, uint32_t within_us) {
    (void)ticker;
    uint64_t *due_us = due_of(tick);
    if (!due_us || *due_us - tick->wait_us > now_us + within_us)
        return false;
    uint64_t deadline_us = *due_us - tick->wait_us;
    *due_us = deadline_us + tick->period_us;
    tick->wait_us = 0;
    tick->on_tick(deadline_us, tick->arg);
    return true;
}

uint32_t ticker_behind_us(const struct ticker *ticker, uint64_t now_us) {
    (void)ticker;
    (void)now_us;
    return 0;
}

void ticker_wait(struct ticker *ticker, struct tick *tick, uint32_t wait_us) {
    (void)ticker;
    tick->wait_us = wait_us;
    *due_of(tick) -= tick->period_us - wait_us;
}

static void pass_ms(uint32_t ms) {
    for (uint64_t end_us = world.now_us + ms * 1000u; world.now_us < end_us; world.now_us += 1000) {
        for (size_t i = 0; i < TICKS_MAX; i++) {
            struct tick *tick = world.ticks[i];
            if (!tick || world.due_us[i] > world.now_us)
                continue;
            ticker_hasten(NULL, tick, world.now_us, 0);
        }
    }
}

// ---- the leg and the agent

struct world_call {
    struct bridge *bridge;
    struct leg_media media;
    struct tone tone;   // what the caller says
    bool payload_there; // read_payload has one
    uint8_t payload[8];
    size_t payload_len;
    uint64_t rx_packets;
    // heard by the leg
    uint64_t pcm_frames, silent_frames, payload_frames;
    uint64_t last_write_us, longest_gap_us; // by the deadlines
    uint64_t wrote_at_us;                   // by the clock
    int16_t *heard;
    size_t heard_samples, heard_cap;
    uint8_t last_payload[CODEC_MAX_PAYLOAD];
    size_t last_payload_len;
    // heard by the agent
    uint64_t agent_frames;
    uint8_t agent_frame[BUFSIZ];
    size_t agent_len;
    int agent_says; // what send_audio returns
    bool paused;
    unsigned pauses;
    bool free_in_send;
};

static struct leg_media leg_media_of(void *leg, uint32_t want_rate_hz) {
    struct world_call *call = leg;
    if (call->media.codec == CODEC_OPUS)
        call->media.pcm_rate_hz = codec_pcm_rate(CODEC_OPUS, want_rate_hz);
    return call->media;
}

static void leg_read_pcm(void *leg, int16_t *out, size_t samples, uint64_t now_us) {
    (void)now_us;
    tone_fill(&((struct world_call *)leg)->tone, out, samples);
}

static size_t leg_read_payload(void *leg, uint8_t *out, size_t cap, uint32_t frame_ms, uint64_t now_us) {
    struct world_call *call = leg;
    (void)cap;
    (void)frame_ms;
    (void)now_us;
    if (!call->payload_there)
        return 0;
    memcpy(out, call->payload, call->payload_len);
    return call->payload_len;
}

static void wrote(struct world_call *call, uint64_t now_us) {
    uint64_t gap_us = call->last_write_us ? now_us - call->last_write_us : 0;
    call->wrote_at_us = world.now_us;
    if (gap_us > call->longest_gap_us)
        call->longest_gap_us = gap_us;
    call->last_write_us = now_us;
}

static void leg_write_pcm(void *leg, const int16_t *pcm, size_t samples, bool silence, uint64_t now_us) {
    struct world_call *call = leg;
    assert_int_equal(samples, call->media.pcm_rate_hz / 1000 * call->media.ptime_ms);
    wrote(call, now_us);
    call->pcm_frames++;
    call->silent_frames += silence;
    if (call->heard_samples + samples <= call->heard_cap) {
        memcpy(call->heard + call->heard_samples, pcm, samples * sizeof *pcm);
        call->heard_samples += samples;
    }
}

static void leg_write_payload(void *leg, const uint8_t *payload, size_t len, uint32_t duration_ms,
                              uint64_t now_us) {
    struct world_call *call = leg;
    assert_int_equal(duration_ms, call->media.ptime_ms);
    assert_true(len > 0 && len <= sizeof call->last_payload);
    wrote(call, now_us);
    call->payload_frames++;
    memcpy(call->last_payload, payload, len);
    call->last_payload_len = len;
}

static void leg_stats_of(void *leg, struct leg_stats *out) {
    *out = (struct leg_stats){.rx_packets = ((struct world_call *)leg)->rx_packets};
}

static const struct leg_ops leg_ops = {.media = leg_media_of,
                                       .read_pcm = leg_read_pcm,
                                       .read_payload = leg_read_payload,
                                       .write_pcm = leg_write_pcm,
                                       .write_payload = leg_write_payload,
                                       .stats = leg_stats_of};

static int agent_send(const uint8_t *frame, size_t len, void *arg) {
    struct world_call *call = arg;
    call->agent_frames++;
    call->agent_len = len;
    assert_true(len <= sizeof call->agent_frame);
    memcpy(call->agent_frame, frame, len);
    if (call->free_in_send) {
        bridge_free(call->bridge);
        call->bridge = NULL;
    }
    return call->agent_says;
}

static void agent_paused(bool paused, void *arg) {
    struct world_call *call = arg;
    assert_true(call->paused != paused);
    call->paused = paused;
    call->pauses += paused;
}

static void begin(struct world_call *call, enum conf_encoding encoding, uint32_t rate_hz, uint32_t frame_ms) {
    memset(&world, 0, sizeof world);
    world.now_us = START_US;
    const struct bridge_config config = {.leg = {&leg_ops, call}, .format = {encoding, rate_hz, frame_ms}};
    const struct bridge_ops ops = {.send_audio = agent_send, .pause = agent_paused, .arg = call};
    tone_init(&call->tone, call->media.pcm_rate_hz, 500, 8000);
    assert_int_equal(bridge_new(&call->bridge, &config, &ops), 0);
}

static void both_up(struct world_call *call) {
    assert_int_equal(bridge_leg_up(call->bridge), 0);
    bridge_agent_up(call->bridge);
}

static void end(struct world_call *call) {
    bridge_free(call->bridge);
    free(call->heard);
    for (size_t i = 0; i < TICKS_MAX; i++)
        assert_null(world.ticks[i]);
}

#endif
