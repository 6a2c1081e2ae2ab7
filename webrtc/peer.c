// SPDX-License-Identifier: Apache-2.0
//
//   peer_offer -> peer_sdp -> ice credentials and candidates, dtls, datachan, peer_media -> the answer
//   ice on_packet -> peer_media_receive -> (SRTP) audio
//                                       -> dtls_receive -> keys -> peer_media
//                                                       -> SCTP -> datachan
//   ice on_state  -> connected: dtls_start      lost: the guard's grace
//
// One guard timer: until media is up it is the connect timeout, afterwards the grace for a lost network.
#include "webrtc/peer_impl.h"

#include "gateway/core/log.h"
#include "gateway/core/ticker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    FIRST_REPORT_MS = 1000,
    REPORT_MS = 5000, // RFC 3550 section 6.2's minimum, randomised over half to one and a half of it
};

static void peer_end(struct peer *peer, enum leg_end end, const char *reason) {
    if (peer->ended || peer->closing)
        return;
    peer->ended = true;
    uv_timer_stop(&peer->guard);
    uv_timer_stop(&peer->report);
    peer->events->on_end(end, reason, peer->events_arg);
}

static void on_guard(uv_timer_t *timer) {
    static const char *const ice_names[] = {"new", "checking", "connected", "disconnected", "failed"};
    struct peer *peer = timer->data;
    char reason[160];
    if (peer->up) {
        snprintf(reason, sizeof reason, "no connection to the browser for %u ms (ICE %s)",
                 peer->config.grace_ms, ice_names[ice_state(peer->ice)]);
        peer_end(peer, LEG_END_LOST, reason);
        return;
    }
    snprintf(reason, sizeof reason, "no media within %u ms (ICE %s, DTLS %s)",
             peer->config.connect_timeout_ms, ice_names[ice_state(peer->ice)],
             peer->dtls_started ? "under way" : "not begun");
    peer_end(peer, LEG_END_FAILED, reason);
}

static void on_report_due(uv_timer_t *timer) {
    struct peer *peer = timer->data;
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
        random = REPORT_MS / 2;
    audio_session_report(peer_media_session(peer->media), ticker_now_us(), NULL);
    uv_timer_start(timer, on_report_due, REPORT_MS / 2 + random % REPORT_MS, 0);
}

void peer_guard(struct peer *peer) {
    uv_timer_start(&peer->guard, on_guard, peer->up ? peer->config.grace_ms : peer->config.connect_timeout_ms,
                   0);
}

// ---- ICE

static void on_ice_state(enum ice_state state, void *arg) {
    struct peer *peer = arg;
    log_debug(peer->call_id, "peer", "ICE state %d", state);
    if (peer->ended)
        return;
    if (state == ICE_CONNECTED) {
        if (peer->up)
            uv_timer_stop(&peer->guard);
        if (peer->dtls_started || !peer->dtls)
            return;
        peer->dtls_started = true;
        dtls_start(peer->dtls);
        return;
    }
    if (peer->up && !uv_is_active((uv_handle_t *)&peer->guard))
        peer_guard(peer);
}

static void on_ice_candidate(const char *text, void *arg) {
    struct peer *peer = arg;
    if (peer->ended)
        return;
    const struct peer_candidate candidate = {.candidate = text,
                                             .sdp_mid = peer->mid,
                                             .sdp_mline_index = peer->mline_index,
                                             .ufrag = ice_ufrag(peer->ice)};
    peer->signals.on_candidate(text ? &candidate : NULL, peer->signals.arg);
}

static void on_ice_packet(uint8_t *data, size_t len, void *arg) {
    struct peer *peer = arg;
    bool audio = !peer->ended && peer_media_receive(peer->media, data, len, ticker_now_us());
    if (audio && !peer->ended && peer->events->on_audio)
        peer->events->on_audio(peer->events_arg);
}

// ---- DTLS

static void on_datagram_out(const uint8_t *datagram, size_t len, void *arg) {
    struct peer *peer = arg;
    ice_send(peer->ice, datagram, len); // lost like any packet where there is no way now
}

static void on_dtls_in(const uint8_t *datagram, size_t len, void *arg) {
    struct peer *peer = arg;
    if (peer->dtls)
        dtls_receive(peer->dtls, datagram, len);
}

