// SPDX-License-Identifier: Apache-2.0
// The bridge between a leg and an agent that are counters, on a ticker that the test turns by hand.
#include "gateway/bridge.h"
#include "gateway/core/err.h"
#include "media/tone.h"

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

static struct bridge_stats stats_of(const struct world_call *call) {
    struct bridge_stats stats;
    bridge_stats(call->bridge, &stats);
    return stats;
}

static void end(struct world_call *call) {
    bridge_free(call->bridge);
    free(call->heard);
    for (size_t i = 0; i < TICKS_MAX; i++)
        assert_null(world.ticks[i]);
}

static void hear(struct world_call *call, uint32_t ms) {
    call->heard_cap = (size_t)48 * ms;
    call->heard = calloc(call->heard_cap, sizeof *call->heard);
}

// ---- toward the agent

static void test_one_frame_each_frame_ms(void **state) {
    (void)state;
    static const enum conf_encoding encodings[] = {CONF_PCM, CONF_MULAW, CONF_ALAW, CONF_G722, CONF_OPUS};
    static const uint32_t rates[] = {8000, 16000, 24000, 48000}, frames_ms[] = {10, 20, 40, 60};
    for (size_t i = 0; i < 5 * 4 * 4; i++) {
        enum conf_encoding encoding = encodings[i / 16];
        uint32_t rate_hz = rates[i / 4 % 4], frame_ms = frames_ms[i % 4];
        struct world_call call = {.media = {CODEC_PCMU, 20, 8000}};
        begin(&call, encoding, rate_hz, frame_ms);
        pass_ms(500);
        assert_int_equal(call.agent_frames, 0); // nothing before both sides are up
        both_up(&call);
        pass_ms(1201);
        assert_int_equal(call.pcm_frames + call.payload_frames, 60);
        assert_int_equal(call.agent_frames, 1200 / frame_ms);
        size_t want = encoding == CONF_PCM ? rate_hz / 1000 * frame_ms * 2 : 8 * frame_ms;
        if (encoding != CONF_OPUS)
            assert_int_equal(call.agent_len, want);
        else
            assert_int_equal(codec_payload_ticks(CODEC_OPUS, call.agent_frame, call.agent_len),
                             48 * frame_ms);
        end(&call);
    }
}

static void test_the_callers_tone_arrives(void **state) {
    (void)state;
    static const uint32_t rates[] = {8000, 16000, 24000, 48000};
    for (size_t i = 0; i < 4; i++) {
        struct world_call call = {.media = {CODEC_OPUS, 20, rates[i == 0 ? 3 : 0]}};
        begin(&call, CONF_PCM, rates[i], 20);
        call.media.codec = i == 0 ? CODEC_G722 : CODEC_PCMA; // a rate of its own: the bridge must resample
        call.media.pcm_rate_hz = i == 0 ? 16000 : 8000;
        tone_init(&call.tone, call.media.pcm_rate_hz, 500, 8000);
        both_up(&call);
        pass_ms(201);
        int16_t pcm[960];
        size_t samples = call.agent_len / 2;
        memcpy(pcm, call.agent_frame, call.agent_len);
        assert_true(tone_power(pcm, samples, rates[i], 500) > 0.9);
        end(&call);
    }
}

static void test_frames_the_agent_does_not_take(void **state) {
    (void)state;
    struct world_call call = {.media = {CODEC_PCMU, 20, 8000}, .agent_says = -EAGAIN};
    begin(&call, CONF_PCM, 16000, 20);
    both_up(&call);
    pass_ms(101);
    assert_int_equal(call.agent_frames, 5);
    assert_int_equal(stats_of(&call).frames_dropped, 5);
    assert_int_equal(stats_of(&call).frames_to_agent, 0);
    end(&call);
}

