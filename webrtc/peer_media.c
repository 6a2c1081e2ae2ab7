// SPDX-License-Identifier: Apache-2.0
#include "webrtc/peer_media.h"

#include "gateway/core/err.h"
#include "media/audio_session.h"
#include "media/demux.h"

#include <stdlib.h>

enum { START_LIMIT_US = 200000 };

struct peer_media {
    struct peer_media_events events;
    struct audio_session *session; // owns
    bool keyed;
    uint64_t heard_us;
    // See backlog.
    uint8_t payload_type; // of the audio
    uint32_t clock_hz;
    bool settled;
    uint64_t start_us, last_us; // 0 before the first audio packet
    uint32_t last_timestamp;
};

static void on_session_send(bool rtcp, const uint8_t *packet, size_t len, void *arg) {
    (void)rtcp; // one transport for all
    struct peer_media *media = arg;
    media->events.on_send(packet, len, media->events.arg);
}

static void on_session_dtmf(char digit, void *arg) {
    struct peer_media *media = arg;
    media->events.on_dtmf(digit, media->events.arg);
}

int peer_media_new(struct peer_media **out, uint32_t want_rate_hz, const struct peer_media_events *events) {
    struct peer_media *media = calloc(1, sizeof *media);
    if (!media)
        return -ENOMEM;
    const struct audio_session_events session_events = {
        .on_send = on_session_send, .on_dtmf = on_session_dtmf, .arg = media};
    int err = audio_session_new(&media->session, want_rate_hz, DTMF_TONES_OFF, &session_events);
    if (err) {
        free(media);
        return err;
    }
    media->events = *events;
    *out = media;
    return 0;
}

void peer_media_free(struct peer_media *media) {
    if (!media)
        return;
    audio_session_free(media->session);
    free(media);
}

struct audio_session *peer_media_session(struct peer_media *media) {
    return media->session;
}

int peer_media_apply(struct peer_media *media, const struct sdp_audio *audio, bool *changed) {
    int err = audio_session_apply(media->session, audio, changed);
    if (err)
        return err;
    media->payload_type = audio->payload_type;
    media->clock_hz = codec_desc(audio->codec)->clock_hz;
    return 0;
}

int peer_media_keys(struct peer_media *media, const struct dtls_srtp_keys *keys) {
    enum srtp_ctx_profile profile =
        keys->profile == 0x0007 ? SRTP_CTX_AEAD_AES_128_GCM : SRTP_CTX_AES128_CM_HMAC_SHA1_80;
    int err = audio_session_keys(media->session, profile, keys->receive_key, keys->send_key, keys->len);
    if (err)
        return err;
    media->keyed = true;
    audio_session_open(media->session);
    return 0;
}

// A browser records from the answer on, and sends at once what has piled up when the handshake is done: some
// 300 ms that would make the whole call as much later. So nothing is taken until packets come about as fast
// as they last.
static bool backlog(struct peer_media *media, const struct rtp_packet *packet) {
    if (media->settled)
        return false;
    uint64_t now_us = media->heard_us, passed_us = now_us - media->last_us;
    uint64_t lasted_us = (uint64_t)(packet->timestamp - media->last_timestamp) * 1000000 / media->clock_hz;
    bool first = !media->start_us;
    if (first)
        media->start_us = now_us;
    media->last_us = now_us;
    media->last_timestamp = packet->timestamp;
    media->settled = !first && (passed_us * 2 >= lasted_us || now_us - media->start_us >= START_LIMIT_US);
    return !media->settled;
}

// The sentence: demux, unprotect, parse, buffer. What comes before the keys, or fails authentication, leaves
// no trace but a count.
bool peer_media_receive(struct peer_media *media, uint8_t *data, size_t len, uint64_t now_us) {
    enum demux_kind kind = demux_classify(span_of(data, len));
    if (kind == DEMUX_DTLS) {
        media->events.on_dtls(data, len, media->events.arg);
        return false;
    }
    if (!media->keyed || (kind != DEMUX_RTP && kind != DEMUX_RTCP))
        return false;
    if (audio_session_unprotect(media->session, kind == DEMUX_RTCP, data, &len) != 0)
        return false;
    media->heard_us = now_us;
    if (kind == DEMUX_RTCP) {
        audio_session_rtcp(media->session, span_of(data, len), now_us);
        return false;
    }
    struct rtp_packet packet;
    if (rtp_parse(span_of(data, len), &packet) != 0)
        return false;
    if (packet.payload_type == media->payload_type && backlog(media, &packet))
        return false;
    audio_session_rtp(media->session, &packet, now_us);
    return true;
}

uint64_t peer_media_heard_us(const struct peer_media *media) {
    return media->heard_us;
}
