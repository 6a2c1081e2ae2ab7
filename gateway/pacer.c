// SPDX-License-Identifier: Apache-2.0
//
// Times here are audio time in microseconds as well as clock time: a chunk is "late" by how much longer ago
// the speech began than whole frames of audio have come since. An agent that sends faster than real time is never
// late; one that ticks every 30 ms while we send every 20 is by 10 ms, with every second chunk.
//
// "Slack" is how long the chunk that made a frame whole had been there when the frame was pulled. What counts is the
// least but one of a second: a single straggler is waited for, and no reason to play all the others later.
#include "gateway/pacer.h"

#include "gateway/bridge_fifo.h"
#include "gateway/core/err.h"
#include "gateway/pacer_trim.h"

#include <stdlib.h>
#include <string.h>

enum {
    RESUME_MS = PACER_QUEUE_MS - 1000,
    RESUME_BYTES = PACER_QUEUE_BYTES - 256 * 1024,
    SLACK_BYTES = 256 * 1024, // may still come after the pause
    AT_ONCE_MS = 60,          // the longest frame
    SETTLE_US = 5000000,      // how often endless speech is judged
    SLACK_WINDOW_US = 1000000,
    SURE_US = 1000, // arrivals are known well enough to move deadlines by them
    SLOPE_MS = 3,
    OPUS_TICKS_PER_MS = 48,
};

struct pacer {
    struct pacer_config config;
    struct fifo fifo;
    bool packets;
    uint32_t sample_bytes;
    uint32_t bytes_per_ms; // of a stream
    uint64_t queued_ticks; // of packets, at 48 kHz
    bool pausing;
    bool playing;
    bool spoke;      // anything was played yet
    uint64_t dry_us; // when it last ran dry
    struct pacer_trim trim;
    uint32_t rest;     // of a stream: what is not yet a whole microsecond of come_us
    uint64_t begin_us; // when the speech now queued or playing began to come
    uint64_t last_put_us;
    uint32_t unsure_us;
    uint64_t come_us;   // audio come since begin_us
    uint64_t before_us; // the same without the last chunk
    uint64_t late_us;   // the worst since begin_us
    uint32_t target_ms;
    bool guessed; // target_ms: nothing has been played for as long as would tell
    int64_t least_us, slack_us,
        slack_before_us; // of this window the least and the next, of the one before the
                         // latter; INT64_MAX for none
    uint64_t slack_since_us;
    bool at_message_end;
    uint64_t bytes_in, dropped_bytes, dropped_packets, underruns, trimmed_us;
    size_t packet_len;
    bool packet_over;
    uint8_t packet[]; // of the message that is coming; where audio comes in packets, CODEC_MAX_PAYLOAD bytes
};

// Before each packet in the fifo.
struct packet_head {
    uint16_t len;
    uint16_t ticks;
};

int pacer_new(struct pacer **out, const struct pacer_config *config) {
    bool packets = config->codec == CODEC_OPUS;
    struct pacer *pacer = calloc(1, sizeof *pacer + (packets ? CODEC_MAX_PAYLOAD : 0));
    if (!pacer)
        return -ENOMEM;
    pacer->config = *config;
    pacer->packets = packets;
    pacer->sample_bytes = config->codec == CODEC_L16 ? 2 : 1;
    pacer->bytes_per_ms = config->codec == CODEC_L16 ? config->rate_hz / 1000 * 2 : 8;
    pacer->target_ms =
        2 * config->frame_ms < PACER_TARGET_MAX_MS ? 2 * config->frame_ms : PACER_TARGET_MAX_MS;
    fifo_expect(&pacer->fifo, (size_t)pacer->bytes_per_ms * AT_ONCE_MS);
    pacer->guessed = true;
    *out = pacer;
    return 0;
}

void pacer_free(struct pacer *pacer) {
    if (!pacer)
        return;
    fifo_free(&pacer->fifo);
    free(pacer);
}

void pacer_set_frame_ms(struct pacer *pacer, uint32_t frame_ms) {
    pacer->config.frame_ms = frame_ms;
}

static uint32_t queued_ms(const struct pacer *pacer) {
    return pacer->packets ? (uint32_t)(pacer->queued_ticks / OPUS_TICKS_PER_MS)
                          : (uint32_t)(pacer->fifo.len / pacer->bytes_per_ms);
}

