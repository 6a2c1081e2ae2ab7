// SPDX-License-Identifier: Apache-2.0
// No allocation per packet: whole frames through jitter buffer, codecs, bridge, pacer and a real agent
// socket, both ways, while every malloc of this thread is counted. What libsrtp2 does inside is not ours to
// count. And what one call holds in memory, without its leg's transport.
#include "gateway/agent.h"
#include "gateway/bridge.h"
#include "media/audio_rx.h"
#include "media/audio_tx.h"
#include "media/srtp.h"
#include "media/tone.h"
#include "signaling/wsc_frame.h"
#include "signaling/wsc_upgrade.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../count_allocations.h"
#include "tests/lockstep_clock.h"

enum {
    RATE = 16000,
    FRAME_MS = 20,
    PACKET_CAP = 2048,
    WARM_UP = 100,
    COUNTED = 500,
    PATIENCE_MS = 20000,
    OPENSSL_EACH = 4, // allocations of OpenSSL's own for a record out and one in
};

// ---- the agent: a thread that sends every message back as it came

struct wire {
    int fd;
    SSL *ssl;
};

struct server {
    SSL_CTX *tls; // owns; NULL for ws
    int listener;
    uint16_t port;
    pthread_t thread;
};

static bool wire_read(struct wire *wire, uint8_t *out, size_t len) {
    for (size_t at = 0; at < len;) {
        ssize_t n =
            wire->ssl ? SSL_read(wire->ssl, out + at, (int)(len - at)) : read(wire->fd, out + at, len - at);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

static bool wire_send(struct wire *wire, const void *data, size_t len) {
    ssize_t n = wire->ssl ? SSL_write(wire->ssl, data, (int)len) : send(wire->fd, data, len, MSG_NOSIGNAL);
    return n == (ssize_t)len;
}

static bool server_upgrade(struct wire *wire) {
    char request[WSC_REQUEST_MAX] = "", answer[256], accept[WSC_ACCEPT_LEN + 1], key[WSC_KEY_LEN + 1];
    for (size_t used = 0; !strstr(request, "\r\n\r\n"); used++) {
        if (used + 1 == sizeof request || !wire_read(wire, (uint8_t *)request + used, 1))
            return false;
    }
    snprintf(key, sizeof key, "%s", strstr(request, "Sec-WebSocket-Key: ") + strlen("Sec-WebSocket-Key: "));
    wsc_upgrade_accept(key, accept);
    int len = snprintf(answer, sizeof answer,
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: %s\r\n\r\n",
                       accept);
    return wire_send(wire, answer, (size_t)len);
}

// False when the client has closed.
static bool server_echo(struct wire *wire) {
    uint8_t in[8 + PACKET_CAP], out[4 + PACKET_CAP], ext[2] = {0};
    if (!wire_read(wire, in, 2) || (in[0] & 0x0f) == WSC_OP_CLOSE)
        return false;
    size_t len = in[1] & 0x7f, header = 2;
    if (len == 126) {
        if (!wire_read(wire, ext, 2))
            return false;
        len = (size_t)ext[0] << 8 | ext[1];
        memcpy(out + 2, ext, 2);
        header = 4;
    }
    out[0] = in[0];
    out[1] = in[1] & 0x7f;
    if (len > PACKET_CAP || !wire_read(wire, in, 4 + len))
        return false;
    wsc_frame_mask(out + header, in + 4, len, in, 0);
    return wire_send(wire, out, header + len);
}

static void *server_main(void *arg) {
    struct server *server = arg;
    struct wire wire = {.fd = accept(server->listener, NULL, NULL)};
    int on = 1;
    setsockopt(wire.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (server->tls) {
        wire.ssl = SSL_new(server->tls);
        SSL_set_fd(wire.ssl, wire.fd);
    }
    if ((!wire.ssl || SSL_accept(wire.ssl) == 1) && server_upgrade(&wire)) {
        while (server_echo(&wire)) {
        }
    }
    SSL_free(wire.ssl);
    close(wire.fd);
    return NULL;
}

static void server_start(struct server *server) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(server->listener, 1), 0);
    getsockname(server->listener, (struct sockaddr *)&address, &len);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, server_main, server), 0);
}

static void server_stop(struct server *server) {
    pthread_join(server->thread, NULL);
    close(server->listener);
    SSL_CTX_free(server->tls);
}

