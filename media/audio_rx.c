// SPDX-License-Identifier: Apache-2.0
#include "media/audio_rx.h"

#include "gateway/core/metrics.h"
#include "media/jitter.h"
#include "media/rtp_stream.h"
#include "media/tempo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    TAKEOVER_US = 500000, // a source silent for so long may be replaced
    FADE_FROM_MS = 60,    // of concealment at a stretch, which then fades
    FADE_TO_MS = 120,     // to silence here
    SILENCE_MS = 10,
    SILENCE_CAP = 80,
    OPUS_DTX_LEN = 2,  // bytes of payload that mean: the speaker is silent
    POOL_BYTES = 8000, // a second at 64 kbit/s, two of a browser's Opus; half a second is the most wanted
};

// How the reader reads, and so what is in the buffer.
enum reading { READING_PCM, READING_PAYLOAD };

// All that depends on what was negotiated.
struct chain {
    struct audio_rx_config config;
    struct codec_decoder *decoder; // owns
    int16_t *left;  // owns; between reads: decoded and not yet read, or as bytes payload not yet read
    size_t pcm_cap; // samples in `left` and at work
    size_t silence_len;
    uint8_t silence[SILENCE_CAP]; // SILENCE_MS of it, encoded
};

// What a read works in, one for all streams of a thread: it is in the processor's cache then, where 2 KiB of each
// stream's own would not be. A read that leaves something of it keeps that in `left`.
static _Thread_local int16_t work[CODEC_MAX_SAMPLES];

struct audio_rx {
    struct jitter *jitter; // owns
    enum reading reading;
    size_t at, end;    // of the buffer, that is `left` or `work`: samples or bytes
    size_t gap;        // bytes of silence to be read before it
    size_t span, done; // of the running read of PCM

    bool have_source, source_gone;
    struct rtp_stream stream;
    uint32_t packet_ms;

    bool dtx;            // the last packet heard said that silence follows
    uint32_t made_up_us; // at a stretch, up to FADE_TO_MS
    struct audio_rx_stats counters;
    struct chain chain;
    uint64_t undecodable_ms;
    struct jitter_stats old_jitter;        // of jitter buffers before a switch
    uint64_t told_lost, told_concealed_ms; // to the metrics
};

static uint32_t clock_of(const struct audio_rx *rx) {
    return codec_desc(rx->chain.config.codec)->clock_hz;
}

static bool is_opus(const struct audio_rx *rx) {
    return rx->chain.config.codec == CODEC_OPUS;
}

static void chain_destroy(struct chain *chain) {
    codec_decoder_free(chain->decoder);
    free(chain->left);
}

static int chain_init(struct chain *out, const struct audio_rx_config *config) {
    struct chain chain = {.config = *config};
    if (!codec_desc(config->codec) || config->codec == CODEC_L16)
        return -EINVAL;
    int err = codec_decoder_new(&chain.decoder, config->codec, config->pcm_rate_hz);
    if (err)
        return err;
    int len = codec_silence_payload(config->codec, SILENCE_MS, chain.silence, sizeof chain.silence);
    chain.silence_len = len > 0 ? (size_t)len : 0;
    // The longest frame, or twice any that is usual, to play it twice.
    chain.pcm_cap = (size_t)config->pcm_rate_hz / 1000 * CODEC_MAX_FRAME_MS;
    chain.left = calloc(chain.pcm_cap, sizeof *chain.left);
    if (!chain.left) {
        chain_destroy(&chain);
        return -ENOMEM;
    }
    *out = chain;
    return 0;
}

static int jitter_for(struct jitter **out, enum codec_id codec) {
    struct jitter_config config = {
        .clock_hz = codec_desc(codec)->clock_hz,
        .max_payload = CODEC_MAX_PAYLOAD,
        .pool_bytes = POOL_BYTES,
    };
    return jitter_new(out, &config);
}

int audio_rx_new(struct audio_rx **out, const struct audio_rx_config *config) {
    struct audio_rx *rx = calloc(1, sizeof *rx);
    if (!rx)
        return -ENOMEM;
    int err = chain_init(&rx->chain, config);
    if (err)
        goto out;
    err = jitter_for(&rx->jitter, config->codec);
    if (err) {
        chain_destroy(&rx->chain);
        goto out;
    }
    *out = rx;
    return 0;
out:
    free(rx);
    return err;
}

// ---- Statistics

