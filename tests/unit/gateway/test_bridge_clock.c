// SPDX-License-Identifier: Apache-2.0
// How far the clock of the frames to the agent follows the caller's packets: its steps are added up here, in place of
// the ticker.
#include "gateway/bridge.h"
#include "gateway/bridge_impl.h"
#include "tests/lockstep_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NOW_US = 5000000 };

struct scene {
    struct bridge *bridge;
    int64_t late_us; // 0: not known
    int64_t moved_us;
    unsigned frames;
};

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
    const struct scene *scene = leg;
    *late_us = scene->late_us + scene->moved_us; // an earlier deadline is less late
    return scene->late_us != 0;
}

static void leg_stats_of(void *leg, struct leg_stats *out) {
    (void)leg;
    *out = (struct leg_stats){0};
}

static const struct leg_ops leg_ops = {
    .media = leg_media_of, .read_pcm = leg_read_pcm, .read_late = leg_read_late, .stats = leg_stats_of};

static int agent_send(const uint8_t *frame, size_t len, void *arg) {
    struct scene *scene = arg;
    (void)frame;
    assert_int_equal(len, 640);
    scene->frames++;
    return 0;
}

static void agent_paused(bool paused, void *arg) {
    (void)paused;
    (void)arg;
}

static void begin(struct scene *scene) {
    memset(scene, 0, sizeof *scene);
    world.now_us = NOW_US;
    const struct bridge_config config = {.leg = {&leg_ops, scene}, .format = {CONF_PCM, 16000, 20}};
    const struct bridge_ops ops = {.send_audio = agent_send, .pause = agent_paused, .arg = scene};
    assert_int_equal(bridge_new(&scene->bridge, &config, &ops), 0);
    assert_int_equal(bridge_leg_up(scene->bridge), 0);
    bridge_agent_up(scene->bridge);
}

static void pass_frames(struct scene *scene, unsigned count) {
    while (count--) {
        int32_t step_us = bridge_up_run(scene->bridge, NOW_US);
        assert_in_range(abs(step_us), 0, BRIDGE_SLEW_US);
        scene->moved_us += step_us;
    }
}

static void test_it_finds_its_place(void **state) {
    (void)state;
    struct scene scene;
    static const int64_t late_us[] = {7000, -7000, 42000};
    for (size_t i = 0; i < 3; i++) {
        begin(&scene);
        scene.late_us = late_us[i];
        pass_frames(&scene, 200);
        assert_in_range(llabs(late_us[i] + scene.moved_us - BRIDGE_UP_BEHIND_US), 0, BRIDGE_IN_PLACE_US);
        bridge_free(scene.bridge);
    }
}

// However much more the jitter buffer holds than it wants, and for however long: within its bounds, so that the agent
// gets a frame each FrameMs, none more and none less.
static void test_it_keeps_its_bounds(void **state) {
    (void)state;
    struct scene scene;
    static const int64_t late_us[] = {150000, -150000};
    for (size_t i = 0; i < 2; i++) {
        begin(&scene);
        scene.late_us = late_us[i];
        pass_frames(&scene, 30000); // ten minutes
        assert_int_equal(scene.moved_us, late_us[i] > 0 ? -45000 : 10000);
        assert_int_equal(scene.frames, 30000);
        scene.late_us = -late_us[i]; // and back
        pass_frames(&scene, 30000);
        assert_int_equal(scene.moved_us, late_us[i] > 0 ? 10000 : -45000);
        bridge_free(scene.bridge);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_finds_its_place),
        cmocka_unit_test(test_it_keeps_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
