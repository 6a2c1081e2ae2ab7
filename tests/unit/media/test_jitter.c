// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants those first
#include <cmocka.h>

#include "media/jitter.h"
#include "media/jitter_delay.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { CLOCK = 8000, FRAME = 160, FRAME_US = 20000 };

static struct jitter *jitter_of(uint32_t min_ms, uint32_t max_ms) {
    struct jitter_config config = {
        .clock_hz = CLOCK, .min_ms = min_ms, .max_ms = max_ms, .max_payload = 480, .pool_bytes = 16000};
    struct jitter *j = NULL;
    assert_int_equal(jitter_new(&j, &config), 0);
    return j;
}

// A packet whose payload is its number, at 20 ms each unless said otherwise.
static int put_at(struct jitter *j, uint32_t number, uint32_t timestamp, uint32_t ticks, uint64_t now_us) {
    uint8_t payload[FRAME];
    memset(payload, 0x55, sizeof payload);
    memcpy(payload, &number, sizeof number);
    struct jitter_packet packet = {(uint16_t)number, timestamp, ticks, payload, sizeof payload};
    return jitter_put(j, &packet, now_us);
}

static int put(struct jitter *j, uint32_t number, uint64_t now_us) {
    return put_at(j, number, number * FRAME, FRAME, now_us);
}

static uint32_t number_in(const struct jitter_frame *frame) {
    uint32_t number = 0;
    assert_non_null(frame->payload);
    assert_int_equal(frame->len, FRAME);
    memcpy(&number, frame->payload, sizeof number);
    assert_int_equal(frame->payload[FRAME - 1], 0x55);
    return number;
}

static struct jitter_frame get(struct jitter *j, uint64_t now_us) {
    struct jitter_frame frame;
    jitter_get(j, now_us, 0, &frame);
    return frame;
}

static void assert_packet(struct jitter *j, uint64_t now_us, uint32_t number) {
    struct jitter_frame frame = get(j, now_us);
    assert_int_equal(frame.kind, JITTER_PACKET);
    assert_int_equal(number_in(&frame), number);
}

static struct jitter_stats stats_of(const struct jitter *j) {
    struct jitter_stats stats;
    jitter_stats(j, &stats);
    return stats;
}

// ---- Small scripts

static void waits_for_its_target(void **state) {
    (void)state;
    struct jitter *j = jitter_of(0, 0);
    assert_int_equal(get(j, 0).kind, JITTER_IDLE);
    assert_int_equal(put(j, 7, 0), 0);
    assert_int_equal(get(j, 20000).kind, JITTER_IDLE);
    assert_int_equal(get(j, 39000).kind, JITTER_IDLE);
    assert_packet(j, 40000, 7);
    jitter_free(j);
}

static void puts_in_order_over_the_wrap(void **state) {
    (void)state;
    struct jitter *j = jitter_of(0, 0);
    static const uint32_t order[] = {65534, 65536, 65535, 65537, 65539, 65538};
    for (uint32_t i = 0; i < 8; i++) {
        if (i < 6)
            assert_int_equal(put(j, order[i], i * FRAME_US), 0);
        if (i >= 2)
            assert_packet(j, i * FRAME_US, 65534 + i - 2);
    }
    assert_int_equal(stats_of(j).lost + stats_of(j).late, 0);
    jitter_free(j);
}

static void timestamps_wrap_too(void **state) {
    (void)state;
    struct jitter *j = jitter_of(0, 0);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(put_at(j, i, 0xffffff00 + i * FRAME, FRAME, i * FRAME_US), 0);
        if (i >= 2)
            assert_packet(j, i * FRAME_US, i - 2);
    }
    jitter_free(j);
}

static void duplicates_and_latecomers_are_dropped(void **state) {
    (void)state;
    struct jitter *j = jitter_of(0, 0);
    put(j, 1, 0);
    assert_int_equal(put(j, 1, 100), -EALREADY);
    put(j, 3, 40000);
    put(j, 4, 60000);
    assert_packet(j, 40000, 1);
    assert_int_equal(put(j, 1, 41000), -EALREADY);
    struct jitter_frame lost = get(j, 60000);
    assert_int_equal(lost.kind, JITTER_LOST);
    assert_int_equal(lost.ticks, FRAME);
    assert_int_equal(number_in(&lost), 3); // for its FEC
    assert_int_equal(put(j, 2, 61000), -ETIME);
    assert_packet(j, 80000, 3);
    assert_packet(j, 100000, 4);
    struct jitter_stats stats = stats_of(j);
    assert_int_equal(stats.duplicates, 2);
    assert_int_equal(stats.late, 1);
    assert_int_equal(stats.lost, 1);
    assert_int_equal(stats.concealed_ticks, FRAME);
    jitter_free(j);
}

