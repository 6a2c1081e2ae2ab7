// SPDX-License-Identifier: Apache-2.0
// One RTP session of audio (RFC 3550): a stream each way, SRTP where there are keys, RTCP about both, and
// telephone-event. What the legs share; which datagram belongs to it, and where its packets go, is theirs.
//
//   in   (leg) -> [unprotect] -> rtp_parse -> audio_session_rtp -> audio_rx -> (reader)
//   out  (writer) -> audio_tx -> [protect] -> on_send -> (leg)
//
// One worker thread. Nothing allocates but audio_session_new, _apply, _keys and _rate.
#ifndef IQ_MEDIA_AUDIO_SESSION_H
#define IQ_MEDIA_AUDIO_SESSION_H

#include "gateway/core/ticker.h"
#include "media/dtmf.h"
#include "media/leg.h"
#include "media/rtp.h"
#include "media/sdp_nego.h"
#include "media/srtp.h"

struct audio_session;

// None may free the object inside.
struct audio_session_events {
    void (*on_send)(bool rtcp, const uint8_t *packet, size_t len,
                    void *arg); // protected where there are keys
    void (*on_dtmf)(char digit, void *arg);
    void *arg;
};

int audio_session_new(struct audio_session **out, uint32_t want_rate_hz, enum dtmf_tones tones,
                      const struct audio_session_events *events);
void audio_session_free(struct audio_session *session); // NULL is fine

// Before the first apply: see audio_tx_config.complexity.
// The clock of the thread that reads packets: what comes while it is late is not taken for the network's delay.
void audio_session_ticker(struct audio_session *session,
                          const struct ticker *ticker); // borrowed, NULL for none
void audio_session_complexity(struct audio_session *session, const unsigned *complexity);

uint32_t audio_session_ssrc(const struct audio_session *session);     // ours; random, never changes
const char *audio_session_cname(const struct audio_session *session); // ours; random (RFC 7022)

// What was negotiated, the first time or again. *changed: the reader and writer must ask for the media again.
// On failure nothing changes.
int audio_session_apply(struct audio_session *session, const struct sdp_audio *audio, bool *changed);
bool audio_session_applied(const struct audio_session *session); // was there a first time?
// Is it a payload type that was negotiated: the codec's, an event's or comfort noise's?
bool audio_session_takes(const struct audio_session *session, uint8_t payload_type);

// See leg_ops.media. Before the first apply: 48 kHz Opus.
struct leg_media audio_session_rate(struct audio_session *session, uint32_t want_rate_hz);

// Each key is master key and salt; NULL keeps that direction's. On failure nothing changes.
int audio_session_keys(struct audio_session *session, enum srtp_ctx_profile profile,
                       const uint8_t *receive_key, const uint8_t *send_key, size_t key_len);
void audio_session_plain(struct audio_session *session); // no keys any more
// Packets are taken in and sent from here on: in the clear, unless there are keys.
void audio_session_open(struct audio_session *session);

// In place; 0 at once without keys. What fails leaves no trace but a count.
int audio_session_unprotect(struct audio_session *session, bool rtcp, uint8_t *data, size_t *len);
void audio_session_rtp(struct audio_session *session, const struct rtp_packet *packet, uint64_t now_us);
// The peer's media has moved, and this source is the one to be heard now: the old one is not waited for.
void audio_session_moved(struct audio_session *session, uint32_t ssrc);
int audio_session_rtcp(struct audio_session *session, struct span compound, uint64_t now_us); // -EBADMSG

// See leg_ops for these.
void audio_session_read_pcm(struct audio_session *session, int16_t *out, size_t samples, uint64_t now_us);
size_t audio_session_read_payload(struct audio_session *session, uint8_t *out, size_t cap, uint32_t frame_ms,
                                  uint64_t now_us);
bool audio_session_read_late(struct audio_session *session, int64_t *late_us);
void audio_session_write_pcm(struct audio_session *session, const int16_t *pcm, size_t samples, bool silence,
                             uint64_t now_us);
void audio_session_write_payload(struct audio_session *session, const uint8_t *payload, size_t len,
                                 uint32_t duration_ms, uint64_t now_us);
// See leg_ops. To a peer that takes no telephone-event the digits go as tones.
int audio_session_send_dtmf(struct audio_session *session, const char *digits);
// A digit that came beside the media (SIP INFO).
void audio_session_digit(struct audio_session *session, char digit, uint64_t now_us);
void audio_session_stats(const struct audio_session *session, struct leg_stats *out);

// Sends SR or RR with SDES; with a BYE when `bye_reason` is not NULL. Nothing before audio_session_open.
void audio_session_report(struct audio_session *session, uint64_t now_us, const char *bye_reason);

#endif