static void test_opus_passes_and_losses_are_filled(void **state) {
    (void)state;
    static const struct {
        uint8_t payload[8], lost[2];
        size_t len, lost_len;
    } cases[] = {{{0x78, 1, 2}, {0x78}, 3, 1},              // one frame of 20 ms
                 {{0x71, 1, 2}, {0x71}, 3, 1},              // two equal ones of 10 ms
                 {{0x72, 1, 1, 2}, {0x71}, 4, 1},           // two others
                 {{0x63, 0xc4, 9, 9}, {0x63, 0x04}, 4, 2}}; // four, of variable rate
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world_call call = {
            .media = {CODEC_OPUS, 20, 48000}, .payload_there = true, .payload_len = cases[i].len};
        memcpy(call.payload, cases[i].payload, sizeof call.payload);
        begin(&call, CONF_OPUS, 48000, 20);
        both_up(&call);
        pass_ms(101);
        assert_true(stats_of(&call).passthrough);
        assert_int_equal(call.agent_frames, 5);
        assert_int_equal(call.agent_len, cases[i].len);
        assert_memory_equal(call.agent_frame, cases[i].payload, cases[i].len);
        call.payload_there = false;
        pass_ms(100);
        assert_int_equal(call.agent_frames, 10);
        assert_int_equal(call.agent_len, cases[i].lost_len);
        assert_memory_equal(call.agent_frame, cases[i].lost, cases[i].lost_len);
        pass_ms(2000); // a browser that sends nothing (DTX) changes nothing
        assert_true(stats_of(&call).passthrough);
        assert_int_equal(call.agent_frames, 110);
        end(&call);
    }
}

static void test_lost_packets_of_every_length(void **state) {
    (void)state;
    static const uint32_t frames_ms[] = {10, 20, 40, 60};
    for (size_t i = 0; i < 4; i++) {
        struct world_call call = {.media = {CODEC_OPUS, 20, 48000}};
        begin(&call, CONF_OPUS, 48000, frames_ms[i]);
        both_up(&call);
        pass_ms(121);
        assert_int_equal(codec_payload_ticks(CODEC_OPUS, call.agent_frame, call.agent_len),
                         48 * frames_ms[i]);
        end(&call);
    }
}

static void test_g711_passes(void **state) {
    (void)state;
    struct world_call call = {.media = {CODEC_PCMU, 20, 8000}, .payload_there = true, .payload_len = 8};
    begin(&call, CONF_MULAW, 8000, 20);
    both_up(&call);
    uint8_t speech[400];
    memset(speech, 0x55, sizeof speech);
    bridge_agent_audio(call.bridge, speech, sizeof speech, true);
    pass_ms(101);
    assert_int_equal(call.payload_frames, 5);
    assert_int_equal(call.pcm_frames, 0);
    assert_int_equal(call.last_payload_len, 160);
    assert_int_equal(stats_of(&call).frames_from_agent, 3);
    assert_int_equal(call.last_payload[0], call.last_payload[159]); // silence by now
    assert_int_not_equal(call.last_payload[0], 0x55);
    call.payload_there = false;
    pass_ms(20);
    assert_int_equal(call.agent_len, 160);
    end(&call);
}

// The browser's packets come and do not last 20 ms: transcoding takes over, and no frame is missing
// meanwhile.
static void test_falls_back_to_transcoding(void **state) {
    (void)state;
    struct world_call call = {.media = {CODEC_OPUS, 20, 48000}};
    begin(&call, CONF_OPUS, 16000, 20);
    both_up(&call);
    for (int i = 0; i < 100; i++) {
        pass_ms(20);
        call.rx_packets++;
    }
    pass_ms(1);
    assert_false(stats_of(&call).passthrough);
    assert_int_equal(call.agent_frames, 100);
    assert_true(call.agent_len > 2); // a real packet, of the tone
    assert_int_equal(bridge_leg_media(call.bridge), 0);
    assert_true(stats_of(&call).passthrough); // another chance after a renegotiation
    end(&call);
}

// ---- toward the leg

static void test_leg_never_starves(void **state) {
    (void)state;
    struct world_call call = {.media = {CODEC_PCMU, 20, 8000}};
    begin(&call, CONF_PCM, 16000, 20);
    assert_int_equal(bridge_leg_up(call.bridge), 0);
    pass_ms(1001); // no agent yet
    assert_int_equal(call.pcm_frames, 50);
    assert_int_equal(call.silent_frames, 50);
    bridge_agent_up(call.bridge);
    uint8_t chunk[961] = {0};
    for (unsigned i = 0; i < 100; i++) { // an agent of 30 ms and odd bytes
        bridge_agent_audio(call.bridge, chunk, i & 1 ? 959 : 961, true);
        pass_ms(30);
    }
    // A frame more while the deadline finds its place behind the agent's chunks.
    assert_in_range(call.pcm_frames, 200, 201);
    assert_in_range(call.longest_gap_us, 20000, 21000);
    assert_int_equal(stats_of(&call).underruns, 0);
    assert_in_range(stats_of(&call).frames_from_agent, 145, 151);
    end(&call);
}

