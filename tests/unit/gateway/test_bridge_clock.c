// SPDX-License-Identifier: Apache-2.0
// How far the clock of the frames to the agent follows the caller's packets: its steps are added up here, in place of
// the ticker.
#include "gateway/bridge.h"
#include "gateway/bridge_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct world {
    struct bridge *bridge;
    int64_t late_us; // 0: not known
    int64_t moved_us;
    unsigned frames;
};

uint64_t ticker_now_us(void) {
    return 5000000;
}

int ticker_add(struct ticker *ticker, struct tick *tick, uint32_t period_ms) {
    (void)ticker;
    (void)tick;
    (void)period_ms;
    return 0;
}

void ticker_remove(struct ticker *ticker, struct tick *tick) {
    (void)ticker;
    (void)tick;
}

void ticker_shift(struct ticker *ticker, struct tick *tick, int32_t shift_us) {
    (void)ticker;
    (void)tick;
    (void)shift_us;
}

bool ticker_hasten(struct ticker *ticker, struct tick *tick, uint64_t now_us, uint32_t within_us) {
    (void)ticker;
    (void)tick;
    (void)now_us;
    (void)within_us;
    return false;
}

void ticker_wait(struct ticker *ticker, struct tick *tick, uint32_t wait_us) {
    (void)ticker;
    (void)tick;
    (void)wait_us;
}

static struct leg_media leg_media_of(void *leg, uint32_t want_rate_hz) {
    (void)leg;
    (void)want_rate_hz;
    return (struct leg_media){CODEC_PCMU, 20, 8000};
}

static void leg_read_pcm(void *leg, int16_t *out, size_t samples, uint64_t now_us) {
    (void)leg;
    (void)now_us;
    memset(out, 0, samples * sizeof *out);
}

static bool leg_read_late(void *leg, int64_t *late_us) {
    const struct world *world = leg;
    *late_us = world->late_us + world->moved_us; // an earlier deadline is less late
    return world->late_us != 0;
}

static void leg_stats_of(void *leg, struct leg_stats *out) {
    (void)leg;
    *out = (struct leg_stats){0};
}

static const struct leg_ops leg_ops = {
    .media = leg_media_of, .read_pcm = leg_read_pcm, .read_late = leg_read_late, .stats = leg_stats_of};

static int agent_send(const uint8_t *frame, size_t len, void *arg) {
    struct world *world = arg;
    (void)frame;
    assert_int_equal(len, 640);
    world->frames++;
    return 0;
}

static void agent_paused(bool paused, void *arg) {
    (void)paused;
    (void)arg;
}

static void begin(struct world *world) {
    memset(world, 0, sizeof *world);
    const struct bridge_config config = {.leg = {&leg_ops, world}, .format = {CONF_PCM, 16000, 20}};
    const struct bridge_ops ops = {.send_audio = agent_send, .pause = agent_paused, .arg = world};
    assert_int_equal(bridge_new(&world->bridge, &config, &ops), 0);
    assert_int_equal(bridge_leg_up(world->bridge), 0);
    bridge_agent_up(world->bridge);
}

static void pass_frames(struct world *world, unsigned count) {
    while (count--) {
        int32_t step_us = bridge_up_run(world->bridge, 5000000);
        assert_in_range(abs(step_us), 0, BRIDGE_SLEW_US);
        world->moved_us += step_us;
    }
}

static void test_it_finds_its_place(void **state) {
    (void)state;
    struct world world;
    static const int64_t late_us[] = {7000, -7000, 42000};
    for (size_t i = 0; i < 3; i++) {
        begin(&world);
        world.late_us = late_us[i];
        pass_frames(&world, 200);
        assert_in_range(llabs(late_us[i] + world.moved_us - BRIDGE_UP_BEHIND_US), 0, BRIDGE_IN_PLACE_US);
        bridge_free(world.bridge);
    }
}

// However much more the jitter buffer holds than it wants, and for however long: within its bounds, so that the agent
// gets a frame each FrameMs, none more and none less.
static void test_it_keeps_its_bounds(void **state) {
    (void)state;
    struct world world;
    static const int64_t late_us[] = {150000, -150000};
    for (size_t i = 0; i < 2; i++) {
        begin(&world);
        world.late_us = late_us[i];
        pass_frames(&world, 30000); // ten minutes
        assert_int_equal(world.moved_us, late_us[i] > 0 ? -45000 : 10000);
        assert_int_equal(world.frames, 30000);
        world.late_us = -late_us[i]; // and back
        pass_frames(&world, 30000);
        assert_int_equal(world.moved_us, late_us[i] > 0 ? 10000 : -45000);
        bridge_free(world.bridge);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_finds_its_place),
        cmocka_unit_test(test_it_keeps_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