static void a_longer_loss_shows_the_next_packet_last(void **state) {
    (void)state;
    struct jitter *j = jitter_of(0, 0);
    put(j, 1, 0);
    put(j, 5, 60000);
    assert_packet(j, 45000, 1);
    for (int i = 0; i < 3; i++) {
        struct jitter_frame frame = get(j, 65000 + (uint64_t)i * FRAME_US);
        assert_int_equal(frame.kind, JITTER_LOST);
        assert_int_equal(frame.ticks, FRAME);
        assert_int_equal(frame.payload != NULL, i == 2);
    }
    assert_packet(j, 125000, 5);
    assert_int_equal(stats_of(j).lost, 3);
    jitter_free(j);
}

static void a_given_up_packet_in_a_longer_loss_may_still_come(void **state) {
    (void)state;
    struct jitter *j = jitter_of(0, 0);
    put(j, 1, 0);
    put(j, 5, 60000);
    assert_packet(j, 45000, 1);
    assert_int_equal(get(j, 65000).kind, JITTER_LOST);
    assert_int_equal(put(j, 3, 70000), 0);
    assert_packet(j, 85000, 3);
    assert_int_equal(get(j, 105000).kind, JITTER_LOST);
    assert_packet(j, 125000, 5);
    assert_int_equal(stats_of(j).lost, 2);
    jitter_free(j);
}

// No packet for 400 ms, then the next in sequence with a timestamp to match: nothing was lost.
static void dtx_is_silence_not_loss(void **state) {
    (void)state;
    struct jitter *j = jitter_of(0, 0);
    uint64_t now_us = 0;
    uint32_t heard = 0, dry = 0, lost = 0;
    for (uint32_t tick = 0; tick < 500; tick++, now_us += FRAME_US) {
        if (tick < 50 || tick % 20 == 0)
            assert_int_equal(put_at(j, tick < 50 ? tick : 47 + tick / 20, tick * FRAME, FRAME, now_us), 0);
        struct jitter_frame frame = get(j, now_us + 5000);
        heard += frame.kind == JITTER_PACKET;
        dry += frame.kind == JITTER_DRY || frame.kind == JITTER_SILENCE;
        lost += frame.kind == JITTER_LOST;
    }
    assert_in_range(heard, 70, 73);
    assert_in_range(dry, 400, 430);
    assert_int_equal(lost, 0);
    assert_int_equal(stats_of(j).lost, 0);
    assert_int_equal(stats_of(j).concealed_ticks, 0);
    jitter_free(j);
}

// Telephone events take sequence numbers and no place on the timeline.
static void fillers_are_not_lost(void **state) {
    (void)state;
    struct jitter *j = jitter_of(0, 0);
    put_at(j, 1, 160, FRAME, 0);
    for (uint32_t i = 2; i < 6; i++)
        assert_int_equal(put_at(j, i, 320, 0, i * 5000), 0);
    put_at(j, 6, 160 * 6, FRAME, 100000);
    assert_packet(j, 40000, 1);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(get(j, 60000 + i * FRAME_US).kind, JITTER_SILENCE);
    assert_packet(j, 140000, 6);
    assert_int_equal(stats_of(j).lost, 0);
    jitter_free(j);
}

static void a_packet_too_large_is_counted(void **state) {
    (void)state;
    struct jitter *j = jitter_of(0, 0);
    static const uint8_t payload[481];
    struct jitter_packet packet = {1, 0, FRAME, payload, sizeof payload};
    assert_int_equal(jitter_put(j, &packet, 0), -EMSGSIZE);
    assert_int_equal(stats_of(j).oversize, 1);
    jitter_free(j);
}

// Nobody reads: bounded, and what is read later is the newest.
static void an_unread_buffer_keeps_the_newest(void **state) {
    (void)state;
    struct jitter *j = jitter_of(0, 0);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(put(j, i, (uint64_t)i * FRAME_US), 0);
    struct jitter_frame frame = get(j, 1000 * FRAME_US);
    assert_int_equal(frame.kind, JITTER_PACKET);
    assert_in_range(number_in(&frame), 996, 999);
    assert_in_range(stats_of(j).skipped, 990, 999);
    jitter_free(j);
}

