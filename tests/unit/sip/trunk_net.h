// SPDX-License-Identifier: Apache-2.0
// Two ends of a trunk's media over a network of the test's own, on its own clock.
#ifndef IQ_TESTS_TRUNK_NET_H
#define IQ_TESTS_TRUNK_NET_H

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
    unsigned sources; // addresses taken for the peer's
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

static void on_source(const union udp_address *from, void *arg) {
    (void)from;
    ((struct end *)arg)->sources++;
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
    enum dtmf_tones tones;
    bool secure;
};

static void end_new(struct world *world, struct end *end, const char *host, const char *peer_host,
                    const struct setup *setup) {
    const struct trunk_media_events events = {
        .on_send = on_send, .on_dtmf = on_dtmf, .on_source = on_source, .arg = end};
    union udp_address peer;
    end->world = world;
    assert_int_equal(udp_address_parse(&end->address, host, 4000), 0);
    assert_int_equal(udp_address_parse(&peer, peer_host, 0), 0);
    assert_int_equal(trunk_media_new(&end->media, 16000, setup->tones, &peer, &events), 0);
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
    assert_int_equal(trunk_media_apply(end->media, &plan, &ours, end->world->now_us, &changed), 0);
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

#endif
