// SPDX-License-Identifier: Apache-2.0
// One sent audio stream: encode -> RTP header -> caller's buffer. Timestamps advance by what each frame lasts
// on the codec's RTP clock, whether or not anything is sent, and never stall. One thread. Nothing allocates
// after audio_tx_new.
#ifndef IQ_MEDIA_AUDIO_TX_H
#define IQ_MEDIA_AUDIO_TX_H

#include "media/codec.h"
#include "media/rtcp.h"

struct audio_tx;

struct audio_tx_config {
    enum codec_id codec;
    uint8_t payload_type;
    uint32_t pcm_rate_hz; // as from codec_pcm_rate
    uint32_t ssrc;        // random, from the caller, stable over renegotiation
    const unsigned
        *complexity; // of the encoder, looked at with each frame; borrowed, NULL for the codec's own
};

int audio_tx_new(struct audio_tx **out,
                 const struct audio_tx_config *config); // random first sequence and timestamp
void audio_tx_free(struct audio_tx *tx);
// Another codec or payload type on the same SSRC; sequence numbers and timestamps go on. On failure nothing
// changes.
int audio_tx_switch(struct audio_tx *tx, enum codec_id codec, uint8_t payload_type, uint32_t pcm_rate_hz);

// Writes one whole RTP packet into `out` and returns its bytes, or a negative errno. `cap` counts no SRTP
// trailer.
int audio_tx_pcm(struct audio_tx *tx, const int16_t *pcm, size_t samples, uint64_t now_us, uint8_t *out,
                 size_t cap);
int audio_tx_payload(struct audio_tx *tx, const uint8_t *payload, size_t len, uint32_t duration_ms,
                     uint64_t now_us, uint8_t *out, size_t cap);
// A packet of another payload type on the same stream (an event, comfort noise): takes a sequence number, and
// no time.
struct audio_tx_other {
    uint8_t payload_type;
    bool marker;
    uint32_t timestamp;
    const uint8_t *payload;
    size_t len;
};
int audio_tx_other(struct audio_tx *tx, const struct audio_tx_other *other, uint64_t now_us, uint8_t *out,
                   size_t cap);
uint32_t audio_tx_timestamp(const struct audio_tx *tx);        // of the next frame
void audio_tx_skip(struct audio_tx *tx, uint32_t duration_ms); // nothing sent, time passes

// The far end's report on us: RTT from LSR/DLSR, loss tunes the encoder.
void audio_tx_report(struct audio_tx *tx, const struct rtcp_report_block *block, uint64_t now_us);
// Sender info for an SR at `now_us`, with `now_ntp` as wall-clock NTP time (RFC 3550 section 6.4.1).
// Remembers when, for the round-trip time.
void audio_tx_sender_info(struct audio_tx *tx, uint64_t now_us, uint64_t now_ntp,
                          struct rtcp_sender_info *out);

struct audio_tx_stats {
    uint64_t packets, bytes;
    uint32_t ssrc, rtt_us;
    uint8_t fraction_lost; // the peer's last report, in 1/256
    uint64_t lost;         // likewise, of all that was sent
    uint32_t jitter_us;    // likewise
};
void audio_tx_stats(const struct audio_tx *tx, struct audio_tx_stats *out);

#endif
