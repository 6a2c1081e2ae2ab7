// SPDX-License-Identifier: Apache-2.0
// The pacer on a clock of our own: whatever the agent's chunks, real time comes out and every byte once.
#include "gateway/core/err.h"
#include "gateway/pacer.h"
#include "gateway/pacer_trim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RATE = 16000, FRAME_MS = 20, FRAME = RATE / 1000 * FRAME_MS * 2, START_US = 1000000 };

static struct pacer *new_pacer(enum codec_id codec) {
    struct pacer *pacer = NULL;
    const struct pacer_config config = {.codec = codec, .rate_hz = RATE, .frame_ms = FRAME_MS};
    assert_int_equal(pacer_new(&pacer, &config), 0);
    return pacer;
}

static uint8_t byte_at(size_t i) {
    return (uint8_t)(i * 31 + (i >> 8) * 7 + 1);
}

static void put_bytes(struct pacer *pacer, size_t from, size_t len, bool end, uint64_t now_us) {
    uint8_t *data = malloc(len ? len : 1);
    for (size_t i = 0; i < len; i++)
        data[i] = byte_at(from + i);
    assert_int_equal(pacer_put(pacer, data, len, end, now_us), 0);
    free(data);
}

// One pull; checks that the bytes go on from *at.
static size_t pull(struct pacer *pacer, size_t *at, uint64_t now_us) {
    uint8_t frame[FRAME];
    size_t got = pacer_pull(pacer, frame, sizeof frame, now_us);
    for (size_t i = 0; i < got; i++)
        assert_int_equal(frame[i], byte_at(*at + i));
    *at += got;
    return got;
}

static struct pacer_stats stats_of(const struct pacer *pacer) {
    struct pacer_stats stats;
    pacer_stats(pacer, &stats);
    return stats;
}

// 2 s of speech in chunks of one odd size, all at once: comes out in whole frames, the last one short.
static void test_any_chunk_size(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 7, 319, 640, 641, 2730, 4080, 4081, 8192, 64000};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        struct pacer *pacer = new_pacer(CODEC_L16);
        size_t total = 64000, at = 0;
        for (size_t i = 0; i < total; i += sizes[s])
            put_bytes(pacer, i, total - i < sizes[s] ? total - i : sizes[s], true, START_US);
        uint64_t now_us = START_US + 40000;
        for (size_t i = 0; i < total / FRAME; i++, now_us += FRAME_MS * 1000)
            assert_int_equal(pull(pacer, &at, now_us), FRAME);
        assert_int_equal(pull(pacer, &at, now_us), 0);
        assert_int_equal(at, total);
        assert_int_equal(stats_of(pacer).underruns, 0);
        pacer_free(pacer);
    }
}

static void test_odd_bytes_are_joined(void **state) {
    (void)state;
    struct pacer *pacer = new_pacer(CODEC_L16);
    size_t at = 0;
    put_bytes(pacer, 0, 101, true, START_US);
    assert_int_equal(pull(pacer, &at, START_US + 100000), 100);
    put_bytes(pacer, 101, 99, true, START_US + 150000);
    assert_int_equal(pull(pacer, &at, START_US + 300000), 100);
    assert_int_equal(at, 200);
    pacer_free(pacer);
}

// Half a sample at the end of a speech would turn all later ones into noise.
static void test_half_sample_is_forgotten_after_the_speech(void **state) {
    (void)state;
    struct pacer *pacer = new_pacer(CODEC_L16);
    size_t at = 0;
    put_bytes(pacer, 0, 101, true, START_US);
    assert_int_equal(pull(pacer, &at, START_US + 100000), 100);
    put_bytes(pacer, 5000, FRAME, true, START_US + 2000000);
    at = 5000;
    assert_int_equal(pull(pacer, &at, START_US + 2200000), FRAME);
    pacer_free(pacer);
}