static void bad_configurations_are_refused(void **state) {
    (void)state;
    struct jitter *j = NULL;
    struct jitter_config config = {.clock_hz = CLOCK, .max_payload = 480, .pool_bytes = 100};
    assert_int_equal(jitter_new(&j, &config), -EINVAL);
    config.pool_bytes = 16000;
    config.min_ms = 500;
    assert_int_equal(jitter_new(&j, &config), -EINVAL);
    config.min_ms = 0;
    config.clock_hz = 0;
    assert_int_equal(jitter_new(&j, &config), -EINVAL);
    assert_null(j);
    jitter_free(NULL);
}

// ---- Simulated calls

// Our own generator, so that every run is the same.
static uint32_t random_state;
static uint32_t random_below(uint32_t limit) {
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)random_state * limit) >> 32);
}

struct sim {
    uint32_t loss_percent;
    uint32_t jitter_us;   // each packet waits up to so long
    int32_t drift_ppm;    // of the sender's clock
    uint32_t stall_every; // packets; each stall holds up `stall_us` of them
    uint32_t stall_us;
    uint32_t frame_ticks; // per packet; 0: FRAME
    uint32_t seconds;
    bool quiet; // whether a frame may be left out unheard
    // What came of it, after `settle_s`.
    uint32_t settle_s;
    uint64_t packets, lost, silence, dry, idle, left_out, order_errors;
    uint64_t first_delay_us, last_delay_us, worst_delay_us; // from sending to playing
};

struct flight {
    uint64_t sent_us, arrival_us;
    uint32_t number;
};

enum { IN_FLIGHT = 256 };

struct network {
    struct flight flights[IN_FLIGHT];
    size_t count;
    uint32_t next;
};

static void send_due(struct network *net, const struct sim *sim, uint32_t ticks, uint64_t now_us) {
    for (;;) {
        uint64_t nominal_us = (uint64_t)net->next * ticks * 1000000 / CLOCK;
        uint64_t sent_us = nominal_us - (uint64_t)((int64_t)nominal_us * sim->drift_ppm / 1000000);
        if (sent_us > now_us)
            return;
        uint64_t arrival_us = sent_us + random_below(sim->jitter_us + 1);
        uint64_t stall_at = sim->stall_every ? net->next / sim->stall_every * sim->stall_every : 0;
        uint64_t stall_ends = stall_at * ticks * 1000000 / CLOCK + sim->stall_us;
        if (stall_at && arrival_us < stall_ends)
            arrival_us = stall_ends;
        if (random_below(100) >= sim->loss_percent) {
            assert_true(net->count < IN_FLIGHT);
            net->flights[net->count++] = (struct flight){sent_us, arrival_us, net->next};
        }
        net->next++;
    }
}

static bool take_arrived(struct network *net, uint64_t now_us, struct flight *out) {
    size_t best = net->count;
    for (size_t i = 0; i < net->count; i++) {
        if (net->flights[i].arrival_us <= now_us &&
            (best == net->count || net->flights[i].arrival_us < net->flights[best].arrival_us))
            best = i;
    }
    if (best == net->count)
        return false;
    *out = net->flights[best];
    net->flights[best] = net->flights[--net->count];
    return true;
}

static void note_packet(struct sim *sim, uint32_t number, uint32_t ticks, uint64_t now_us) {
    uint64_t nominal_us = (uint64_t)number * ticks * 1000000 / CLOCK;
    uint64_t sent_us = nominal_us - (uint64_t)((int64_t)nominal_us * sim->drift_ppm / 1000000);
    uint64_t delay_us = now_us - sent_us;
    if (!sim->packets)
        sim->first_delay_us = delay_us;
    sim->last_delay_us = delay_us;
    sim->worst_delay_us = delay_us > sim->worst_delay_us ? delay_us : sim->worst_delay_us;
    sim->packets++;
}