static uint64_t ticks_to_ms(const struct audio_rx *rx, uint64_t ticks) {
    return ticks * 1000 / clock_of(rx);
}

// The jitter buffer's own, and those of its predecessors; concealed_ticks in milliseconds.
static struct jitter_stats all_jitter_stats(const struct audio_rx *rx) {
    struct jitter_stats sum;
    jitter_stats(rx->jitter, &sum);
    sum.lost += rx->old_jitter.lost;
    sum.late += rx->old_jitter.late;
    sum.duplicates += rx->old_jitter.duplicates;
    sum.oversize += rx->old_jitter.oversize;
    sum.skipped += rx->old_jitter.skipped;
    sum.concealed_ticks = ticks_to_ms(rx, sum.concealed_ticks) + rx->old_jitter.concealed_ticks;
    return sum;
}

static uint64_t concealed_ms(const struct audio_rx *rx, const struct jitter_stats *stats) {
    return stats->concealed_ticks + rx->undecodable_ms;
}

static void tell_metrics(struct audio_rx *rx) {
    struct jitter_stats stats = all_jitter_stats(rx);
    uint64_t made_up_ms = concealed_ms(rx, &stats);
    if (stats.lost != rx->told_lost)
        metric_add(METRIC_RTP_LOST, (int64_t)(stats.lost - rx->told_lost));
    if (made_up_ms != rx->told_concealed_ms)
        metric_add(METRIC_RTP_CONCEALED_MS, (int64_t)(made_up_ms - rx->told_concealed_ms));
    rx->told_lost = stats.lost;
    rx->told_concealed_ms = made_up_ms;
}

void audio_rx_stats(const struct audio_rx *rx, struct audio_rx_stats *out) {
    struct jitter_stats stats = all_jitter_stats(rx);
    *out = rx->counters;
    out->lost = stats.lost;
    out->late = stats.late;
    out->duplicates = stats.duplicates;
    out->dropped += stats.oversize + stats.skipped;
    out->concealed_ms = concealed_ms(rx, &stats);
    out->jitter_us = rx->have_source ? rtp_stream_jitter_us(&rx->stream) : 0;
    out->target_ms = stats.target_ms;
    out->depth_ms = stats.depth_ms;
}

void audio_rx_free(struct audio_rx *rx) {
    if (!rx)
        return;
    tell_metrics(rx);
    chain_destroy(&rx->chain);
    jitter_free(rx->jitter);
    free(rx);
}

// ---- Renegotiation

static int switch_codec(struct audio_rx *rx, enum codec_id codec) {
    struct jitter *jitter;
    int err = jitter_for(&jitter, codec);
    if (err)
        return err;
    rx->old_jitter = all_jitter_stats(rx);
    jitter_free(rx->jitter);
    rx->jitter = jitter;
    return 0;
}

int audio_rx_switch(struct audio_rx *rx, const struct audio_rx_config *config) {
    struct chain chain;
    int err = chain_init(&chain, config);
    if (err)
        return err;
    bool other = config->codec != rx->chain.config.codec;
    err = other ? switch_codec(rx, config->codec) : 0;
    if (err) {
        chain_destroy(&chain);
        return err;
    }
    chain_destroy(&rx->chain);
    rx->chain = chain;
    rx->at = rx->end = rx->gap = 0;
    rx->dtx = false;
    rx->packet_ms = other ? 0 : rx->packet_ms;
    if (rx->have_source)
        rtp_stream_set_clock(&rx->stream, clock_of(rx));
    return 0;
}

// ---- Packets in

static bool may_take_over(const struct audio_rx *rx, uint64_t now_us) {
    return !rx->have_source || rx->source_gone || now_us - rx->counters.last_packet_us >= TAKEOVER_US;
}

static void take_over(struct audio_rx *rx, uint32_t ssrc) {
    rtp_stream_init(&rx->stream, ssrc, clock_of(rx), 0);
    jitter_restart(rx->jitter);
    rx->have_source = true;
    rx->source_gone = false;
}

// False: not to be played, nor to fill its sequence number.
static bool account(struct audio_rx *rx, const struct rtp_packet *packet, uint64_t now_us) {
    switch (rtp_stream_packet(&rx->stream, packet->seq, packet->timestamp, now_us)) {
    case RTP_STREAM_OK:
        return true;
    case RTP_STREAM_RESTART:
        jitter_restart(rx->jitter);
        return true;
    default:
        rx->counters.dropped++;
        return false;
    }
}

