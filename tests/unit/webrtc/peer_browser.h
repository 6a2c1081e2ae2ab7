// SPDX-License-Identifier: Apache-2.0
// For test_peer*.c: a peer and a scripted browser on the same loop. The browser's ICE (controlling), DTLS,
// SRTP and SCTP are made of the same modules; it sends an offer and trickles candidates, over loopback.
#ifndef IQ_TEST_PEER_BROWSER_H
#define IQ_TEST_PEER_BROWSER_H

#include "gateway/core/metrics.h"
#include "gateway/core/ticker.h"
#include "media/rtp.h"
#include "media/srtp.h"
#include "media/tone.h"
#include "webrtc/ice.h"
#include "webrtc/peer_media.h"
#include "webrtc/peer_sdp.h"
#include "webrtc/sctp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DEADLINE_MS = 30000, RATE_HZ = 16000, FRAME = RATE_HZ / 50, HEARD_CAP = RATE_HZ * 2 };

struct browser {
    struct cert *cert, *other_cert;
    struct ice *ice;
    struct dtls *dtls;
    struct peer_media *media;
    struct sctp *sctp;
    struct srtp_ctx *srtp; // a second sender beside `media`, for packets it would not make
    bool sctp_up, channel_open, connected, dtls_ended, ice_closed;
    char greeting[64], text[64];
    // What the offer says.
    const char *codec_line; // rtpmap and the like
    int payload_type;
    const char *setup, *direction;
    bool channel, other_fingerprint;
};

struct world {
    uv_loop_t loop;
    uv_timer_t deadline;
    uv_timer_t clock; // the bridge's tick: every 20 ms a frame each way on both sides
    struct peer_env env;
    struct cert *cert;
    struct sctp_hub *hub;
    struct peer *peer;
    struct leg leg;
    struct leg_media media;
    struct browser browser;
    bool up, closed, media_changed, silent;
    unsigned ends, own_candidates;
    enum leg_end end;
    char reason[160], text[64], dtmf;
    struct tone to_peer, to_browser;
    int16_t peer_heard[HEARD_CAP], browser_heard[HEARD_CAP]; // the latest, at their end
    char *answer;
};

static void on_deadline(uv_timer_t *timer) {
    struct world *world = timer->data;
    fail_msg("nothing came of it within %d ms; ended: %s", DEADLINE_MS, world->reason);
}

#define RUN_UNTIL(world, condition)                                                                          \
    do {                                                                                                     \
        uv_timer_start(&(world)->deadline, on_deadline, DEADLINE_MS, 0);                                     \
        while (!(condition))                                                                                 \
            uv_run(&(world)->loop, UV_RUN_ONCE);                                                             \
        uv_timer_stop(&(world)->deadline);                                                                   \
    } while (0)

// ---- the gateway's side

static void on_leg_up(void *arg) {
    struct world *world = arg;
    world->up = true;
    world->media = world->leg.ops->media(world->leg.impl, RATE_HZ);
}

static void on_leg_media(void *arg) {
    struct world *world = arg;
    world->media_changed = true;
    world->media = world->leg.ops->media(world->leg.impl, RATE_HZ);
}

static void on_leg_text(const char *text, size_t len, void *arg) {
    struct world *world = arg;
    snprintf(world->text, sizeof world->text, "%.*s", (int)len, text);
}

static void on_leg_dtmf(char digit, void *arg) {
    struct world *world = arg;
    world->dtmf = digit;
}

static void on_leg_end(enum leg_end end, const char *reason, void *arg) {
    struct world *world = arg;
    world->ends++;
    world->end = end;
    snprintf(world->reason, sizeof world->reason, "%s", reason);
}

static void on_leg_closed(void *arg) {
    struct world *world = arg;
    world->closed = true;
}

static const struct leg_events leg_events = {.on_up = on_leg_up,
                                             .on_media = on_leg_media,
                                             .on_text = on_leg_text,
                                             .on_dtmf = on_leg_dtmf,
                                             .on_end = on_leg_end,
                                             .on_closed = on_leg_closed};

static void on_own_candidate(const struct peer_candidate *candidate, void *arg) {
    struct world *world = arg;
    if (!candidate || !world->browser.ice)
        return;
    world->own_candidates++;
    assert_string_equal(candidate->sdp_mid, "0");
    assert_int_equal(candidate->sdp_mline_index, 0);
    assert_int_equal(ice_add_candidate(world->browser.ice, candidate->candidate, candidate->ufrag), 0);
}

// ---- the browser's side

static void on_browser_state(enum ice_state state, void *arg) {
    struct world *world = arg;
    // Chromium's ClientHello goes out as soon as it can, and so early: here on the first word of a way.
    if (state == ICE_CONNECTED && world->browser.dtls)
        dtls_start(world->browser.dtls);
}