// A certificate that vouches for itself, and trust in it.
static SSL_CTX *make_tls(struct wsc_tls **trust) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_EXTENSION *name = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(cert, name, -1);
    X509_EXTENSION_free(name);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    char path[] = "/tmp/iqra-hotpath-XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    PEM_write_X509(file, cert);
    fclose(file);
    assert_int_equal(wsc_tls_new(trust, path, "http/1.1"), 0);
    unlink(path);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ctx;
}

// ---- the call

struct path {
    uv_loop_t loop;
    uv_timer_t guard;
    struct agent *agent;
    struct bridge *bridge;
    struct audio_rx *rx;
    struct audio_tx *tx;
    struct srtp_ctx *browser, *in, *out; // what the browser protects with; ours
    struct tone tone;
    struct codec_encoder *encoder; // the browser's
    enum codec_id codec;
    uint16_t seq;
    uint8_t packet[PACKET_CAP];
    uint64_t sent, messages_in;
    bool opened, closed;
};

static struct leg_media path_media(void *leg, uint32_t want_rate_hz) {
    struct path *path = leg;
    return (struct leg_media){path->codec, FRAME_MS, codec_pcm_rate(path->codec, want_rate_hz)};
}

static void path_read_pcm(void *leg, int16_t *out, size_t samples, uint64_t now_us) {
    audio_rx_read_pcm(((struct path *)leg)->rx, out, samples, now_us);
}

static size_t path_read_payload(void *leg, uint8_t *out, size_t cap, uint32_t frame_ms, uint64_t now_us) {
    return audio_rx_read_payload(((struct path *)leg)->rx, out, cap, frame_ms, now_us);
}

static void path_sent(struct path *path, int len) {
    size_t packet_len = len > 0 ? (size_t)len : 0;
    assert_true(packet_len > 0);
    bool before = counting;
    counting = false; // Debian's libsrtp2 ciphers by NSS, which allocates five times for each packet
    assert_int_equal(srtp_ctx_protect(path->out, path->packet, &packet_len, PACKET_CAP), 0);
    counting = before;
    path->sent++;
}

static void path_write_pcm(void *leg, const int16_t *pcm, size_t samples, bool silence, uint64_t now_us) {
    struct path *path = leg;
    (void)silence;
    path_sent(path,
              audio_tx_pcm(path->tx, pcm, samples, now_us, path->packet, PACKET_CAP - SRTP_MAX_TRAILER));
}

static void path_write_payload(void *leg, const uint8_t *payload, size_t len, uint32_t duration_ms,
                               uint64_t now_us) {
    struct path *path = leg;
    path_sent(path, audio_tx_payload(path->tx, payload, len, duration_ms, now_us, path->packet,
                                     PACKET_CAP - SRTP_MAX_TRAILER));
}

static void path_stats(void *leg, struct leg_stats *out) {
    (void)leg;
    *out = (struct leg_stats){0};
}

static const struct leg_ops path_leg = {.media = path_media,
                                        .read_pcm = path_read_pcm,
                                        .read_payload = path_read_payload,
                                        .write_pcm = path_write_pcm,
                                        .write_payload = path_write_payload,
                                        .stats = path_stats};

static int send_audio(const uint8_t *frame, size_t len, void *arg) {
    return agent_send_audio(((struct path *)arg)->agent, frame, len);
}

static void pause_agent(bool paused, void *arg) {
    agent_pause(((struct path *)arg)->agent, paused);
}

static void on_open(void *arg) {
    ((struct path *)arg)->opened = true;
}

static void on_audio(const uint8_t *data, size_t len, bool message_end, void *arg) {
    struct path *path = arg;
    path->messages_in += message_end;
    bridge_agent_audio(path->bridge, data, len, message_end);
}

static void on_text(const char *text, size_t len, void *arg) {
    (void)arg;
    fail_msg("a text: %.*s", (int)len, text);
}

static void on_end(bool was_open, unsigned code, const char *reason, void *arg) {
    (void)was_open;
    (void)arg;
    fail_msg("the agent ended: %u %s", code, reason);
}

static void on_agent_closed(void *arg) {
    struct path *path = arg;
    path->closed = true;
    uv_close((uv_handle_t *)&path->guard, NULL);
}

static void on_guard(uv_timer_t *timer) {
    (void)timer;
    fail_msg("the call hangs");
}

static void path_wait(struct path *path, const bool *flag) {
    while (!*flag)
        uv_run(&path->loop, UV_RUN_ONCE);
}

