// SPDX-License-Identifier: Apache-2.0
#include "media/audio_session.h"

#include "gateway/core/err.h"
#include "gateway/core/metrics.h"
#include "media/audio_digits.h"
#include "media/audio_rx.h"
#include "media/audio_tx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    PACKET_CAP = RTP_HEADER_LEN + CODEC_MAX_PAYLOAD + SRTP_MAX_TRAILER,
    PLAIN_CAP = PACKET_CAP - SRTP_MAX_TRAILER,
    REPORT_CAP = 512,
    MAX_SAMPLES = 48 * 60,   // of a frame of the bridge's
    NOISE_LEVEL = 70,        // -dBov: heard as "the line is open"
    NOISE_EACH_MS = 200,     // of a pause
    SURE_US = 1000,          // this thread is on time: a packet came when it is read
    NTP_EPOCH = 2208988800u, // of 1970 in seconds since 1900
};

struct audio_session {
    struct audio_session_events events;
    struct audio_rx *rx; // owns, as the next four; NULL before the first apply
    struct audio_tx *tx;
    struct srtp_ctx *in, *out;   // NULL without keys
    const struct ticker *ticker; // borrowed, may be NULL
    bool open;
    struct audio_rx_config config;
    struct leg_media now;
    enum sdp_direction direction; // ours
    int cn_payload_type;          // -1 for none
    uint32_t dtmf_clock_hz;       // 0 for none
    uint32_t quiet_ms;            // since the last comfort noise; NOISE_EACH_MS while there is speech
    uint64_t heard_us;            // of the packet at hand
    uint32_t heard_ssrc;          // of the last audio packet
    enum dtmf_tones tones;
    struct audio_digits digits;
    const unsigned *complexity; // borrowed, may be NULL
    uint32_t want_rate_hz;
    uint32_t ssrc;
    char cname[25];
};

static void on_digit(char digit, void *arg) {
    struct audio_session *session = arg;
    session->events.on_dtmf(digit, session->events.arg);
}

int audio_session_new(struct audio_session **out, uint32_t want_rate_hz, enum dtmf_tones tones,
                      const struct audio_session_events *events) {
    struct audio_session *session = calloc(1, sizeof *session);
    if (!session)
        return -ENOMEM;
    uint32_t random[4];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        free(session);
        return -EIO;
    }
    session->events = *events;
    session->tones = tones;
    audio_digits_init(&session->digits, on_digit, session);
    session->want_rate_hz = want_rate_hz;
    session->ssrc = random[0];
    session->cn_payload_type = -1;
    snprintf(session->cname, sizeof session->cname, "%08x%08x%08x", random[1], random[2], random[3]);
    session->now = (struct leg_media){
        .codec = CODEC_OPUS, .ptime_ms = 20, .pcm_rate_hz = codec_pcm_rate(CODEC_OPUS, want_rate_hz)};
    *out = session;
    return 0;
}

void audio_session_free(struct audio_session *session) {
    if (!session)
        return;
    audio_digits_clear(&session->digits);
    audio_rx_free(session->rx);
    audio_tx_free(session->tx);
    srtp_ctx_free(session->in);
    srtp_ctx_free(session->out);
    free(session);
}

void audio_session_complexity(struct audio_session *session, const unsigned *complexity) {
    session->complexity = complexity;
}

void audio_session_ticker(struct audio_session *session, const struct ticker *ticker) {
    session->ticker = ticker;
}

uint32_t audio_session_ssrc(const struct audio_session *session) {
    return session->ssrc;
}

const char *audio_session_cname(const struct audio_session *session) {
    return session->cname;
}

// ---- negotiation

