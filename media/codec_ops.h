// SPDX-License-Identifier: Apache-2.0
// Internal to media/codec*.c: how codec.c and the codecs meet. Nobody else includes it.
#ifndef IQ_MEDIA_CODEC_OPS_H
#define IQ_MEDIA_CODEC_OPS_H

#include "media/codec.h"

// One const table per codec. `state` is what encoder_new / decoder_new wrote, of one stream and one
// direction.
//
// encode, decode, conceal and encoder_tune MUST NOT allocate, lock, log or keep the caller's pointers. They
// MUST write within the capacity they are given and MUST take hostile payloads. A NULL entry means what its
// comment says.
struct codec_ops {
    struct codec_desc desc;
    uint32_t (*pcm_rate)(uint32_t want_rate_hz);

    // MUST refuse with -EINVAL a rate that pcm_rate would not have returned.
    int (*encoder_new)(void **state, uint32_t rate_hz);
    void (*encoder_free)(void *state); // NULL: the state is shared and lives for ever
    int (*encode)(void *state, const int16_t *pcm, size_t samples, uint8_t *out, size_t cap);
    void (*encoder_tune)(void *state, unsigned loss_percent, unsigned complexity); // NULL: nothing to tune

    int (*decoder_new)(void **state, uint32_t rate_hz);
    void (*decoder_free)(void *state); // NULL: as encoder_free
    // `len` is never 0.
    int (*decode)(void *state, const uint8_t *payload, size_t len, int16_t *pcm, size_t cap_samples);
    // MUST fill exactly `samples`. NULL: codec.c does it, from what was decoded before.
    void (*conceal)(void *state, const uint8_t *next, size_t next_len, int16_t *pcm, size_t samples);

    uint32_t (*payload_ticks)(const uint8_t *payload, size_t len);
    int (*silence)(uint32_t duration_ms, uint8_t *out, size_t cap); // NULL: -ENOTSUP
};

extern const struct codec_ops codec_pcmu_ops, codec_pcma_ops; // codec_g711.c
extern const struct codec_ops codec_g722_ops, codec_opus_ops, codec_l16_ops;

#endif
