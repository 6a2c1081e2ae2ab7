// SPDX-License-Identifier: Apache-2.0
// Two trunks that call each other over loopback on a clock of the test's own: `a` offers, `b` answers. Each
// step is 20 ms: both write a frame, the datagrams pass, both read one.
#ifndef IQ_TESTS_TRUNK_FIXTURE_H
#define IQ_TESTS_TRUNK_FIXTURE_H

#include "gateway/core/ticker.h"
#include "media/tone.h"
#include "sip/trunk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEP_MS = 20, MAX_SAMPLES = 48 * 60, PATIENCE_TURNS = 20000, HEARD_CAP = 48000 };

static const enum codec_id all_codecs[] = {CODEC_PCMU, CODEC_PCMA, CODEC_G722, CODEC_OPUS};

struct side {
    struct trunk *trunk;
    struct leg leg;
    struct leg_media media;
    struct tone tone;
    bool up, ended, closed;
    enum leg_end end;
    unsigned changes;
    char digits[64];
    int16_t heard[HEARD_CAP]; // the last second
    size_t heard_samples;
    bool mute;
};

struct call {
    uv_loop_t loop;
    uv_timer_t pulse; // so that the loop never sleeps for long
    struct trunk_env env;
    struct side a, b;
};

static uint64_t world_us = 1000000;

uint64_t ticker_now_us(void) {
    return world_us;
}

uint32_t ticker_behind_us(const struct ticker *ticker, uint64_t now_us) {
    (void)ticker;
    (void)now_us;
    return 0;
}

static void side_on_up(void *arg) {
    ((struct side *)arg)->up = true;
}

static void side_on_media(void *arg) {
    struct side *side = arg;
    side->changes++;
    side->media = side->leg.ops->media(side->leg.impl, 16000);
}

static void side_on_text(const char *text, size_t len, void *arg) {
    (void)text;
    (void)len;
    (void)arg;
    fail_msg("a text");
}

static void side_on_dtmf(char digit, void *arg) {
    struct side *side = arg;
    size_t len = strlen(side->digits);
    assert_true(len + 1 < sizeof side->digits);
    side->digits[len] = digit;
    side->digits[len + 1] = '\0';
}

static void side_on_end(enum leg_end end, const char *reason, void *arg) {
    struct side *side = arg;
    assert_non_null(reason);
    assert_false(side->ended);
    side->ended = true;
    side->end = end;
}

static void side_on_closed(void *arg) {
    ((struct side *)arg)->closed = true;
}

static const struct leg_events side_events = {.on_up = side_on_up,
                                              .on_media = side_on_media,
                                              .on_text = side_on_text,
                                              .on_dtmf = side_on_dtmf,
                                              .on_end = side_on_end,
                                              .on_closed = side_on_closed};

static void side_new(struct side *side, const struct trunk_env *env, const struct trunk_config *config) {
    int err = trunk_new(&side->trunk, env, config, &side_events, side);
    assert_int_equal(err, 0);
    side->leg = trunk_leg(side->trunk);
}

static const struct trunk_config plain_config = {.call_id = "test",
                                                 .local_address = "127.0.0.1",
                                                 .remote_address = "127.0.0.1",
                                                 .pcm_rate_hz = 16000,
                                                 .codecs = all_codecs,
                                                 .codec_count = 4};

static void on_pulse(uv_timer_t *timer) {
    (void)timer;
}

static void call_new(struct call *call, const struct trunk_config *a, const struct trunk_config *b) {
    memset(call, 0, sizeof *call);
    assert_int_equal(uv_loop_init(&call->loop), 0);
    uv_timer_init(&call->loop, &call->pulse);
    uv_timer_start(&call->pulse, on_pulse, 1, 1);
    call->env = (struct trunk_env){.loop = &call->loop, .rtp_port_min = 20000, .rtp_port_max = 59999};
    side_new(&call->a, &call->env, a);
    side_new(&call->b, &call->env, b);
}

static void run_until(struct call *call, const bool *flag) {
    for (int i = 0; i < PATIENCE_TURNS && !*flag; i++)
        uv_run(&call->loop, UV_RUN_ONCE);
    assert_true(*flag);
}

// `offerer` offers, the other answers.
static void negotiate(struct side *offerer, struct side *answerer) {
    char *offer = NULL, *answer = NULL;
    struct err_text err = {""};
    assert_int_equal(trunk_make_offer(offerer->trunk, &offer, &err), 0);
    if (trunk_offer(answerer->trunk, offer, strlen(offer), &answer, &err) != 0)
        fail_msg("%s\n%s", err.text, offer);
    if (trunk_answer(offerer->trunk, answer, strlen(answer), &err) != 0)
        fail_msg("%s\n%s", err.text, answer);
    free(offer);
    free(answer);
}

static void side_start(struct call *call, struct side *side, uint32_t freq_hz) {
    trunk_start(side->trunk);
    run_until(call, &side->up);
    side->media = side->leg.ops->media(side->leg.impl, 16000);
    tone_init(&side->tone, side->media.pcm_rate_hz, freq_hz, 8000);
}

static void call_up(struct call *call) {
    negotiate(&call->a, &call->b);
    side_start(call, &call->a, 440);
    side_start(call, &call->b, 1000);
}

static void side_write(struct side *side) {
    int16_t pcm[MAX_SAMPLES];
    size_t samples = side->media.pcm_rate_hz / 1000 * STEP_MS;
    if (side->mute)
        memset(pcm, 0, sizeof pcm);
    else
        tone_fill(&side->tone, pcm, samples);
    side->leg.ops->write_pcm(side->leg.impl, pcm, samples, side->mute, world_us);
}

static void side_read(struct side *side) {
    size_t samples = side->media.pcm_rate_hz / 1000 * STEP_MS, keep = side->media.pcm_rate_hz - samples;
    memmove(side->heard, side->heard + samples, keep * sizeof side->heard[0]);
    side->leg.ops->read_pcm(side->leg.impl, side->heard + keep, samples, world_us);
    side->heard_samples += samples;
}

// All that has been sent has arrived: loopback delivers at once.
static void settle(struct call *call) {
    for (int i = 0; i < 3; i++)
        uv_run(&call->loop, UV_RUN_NOWAIT);
}

static void step(struct call *call) {
    world_us += STEP_MS * 1000;
    side_write(&call->a);
    side_write(&call->b);
    settle(call);
    side_read(&call->a);
    side_read(&call->b);
}

static void steps(struct call *call, int count) {
    while (count--)
        step(call);
}

// Of the last second, by tenths, so that a jump of the phase counts once.
static double heard_tone(const struct side *side, uint32_t freq_hz) {
    uint32_t rate_hz = side->media.pcm_rate_hz;
    double sum = 0;
    for (size_t i = 0; i < 10; i++)
        sum += tone_power(side->heard + i * rate_hz / 10, rate_hz / 10, rate_hz, freq_hz);
    return sum / 10;
}

static struct leg_stats stats_of(const struct side *side) {
    struct leg_stats stats;
    side->leg.ops->stats(side->leg.impl, &stats);
    return stats;
}

static void side_close(struct call *call, struct side *side) {
    if (!side->closed)
        side->leg.ops->close(side->leg.impl, "done");
    run_until(call, &side->closed);
}

static void call_free(struct call *call) {
    side_close(call, &call->a);
    side_close(call, &call->b);
    uv_close((uv_handle_t *)&call->pulse, NULL);
    assert_int_equal(uv_run(&call->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&call->loop), 0);
}

#endif