static void update_pause(struct pacer *pacer) {
    if (queued_ms(pacer) >= PACER_QUEUE_MS || pacer->fifo.len >= PACER_QUEUE_BYTES)
        pacer->pausing = true;
    else if (queued_ms(pacer) <= RESUME_MS && pacer->fifo.len <= RESUME_BYTES)
        pacer->pausing = false;
}

bool pacer_wants_pause(const struct pacer *pacer) {
    return pacer->pausing;
}

// ---- learning how far ahead is enough

// Never negative: a tick's deadline may be a little older than a chunk that came before the tick was run.
static uint64_t since(uint64_t now_us, uint64_t then_us) {
    return now_us > then_us ? now_us - then_us : 0;
}

static uint32_t clamp_target(uint64_t target_ms) {
    if (target_ms < PACER_CUSHION_MS)
        return PACER_CUSHION_MS;
    return target_ms > PACER_TARGET_MAX_MS ? PACER_TARGET_MAX_MS : (uint32_t)target_ms;
}

// Up at once, down by a quarter of the way.
static void settle(struct pacer *pacer) {
    uint32_t need_ms = clamp_target(PACER_CUSHION_MS + (pacer->late_us + 999) / 1000);
    if (need_ms >= pacer->target_ms)
        pacer->target_ms = need_ms;
    else
        pacer->target_ms -= (pacer->target_ms - need_ms + 3) / 4;
}

// After speech long enough to tell: the first guess goes.
static void settle_long(struct pacer *pacer) {
    if (pacer->guessed)
        pacer->target_ms = PACER_CUSHION_MS;
    pacer->guessed = false;
    settle(pacer);
}

static void slack_forget(struct pacer *pacer, uint64_t now_us) {
    pacer->least_us = pacer->slack_us = pacer->slack_before_us = INT64_MAX;
    pacer->slack_since_us = now_us;
}

static void slack_sample(struct pacer *pacer, uint64_t now_us) {
    if (pacer->unsure_us > SURE_US)
        return; // it was this thread that was late, and not the chunk
    // Whole chunks that are left came after the one that counts, at the pace of real time.
    uint64_t chunk_us = pacer->come_us - pacer->before_us, queued_us = queued_ms(pacer) * 1000u;
    uint64_t later_us = chunk_us ? queued_us - queued_us % chunk_us : 0;
    int64_t slack_us = (int64_t)now_us - (int64_t)pacer->last_put_us + (int64_t)later_us;
    if (now_us - pacer->slack_since_us >= SLACK_WINDOW_US) {
        pacer->slack_before_us = pacer->slack_us;
        pacer->least_us = pacer->slack_us = INT64_MAX;
        pacer->slack_since_us = now_us;
    }
    if (slack_us < pacer->least_us) {
        pacer->slack_us = pacer->least_us;
        pacer->least_us = slack_us;
    } else if (slack_us < pacer->slack_us) {
        pacer->slack_us = slack_us;
    }
}

void pacer_unsure(struct pacer *pacer, uint32_t unsure_us) {
    pacer->unsure_us = unsure_us;
}

bool pacer_late(const struct pacer *pacer, int64_t *late_us) {
    if (!pacer->playing || !pacer->trim.steady || pacer->slack_before_us == INT64_MAX)
        return false;
    int64_t least_us = pacer->slack_us < pacer->slack_before_us ? pacer->slack_us : pacer->slack_before_us;
    *late_us = least_us - PACER_CUSHION_MS * 1000;
    return true;
}

bool pacer_ready(const struct pacer *pacer) {
    return pacer->playing && queued_ms(pacer) >= pacer->config.frame_ms;
}

uint32_t pacer_patience_us(const struct pacer *pacer) {
    uint32_t most_us = pacer->config.frame_ms * 800;
    if (!pacer->playing || !pacer->trim.steady || pacer_ready(pacer))
        return 0;
    return most_us < PACER_PATIENCE_MS * 1000 ? most_us : PACER_PATIENCE_MS * 1000;
}

void pacer_shifted(struct pacer *pacer, int64_t shift_us) {
    pacer->least_us += pacer->least_us == INT64_MAX ? 0 : shift_us;
    pacer->slack_us += pacer->slack_us == INT64_MAX ? 0 : shift_us;
    pacer->slack_before_us += pacer->slack_before_us == INT64_MAX ? 0 : shift_us;
}

static void count_from(struct pacer *pacer, uint64_t now_us) {
    pacer->begin_us = now_us;
    pacer->come_us = pacer->before_us = pacer->late_us = 0;
}

