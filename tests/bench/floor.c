// SPDX-License-Identifier: Apache-2.0
// The floor: the smallest possible bridge from SIP and RTP to an agent's WebSocket. One epoll thread, no jitter
// buffer, no RTCP, no checks, no loss, nothing that a real gateway owes anybody. It says what this machine needs at
// least for the same bytes, so that the gateway's own cost can be given as a ratio.
//
//   RTP -> decode -> resample -> WebSocket frame        WebSocket frame -> resample -> encode -> (5 ms tick) -> RTP
#include "media/codec.h"
#include "media/rtp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <speex/speex_resampler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_CALLS = 8192,
    QUEUE = 8, // packets that wait for the tick
    PACKET = 700,
    TICK_MS = 5,
    FRAME_TICKS = 4,
    WS_BYTES = 4096,
    AGENT_RATE = 16000,
    SIP_BYTES = 8192,
};

enum mode { MODE_PCM16, MODE_MULAW, MODE_OPUS };

struct source {
    void (*on_event)(struct source *source);
    struct call *call;
};

struct call {
    struct source rtp, ws;
    char id[128];
    int rtp_fd, ws_fd;
    SSL *tls;
    struct sockaddr_in peer;
    unsigned number;
    bool requested, up;
    uint32_t ssrc, timestamp, mask;
    uint16_t seq;
    SpeexResamplerState *up_rate, *down_rate;
    struct codec_decoder *decoder;
    struct codec_encoder *encoder;
    uint8_t pending[WS_BYTES];
    size_t pending_len;
    uint8_t queue[QUEUE][PACKET];
    size_t queue_len[QUEUE], queue_at, queued;
    int64_t next_tick;
};

static struct {
    int epoll, sip, timer;
    uint16_t sip_port, agent_port;
    enum mode mode;
    unsigned complexity;
    int quality;
    SSL_CTX *tls;
    struct call *calls[MAX_CALLS];
    unsigned count;
} floor_;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_ticks(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000) / TICK_MS;
}

static void watch(int op, int fd, uint32_t events, struct source *source) {
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(floor_.epoll, op, fd, &event) != 0)
        die("epoll_ctl");
}

static int udp_socket(uint16_t want, uint16_t *got) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(want), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("bind");
    getsockname(fd, (struct sockaddr *)&address, &len);
    *got = ntohs(address.sin_port);
    return fd;
}

// ---- to the agent

static ssize_t ws_write(struct call *call, const uint8_t *data, size_t len) {
    if (call->tls)
        return SSL_write(call->tls, data, (int)len);
    return send(call->ws_fd, data, len, MSG_NOSIGNAL);
}

static void ws_send(struct call *call, const uint8_t *payload, size_t len) {
    uint8_t frame[WS_BYTES];
    size_t head = len < 126 ? 2 : 4;
    frame[0] = 0x82;
    frame[1] = (uint8_t)(0x80 | (len < 126 ? len : 126));
    if (head == 4) {
        frame[2] = (uint8_t)(len >> 8);
        frame[3] = (uint8_t)len;
    }
    call->mask = call->mask * 1664525U + 1013904223U;
    uint64_t mask = (uint64_t)call->mask << 32 | call->mask, word;
    memcpy(frame + head, &call->mask, 4);
    uint8_t *out = frame + head + 4;
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        memcpy(&word, payload + i, 8);
        word ^= mask;
        memcpy(out + i, &word, 8);
    }
    for (; i < len; i++)
        out[i] = payload[i] ^ (uint8_t)(mask >> (8 * (i & 3)));
    ws_write(call, frame, head + 4 + len);
}

static void to_agent(struct call *call, const struct rtp_packet *packet) {
    static int16_t pcm[1920], wide[3840];
    if (floor_.mode == MODE_MULAW) {
        ws_send(call, packet->payload, packet->payload_len);
        return;
    }
    int samples = codec_decode(call->decoder, packet->payload, packet->payload_len, pcm, 1920);
    if (samples <= 0)
        return;
    if (floor_.mode == MODE_OPUS) {
        ws_send(call, (const uint8_t *)pcm, (size_t)samples * 2);
        return;
    }
    spx_uint32_t in = (spx_uint32_t)samples, out = 3840;
    speex_resampler_process_int(call->up_rate, 0, pcm, &in, wide, &out);
    ws_send(call, (const uint8_t *)wide, (size_t)out * 2);
}