// One frame heard, or left out; returns the ticks of time it takes to play.
static uint32_t play(struct jitter *j, struct sim *sim, uint64_t now_us, bool settled, uint32_t *last) {
    struct jitter_frame frame = get(j, now_us);
    struct sim ignored = *sim;
    struct sim *into = settled ? sim : &ignored;
    into->lost += frame.kind == JITTER_LOST;
    into->silence += frame.kind == JITTER_SILENCE;
    into->dry += frame.kind == JITTER_DRY;
    into->idle += frame.kind == JITTER_IDLE;
    if (frame.kind != JITTER_PACKET)
        return frame.ticks;
    uint32_t number = number_in(&frame);
    sim->order_errors += *last != UINT32_MAX && number <= *last;
    *last = number;
    note_packet(into, number, sim->frame_ticks, now_us);
    bool out = frame.pace == JITTER_FASTER || (frame.pace == JITTER_FASTER_IF_QUIET && sim->quiet);
    into->left_out += out;
    if (out)
        return 0;
    return frame.pace == JITTER_SLOWER ? frame.ticks + frame.ticks / 2 : frame.ticks;
}

static struct jitter_stats run(struct sim *sim) {
    struct jitter *j = jitter_of(0, 0);
    struct network net = {0};
    uint32_t last = UINT32_MAX;
    uint64_t played_until_us = 0;
    random_state = 12345;
    sim->frame_ticks = sim->frame_ticks ? sim->frame_ticks : FRAME;
    for (uint64_t now_us = 0; now_us < sim->seconds * 1000000ull; now_us += 5000) {
        struct flight flight;
        send_due(&net, sim, sim->frame_ticks, now_us);
        while (take_arrived(&net, now_us, &flight))
            put_at(j, flight.number, flight.number * sim->frame_ticks, sim->frame_ticks, flight.arrival_us);
        bool settled = now_us >= sim->settle_s * 1000000ull;
        while (played_until_us <= now_us)
            played_until_us += (uint64_t)play(j, sim, now_us, settled, &last) * 1000000 / CLOCK;
    }
    struct jitter_stats stats = stats_of(j);
    assert_int_equal(sim->order_errors, 0);
    jitter_free(j);
    return stats;
}

static void a_clean_network_costs_little_delay(void **state) {
    (void)state;
    struct sim sim = {.seconds = 60, .settle_s = 10, .quiet = true};
    struct jitter_stats stats = run(&sim);
    assert_int_equal(sim.lost + sim.dry + sim.silence + sim.idle, 0);
    assert_int_equal(stats.lost + stats.late + stats.skipped, 0);
    assert_int_equal(stats.target_ms, JITTER_DEFAULT_MIN_MS);
    assert_in_range(sim.worst_delay_us, 20000, 46000);
}

static void a_fifth_lost_is_concealed_once_each(void **state) {
    (void)state;
    struct sim sim = {.seconds = 60, .settle_s = 2, .loss_percent = 20};
    struct jitter_stats stats = run(&sim);
    uint64_t all = 58 * 50;
    assert_in_range(sim.packets, all * 76 / 100, all * 84 / 100);
    assert_in_range(sim.packets + sim.lost + sim.dry, all - 8, all + 8);
    assert_int_equal(stats.late, 0);
    assert_in_range(stats.lost, 500, 700);
    assert_in_range(stats.concealed_ticks / FRAME, stats.lost - 3, stats.lost + 8);
    assert_in_range(sim.worst_delay_us, 20000, 90000);
}

static void eighty_ms_of_jitter_are_ridden_out(void **state) {
    (void)state;
    struct sim sim = {.seconds = 120, .settle_s = 10, .jitter_us = 80000};
    struct jitter_stats stats = run(&sim);
    assert_in_range(stats.target_ms, 70, 100);
    assert_true(sim.lost + sim.dry < sim.packets * 5 / 100);
    assert_in_range(sim.worst_delay_us, 75000, 180000);
    struct sim lossy = {.seconds = 60, .settle_s = 5, .jitter_us = 60000, .loss_percent = 10};
    assert_true(run(&lossy).late < 120);
    assert_true(lossy.lost + lossy.dry < lossy.packets * 20 / 100);
}

// The sender's clock against ours.
static void drift_does_not_add_up(void **state) {
    (void)state;
    static const int32_t drifts_ppm[] = {200, -200, 1000, -1000};
    for (size_t i = 0; i < 4; i++) {
        for (int quiet = 0; quiet < 2; quiet++) {
            struct sim sim = {.seconds = 600,
                              .settle_s = 10,
                              .drift_ppm = drifts_ppm[i],
                              .jitter_us = 5000,
                              .quiet = quiet};
            struct jitter_stats stats = run(&sim);
            // 200 ppm in ten minutes are 120 ms, six frames: so many left out or put in, and no more delay.
            assert_in_range(sim.worst_delay_us, 20000, 130000);
            assert_in_range(sim.last_delay_us, 8000, 130000);
            assert_int_equal(stats.lost, 0);
            assert_true(sim.left_out + sim.dry <= (uint64_t)(6 * abs(drifts_ppm[i]) / 200 + 8));
        }
    }
}

