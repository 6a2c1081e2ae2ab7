// SPDX-License-Identifier: Apache-2.0
// Codecs behind one seam. Mono everywhere: Opus is stereo only in its name in SDP (RFC 7587 section 7).
// One thread at a time; encode and decode neither allocate nor lock.
#ifndef IQ_MEDIA_CODEC_H
#define IQ_MEDIA_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// CODEC_L16 is PCM as agents want it, 16-bit little-endian, not RFC 3551's big-endian: it never goes into
// RTP.
enum codec_id { CODEC_PCMU, CODEC_PCMA, CODEC_G722, CODEC_OPUS, CODEC_L16, CODEC_COUNT };

enum {
    CODEC_MAX_FRAME_MS = 120,     // an Opus packet's most (RFC 6716 section 3.2)
    CODEC_MAX_SAMPLES = 48 * 120, // of one frame at 48 kHz
    CODEC_MAX_PAYLOAD = 1400,     // bytes of one encoded frame, but for L16
};

struct codec_desc {
    enum codec_id id;
    const char *rtp_name;    // "PCMU", "opus"
    uint32_t clock_hz;       // RTP clock: 8000 for G722 too (RFC 3551 section 4.5.2), 48000 for Opus
    uint32_t sdp_channels;   // 2 for Opus
    int static_payload_type; // -1 when dynamic
    uint32_t native_rate_hz; // of its PCM: 8000, 16000, 48000
};
const struct codec_desc *codec_desc(enum codec_id id); // never NULL for a valid id

// The PCM rate nearest to `want_rate_hz` that the codec works at without a resampler: Opus has 8, 12, 16, 24,
// 48 kHz, the others only their own. CODEC_L16 takes any.
uint32_t codec_pcm_rate(enum codec_id id, uint32_t want_rate_hz);

struct codec_encoder;
struct codec_decoder;

// rate_hz as from codec_pcm_rate. -EINVAL for a rate the codec has not, -ENOMEM.
int codec_encoder_new(struct codec_encoder **out, enum codec_id id, uint32_t rate_hz);
void codec_encoder_free(struct codec_encoder *encoder); // NULL is fine
// One frame of `samples` (10, 20, 40 or 60 ms). Returns the payload's bytes (<= cap), or a negative errno.
int codec_encode(struct codec_encoder *encoder, const int16_t *pcm, size_t samples, uint8_t *out, size_t cap);
// Opus only, others ignore it: packet loss the far end reports (drives in-band FEC) and complexity 0-10.
void codec_encoder_tune(struct codec_encoder *encoder, unsigned loss_percent, unsigned complexity);

int codec_decoder_new(struct codec_decoder **out, enum codec_id id, uint32_t rate_hz);
void codec_decoder_free(struct codec_decoder *decoder);
// Samples written (<= cap_samples), or a negative errno for a payload that is none of this codec.
int codec_decode(struct codec_decoder *decoder, const uint8_t *payload, size_t len, int16_t *pcm,
                 size_t cap_samples);
// Makes up `samples` for a lost frame. Where `next` (the payload after the gap) is given and holds in-band
// FEC of the lost frame, that is used. Opus: its own PLC; others: media/plc.h (fade to silence). Always
// fills exactly `samples`.
void codec_conceal(struct codec_decoder *decoder, const uint8_t *next, size_t next_len, int16_t *pcm,
                   size_t samples);

// How long a payload lasts, in samples at the codec's RTP clock; 0 when it cannot be told (malformed). RFC
// 6716 section 3.1. L16 has no RTP clock: its samples as they are.
uint32_t codec_payload_ticks(enum codec_id id, const uint8_t *payload, size_t len);

// A payload of `duration_ms` (10, 20, ... CODEC_MAX_FRAME_MS) that decodes to silence whatever came before
// it; of no encoder's state. Returns its bytes, -ENOBUFS, -EINVAL for the duration, -ENOTSUP for L16. G.722
// decodes to within 60 of zero after 20 ms.
int codec_silence_payload(enum codec_id id, uint32_t duration_ms, uint8_t *out, size_t cap);

#endif
