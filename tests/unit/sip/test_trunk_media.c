// SPDX-License-Identifier: Apache-2.0
// Two ends of a trunk's media over a network of the test's own, on its own clock: loss, jitter, reordering and
// duplicates, strangers, forgeries, replays, floods, digits, comfort noise and reports.
#include "media/tone.h"
#include "sip/trunk_media.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEP_US = 20000, FLIGHT = 512, MTU = 1600, HEARD_CAP = 48000, MAX_SAMPLES = 48 * 20 };

struct end;

struct datagram {
    uint64_t due_us; // 0: a free slot
    struct end *to;
    enum trunk_channel channel;
    union udp_address from;
    size_t len;
    uint8_t data[MTU];
};

struct end {
    struct world *world;
    struct trunk_media *media;
    union udp_address address; // of RTP, as the other sees it
    struct leg_media leg;
    struct tone tone;
    bool mute;
    unsigned sent[2];  // by channel
    uint8_t last[MTU]; // RTP packet sent
    size_t last_len;
    char digits[64];
    int16_t heard[HEARD_CAP]; // the last second
};

struct impairment {
    unsigned loss_percent, duplicate_percent, jitter_ms, delay_ms;
};

struct world {
    uint64_t now_us;
    uint32_t random;
    struct impairment net;
    struct datagram flight[FLIGHT];
    struct end a, b;
};

static uint32_t dice(struct world *world, uint32_t sides) {
    world->random = world->random * 1664525u + 1013904223u;
    return (world->random >> 8) % sides;
}

static void fly(struct world *world, struct end *to, enum trunk_channel channel, const uint8_t *data,
                size_t len, const union udp_address *from) {
    assert_true(len <= MTU);
    for (size_t i = 0; i < FLIGHT; i++) {
        struct datagram *d = &world->flight[i];
        if (d->due_us)
            continue;
        uint64_t jitter_us = world->net.jitter_ms ? dice(world, world->net.jitter_ms * 1000) : 0;
        *d = (struct datagram){.due_us = world->now_us + world->net.delay_ms * 1000 + jitter_us,
                               .to = to,
                               .channel = channel,
                               .from = *from,
                               .len = len};
        memcpy(d->data, data, len);
        return;
    }
    fail_msg("too many packets in flight");
}

static void on_send(enum trunk_channel channel, const uint8_t *packet, size_t len,
                    const union udp_address *to, void *arg) {
    struct end *end = arg;
    struct world *world = end->world;
    struct end *other = end == &world->a ? &world->b : &world->a;
    union udp_address from = end->address;
    end->sent[channel]++;
    if (channel == TRUNK_RTP) {
        memcpy(end->last, packet, len);
        end->last_len = len;
    } else {
        udp_address_set_port(&from, (uint16_t)(udp_address_port(&from) + 1));
    }
    if (!udp_address_same_host(to, &other->address) || dice(world, 100) < world->net.loss_percent)
        return;
    fly(world, other, channel, packet, len, &from);
    if (dice(world, 100) < world->net.duplicate_percent)
        fly(world, other, channel, packet, len, &from);
}

static void on_dtmf(char digit, void *arg) {
    struct end *end = arg;
    size_t len = strlen(end->digits);
    assert_true(len + 1 < sizeof end->digits);
    end->digits[len] = digit;
}

static void deliver(struct world *world) {
    for (;;) {
        struct datagram *next = NULL;
        for (size_t i = 0; i < FLIGHT; i++) {
            struct datagram *d = &world->flight[i];
            if (d->due_us && d->due_us <= world->now_us && (!next || d->due_us < next->due_us))
                next = d;
        }
        if (!next)
            return;
        trunk_media_receive(next->to->media, next->channel, next->data, next->len, &next->from, next->due_us);
        next->due_us = 0;
    }
}

static struct sdp sdp;

struct setup {
    const char *codec; // formats and rtpmap lines: of the one m-line both are given
    const char *lines;
    bool inband, secure;
};

static void end_new(struct world *world, struct end *end, const char *host, const char *peer_host,
                    const struct setup *setup) {
    const struct trunk_media_events events = {.on_send = on_send, .on_dtmf = on_dtmf, .arg = end};
    union udp_address peer;
    end->world = world;
    assert_int_equal(udp_address_parse(&end->address, host, 4000), 0);
    assert_int_equal(udp_address_parse(&peer, peer_host, 0), 0);
    assert_int_equal(trunk_media_new(&end->media, 16000, setup->inband, &peer, &events), 0);
}