// The browser's next packet, protected.
static size_t browser_packet(struct path *path) {
    int16_t pcm[48000 / 50];
    uint32_t rate_hz = codec_pcm_rate(path->codec, 48000), clock_hz = codec_desc(path->codec)->clock_hz;
    struct rtp_packet header = {
        .payload_type = 96, .seq = path->seq, .timestamp = path->seq * (clock_hz / 50), .ssrc = 0x1234};
    path->seq++;
    tone_fill(&path->tone, pcm, rate_hz / 50);
    int header_len = rtp_write(path->packet, PACKET_CAP, &header);
    int len = codec_encode(path->encoder, pcm, rate_hz / 50, path->packet + header_len, CODEC_MAX_PAYLOAD);
    assert_true(header_len > 0 && len > 0);
    size_t whole = (size_t)header_len + (size_t)len;
    assert_int_equal(srtp_ctx_protect(path->browser, path->packet, &whole, PACKET_CAP), 0);
    return whole;
}

// 20 ms of the call: a packet of the browser's, both ticks, and what the agent said back.
static void path_frame(struct path *path) {
    struct rtp_packet packet;
    size_t len = browser_packet(path);
    assert_int_equal(srtp_ctx_unprotect(path->in, path->packet, &len), 0);
    counting = true;
    assert_int_equal(rtp_parse(span_of(path->packet, len), &packet), 0);
    audio_rx_packet(path->rx, &packet, world.now_us);
    for (size_t k = 0; k < TICKS_MAX; k++)
        world.ticks[k]->on_tick(world.now_us, world.ticks[k]->arg);
    for (uint64_t before = path->messages_in; path->messages_in == before;)
        uv_run(&path->loop, UV_RUN_ONCE);
    counting = false;
    world.now_us += FRAME_MS * 1000;
}

static struct srtp_ctx *new_srtp(enum srtp_ctx_direction direction) {
    static const uint8_t key[SRTP_CTX_MAX_KEY_LEN] = {7};
    struct srtp_ctx *ctx = NULL;
    size_t len = srtp_ctx_key_len(SRTP_CTX_AEAD_AES_128_GCM);
    assert_int_equal(srtp_ctx_new(&ctx, SRTP_CTX_AEAD_AES_128_GCM, key, len, direction), 0);
    return ctx;
}

static void path_media_new(struct path *path, enum conf_encoding encoding) {
    const struct audio_rx_config rx = {.codec = path->codec,
                                       .payload_type = 96,
                                       .dtmf_payload_type = -1,
                                       .pcm_rate_hz = codec_pcm_rate(path->codec, RATE)};
    const struct audio_tx_config tx = {.codec = path->codec,
                                       .payload_type = 96,
                                       .pcm_rate_hz = codec_pcm_rate(path->codec, RATE),
                                       .ssrc = 1};
    const struct bridge_config config = {.leg = {&path_leg, path}, .format = {encoding, RATE, FRAME_MS}};
    const struct bridge_ops ops = {.send_audio = send_audio, .pause = pause_agent, .arg = path};
    path->browser = new_srtp(SRTP_CTX_OUTBOUND);
    path->in = new_srtp(SRTP_CTX_INBOUND);
    path->out = new_srtp(SRTP_CTX_OUTBOUND);
    uint32_t rate_hz = codec_pcm_rate(path->codec, 48000);
    tone_init(&path->tone, rate_hz, 440, 8000);
    assert_int_equal(codec_encoder_new(&path->encoder, path->codec, rate_hz), 0);
    counting = true;
    assert_int_equal(audio_rx_new(&path->rx, &rx), 0);
    assert_int_equal(audio_tx_new(&path->tx, &tx), 0);
    assert_int_equal(bridge_new(&path->bridge, &config, &ops), 0);
    counting = false;
}

static void path_connect(struct path *path, const struct server *server, const struct wsc_tls *trust) {
    char url[64];
    snprintf(url, sizeof url, "%s://127.0.0.1:%u/", server->tls ? "wss" : "ws", server->port);
    const struct agent_config config = {.loop = &path->loop,
                                        .tls = trust,
                                        .url = url,
                                        .connect_timeout_ms = PATIENCE_MS,
                                        .call_id = "test",
                                        .dialect = "iqra"};
    const struct agent_events events = {on_open, on_audio, on_text, NULL, on_end, on_agent_closed, path};
    assert_int_equal(uv_loop_init(&path->loop), 0);
    uv_timer_init(&path->loop, &path->guard);
    uv_timer_start(&path->guard, on_guard, PATIENCE_MS, 0);
    counting = true;
    assert_int_equal(agent_connect(&path->agent, &config, &events), 0);
    path_wait(path, &path->opened);
    counting = false;
}

