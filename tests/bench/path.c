// SPDX-License-Identifier: Apache-2.0
// What the packet path costs: nanoseconds per stage, and CPU per call for one transcoded and one
// passed-through call.
//
//   browser's SRTP -> unprotect -> parse -> audio_rx -> bridge -> WebSocket frame          (upward)
//   WebSocket frame -> parse -> pacer -> bridge -> audio_tx -> protect -> SRTP             (downward)
//
// All in this process on a clock of its own; system calls are measured as stages and are not in the calls'
// figures.
#include "gateway/bridge.h"
#include "gateway/pacer.h"
#include "media/audio_rx.h"
#include "media/audio_tx.h"
#include "media/jitter.h"
#include "media/resample.h"
#include "media/srtp.h"
#include "signaling/wsc_frame.h"
#include "tests/lockstep_clock.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    FRAME_MS = 20,
    SPEECH_S = 10,
    FRAMES = SPEECH_S * 50,
    PCM_RATE = 16000,
    PCM_SAMPLES = PCM_RATE / 50,
    PCM_BYTES = PCM_SAMPLES * 2,
    RTP_RATE = 48000,
    RTP_SAMPLES = RTP_RATE / 50,
    PACKET_CAP = 2048,
    REPETITIONS_MAX = 15,
};

// What all stages work on.
static struct {
    int16_t speech16[FRAMES * PCM_SAMPLES], speech48[FRAMES * RTP_SAMPLES];
    uint8_t opus[FRAMES][CODEC_MAX_PAYLOAD]; // the browser's packets, 48 kHz encoder
    size_t opus_len[FRAMES];
    uint8_t packets[FRAMES][PACKET_CAP]; // the same in RTP, scratch of the stages
    size_t packet_len[FRAMES];
    uint8_t key[SRTP_CTX_MAX_KEY_LEN];
} input;

static void must(bool ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "bench: %s failed\n", what);
    exit(1);
}

static uint64_t cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// ---- input: something with pitch, syllables, pauses and breath

static double speech_at(double t, double *phase, double rate, uint32_t *noise) {
    double pitch = 120 + 30 * sin(2 * M_PI * 0.7 * t);
    double syllable = sin(2 * M_PI * 2.1 * t);
    bool pause = fmod(t, 3.0) > 2.3;
    double loud = pause || syllable < 0 ? 0 : syllable;
    double sum = 0;
    *phase += pitch / rate;
    for (int k = 1; k <= 24; k++) {
        double hz = pitch * k;
        double formant = exp(-pow((hz - 600 - 300 * sin(2 * M_PI * 1.3 * t)) / 250, 2)) +
                         0.5 * exp(-pow((hz - 1700) / 400, 2)) + 0.02;
        sum += formant * sin(2 * M_PI * *phase * k);
    }
    *noise = *noise * 1664525u + 1013904223u;
    double breath = ((double)*noise / UINT32_MAX - 0.5) * (pause ? 0.002 : 0.03);
    return sum * loud * 0.25 + breath;
}

static void make_speech(int16_t *pcm, size_t samples, double rate) {
    double phase = 0;
    uint32_t noise = 1;
    for (size_t i = 0; i < samples; i++)
        pcm[i] = (int16_t)(20000 * tanh(speech_at((double)i / rate, &phase, rate, &noise)));
}

static void encode_all(const int16_t *pcm, uint32_t rate_hz) {
    struct codec_encoder *encoder;
    size_t samples = rate_hz / 50;
    must(codec_encoder_new(&encoder, CODEC_OPUS, rate_hz) == 0, "codec_encoder_new");
    for (size_t i = 0; i < FRAMES; i++) {
        int len = codec_encode(encoder, pcm + i * samples, samples, input.opus[i], CODEC_MAX_PAYLOAD);
        must(len > 0, "codec_encode");
        input.opus_len[i] = (size_t)len;
    }
    codec_encoder_free(encoder);
}