static void on_browser_candidate(const char *text, void *arg) {
    struct world *world = arg;
    const struct peer_candidate candidate = {
        .candidate = text, .sdp_mid = "0", .sdp_mline_index = 0, .ufrag = ice_ufrag(world->browser.ice)};
    if (world->peer)
        assert_int_equal(peer_add_candidate(world->peer, &candidate), 0);
}

static void on_browser_packet(uint8_t *data, size_t len, void *arg) {
    struct world *world = arg;
    peer_media_receive(world->browser.media, data, len, ticker_now_us());
}

static void on_browser_out(const uint8_t *data, size_t len, void *arg) {
    struct world *world = arg;
    if (world->browser.ice)
        ice_send(world->browser.ice, data, len);
}

static void on_browser_dtls(const uint8_t *data, size_t len, void *arg) {
    struct world *world = arg;
    if (world->browser.dtls)
        dtls_receive(world->browser.dtls, data, len);
}

static void on_browser_dtmf(char digit, void *arg) {
    (void)digit;
    (void)arg;
}

static void on_sctp_up(void *arg) {
    struct world *world = arg;
    world->browser.sctp_up = true;
    static const uint8_t open[] = {3, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 'c', 'h', 'a', 't'};
    assert_int_equal(sctp_assoc_send(world->browser.sctp, 0, 50, open, sizeof open), 0);
}

static void on_sctp_message(uint16_t stream, uint32_t ppid, const uint8_t *data, size_t len, void *arg) {
    (void)stream;
    struct world *world = arg;
    if (ppid == 50)
        world->browser.channel_open = true;
    else if (!world->browser.greeting[0])
        snprintf(world->browser.greeting, sizeof world->browser.greeting, "%.*s", (int)len,
                 (const char *)data);
    else
        snprintf(world->browser.text, sizeof world->browser.text, "%.*s", (int)len, (const char *)data);
}

static void on_sctp_send(const uint8_t *packet, size_t len, void *arg) {
    struct world *world = arg;
    if (world->browser.dtls)
        dtls_send(world->browser.dtls, packet, len);
}

static void on_sctp_other(uint16_t stream, void *arg) {
    (void)stream;
    (void)arg;
}

static void on_sctp_writable(void *arg) {
    (void)arg;
}

static void on_sctp_end(const char *reason, void *arg) {
    (void)reason;
    (void)arg;
}

static void browser_sctp(struct world *world) {
    const struct sctp_config config = {.loop = &world->loop,
                                       .local_port = 5000,
                                       .remote_port = 5000,
                                       .max_message = 65536,
                                       .send_buffer = 262144};
    const struct sctp_events events = {.on_send = on_sctp_send,
                                       .on_up = on_sctp_up,
                                       .on_message = on_sctp_message,
                                       .on_too_large = on_sctp_other,
                                       .on_stream_reset = on_sctp_other,
                                       .on_writable = on_sctp_writable,
                                       .on_end = on_sctp_end,
                                       .arg = world};
    assert_int_equal(sctp_assoc_new(&world->browser.sctp, world->hub, &config, &events), 0);
    assert_int_equal(sctp_assoc_connect(world->browser.sctp), 0);
}

static void on_browser_connected(const struct dtls_srtp_keys *keys, void *arg) {
    struct world *world = arg;
    world->browser.connected = true;
    assert_int_equal(peer_media_keys(world->browser.media, keys), 0);
    // The first of what our certificates' contexts offer.
    assert_int_equal(keys->profile, 0x0007);
    assert_int_equal(srtp_ctx_new(&world->browser.srtp, SRTP_CTX_AEAD_AES_128_GCM, keys->send_key, keys->len,
                                  SRTP_CTX_OUTBOUND),
                     0);
    if (world->browser.channel)
        browser_sctp(world);
}

static void on_browser_data(const uint8_t *data, size_t len, void *arg) {
    struct world *world = arg;
    if (world->browser.sctp)
        sctp_assoc_receive(world->browser.sctp, data, len);
}

static void on_browser_end(bool clean, const char *reason, void *arg) {
    (void)clean;
    (void)reason;
    struct world *world = arg;
    world->browser.dtls_ended = true;
}

static void on_browser_ice_closed(void *arg) {
    struct world *world = arg;
    world->browser.ice_closed = true;
}

static void browser_make_ice(struct world *world) {
    const struct ice_events events = {on_browser_state, on_browser_candidate, on_browser_packet, world};
    assert_int_equal(ice_new(&world->browser.ice, &world->env, "browser", &events), 0);
    ice_set_controlling(world->browser.ice, true);
}