static void path_free(struct path *path) {
    bridge_free(path->bridge);
    path->bridge = NULL;
    agent_close(path->agent, 1000, "done");
    uv_run(&path->loop, UV_RUN_DEFAULT);
    assert_true(path->closed);
    assert_int_equal(uv_loop_close(&path->loop), 0);
    audio_rx_free(path->rx);
    audio_tx_free(path->tx);
    codec_encoder_free(path->encoder);
    srtp_ctx_free(path->browser);
    srtp_ctx_free(path->in);
    srtp_ctx_free(path->out);
}

// `most_kb`: what the call may hold. A tenth above what it did when this was written.
static void call(enum codec_id codec, enum conf_encoding encoding, bool secure, ptrdiff_t most_kb) {
    struct path path = {.codec = codec};
    struct server server = {0};
    struct wsc_tls *trust = NULL;
    world.now_us = 1000000;
    held = 0;
    if (secure)
        server.tls = make_tls(&trust);
    server_start(&server);
    path_media_new(&path, encoding);
    path_connect(&path, &server, trust);
    counting = true;
    assert_int_equal(bridge_leg_up(path.bridge), 0);
    bridge_agent_up(path.bridge);
    counting = false;
    for (size_t i = 0; i < WARM_UP; i++)
        path_frame(&path);
    allocations = 0;
    for (size_t i = 0; i < COUNTED; i++)
        path_frame(&path);
    assert_true(allocations <= (secure ? OPENSSL_EACH * COUNTED : 0));
    assert_in_range(held, 1024, most_kb * 1024);
    struct bridge_stats stats;
    bridge_stats(path.bridge, &stats);
    assert_int_equal(path.sent, WARM_UP + COUNTED);
    assert_int_equal(stats.frames_to_agent, WARM_UP + COUNTED);
    assert_true(stats.frames_from_agent > COUNTED);
    path_free(&path);
    server_stop(&server);
    wsc_tls_free(trust);
}

// What libraries keep for the program, from their first use on, is no call's.
static int libraries_wake(void **state) {
    (void)state;
    call(CODEC_PCMU, CONF_PCM, true, 4096);
    return 0;
}

static void test_the_counter_counts(void **state) {
    (void)state;
    allocations = 0;
    held = 0;
    counting = true;
    void *volatile some = malloc(10);
    some = realloc(some, 5000);
    assert_in_range(held, 5000, 5100);
    free(some);
    counting = false;
    assert_true(allocations >= 2);
    assert_int_equal(held, 0);
}

static void test_opus_to_pcm(void **state) {
    (void)state;
    call(CODEC_OPUS, CONF_PCM, false, 103);
}

static void test_opus_passed_through(void **state) {
    (void)state;
    call(CODEC_OPUS, CONF_OPUS, false, 55);
}

static void test_g711_to_opus(void **state) {
    (void)state;
    call(CODEC_PCMU, CONF_OPUS, false, 115);
}

static void test_g711_to_pcm(void **state) {
    (void)state;
    call(CODEC_PCMU, CONF_PCM, false, 30);
}

static void test_g711_passed_through(void **state) {
    (void)state;
    call(CODEC_PCMU, CONF_MULAW, false, 28);
}

static void test_g722_to_pcm(void **state) {
    (void)state;
    call(CODEC_G722, CONF_PCM, false, 30);
}

static void test_an_agent_on_tls(void **state) {
    (void)state;
    call(CODEC_OPUS, CONF_PCM, true, 144);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_counter_counts),  cmocka_unit_test(test_opus_to_pcm),
        cmocka_unit_test(test_opus_passed_through), cmocka_unit_test(test_g711_to_opus),
        cmocka_unit_test(test_g711_to_pcm),         cmocka_unit_test(test_g711_passed_through),
        cmocka_unit_test(test_g722_to_pcm),         cmocka_unit_test(test_an_agent_on_tls),
    };
    count_set_up();
    return cmocka_run_group_tests(tests, libraries_wake, NULL);
}