static void make_rtp(uint32_t first) {
    for (size_t i = 0; i < FRAMES; i++) {
        struct rtp_packet header = {.payload_type = 111,
                                    .seq = (uint16_t)(first + i),
                                    .timestamp = (uint32_t)((first + i) * RTP_SAMPLES),
                                    .ssrc = 0x1234};
        int len = rtp_write(input.packets[i], PACKET_CAP, &header);
        must(len > 0, "rtp_write");
        memcpy(input.packets[i] + len, input.opus[i], input.opus_len[i]);
        input.packet_len[i] = (size_t)len + input.opus_len[i];
    }
}

static struct srtp_ctx *new_srtp(enum srtp_ctx_profile profile, enum srtp_ctx_direction direction) {
    struct srtp_ctx *ctx;
    must(srtp_ctx_new(&ctx, profile, input.key, srtp_ctx_key_len(profile), direction) == 0, "srtp_ctx_new");
    return ctx;
}

static void protect_all(struct srtp_ctx *ctx) {
    for (size_t i = 0; i < FRAMES; i++)
        must(srtp_ctx_protect(ctx, input.packets[i], &input.packet_len[i], PACKET_CAP) == 0,
             "srtp_ctx_protect");
}

static void unprotect_all(struct srtp_ctx *ctx) {
    for (size_t i = 0; i < FRAMES; i++)
        must(srtp_ctx_unprotect(ctx, input.packets[i], &input.packet_len[i]) == 0, "srtp_ctx_unprotect");
}

// ---- stages: each does FRAMES frames and returns the nanoseconds they took

static uint64_t stage_srtp(enum srtp_ctx_profile profile, bool in) {
    struct srtp_ctx *out_ctx = new_srtp(profile, SRTP_CTX_OUTBOUND);
    struct srtp_ctx *in_ctx = new_srtp(profile, SRTP_CTX_INBOUND);
    make_rtp(1);
    uint64_t start = cpu_ns();
    protect_all(out_ctx);
    uint64_t middle = cpu_ns();
    unprotect_all(in_ctx);
    uint64_t end = cpu_ns();
    srtp_ctx_free(out_ctx);
    srtp_ctx_free(in_ctx);
    return in ? end - middle : middle - start;
}

static uint64_t stage_unprotect_gcm(void) {
    return stage_srtp(SRTP_CTX_AEAD_AES_128_GCM, true);
}

static uint64_t stage_unprotect_cm(void) {
    return stage_srtp(SRTP_CTX_AES128_CM_HMAC_SHA1_80, true);
}

static uint64_t stage_protect_gcm(void) {
    return stage_srtp(SRTP_CTX_AEAD_AES_128_GCM, false);
}

static uint64_t stage_protect_cm(void) {
    return stage_srtp(SRTP_CTX_AES128_CM_HMAC_SHA1_80, false);
}

static uint64_t stage_rtp_parse(void) {
    struct rtp_packet packet;
    make_rtp(1);
    uint64_t start = cpu_ns();
    for (size_t i = 0; i < FRAMES; i++)
        must(rtp_parse(span_of(input.packets[i], input.packet_len[i]), &packet) == 0, "rtp_parse");
    return cpu_ns() - start;
}

static uint64_t stage_rtp_write(void) {
    uint8_t out[PACKET_CAP];
    struct audio_tx *tx;
    const struct audio_tx_config config = {
        .codec = CODEC_OPUS, .payload_type = 111, .pcm_rate_hz = PCM_RATE, .ssrc = 1};
    must(audio_tx_new(&tx, &config) == 0, "audio_tx_new");
    uint64_t start = cpu_ns();
    for (size_t i = 0; i < FRAMES; i++)
        must(audio_tx_payload(tx, input.opus[i], input.opus_len[i], FRAME_MS, i * 20000, out, sizeof out) > 0,
             "audio_tx_payload");
    uint64_t took = cpu_ns() - start;
    audio_tx_free(tx);
    return took;
}