// Half a second of nothing and then all at once, every five seconds.
static void stalls_are_caught_up_with(void **state) {
    (void)state;
    struct sim sim = {.seconds = 60, .settle_s = 1, .stall_every = 250, .stall_us = 300000};
    struct jitter_stats stats = run(&sim);
    assert_true(stats.late <= 5);
    assert_in_range(sim.worst_delay_us, 20000, 500000);
    struct sim longer = {.seconds = 60, .settle_s = 1, .stall_every = 500, .stall_us = 3000000};
    run(&longer);
    assert_true(longer.packets > 1500);
    assert_in_range(longer.last_delay_us, 15000, 500000);
}

static void packets_of_any_duration(void **state) {
    (void)state;
    static const uint32_t ticks[] = {80, 160, 240, 480, 960};
    for (size_t i = 0; i < 5; i++) {
        struct sim sim = {
            .seconds = 30, .settle_s = 10, .jitter_us = 10000, .frame_ticks = ticks[i], .quiet = true};
        struct jitter_stats stats = run(&sim);
        assert_int_equal(stats.lost, 0);
        assert_true(sim.dry <= 2);
        assert_in_range(sim.packets * ticks[i], 19 * CLOCK, 21 * CLOCK);
        assert_in_range(sim.worst_delay_us, 15000, 60000 + (uint64_t)ticks[i] * 1000000 / CLOCK);
    }
}

// ---- Discontinuities

// Plays on time from `number` for `count` packets whose timestamps begin at `timestamp`; returns packets
// heard.
static uint32_t stretch(struct jitter *j, uint32_t number, uint32_t count, uint32_t timestamp,
                        uint64_t *now_us) {
    uint32_t heard = 0;
    for (uint32_t i = 0; i < count; i++, *now_us += FRAME_US) {
        put_at(j, number + i, timestamp + i * FRAME, FRAME, *now_us);
        heard += get(j, *now_us + 1000).kind == JITTER_PACKET;
    }
    return heard;
}

static void timestamp_jumps_do_not_stop_it(void **state) {
    (void)state;
    static const uint32_t jumps[] = {0x40000000, 0xc0000000, 8000 * 5, (uint32_t)-8000 * 5, 0x7fffffff};
    for (size_t i = 0; i < 5; i++) {
        struct jitter *j = jitter_of(0, 0);
        uint64_t now_us = 1000000;
        stretch(j, 0, 100, 1000, &now_us);
        assert_in_range(stretch(j, 100, 100, 1000 + 100 * FRAME + jumps[i], &now_us), 97, 100);
        assert_int_equal(stats_of(j).lost, 0);
        assert_in_range(stats_of(j).depth_ms, 0, 60);
        jitter_free(j);
    }
}

// On hold for ten seconds; some senders' clocks stand still meanwhile, others' go on.
static void a_pause_of_either_clock(void **state) {
    (void)state;
    for (uint32_t gone_on = 0; gone_on < 2; gone_on++) {
        struct jitter *j = jitter_of(0, 0);
        uint64_t now_us = 0;
        stretch(j, 0, 100, 0, &now_us);
        for (int i = 0; i < 500; i++, now_us += FRAME_US)
            get(j, now_us);
        uint32_t timestamp = (100 + gone_on * 500) * FRAME;
        assert_in_range(stretch(j, 100, 100, timestamp, &now_us), 96, 100);
        assert_int_equal(stats_of(j).lost, 0);
        assert_in_range(stats_of(j).depth_ms, 0, 60);
        jitter_free(j);
    }
}

static void a_sequence_jump_begins_anew(void **state) {
    (void)state;
    struct jitter *j = jitter_of(0, 0);
    uint64_t now_us = 0;
    stretch(j, 0, 100, 0, &now_us);
    assert_in_range(stretch(j, 20000, 100, 123456789, &now_us), 95, 100);
    assert_true(stats_of(j).lost < 3);
    jitter_restart(j);
    assert_in_range(stretch(j, 5, 100, 42, &now_us), 95, 100);
    jitter_free(j);
}