static void on_rtp(struct source *source) {
    uint8_t data[2048];
    ssize_t len = recv(source->call->rtp_fd, data, sizeof data, 0);
    struct rtp_packet packet;
    if (len > 0 && source->call->up && rtp_parse(span_of(data, (size_t)len), &packet) == 0)
        to_agent(source->call, &packet);
}

// ---- from the agent

static void rtp_send(struct call *call, const uint8_t *payload, size_t len) {
    uint8_t data[RTP_HEADER_LEN + PACKET];
    call->timestamp += floor_.mode == MODE_OPUS ? 960 : 160;
    const struct rtp_packet header = {.payload_type = floor_.mode == MODE_OPUS ? 111 : 0,
                                      .seq = call->seq++,
                                      .timestamp = call->timestamp,
                                      .ssrc = call->ssrc};
    rtp_write(data, sizeof data, &header);
    memcpy(data + RTP_HEADER_LEN, payload, len);
    sendto(call->rtp_fd, data, RTP_HEADER_LEN + len, 0, (struct sockaddr *)&call->peer, sizeof call->peer);
}

static void enqueue(struct call *call, const uint8_t *payload, size_t len) {
    if (call->queued == QUEUE || len > PACKET)
        return;
    size_t at = (call->queue_at + call->queued++) % QUEUE;
    memcpy(call->queue[at], payload, len);
    call->queue_len[at] = len;
}

static void from_agent(struct call *call, const uint8_t *payload, size_t len) {
    static int16_t pcm[3840], narrow[3840];
    uint8_t encoded[PACKET];
    if (floor_.mode == MODE_MULAW) {
        enqueue(call, payload, len);
        return;
    }
    memcpy(pcm, payload, len);
    const int16_t *speech = pcm;
    spx_uint32_t samples = (spx_uint32_t)len / 2, out = 3840;
    if (floor_.mode == MODE_PCM16) {
        speex_resampler_process_int(call->down_rate, 0, pcm, &samples, narrow, &out);
        speech = narrow;
        samples = out;
    }
    int bytes = codec_encode(call->encoder, speech, samples, encoded, sizeof encoded);
    if (bytes > 0)
        enqueue(call, encoded, (size_t)bytes);
}

static size_t take_frames(struct call *call) {
    size_t at = 0;
    while (call->pending_len - at >= 2) {
        const uint8_t *frame = call->pending + at;
        size_t len = frame[1] & 127, head = 2;
        if (len == 126) {
            if (call->pending_len - at < 4)
                break;
            len = (size_t)frame[2] << 8 | frame[3];
            head = 4;
        }
        if (call->pending_len - at < head + len)
            break;
        if ((frame[0] & 15) == 2)
            from_agent(call, frame + head, len);
        at += head + len;
    }
    return at;
}

static void ws_close(struct call *call) {
    SSL_free(call->tls);
    call->tls = NULL;
    if (call->ws_fd >= 0)
        close(call->ws_fd);
    call->ws_fd = -1;
    call->up = false;
}

static void ws_request(struct call *call) {
    char text[320];
    int len = snprintf(text, sizeof text,
                       "GET /agent?call=%u HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                       "Sec-WebSocket-Version: 13\r\n\r\n",
                       call->number);
    if (ws_write(call, (const uint8_t *)text, (size_t)len) != len)
        return;
    call->requested = true;
    watch(EPOLL_CTL_MOD, call->ws_fd, EPOLLIN | (call->tls ? EPOLLET : 0), &call->ws);
}

static ssize_t ws_read(struct call *call) {
    uint8_t *to = call->pending + call->pending_len;
    size_t room = sizeof call->pending - 1 - call->pending_len;
    if (!call->tls) {
        ssize_t len = recv(call->ws_fd, to, room, 0);
        return len < 0 ? -errno : len;
    }
    int len = SSL_read(call->tls, to, (int)room);
    if (len > 0)
        return len;
    return SSL_get_error(call->tls, len) == SSL_ERROR_WANT_READ ? -EAGAIN : 0;
}

static void ws_upgraded(struct call *call) {
    call->pending[call->pending_len] = '\0';
    const char *end = strstr((char *)call->pending, "\r\n\r\n");
    if (!end)
        return;
    size_t used = (size_t)(end + 4 - (char *)call->pending);
    call->pending_len -= used;
    memmove(call->pending, end + 4, call->pending_len);
    call->up = true;
}