static void test_other_ptimes(void **state) {
    (void)state;
    static const uint32_t ptimes[] = {10, 20, 30, 40, 60};
    for (size_t i = 0; i < 5; i++) {
        struct world_call call = {.media = {CODEC_PCMU, ptimes[i], 8000}};
        begin(&call, CONF_PCM, 24000, 20);
        both_up(&call);
        pass_ms(601);
        assert_int_equal(call.pcm_frames, 600 / ptimes[i]);
        assert_int_equal(call.longest_gap_us, ptimes[i] * 1000);
        call.media.ptime_ms = 20;
        assert_int_equal(bridge_leg_media(call.bridge), 0);
        end(&call);
    }
}

// The agent's 30 s come at once, before the leg is up; they play without a gap and bit by bit.
static void test_burst_plays_exactly(void **state) {
    (void)state;
    struct world_call call = {.media = {CODEC_L16, 20, 16000}};
    size_t total = 30 * 16000;
    int16_t *speech = malloc(total * sizeof *speech);
    struct tone tone;
    tone_init(&tone, 16000, 440, 9000);
    tone_fill(&tone, speech, total);
    begin(&call, CONF_PCM, 16000, 20);
    call.media.codec = CODEC_OPUS;
    hear(&call, 31000);
    bridge_agent_audio(call.bridge, (const uint8_t *)speech, total * 2, true);
    assert_true(call.paused);
    pass_ms(300);
    both_up(&call);
    pass_ms(30501);
    assert_false(call.paused);
    assert_int_equal(call.pauses, 1);
    assert_int_equal(stats_of(&call).frames_from_agent, 1500);
    assert_int_equal(stats_of(&call).underruns, 0);
    assert_memory_equal(call.heard, speech, total * sizeof *speech);
    assert_int_equal(call.longest_gap_us, 20000);
    free(speech);
    end(&call);
}

// G.711 passes as it is, and yet speech that breaks off in the middle of a wave, and goes on in the middle of
// one, does not click.
static void test_g711_breaks_off_without_a_click(void **state) {
    (void)state;
    static const enum conf_encoding encodings[] = {CONF_MULAW, CONF_ALAW};
    for (size_t k = 0; k < 2; k++) {
        enum codec_id codec = k ? CODEC_PCMA : CODEC_PCMU;
        struct world_call call = {.media = {codec, 20, 8000}};
        struct codec_encoder *encoder;
        struct codec_decoder *decoder;
        struct tone tone;
        int16_t pcm[800], heard[160], last = 0;
        uint8_t speech[800];
        int steepest = 0, loudest = 0;
        assert_int_equal(codec_encoder_new(&encoder, codec, 8000), 0);
        assert_int_equal(codec_decoder_new(&decoder, codec, 8000), 0);
        begin(&call, encodings[k], 8000, 20);
        tone_init(&tone, 8000, 100, 16000); // at most 1257 from one sample to the next
        both_up(&call);
        for (unsigned i = 0; i < 60; i++) {
            if (i % 12 == 0) { // 97.5 ms, nearly ten waves
                tone_fill(&tone, pcm, 780);
                int len = codec_encode(encoder, pcm, 780, speech, sizeof speech);
                bridge_agent_audio(call.bridge, speech, (size_t)len, true);
            }
            pass_ms(20);
            if (!call.payload_frames)
                continue;
            assert_int_equal(codec_decode(decoder, call.last_payload, call.last_payload_len, heard, 160),
                             160);
            for (size_t s = 0; s < 160; last = heard[s++]) {
                steepest = abs(heard[s] - last) > steepest ? abs(heard[s] - last) : steepest;
                loudest = abs(heard[s]) > loudest ? abs(heard[s]) : loudest;
            }
        }
        assert_true(stats_of(&call).passthrough);
        assert_int_equal(stats_of(&call).underruns, 4);
        assert_true(loudest > 15000);
        assert_true(steepest < 2500);
        codec_encoder_free(encoder);
        codec_decoder_free(decoder);
        end(&call);
    }
}