static int streams_new(struct audio_session *session, const struct audio_rx_config *config) {
    const struct audio_tx_config tx_config = {.codec = config->codec,
                                              .payload_type = config->payload_type,
                                              .pcm_rate_hz = config->pcm_rate_hz,
                                              .ssrc = session->ssrc,
                                              .complexity = session->complexity};
    struct audio_rx *rx;
    int err = audio_rx_new(&rx, config);
    if (err)
        return err;
    err = audio_tx_new(&session->tx, &tx_config);
    if (err) {
        audio_rx_free(rx);
        return err;
    }
    session->rx = rx;
    return 0;
}

static bool same_config(const struct audio_rx_config *a, const struct audio_rx_config *b) {
    return a->codec == b->codec && a->payload_type == b->payload_type &&
           a->dtmf_payload_type == b->dtmf_payload_type && a->pcm_rate_hz == b->pcm_rate_hz;
}

static int streams_switch(struct audio_session *session, const struct audio_rx_config *config) {
    int err = audio_rx_switch(session->rx, config);
    if (err)
        return err;
    err = audio_tx_switch(session->tx, config->codec, config->payload_type, config->pcm_rate_hz);
    if (err)
        audio_rx_switch(session->rx, &session->config);
    return err;
}

// On failure nothing changes but, should memory be out twice, the ears.
static int take_config(struct audio_session *session, const struct audio_rx_config *config) {
    if (session->rx && same_config(config, &session->config))
        return 0;
    bool listen = session->tones == DTMF_TONES_ON ||
                  (session->tones == DTMF_TONES_AUTO && config->dtmf_payload_type < 0);
    int err = audio_digits_ears(&session->digits, listen, config->codec, config->pcm_rate_hz);
    if (!err)
        err = session->rx ? streams_switch(session, config) : streams_new(session, config);
    if (!err)
        session->config = *config;
    return err;
}

int audio_session_apply(struct audio_session *session, const struct sdp_audio *audio, bool *changed) {
    const struct audio_rx_config config = {.codec = audio->codec,
                                           .payload_type = audio->payload_type,
                                           .dtmf_payload_type = audio->dtmf_payload_type,
                                           .pcm_rate_hz =
                                               codec_pcm_rate(audio->codec, session->want_rate_hz)};
    const struct leg_media now = {
        .codec = audio->codec, .ptime_ms = audio->ptime_ms, .pcm_rate_hz = config.pcm_rate_hz};
    int err = take_config(session, &config);
    if (err)
        return err;
    *changed = now.codec != session->now.codec || now.ptime_ms != session->now.ptime_ms ||
               now.pcm_rate_hz != session->now.pcm_rate_hz;
    session->now = now;
    session->direction = audio->direction;
    session->cn_payload_type = audio->cn_payload_type;
    session->dtmf_clock_hz = audio->dtmf_payload_type >= 0 ? audio->dtmf_clock_hz : 0;
    audio_digits_event_clock(&session->digits, session->dtmf_clock_hz);
    session->quiet_ms = NOISE_EACH_MS;
    return 0;
}

struct leg_media audio_session_rate(struct audio_session *session, uint32_t want_rate_hz) {
    session->want_rate_hz = want_rate_hz;
    uint32_t rate_hz = codec_pcm_rate(session->now.codec, want_rate_hz);
    if (!session->rx) {
        session->now.pcm_rate_hz = rate_hz;
        return session->now;
    }
    struct audio_rx_config config = session->config;
    config.pcm_rate_hz = rate_hz;
    if (take_config(session, &config) == 0)
        session->now.pcm_rate_hz = rate_hz;
    return session->now;
}

bool audio_session_applied(const struct audio_session *session) {
    return session->rx != NULL;
}

bool audio_session_takes(const struct audio_session *session, uint8_t payload_type) {
    return session->rx &&
           (payload_type == session->config.payload_type ||
            payload_type == session->config.dtmf_payload_type || payload_type == session->cn_payload_type);
}

static int make_key(struct srtp_ctx **out, enum srtp_ctx_profile profile, const uint8_t *key, size_t key_len,
                    enum srtp_ctx_direction direction) {
    *out = NULL;
    return key ? srtp_ctx_new(out, profile, key, key_len, direction) : 0;
}

