// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/err.h"
#include "tests/unit/gateway/bridge_fixture.h"

static struct bridge_stats stats_of(const struct world_call *call) {
    struct bridge_stats stats;
    bridge_stats(call->bridge, &stats);
    return stats;
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
        cmocka_unit_test(test_comfort_noise),
        cmocka_unit_test(test_freed_inside_a_callback),
        cmocka_unit_test(test_bad_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