static void on_dtls_connected(const struct dtls_srtp_keys *keys, void *arg) {
    struct peer *peer = arg;
    if (peer->ended)
        return;
    int err = peer_media_keys(peer->media, keys);
    if (err) {
        log_error(peer->call_id, "peer", "SRTP cannot start (%s)", err_name(err));
        peer_end(peer, LEG_END_FAILED, "SRTP could not be set up");
        return;
    }
    if (peer->channels && datachan_start(peer->channels) != 0)
        log_warn(peer->call_id, "peer", "the data channel cannot start");
    peer->up = true;
    peer->data_us = ticker_now_us();
    uv_timer_stop(&peer->guard);
    uv_timer_start(&peer->report, on_report_due, FIRST_REPORT_MS, 0);
    log_debug(peer->call_id, "peer", "DTLS is up, SRTP profile 0x%04x", keys->profile);
    peer->events->on_up(peer->events_arg);
}

static void on_dtls_data(const uint8_t *data, size_t len, void *arg) {
    struct peer *peer = arg;
    peer->data_us = ticker_now_us();
    if (peer->channels)
        datachan_receive(peer->channels, data, len);
}

static void on_dtls_end(bool clean, const char *reason, void *arg) {
    struct peer *peer = arg;
    char text[160];
    snprintf(text, sizeof text, "DTLS: %s", reason);
    peer_end(peer, clean ? LEG_END_HANGUP : peer->up ? LEG_END_LOST : LEG_END_FAILED, text);
}

int peer_make_dtls(struct peer *peer, const struct peer_plan *plan) {
    const struct dtls_events events = {.on_send = on_datagram_out,
                                       .on_connected = on_dtls_connected,
                                       .on_data = on_dtls_data,
                                       .on_end = on_dtls_end,
                                       .arg = peer};
    // The server chooses the SRTP profile, and Chromium as the server takes AES_CM_SHA1_80 even where it is
    // offered AES-GCM. Its first flight, sent before ICE has settled, is kept by dtls.
    enum dtls_role role = plan->may_be_server ? DTLS_SERVER : DTLS_CLIENT;
    int err = dtls_new(&peer->dtls, peer->env->loop, peer->env->cert, role, &plan->fingerprint, &events);
    if (err)
        return err;
    peer->role = role;
    peer->fingerprint = plan->fingerprint;
    return 0;
}

// ---- the data channel

static void on_channel_text(const char *text, size_t len, void *arg) {
    struct peer *peer = arg;
    if (!peer->ended)
        peer->events->on_text(text, len, peer->events_arg);
}

static void on_sctp_out(const uint8_t *packet, size_t len, void *arg) {
    struct peer *peer = arg;
    dtls_send(peer->dtls, packet, len); // SCTP sends again what is lost
}

int peer_make_channels(struct peer *peer, const struct peer_plan *plan) {
    const struct datachan_events events = {.on_text = on_channel_text, .on_send = on_sctp_out, .arg = peer};
    uint16_t port = plan->application->sctp_port;
    int err = datachan_new(&peer->channels, peer->env->sctp, peer->env->loop,
                           port ? port : PEER_SDP_SCTP_PORT, peer->greeting, peer->call_id, &events);
    if (!err && peer->up)
        err = datachan_start(peer->channels);
    return err;
}

uint64_t peer_last_heard_us(const struct peer *peer) {
    uint64_t heard_us = peer_media_heard_us(peer->media);
    return heard_us > peer->data_us ? heard_us : peer->data_us;
}

// ---- the leg

static struct audio_session *session_of(void *leg) {
    return peer_media_session(((struct peer *)leg)->media);
}

static struct leg_media leg_media(void *leg, uint32_t want_rate_hz) {
    return audio_session_rate(session_of(leg), want_rate_hz);
}

static void leg_read_pcm(void *leg, int16_t *out, size_t samples, uint64_t now_us) {
    audio_session_read_pcm(session_of(leg), out, samples, now_us);
}

static size_t leg_read_payload(void *leg, uint8_t *out, size_t cap, uint32_t frame_ms, uint64_t now_us) {
    return audio_session_read_payload(session_of(leg), out, cap, frame_ms, now_us);
}

static bool leg_read_late(void *leg, int64_t *late_us) {
    return audio_session_read_late(session_of(leg), late_us);
}

// Silence is sent all the same: a browser's jitter buffer and the NAT bindings live by a steady stream.
static void leg_write_pcm(void *leg, const int16_t *pcm, size_t samples, bool silence, uint64_t now_us) {
    audio_session_write_pcm(session_of(leg), pcm, samples, silence, now_us);
}

