// SPDX-License-Identifier: Apache-2.0
#include "media/codec.h"

#include "gateway/core/err.h"
#include "media/codec_ops.h"
#include "media/plc.h"

#include <stdlib.h>
#include <string.h>

struct codec_encoder {
    const struct codec_ops *ops;
    void *state; // owns, unless ops->encoder_free is NULL
};

struct codec_decoder {
    const struct codec_ops *ops;
    void *state;    // owns, unless ops->decoder_free is NULL
    struct plc plc; // for codecs without concealment of their own; others have no memory for it
};

static const struct codec_ops *const table[CODEC_COUNT] = {
    [CODEC_PCMU] = &codec_pcmu_ops, [CODEC_PCMA] = &codec_pcma_ops, [CODEC_G722] = &codec_g722_ops,
    [CODEC_OPUS] = &codec_opus_ops, [CODEC_L16] = &codec_l16_ops,
};

static const struct codec_ops *ops_of(enum codec_id id) {
    return (unsigned)id < CODEC_COUNT ? table[id] : NULL;
}

const struct codec_desc *codec_desc(enum codec_id id) {
    const struct codec_ops *ops = ops_of(id);
    return ops ? &ops->desc : NULL;
}

uint32_t codec_pcm_rate(enum codec_id id, uint32_t want_rate_hz) {
    const struct codec_ops *ops = ops_of(id);
    return ops ? ops->pcm_rate(want_rate_hz) : 0;
}

int codec_encoder_new(struct codec_encoder **out, enum codec_id id, uint32_t rate_hz) {
    const struct codec_ops *ops = ops_of(id);
    if (!ops)
        return -EINVAL;
    struct codec_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        return -ENOMEM;
    encoder->ops = ops;
    int rc = ops->encoder_new(&encoder->state, rate_hz);
    if (rc < 0) {
        free(encoder);
        return rc;
    }
    *out = encoder;
    return 0;
}

void codec_encoder_free(struct codec_encoder *encoder) {
    if (encoder && encoder->ops->encoder_free)
        encoder->ops->encoder_free(encoder->state);
    free(encoder);
}

int codec_encode(struct codec_encoder *encoder, const int16_t *pcm, size_t samples, uint8_t *out,
                 size_t cap) {
    if (!samples || samples > CODEC_MAX_SAMPLES)
        return -EINVAL;
    return encoder->ops->encode(encoder->state, pcm, samples, out, cap);
}

void codec_encoder_tune(struct codec_encoder *encoder, unsigned loss_percent, unsigned complexity) {
    if (encoder->ops->encoder_tune)
        encoder->ops->encoder_tune(encoder->state, loss_percent, complexity);
}

int codec_decoder_new(struct codec_decoder **out, enum codec_id id, uint32_t rate_hz) {
    const struct codec_ops *ops = ops_of(id);
    if (!ops)
        return -EINVAL;
    struct codec_decoder *decoder =
        calloc(1, ops->conceal ? offsetof(struct codec_decoder, plc) : sizeof *decoder);
    if (!decoder)
        return -ENOMEM;
    decoder->ops = ops;
    int rc = ops->decoder_new(&decoder->state, rate_hz);
    if (rc < 0) {
        free(decoder);
        return rc;
    }
    if (!ops->conceal)
        plc_start(&decoder->plc, rate_hz);
    *out = decoder;
    return 0;
}

void codec_decoder_free(struct codec_decoder *decoder) {
    if (decoder && decoder->ops->decoder_free)
        decoder->ops->decoder_free(decoder->state);
    free(decoder);
}

int codec_decode(struct codec_decoder *decoder, const uint8_t *payload, size_t len, int16_t *pcm,
                 size_t cap_samples) {
    if (!len)
        return -EBADMSG;
    int samples = decoder->ops->decode(decoder->state, payload, len, pcm, cap_samples);
    // Also blends the first good samples after a gap with what was made up for it.
    if (samples > 0 && !decoder->ops->conceal)
        plc_good(&decoder->plc, pcm, (size_t)samples);
    return samples;
}

void codec_conceal(struct codec_decoder *decoder, const uint8_t *next, size_t next_len, int16_t *pcm,
                   size_t samples) {
    if (decoder->ops->conceal)
        decoder->ops->conceal(decoder->state, next, next_len, pcm, samples);
    else
        plc_make_up(&decoder->plc, pcm, samples);
}

uint32_t codec_payload_ticks(enum codec_id id, const uint8_t *payload, size_t len) {
    const struct codec_ops *ops = ops_of(id);
    return ops && len ? ops->payload_ticks(payload, len) : 0;
}

int codec_silence_payload(enum codec_id id, uint32_t duration_ms, uint8_t *out, size_t cap) {
    const struct codec_ops *ops = ops_of(id);
    if (!ops || !duration_ms || duration_ms > CODEC_MAX_FRAME_MS)
        return -EINVAL;
    return ops->silence ? ops->silence(duration_ms, out, cap) : -ENOTSUP;
}
