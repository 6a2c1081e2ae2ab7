// SPDX-License-Identifier: Apache-2.0
// Opus (RFC 6716, RFC 7587) by libopus, one channel. Stereo packets decode to mono inside libopus, and every
// rate it knows is a decoder rate, so no resampler is needed behind it.
#include "gateway/core/err.h"
#include "media/codec_ops.h"

#include <opus.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLOCK_HZ = 48000,
    DEFAULT_COMPLEXITY = 5,
    MAX_COMPLEXITY = 10,
    UNITS_PER_SECOND = 400, // libopus conceals in steps of 2.5 ms
    UNIT_MAX_SAMPLES = CLOCK_HZ / UNITS_PER_SECOND,
};

// The rates libopus works at, and what mono speech deserves at each.
static const struct {
    uint32_t rate_hz;
    opus_int32 bit_rate;
} rates[] = {{8000, 16000}, {12000, 20000}, {16000, 24000}, {24000, 28000}, {48000, 32000}};

enum { RATE_COUNT = sizeof rates / sizeof rates[0] };

// libopus' own state is large, 18 kB of a decoder and 43 of an encoder, and made at first use: a call that is
// passed through never needs it.
struct opus_tx {
    OpusEncoder *encoder; // owns
    size_t rate;          // of `rates`
    opus_int32 loss_percent, complexity;
};

struct opus_rx {
    OpusDecoder *decoder; // owns
    uint32_t rate_hz;
};

static uint32_t distance(uint32_t a, uint32_t b) {
    return a > b ? a - b : b - a;
}

static size_t nearest(uint32_t want_rate_hz) {
    size_t best = 0;
    for (size_t i = 1; i < RATE_COUNT; i++)
        if (distance(rates[i].rate_hz, want_rate_hz) <= distance(rates[best].rate_hz, want_rate_hz))
            best = i;
    return best;
}

static uint32_t opus_pcm_rate(uint32_t want_rate_hz) {
    return rates[nearest(want_rate_hz)].rate_hz;
}

static int error_of(int opus_error) {
    switch (opus_error) {
    case OPUS_ALLOC_FAIL:
        return -ENOMEM;
    case OPUS_BUFFER_TOO_SMALL:
        return -ENOBUFS;
    case OPUS_INVALID_PACKET:
        return -EBADMSG;
    default:
        return -EINVAL;
    }
}

static int opus_encoder_start(void **state, uint32_t rate_hz) {
    size_t at = nearest(rate_hz);
    if (rates[at].rate_hz != rate_hz)
        return -EINVAL;
    struct opus_tx *tx = calloc(1, sizeof *tx);
    if (!tx)
        return -ENOMEM;
    tx->rate = at;
    tx->complexity = DEFAULT_COMPLEXITY;
    *state = tx;
    return 0;
}

static void opus_encoder_stop(void *state) {
    struct opus_tx *tx = state;
    if (tx->encoder)
        opus_encoder_destroy(tx->encoder);
    free(tx);
}

// FEC costs bits and a third more time, so it is on only while the far end loses packets.
static void tune(const struct opus_tx *tx) {
    opus_encoder_ctl(tx->encoder, OPUS_SET_PACKET_LOSS_PERC(tx->loss_percent));
    opus_encoder_ctl(tx->encoder, OPUS_SET_INBAND_FEC(tx->loss_percent > 0));
    opus_encoder_ctl(tx->encoder, OPUS_SET_COMPLEXITY(tx->complexity));
}