static void browser_drop_ice(struct world *world) {
    struct ice *ice = world->browser.ice;
    if (!ice)
        return;
    world->browser.ice = NULL;
    world->browser.ice_closed = false;
    ice_close(ice, on_browser_ice_closed, world);
    RUN_UNTIL(world, world->browser.ice_closed);
}

static char *browser_offer(struct world *world) {
    const struct browser *b = &world->browser;
    char *text = malloc(8192);
    assert_non_null(text);
    snprintf(
        text, 8192,
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0%s\r\na=ice-options:trickle\r\n"
        "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:sha-256 %s\r\na=setup:%s\r\n"
        "m=audio 9 UDP/TLS/RTP/SAVPF %d 126\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\na=%s\r\n%s"
        "a=rtpmap:126 telephone-event/8000\r\n",
        b->channel ? " 1" : "", ice_ufrag(b->ice), ice_pwd(b->ice),
        cert_fingerprint(b->other_fingerprint ? b->other_cert : b->cert), b->setup, b->payload_type,
        b->direction, b->codec_line);
    if (b->channel)
        snprintf(text + strlen(text), 8192 - strlen(text),
                 "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 "
                 "0.0.0.0\r\na=mid:1\r\na=sctp-port:5000\r\n");
    return text;
}

// Takes the answer as a browser does: credentials, the DTLS role, the codec.
static void browser_answer(struct world *world, const char *answer) {
    struct browser *b = &world->browser;
    struct sdp *sdp = calloc(1, sizeof *sdp);
    struct peer_plan plan;
    struct err_text err = {""};
    assert_non_null(sdp);
    if (sdp_read(sdp, span_str(answer), &err) != 0 || peer_sdp_read(&plan, sdp, &err) != 0)
        fail_msg("answer: %s", err.text);
    assert_true(plan.may_be_client != plan.may_be_server);
    bool restarted, changed;
    assert_int_equal(ice_remote_credentials(b->ice, plan.ufrag, plan.pwd, &restarted), 0);
    assert_int_equal(peer_media_apply(b->media, &plan.audio, &changed), 0);
    struct span cursor = sdp->media[0].text, line;
    while (sdp_next_candidate(&cursor, &line)) {
        char text[512];
        assert_true(span_copy(line, text, sizeof text));
        assert_int_equal(ice_add_candidate(b->ice, text, plan.ufrag), 0);
    }
    if (!b->dtls) {
        const struct dtls_events events = {.on_send = on_browser_out,
                                           .on_connected = on_browser_connected,
                                           .on_data = on_browser_data,
                                           .on_end = on_browser_end,
                                           .arg = world};
        enum dtls_role role = plan.may_be_client ? DTLS_CLIENT : DTLS_SERVER;
        assert_int_equal(dtls_new(&b->dtls, &world->loop, b->cert, role, &plan.fingerprint, &events), 0);
    }
    free(sdp);
}

static int offer_once(struct world *world, struct err_text *err) {
    char *offer = browser_offer(world), *answer = NULL;
    int code = peer_offer(world->peer, offer, strlen(offer), &answer, err);
    free(offer);
    if (code)
        return code;
    free(world->answer);
    world->answer = answer;
    browser_answer(world, answer);
    return 0;
}

static void offer_good(struct world *world) {
    struct err_text err = {""};
    if (offer_once(world, &err) != 0)
        fail_msg("offer: %s", err.text);
}

// ---- the clock

static void heard_put(int16_t *heard, const int16_t *pcm) {
    memmove(heard, heard + FRAME, (HEARD_CAP - FRAME) * sizeof *heard);
    memcpy(heard + HEARD_CAP - FRAME, pcm, FRAME * sizeof *pcm);
}

static void on_clock(uv_timer_t *timer) {
    struct world *world = timer->data;
    uint64_t now_us = ticker_now_us();
    int16_t pcm[CODEC_MAX_SAMPLES];
    if (world->up && !world->closed) {
        size_t samples = world->media.pcm_rate_hz / 50;
        assert_true(samples <= FRAME);
        struct tone tone = world->to_browser;
        tone_fill(&tone, pcm, samples);
        world->to_browser.phase = tone.phase;
        world->leg.ops->write_pcm(world->leg.impl, pcm, samples, false, now_us);
        memset(pcm, 0, sizeof pcm);
        world->leg.ops->read_pcm(world->leg.impl, pcm, samples, now_us);
        heard_put(world->peer_heard, pcm);
    }
    if (world->browser.connected && world->browser.ice && !world->silent) {
        size_t samples =
            audio_session_rate(peer_media_session(world->browser.media), RATE_HZ).pcm_rate_hz / 50;
        tone_fill(&world->to_peer, pcm, samples);
        audio_session_write_pcm(peer_media_session(world->browser.media), pcm, samples, false, now_us);
        memset(pcm, 0, sizeof pcm);
        audio_session_read_pcm(peer_media_session(world->browser.media), pcm, samples, now_us);
        heard_put(world->browser_heard, pcm);
    }
}

