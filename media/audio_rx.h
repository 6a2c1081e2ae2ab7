// SPDX-License-Identifier: Apache-2.0
// One received audio stream: authenticated RTP in, a steady flow of PCM (or payloads) out.
//
//   rtp packet -> rtp_stream (RFC 3550 appendix A, statistics) -> jitter (order, delay target)
//              -> decode | conceal -> pcm fifo
//
// The reader's clock drives it: every read returns exactly what was asked, made up where the network failed.
// One thread. Nothing allocates after audio_rx_new.
#ifndef IQ_MEDIA_AUDIO_RX_H
#define IQ_MEDIA_AUDIO_RX_H

#include "media/codec.h"
#include "media/rtcp.h"
#include "media/rtp.h"

struct audio_rx;

struct audio_rx_config {
    enum codec_id codec;
    uint8_t payload_type;
    int dtmf_payload_type; // telephone-event (RFC 4733), -1 for none
    uint32_t pcm_rate_hz;  // as from codec_pcm_rate
};

int audio_rx_new(struct audio_rx **out,
                 const struct audio_rx_config *config); // -EINVAL (L16 is not for RTP), -ENOMEM
void audio_rx_free(struct audio_rx *rx);                // NULL is fine
// Another codec, payload type or PCM rate; the source and its statistics stay. What is buffered of another
// codec is dropped. On failure nothing changes.
int audio_rx_switch(struct audio_rx *rx, const struct audio_rx_config *config);

// A packet that passed authentication. Payload types that are not ours are counted and dropped. A new SSRC
// takes the stream over (restart) only after the old one has been silent for 500 ms or sent a BYE.
void audio_rx_packet(struct audio_rx *rx, const struct rtp_packet *packet, uint64_t now_us);
void audio_rx_unsure(struct audio_rx *rx, uint32_t unsure_us); // of packets from now on: jitter_unsure
void audio_rx_bye(struct audio_rx *rx,
                  uint32_t ssrc); // RTCP BYE of a source; ignored if it is not the one heard

// Exactly `samples`, of any number, at pcm_rate_hz.
void audio_rx_read_pcm(struct audio_rx *rx, int16_t *out, size_t samples, uint64_t now_us);
// Passthrough: the payload for the next `frame_ms`; 0 when that is lost, silent or not there, or larger than
// `cap`. G.711 and G.722 are cut and joined to frame_ms whatever the packets' size. Opus packets go as they
// are, so frame_ms must be audio_rx_packet_ms: else it answers 0 and consumes nothing, and the bridge must
// transcode. Changing from one way of reading to the other drops what is left of a frame.
size_t audio_rx_read_payload(struct audio_rx *rx, uint8_t *out, size_t cap, uint32_t frame_ms,
                             uint64_t now_us);
// See jitter_late.
bool audio_rx_late(struct audio_rx *rx, int64_t *late_us);
// How long the latest packet lasts, 0 before the first.
uint32_t audio_rx_packet_ms(const struct audio_rx *rx);

struct audio_rx_stats {
    uint64_t packets, bytes;   // of our payload type and source; bytes of payload
    uint64_t lost;             // never came, or came too late to be heard
    uint64_t late, duplicates; // late ones are also among the lost
    uint64_t wrong_payload_type;
    uint64_t dropped;      // malformed, oversize, of a second source, or left out to catch up after a stall
    uint64_t concealed_ms; // made up for loss; silence of the sender's (DTX) does not count
    uint32_t jitter_us, target_ms, depth_ms;
    uint64_t last_packet_us; // when the last packet came, 0 for never
};
void audio_rx_stats(const struct audio_rx *rx, struct audio_rx_stats *out);

// RTCP. With it, and at the end, what was lost is added to the metrics. A report block on what we received since the last one (RFC 3550 section 6.4.1); false before the
// first packet.
bool audio_rx_report(struct audio_rx *rx, uint64_t now_us, struct rtcp_report_block *out);
void audio_rx_sender_report(struct audio_rx *rx, const struct rtcp_sender_info *info,
                            uint64_t now_us); // for LSR, DLSR

#endif