static void test_opus_from_the_agent(void **state) {
    (void)state;
    struct world_call call = {.media = {CODEC_OPUS, 20, 48000}};
    uint8_t packet[CODEC_MAX_PAYLOAD];
    int16_t pcm[2880];
    struct codec_encoder *encoder;
    struct tone tone;
    assert_int_equal(codec_encoder_new(&encoder, CODEC_OPUS, 48000), 0);
    tone_init(&tone, 48000, 440, 9000);
    begin(&call, CONF_OPUS, 48000, 20);
    both_up(&call);
    for (unsigned i = 0; i < 50; i++) {
        tone_fill(&tone, pcm, 960);
        int len = codec_encode(encoder, pcm, 960, packet, sizeof packet);
        assert_true(len > 0);
        bridge_agent_audio(call.bridge, packet, (size_t)len, true);
    }
    pass_ms(1201);
    assert_int_equal(call.payload_frames, 60);
    assert_int_equal(stats_of(&call).frames_from_agent, 50);
    assert_int_equal(codec_payload_ticks(CODEC_OPUS, call.last_payload, call.last_payload_len), 960);
    tone_fill(&tone, pcm, 2880);
    int len = codec_encode(encoder, pcm, 2880, packet, sizeof packet); // 60 ms: cannot pass
    bridge_agent_audio(call.bridge, packet, (size_t)len, true);
    bridge_agent_audio(call.bridge, (const uint8_t *)"\xff\xff", 2, true); // none at all
    pass_ms(200);
    assert_int_equal(call.payload_frames + call.pcm_frames, 70);
    assert_int_equal(stats_of(&call).frames_from_agent, 53);
    assert_int_equal(call.longest_gap_us, 20000);
    codec_encoder_free(encoder);
    end(&call);
}

// Packets of 120 ms while the leg's codec changes and changes back: what was decoded for the old codec is
// neither added to nor heard later.
static void test_codec_changes_within_a_long_packet(void **state) {
    (void)state;
    static const uint8_t long_packet[] = {0x5b, 0x02}; // two frames of 60 ms, without audio
    struct world_call call = {.media = {CODEC_PCMU, 20, 8000}};
    begin(&call, CONF_OPUS, 48000, 20);
    both_up(&call);
    for (unsigned i = 0; i < 3; i++) {
        call.media = (struct leg_media){CODEC_PCMU, 20, 8000};
        assert_int_equal(bridge_leg_media(call.bridge), 0);
        bridge_agent_audio(call.bridge, long_packet, sizeof long_packet, true);
        pass_ms(61); // the first 20 ms of it
        call.media = (struct leg_media){CODEC_OPUS, 20, 48000};
        assert_int_equal(bridge_leg_media(call.bridge), 0);
        assert_true(stats_of(&call).passthrough);
        bridge_agent_audio(call.bridge, long_packet, sizeof long_packet, true);
        pass_ms(61);
        assert_int_equal(bridge_leg_media(call.bridge), 0);
        pass_ms(1000);
        uint64_t silent = call.silent_frames;
        call.media = (struct leg_media){CODEC_PCMU, 20, 8000};
        assert_int_equal(bridge_leg_media(call.bridge), 0);
        pass_ms(200);
        assert_int_equal(call.silent_frames, silent + 10);
    }
    assert_int_equal(call.longest_gap_us, 20000);
    end(&call);
}

// An agent at 20 ms is followed: its chunk goes out the moment it comes, and one that is a little late is waited for.
static void test_a_steady_agent_is_played_as_it_comes(void **state) {
    (void)state;
    static const struct {
        uint32_t late_ms, played_after_ms, silent;
    } last[] = {{0, 0, 0}, {3, 0, 0}, {9, 0, 0}, {14, 30, 1}};
    for (size_t i = 0; i < sizeof last / sizeof last[0]; i++) {
        struct world_call call = {.media = {CODEC_PCMU, 20, 8000}};
        uint8_t chunk[640];
        memset(chunk, 0x21, sizeof chunk);
        begin(&call, CONF_PCM, 16000, 20);
        both_up(&call);
        pass_ms(7);
        for (int ms = 0; ms < 8000; ms += 20) {
            bridge_agent_audio(call.bridge, chunk, sizeof chunk, true);
            pass_ms(20);
        }
        uint64_t silent = call.silent_frames;
        pass_ms(last[i].late_ms);
        uint64_t came_us = world.now_us;
        bridge_agent_audio(call.bridge, chunk, sizeof chunk, true);
        pass_ms(1);
        if (!last[i].played_after_ms)
            assert_int_equal(call.wrote_at_us, came_us);
        else
            assert_true(call.wrote_at_us < came_us);
        assert_int_equal(call.silent_frames - silent, last[i].silent);
        end(&call);
    }
}

