// SPDX-License-Identifier: Apache-2.0
//
//   begin -> web_ask (web_signal.c) -> answer -> checks answered -> nominated -> DTLS -> SRTP both ways
#include "tests/bench/calls/web_impl.h"

#include "media/demux.h"
#include "media/sdp.h"
#include "tests/bench/calls/stun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

void web_rest(struct web *web, enum web_state state) {
    struct run *run = web->webs->run;
    web->state = state;
    run->marks[web->index].live = false;
    web->turn_us = run->options.life_max_s ? run_now_us() + run_pause_us() : 0;
}

static void web_not_up(struct web *web, bool refused, const char *why) {
    if (web->state == WEB_FAILED)
        return;
    web_rest(web, WEB_FAILED);
    stream_close(&web->stream);
    run_call_failed(web->webs->run, refused, why ? why : "an error without a message");
}

void web_fail(struct web *web, const char *why) {
    web_not_up(web, false, why);
}

void web_refuse(struct web *web, const char *answer) {
    bool full = strncmp(answer, "HTTP/1.1 202", 12) == 0 || strncmp(answer, "HTTP/1.1 503", 12) == 0;
    web_not_up(web, full, answer);
}

// ---- DTLS

static void on_dtls_send(const uint8_t *datagram, size_t len, void *arg) {
    const struct web *web = arg;
    sendto(web->udp_fd, datagram, len, 0, (const struct sockaddr *)&web->peer, sizeof web->peer);
}

static void on_dtls_connected(const struct dtls_srtp_keys *keys, void *arg) {
    struct web *web = arg;
    struct run *run = web->webs->run;
    enum srtp_ctx_profile profile =
        keys->profile == 7 ? SRTP_CTX_AEAD_AES_128_GCM : SRTP_CTX_AES128_CM_HMAC_SHA1_80;
    if (srtp_ctx_new(&web->send, profile, keys->send_key, keys->len, SRTP_CTX_OUTBOUND) != 0 ||
        srtp_ctx_new(&web->receive, profile, keys->receive_key, keys->len, SRTP_CTX_INBOUND) != 0) {
        web_fail(web, "no SRTP");
        return;
    }
    int64_t now_us = run_now_us(), life_us = run_life_us(run);
    web->state = WEB_UP;
    web->turn_us = life_us ? now_us + life_us : 0;
    run->counters.answered++;
    histogram_add(&run->setup, now_us - web->began_us);
}

static void on_dtls_data(const uint8_t *data, size_t len, void *arg) {
    (void)data;
    (void)len;
    (void)arg;
}

static void on_dtls_end(bool clean, const char *reason, void *arg) {
    struct web *web = arg;
    if (!clean && web->state != WEB_ENDED)
        web_fail(web, reason);
}

void web_answer(struct web *web, const char *text) {
    static struct sdp sdp;
    struct dtls_fingerprint peer = {.len = 0};
    if (web->dtls)
        return;
    if (sdp_read(&sdp, span_str(text), NULL) != 0 || !sdp.media_count ||
        !sdp.media[0].transport.fingerprint_count) {
        web_fail(web, "the answer is no SDP with a fingerprint");
        return;
    }
    const struct sdp_fingerprint *found = &sdp.media[0].transport.fingerprints[0];
    span_copy(found->hash, peer.hash, sizeof peer.hash);
    memcpy(peer.digest, found->bytes, found->len);
    peer.len = found->len;
    const struct dtls_events events = {.on_send = on_dtls_send,
                                       .on_connected = on_dtls_connected,
                                       .on_data = on_dtls_data,
                                       .on_end = on_dtls_end,
                                       .arg = web};
    enum dtls_role role = sdp.media[0].transport.setup == SDP_SETUP_ACTIVE ? DTLS_SERVER : DTLS_CLIENT;
    if (dtls_new(&web->dtls, &web->webs->loop, web->webs->cert, role, &peer, &events) != 0)
        web_fail(web, "no DTLS");
}

// ---- packets

static void web_stun(struct web *web, const uint8_t *data, size_t len, const struct sockaddr_in *from) {
    uint8_t answer[128];
    bool nominated = false;
    size_t answer_len = stun_answer(data, len, from, web->password, answer, &nominated);
    if (answer_len)
        sendto(web->udp_fd, answer, answer_len, 0, (const struct sockaddr *)from, sizeof *from);
    if (!nominated || !web->dtls || web->dtls_started)
        return;
    web->peer = *from;
    web->dtls_started = true;
    dtls_start(web->dtls);
}

static void web_rtp(struct web *web, uint8_t *data, size_t len) {
    struct rtp_packet packet;
    if (!web->receive || rtp_parse(span_of(data, len), &packet) != 0)
        return;
    voice_seen(&web->voice, packet.seq);
    if (voice_listens(&web->voice) && srtp_ctx_unprotect(web->receive, data, &len) == 0 &&
        rtp_parse(span_of(data, len), &packet) == 0)
        voice_hear(&web->voice, &packet);
}