static void replace_key(struct srtp_ctx **old, struct srtp_ctx *ctx) {
    if (!ctx)
        return;
    srtp_ctx_free(*old);
    *old = ctx;
}

int audio_session_keys(struct audio_session *session, enum srtp_ctx_profile profile,
                       const uint8_t *receive_key, const uint8_t *send_key, size_t key_len) {
    struct srtp_ctx *in, *out;
    int err = make_key(&in, profile, receive_key, key_len, SRTP_CTX_INBOUND);
    if (err)
        return err;
    err = make_key(&out, profile, send_key, key_len, SRTP_CTX_OUTBOUND);
    if (err) {
        srtp_ctx_free(in);
        return err;
    }
    replace_key(&session->in, in);
    replace_key(&session->out, out);
    return 0;
}

void audio_session_plain(struct audio_session *session) {
    srtp_ctx_free(session->in);
    srtp_ctx_free(session->out);
    session->in = session->out = NULL;
}

void audio_session_open(struct audio_session *session) {
    session->open = true;
}

// ---- in

int audio_session_unprotect(struct audio_session *session, bool rtcp, uint8_t *data, size_t *len) {
    if (!session->in)
        return 0;
    int err =
        rtcp ? srtp_ctx_unprotect_rtcp(session->in, data, len) : srtp_ctx_unprotect(session->in, data, len);
    if (err)
        metric_add(METRIC_SRTP_REJECTED, 1);
    return err;
}

static void on_sender_info(uint32_t from_ssrc, const struct rtcp_sender_info *info, void *arg) {
    struct audio_session *session = arg;
    if (from_ssrc == session->heard_ssrc)
        audio_rx_sender_report(session->rx, info, session->heard_us);
}

static void on_report(uint32_t from_ssrc, const struct rtcp_report_block *block, void *arg) {
    (void)from_ssrc;
    struct audio_session *session = arg;
    audio_tx_report(session->tx, block, session->heard_us);
}

// A source that ends is no hang-up: a browser changes sources when it changes tracks, a PBX when it
// transfers.
static void on_bye(uint32_t ssrc, struct span reason, void *arg) {
    (void)reason;
    struct audio_session *session = arg;
    audio_rx_bye(session->rx, ssrc);
}

int audio_session_rtcp(struct audio_session *session, struct span compound, uint64_t now_us) {
    static const struct rtcp_events events = {
        .on_sender_info = on_sender_info, .on_report = on_report, .on_bye = on_bye};
    session->heard_us = now_us;
    return session->rx ? rtcp_parse(compound, &events, session) : 0;
}

void audio_session_moved(struct audio_session *session, uint32_t ssrc) {
    if (session->rx && ssrc != session->heard_ssrc)
        audio_rx_bye(session->rx, session->heard_ssrc);
}

void audio_session_rtp(struct audio_session *session, const struct rtp_packet *packet, uint64_t now_us) {
    session->heard_us = now_us;
    if (!session->rx)
        return;
    if (packet->payload_type == session->config.payload_type)
        session->heard_ssrc = packet->ssrc;
    uint32_t behind_us = session->ticker ? ticker_behind_us(session->ticker, now_us) : 0;
    audio_rx_unsure(session->rx, behind_us > SURE_US ? behind_us : 0);
    audio_rx_packet(session->rx, packet, now_us);
    if (packet->payload_type == session->config.dtmf_payload_type)
        audio_digits_packet(&session->digits, packet, now_us);
}

void audio_session_digit(struct audio_session *session, char digit, uint64_t now_us) {
    audio_digits_info(&session->digits, digit, now_us);
}

void audio_session_read_pcm(struct audio_session *session, int16_t *out, size_t samples, uint64_t now_us) {
    if (!session->rx || !(session->direction & SDP_RECVONLY)) {
        memset(out, 0, samples * sizeof *out);
        return;
    }
    audio_rx_read_pcm(session->rx, out, samples, now_us);
    audio_digits_pcm(&session->digits, out, samples, now_us);
}