static uint64_t stage_jitter(void) {
    struct jitter *jitter;
    const struct jitter_config config = {
        .clock_hz = RTP_RATE, .max_payload = CODEC_MAX_PAYLOAD, .pool_bytes = 64 * 1024};
    must(jitter_new(&jitter, &config) == 0, "jitter_new");
    struct jitter_frame frame;
    uint64_t start = cpu_ns();
    for (size_t i = 0; i < FRAMES; i++) {
        const struct jitter_packet packet = {.seq = (uint16_t)i,
                                             .timestamp = (uint32_t)(i * RTP_SAMPLES),
                                             .ticks = RTP_SAMPLES,
                                             .payload = input.opus[i],
                                             .len = input.opus_len[i]};
        jitter_put(jitter, &packet, 1000000 + i * 20000);
        jitter_get(jitter, 1000000 + i * 20000 + 5000, 0, &frame);
    }
    uint64_t took = cpu_ns() - start;
    jitter_free(jitter);
    return took;
}

static uint64_t stage_opus_decode(void) {
    struct codec_decoder *decoder;
    int16_t pcm[CODEC_MAX_SAMPLES];
    must(codec_decoder_new(&decoder, CODEC_OPUS, PCM_RATE) == 0, "codec_decoder_new");
    uint64_t start = cpu_ns();
    for (size_t i = 0; i < FRAMES; i++)
        must(codec_decode(decoder, input.opus[i], input.opus_len[i], pcm, CODEC_MAX_SAMPLES) == PCM_SAMPLES,
             "codec_decode");
    uint64_t took = cpu_ns() - start;
    codec_decoder_free(decoder);
    return took;
}

static uint64_t stage_opus_encode(void) {
    struct codec_encoder *encoder;
    uint8_t out[CODEC_MAX_PAYLOAD];
    must(codec_encoder_new(&encoder, CODEC_OPUS, PCM_RATE) == 0, "codec_encoder_new");
    uint64_t start = cpu_ns();
    for (size_t i = 0; i < FRAMES; i++)
        must(codec_encode(encoder, input.speech16 + i * PCM_SAMPLES, PCM_SAMPLES, out, sizeof out) > 0,
             "codec_encode");
    uint64_t took = cpu_ns() - start;
    codec_encoder_free(encoder);
    return took;
}

static uint64_t resample_all(const int16_t *pcm, uint32_t from_hz, uint32_t to_hz) {
    struct resampler *resampler;
    int16_t out[RTP_SAMPLES];
    size_t samples = from_hz / 50;
    must(resampler_new(&resampler, from_hz, to_hz) == 0, "resampler_new");
    uint64_t start = cpu_ns();
    for (size_t i = 0; i < FRAMES; i++)
        resampler_run(resampler, pcm + i * samples, samples, out, RTP_SAMPLES);
    uint64_t took = cpu_ns() - start;
    resampler_free(resampler);
    return took;
}

static uint64_t stage_resample_down(void) {
    return resample_all(input.speech48, RTP_RATE, PCM_RATE);
}

static uint64_t stage_resample_up(void) {
    return resample_all(input.speech16, PCM_RATE, RTP_RATE);
}

static const uint8_t *pcm_frame(size_t i) {
    return (const uint8_t *)(input.speech16 + i % FRAMES * PCM_SAMPLES);
}

static size_t ws_frame(uint8_t *out, const uint8_t *data, size_t len) {
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    size_t header = wsc_frame_header(out, WSC_OP_BINARY, len, mask);
    wsc_frame_mask(out + header, data, len, mask, 0);
    return header + len;
}

static uint64_t stage_ws_frame(void) {
    uint8_t out[PACKET_CAP];
    uint64_t start = cpu_ns();
    for (size_t i = 0; i < FRAMES; i++)
        must(ws_frame(out, pcm_frame(i), PCM_BYTES) > PCM_BYTES, "ws_frame");
    return cpu_ns() - start;
}

// A server's frame, unmasked.
static size_t agent_frame(uint8_t *out, const uint8_t *data, size_t len) {
    size_t header = 2;
    out[0] = 0x82;
    out[1] = (uint8_t)(len < 126 ? len : 126);
    if (len >= 126) {
        out[2] = (uint8_t)(len >> 8);
        out[3] = (uint8_t)len;
        header = 4;
    }
    memcpy(out + header, data, len);
    return header + len;
}