static void on_udp(struct source *source, uint32_t events) {
    (void)events;
    struct web *web = (struct web *)source;
    uint8_t data[2048];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    ssize_t len;
    while ((len = recvfrom(web->udp_fd, data, sizeof data, 0, (struct sockaddr *)&from, &from_len)) > 0) {
        switch (demux_classify(span_of(data, (size_t)len))) {
        case DEMUX_STUN:
            web_stun(web, data, (size_t)len, &from);
            break;
        case DEMUX_DTLS:
            if (web->dtls)
                dtls_receive(web->dtls, data, (size_t)len);
            break;
        case DEMUX_RTP:
            web_rtp(web, data, (size_t)len);
            break;
        default:
            break;
        }
    }
}

static void web_speak(struct web *web, int64_t now_us) {
    uint8_t data[VOICE_PACKET];
    bool mark;
    size_t len = voice_next(&web->voice, data, &mark);
    if (srtp_ctx_protect(web->send, data, &len, sizeof data) != 0)
        return;
    sendto(web->udp_fd, data, len, 0, (struct sockaddr *)&web->peer, sizeof web->peer);
    if (mark)
        run_mark_sent(web->webs->run, web->index, true, now_us);
}

// ---- the whole

static int web_init(struct webs *webs, unsigned index) {
    struct web *web = &webs->web[index];
    *web = (struct web){.udp.on_event = on_udp, .webs = webs, .index = index, .udp_fd = -1, .stream.fd = -1};
    snprintf(web->password, sizeof web->password, "benchbenchbenchbench%05u", index);
    web->text = malloc(WEB_TEXT);
    int err = web->text ? voice_init(&web->voice, webs->run, index) : -ENOMEM;
    if (err)
        return err;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    web->udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (web->udp_fd < 0 || bind(web->udp_fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(web->udp_fd, (struct sockaddr *)&address, &len) != 0)
        return -errno;
    web->udp_port = ntohs(address.sin_port);
    return run_watch(webs->run, web->udp_fd, EPOLLIN, &web->udp);
}

static void web_clear(struct web *web) {
    dtls_close(web->dtls);
    stream_close(&web->stream);
    srtp_ctx_free(web->send);
    srtp_ctx_free(web->receive);
    voice_clear(&web->voice);
    if (web->udp_fd >= 0)
        close(web->udp_fd);
    free(web->text);
}

static void web_begin(struct web *web, int64_t now_us) {
    web->began_us = now_us;
    if (web_ask(web) != 0)
        web_fail(web, "no connection to the gateway");
}

static void web_end(struct web *web) {
    web_leave(web);
    web_rest(web, WEB_ENDED);
}

// A new call, from a new port.
static void web_again(struct web *web, int64_t now_us) {
    struct webs *webs = web->webs;
    unsigned index = web->index;
    web_clear(web);
    webs->run->marks[index] = (struct mark_times){.live = false};
    if (web_init(webs, index) != 0)
        web_fail(web, "no socket");
    else
        web_begin(web, now_us);
}

static void web_turn(struct web *web, int64_t now_us) {
    if (web->state == WEB_UP)
        web_end(web);
    else if (web->state == WEB_ENDED || web->state == WEB_FAILED)
        web_again(web, now_us);
}

static void begin_next(struct webs *webs, int64_t now_us) {
    while (run_may_begin(webs->run, webs->begun, now_us))
        web_begin(&webs->web[webs->begun++], now_us);
}

void webs_tick(struct webs *webs, int64_t now_ms, int64_t now_us) {
    begin_next(webs, now_us);
    uv_run(&webs->loop, UV_RUN_NOWAIT);
    for (unsigned i = (unsigned)(now_ms % VOICE_FRAME_MS); i < webs->begun; i += VOICE_FRAME_MS) {
        struct web *web = &webs->web[i];
        if (web->turn_us && now_us >= web->turn_us)
            web_turn(web, now_us);
        if (web->state == WEB_UP)
            web_speak(web, run_now_us());
    }
}

void webs_hang_up(struct webs *webs) {
    for (unsigned i = 0; i < webs->begun; i++) {
        if (webs->web[i].state == WEB_UP)
            web_end(&webs->web[i]);
    }
}

int webs_new(struct webs **out, struct run *run) {
    struct webs *webs = calloc(1, sizeof *webs);
    if (!webs)
        return -ENOMEM;
    webs->run = run;
    uv_loop_init(&webs->loop);
    webs->web = calloc(run->options.calls, sizeof *webs->web);
    int err = webs->web ? cert_new(&webs->cert) : -ENOMEM;
    for (unsigned i = 0; !err && i < run->options.calls; i++)
        err = web_init(webs, i);
    if (err)
        webs_free(webs);
    else
        *out = webs;
    return err;
}

void webs_free(struct webs *webs) {
    if (!webs)
        return;
    for (unsigned i = 0; webs->web && i < webs->run->options.calls; i++) {
        struct web *web = &webs->web[i];
        if (web->webs)
            web_clear(web);
    }
    uv_run(&webs->loop, UV_RUN_DEFAULT);
    uv_loop_close(&webs->loop);
    cert_free(webs->cert);
    free(webs->web);
    free(webs);
}