static const char keys[2][64] = {"inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj",
                                 "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"};

// Both are given the same offer, each with the other's address and key.
static void end_apply(struct end *end, const struct end *other, const struct setup *setup) {
    static const enum codec_id codecs[] = {CODEC_PCMU, CODEC_PCMA, CODEC_G722, CODEC_OPUS};
    const struct trunk_sdp_config config = {.codecs = codecs, .codec_count = 4};
    bool first = end == &end->world->a, changed;
    char text[1024], where[64], crypto[256] = "", own[256];
    udp_address_text(&other->address, where);
    *strchr(where, ':') = '\0';
    snprintf(own, sizeof own, "1 AES_CM_128_HMAC_SHA1_80 %s", keys[first]);
    if (setup->secure)
        snprintf(crypto, sizeof crypto, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 %s\n", keys[!first]);
    snprintf(text, sizeof text, "v=0\no=- 1 1 IN IP4 1.2.3.4\ns=-\nc=IN IP4 %s\nm=audio 4000 RTP/%s %s\n%s%s",
             where, setup->secure ? "SAVP" : "AVP", setup->codec, setup->lines, crypto);
    struct trunk_plan plan;
    struct sdes ours;
    assert_int_equal(sdp_read(&sdp, span_str(text), NULL), 0);
    assert_int_equal(trunk_sdp_read_offer(&plan, &sdp, &config, NULL), 0);
    assert_int_equal(sdes_parse(&ours, span_str(own)), 0);
    assert_int_equal(trunk_media_apply(end->media, &plan, &ours, &changed), 0);
    end->leg = audio_session_rate(trunk_media_session(end->media), 16000);
}

static const struct setup g711 = {.codec = "0 101", .lines = "a=rtpmap:101 telephone-event/8000\n"};

static struct world *world_new(const struct setup *setup) {
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->now_us = 10000000;
    end_new(world, &world->a, "203.0.113.1", "203.0.113.2", setup);
    end_new(world, &world->b, "203.0.113.2", "203.0.113.1", setup);
    end_apply(&world->a, &world->b, setup);
    end_apply(&world->b, &world->a, setup);
    tone_init(&world->a.tone, world->a.leg.pcm_rate_hz, 440, 8000);
    tone_init(&world->b.tone, world->b.leg.pcm_rate_hz, 1000, 8000);
    trunk_media_open(world->a.media, world->now_us);
    trunk_media_open(world->b.media, world->now_us);
    return world;
}

static void world_free(struct world *world) {
    trunk_media_free(world->a.media);
    trunk_media_free(world->b.media);
    free(world);
}

static void end_write(struct end *end) {
    int16_t pcm[MAX_SAMPLES] = {0};
    size_t samples = end->leg.pcm_rate_hz / 50;
    if (!end->mute)
        tone_fill(&end->tone, pcm, samples);
    audio_session_write_pcm(trunk_media_session(end->media), pcm, samples, end->mute, end->world->now_us);
}

static void end_read(struct end *end) {
    size_t samples = end->leg.pcm_rate_hz / 50, keep = end->leg.pcm_rate_hz - samples;
    memmove(end->heard, end->heard + samples, keep * sizeof end->heard[0]);
    audio_session_read_pcm(trunk_media_session(end->media), end->heard + keep, samples, end->world->now_us);
}

static void steps(struct world *world, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        end_write(&world->a);
        end_write(&world->b);
        world->now_us += STEP_US;
        deliver(world);
        end_read(&world->a);
        end_read(&world->b);
    }
}

// Of the last second, by tenths, so that a jump of the phase counts once.
static double heard_tone(const struct end *end, uint32_t freq_hz) {
    uint32_t rate_hz = end->leg.pcm_rate_hz;
    double sum = 0;
    for (size_t i = 0; i < 10; i++)
        sum += tone_power(end->heard + i * rate_hz / 10, rate_hz / 10, rate_hz, freq_hz);
    return sum / 10;
}

static struct leg_stats stats_of(const struct end *end) {
    struct leg_stats stats;
    audio_session_stats(trunk_media_session(end->media), &stats);
    return stats;
}

// ---- trouble on the way