// What it says in one go is paced as ever: nothing is sent ahead of its time, nothing waited for at its end.
static void test_a_burst_is_not_hurried(void **state) {
    (void)state;
    struct world_call call = {.media = {CODEC_PCMU, 20, 8000}};
    static uint8_t speech[32000];
    begin(&call, CONF_PCM, 16000, 20);
    both_up(&call);
    bridge_agent_audio(call.bridge, speech, sizeof speech, true);
    for (int ms = 1; ms <= 2000; ms++) {
        pass_ms(1);
        assert_true(world.now_us - call.wrote_at_us <= 20000 || ms < 22);
    }
    assert_int_equal(call.longest_gap_us, 20000);
    assert_in_range(call.pcm_frames, 99, 100);
    end(&call);
}

// The packet after the one that is ripe sets off the frame, when it comes shortly before the deadline.
static void test_a_packet_sets_off_its_frame(void **state) {
    (void)state;
    struct world_call call = {.media = {CODEC_PCMU, 20, 8000}};
    begin(&call, CONF_PCM, 16000, 20);
    both_up(&call);
    pass_ms(21); // the frame of 20 ms is out, the next one is due in 19
    assert_int_equal(call.agent_frames, 1);
    pass_ms(10);
    bridge_leg_audio(call.bridge);
    assert_int_equal(call.agent_frames, 1);
    pass_ms(8);
    bridge_leg_audio(call.bridge);
    assert_int_equal(call.agent_frames, 2);
    bridge_leg_audio(call.bridge);
    pass_ms(20);
    assert_int_equal(call.agent_frames, 2);
    pass_ms(2);
    assert_int_equal(call.agent_frames, 3);
    end(&call);
}

static void test_comfort_noise(void **state) {
    (void)state;
    struct world_call call = {.media = {CODEC_PCMU, 20, 8000}};
    memset(&world, 0, sizeof world);
    const struct bridge_config config = {
        .leg = {&leg_ops, &call}, .format = {CONF_PCM, 16000, 20}, .comfort_noise = true};
    const struct bridge_ops ops = {.send_audio = agent_send, .pause = agent_paused, .arg = &call};
    assert_int_equal(bridge_new(&call.bridge, &config, &ops), 0);
    hear(&call, 1000);
    both_up(&call);
    pass_ms(501);
    int peak = 0;
    for (size_t i = 0; i < call.heard_samples; i++)
        peak = abs(call.heard[i]) > peak ? abs(call.heard[i]) : peak;
    assert_in_range(peak, 5, 20);
    assert_int_equal(call.silent_frames, call.pcm_frames);
    end(&call);
}

static void test_freed_inside_a_callback(void **state) {
    (void)state;
    struct world_call call = {.media = {CODEC_PCMU, 20, 8000}, .free_in_send = true};
    begin(&call, CONF_PCM, 16000, 20);
    both_up(&call);
    pass_ms(100);
    assert_int_equal(call.agent_frames, 1);
    assert_null(call.bridge);
    end(&call);
}

static void test_bad_formats(void **state) {
    (void)state;
    static const struct agent_format bad[] = {
        {CONF_PCM, 16000, 30}, {CONF_PCM, 11025, 20}, {CONF_PCM, 16000, 0}};
    const struct bridge_ops ops = {0};
    for (size_t i = 0; i < 3; i++) {
        struct bridge *bridge = NULL;
        const struct bridge_config config = {.format = bad[i]};
        assert_int_equal(bridge_new(&bridge, &config, &ops), -EINVAL);
        assert_null(bridge);
    }
    bridge_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_frame_each_frame_ms),
        cmocka_unit_test(test_the_callers_tone_arrives),
        cmocka_unit_test(test_frames_the_agent_does_not_take),
        cmocka_unit_test(test_opus_passes_and_losses_are_filled),
        cmocka_unit_test(test_lost_packets_of_every_length),
        cmocka_unit_test(test_g711_passes),
        cmocka_unit_test(test_falls_back_to_transcoding),
        cmocka_unit_test(test_leg_never_starves),
        cmocka_unit_test(test_other_ptimes),
        cmocka_unit_test(test_burst_plays_exactly),
        cmocka_unit_test(test_g711_breaks_off_without_a_click),
        cmocka_unit_test(test_opus_from_the_agent),
        cmocka_unit_test(test_codec_changes_within_a_long_packet),
        cmocka_unit_test(test_a_steady_agent_is_played_as_it_comes),
        cmocka_unit_test(test_a_burst_is_not_hurried),
        cmocka_unit_test(test_a_packet_sets_off_its_frame),
        cmocka_unit_test(test_comfort_noise),
        cmocka_unit_test(test_freed_inside_a_callback),
        cmocka_unit_test(test_bad_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
