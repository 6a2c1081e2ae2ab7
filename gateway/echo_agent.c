// SPDX-License-Identifier: Apache-2.0
//
//   open: greeting, two notes in one burst (OPUS: one packet a message)
//   binary message -> ring of one second -> the message of a second ago        text -> "echo: " text
#include "gateway/echo_agent.h"

#include "media/codec.h"
#include "media/tone.h"
#include "signaling/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    DELAY_MS = 1000,
    NOTE_MS = 150,
    FIRST_HZ = 440,
    SECOND_HZ = 587,
    LOUDNESS = 8000,
    TEXT_MAX = 64 * 1024,
    QUEUE_MAX = 1024 * 1024,
    SECRET_BYTES = 16,
    CALLS_MAX = 10000,
};

struct echo_agent {
    struct http_server *server; // owns
    struct agent_format format;
    enum codec_id codec;
    uint32_t rate_hz;   // of the codec's PCM
    size_t frame_bytes; // the most one frame may have
    size_t calls;
    struct ws_route route;
    char path[16 + 2 * SECRET_BYTES];
    char url[64 + 2 * SECRET_BYTES];
    void (*on_closed)(void *arg);
    void *arg;
};

// One connection: what was heard during the last second.
struct echo_call {
    struct echo_agent *echo; // borrows
    size_t slots, at;
    size_t *lens;   // owns; 0 = nothing heard there yet
    uint8_t *heard; // owns; slots * frame_bytes
};

// ---- greeting

// One note after the other, whole frames.
static size_t greeting_frames(const struct echo_agent *echo) {
    return (2 * NOTE_MS + echo->format.frame_ms - 1) / echo->format.frame_ms;
}

static void sing(const struct echo_agent *echo, int16_t *pcm, size_t samples) {
    struct tone note;
    size_t first = echo->rate_hz / 1000 * NOTE_MS;
    tone_init(&note, echo->rate_hz, FIRST_HZ, LOUDNESS);
    tone_fill(&note, pcm, first);
    tone_init(&note, echo->rate_hz, SECOND_HZ, LOUDNESS);
    tone_fill(&note, pcm + first, first);
    memset(pcm + 2 * first, 0, (samples - 2 * first) * sizeof *pcm);
}

static void send_greeting(const struct echo_agent *echo, struct ws *ws, struct codec_encoder *encoder,
                          const int16_t *pcm, uint8_t *bytes) {
    size_t frames = greeting_frames(echo), samples = echo->rate_hz / 1000 * echo->format.frame_ms, used = 0;
    for (size_t i = 0; i < frames; i++) {
        int len = codec_encode(encoder, pcm + i * samples, samples, bytes + used, echo->frame_bytes);
        if (len < 0)
            return;
        if (echo->codec == CODEC_OPUS)
            ws_send(ws, true, bytes, (size_t)len);
        else
            used += (size_t)len;
    }
    if (used)
        ws_send(ws, true, bytes, used);
}

static void greet(const struct echo_agent *echo, struct ws *ws) {
    size_t samples = greeting_frames(echo) * (echo->rate_hz / 1000 * echo->format.frame_ms);
    struct codec_encoder *encoder = NULL;
    int16_t *pcm = malloc(samples * sizeof *pcm);
    uint8_t *bytes = malloc(greeting_frames(echo) * echo->frame_bytes);
    if (pcm && bytes && codec_encoder_new(&encoder, echo->codec, echo->rate_hz) == 0) {
        sing(echo, pcm, samples);
        send_greeting(echo, ws, encoder, pcm, bytes);
    }
    codec_encoder_free(encoder);
    free(bytes);
    free(pcm);
}

// ---- a connection

static void echo_call_free(struct echo_call *call) {
    free(call->lens);
    free(call->heard);
    free(call);
}

static struct echo_call *echo_call_new(struct echo_agent *echo) {
    struct echo_call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->echo = echo;
    call->slots = (DELAY_MS + echo->format.frame_ms - 1) / echo->format.frame_ms;
    call->lens = calloc(call->slots, sizeof *call->lens);
    call->heard = calloc(call->slots, echo->frame_bytes);
    if (call->lens && call->heard)
        return call;
    echo_call_free(call);
    return NULL;
}

static bool same_path(const char *a, const char *b) {
    size_t len = strlen(b);
    unsigned char differ = 0;
    if (strlen(a) != len)
        return false;
    for (size_t i = 0; i < len; i++) // in constant time: the path is a secret
        differ |= (unsigned char)(a[i] ^ b[i]);
    return differ == 0;
}

static unsigned on_accept(struct ws *ws, const struct http_request *request, void **user, void *arg) {
    struct echo_agent *echo = arg;
    (void)ws;
    if (!same_path(request->path, echo->path))
        return 404;
    struct echo_call *call = echo->calls < CALLS_MAX ? echo_call_new(echo) : NULL;
    if (!call)
        return 503;
    echo->calls++;
    *user = call;
    return 0;
}

