// SPDX-License-Identifier: Apache-2.0
// When frames leave: by their deadlines, or set off by what comes.
#include "tests/unit/gateway/bridge_fixture.h"

// An agent at 20 ms is followed: its chunk goes out the moment it comes, and one that is a little late is waited for.
static void test_a_steady_agent_is_played_as_it_comes(void **state) {
    (void)state;
    static const struct {
        uint32_t late_ms, played_after_ms, silent;
    } last[] = {{0, 0, 0}, {3, 0, 0}, {9, 0, 0}, {17, 0, 0}, {22, 30, 1}};
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_steady_agent_is_played_as_it_comes),
        cmocka_unit_test(test_a_burst_is_not_hurried),
        cmocka_unit_test(test_a_packet_sets_off_its_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