// Whatever comes, every get answers, and time it claims to fill is never nothing.
static void garbage_is_survived(void **state) {
    (void)state;
    struct jitter *j = jitter_of(0, 0);
    random_state = 99;
    uint64_t now_us = 0;
    for (int i = 0; i < 200000; i++) {
        now_us += random_below(40000);
        uint32_t near = random_below(10) ? (uint32_t)i : random_below(UINT32_MAX);
        uint32_t ticks = random_below(20) ? 1 + random_below(960) : 0;
        put_at(j, near + random_below(5), random_below(20) ? near * FRAME : random_below(UINT32_MAX), ticks,
               now_us);
        struct jitter_frame frame = get(j, now_us);
        assert_true(frame.ticks > 0);
        struct jitter_stats stats = stats_of(j);
        assert_true(stats.target_ms <= JITTER_DEFAULT_MAX_MS);
    }
    jitter_free(j);
}

// A reader of 100 ms at once gets all of them, none concealed.
static void a_reader_of_several_packets_at_once(void **state) {
    (void)state;
    struct jitter *j = jitter_of(0, 0);
    jitter_set_lead(j, 80000);
    uint32_t made_up = 0, heard = 0;
    uint64_t now_us = 0;
    for (uint32_t i = 0; i < 1000; i++, now_us += FRAME_US) {
        put(j, i, now_us);
        if (i % 5 != 4 || i < 100)
            continue;
        for (uint64_t part = 0; part < 5; part++) {
            struct jitter_frame frame;
            jitter_get(j, now_us, part * FRAME_US, &frame);
            heard += frame.kind == JITTER_PACKET;
            made_up += frame.kind != JITTER_PACKET;
        }
    }
    assert_int_equal(made_up, 0);
    assert_int_equal(heard, 900);
    jitter_free(j);
}

static void the_target_rises_fast_and_falls_slowly(void **state) {
    (void)state;
    struct jitter_delay d;
    jitter_delay_init(&d, 20, 400);
    uint64_t now_us = 0;
    for (int i = 0; i < 1000; i++, now_us += FRAME_US)
        jitter_delay_sample(&d, 5000000, 0, now_us);
    assert_int_equal(d.target_us, 20000);
    for (int i = 0; i < 25; i++, now_us += FRAME_US)
        jitter_delay_sample(&d, 5000000 + (i % 2) * 150000, 0, now_us);
    assert_in_range(d.target_us, 150000, 160000); // within half a second
    int64_t before_us = d.target_us;
    for (int i = 0; i < 50; i++, now_us += FRAME_US)
        jitter_delay_sample(&d, 5000000, 0, now_us);
    assert_in_range(d.target_us, before_us - 11000, before_us); // 10 ms in a second at most
    for (int i = 0; i < 3000; i++, now_us += FRAME_US)
        jitter_delay_sample(&d, 5000000, 0, now_us);
    assert_int_equal(d.target_us, 20000);
    for (int i = 0; i < 3000; i++, now_us += FRAME_US)
        jitter_delay_sample(&d, 5000000 + (i % 2) * 3000000, 0, now_us);
    assert_int_equal(d.target_us, 400000); // never beyond the limit
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_for_its_target),
        cmocka_unit_test(puts_in_order_over_the_wrap),
        cmocka_unit_test(timestamps_wrap_too),
        cmocka_unit_test(duplicates_and_latecomers_are_dropped),
        cmocka_unit_test(a_longer_loss_shows_the_next_packet_last),
        cmocka_unit_test(a_given_up_packet_in_a_longer_loss_may_still_come),
        cmocka_unit_test(dtx_is_silence_not_loss),
        cmocka_unit_test(fillers_are_not_lost),
        cmocka_unit_test(a_packet_too_large_is_counted),
        cmocka_unit_test(an_unread_buffer_keeps_the_newest),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(a_clean_network_costs_little_delay),
        cmocka_unit_test(a_fifth_lost_is_concealed_once_each),
        cmocka_unit_test(eighty_ms_of_jitter_are_ridden_out),
        cmocka_unit_test(drift_does_not_add_up),
        cmocka_unit_test(stalls_are_caught_up_with),
        cmocka_unit_test(packets_of_any_duration),
        cmocka_unit_test(timestamp_jumps_do_not_stop_it),
        cmocka_unit_test(a_pause_of_either_clock),
        cmocka_unit_test(a_sequence_jump_begins_anew),
        cmocka_unit_test(garbage_is_survived),
        cmocka_unit_test(a_reader_of_several_packets_at_once),
        cmocka_unit_test(the_target_rises_fast_and_falls_slowly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
