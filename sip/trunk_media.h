// SPDX-License-Identifier: Apache-2.0
// A trunk's audio between its two UDP ports and the session that the legs share.
//
//   in   (udp) -> trunk_media_receive: demux -> latch -> [unprotect] -> rtp_parse -> audio_session
//   out  audio_session -> on_send, to where the latch or the SDP says -> (udp)
//
// What the guards here refuse (a stranger's address, a flood, another payload type) leaves no trace but a
// count. One worker thread. Nothing allocates but trunk_media_new and _apply.
#ifndef IQ_SIP_TRUNK_MEDIA_H
#define IQ_SIP_TRUNK_MEDIA_H

#include "media/audio_session.h"
#include "sip/latch.h"
#include "sip/trunk_sdp.h"

struct trunk_media;

enum trunk_channel { TRUNK_RTP, TRUNK_RTCP }; // the even port and the odd one

enum {
    TRUNK_PACKETS_PER_SECOND = 500, // five times those of 10 ms
    TRUNK_PACKETS_BURST = 250,      // five seconds of a stalled network's, at 20 ms
};

// None may free the object inside.
struct trunk_media_events {
    void (*on_send)(enum trunk_channel channel, const uint8_t *packet, size_t len,
                    const union udp_address *to, void *arg);
    void (*on_dtmf)(char digit, void *arg);
    void (*on_source)(const union udp_address *from, void *arg); // media is taken from there now
    void *arg;
};

// `signalling` is where the INVITE came from.
int trunk_media_new(struct trunk_media **out, uint32_t want_rate_hz, enum dtmf_tones tones,
                    const union udp_address *signalling, const struct trunk_media_events *events);
void trunk_media_free(struct trunk_media *media); // NULL is fine

// What was negotiated, the first time or again; `ours` is the key we send with, where plan->secure. *changed:
// as audio_session_apply. On failure the codec stays as it was.
int trunk_media_apply(struct trunk_media *media, const struct trunk_plan *plan, const struct sdes *ours,
                      uint64_t now_us, bool *changed);
bool trunk_media_applied(const struct trunk_media *media);         // was there a first time?
void trunk_media_open(struct trunk_media *media, uint64_t now_us); // packets go out from here on

// One datagram as it came, changed in place. True when it was RTP of theirs: there is audio in the jitter buffer.
bool trunk_media_receive(struct trunk_media *media, enum trunk_channel channel, uint8_t *data, size_t len,
                         const union udp_address *from, uint64_t now_us);
// When the peer last gave a sign of life, by RTP, RTCP or SDP; of no meaning on hold, when it may be silent.
uint64_t trunk_media_heard_us(const struct trunk_media *media);
bool trunk_media_on_hold(const struct trunk_media *media);

// For reading, writing, reports and statistics.
struct audio_session *trunk_media_session(struct trunk_media *media);

#endif