// Audio comes while nothing is queued: the end of a hole in the speech, or new speech.
static void begin(struct pacer *pacer, uint64_t now_us) {
    uint64_t hole_ms = (since(now_us, pacer->dry_us + pacer->unsure_us) + 999) / 1000;
    if (pacer->spoke && hole_ms <= PACER_UNDERRUN_MS) {
        pacer->underruns++;
        pacer->target_ms = clamp_target(pacer->target_ms + hole_ms);
    } else if (pacer->spoke) {
        settle(pacer);
        // An agent whose speech ended on half a sample means the next one to begin on a whole one.
        uint8_t half;
        if (pacer->at_message_end)
            fifo_take(&pacer->fifo, &half, sizeof half);
    }
    count_from(pacer, now_us);
}

static void learn(struct pacer *pacer, uint64_t audio_us, uint64_t now_us) {
    bool empty = pacer->packets ? !pacer->queued_ticks : pacer->fifo.len < pacer->sample_bytes;
    if (!pacer->playing && empty)
        begin(pacer, now_us);
    uint64_t age_us = since(now_us, pacer->begin_us);
    uint64_t whole_us = pacer->come_us - pacer->come_us % (pacer->config.frame_ms * 1000u);
    uint64_t late_us = since(age_us, whole_us + pacer->unsure_us);
    if (late_us > pacer->late_us)
        pacer->late_us = late_us;
    if (pacer->playing && age_us > SETTLE_US) {
        settle_long(pacer);
        count_from(pacer, now_us);
        // What a burst has put far ahead must not count as lateness of whatever comes when it is played out.
        if (queued_ms(pacer) > 2 * PACER_TARGET_MAX_MS)
            pacer->come_us = queued_ms(pacer) * 1000u;
    }
    pacer->before_us = pacer->come_us;
    pacer->come_us += audio_us;
    pacer->last_put_us = now_us;
}

// Whether speech that waits may begin: it is as far ahead as the target, or has been waiting as long.
static bool may_play(struct pacer *pacer, uint64_t now_us) {
    if (!pacer->playing && since(now_us, pacer->last_put_us) + pacer->before_us >= pacer->target_ms * 1000u) {
        pacer->playing = pacer->spoke = true;
        slack_forget(pacer, now_us);
    }
    return pacer->playing;
}

static void went_dry(struct pacer *pacer, uint64_t now_us) {
    pacer->playing = false;
    pacer->dry_us = now_us;
}

// ---- in

static uint64_t stream_us(struct pacer *pacer, size_t len) {
    uint64_t thousandths = (uint64_t)len * 1000u + pacer->rest;
    pacer->rest = (uint32_t)(thousandths % pacer->bytes_per_ms);
    return thousandths / pacer->bytes_per_ms;
}

// Whether `data` is silence that nobody needs to wait for. Between two halves of a sample nothing is left
// out.
static bool left_out(struct pacer *pacer, const uint8_t *data, size_t len, uint64_t audio_us,
                     uint64_t now_us) {
    bool whole = pacer->packets || (len | pacer->fifo.len) % pacer->sample_bytes == 0;
    bool quiet = pacer_trim_quiet(pacer->config.codec, data, len);
    if (!pacer_trim(&pacer->trim, quiet, audio_us, queued_ms(pacer), now_us) || !whole)
        return false;
    pacer->trimmed_us += audio_us;
    return true;
}

static int put_stream(struct pacer *pacer, const uint8_t *data, size_t len, uint64_t now_us) {
    if (!len)
        return 0;
    if (pacer->fifo.len + len > PACER_QUEUE_BYTES + SLACK_BYTES) {
        pacer->dropped_bytes += len;
        return -ENOSPC;
    }
    uint64_t audio_us = stream_us(pacer, len);
    learn(pacer, audio_us, now_us);
    if (left_out(pacer, data, len, audio_us, now_us))
        return 0;
    int err = fifo_put(&pacer->fifo, data, len);
    if (err)
        pacer->dropped_bytes += len;
    return err;
}