// Both rates are the codec's own, 8 or 16 kHz, so the windows below hold 100 ms or more.
static bool hears(const int16_t *heard, uint32_t rate_hz, uint32_t freq_hz) {
    int16_t window[10 * FRAME];
    size_t samples = 0, per_frame = rate_hz / 50;
    for (size_t frame = 0; frame < 10; frame++) {
        memcpy(window + samples, heard + HEARD_CAP - (10 - frame) * FRAME, per_frame * sizeof *window);
        samples += per_frame;
    }
    return tone_power(window, samples, rate_hz, freq_hz) > 0.8;
}

static bool both_hear(const struct world *world) {
    uint32_t rate_hz = world->media.pcm_rate_hz;
    return rate_hz && hears(world->peer_heard, rate_hz, 700) && hears(world->browser_heard, rate_hz, 1100);
}

static void tones_at(struct world *world, uint32_t rate_hz) {
    tone_init(&world->to_peer, rate_hz, 700, 8000);
    tone_init(&world->to_browser, rate_hz, 1100, 8000);
}

// ---- birth and death

static void make_peer(struct world *world, uint32_t connect_timeout_ms, uint32_t grace_ms) {
    const struct peer_config config = {.call_id = "test",
                                       .pcm_rate_hz = RATE_HZ,
                                       .greeting = "Backend connected",
                                       .connect_timeout_ms = connect_timeout_ms,
                                       .grace_ms = grace_ms};
    const struct peer_signals signals = {.on_candidate = on_own_candidate, .arg = world};
    assert_int_equal(peer_new(&world->peer, &world->env, &config, &signals, &leg_events, world), 0);
    world->leg = peer_leg(world->peer);
    world->closed = false;
}

static int setup(void **state) {
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    uv_loop_init(&world->loop);
    uv_timer_init(&world->loop, &world->deadline);
    uv_timer_init(&world->loop, &world->clock);
    world->deadline.data = world->clock.data = world;
    assert_int_equal(cert_new(&world->cert), 0);
    assert_int_equal(cert_new(&world->browser.cert), 0);
    assert_int_equal(cert_new(&world->browser.other_cert), 0);
    assert_int_equal(sctp_hub_new(&world->hub, &world->loop), 0);
    world->env = (struct peer_env){.loop = &world->loop,
                                   .cert = world->cert,
                                   .sctp = world->hub,
                                   .udp_port_min = 22000,
                                   .udp_port_max = 22999,
                                   .allow_loopback = true};
    struct browser *b = &world->browser;
    b->codec_line = "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n";
    b->payload_type = 111;
    b->setup = "actpass";
    b->direction = "sendrecv";
    b->channel = true;
    const struct peer_media_events events = {
        .on_send = on_browser_out, .on_dtls = on_browser_dtls, .on_dtmf = on_browser_dtmf, .arg = world};
    assert_int_equal(peer_media_new(&b->media, RATE_HZ, &events), 0);
    browser_make_ice(world);
    make_peer(world, 20000, 10000);
    tones_at(world, RATE_HZ);
    uv_timer_start(&world->clock, on_clock, 20, 20);
    *state = world;
    return 0;
}

static void leg_close_now(struct world *world) {
    if (!world->peer)
        return;
    world->leg.ops->close(world->leg.impl, "test over");
    world->peer = NULL;
    RUN_UNTIL(world, world->closed);
}

static int teardown(void **state) {
    struct world *world = *state;
    struct browser *b = &world->browser;
    leg_close_now(world);
    if (b->sctp)
        sctp_assoc_close(b->sctp);
    dtls_close(b->dtls);
    b->dtls = NULL;
    browser_drop_ice(world);
    peer_media_free(b->media);
    srtp_ctx_free(b->srtp);
    sctp_hub_close(world->hub);
    uv_close((uv_handle_t *)&world->deadline, NULL);
    uv_close((uv_handle_t *)&world->clock, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    cert_free(world->cert);
    cert_free(b->cert);
    cert_free(b->other_cert);
    free(world->answer);
    free(world);
    return 0;
}

static void connect_media(struct world *world) {
    offer_good(world);
    assert_int_equal(ice_gather(world->browser.ice), 0);
    RUN_UNTIL(world, world->up && world->browser.connected);
}

#endif