static void on_ws(struct source *source) {
    struct call *call = source->call;
    if (call->ws_fd < 0)
        return;
    if (!call->requested)
        ws_request(call);
    for (;;) {
        ssize_t len = ws_read(call);
        if (len <= 0) {
            if (len != -EAGAIN)
                ws_close(call);
            return;
        }
        call->pending_len += (size_t)len;
        if (!call->up)
            ws_upgraded(call);
        size_t used = call->up ? take_frames(call) : 0;
        call->pending_len -= used;
        memmove(call->pending, call->pending + used, call->pending_len);
        if (!call->tls && !call->pending_len)
            return;
    }
}

static void on_tick(struct source *source) {
    (void)source;
    uint64_t ticks;
    if (read(floor_.timer, &ticks, sizeof ticks) < 0)
        return;
    int64_t now = now_ticks();
    for (unsigned i = 0; i < floor_.count; i++) {
        struct call *call = floor_.calls[i];
        if (!call->queued || now < call->next_tick)
            continue;
        rtp_send(call, call->queue[call->queue_at], call->queue_len[call->queue_at]);
        call->queue_at = (call->queue_at + 1) % QUEUE;
        call->queued--;
        call->next_tick += FRAME_TICKS;
        if (call->next_tick < now - 2 * FRAME_TICKS)
            call->next_tick = now;
    }
}

// ---- SIP

static bool header_of(const char *message, const char *name, char *out, size_t size) {
    size_t name_len = strlen(name);
    for (const char *line = strstr(message, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, name_len) != 0)
            continue;
        const char *value = line + 2 + name_len;
        value += strspn(value, " ");
        snprintf(out, size, "%.*s", (int)strcspn(value, "\r\n"), value);
        return true;
    }
    return false;
}

static void answer(const char *message, const struct sockaddr_in *from, const char *extra, const char *body) {
    static const char *const names[] = {"Via:", "From:", "To:", "Call-ID:", "CSeq:"};
    char reply[SIP_BYTES] = "SIP/2.0 200 OK\r\n", value[1024];
    size_t len = strlen(reply);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!header_of(message, names[i], value, sizeof value))
            continue;
        bool tag = names[i][0] == 'T' && !strstr(value, ";tag=");
        len += (size_t)snprintf(reply + len, sizeof reply - len, "%s %s%s\r\n", names[i], value,
                                tag ? ";tag=floor" : "");
    }
    len += (size_t)snprintf(reply + len, sizeof reply - len, "%sContent-Length: %zu\r\n\r\n%s", extra,
                            strlen(body), body);
    sendto(floor_.sip, reply, len, 0, (const struct sockaddr *)from, sizeof *from);
}

static void make_codecs(struct call *call) {
    int err = 0;
    enum codec_id codec = floor_.mode == MODE_OPUS ? CODEC_OPUS : CODEC_PCMU;
    uint32_t rate = codec_pcm_rate(codec, AGENT_RATE);
    if (floor_.mode == MODE_MULAW)
        return;
    if (codec_decoder_new(&call->decoder, codec, rate) != 0 ||
        codec_encoder_new(&call->encoder, codec, rate) != 0)
        die("codec");
    codec_encoder_tune(call->encoder, 0, floor_.complexity);
    if (floor_.mode == MODE_OPUS)
        return;
    call->up_rate = speex_resampler_init(1, rate, AGENT_RATE, floor_.quality, &err);
    call->down_rate = speex_resampler_init(1, AGENT_RATE, rate, floor_.quality, &err);
}