static void trouble(const struct setup *setup, struct impairment net, double least_tone, unsigned most_late) {
    struct world *world = world_new(setup);
    world->net = net;
    steps(world, 250);
    struct leg_stats stats = stats_of(&world->b);
    double tone = heard_tone(&world->b, 440);
    if (tone < least_tone)
        fail_msg("tone %f, lost %lu, late %lu, target %u", tone, (unsigned long)stats.rx_lost,
                 (unsigned long)stats.rx_late, stats.jitter_target_ms);
    unsigned lost_percent = (unsigned)(stats.rx_lost * 100 / 250);
    assert_true(lost_percent <= net.loss_percent * 3 / 2 + most_late);
    assert_true(lost_percent >= net.loss_percent / 2);
    if (net.duplicate_percent && !setup->secure) // else they fail as replays
        assert_true(stats.rx_duplicates > 0);
    world_free(world);
}

static void test_loss(void **state) {
    (void)state;
    trouble(&g711, (struct impairment){.loss_percent = 5, .delay_ms = 30}, 0.85, 2);
    trouble(&g711, (struct impairment){.loss_percent = 20, .delay_ms = 30}, 0.6, 4);
}

static void test_jitter_reordering_and_duplicates(void **state) {
    (void)state;
    trouble(&g711, (struct impairment){.jitter_ms = 80, .delay_ms = 20, .duplicate_percent = 10}, 0.9, 6);
}

static void test_all_at_once(void **state) {
    (void)state;
    static const struct setup secure = {.codec = "8", .lines = "", .secure = true};
    trouble(&secure,
            (struct impairment){.jitter_ms = 40, .delay_ms = 20, .duplicate_percent = 5, .loss_percent = 5},
            0.8, 6);
}

// ---- strangers

static size_t rtp(uint8_t out[MTU], uint8_t payload_type, uint16_t seq, uint32_t timestamp, uint32_t ssrc) {
    const struct rtp_packet header = {
        .payload_type = payload_type, .seq = seq, .timestamp = timestamp, .ssrc = ssrc};
    assert_int_equal(rtp_write(out, MTU, &header), RTP_HEADER_LEN);
    memset(out + RTP_HEADER_LEN, 0x2a, 160); // loud
    return RTP_HEADER_LEN + 160;
}

static void throw_at(struct end *end, const uint8_t *data, size_t len, const char *host, uint16_t port) {
    union udp_address from;
    uint8_t copy[MTU];
    memcpy(copy, data, len);
    assert_int_equal(udp_address_parse(&from, host, port), 0);
    trunk_media_receive(end->media, TRUNK_RTP, copy, len, &from, end->world->now_us);
}

static void test_a_spoofed_source_is_not_heard(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    uint8_t packet[MTU];
    steps(world, 50);
    uint64_t before = stats_of(&world->b).rx_packets;
    for (uint16_t i = 0; i < 50; i++) {
        steps(world, 1);
        size_t len = rtp(packet, 0, i, i * 160u, 0xbad);
        throw_at(&world->b, packet, len, "192.0.2.66", 4000);
        throw_at(&world->b, packet, len, "203.0.113.1", 4444);
    }
    assert_int_equal(stats_of(&world->b).rx_packets, before + 50);
    assert_true(heard_tone(&world->b, 440) > 0.98);
    assert_int_equal(stats_of(&world->a).rx_lost, 0); // and ours still goes to the peer
    world_free(world);
}

static void test_a_wrong_ssrc_is_not_heard(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    uint8_t packet[MTU];
    steps(world, 50);
    for (uint16_t i = 0; i < 50; i++) {
        steps(world, 1);
        throw_at(&world->b, packet, rtp(packet, 0, i, i * 160u, 0xbad), "203.0.113.1", 4000);
    }
    assert_true(heard_tone(&world->b, 440) > 0.98);
    world_free(world);
}

static void test_other_payload_types_are_not_played(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    uint8_t packet[MTU];
    steps(world, 50);
    for (uint16_t i = 0; i < 50; i++) {
        steps(world, 1);
        struct rtp_packet last;
        assert_int_equal(rtp_parse(span_of(world->a.last, world->a.last_len), &last), 0);
        size_t len = rtp(packet, i % 2 ? 8 : 96, (uint16_t)(last.seq + 1), last.timestamp + 160, last.ssrc);
        throw_at(&world->b, packet, len, "203.0.113.1", 4000);
    }
    assert_true(heard_tone(&world->b, 440) > 0.98);
    world_free(world);
}

