// SPDX-License-Identifier: Apache-2.0
#include "webrtc/peer_media.h"

#include "gateway/core/err.h"
#include "gateway/core/metrics.h"
#include "media/audio_rx.h"
#include "media/audio_tx.h"
#include "media/demux.h"
#include "media/srtp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    PACKET_CAP = RTP_HEADER_LEN + CODEC_MAX_PAYLOAD + SRTP_MAX_TRAILER,
    REPORT_CAP = 512,
    NTP_EPOCH = 2208988800u, // of 1970 in seconds since 1900
    START_LIMIT_US = 200000,
};

struct peer_media {
    struct peer_media_events events;
    uint32_t ssrc;
    char cname[25];
    uint32_t want_rate_hz;
    struct audio_rx *rx; // owns, like all below; NULL before the first offer
    struct audio_tx *tx;
    struct srtp_ctx *in, *out; // NULL before the keys
    struct audio_rx_config config;
    struct leg_media now;
    enum sdp_direction direction; // ours
    uint64_t heard_us;
    uint32_t heard_ssrc; // of the last authenticated audio packet
    // See backlog.
    bool settled;
    uint64_t start_us, last_us; // 0 before the first audio packet
    uint32_t last_timestamp;
    bool dtmf_any;
    uint32_t dtmf_timestamp; // of the last event told: its end is sent three times
    uint8_t packet[PACKET_CAP];
};

int peer_media_new(struct peer_media **out, uint32_t want_rate_hz, const struct peer_media_events *events) {
    struct peer_media *media = calloc(1, sizeof *media);
    if (!media)
        return -ENOMEM;
    uint32_t random[4];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        free(media);
        return -EIO;
    }
    media->events = *events;
    media->want_rate_hz = want_rate_hz;
    media->ssrc = random[0];
    snprintf(media->cname, sizeof media->cname, "%08x%08x%08x", random[1], random[2], random[3]);
    media->now = (struct leg_media){
        .codec = CODEC_OPUS, .ptime_ms = 20, .pcm_rate_hz = codec_pcm_rate(CODEC_OPUS, want_rate_hz)};
    *out = media;
    return 0;
}

void peer_media_free(struct peer_media *media) {
    if (!media)
        return;
    audio_rx_free(media->rx);
    audio_tx_free(media->tx);
    srtp_ctx_free(media->in);
    srtp_ctx_free(media->out);
    free(media);
}

uint32_t peer_media_ssrc(const struct peer_media *media) {
    return media->ssrc;
}

const char *peer_media_cname(const struct peer_media *media) {
    return media->cname;
}

// ---- negotiation

static int streams_new(struct peer_media *media, const struct audio_rx_config *config) {
    const struct audio_tx_config tx_config = {.codec = config->codec,
                                              .payload_type = config->payload_type,
                                              .pcm_rate_hz = config->pcm_rate_hz,
                                              .ssrc = media->ssrc};
    struct audio_rx *rx;
    int err = audio_rx_new(&rx, config);
    if (err)
        return err;
    err = audio_tx_new(&media->tx, &tx_config);
    if (err) {
        audio_rx_free(rx);
        return err;
    }
    media->rx = rx;
    return 0;
}

static bool same_config(const struct audio_rx_config *a, const struct audio_rx_config *b) {
    return a->codec == b->codec && a->payload_type == b->payload_type &&
           a->dtmf_payload_type == b->dtmf_payload_type && a->pcm_rate_hz == b->pcm_rate_hz;
}

static int streams_switch(struct peer_media *media, const struct audio_rx_config *config) {
    if (same_config(config, &media->config))
        return 0;
    int err = audio_rx_switch(media->rx, config);
    if (err)
        return err;
    err = audio_tx_switch(media->tx, config->codec, config->payload_type, config->pcm_rate_hz);
    if (err)
        audio_rx_switch(media->rx, &media->config);
    return err;
}

int peer_media_apply(struct peer_media *media, const struct sdp_audio *audio, bool *changed) {
    const struct audio_rx_config config = {.codec = audio->codec,
                                           .payload_type = audio->payload_type,
                                           .dtmf_payload_type = audio->dtmf_payload_type,
                                           .pcm_rate_hz = codec_pcm_rate(audio->codec, media->want_rate_hz)};
    const struct leg_media now = {
        .codec = audio->codec, .ptime_ms = audio->ptime_ms, .pcm_rate_hz = config.pcm_rate_hz};
    int err = media->rx ? streams_switch(media, &config) : streams_new(media, &config);
    if (err)
        return err;
    *changed = now.codec != media->now.codec || now.ptime_ms != media->now.ptime_ms ||
               now.pcm_rate_hz != media->now.pcm_rate_hz;
    media->config = config;
    media->now = now;
    media->direction = audio->direction;
    return 0;
}