size_t audio_session_read_payload(struct audio_session *session, uint8_t *out, size_t cap, uint32_t frame_ms,
                                  uint64_t now_us) {
    if (!session->rx || !(session->direction & SDP_RECVONLY))
        return 0;
    size_t len = audio_rx_read_payload(session->rx, out, cap, frame_ms, now_us);
    audio_digits_payload(&session->digits, out, len, now_us);
    return len;
}

bool audio_session_read_late(struct audio_session *session, int64_t *late_us) {
    return audio_rx_late(session->rx, late_us);
}

// ---- out

static bool may_send(const struct audio_session *session) {
    return session->open && (session->direction & SDP_SENDONLY);
}

// `packet` has PACKET_CAP bytes, of which `written` are filled; negative: none could be made.
static void packet_out(struct audio_session *session, uint8_t *packet, int written) {
    if (written <= 0)
        return;
    size_t len = (size_t)written;
    uint64_t begin_ns = session->out ? stage_begin(HISTOGRAM_STAGE_PROTECT) : 0;
    if (session->out && srtp_ctx_protect(session->out, packet, &len, PACKET_CAP) != 0)
        return;
    stage_end(HISTOGRAM_STAGE_PROTECT, begin_ns);
    begin_ns = stage_begin(HISTOGRAM_STAGE_SEND);
    session->events.on_send(false, packet, len, session->events.arg);
    stage_end(HISTOGRAM_STAGE_SEND, begin_ns);
}

// RFC 3389, for who offered it: one packet as a pause begins, and then five a second, so that neither the
// far end nor a NAT between takes the call for dead.
static void comfort_noise(struct audio_session *session, uint32_t duration_ms, uint64_t now_us) {
    static const uint8_t level[] = {NOISE_LEVEL};
    const struct audio_tx_other noise = {.payload_type = (uint8_t)session->cn_payload_type,
                                         .timestamp = audio_tx_timestamp(session->tx),
                                         .payload = level,
                                         .len = sizeof level};
    if (session->quiet_ms >= NOISE_EACH_MS) {
        uint8_t packet[PACKET_CAP];
        packet_out(session, packet, audio_tx_other(session->tx, &noise, now_us, packet, PLAIN_CAP));
        session->quiet_ms = 0;
    }
    session->quiet_ms += duration_ms;
    audio_tx_skip(session->tx, duration_ms);
}

// True when a digit goes out in the place of this frame.
static bool digit_out(struct audio_session *session, uint32_t duration_ms, uint64_t now_us) {
    struct dtmf_frame frame;
    int16_t pcm[MAX_SAMPLES];
    uint8_t packet[PACKET_CAP];
    dtmf_sender_next(&session->digits.sender, duration_ms, session->dtmf_clock_hz,
                     audio_tx_timestamp(session->tx), &frame);
    if (frame.kind == DTMF_FRAME_AUDIO)
        return false;
    session->quiet_ms = NOISE_EACH_MS;
    if (frame.kind == DTMF_FRAME_EVENT) {
        const struct audio_tx_other event = {.payload_type = (uint8_t)session->config.dtmf_payload_type,
                                             .marker = frame.begins,
                                             .timestamp = frame.timestamp,
                                             .payload = frame.payload,
                                             .len = sizeof frame.payload};
        packet_out(session, packet, audio_tx_other(session->tx, &event, now_us, packet, PLAIN_CAP));
        audio_tx_skip(session->tx, duration_ms);
        return true;
    }
    size_t samples = session->config.pcm_rate_hz / 1000 * duration_ms;
    if (samples > MAX_SAMPLES)
        return false;
    audio_digits_sound(&session->digits, &frame, pcm, samples, session->config.pcm_rate_hz);
    packet_out(session, packet, audio_tx_pcm(session->tx, pcm, samples, now_us, packet, PLAIN_CAP));
    return true;
}