static void test_short_rest_is_not_kept_for_ever(void **state) {
    (void)state;
    struct pacer *pacer = new_pacer(CODEC_L16);
    size_t at = 0;
    put_bytes(pacer, 0, 10, true, START_US);
    assert_int_equal(pull(pacer, &at, START_US + 1000), 0); // perhaps more comes
    assert_int_equal(pull(pacer, &at, START_US + 101000), 10);
    assert_int_equal(pull(pacer, &at, START_US + 121000), 0);
    pacer_free(pacer);
}

// Runs an agent that sends `chunk_ms` each `every_us` (with `jitter_us` on odd chunks) for `seconds`.
static uint64_t run_ticking(struct pacer *pacer, uint32_t chunk_ms, uint64_t every_us, uint64_t jitter_us,
                            uint64_t phase_us, uint32_t seconds, uint64_t *silent_frames) {
    size_t sent = 0, at = 0;
    uint64_t next_put = START_US, next_pull = START_US + phase_us, chunk = 0,
             end = START_US + seconds * 1000000ull;
    bool started = false;
    *silent_frames = 0;
    while (next_put < end) {
        uint64_t put_at = next_put + (chunk & 1 ? jitter_us : 0);
        if (put_at <= next_pull) {
            put_bytes(pacer, sent, chunk_ms * RATE / 500, true, put_at);
            sent += chunk_ms * RATE / 500;
            next_put += every_us;
            chunk++;
            continue;
        }
        bool full = pull(pacer, &at, next_pull) == FRAME;
        started |= full;
        *silent_frames += started && !full;
        next_pull += FRAME_MS * 1000;
    }
    return stats_of(pacer).underruns;
}

static void test_agents_that_tick(void **state) {
    (void)state;
    static const struct {
        uint32_t chunk_ms;
        uint64_t every_us, jitter_us, most_underruns;
    } agents[] = {{20, 20000, 0, 0},     {30, 30000, 0, 0},       {10, 10000, 0, 0},
                  {60, 60000, 0, 0},     {20, 20000, 15000, 1},   {30, 30000, 25000, 2},
                  {20, 20000, 60000, 3}, {100, 100000, 40000, 3}, {200, 100000, 0, 0}};
    for (size_t i = 0; i < sizeof agents / sizeof agents[0]; i++) {
        for (uint64_t phase_us = 0; phase_us < 20000; phase_us += 3000) {
            struct pacer *pacer = new_pacer(CODEC_L16);
            uint64_t silent;
            uint64_t underruns = run_ticking(pacer, agents[i].chunk_ms, agents[i].every_us,
                                             agents[i].jitter_us, phase_us, 5, &silent);
            assert_true(underruns <= agents[i].most_underruns);
            pacer_free(pacer);
        }
    }
}

// Twelve seconds of an agent that sends `chunk_ms` at the pace of real time, and of pulls that follow it. How long
// the audio that a frame ends with had been there, at least, over the last four.
static int64_t least_wait_us(uint32_t chunk_ms, uint64_t phase_us) {
    struct pacer *pacer = new_pacer(CODEC_L16);
    size_t sent = 0, at = 0, len = chunk_ms * RATE / 500;
    uint64_t put_us = START_US, pull_us = START_US + phase_us;
    int64_t late_us, least_us = INT64_MAX;
    while (pull_us < START_US + 12000000) {
        if (put_us <= pull_us) {
            put_bytes(pacer, sent, len, true, put_us);
            sent += len;
            put_us += chunk_ms * 1000;
            continue;
        }
        bool begun = at > 0;
        assert_true(pull(pacer, &at, pull_us) == FRAME || !begun);
        int64_t shift_us = 0;
        if (pacer_late(pacer, &late_us))
            shift_us = late_us > 250 ? -250 : late_us < -250 ? 250 : -late_us;
        pacer_shifted(pacer, shift_us);
        uint64_t came_us = START_US + (at ? at - 1 : 0) / len * chunk_ms * 1000;
        if (pull_us > START_US + 8000000 && (int64_t)(pull_us - came_us) < least_us)
            least_us = (int64_t)(pull_us - came_us);
        pull_us = (uint64_t)((int64_t)pull_us + FRAME_MS * 1000 + shift_us);
    }
    pacer_free(pacer);
    return least_us;
}