static void connect_agent(struct call *call) {
    int one = 1;
    struct sockaddr_in agent = {.sin_family = AF_INET,
                                .sin_port = htons(floor_.agent_port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    call->ws_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(call->ws_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(call->ws_fd, (struct sockaddr *)&agent, sizeof agent) != 0 && errno != EINPROGRESS)
        die("connect");
    if (floor_.tls) {
        call->tls = SSL_new(floor_.tls);
        SSL_set_fd(call->tls, call->ws_fd);
        SSL_set_connect_state(call->tls);
    }
    watch(EPOLL_CTL_ADD, call->ws_fd, EPOLLIN | EPOLLOUT | (call->tls ? EPOLLET : 0), &call->ws);
}

static struct call *call_find(const char *id) {
    for (unsigned i = 0; i < floor_.count; i++) {
        if (strcmp(floor_.calls[i]->id, id) == 0)
            return floor_.calls[i];
    }
    return NULL;
}

static void on_invite(const char *message, const struct sockaddr_in *from, const char *id) {
    char value[512], body[512], extra[160];
    uint16_t port;
    if (call_find(id) || floor_.count == MAX_CALLS)
        return;
    struct call *call = calloc(1, sizeof *call);
    if (!call)
        die("calloc");
    snprintf(call->id, sizeof call->id, "%s", id);
    floor_.calls[floor_.count++] = call;
    call->rtp = (struct source){on_rtp, call};
    call->ws = (struct source){on_ws, call};
    call->rtp_fd = udp_socket(0, &port);
    call->ssrc = 0x1000 + floor_.count;
    call->next_tick = now_ticks();
    const char *media = strstr(message, "m=audio ");
    call->peer = (struct sockaddr_in){.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)(media ? strtoul(media + 8, NULL, 10) : 0)),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *user = header_of(message, "From:", value, sizeof value) ? strstr(value, "sip:") : NULL;
    call->number = user ? (unsigned)strtoul(user + 4, NULL, 10) % 100000U : 0;
    make_codecs(call);
    watch(EPOLL_CTL_ADD, call->rtp_fd, EPOLLIN, &call->rtp);
    connect_agent(call);
    bool opus = floor_.mode == MODE_OPUS;
    snprintf(body, sizeof body,
             "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
             "m=audio %u RTP/AVP %s\r\na=rtpmap:%s\r\n",
             port, opus ? "111" : "0", opus ? "111 opus/48000/2" : "0 PCMU/8000");
    snprintf(extra, sizeof extra, "Contact: <sip:floor@127.0.0.1:%u>\r\nContent-Type: application/sdp\r\n",
             floor_.sip_port);
    answer(message, from, extra, body);
}

static void on_bye(const char *id) {
    struct call *call = call_find(id);
    for (unsigned i = 0; call && i < floor_.count; i++) {
        if (floor_.calls[i] != call)
            continue;
        floor_.calls[i] = floor_.calls[--floor_.count];
        break;
    }
    // The struct is left to the end of the process: an event of this turn may still point to it.
    if (call) {
        ws_close(call);
        close(call->rtp_fd);
    }
}

static void on_sip(struct source *source) {
    (void)source;
    static char message[SIP_BYTES];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    ssize_t len;
    while ((len = recvfrom(floor_.sip, message, sizeof message - 1, 0, (struct sockaddr *)&from, &from_len)) >
           0) {
        char id[128];
        message[len] = '\0';
        if (!header_of(message, "Call-ID:", id, sizeof id))
            continue;
        if (strncmp(message, "INVITE", 6) == 0) {
            on_invite(message, &from, id);
        } else if (strncmp(message, "BYE", 3) == 0) {
            answer(message, &from, "", "");
            on_bye(id);
        }
    }
}

static void read_options(int argc, char **argv) {
    floor_.sip_port = 5080;
    floor_.agent_port = 18080;
    floor_.quality = 3;
    int option;
    while ((option = getopt(argc, argv, "s:a:m:q:x:T")) != -1) {
        switch (option) {
        case 's':
            floor_.sip_port = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'a':
            floor_.agent_port = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'm':
            floor_.mode = strcmp(optarg, "mulaw") == 0  ? MODE_MULAW
                          : strcmp(optarg, "opus") == 0 ? MODE_OPUS
                                                        : MODE_PCM16;
            break;
        case 'q':
            floor_.quality = (int)strtol(optarg, NULL, 10);
            break;
        case 'x':
            floor_.complexity = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'T':
            floor_.tls = SSL_CTX_new(TLS_client_method());
            break;
        default:
            fprintf(stderr, "floor: -s SIP port (5080) -a agent port (18080) -m pcm16|mulaw|opus (pcm16)\n"
                            "       -q resampler's quality (3) -x Opus complexity (0) -T agent over TLS\n"
                            "       The agent's socket is ws://127.0.0.1:PORT/agent?call=K, K the caller's "
                            "number modulo 100000.\n");
            exit(2);
        }
    }
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    static struct source sip = {on_sip, NULL}, timer = {on_tick, NULL};
    floor_.epoll = epoll_create1(0);
    floor_.sip = udp_socket(floor_.sip_port, &floor_.sip_port);
    floor_.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec every = {.it_interval = {0, TICK_MS * 1000000}, .it_value = {0, TICK_MS * 1000000}};
    timerfd_settime(floor_.timer, 0, &every, NULL);
    watch(EPOLL_CTL_ADD, floor_.sip, EPOLLIN, &sip);
    watch(EPOLL_CTL_ADD, floor_.timer, EPOLLIN, &timer);
    for (;;) {
        static struct epoll_event events[512];
        int count = epoll_wait(floor_.epoll, events, 512, -1);
        for (int i = 0; i < count; i++) {
            struct source *source = events[i].data.ptr;
            source->on_event(source);
        }
    }
}