static int make_encoder(struct opus_tx *tx) {
    int error = OPUS_OK;
    tx->encoder = opus_encoder_create((opus_int32)rates[tx->rate].rate_hz, 1, OPUS_APPLICATION_VOIP, &error);
    if (!tx->encoder)
        return error_of(error);
    opus_encoder_ctl(tx->encoder, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
    opus_encoder_ctl(tx->encoder, OPUS_SET_BITRATE(rates[tx->rate].bit_rate));
    opus_encoder_ctl(tx->encoder, OPUS_SET_DTX(0));
    tune(tx);
    return 0;
}

static int opus_encode_frame(void *state, const int16_t *pcm, size_t samples, uint8_t *out, size_t cap) {
    struct opus_tx *tx = state;
    opus_int32 max = (opus_int32)(cap < CODEC_MAX_PAYLOAD ? cap : CODEC_MAX_PAYLOAD);
    int err = tx->encoder ? 0 : make_encoder(tx);
    if (err)
        return err;
    int len = opus_encode(tx->encoder, pcm, (int)samples, out, max);
    return len > 0 ? len : error_of(len);
}

static void opus_encoder_tune(void *state, unsigned loss_percent, unsigned complexity) {
    struct opus_tx *tx = state;
    tx->loss_percent = (opus_int32)(loss_percent < 100 ? loss_percent : 100);
    tx->complexity = (opus_int32)(complexity < MAX_COMPLEXITY ? complexity : MAX_COMPLEXITY);
    if (tx->encoder)
        tune(tx);
}

static int opus_decoder_start(void **state, uint32_t rate_hz) {
    if (opus_pcm_rate(rate_hz) != rate_hz)
        return -EINVAL;
    struct opus_rx *rx = calloc(1, sizeof *rx);
    if (!rx)
        return -ENOMEM;
    rx->rate_hz = rate_hz;
    *state = rx;
    return 0;
}

static void opus_decoder_stop(void *state) {
    struct opus_rx *rx = state;
    if (rx->decoder)
        opus_decoder_destroy(rx->decoder);
    free(rx);
}

static int make_decoder(struct opus_rx *rx) {
    int error = OPUS_OK;
    if (!rx->decoder)
        rx->decoder = opus_decoder_create((opus_int32)rx->rate_hz, 1, &error);
    return rx->decoder ? 0 : error_of(error);
}

static int opus_decode_frame(void *state, const uint8_t *payload, size_t len, int16_t *pcm,
                             size_t cap_samples) {
    struct opus_rx *rx = state;
    if (len > INT32_MAX)
        return -EBADMSG;
    int err = make_decoder(rx);
    if (err)
        return err;
    int cap = (int)(cap_samples < CODEC_MAX_SAMPLES ? cap_samples : CODEC_MAX_SAMPLES);
    int samples = opus_decode(rx->decoder, payload, (opus_int32)len, pcm, cap, 0);
    return samples > 0 ? samples : error_of(samples);
}

// `samples` is a whole number of 2.5 ms. libopus looks into `next` for the part of the gap that `next` can
// know about, the last, and conceals the rest; without FEC in it, all of it.
static void conceal_units(struct opus_rx *rx, const uint8_t *next, size_t next_len, int16_t *pcm,
                          size_t samples) {
    int done = OPUS_INVALID_PACKET;
    if (next && next_len && next_len <= CODEC_MAX_PAYLOAD)
        done = opus_decode(rx->decoder, next, (opus_int32)next_len, pcm, (int)samples, 1);
    if (done != (int)samples)
        done = opus_decode(rx->decoder, NULL, 0, pcm, (int)samples, 0);
    if (done != (int)samples)
        memset(pcm, 0, samples * sizeof *pcm);
}

static void opus_conceal(void *state, const uint8_t *next, size_t next_len, int16_t *pcm, size_t samples) {
    struct opus_rx *rx = state;
    if (make_decoder(rx) != 0) {
        memset(pcm, 0, samples * sizeof *pcm);
        return;
    }
    size_t unit = rx->rate_hz / UNITS_PER_SECOND;
    size_t most = unit * (CODEC_MAX_FRAME_MS * 2 / 5);
    size_t odd = samples % unit;
    if (odd) { // cannot be asked for as such: the head of a whole unit is taken
        int16_t head[UNIT_MAX_SAMPLES];
        conceal_units(rx, NULL, 0, head, unit);
        memcpy(pcm, head, odd * sizeof *pcm);
        pcm += odd;
        samples -= odd;
    }
    for (; samples > most; pcm += most, samples -= most)
        conceal_units(rx, NULL, 0, pcm, most);
    if (samples)
        conceal_units(rx, next, next_len, pcm, samples);
}

static uint32_t opus_payload_ticks(const uint8_t *payload, size_t len) {
    if (len > INT32_MAX)
        return 0;
    // Counts frames from the head only, so the rest is checked as well.
    opus_int16 sizes[48];
    const unsigned char *frames[48];
    if (opus_packet_parse(payload, (opus_int32)len, NULL, frames, sizes, NULL) <= 0)
        return 0;
    int samples = opus_packet_get_nb_samples(payload, (opus_int32)len, CLOCK_HZ);
    return samples > 0 ? (uint32_t)samples : 0;
}

// Fullband CELT frames that hold nothing but the mark of silence (RFC 6716 section 3.1 for the head:
// configuration 31 is 20 ms of it, 30 is 10 ms; code 0 is one frame, code 3 a counted number of equal ones).
static int opus_silence(uint32_t duration_ms, uint8_t *out, size_t cap) {
    enum { CONFIG_10_MS = 30, CONFIG_20_MS = 31, FRAME_BYTES = 2 };
    if (duration_ms % 10 != 0)
        return -EINVAL;
    bool tens = duration_ms % 20 != 0;
    size_t frames = duration_ms / (tens ? 10 : 20);
    size_t head = frames == 1 ? 1 : 2;
    size_t len = head + frames * FRAME_BYTES;
    if (cap < len)
        return -ENOBUFS;
    out[0] = (uint8_t)((tens ? CONFIG_10_MS : CONFIG_20_MS) << 3 | (frames == 1 ? 0 : 3));
    if (head == 2)
        out[1] = (uint8_t)frames;
    for (size_t i = head; i < len; i += FRAME_BYTES) {
        out[i] = 0xff;
        out[i + 1] = 0xfe;
    }
    return (int)len;
}

const struct codec_ops codec_opus_ops = {
    .desc = {.id = CODEC_OPUS,
             .rtp_name = "opus",
             .clock_hz = CLOCK_HZ,
             .sdp_channels = 2,
             .static_payload_type = -1,
             .native_rate_hz = CLOCK_HZ},
    .pcm_rate = opus_pcm_rate,
    .encoder_new = opus_encoder_start,
    .encoder_free = opus_encoder_stop,
    .encode = opus_encode_frame,
    .encoder_tune = opus_encoder_tune,
    .decoder_new = opus_decoder_start,
    .decoder_free = opus_decoder_stop,
    .decode = opus_decode_frame,
    .conceal = opus_conceal,
    .payload_ticks = opus_payload_ticks,
    .silence = opus_silence,
};