// Pulls find their place behind the chunks, no nearer than the cushion.
static void test_pulls_follow_the_agent(void **state) {
    (void)state;
    static const uint32_t chunks_ms[] = {10, 20, 30, 60};
    for (size_t i = 0; i < sizeof chunks_ms / sizeof chunks_ms[0]; i++) {
        for (uint64_t phase_us = 0; phase_us < 20000; phase_us += 3000)
            assert_in_range(least_wait_us(chunks_ms[i], phase_us), PACER_CUSHION_MS * 1000 - 300,
                            PACER_CUSHION_MS * 1000 + 600);
    }
}

// What waits because an agent sent it ahead of time is no reason to play faster.
static void test_bursts_are_not_hurried(void **state) {
    (void)state;
    struct pacer *pacer = new_pacer(CODEC_L16);
    size_t sent = 0, at = 0;
    int64_t late_us;
    // Ten seconds of speech, ten times as fast as it is spoken.
    for (uint64_t now_us = START_US; now_us < START_US + 9000000; now_us += FRAME_MS * 1000) {
        if (now_us < START_US + 1000000) {
            put_bytes(pacer, sent, 10 * FRAME, true, now_us);
            sent += 10 * FRAME;
        }
        pull(pacer, &at, now_us);
        assert_false(pacer_late(pacer, &late_us));
    }
    pacer_free(pacer);
}

static void test_target_learns_and_forgets(void **state) {
    (void)state;
    struct pacer *pacer = new_pacer(CODEC_L16);
    size_t sent = 0, at = 0;
    uint64_t now_us = START_US;
    put_bytes(pacer, sent, 2 * FRAME, true, now_us);
    sent += 2 * FRAME;
    while (stats_of(pacer).queued_ms)
        pull(pacer, &at, now_us += 20000);
    pull(pacer, &at, now_us += 20000); // dry
    now_us += 50000;
    uint32_t before_ms = stats_of(pacer).target_ms;
    put_bytes(pacer, sent, FRAME, true, now_us);
    sent += FRAME;
    assert_int_equal(stats_of(pacer).underruns, 1);
    assert_int_equal(stats_of(pacer).target_ms, before_ms + 50);
    uint32_t last_ms = stats_of(pacer).target_ms;
    for (int i = 0; i < 30; i++) { // sentences in bursts, with a second between
        for (int k = 0; k < 10; k++)
            pull(pacer, &at, now_us += 20000);
        now_us += 1000000;
        put_bytes(pacer, sent, 4 * FRAME, true, now_us);
        sent += 4 * FRAME;
        assert_true(stats_of(pacer).target_ms <= last_ms);
        last_ms = stats_of(pacer).target_ms;
    }
    assert_int_equal(last_ms, PACER_CUSHION_MS);
    assert_int_equal(stats_of(pacer).underruns, 1);
    pacer_free(pacer);
}

// 30 s in one message, arriving in pieces of 8 KiB within a moment: played in exactly 1,500 frames.
static void test_burst_of_30_s(void **state) {
    (void)state;
    struct pacer *pacer = new_pacer(CODEC_L16);
    size_t total = 1500 * FRAME, at = 0;
    for (size_t i = 0; i < total; i += 8192) {
        bool last = i + 8192 >= total;
        put_bytes(pacer, i, last ? total - i : 8192, last, START_US);
    }
    uint64_t now_us = START_US + 5000;
    for (unsigned i = 0; i < 1500; i++, now_us += 20000)
        assert_int_equal(pull(pacer, &at, now_us), FRAME);
    assert_int_equal(pull(pacer, &at, now_us), 0);
    assert_int_equal(stats_of(pacer).underruns, 0);
    assert_int_equal(stats_of(pacer).dropped_bytes, 0);
    pacer_free(pacer);
}

