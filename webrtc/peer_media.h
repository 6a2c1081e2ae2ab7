// SPDX-License-Identifier: Apache-2.0
// A peer's audio: one stream each way under SRTP, with RTCP, and the demultiplexing before it.
//
//   in   ice -> peer_media_receive: demux -> unprotect -> rtp_parse -> audio_rx -> (reader)
//   out  (writer) -> audio_tx -> protect -> on_send -> ice
//
// One worker thread. Nothing allocates but peer_media_new, _apply, _keys and _rate.
#ifndef IQ_WEBRTC_PEER_MEDIA_H
#define IQ_WEBRTC_PEER_MEDIA_H

#include "media/leg.h"
#include "media/sdp_nego.h"
#include "webrtc/dtls.h"

struct peer_media;

// None may free the object inside.
struct peer_media_events {
    void (*on_send)(const uint8_t *packet, size_t len, void *arg);   // protected, for ICE
    void (*on_dtls)(const uint8_t *datagram, size_t len, void *arg); // received, not authenticated
    void (*on_dtmf)(char digit, void *arg);                          // RFC 4733, at the end of each event
    void *arg;
};

int peer_media_new(struct peer_media **out, uint32_t want_rate_hz, const struct peer_media_events *events);
void peer_media_free(struct peer_media *media); // NULL is fine

uint32_t peer_media_ssrc(const struct peer_media *media);     // ours; random, never changes
const char *peer_media_cname(const struct peer_media *media); // ours; random (RFC 7022)

// What was negotiated, the first time or again. *changed: the reader and writer must ask peer_media_now. On
// failure nothing changes.
int peer_media_apply(struct peer_media *media, const struct sdp_audio *audio, bool *changed);
// The DTLS handshake is done: from here on packets are taken in and sent.
int peer_media_keys(struct peer_media *media, const struct dtls_srtp_keys *keys);
// See leg_ops.media. Before the first offer: 48 kHz Opus.
struct leg_media peer_media_rate(struct peer_media *media, uint32_t want_rate_hz);

// One datagram as it came, changed in place. No state is learned from it before it is authenticated.
void peer_media_receive(struct peer_media *media, uint8_t *data, size_t len, uint64_t now_us);
uint64_t peer_media_heard_us(const struct peer_media *media); // last authenticated packet, 0 for never

// See leg_ops for these.
void peer_media_read_pcm(struct peer_media *media, int16_t *out, size_t samples, uint64_t now_us);
size_t peer_media_read_payload(struct peer_media *media, uint8_t *out, size_t cap, uint32_t frame_ms,
                               uint64_t now_us);
void peer_media_write_pcm(struct peer_media *media, const int16_t *pcm, size_t samples, uint64_t now_us);
void peer_media_write_payload(struct peer_media *media, const uint8_t *payload, size_t len,
                              uint32_t duration_ms, uint64_t now_us);
void peer_media_stats(const struct peer_media *media, struct leg_stats *out);

// Sends SR or RR with SDES; with a BYE when `bye_reason` is not NULL. Nothing before peer_media_keys.
void peer_media_report(struct peer_media *media, uint64_t now_us, const char *bye_reason);

#endif