static void on_open(struct ws *ws, void *user, void *arg) {
    (void)user;
    greet(arg, ws);
}

static void repeat_audio(struct echo_call *call, struct ws *ws, const uint8_t *data, size_t len) {
    if (!len || len > call->echo->frame_bytes)
        return;
    uint8_t *slot = call->heard + call->at * call->echo->frame_bytes;
    if (call->lens[call->at])
        ws_send(ws, true, slot, call->lens[call->at]);
    memcpy(slot, data, len);
    call->lens[call->at] = len;
    call->at = (call->at + 1) % call->slots;
}

static void repeat_text(struct ws *ws, const uint8_t *data, size_t len) {
    static const char prefix[] = "echo: ";
    size_t prefix_len = len <= TEXT_MAX - (sizeof prefix - 1) ? sizeof prefix - 1 : 0;
    char *text = malloc(prefix_len + len + 1);
    if (!text)
        return;
    memcpy(text, prefix, prefix_len);
    if (len)
        memcpy(text + prefix_len, data, len);
    ws_send(ws, false, text, prefix_len + len);
    free(text);
}

static void on_message(struct ws *ws, bool binary, const uint8_t *data, size_t len, void *user) {
    if (binary)
        repeat_audio(user, ws, data, len);
    else
        repeat_text(ws, data, len);
}

static void on_close(struct ws *ws, bool clean, unsigned code, void *user) {
    struct echo_call *call = user;
    (void)ws;
    (void)clean;
    (void)code;
    call->echo->calls--;
    echo_call_free(call);
}

// ---- the server

static int set_format(struct echo_agent *echo, const struct agent_format *format) {
    static const enum codec_id codecs[] = {[CONF_PCM] = CODEC_L16,
                                           [CONF_MULAW] = CODEC_PCMU,
                                           [CONF_ALAW] = CODEC_PCMA,
                                           [CONF_G722] = CODEC_G722,
                                           [CONF_OPUS] = CODEC_OPUS};
    if ((unsigned)format->encoding > CONF_OPUS || !format->frame_ms || format->frame_ms > 60)
        return -EINVAL;
    echo->format = *format;
    echo->codec = codecs[format->encoding];
    echo->rate_hz = codec_pcm_rate(echo->codec, format->rate_hz);
    echo->frame_bytes = echo->codec == CODEC_L16    ? echo->rate_hz / 1000 * format->frame_ms * 2
                        : echo->codec == CODEC_OPUS ? CODEC_MAX_PAYLOAD
                                                    : 8 * format->frame_ms;
    return 0;
}

static int make_path(struct echo_agent *echo) {
    uint8_t secret[SECRET_BYTES];
    if (getrandom(secret, sizeof secret, 0) != (ssize_t)sizeof secret)
        return -EIO;
    int used = snprintf(echo->path, sizeof echo->path, "/agent/");
    for (size_t i = 0; i < sizeof secret; i++)
        used += snprintf(echo->path + used, sizeof echo->path - (size_t)used, "%02x", secret[i]);
    return 0;
}

int echo_agent_new(struct echo_agent **out, uv_loop_t *loop, const struct agent_format *format,
                   struct err_text *err) {
    static const struct ws_ops ops = {.on_message = on_message, .on_close = on_close};
    struct echo_agent *echo = calloc(1, sizeof *echo);
    if (!echo)
        return err_set(err, -ENOMEM, "the echo agent: out of memory");
    int code = set_format(echo, format);
    if (!code)
        code = make_path(echo);
    if (code) {
        err_set(err, code, "the echo agent cannot be set up (%s)", err_name(code));
        goto out;
    }
    echo->route = (struct ws_route){.path = "/agent/*",
                                    .max_message = TEXT_MAX,
                                    .max_queue = QUEUE_MAX,
                                    .any_origin = true,
                                    .ops = &ops,
                                    .on_accept = on_accept,
                                    .on_open = on_open,
                                    .arg = echo};
    const struct http_config config = {.loop = loop,
                                       .listen = "127.0.0.1:0",
                                       .tls_certificate = "",
                                       .tls_key = "",
                                       .max_body = 1024,
                                       .ws_routes = &echo->route,
                                       .ws_route_count = 1};
    code = http_server_new(&echo->server, &config, err);
    if (code)
        goto out;
    snprintf(echo->url, sizeof echo->url, "ws://127.0.0.1:%u%s", http_server_port(echo->server), echo->path);
    *out = echo;
    return 0;

out:
    free(echo);
    return code;
}

const char *echo_agent_url(const struct echo_agent *echo) {
    return echo->url;
}

static void on_server_closed(void *arg) {
    struct echo_agent *echo = arg;
    if (echo->on_closed)
        echo->on_closed(echo->arg);
    free(echo);
}

void echo_agent_close(struct echo_agent *echo, void (*on_closed)(void *arg), void *arg) {
    echo->on_closed = on_closed;
    echo->arg = arg;
    http_server_close(echo->server, on_server_closed, echo);
}