// An agent that would send for ever and heeds the pause loses nothing and never waits more than 30 s and a
// piece.
static void test_backpressure(void **state) {
    (void)state;
    struct pacer *pacer = new_pacer(CODEC_L16);
    size_t sent = 0, at = 0;
    uint64_t now_us = START_US;
    unsigned pauses = 0;
    bool paused = false;
    for (unsigned tick = 0; tick < 3000; tick++, now_us += 20000) {
        for (unsigned i = 0; i < 200 && !pacer_wants_pause(pacer); i++, sent += 8192)
            put_bytes(pacer, sent, 8192, false, now_us);
        pauses += pacer_wants_pause(pacer) && !paused;
        assert_true(stats_of(pacer).queued_ms <= PACER_QUEUE_MS + 300);
        size_t got = pull(pacer, &at, now_us);
        paused = pacer_wants_pause(pacer);
        assert_true(tick == 0 || got == FRAME);
    }
    assert_true(pauses > 10);
    assert_int_equal(stats_of(pacer).dropped_bytes, 0);
    pacer_free(pacer);
}

static void test_an_agent_that_ignores_the_pause_is_bounded(void **state) {
    (void)state;
    struct pacer *pacer = new_pacer(CODEC_L16);
    uint8_t *piece = calloc(1, 1u << 20);
    int err = 0;
    for (unsigned i = 0; i < 16 && !err; i++)
        err = pacer_put(pacer, piece, 1u << 20, false, START_US);
    assert_int_equal(err, -ENOSPC);
    assert_int_equal(stats_of(pacer).dropped_bytes, 1u << 20);
    free(piece);
    pacer_free(pacer);
}

static void test_opus_packets(void **state) {
    (void)state;
    struct pacer *pacer = new_pacer(CODEC_OPUS);
    uint8_t packet[CODEC_MAX_PAYLOAD + 1] = {0x48, 1, 2, 3}, out[CODEC_MAX_PAYLOAD]; // 20 ms, one frame
    uint32_t ticks = 0;
    for (unsigned i = 0; i < 3; i++) {
        packet[3] = (uint8_t)i;
        assert_int_equal(pacer_put(pacer, packet, 2, false, START_US), 0); // in two pieces
        assert_int_equal(pacer_put(pacer, packet + 2, 2, true, START_US), 0);
    }
    assert_int_equal(pacer_put(pacer, packet, sizeof packet, true, START_US), 0); // too long: dropped
    assert_int_equal(pacer_put(pacer, NULL, 0, true, START_US), 0);               // empty: nothing
    assert_int_equal(stats_of(pacer).dropped_packets, 1);
    assert_int_equal(stats_of(pacer).queued_ms, 60);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pacer_pull_packet(pacer, out, &ticks, START_US + 20000 * (i + 1)), 4);
        assert_int_equal(ticks, 960);
        assert_int_equal(out[3], i);
    }
    assert_int_equal(pacer_pull_packet(pacer, out, &ticks, START_US + 80000), 0);
    assert_int_equal(pacer_put(pacer, packet, 4, true, START_US + 90000), 0);
    assert_int_equal(stats_of(pacer).underruns, 1);
    pacer_free(pacer);
}

static void test_g711_has_no_half_samples(void **state) {
    (void)state;
    struct pacer *pacer = new_pacer(CODEC_PCMU);
    size_t at = 0;
    put_bytes(pacer, 0, 161, true, START_US);
    uint8_t frame[160];
    assert_int_equal(pacer_pull(pacer, frame, sizeof frame, START_US + 50000), 160);
    assert_int_equal(pacer_pull(pacer, frame, sizeof frame, START_US + 70000), 1);
    assert_int_equal(frame[0], byte_at(160));
    assert_int_equal(pull(pacer, &at, START_US + 90000), 0);
    pacer_free(pacer);
}