static uint64_t stage_ws_parse(void) {
    uint8_t frame[PACKET_CAP];
    struct wsc_frames frames = {0};
    struct wsc_piece piece;
    size_t whole = agent_frame(frame, pcm_frame(30), PCM_BYTES);
    uint64_t start = cpu_ns();
    for (size_t i = 0; i < FRAMES; i++) {
        const uint8_t *data = frame;
        size_t len = whole;
        must(wsc_frames_next(&frames, &data, &len, &piece) == 1 && piece.end, "wsc_frames_next");
    }
    return cpu_ns() - start;
}

static uint64_t stage_pacer(void) {
    struct pacer *pacer;
    uint8_t out[PCM_BYTES];
    const struct pacer_config config = {.codec = CODEC_L16, .rate_hz = PCM_RATE, .frame_ms = FRAME_MS};
    must(pacer_new(&pacer, &config) == 0, "pacer_new");
    uint64_t start = cpu_ns();
    for (size_t i = 0; i < FRAMES; i++) {
        pacer_put(pacer, pcm_frame(i), PCM_BYTES, true, 1000000 + i * 20000);
        pacer_pull(pacer, out, sizeof out, 1000000 + i * 20000 + 7000);
    }
    uint64_t took = cpu_ns() - start;
    pacer_free(pacer);
    return took;
}

static uint64_t stage_udp(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    uint8_t buffer[160] = {0};
    int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);
    must(bind(in, (struct sockaddr *)&address, len) == 0, "bind");
    getsockname(in, (struct sockaddr *)&address, &len);
    uint64_t start = cpu_ns();
    for (size_t i = 0; i < FRAMES; i++) {
        must(sendto(out, buffer, sizeof buffer, 0, (struct sockaddr *)&address, len) > 0, "sendto");
        must(recv(in, buffer, sizeof buffer, 0) > 0, "recv");
    }
    uint64_t took = cpu_ns() - start;
    close(in);
    close(out);
    return took;
}

// ---- whole calls

struct path {
    struct audio_rx *rx;
    struct audio_tx *tx;
    struct srtp_ctx *browser, *in, *out; // what the browser protects with; ours
    uint8_t packet[PACKET_CAP];
    uint8_t message[PACKET_CAP];
    struct wsc_frames frames;
    uint64_t packets_out, messages_out;
};

static struct leg_media path_media(void *leg, uint32_t want_rate_hz) {
    (void)leg;
    return (struct leg_media){CODEC_OPUS, FRAME_MS, codec_pcm_rate(CODEC_OPUS, want_rate_hz)};
}

static void path_read_pcm(void *leg, int16_t *out, size_t samples, uint64_t now_us) {
    audio_rx_read_pcm(((struct path *)leg)->rx, out, samples, now_us);
}

static size_t path_read_payload(void *leg, uint8_t *out, size_t cap, uint32_t frame_ms, uint64_t now_us) {
    return audio_rx_read_payload(((struct path *)leg)->rx, out, cap, frame_ms, now_us);
}

static void path_sent(struct path *path, int len) {
    size_t packet_len = len > 0 ? (size_t)len : 0;
    must(packet_len && srtp_ctx_protect(path->out, path->packet, &packet_len, PACKET_CAP) == 0, "sending");
    path->packets_out++;
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
    struct audio_rx_stats stats;
    audio_rx_stats(((struct path *)leg)->rx, &stats);
    *out = (struct leg_stats){.rx_packets = stats.packets};
}

static int path_send_audio(const uint8_t *frame, size_t len, void *arg) {
    struct path *path = arg;
    ws_frame(path->message, frame, len);
    path->messages_out++;
    return 0;
}

static void path_pause(bool paused, void *arg) {
    (void)arg;
    must(!paused, "keeping up");
}

static const struct leg_ops path_leg = {.media = path_media,
                                        .read_pcm = path_read_pcm,
                                        .read_payload = path_read_payload,
                                        .write_pcm = path_write_pcm,
                                        .write_payload = path_write_payload,
                                        .stats = path_stats};