struct leg_media peer_media_rate(struct peer_media *media, uint32_t want_rate_hz) {
    media->want_rate_hz = want_rate_hz;
    uint32_t rate_hz = codec_pcm_rate(media->now.codec, want_rate_hz);
    if (!media->rx) {
        media->now.pcm_rate_hz = rate_hz;
        return media->now;
    }
    struct audio_rx_config config = media->config;
    config.pcm_rate_hz = rate_hz;
    if (streams_switch(media, &config) == 0) {
        media->config = config;
        media->now.pcm_rate_hz = rate_hz;
    }
    return media->now;
}

int peer_media_keys(struct peer_media *media, const struct dtls_srtp_keys *keys) {
    enum srtp_ctx_profile profile =
        keys->profile == 0x0007 ? SRTP_CTX_AEAD_AES_128_GCM : SRTP_CTX_AES128_CM_HMAC_SHA1_80;
    struct srtp_ctx *in;
    int err = srtp_ctx_new(&in, profile, keys->receive_key, keys->len, SRTP_CTX_INBOUND);
    if (err)
        return err;
    err = srtp_ctx_new(&media->out, profile, keys->send_key, keys->len, SRTP_CTX_OUTBOUND);
    if (err) {
        srtp_ctx_free(in);
        return err;
    }
    media->in = in;
    return 0;
}

// ---- in

static void on_sender_info(uint32_t from_ssrc, const struct rtcp_sender_info *info, void *arg) {
    struct peer_media *media = arg;
    if (from_ssrc == media->heard_ssrc)
        audio_rx_sender_report(media->rx, info, media->heard_us);
}

static void on_report(uint32_t from_ssrc, const struct rtcp_report_block *block, void *arg) {
    (void)from_ssrc;
    struct peer_media *media = arg;
    audio_tx_report(media->tx, block, media->heard_us);
}

// A source that ends is no hang-up: the browser changes sources when it changes tracks.
static void on_bye(uint32_t ssrc, struct span reason, void *arg) {
    (void)reason;
    struct peer_media *media = arg;
    audio_rx_bye(media->rx, ssrc);
}

static void telephone_event(struct peer_media *media, const struct rtp_packet *packet) {
    static const char digits[] = "0123456789*#ABCD";
    bool end = packet->payload_len >= 4 && (packet->payload[1] & 0x80);
    if (!end || packet->payload[0] >= sizeof digits - 1)
        return;
    if (media->dtmf_any && packet->timestamp == media->dtmf_timestamp)
        return;
    media->dtmf_any = true;
    media->dtmf_timestamp = packet->timestamp;
    media->events.on_dtmf(digits[packet->payload[0]], media->events.arg);
}

// A browser records from the answer on, and sends at once what has piled up when the handshake is done: some
// 300 ms that would make the whole call as much later. So nothing is taken until packets come about as fast
// as they last.
static bool backlog(struct peer_media *media, const struct rtp_packet *packet) {
    if (media->settled)
        return false;
    uint64_t now_us = media->heard_us, passed_us = now_us - media->last_us;
    uint64_t lasted_us = (uint64_t)(packet->timestamp - media->last_timestamp) * 1000000 /
                         codec_desc(media->config.codec)->clock_hz;
    bool first = !media->start_us;
    if (first)
        media->start_us = now_us;
    media->last_us = now_us;
    media->last_timestamp = packet->timestamp;
    media->settled = !first && (passed_us * 2 >= lasted_us || now_us - media->start_us >= START_LIMIT_US);
    return !media->settled;
}

static void audio_in(struct peer_media *media, const struct rtp_packet *packet) {
    if (packet->payload_type == media->config.payload_type) {
        media->heard_ssrc = packet->ssrc;
        if (backlog(media, packet))
            return;
    }
    audio_rx_packet(media->rx, packet, media->heard_us);
    if (packet->payload_type == media->config.dtmf_payload_type)
        telephone_event(media, packet);
}

// The sentence: demux, unprotect, parse, buffer. What comes before the keys, or fails authentication, leaves
// no trace but a count.
void peer_media_receive(struct peer_media *media, uint8_t *data, size_t len, uint64_t now_us) {
    static const struct rtcp_events rtcp_events = {
        .on_sender_info = on_sender_info, .on_report = on_report, .on_bye = on_bye};
    enum demux_kind kind = demux_classify(span_of(data, len));
    if (kind == DEMUX_DTLS) {
        media->events.on_dtls(data, len, media->events.arg);
        return;
    }
    if (!media->in || (kind != DEMUX_RTP && kind != DEMUX_RTCP))
        return;
    int err = kind == DEMUX_RTP ? srtp_ctx_unprotect(media->in, data, &len)
                                : srtp_ctx_unprotect_rtcp(media->in, data, &len);
    if (err) {
        metric_add(METRIC_SRTP_REJECTED, 1);
        return;
    }
    media->heard_us = now_us;
    if (kind == DEMUX_RTCP) {
        rtcp_parse(span_of(data, len), &rtcp_events, media);
        return;
    }
    struct rtp_packet packet;
    if (rtp_parse(span_of(data, len), &packet) == 0)
        audio_in(media, &packet);
}