static void leg_write_payload(void *leg, const uint8_t *payload, size_t len, uint32_t duration_ms,
                              uint64_t now_us) {
    audio_session_write_payload(session_of(leg), payload, len, duration_ms, now_us);
}

static int leg_send_text(void *leg, const char *text, size_t len) {
    struct peer *peer = leg;
    if (!peer->channels || peer->ended || peer->closing)
        return -ENOTCONN;
    return datachan_send_text(peer->channels, text, len);
}

static void leg_stats(void *leg, struct leg_stats *out) {
    audio_session_stats(session_of(leg), out);
}

static void part_closed(struct peer *peer) {
    if (--peer->open)
        return;
    const struct leg_events *events = peer->events;
    void *arg = peer->events_arg;
    peer_media_free(peer->media);
    free(peer->greeting);
    free(peer);
    events->on_closed(arg);
}

static void on_ice_closed(void *arg) {
    part_closed(arg);
}

static void on_timer_closed(uv_handle_t *handle) {
    part_closed(handle->data);
}

// From the inside out, so that each still has the one below to say good-bye through.
static void leg_close(void *leg, const char *reason) {
    struct peer *peer = leg;
    if (peer->closing)
        return;
    peer->closing = peer->ended = true;
    audio_session_report(peer_media_session(peer->media), ticker_now_us(), reason ? reason : "");
    if (peer->channels)
        datachan_close(peer->channels);
    peer->channels = NULL;
    dtls_close(peer->dtls);
    peer->dtls = NULL;
    peer_forget_candidates(peer);
    peer->open = 3;
    ice_close(peer->ice, on_ice_closed, peer);
    uv_close((uv_handle_t *)&peer->guard, on_timer_closed);
    uv_close((uv_handle_t *)&peer->report, on_timer_closed);
}

struct leg peer_leg(struct peer *peer) {
    static const struct leg_ops ops = {.media = leg_media,
                                       .read_pcm = leg_read_pcm,
                                       .read_payload = leg_read_payload,
                                       .read_late = leg_read_late,
                                       .write_pcm = leg_write_pcm,
                                       .write_payload = leg_write_payload,
                                       .send_text = leg_send_text,
                                       .stats = leg_stats,
                                       .close = leg_close};
    return (struct leg){.ops = &ops, .impl = peer};
}

// ---- birth

static void on_media_dtmf(char digit, void *arg) {
    struct peer *peer = arg;
    peer->events->on_dtmf(digit, peer->events_arg);
}

static int peer_make_media(struct peer *peer) {
    const struct peer_media_events events = {
        .on_send = on_datagram_out, .on_dtls = on_dtls_in, .on_dtmf = on_media_dtmf, .arg = peer};
    int err = peer_media_new(&peer->media, peer->config.pcm_rate_hz, &events);
    if (!err)
        audio_session_complexity(peer_media_session(peer->media), peer->env->complexity);
    audio_session_ticker(peer_media_session(peer->media), peer->env->ticker);
    return err;
}

static int peer_make_ice(struct peer *peer) {
    const struct ice_events events = {
        .on_state = on_ice_state, .on_candidate = on_ice_candidate, .on_packet = on_ice_packet, .arg = peer};
    return ice_new(&peer->ice, peer->env, peer->call_id, &events);
}

int peer_new(struct peer **out, const struct peer_env *env, const struct peer_config *config,
             const struct peer_signals *signals, const struct leg_events *events, void *events_arg) {
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return -ENOMEM;
    peer->env = env;
    peer->config = *config;
    peer->signals = *signals;
    peer->events = events;
    peer->events_arg = events_arg;
    snprintf(peer->call_id, sizeof peer->call_id, "%s", config->call_id);
    peer->greeting = config->greeting ? strdup(config->greeting) : NULL;
    int err = config->greeting && !peer->greeting ? -ENOMEM : 0;
    if (!err && getrandom(&peer->session_id, sizeof peer->session_id, 0) < 0)
        err = -EIO;
    peer->session_id >>= 1; // RFC 8829 section 5.2.1: 63 bits
    if (!err)
        err = peer_make_media(peer);
    if (!err)
        err = peer_make_ice(peer);
    if (err) {
        peer_media_free(peer->media);
        free(peer->greeting);
        free(peer);
        return err;
    }
    uv_timer_init(env->loop, &peer->guard);
    uv_timer_init(env->loop, &peer->report);
    peer->guard.data = peer->report.data = peer;
    *out = peer;
    return 0;
}