static int put_packet(struct pacer *pacer, uint64_t now_us) {
    struct packet_head head = {.len = (uint16_t)pacer->packet_len};
    head.ticks = (uint16_t)codec_payload_ticks(CODEC_OPUS, pacer->packet, pacer->packet_len);
    bool full = pacer->fifo.len + sizeof head + head.len > PACER_QUEUE_BYTES + SLACK_BYTES;
    if (full || pacer->packet_over || !head.ticks) {
        pacer->dropped_packets++;
        return full ? -ENOSPC : -EINVAL;
    }
    uint64_t audio_us = (uint64_t)head.ticks * 1000u / OPUS_TICKS_PER_MS;
    learn(pacer, audio_us, now_us);
    if (left_out(pacer, pacer->packet, pacer->packet_len, audio_us, now_us))
        return 0;
    uint8_t record[sizeof head + CODEC_MAX_PAYLOAD];
    memcpy(record, &head, sizeof head);
    memcpy(record + sizeof head, pacer->packet, head.len);
    int err = fifo_put(&pacer->fifo, record, sizeof head + head.len);
    if (err)
        pacer->dropped_packets++;
    else
        pacer->queued_ticks += head.ticks;
    return err;
}

static int gather_packet(struct pacer *pacer, const uint8_t *data, size_t len, bool end, uint64_t now_us) {
    if (len > CODEC_MAX_PAYLOAD - pacer->packet_len)
        pacer->packet_over = true;
    else if (len)
        memcpy(pacer->packet + pacer->packet_len, data, len);
    pacer->packet_len += pacer->packet_over ? 0 : len;
    if (!end)
        return 0;
    int err = pacer->packet_len || pacer->packet_over ? put_packet(pacer, now_us) : 0;
    pacer->packet_len = 0;
    pacer->packet_over = false;
    return err == -EINVAL ? 0 : err;
}

int pacer_put(struct pacer *pacer, const uint8_t *data, size_t len, bool message_end, uint64_t now_us) {
    pacer->bytes_in += len;
    int err = pacer->packets ? gather_packet(pacer, data, len, message_end, now_us)
                             : put_stream(pacer, data, len, now_us);
    pacer->at_message_end = message_end;
    update_pause(pacer);
    return err;
}

// ---- out

size_t pacer_pull(struct pacer *pacer, uint8_t *out, size_t len, uint64_t now_us) {
    size_t whole = pacer->fifo.len - pacer->fifo.len % pacer->sample_bytes;
    bool waiting = whole && !may_play(pacer, now_us);
    if (waiting || (!whole && !pacer->playing))
        return 0;
    size_t got = fifo_take(&pacer->fifo, out, whole < len ? whole : len);
    if (got < len)
        went_dry(pacer, now_us);
    else
        slack_sample(pacer, now_us);
    update_pause(pacer);
    return got;
}

size_t pacer_pull_packet(struct pacer *pacer, uint8_t *out, uint32_t *ticks, uint64_t now_us) {
    struct packet_head head;
    bool waiting = pacer->queued_ticks && !may_play(pacer, now_us);
    if (waiting || (!pacer->queued_ticks && !pacer->playing))
        return 0;
    if (!pacer->queued_ticks) {
        went_dry(pacer, now_us);
        return 0;
    }
    fifo_take(&pacer->fifo, (uint8_t *)&head, sizeof head);
    fifo_take(&pacer->fifo, out, head.len);
    pacer->queued_ticks -= head.ticks;
    *ticks = head.ticks;
    slack_sample(pacer, now_us);
    update_pause(pacer);
    return head.len;
}

uint64_t pacer_underruns(const struct pacer *pacer) {
    return pacer->underruns;
}

void pacer_stats(const struct pacer *pacer, struct pacer_stats *out) {
    *out = (struct pacer_stats){.bytes_in = pacer->bytes_in,
                                .dropped_bytes = pacer->dropped_bytes,
                                .dropped_packets = pacer->dropped_packets,
                                .underruns = pacer->underruns,
                                .queued_ms = queued_ms(pacer),
                                .target_ms = pacer->target_ms,
                                .trimmed_ms = pacer->trimmed_us / 1000};
}

void pacer_smooth(struct pacer_edge *edge, int16_t *pcm, size_t samples, size_t valid, uint32_t rate_hz) {
    size_t slope = rate_hz / 1000 * SLOPE_MS;
    if (edge->cut && valid) {
        for (size_t i = 0; i < slope && i < valid; i++)
            pcm[i] = (int16_t)(pcm[i] * (int32_t)i / (int32_t)slope);
        edge->cut = false;
    }
    int32_t from = valid ? pcm[valid - 1] : edge->last;
    for (size_t i = valid; i < samples; i++) {
        size_t at = i - valid + 1;
        pcm[i] = (int16_t)(at < slope ? from * (int32_t)(slope - at) / (int32_t)slope : 0);
    }
    if (valid < samples && abs(from) > 64)
        edge->cut = true;
    edge->last = samples ? pcm[samples - 1] : edge->last;
}