// An event or comfort noise takes a sequence number that must not look lost.
static void fill_seq(struct audio_rx *rx, const struct rtp_packet *packet, uint64_t now_us) {
    struct jitter_packet filler = {.seq = packet->seq, .timestamp = packet->timestamp};
    jitter_put(rx->jitter, &filler, now_us);
}

static void other_payload_type(struct audio_rx *rx, const struct rtp_packet *packet, uint64_t now_us) {
    if (packet->payload_type != rx->chain.config.dtmf_payload_type)
        rx->counters.wrong_payload_type++;
    if (!rx->have_source || packet->ssrc != rx->stream.ssrc || !account(rx, packet, now_us))
        return;
    rx->counters.last_packet_us = now_us;
    fill_seq(rx, packet, now_us);
}

void audio_rx_packet(struct audio_rx *rx, const struct rtp_packet *packet, uint64_t now_us) {
    metric_add(METRIC_RTP_IN, 1);
    if (packet->payload_type != rx->chain.config.payload_type) {
        other_payload_type(rx, packet, now_us);
        return;
    }
    uint32_t ticks = codec_payload_ticks(rx->chain.config.codec, packet->payload, packet->payload_len);
    if (!ticks || ticks > clock_of(rx) / 1000 * CODEC_MAX_FRAME_MS) {
        rx->counters.dropped++;
        return;
    }
    if (!rx->have_source || packet->ssrc != rx->stream.ssrc) {
        if (!may_take_over(rx, now_us)) {
            rx->counters.dropped++;
            return;
        }
        take_over(rx, packet->ssrc);
    }
    rx->counters.last_packet_us = now_us;
    if (!account(rx, packet, now_us))
        return;
    rx->counters.packets++;
    rx->counters.bytes += packet->payload_len;
    rx->packet_ms = (uint32_t)ticks_to_ms(rx, ticks);
    struct jitter_packet in = {packet->seq, packet->timestamp, ticks, packet->payload, packet->payload_len};
    jitter_put(rx->jitter, &in, now_us);
}

void audio_rx_unsure(struct audio_rx *rx, uint32_t unsure_us) {
    jitter_unsure(rx->jitter, unsure_us);
}

void audio_rx_bye(struct audio_rx *rx, uint32_t ssrc) {
    if (rx->have_source && rx->stream.ssrc == ssrc)
        rx->source_gone = true;
}

bool audio_rx_late(struct audio_rx *rx, int64_t *late_us) {
    return jitter_late(rx->jitter, late_us);
}

uint32_t audio_rx_packet_ms(const struct audio_rx *rx) {
    return rx->packet_ms;
}

bool audio_rx_report(struct audio_rx *rx, uint64_t now_us, struct rtcp_report_block *out) {
    tell_metrics(rx);
    return rx->have_source && rtp_stream_report(&rx->stream, now_us, out);
}

void audio_rx_sender_report(struct audio_rx *rx, const struct rtcp_sender_info *info, uint64_t now_us) {
    if (rx->have_source)
        rtp_stream_sender_report(&rx->stream, info->ntp, now_us);
}

// ---- PCM out

// The last packet of a read is taken as long before it is heard as what is read before it lasts: `held_us` of
// the buffer, and the packets between.
static uint64_t lead_us(const struct audio_rx *rx, uint64_t held_us, uint64_t span_us) {
    uint64_t packet_us = rx->packet_ms * 1000ull;
    if (!packet_us || held_us >= span_us)
        return 0;
    return held_us + (span_us - held_us - 1) / packet_us * packet_us;
}

static void start_reading(struct audio_rx *rx, enum reading reading, uint64_t units, uint64_t per_second) {
    if (rx->reading != reading)
        rx->at = rx->end = rx->gap = 0;
    rx->reading = reading;
    uint64_t held_us = (rx->gap + rx->end - rx->at) * 1000000 / per_second;
    jitter_set_lead(rx->jitter, lead_us(rx, held_us, units * 1000000 / per_second));
}

static size_t samples_of(const struct audio_rx *rx, uint32_t ticks) {
    size_t samples = (size_t)((uint64_t)ticks * rx->chain.config.pcm_rate_hz / clock_of(rx));
    return samples < rx->chain.pcm_cap ? samples : rx->chain.pcm_cap;
}

