// SPDX-License-Identifier: Apache-2.0
// A peer's audio: the demultiplexing before the session that the legs share.
//
//   in   ice -> peer_media_receive: demux -> unprotect -> rtp_parse -> audio_session
//   out  audio_session -> on_send -> ice
//
// One worker thread. Nothing allocates but peer_media_new, _apply and _keys.
#ifndef IQ_WEBRTC_PEER_MEDIA_H
#define IQ_WEBRTC_PEER_MEDIA_H

#include "media/audio_session.h"
#include "media/sdp_nego.h"
#include "webrtc/dtls.h"

struct peer_media;

// None may free the object inside.
struct peer_media_events {
    void (*on_send)(const uint8_t *packet, size_t len, void *arg);   // protected, for ICE
    void (*on_dtls)(const uint8_t *datagram, size_t len, void *arg); // received, not authenticated
    void (*on_dtmf)(char digit, void *arg);                          // RFC 4733, once a press
    void *arg;
};

int peer_media_new(struct peer_media **out, uint32_t want_rate_hz, const struct peer_media_events *events);
void peer_media_free(struct peer_media *media); // NULL is fine

// For reading, writing, reports and statistics.
struct audio_session *peer_media_session(struct peer_media *media);

// What was negotiated, the first time or again. *changed: the reader and writer must ask peer_media_now. On
// failure nothing changes.
int peer_media_apply(struct peer_media *media, const struct sdp_audio *audio, bool *changed);
// The DTLS handshake is done: from here on packets are taken in and sent.
int peer_media_keys(struct peer_media *media, const struct dtls_srtp_keys *keys);

// One datagram as it came, changed in place. No state is learned from it before it is authenticated. True
// when it was RTP of theirs: there is audio in the jitter buffer.
bool peer_media_receive(struct peer_media *media, uint8_t *data, size_t len, uint64_t now_us);
uint64_t peer_media_heard_us(const struct peer_media *media); // last authenticated packet, 0 for never

#endif