static void test_a_flood(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    uint8_t packet[MTU];
    steps(world, 50);
    uint64_t before = stats_of(&world->b).rx_packets;
    for (unsigned i = 0; i < 100000; i++) // from the right place, with the right SSRC
        throw_at(&world->b, packet, rtp(packet, 0, (uint16_t)i, i * 160, 0xbad), "203.0.113.1", 4000);
    steps(world, 100);
    assert_true(stats_of(&world->b).rx_packets - before <= TRUNK_PACKETS_BURST + 110);
    for (unsigned i = 0; i < 10; i++) // the same from a stranger costs the peer nothing
        throw_at(&world->b, packet, rtp(packet, 0, (uint16_t)i, i * 160, 0xbad), "192.0.2.66", 4000);
    steps(world, 100);
    assert_true(heard_tone(&world->b, 440) > 0.9);
    world_free(world);
}

static void test_forged_and_replayed_srtp(void **state) {
    (void)state;
    static const struct setup secure = {.codec = "0", .lines = "", .secure = true};
    struct world *world = world_new(&secure);
    uint8_t packet[MTU], recorded[MTU];
    steps(world, 50);
    size_t recorded_len = world->a.last_len;
    memcpy(recorded, world->a.last, recorded_len);
    for (uint16_t i = 0; i < 50; i++) {
        steps(world, 1);
        struct rtp_packet last;
        assert_int_equal(rtp_parse(span_of(world->a.last, world->a.last_len), &last), 0);
        size_t len = rtp(packet, 0, (uint16_t)(last.seq + 1), last.timestamp + 160, last.ssrc);
        throw_at(&world->b, packet, len, "203.0.113.1", 4000);            // in the clear
        throw_at(&world->b, packet, len + 10, "203.0.113.1", 4000);       // with a tag of nonsense
        throw_at(&world->b, recorded, recorded_len, "203.0.113.1", 4000); // replayed
        throw_at(&world->b, recorded, recorded_len, "192.0.2.66", 4000);  // from elsewhere
        memcpy(packet, world->a.last, world->a.last_len);
        packet[RTP_HEADER_LEN + 3] ^= 1;
        throw_at(&world->b, packet, world->a.last_len, "203.0.113.1", 4000); // tampered with
    }
    struct leg_stats stats = stats_of(&world->b);
    assert_int_equal(stats.rx_packets, 99); // all of the peer's but probation's
    assert_int_equal(stats.rx_duplicates, 0);
    assert_true(heard_tone(&world->b, 440) > 0.98);
    world_free(world);
}

// The SDP says 192.168.1.5; what comes has another address and port, and ours must go there.
static void test_behind_a_nat(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    struct end nowhere = {.world = world};
    assert_int_equal(udp_address_parse(&nowhere.address, "192.168.1.5", 4000), 0);
    end_apply(&world->a, &nowhere, &g711);
    assert_int_equal(udp_address_parse(&world->b.address, "198.51.100.99", 61000), 0);
    steps(world, 100);
    assert_true(heard_tone(&world->a, 1000) > 0.98);
    assert_true(heard_tone(&world->b, 440) > 0.98);
    world_free(world);
}

// ---- digits

static void test_digits_both_ways(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    struct audio_session *a = trunk_media_session(world->a.media), *b = trunk_media_session(world->b.media);
    world->net = (struct impairment){.loss_percent = 10, .delay_ms = 10, .duplicate_percent = 10};
    steps(world, 10);
    assert_int_equal(audio_session_send_dtmf(a, "0123456789"), 0);
    assert_int_equal(audio_session_send_dtmf(b, "*#ABCD11"), 0);
    steps(world, 300);
    assert_string_equal(world->b.digits, "0123456789");
    assert_string_equal(world->a.digits, "*#ABCD11");
    world->net.loss_percent = 0;
    steps(world, 60);
    assert_true(heard_tone(&world->b, 440) > 0.98); // speech goes on
    world_free(world);
}

static void test_a_digit_by_info_and_by_event(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    struct audio_session *a = trunk_media_session(world->a.media), *b = trunk_media_session(world->b.media);
    steps(world, 10);
    assert_int_equal(audio_session_send_dtmf(a, "7"), 0);
    steps(world, 8);
    audio_session_digit(b, '7', world->now_us);
    audio_session_digit(b, 'x', world->now_us);
    steps(world, 50);
    audio_session_digit(b, '7', world->now_us);
    audio_session_digit(b, 'd', world->now_us);
    assert_string_equal(world->b.digits, "77D");
    world_free(world);
}

