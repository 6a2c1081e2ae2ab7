// SPDX-License-Identifier: Apache-2.0
#include "sip/trunk_media.h"

#include "gateway/core/metrics.h"
#include "media/demux.h"

#include <errno.h>
#include <stdlib.h>

// Each has its own share of packets, so that a stranger's flood costs the peer none.
enum flow { FLOW_PEER, FLOW_STRANGERS, FLOW_RTCP, FLOWS };

struct trunk_media {
    struct trunk_media_events events;
    struct audio_session *session; // owns
    uint64_t heard_us;
    uint64_t credit_us[FLOWS]; // of the flood guard: see within_rate
    bool rtcp_mux, on_hold;
    struct latch latch;
    union udp_address rtcp_declared, rtcp_at; // where they listen, and where theirs last came from
    struct sdes ours, theirs;                 // in use; key_len 0 without SRTP
};

static void on_session_send(bool rtcp, const uint8_t *packet, size_t len, void *arg);

static void on_session_dtmf(char digit, void *arg) {
    struct trunk_media *media = arg;
    media->events.on_dtmf(digit, media->events.arg);
}

int trunk_media_new(struct trunk_media **out, uint32_t want_rate_hz, enum dtmf_tones tones,
                    const union udp_address *signalling, const struct trunk_media_events *events) {
    struct trunk_media *media = calloc(1, sizeof *media);
    if (!media)
        return -ENOMEM;
    const struct audio_session_events session_events = {
        .on_send = on_session_send, .on_dtmf = on_session_dtmf, .arg = media};
    int err = audio_session_new(&media->session, want_rate_hz, tones, &session_events);
    if (err) {
        free(media);
        return err;
    }
    media->events = *events;
    media->latch.signalling = *signalling;
    *out = media;
    return 0;
}

void trunk_media_free(struct trunk_media *media) {
    if (!media)
        return;
    audio_session_free(media->session);
    sdes_wipe(&media->ours);
    sdes_wipe(&media->theirs);
    free(media);
}

// ---- negotiation

// A key that stays is not set again: its rollover counter and replay window go on.
static int apply_keys(struct trunk_media *media, const struct trunk_plan *plan, const struct sdes *ours) {
    if (!plan->secure) {
        audio_session_plain(media->session);
        sdes_wipe(&media->ours);
        sdes_wipe(&media->theirs);
        return 0;
    }
    bool theirs_new = !sdes_same_key(&plan->theirs, &media->theirs);
    bool ours_new = !sdes_same_key(ours, &media->ours);
    int err = audio_session_keys(media->session, ours->profile, theirs_new ? plan->theirs.key : NULL,
                                 ours_new ? ours->key : NULL, ours->key_len);
    if (err)
        return err;
    media->theirs = plan->theirs;
    media->ours = *ours;
    return 0;
}

int trunk_media_apply(struct trunk_media *media, const struct trunk_plan *plan, const struct sdes *ours,
                      uint64_t now_us, bool *changed) {
    bool rekeyed = plan->secure != (media->theirs.key_len > 0) ||
                   (plan->secure && !sdes_same_key(&plan->theirs, &media->theirs));
    int err = audio_session_apply(media->session, &plan->audio, changed);
    if (!err)
        err = apply_keys(media, plan, ours);
    if (err)
        return err;
    latch_declare(&media->latch, &plan->rtp, plan->secure, rekeyed);
    media->rtcp_declared = plan->rtcp;
    media->rtcp_at = (union udp_address){0};
    media->rtcp_mux = plan->rtcp_mux;
    media->on_hold = plan->audio.direction != SDP_SENDRECV;
    media->heard_us = now_us;
    return 0;
}

bool trunk_media_applied(const struct trunk_media *media) {
    return audio_session_applied(media->session);
}

void trunk_media_open(struct trunk_media *media, uint64_t now_us) {
    media->heard_us = now_us;
    audio_session_open(media->session);
}

// ---- in

// Every packet costs its share of a second; as much as a burst may be owed.
static bool within_rate(struct trunk_media *media, enum flow flow, uint64_t now_us) {
    uint64_t *credit_us = &media->credit_us[flow];
    const uint64_t each_us = 1000000 / TRUNK_PACKETS_PER_SECOND;
    if (*credit_us < now_us)
        *credit_us = now_us;
    if (*credit_us - now_us >= TRUNK_PACKETS_BURST * each_us)
        return false;
    *credit_us += each_us;
    return true;
}