uint64_t peer_media_heard_us(const struct peer_media *media) {
    return media->heard_us;
}

void peer_media_read_pcm(struct peer_media *media, int16_t *out, size_t samples, uint64_t now_us) {
    if (media->rx && (media->direction & SDP_RECVONLY))
        audio_rx_read_pcm(media->rx, out, samples, now_us);
    else
        memset(out, 0, samples * sizeof *out);
}

size_t peer_media_read_payload(struct peer_media *media, uint8_t *out, size_t cap, uint32_t frame_ms,
                               uint64_t now_us) {
    if (!media->rx || !(media->direction & SDP_RECVONLY))
        return 0;
    return audio_rx_read_payload(media->rx, out, cap, frame_ms, now_us);
}

// ---- out

static bool may_send(const struct peer_media *media) {
    return media->out && (media->direction & SDP_SENDONLY);
}

static void packet_out(struct peer_media *media, int written) {
    if (written <= 0)
        return;
    size_t len = (size_t)written;
    if (srtp_ctx_protect(media->out, media->packet, &len, sizeof media->packet) == 0)
        media->events.on_send(media->packet, len, media->events.arg);
}

void peer_media_write_pcm(struct peer_media *media, const int16_t *pcm, size_t samples, uint64_t now_us) {
    if (!media->tx)
        return;
    if (!may_send(media)) {
        audio_tx_skip(media->tx, (uint32_t)(samples * 1000 / media->now.pcm_rate_hz));
        return;
    }
    packet_out(media,
               audio_tx_pcm(media->tx, pcm, samples, now_us, media->packet, PACKET_CAP - SRTP_MAX_TRAILER));
}

void peer_media_write_payload(struct peer_media *media, const uint8_t *payload, size_t len,
                              uint32_t duration_ms, uint64_t now_us) {
    if (!media->tx)
        return;
    if (!len || !may_send(media)) {
        audio_tx_skip(media->tx, duration_ms);
        return;
    }
    packet_out(media, audio_tx_payload(media->tx, payload, len, duration_ms, now_us, media->packet,
                                       PACKET_CAP - SRTP_MAX_TRAILER));
}

static uint64_t ntp_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return ((uint64_t)now.tv_sec + NTP_EPOCH) << 32 | ((uint64_t)now.tv_nsec << 32) / 1000000000u;
}

void peer_media_report(struct peer_media *media, uint64_t now_us, const char *bye_reason) {
    if (!media->out || !media->rx)
        return;
    struct audio_tx_stats sent;
    struct rtcp_sender_info info;
    struct rtcp_report_block block;
    audio_tx_stats(media->tx, &sent);
    if (sent.packets)
        audio_tx_sender_info(media->tx, now_us, ntp_now(), &info);
    bool heard = audio_rx_report(media->rx, now_us, &block);
    const struct rtcp_report report = {.ssrc = media->ssrc,
                                       .sender = sent.packets ? &info : NULL,
                                       .blocks = &block,
                                       .block_count = heard,
                                       .cname = media->cname,
                                       .bye = bye_reason != NULL,
                                       .bye_reason = bye_reason};
    uint8_t packet[REPORT_CAP];
    int written = rtcp_write(packet, sizeof packet - SRTP_MAX_TRAILER, &report);
    size_t len = written > 0 ? (size_t)written : 0;
    if (len && srtp_ctx_protect_rtcp(media->out, packet, &len, sizeof packet) == 0)
        media->events.on_send(packet, len, media->events.arg);
}

void peer_media_stats(const struct peer_media *media, struct leg_stats *out) {
    memset(out, 0, sizeof *out);
    if (!media->rx)
        return;
    struct audio_rx_stats rx;
    struct audio_tx_stats tx;
    audio_rx_stats(media->rx, &rx);
    audio_tx_stats(media->tx, &tx);
    *out = (struct leg_stats){.rx_packets = rx.packets,
                              .rx_bytes = rx.bytes,
                              .rx_lost = rx.lost,
                              .rx_late = rx.late,
                              .rx_duplicates = rx.duplicates,
                              .tx_packets = tx.packets,
                              .tx_bytes = tx.bytes,
                              .concealed_ms = rx.concealed_ms,
                              .jitter_us = rx.jitter_us,
                              .jitter_target_ms = rx.target_ms,
                              .rtt_us = tx.rtt_us,
                              .remote_fraction_lost = tx.fraction_lost};
}