static void test_edges_do_not_click(void **state) {
    (void)state;
    struct pacer_edge edge = {0};
    int16_t pcm[320];
    for (size_t i = 0; i < 320; i++)
        pcm[i] = 10000;
    pacer_smooth(&edge, pcm, 320, 320, RATE);
    assert_int_equal(pcm[0], 10000); // speech from silence is left as the agent made it
    pacer_smooth(&edge, pcm, 320, 0, RATE);
    assert_true(pcm[0] < 10000 && pcm[0] > 9000);
    for (size_t i = 1; i < 320; i++)
        assert_true(pcm[i] <= pcm[i - 1] && pcm[i] >= 0);
    assert_int_equal(pcm[48], 0);
    for (size_t i = 0; i < 320; i++)
        pcm[i] = 10000;
    pacer_smooth(&edge, pcm, 320, 100, RATE);
    assert_int_equal(pcm[0], 0);
    assert_int_equal(pcm[99], 10000);
    assert_true(pcm[100] < 10000);
    assert_int_equal(pcm[319], 0);
}

// Messages of one byte, whose duration is no whole number of microseconds: they are on time all the same.
static void test_tiny_messages_are_on_time(void **state) {
    (void)state;
    struct pacer *pacer = NULL;
    const struct pacer_config config = {.codec = CODEC_L16, .rate_hz = 48000, .frame_ms = FRAME_MS};
    assert_int_equal(pacer_new(&pacer, &config), 0);
    uint8_t frame[48 * FRAME_MS * 2];
    const uint8_t byte = 1;
    for (uint64_t ms = 0; ms < 12000; ms++) {
        for (unsigned i = 0; i < 96; i++)
            pacer_put(pacer, &byte, 1, true, START_US + ms * 1000);
        if (ms % FRAME_MS == 0)
            pacer_pull(pacer, frame, sizeof frame, START_US + ms * 1000);
    }
    assert_in_range(stats_of(pacer).target_ms, PACER_CUSHION_MS, 2 * FRAME_MS);
    assert_int_equal(stats_of(pacer).underruns, 0);
    pacer_free(pacer);
}

// An agent that ticks, and pulls that follow it as the bridge's do. Every second second this process stalls, and three
// chunks are told of late, to be pulled for the deadlines that were missed. How late pacer_late says they were at worst.
static int64_t worst_lateness(struct pacer *pacer, uint32_t unsure_us) {
    static const uint8_t chunk[FRAME] = {1};
    uint8_t frame[FRAME];
    int64_t worst_us = 0, ahead_us = 5000, late_us;
    for (int64_t i = 0; i < 1000; i++) {
        int64_t come_us = START_US + i * FRAME_MS * 1000, told_us = come_us;
        if (i % 100 >= 50 && i % 100 < 53)
            told_us = come_us + (53 - i % 100) * FRAME_MS * 1000;
        pacer_unsure(pacer, told_us > come_us ? unsure_us : 0);
        assert_int_equal(pacer_put(pacer, chunk, sizeof chunk, true, (uint64_t)told_us), 0);
        pacer_pull(pacer, frame, sizeof frame, (uint64_t)(come_us + ahead_us));
        if (!pacer_late(pacer, &late_us))
            continue;
        int32_t shift_us = late_us > 250 ? -250 : late_us < -250 ? 250 : (int32_t)-late_us;
        ahead_us += shift_us;
        pacer_shifted(pacer, shift_us);
        if (i >= 400 && late_us < worst_us)
            worst_us = late_us;
    }
    return worst_us;
}

static void test_its_own_stalls_are_not_the_agents(void **state) {
    (void)state;
    for (int known = 0; known < 2; known++) {
        struct pacer *pacer = new_pacer(CODEC_L16);
        int64_t worst_us = worst_lateness(pacer, known ? 60000 : 0);
        assert_int_equal(stats_of(pacer).underruns, 0);
        if (known)
            assert_in_range(worst_us + 1000, 0, 1000);
        else
            assert_true(worst_us < -10000);
        assert_true(known ? stats_of(pacer).target_ms < FRAME_MS : stats_of(pacer).target_ms > 2 * FRAME_MS);
        pacer_free(pacer);
    }
}

