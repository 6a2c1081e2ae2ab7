// SPDX-License-Identifier: Apache-2.0
#include "media/audio_tx.h"

#include "gateway/core/metrics.h"
#include "media/rtp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    SENT_REPORTS = 4, // SRs remembered: the peer answers one of the last few
    COMPLEXITY = 5,   // of Opus: the codec's own, before it is tuned
    MAX_RTT_US = 30000000,
};

struct sent_report {
    uint32_t lsr; // as the peer will quote it
    uint64_t at_us;
    bool used;
};

struct audio_tx {
    struct audio_tx_config config;
    struct codec_encoder *encoder; // owns
    uint16_t seq;
    uint32_t timestamp; // of the next frame
    bool spurt;         // the next packet is the first after silence
    bool sent_any;
    uint32_t sent_timestamp; // of the last packet
    uint64_t sent_us;
    unsigned loss_percent, complexity; // that the encoder is tuned for
    struct audio_tx_stats counters;
    struct sent_report reports[SENT_REPORTS];
    size_t next_report;
};

static int encoder_for(struct codec_encoder **out, enum codec_id codec, uint8_t payload_type,
                       uint32_t rate_hz) {
    if (!codec_desc(codec) || codec == CODEC_L16 || payload_type > 127)
        return -EINVAL;
    return codec_encoder_new(out, codec, rate_hz);
}

int audio_tx_new(struct audio_tx **out, const struct audio_tx_config *config) {
    struct audio_tx *tx = calloc(1, sizeof *tx);
    if (!tx)
        return -ENOMEM;
    int err = encoder_for(&tx->encoder, config->codec, config->payload_type, config->pcm_rate_hz);
    if (err) {
        free(tx);
        return err;
    }
    tx->config = *config;
    tx->complexity = COMPLEXITY;
    tx->spurt = true;
    tx->counters.ssrc = config->ssrc;
    // Random, as RFC 3550 section 5.1 wants; with a short count they stay what they are, which is legal too.
    uint8_t random[6] = {0};
    if (getrandom(random, sizeof random, 0) == (ssize_t)sizeof random) {
        memcpy(&tx->seq, random, 2);
        memcpy(&tx->timestamp, random + 2, 4);
    }
    // SRTP's rollover counter begins at 0 on both sides: a first packet lost just before a wrap would part
    // them.
    tx->seq &= 0x7fff;
    *out = tx;
    return 0;
}

void audio_tx_free(struct audio_tx *tx) {
    if (!tx)
        return;
    codec_encoder_free(tx->encoder);
    free(tx);
}

int audio_tx_switch(struct audio_tx *tx, enum codec_id codec, uint8_t payload_type, uint32_t pcm_rate_hz) {
    struct codec_encoder *encoder;
    int err = encoder_for(&encoder, codec, payload_type, pcm_rate_hz);
    if (err)
        return err;
    codec_encoder_free(tx->encoder);
    tx->encoder = encoder;
    tx->config.codec = codec;
    tx->config.payload_type = payload_type;
    tx->config.pcm_rate_hz = pcm_rate_hz;
    tx->spurt = true;
    codec_encoder_tune(encoder, tx->loss_percent, tx->complexity);
    return 0;
}

static uint32_t clock_of(const struct audio_tx *tx) {
    return codec_desc(tx->config.codec)->clock_hz;
}

static uint32_t ms_to_ticks(const struct audio_tx *tx, uint32_t ms) {
    return clock_of(tx) / 1000 * ms;
}

// Puts the header before a payload that is already in place.
static int finish_as(struct audio_tx *tx, uint8_t payload_type, bool marker, uint32_t timestamp, uint8_t *out,
                     size_t payload_len, uint64_t now_us) {
    struct rtp_packet header = {.payload_type = payload_type,
                                .marker = marker,
                                .seq = tx->seq,
                                .timestamp = timestamp,
                                .ssrc = tx->config.ssrc};
    int len = rtp_write(out, RTP_HEADER_LEN, &header);
    if (len < 0)
        return len;
    tx->seq++;
    tx->sent_any = true;
    tx->sent_timestamp = tx->timestamp; // an event's own may be older
    tx->sent_us = now_us;
    tx->counters.packets++;
    tx->counters.bytes += payload_len;
    metric_add(METRIC_RTP_OUT, 1);
    return len + (int)payload_len;
}

static int finish(struct audio_tx *tx, uint8_t *out, size_t payload_len, uint64_t now_us) {
    int len = finish_as(tx, tx->config.payload_type, tx->spurt, tx->timestamp, out, payload_len, now_us);
    tx->spurt = tx->spurt && len < 0;
    return len;
}

static void heed_complexity(struct audio_tx *tx) {
    if (!tx->config.complexity || *tx->config.complexity == tx->complexity)
        return;
    tx->complexity = *tx->config.complexity;
    codec_encoder_tune(tx->encoder, tx->loss_percent, tx->complexity);
}