static bool rtp_in(struct trunk_media *media, uint8_t *data, size_t len, const union udp_address *from,
                   uint64_t now_us) {
    struct rtp_packet packet;
    if (!latch_admits(&media->latch, from, now_us)) {
        metric_add(METRIC_RTP_REFUSED_SOURCE, 1);
        return false;
    }
    bool peer = udp_address_eq(from, latch_target(&media->latch));
    if (!within_rate(media, peer ? FLOW_PEER : FLOW_STRANGERS, now_us)) {
        metric_add(METRIC_RTP_REFUSED_FLOOD, 1);
        return false;
    }
    if (audio_session_unprotect(media->session, false, data, &len) != 0)
        return false;
    if (rtp_parse(span_of(data, len), &packet) != 0 ||
        !audio_session_takes(media->session, packet.payload_type)) {
        metric_add(METRIC_RTP_REFUSED_KIND, 1);
        return false;
    }
    bool known = media->latch.latched && udp_address_eq(&media->latch.at, from);
    if (!latch_packet(&media->latch, from, packet.ssrc, packet.seq, now_us))
        return false;
    if (!known) {
        audio_session_moved(media->session, packet.ssrc);
        media->events.on_source(from, media->events.arg);
    }
    media->heard_us = now_us;
    audio_session_rtp(media->session, &packet, now_us);
    return true;
}

// Its port is any of the host's from which RTP is taken: NATs give it one of its own.
static bool rtcp_admitted(const struct trunk_media *media, const union udp_address *from) {
    return udp_address_eq(from, &media->rtcp_declared) ||
           udp_address_same_host(from, latch_target(&media->latch));
}

static void rtcp_in(struct trunk_media *media, uint8_t *data, size_t len, const union udp_address *from,
                    uint64_t now_us) {
    if (!rtcp_admitted(media, from)) {
        metric_add(METRIC_RTP_REFUSED_SOURCE, 1);
        return;
    }
    if (!within_rate(media, FLOW_RTCP, now_us)) {
        metric_add(METRIC_RTP_REFUSED_FLOOD, 1);
        return;
    }
    if (audio_session_unprotect(media->session, true, data, &len) != 0)
        return;
    if (audio_session_rtcp(media->session, span_of(data, len), now_us) != 0) {
        metric_add(METRIC_RTP_REFUSED_KIND, 1);
        return;
    }
    media->heard_us = now_us;
    media->rtcp_at = *from;
}

// The sentence's first word. RTP comes on its own port only; RTCP may share it (RFC 5761), offered or not.
bool trunk_media_receive(struct trunk_media *media, enum trunk_channel channel, uint8_t *data, size_t len,
                         const union udp_address *from, uint64_t now_us) {
    enum demux_kind kind = demux_classify(span_of(data, len));
    if (!audio_session_applied(media->session))
        return false;
    if (kind == DEMUX_RTP && channel == TRUNK_RTP)
        return rtp_in(media, data, len, from, now_us);
    if (kind == DEMUX_RTCP)
        rtcp_in(media, data, len, from, now_us);
    return false;
}

uint64_t trunk_media_heard_us(const struct trunk_media *media) {
    return media->heard_us;
}

bool trunk_media_on_hold(const struct trunk_media *media) {
    return media->on_hold;
}

// ---- out

static const union udp_address *rtcp_target(const struct trunk_media *media) {
    if (media->rtcp_mux)
        return latch_target(&media->latch);
    return udp_address_known(&media->rtcp_at) ? &media->rtcp_at : &media->rtcp_declared;
}

static void on_session_send(bool rtcp, const uint8_t *packet, size_t len, void *arg) {
    struct trunk_media *media = arg;
    const union udp_address *to = rtcp ? rtcp_target(media) : latch_target(&media->latch);
    enum trunk_channel channel = rtcp && !media->rtcp_mux ? TRUNK_RTCP : TRUNK_RTP;
    if (udp_address_usable(to))
        media->events.on_send(channel, packet, len, to, media->events.arg);
}

struct audio_session *trunk_media_session(struct trunk_media *media) {
    return media->session;
}