// A straight line from full at FADE_FROM_MS of making things up to nothing at FADE_TO_MS.
static void fade(struct audio_rx *rx, int16_t *pcm, size_t samples) {
    uint32_t rate_hz = rx->chain.config.pcm_rate_hz;
    const int64_t span_us = (FADE_TO_MS - FADE_FROM_MS) * 1000;
    for (size_t i = 0; i < samples; i++) {
        int64_t left_us = FADE_TO_MS * 1000 - (int64_t)rx->made_up_us - (int64_t)(i * 1000000 / rate_hz);
        if (left_us < span_us)
            pcm[i] = (int16_t)(left_us > 0 ? pcm[i] * left_us / span_us : 0);
    }
}

static void make_up(struct audio_rx *rx, const struct jitter_frame *frame) {
    size_t samples = samples_of(rx, frame->ticks);
    const uint8_t *next = frame->kind == JITTER_LOST ? frame->payload : NULL;
    rx->at = 0;
    rx->end = samples;
    if (rx->made_up_us >= FADE_TO_MS * 1000 && !rx->dtx) {
        memset(work, 0, samples * sizeof *work);
        return;
    }
    codec_conceal(rx->chain.decoder, next, frame->len, work, samples);
    if (rx->dtx) // comfort noise goes on for as long as the silence
        return;
    fade(rx, work, samples);
    uint64_t made_up_us = rx->made_up_us + ticks_to_ms(rx, frame->ticks) * 1000;
    rx->made_up_us = made_up_us < FADE_TO_MS * 1000 ? (uint32_t)made_up_us : FADE_TO_MS * 1000;
}

// Changes of pace leave part of a frame over in the buffer, and every later one waits behind it in vain.
// Where nobody hears it, as much is left out.
static void give_back(struct audio_rx *rx) {
    size_t less = rx->span < rx->end ? rx->span : rx->end;
    size_t more = rx->span < rx->end ? rx->end : rx->span;
    if (!less || more % less != 0) // then frames begin within reads by nature
        return;
    size_t held = rx->done % less;
    if (held && tempo_is_quiet(work, rx->end))
        rx->end -= held;
}

static void keep_pace(struct audio_rx *rx, enum jitter_pace pace) {
    struct chain *chain = &rx->chain;
    if (pace == JITTER_STEADY) {
        give_back(rx);
        return;
    }
    bool quiet = tempo_is_quiet(work, rx->end);
    if (pace == JITTER_SLOWER && quiet && rx->end <= chain->pcm_cap / 2) {
        memcpy(work + rx->end, work, rx->end * sizeof *work);
        rx->end *= 2;
    } else if (pace == JITTER_SLOWER) {
        rx->end = tempo_lengthen(work, rx->end, chain->pcm_cap, chain->config.pcm_rate_hz);
    } else if (quiet) {
        rx->end = 0;
    } else if (pace == JITTER_FASTER) {
        rx->end = tempo_shorten(work, rx->end, chain->config.pcm_rate_hz);
    }
}

static void decode(struct audio_rx *rx, const struct jitter_frame *frame) {
    struct chain *chain = &rx->chain;
    uint64_t begin_ns = stage_begin(HISTOGRAM_STAGE_DECODE);
    int samples = codec_decode(chain->decoder, frame->payload, frame->len, work, chain->pcm_cap);
    stage_end(HISTOGRAM_STAGE_DECODE, begin_ns);
    if (samples < 0) {
        rx->undecodable_ms += ticks_to_ms(rx, frame->ticks);
        make_up(rx, frame);
        return;
    }
    rx->at = 0;
    rx->end = (size_t)samples;
    rx->made_up_us = 0;
    rx->dtx = is_opus(rx) && frame->len <= OPUS_DTX_LEN;
    keep_pace(rx, frame->pace);
}

// The next frame into the buffer, which may then hold nothing if the frame was left out. False when there is
// no stream.
static bool refill_pcm(struct audio_rx *rx, uint64_t now_us, uint64_t ahead_us) {
    struct jitter_frame frame;
    jitter_get(rx->jitter, now_us, ahead_us, &frame);
    if (frame.kind == JITTER_IDLE)
        return false;
    if (frame.kind == JITTER_PACKET)
        decode(rx, &frame);
    else
        make_up(rx, &frame);
    return true;
}