static void test_digits_as_tones(void **state) {
    (void)state;
    static const char *const codecs[] = {"0", "9", "8"};
    for (size_t i = 0; i < 3; i++) {
        const struct setup setup = {.codec = codecs[i], .lines = "", .inband = true};
        struct world *world = world_new(&setup);
        steps(world, 10);
        assert_int_equal(audio_session_send_dtmf(trunk_media_session(world->a.media), "159#D"), 0);
        steps(world, 100);
        assert_string_equal(world->b.digits, "159#D");
        assert_string_equal(world->a.digits, "");
        world_free(world);
    }
}

static void test_tones_are_not_listened_for_beside_events(void **state) {
    (void)state;
    struct setup setup = g711;
    setup.inband = true;
    struct world *world = world_new(&setup);
    struct tone low, high;
    tone_init(&low, 8000, 770, 7000);
    tone_init(&high, 8000, 1336, 7000);
    for (unsigned i = 0; i < 20; i++) {
        int16_t pcm[160], other[160];
        tone_fill(&low, pcm, 160);
        tone_fill(&high, other, 160);
        for (size_t k = 0; k < 160; k++)
            pcm[k] = (int16_t)(pcm[k] + other[k]);
        audio_session_write_pcm(trunk_media_session(world->a.media), pcm, 160, false, world->now_us);
        world->now_us += STEP_US;
        deliver(world);
        end_read(&world->b);
    }
    assert_string_equal(world->b.digits, "");
    world_free(world);
}

// Passed through, payloads are listened to as well.
static void test_tones_in_passthrough(void **state) {
    (void)state;
    static const struct setup setup = {.codec = "0", .lines = "", .inband = true};
    struct world *world = world_new(&setup);
    steps(world, 10);
    assert_int_equal(audio_session_send_dtmf(trunk_media_session(world->a.media), "42"), 0);
    for (unsigned i = 0; i < 60; i++) {
        uint8_t payload[160];
        end_write(&world->a);
        world->now_us += STEP_US;
        deliver(world);
        audio_session_read_payload(trunk_media_session(world->b.media), payload, sizeof payload, 20,
                                   world->now_us);
    }
    assert_string_equal(world->b.digits, "42");
    world_free(world);
}

// ---- pauses, hold, reports

static void test_packets_never_stop(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    steps(world, 10);
    world->a.mute = true;
    unsigned before = world->a.sent[TRUNK_RTP];
    steps(world, 100);
    assert_int_equal(world->a.sent[TRUNK_RTP] - before, 100);
    world_free(world);
}

static void test_comfort_noise_where_offered(void **state) {
    (void)state;
    static const struct setup noisy = {.codec = "0 13", .lines = ""};
    struct world *world = world_new(&noisy);
    struct rtp_packet speech, noise;
    steps(world, 10);
    assert_int_equal(rtp_parse(span_of(world->a.last, world->a.last_len), &speech), 0);
    world->a.mute = true;
    unsigned before = world->a.sent[TRUNK_RTP];
    steps(world, 1);
    assert_int_equal(rtp_parse(span_of(world->a.last, world->a.last_len), &noise), 0);
    assert_int_equal(noise.payload_type, 13);
    assert_int_equal(noise.seq, (uint16_t)(speech.seq + 1));
    assert_int_equal(noise.timestamp, speech.timestamp + 160);
    assert_int_equal(noise.payload_len, 1);
    steps(world, 99);
    assert_int_equal(world->a.sent[TRUNK_RTP] - before, 10); // each 200 ms
    world->a.mute = false;
    steps(world, 1);
    struct rtp_packet again;
    assert_int_equal(rtp_parse(span_of(world->a.last, world->a.last_len), &again), 0);
    assert_int_equal(again.payload_type, 0);
    assert_true(again.marker);
    assert_int_equal(again.timestamp, speech.timestamp + 101 * 160);
    steps(world, 60);
    assert_true(heard_tone(&world->b, 440) > 0.98);
    assert_int_equal(stats_of(&world->b).rx_lost, 0);
    world_free(world);
}

