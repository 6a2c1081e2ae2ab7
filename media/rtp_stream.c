// SPDX-License-Identifier: Apache-2.0
#include "media/rtp_stream.h"

enum { SEQ_MOD = 1 << 16 };

// No 16-bit sequence number equals it, so the first jump never matches by chance.
enum { NO_BAD_SEQ = SEQ_MOD + 1 };

static void start_at(struct rtp_stream *s, uint16_t seq) {
    s->started = true;
    s->base_seq = seq;
    s->max_seq = seq;
    s->bad_seq = NO_BAD_SEQ;
    s->cycles = 0;
    s->received = 0;
    s->received_prior = 0;
    s->expected_prior = 0;
    s->have_transit = false;
}

void rtp_stream_init(struct rtp_stream *s, uint32_t ssrc, uint32_t clock_hz, unsigned probation) {
    *s = (struct rtp_stream){.ssrc = ssrc, .clock_hz = clock_hz, .probation = probation};
}

void rtp_stream_set_clock(struct rtp_stream *s, uint32_t clock_hz) {
    if (clock_hz == s->clock_hz)
        return;
    s->jitter_q4 = (uint32_t)((uint64_t)s->jitter_q4 * clock_hz / s->clock_hz);
    s->clock_hz = clock_hz;
    s->have_transit = false;
}

// A.1 for a source on probation: it must send `probation` packets in order.
static enum rtp_stream_verdict prove(struct rtp_stream *s, uint16_t seq) {
    bool in_order = s->started && seq == (uint16_t)(s->max_seq + 1);
    if (!s->started || !in_order) {
        s->started = true;
        s->probation = RTP_MIN_SEQUENTIAL - 1;
        s->max_seq = seq;
        return RTP_STREAM_PROBATION;
    }
    s->max_seq = seq;
    if (--s->probation)
        return RTP_STREAM_PROBATION;
    start_at(s, seq);
    return RTP_STREAM_OK;
}

static enum rtp_stream_verdict advance(struct rtp_stream *s, uint16_t seq) {
    uint16_t delta = (uint16_t)(seq - s->max_seq);
    if (delta < RTP_MAX_DROPOUT) {
        if (seq < s->max_seq)
            s->cycles += SEQ_MOD;
        s->max_seq = seq;
        return RTP_STREAM_OK;
    }
    if (delta > SEQ_MOD - RTP_MAX_MISORDER)
        return RTP_STREAM_OK; // reordered or a duplicate
    if (seq == s->bad_seq) {
        // Two in a row: the other side started again without telling us.
        start_at(s, seq);
        return RTP_STREAM_RESTART;
    }
    s->bad_seq = (seq + 1u) & (SEQ_MOD - 1);
    return RTP_STREAM_BAD;
}

// A.8, in 1/16 tick so that the running mean keeps its fraction.
static void measure_jitter(struct rtp_stream *s, uint32_t timestamp, uint64_t now_us) {
    uint64_t seconds = now_us / 1000000, rest_us = now_us % 1000000;
    uint32_t arrival = (uint32_t)(seconds * s->clock_hz + rest_us * s->clock_hz / 1000000);
    uint32_t transit = arrival - timestamp;
    int32_t d = (int32_t)(transit - s->transit);
    bool have_last = s->have_transit;
    s->transit = transit;
    s->have_transit = true;
    if (!have_last)
        return;
    uint32_t size = d < 0 ? 0u - (uint32_t)d : (uint32_t)d;
    // A timestamp that jumped is no network's jitter, and one would take minutes to decay.
    if (size > s->clock_hz * 2)
        return;
    s->jitter_q4 += size - ((s->jitter_q4 + 8) >> 4);
}

enum rtp_stream_verdict rtp_stream_packet(struct rtp_stream *s, uint16_t seq, uint32_t timestamp,
                                          uint64_t now_us) {
    enum rtp_stream_verdict verdict = RTP_STREAM_OK;
    if (s->probation)
        verdict = prove(s, seq);
    else if (!s->started)
        start_at(s, seq);
    else
        verdict = advance(s, seq);
    if (verdict == RTP_STREAM_PROBATION || verdict == RTP_STREAM_BAD)
        return verdict;
    s->received++;
    measure_jitter(s, timestamp, now_us);
    return verdict;
}

uint32_t rtp_stream_highest_seq(const struct rtp_stream *s) {
    return s->cycles + s->max_seq;
}

static uint32_t expected(const struct rtp_stream *s) {
    return s->received ? rtp_stream_highest_seq(s) - s->base_seq + 1 : 0;
}

int32_t rtp_stream_lost(const struct rtp_stream *s) {
    return (int32_t)(expected(s) - s->received);
}

uint32_t rtp_stream_jitter_ticks(const struct rtp_stream *s) {
    return s->jitter_q4 >> 4;
}

uint32_t rtp_stream_jitter_us(const struct rtp_stream *s) {
    return (uint32_t)((uint64_t)s->jitter_q4 * 1000000 / 16 / s->clock_hz);
}

void rtp_stream_sender_report(struct rtp_stream *s, uint64_t ntp, uint64_t now_us) {
    s->have_sr = true;
    s->lsr = rtcp_ntp_middle(ntp);
    s->sr_came_us = now_us;
}

static uint8_t take_fraction_lost(struct rtp_stream *s) {
    uint32_t expected_now = expected(s);
    int64_t expected_interval = expected_now - s->expected_prior;
    int64_t received_interval = s->received - s->received_prior;
    int64_t lost_interval = expected_interval - received_interval;
    s->expected_prior = expected_now;
    s->received_prior = s->received;
    if (expected_interval <= 0 || lost_interval <= 0)
        return 0;
    int64_t fraction = lost_interval * 256 / expected_interval;
    return fraction > 255 ? 255 : (uint8_t)fraction;
}

static uint32_t since_sr(const struct rtp_stream *s, uint64_t now_us) {
    uint64_t since_us = now_us > s->sr_came_us ? now_us - s->sr_came_us : 0;
    return (uint32_t)(since_us * 65536 / 1000000);
}

bool rtp_stream_report(struct rtp_stream *s, uint64_t now_us, struct rtcp_report_block *out) {
    if (!s->received)
        return false;
    int32_t lost = rtp_stream_lost(s);
    *out = (struct rtcp_report_block){
        .ssrc = s->ssrc,
        .fraction_lost = take_fraction_lost(s),
        .lost = lost > 0x7fffff    ? 0x7fffff
                : lost < -0x800000 ? -0x800000
                                   : lost,
        .highest_seq = rtp_stream_highest_seq(s),
        .jitter = rtp_stream_jitter_ticks(s),
        .lsr = s->have_sr ? s->lsr : 0,
        .dlsr = s->have_sr ? since_sr(s, now_us) : 0,
    };
    return true;
}