// ---- agents that never stop sending

// Speech counts up, so that a piece of it that is missing shows.
struct endless {
    struct pacer *pacer;
    uint16_t said, heard;
    uint64_t now_us;
    uint32_t longest_ms; // that ever waited
    uint64_t silence_heard;
};

static void endless_says(struct endless *agent, bool speech, size_t samples) {
    int16_t pcm[FRAME];
    for (size_t i = 0; i < samples; i++)
        pcm[i] = (int16_t)(speech ? (agent->said++ | 1) : 0);
    assert_int_equal(pacer_put(agent->pacer, (uint8_t *)pcm, samples * 2, true, agent->now_us), 0);
}

static void endless_tick(struct endless *agent) {
    int16_t pcm[FRAME / 2];
    size_t got = pacer_pull(agent->pacer, (uint8_t *)pcm, sizeof pcm, agent->now_us) / 2;
    for (size_t i = 0; i < got; i++) {
        if (pcm[i])
            assert_int_equal((uint16_t)pcm[i], agent->heard++ | 1);
        else
            agent->silence_heard++;
    }
    if (stats_of(agent->pacer).queued_ms > agent->longest_ms)
        agent->longest_ms = stats_of(agent->pacer).queued_ms;
    agent->now_us += FRAME_MS * 1000;
}

// Ten minutes of two seconds of speech and one of silence, 1 % faster than real time.
static void test_an_endless_agent_does_not_fall_behind(void **state) {
    (void)state;
    struct endless agent = {.pacer = new_pacer(CODEC_L16), .now_us = START_US};
    for (unsigned i = 0; i < 30000; i++) {
        endless_says(&agent, i % 150 < 100, i % 5 ? 323 : 324);
        endless_tick(&agent);
    }
    assert_in_range(agent.longest_ms, PACER_TRIM_QUEUE_MS, PACER_TRIM_QUEUE_MS + 100);
    assert_int_equal(stats_of(agent.pacer).underruns, 0);
    assert_true(stats_of(agent.pacer).trimmed_ms > 5000);
    pacer_free(agent.pacer);
}

// An agent that streams from the first moment, and a browser whose media is up three seconds later: all it
// said is heard, and the three seconds of silence before are not waited for.
static void test_what_came_before_the_leg_is_not_a_delay_for_ever(void **state) {
    (void)state;
    struct endless agent = {.pacer = new_pacer(CODEC_L16), .now_us = START_US};
    for (unsigned i = 0; i < 150; i++, agent.now_us += FRAME_MS * 1000)
        endless_says(&agent, false, 320);
    assert_in_range(stats_of(agent.pacer).queued_ms, 400, 1500); // the first second is for getting to know it
    for (unsigned i = 0; i < 500; i++) {
        endless_says(&agent, i > 10 && i < 100, 320);
        endless_tick(&agent);
    }
    assert_int_equal(agent.said, agent.heard);
    assert_in_range(stats_of(agent.pacer).queued_ms, 20, PACER_TRIM_QUEUE_MS + FRAME_MS);
    pacer_free(agent.pacer);
}

// Ten seconds of speech with pauses, at once: the pauses are part of it. The silence that follows in real
// time is not.
static void test_pauses_of_a_burst_are_kept(void **state) {
    (void)state;
    struct endless agent = {.pacer = new_pacer(CODEC_L16), .now_us = START_US};
    for (unsigned i = 0; i < 100; i++) { // it had been streaming silence
        endless_says(&agent, false, 320);
        endless_tick(&agent);
    }
    agent.silence_heard = 0;
    for (unsigned i = 0; i < 500; i++)
        endless_says(&agent, i % 100 < 50, 320);
    for (unsigned i = 0; i < 500; i++)
        endless_tick(&agent);
    assert_in_range(agent.silence_heard, 5 * 50 * 320 - 3200, 5 * 50 * 320 + 3200);
    assert_int_equal(agent.said, agent.heard);
    for (unsigned i = 0; i < 1000; i++) {
        endless_says(&agent, false, 320);
        endless_tick(&agent);
    }
    assert_true(stats_of(agent.pacer).queued_ms <= PACER_TRIM_QUEUE_MS + FRAME_MS);
    pacer_free(agent.pacer);
}