static void test_on_hold_nothing_is_sent_but_reports(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    steps(world, 50);
    struct setup held = g711;
    held.lines = "a=rtpmap:101 telephone-event/8000\na=sendonly\n";
    end_apply(&world->a, &world->b, &held); // b sends music, and wants nothing
    assert_true(trunk_media_on_hold(world->a.media));
    struct rtp_packet last, next;
    assert_int_equal(rtp_parse(span_of(world->a.last, world->a.last_len), &last), 0);
    unsigned before = world->a.sent[TRUNK_RTP];
    steps(world, 50);
    assert_int_equal(world->a.sent[TRUNK_RTP], before);
    assert_true(heard_tone(&world->a, 1000) > 0.98);
    audio_session_report(trunk_media_session(world->a.media), world->now_us, NULL);
    assert_int_equal(world->a.sent[TRUNK_RTCP], 1);
    end_apply(&world->a, &world->b, &g711);
    assert_false(trunk_media_on_hold(world->a.media));
    steps(world, 1);
    assert_int_equal(rtp_parse(span_of(world->a.last, world->a.last_len), &next), 0);
    assert_int_equal(next.seq, (uint16_t)(last.seq + 1));
    assert_int_equal(next.timestamp, last.timestamp + 51 * 160); // time did not stand still
    assert_true(next.marker);
    world_free(world);
}

static void test_reports_tell_loss_and_round_trip(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    world->net = (struct impairment){.delay_ms = 40, .loss_percent = 20};
    steps(world, 100);
    world->net.loss_percent = 0;
    for (unsigned i = 0; i < 3; i++) {
        audio_session_report(trunk_media_session(world->a.media), world->now_us, NULL);
        steps(world, 5);
        audio_session_report(trunk_media_session(world->b.media), world->now_us, NULL);
        steps(world, 5);
        if (i == 0) // of the first interval
            assert_in_range(stats_of(&world->a).remote_fraction_lost, 20, 90);
    }
    assert_in_range(stats_of(&world->a).rtt_us, 70000, 100000);
    world_free(world);
}

// RTCP from where RTP comes is taken on either port; from a stranger on neither.
static void test_rtcp_of_a_stranger(void **state) {
    (void)state;
    struct world *world = world_new(&g711);
    steps(world, 20);
    uint8_t report[] = {0x80, 201, 0, 1, 0, 0, 0, 9};
    uint64_t heard_us = trunk_media_heard_us(world->b.media);
    world->now_us += 1000;
    throw_at(&world->b, report, sizeof report, "192.0.2.66", 4001);
    assert_int_equal(trunk_media_heard_us(world->b.media), heard_us);
    report[3] = 9; // longer than it is
    throw_at(&world->b, report, sizeof report, "203.0.113.1", 4001);
    assert_int_equal(trunk_media_heard_us(world->b.media), heard_us);
    report[3] = 1;
    throw_at(&world->b, report, sizeof report, "203.0.113.1", 4001);
    assert_int_equal(trunk_media_heard_us(world->b.media), world->now_us);
    world_free(world);
}

static void test_rtcp_mux(void **state) {
    (void)state;
    static const struct setup mux = {.codec = "0", .lines = "a=rtcp-mux\n"};
    struct world *world = world_new(&mux);
    steps(world, 10);
    unsigned before = world->a.sent[TRUNK_RTP];
    uint64_t heard_us = trunk_media_heard_us(world->b.media);
    world->now_us += 5000;
    audio_session_report(trunk_media_session(world->a.media), world->now_us, NULL);
    assert_int_equal(world->a.sent[TRUNK_RTCP], 0);
    assert_int_equal(world->a.sent[TRUNK_RTP], before + 1);
    deliver(world);
    assert_true(trunk_media_heard_us(world->b.media) > heard_us);
    world_free(world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_jitter_reordering_and_duplicates),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_a_spoofed_source_is_not_heard),
        cmocka_unit_test(test_a_wrong_ssrc_is_not_heard),
        cmocka_unit_test(test_other_payload_types_are_not_played),
        cmocka_unit_test(test_a_flood),
        cmocka_unit_test(test_forged_and_replayed_srtp),
        cmocka_unit_test(test_behind_a_nat),
        cmocka_unit_test(test_digits_both_ways),
        cmocka_unit_test(test_a_digit_by_info_and_by_event),
        cmocka_unit_test(test_digits_as_tones),
        cmocka_unit_test(test_tones_are_not_listened_for_beside_events),
        cmocka_unit_test(test_tones_in_passthrough),
        cmocka_unit_test(test_packets_never_stop),
        cmocka_unit_test(test_comfort_noise_where_offered),
        cmocka_unit_test(test_on_hold_nothing_is_sent_but_reports),
        cmocka_unit_test(test_reports_tell_loss_and_round_trip),
        cmocka_unit_test(test_rtcp_of_a_stranger),
        cmocka_unit_test(test_rtcp_mux),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