void audio_rx_read_pcm(struct audio_rx *rx, int16_t *out, size_t samples, uint64_t now_us) {
    uint64_t rate_hz = rx->chain.config.pcm_rate_hz;
    start_reading(rx, READING_PCM, samples, rate_hz);
    if (rx->at != rx->end)
        memcpy(work + rx->at, rx->chain.left + rx->at, (rx->end - rx->at) * sizeof *work);
    rx->span = samples;
    for (rx->done = 0; rx->done < samples;) {
        size_t left = samples - rx->done;
        if (rx->at == rx->end && !refill_pcm(rx, now_us, rx->done * 1000000 / rate_hz)) {
            memset(out + rx->done, 0, left * sizeof *out);
            break;
        }
        size_t held = rx->end - rx->at, part = held < left ? held : left;
        memcpy(out + rx->done, work + rx->at, part * sizeof *out);
        rx->at += part;
        rx->done += part;
    }
    if (rx->at != rx->end)
        memcpy(rx->chain.left + rx->at, work + rx->at, (rx->end - rx->at) * sizeof *work);
}

// ---- Payload out

// From the next packet up to `want` bytes to `out`, `*part` of them, and what is more into `left`; or the length of a gap.
// False when there is no stream.
static bool refill_bytes(struct audio_rx *rx, uint64_t now_us, uint64_t ahead_us, uint8_t *out, size_t want,
                         size_t *part) {
    struct jitter_frame frame;
    jitter_get(rx->jitter, now_us, ahead_us, &frame);
    rx->at = rx->end = 0;
    if (frame.kind == JITTER_IDLE)
        return false;
    if (frame.kind != JITTER_PACKET) {
        rx->gap = frame.ticks;
    } else if (frame.pace != JITTER_FASTER) {
        *part = frame.len < want ? frame.len : want;
        memcpy(out, frame.payload, *part);
        rx->at = *part;
        rx->end = frame.len;
        if (rx->at != rx->end)
            memcpy((uint8_t *)rx->chain.left + rx->at, frame.payload + rx->at, rx->end - rx->at);
    }
    return true;
}

// One Opus packet for one frame. What is to be made up for a gap, the receiver of the payload makes up.
static size_t read_packet(struct audio_rx *rx, uint8_t *out, size_t cap, uint64_t now_us) {
    struct jitter_frame frame;
    do
        jitter_get(rx->jitter, now_us, 0, &frame);
    while (frame.kind == JITTER_PACKET && frame.pace == JITTER_FASTER);
    if (frame.kind != JITTER_PACKET || frame.len > cap)
        return 0;
    memcpy(out, frame.payload, frame.len);
    return frame.len;
}

// Up to `want` bytes of what is left of a packet or a gap; how many.
static size_t read_left(struct audio_rx *rx, uint8_t *out, size_t want, size_t done) {
    const struct chain *chain = &rx->chain;
    size_t held = rx->gap ? rx->gap : rx->end - rx->at, part = held < want ? held : want;
    if (!rx->gap) {
        memcpy(out, (const uint8_t *)chain->left + rx->at, part);
        rx->at += part;
        return part;
    }
    for (size_t i = 0; i < part; i++)
        out[i] = chain->silence[(done + i) % chain->silence_len];
    rx->gap -= part;
    return part;
}

// Of 64 kbit/s codecs, whose bytes are ticks, whatever the packets. 0 when none of it is the sender's.
static size_t read_bytes(struct audio_rx *rx, uint8_t *out, size_t len, uint64_t now_us) {
    bool heard = false;
    for (size_t done = 0, part; done < len; done += part) {
        bool gap = rx->gap != 0;
        part = 0;
        if (gap || rx->at != rx->end)
            part = read_left(rx, out + done, len - done, done);
        else if (!refill_bytes(rx, now_us, done * 1000000 / clock_of(rx), out + done, len - done, &part))
            rx->gap = len - done;
        heard |= part && !gap;
    }
    return heard ? len : 0;
}

size_t audio_rx_read_payload(struct audio_rx *rx, uint8_t *out, size_t cap, uint32_t frame_ms,
                             uint64_t now_us) {
    size_t len = (size_t)clock_of(rx) / 1000 * frame_ms;
    if (is_opus(rx) ? frame_ms != rx->packet_ms : len > cap)
        return 0;
    start_reading(rx, READING_PAYLOAD, len, clock_of(rx));
    return is_opus(rx) ? read_packet(rx, out, cap, now_us) : read_bytes(rx, out, len, now_us);
}