int audio_tx_pcm(struct audio_tx *tx, const int16_t *pcm, size_t samples, uint64_t now_us, uint8_t *out,
                 size_t cap) {
    heed_complexity(tx);
    uint32_t ticks = (uint32_t)((uint64_t)samples * clock_of(tx) / tx->config.pcm_rate_hz);
    int len = -EMSGSIZE;
    uint64_t begin_ns = stage_begin(HISTOGRAM_STAGE_ENCODE);
    if (cap > RTP_HEADER_LEN)
        len = codec_encode(tx->encoder, pcm, samples, out + RTP_HEADER_LEN, cap - RTP_HEADER_LEN);
    stage_end(HISTOGRAM_STAGE_ENCODE, begin_ns);
    if (len > 0)
        len = finish(tx, out, (size_t)len, now_us);
    // A frame that could not be encoded has passed all the same.
    tx->timestamp += ticks;
    return len;
}

int audio_tx_payload(struct audio_tx *tx, const uint8_t *payload, size_t len, uint32_t duration_ms,
                     uint64_t now_us, uint8_t *out, size_t cap) {
    int written = -EMSGSIZE;
    if (cap > RTP_HEADER_LEN && len && len <= cap - RTP_HEADER_LEN && len <= CODEC_MAX_PAYLOAD) {
        memcpy(out + RTP_HEADER_LEN, payload, len);
        written = finish(tx, out, len, now_us);
    }
    tx->timestamp += ms_to_ticks(tx, duration_ms);
    return written;
}

int audio_tx_other(struct audio_tx *tx, const struct audio_tx_other *other, uint64_t now_us, uint8_t *out,
                   size_t cap) {
    if (cap < RTP_HEADER_LEN + other->len)
        return -EMSGSIZE;
    memcpy(out + RTP_HEADER_LEN, other->payload, other->len);
    return finish_as(tx, other->payload_type, other->marker, other->timestamp, out, other->len, now_us);
}

uint32_t audio_tx_timestamp(const struct audio_tx *tx) {
    return tx->timestamp;
}

void audio_tx_skip(struct audio_tx *tx, uint32_t duration_ms) {
    tx->timestamp += ms_to_ticks(tx, duration_ms);
    tx->spurt = true;
}

static const struct sent_report *report_quoted(const struct audio_tx *tx, uint32_t lsr) {
    for (size_t i = 0; i < SENT_REPORTS; i++) {
        if (tx->reports[i].used && tx->reports[i].lsr == lsr)
            return &tx->reports[i];
    }
    return NULL;
}

static void measure_rtt(struct audio_tx *tx, const struct rtcp_report_block *block, uint64_t now_us) {
    const struct sent_report *sent = block->lsr ? report_quoted(tx, block->lsr) : NULL;
    uint64_t held_us = (uint64_t)block->dlsr * 1000000 / 65536;
    if (!sent || now_us < sent->at_us + held_us)
        return;
    uint64_t rtt_us = now_us - sent->at_us - held_us;
    if (rtt_us <= MAX_RTT_US)
        tx->counters.rtt_us = (uint32_t)rtt_us;
}

void audio_tx_report(struct audio_tx *tx, const struct rtcp_report_block *block, uint64_t now_us) {
    if (block->ssrc != tx->config.ssrc)
        return;
    tx->counters.fraction_lost = block->fraction_lost;
    tx->counters.lost = block->lost > 0 ? (uint64_t)block->lost : 0; // duplicates make it negative
    tx->counters.jitter_us = (uint32_t)((uint64_t)block->jitter * 1000000 / clock_of(tx));
    measure_rtt(tx, block, now_us);
    // Up at once, down by half a report, so that FEC outlasts a lucky one.
    unsigned percent = (block->fraction_lost * 100u + 128) / 256;
    unsigned wanted = percent > tx->loss_percent ? percent : (percent + tx->loss_percent) / 2;
    if (wanted != tx->loss_percent)
        codec_encoder_tune(tx->encoder, wanted, tx->complexity);
    tx->loss_percent = wanted;
}

void audio_tx_sender_info(struct audio_tx *tx, uint64_t now_us, uint64_t now_ntp,
                          struct rtcp_sender_info *out) {
    uint64_t since_us = tx->sent_any && now_us > tx->sent_us ? now_us - tx->sent_us : 0;
    uint32_t from = tx->sent_any ? tx->sent_timestamp : tx->timestamp;
    *out = (struct rtcp_sender_info){
        .ntp = now_ntp,
        .rtp_timestamp = from + (uint32_t)(since_us * clock_of(tx) / 1000000),
        .packets = (uint32_t)tx->counters.packets,
        .octets = (uint32_t)tx->counters.bytes,
    };
    tx->reports[tx->next_report] =
        (struct sent_report){.lsr = rtcp_ntp_middle(now_ntp), .at_us = now_us, .used = true};
    tx->next_report = (tx->next_report + 1) % SENT_REPORTS;
}

void audio_tx_stats(const struct audio_tx *tx, struct audio_tx_stats *out) {
    *out = tx->counters;
}