static struct bridge *path_new(struct path *path, bool passthrough) {
    struct bridge *bridge;
    *path = (struct path){.browser = new_srtp(SRTP_CTX_AEAD_AES_128_GCM, SRTP_CTX_OUTBOUND),
                          .in = new_srtp(SRTP_CTX_AEAD_AES_128_GCM, SRTP_CTX_INBOUND),
                          .out = new_srtp(SRTP_CTX_AEAD_AES_128_GCM, SRTP_CTX_OUTBOUND)};
    const struct audio_rx_config rx = {
        .codec = CODEC_OPUS, .payload_type = 111, .dtmf_payload_type = -1, .pcm_rate_hz = PCM_RATE};
    const struct audio_tx_config tx = {
        .codec = CODEC_OPUS, .payload_type = 111, .pcm_rate_hz = PCM_RATE, .ssrc = 1};
    const struct bridge_config config = {.leg = {&path_leg, path},
                                         .format = {passthrough ? CONF_OPUS : CONF_PCM, PCM_RATE, FRAME_MS}};
    const struct bridge_ops ops = {.send_audio = path_send_audio, .pause = path_pause, .arg = path};
    must(audio_rx_new(&path->rx, &rx) == 0 && audio_tx_new(&path->tx, &tx) == 0, "audio_rx_new");
    must(bridge_new(&bridge, &config, &ops) == 0 && bridge_leg_up(bridge) == 0, "bridge_new");
    bridge_agent_up(bridge);
    return bridge;
}

static void path_free(struct path *path, struct bridge *bridge) {
    bridge_free(bridge);
    audio_rx_free(path->rx);
    audio_tx_free(path->tx);
    srtp_ctx_free(path->browser);
    srtp_ctx_free(path->in);
    srtp_ctx_free(path->out);
}

static void path_frame(struct path *path, struct bridge *bridge, size_t i, const uint8_t *message,
                       size_t len) {
    struct rtp_packet packet;
    struct wsc_piece piece;
    must(srtp_ctx_unprotect(path->in, input.packets[i], &input.packet_len[i]) == 0, "srtp_ctx_unprotect");
    must(rtp_parse(span_of(input.packets[i], input.packet_len[i]), &packet) == 0, "rtp_parse");
    audio_rx_packet(path->rx, &packet, world.now_us);
    while (wsc_frames_next(&path->frames, &message, &len, &piece) > 0)
        bridge_agent_audio(bridge, piece.data, piece.len, piece.end);
    for (size_t k = 0; k < TICKS_MAX; k++)
        world.ticks[k]->on_tick(world.now_us, world.ticks[k]->arg);
}

// Nanoseconds for SPEECH_S seconds of a call, once it has settled.
static uint64_t run_call(bool passthrough) {
    static uint8_t messages[FRAMES][PACKET_CAP];
    static size_t lens[FRAMES];
    struct path path;
    struct bridge *bridge = path_new(&path, passthrough);
    uint64_t took = 0;
    for (size_t i = 0; i < FRAMES; i++)
        lens[i] = passthrough ? agent_frame(messages[i], input.opus[i], input.opus_len[i])
                              : agent_frame(messages[i], pcm_frame(i), PCM_BYTES);
    for (uint32_t block = 0; block < 2; block++) {
        make_rtp(1 + block * FRAMES);
        protect_all(path.browser);
        uint64_t start = cpu_ns();
        for (size_t i = 0; i < FRAMES; i++, world.now_us += FRAME_MS * 1000)
            path_frame(&path, bridge, i, messages[i], lens[i]);
        took = cpu_ns() - start;
    }
    struct bridge_stats stats;
    bridge_stats(bridge, &stats);
    must(stats.passthrough == passthrough, "passing through where it should");
    must(path.packets_out == 2 * FRAMES && path.messages_out == 2 * FRAMES, "a frame each 20 ms both ways");
    path_free(&path, bridge);
    return took;
}

static uint64_t call_transcoded(void) {
    return run_call(false);
}

static uint64_t call_passthrough(void) {
    return run_call(true);
}

// ---- report