static void test_what_silence_is(void **state) {
    (void)state;
    static const uint8_t zeros[8], ulaw[] = {0xff, 0x7f}, alaw[] = {0xd5, 0x55}, dtx[] = {0x78},
                                   none[] = {0xf8, 0xff, 0xfe}, voice[] = {0x78, 0x12, 0x34};
    assert_true(pacer_trim_quiet(CODEC_L16, zeros, 8));
    assert_true(pacer_trim_quiet(CODEC_PCMU, ulaw, 2));
    assert_true(pacer_trim_quiet(CODEC_PCMA, alaw, 2));
    assert_true(pacer_trim_quiet(CODEC_OPUS, dtx, 1));
    assert_true(pacer_trim_quiet(CODEC_OPUS, none, 3));
    assert_false(pacer_trim_quiet(CODEC_OPUS, voice, 3));
    assert_false(pacer_trim_quiet(CODEC_L16, voice, 2));
    assert_false(pacer_trim_quiet(CODEC_PCMU, zeros, 8)); // the loudest code
    assert_false(pacer_trim_quiet(CODEC_G722, zeros, 8));
}

// Of any length, from any address; the one byte that is none counts wherever it is.
static void test_silence_is_looked_for_everywhere(void **state) {
    (void)state;
    static const struct {
        enum codec_id codec;
        uint8_t quiet[2];
    } laws[] = {{CODEC_L16, {0, 0}}, {CODEC_PCMU, {0xff, 0x7f}}, {CODEC_PCMA, {0xd5, 0x55}}};
    uint8_t chunk[21];
    for (size_t law = 0; law < 3; law++) {
        for (size_t i = 0; i < sizeof chunk; i++)
            chunk[i] = laws[law].quiet[i % 3 == 0];
        for (size_t from = 0; from < sizeof chunk; from++)
            assert_true(pacer_trim_quiet(laws[law].codec, chunk + from, sizeof chunk - from));
        for (size_t i = 0; i < sizeof chunk; i++) {
            uint8_t was = chunk[i];
            chunk[i] = was ^ 1;
            assert_false(pacer_trim_quiet(laws[law].codec, chunk, sizeof chunk));
            chunk[i] = was;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_chunk_size),
        cmocka_unit_test(test_odd_bytes_are_joined),
        cmocka_unit_test(test_half_sample_is_forgotten_after_the_speech),
        cmocka_unit_test(test_short_rest_is_not_kept_for_ever),
        cmocka_unit_test(test_agents_that_tick),
        cmocka_unit_test(test_pulls_follow_the_agent),
        cmocka_unit_test(test_bursts_are_not_hurried),
        cmocka_unit_test(test_target_learns_and_forgets),
        cmocka_unit_test(test_burst_of_30_s),
        cmocka_unit_test(test_backpressure),
        cmocka_unit_test(test_an_agent_that_ignores_the_pause_is_bounded),
        cmocka_unit_test(test_opus_packets),
        cmocka_unit_test(test_g711_has_no_half_samples),
        cmocka_unit_test(test_edges_do_not_click),
        cmocka_unit_test(test_tiny_messages_are_on_time),
        cmocka_unit_test(test_its_own_stalls_are_not_the_agents),
        cmocka_unit_test(test_an_endless_agent_does_not_fall_behind),
        cmocka_unit_test(test_what_came_before_the_leg_is_not_a_delay_for_ever),
        cmocka_unit_test(test_pauses_of_a_burst_are_kept),
        cmocka_unit_test(test_what_silence_is),
        cmocka_unit_test(test_silence_is_looked_for_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