void audio_session_write_pcm(struct audio_session *session, const int16_t *pcm, size_t samples, bool silence,
                             uint64_t now_us) {
    if (!session->tx)
        return;
    uint32_t duration_ms = (uint32_t)(samples * 1000 / session->now.pcm_rate_hz);
    if (!may_send(session)) {
        audio_tx_skip(session->tx, duration_ms);
        return;
    }
    if (digit_out(session, duration_ms, now_us))
        return;
    if (silence && session->cn_payload_type >= 0) {
        comfort_noise(session, duration_ms, now_us);
        return;
    }
    uint8_t packet[PACKET_CAP];
    session->quiet_ms = NOISE_EACH_MS;
    packet_out(session, packet, audio_tx_pcm(session->tx, pcm, samples, now_us, packet, PLAIN_CAP));
}

void audio_session_write_payload(struct audio_session *session, const uint8_t *payload, size_t len,
                                 uint32_t duration_ms, uint64_t now_us) {
    if (!session->tx)
        return;
    if (may_send(session) && digit_out(session, duration_ms, now_us))
        return;
    if (!len || !may_send(session)) {
        audio_tx_skip(session->tx, duration_ms);
        return;
    }
    uint8_t packet[PACKET_CAP];
    session->quiet_ms = NOISE_EACH_MS;
    packet_out(session, packet,
               audio_tx_payload(session->tx, payload, len, duration_ms, now_us, packet, PLAIN_CAP));
}

int audio_session_send_dtmf(struct audio_session *session, const char *digits) {
    return dtmf_sender_put(&session->digits.sender, digits);
}

static uint64_t ntp_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return ((uint64_t)now.tv_sec + NTP_EPOCH) << 32 | ((uint64_t)now.tv_nsec << 32) / 1000000000u;
}

static void observe_jitter(const struct audio_session *session) {
    struct audio_rx_stats stats;
    audio_rx_stats(session->rx, &stats);
    metric_observe(HISTOGRAM_JITTER_TARGET, stats.target_ms * 1000000ull);
}

void audio_session_report(struct audio_session *session, uint64_t now_us, const char *bye_reason) {
    if (!session->open || !session->rx)
        return;
    struct audio_tx_stats sent;
    struct rtcp_sender_info info;
    struct rtcp_report_block block;
    audio_tx_stats(session->tx, &sent);
    if (sent.packets)
        audio_tx_sender_info(session->tx, now_us, ntp_now(), &info);
    bool heard = audio_rx_report(session->rx, now_us, &block);
    observe_jitter(session);
    const struct rtcp_report report = {.ssrc = session->ssrc,
                                       .sender = sent.packets ? &info : NULL,
                                       .blocks = &block,
                                       .block_count = heard,
                                       .cname = session->cname,
                                       .bye = bye_reason != NULL,
                                       .bye_reason = bye_reason};
    uint8_t packet[REPORT_CAP];
    int written = rtcp_write(packet, sizeof packet - SRTP_MAX_TRAILER, &report);
    size_t len = written > 0 ? (size_t)written : 0;
    if (!len)
        return;
    if (!session->out || srtp_ctx_protect_rtcp(session->out, packet, &len, sizeof packet) == 0)
        session->events.on_send(true, packet, len, session->events.arg);
}

void audio_session_stats(const struct audio_session *session, struct leg_stats *out) {
    memset(out, 0, sizeof *out);
    if (!session->rx)
        return;
    struct audio_rx_stats rx;
    struct audio_tx_stats tx;
    audio_rx_stats(session->rx, &rx);
    audio_tx_stats(session->tx, &tx);
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
                              .remote_fraction_lost = tx.fraction_lost,
                              .remote_lost = tx.lost,
                              .remote_jitter_us = tx.jitter_us};
}