static const struct stage {
    const char *name, *text;
    uint64_t (*run)(void);
    bool call;
} stages[] = {
    {"srtp_unprotect_gcm", "srtp unprotect, AEAD_AES_128_GCM", stage_unprotect_gcm, false},
    {"srtp_unprotect_cm", "srtp unprotect, AES128_CM_HMAC_SHA1_80", stage_unprotect_cm, false},
    {"rtp_parse", "rtp parse", stage_rtp_parse, false},
    {"jitter", "jitter put and get", stage_jitter, false},
    {"opus_decode_16k", "opus decode to 16 kHz", stage_opus_decode, false},
    {"resample_48_16", "resample 48 to 16 kHz", stage_resample_down, false},
    {"ws_send_frame", "WebSocket header and mask, 640 bytes", stage_ws_frame, false},
    {"ws_parse_frame", "WebSocket parse, 640 bytes", stage_ws_parse, false},
    {"pacer", "pacer put and pull, 640 bytes", stage_pacer, false},
    {"resample_16_48", "resample 16 to 48 kHz", stage_resample_up, false},
    {"opus_encode_16k", "opus encode from 16 kHz", stage_opus_encode, false},
    {"rtp_write", "rtp write", stage_rtp_write, false},
    {"srtp_protect_gcm", "srtp protect, AEAD_AES_128_GCM", stage_protect_gcm, false},
    {"srtp_protect_cm", "srtp protect, AES128_CM_HMAC_SHA1_80", stage_protect_cm, false},
    {"udp_loopback", "UDP send and receive, loopback", stage_udp, false},
    {"call_opus_pcm16", "one call, Opus <-> PCM 16 kHz", call_transcoded, true},
    {"call_opus_passthrough", "one call, Opus passed through", call_passthrough, true},
};

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void print_stage(const struct stage *stage, double min_ns, double median_ns, bool json, bool last) {
    double core_percent = median_ns * 50 / 1e9 * 100;
    if (json && stage->call)
        printf("  \"%s\": {\"min_ns_per_frame\": %.0f, \"median_ns_per_frame\": %.0f, \"core_percent\": "
               "%.4f}%s\n",
               stage->name, min_ns, median_ns, core_percent, last ? "" : ",");
    else if (json)
        printf("  \"%s\": {\"min_ns\": %.0f, \"median_ns\": %.0f}%s\n", stage->name, min_ns, median_ns,
               last ? "" : ",");
    else if (stage->call)
        printf("%-42s %9.0f %9.0f   %.3f %% of a core, %.0f calls a core\n", stage->text, min_ns, median_ns,
               core_percent, 100 / core_percent);
    else
        printf("%-42s %9.0f %9.0f\n", stage->text, min_ns, median_ns);
}

static void run_stage(const struct stage *stage, unsigned repetitions, bool json, bool last) {
    uint64_t took[REPETITIONS_MAX];
    stage->run(); // warms caches and the allocator
    for (unsigned i = 0; i < repetitions; i++)
        took[i] = stage->run();
    qsort(took, repetitions, sizeof took[0], compare);
    print_stage(stage, (double)took[0] / FRAMES, (double)took[repetitions / 2] / FRAMES, json, last);
}

int main(int argc, char **argv) {
    bool json = false;
    unsigned repetitions = 7;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--quick") == 0) {
            repetitions = 1;
        } else {
            fprintf(stderr, "usage: %s [--json] [--quick]\n", argv[0]);
            return 2;
        }
    }
    memset(input.key, 7, sizeof input.key);
    make_speech(input.speech16, FRAMES * PCM_SAMPLES, PCM_RATE);
    make_speech(input.speech48, FRAMES * RTP_SAMPLES, RTP_RATE);
    encode_all(input.speech48, RTP_RATE);
    if (json)
        printf("{\n");
    else
        printf("%-42s %9s %9s   CPU time, %u runs of %d frames of 20 ms\n", "ns per frame", "min", "median",
               repetitions, FRAMES);
    size_t count = sizeof stages / sizeof stages[0];
    for (size_t i = 0; i < count; i++)
        run_stage(&stages[i], repetitions, json, i + 1 == count);
    if (json)
        printf("}\n");
    return 0;
}
