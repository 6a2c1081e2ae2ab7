// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/calls/agent.h"

#include "tests/bench/calls/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 1024,
    BURST_MS = 2000,
    MAX_CHUNK = 2 * 48 * BURST_MS,
    HEAD_BYTES = 8192,
    TRACK_CHUNK_MS = 10, // what the agents' track is cut into, unless packets are whole messages (Opus)
};

struct agent {
    struct source source;
    struct agents *agents;
    struct stream stream;
    int call; // -1 until its request named one
    bool up;
    uint8_t pending[4096]; // what of a request or frame has come
    size_t pending_len;
    struct track_ear ear;
    size_t next_frame; // of the track
    struct agent *next;
    uint64_t gone; // the turn in which it was seen to be closed; 0 = not yet
};

struct listener {
    struct source source;
    struct agents *agents;
    int fd;
    SSL_CTX *tls; // NULL for plain
};

struct agents {
    struct run *run;
    struct listener sockets,
        platform; // the platform's door is plain: what trusts the agents need not trust it
    SSL_CTX *tls;
    uint32_t chunk_ms;
    struct agent *slots[BURST_MS]; // by the millisecond within chunk_ms in which they speak
    unsigned next_slot;
};

static void agent_drop(struct agent *agent) {
    struct run *run = agent->agents->run;
    if (agent->up && agent->call >= 0) {
        run->marks[agent->call].live = false;
        run->counters.agents_lost++;
    }
    agent->up = false;
    stream_close(&agent->stream);
}

static bool agent_write(struct agent *agent, const uint8_t *data, size_t len) {
    if (stream_write(&agent->stream, data, len) == (ssize_t)len)
        return true;
    agent_drop(agent); // a server that does not read for so long has failed already
    return false;
}

// ---- what it says

static size_t ws_head(uint8_t out[10], unsigned opcode, size_t len) {
    out[0] = (uint8_t)(0x80 | opcode);
    if (len < 126) {
        out[1] = (uint8_t)len;
        return 2;
    }
    if (len < 65536) {
        out[1] = 126;
        out[2] = (uint8_t)(len >> 8);
        out[3] = (uint8_t)len;
        return 4;
    }
    out[1] = 127;
    for (unsigned i = 0; i < 8; i++)
        out[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
    return 10;
}

static void agent_say(struct agent *agent, int64_t now_us) {
    static uint8_t message[10 + MAX_CHUNK];
    struct agents *agents = agent->agents;
    const struct track *track = &agents->run->agent_track;
    size_t frames = agents->chunk_ms / track->frame_ms, len = 0;
    bool mark = false;
    for (size_t i = 0; i < frames; i++) {
        const struct track_frame *frame = &track->frame[agent->next_frame++ % track->frames];
        memcpy(message + 10 + len, frame->bytes, frame->len);
        len += frame->len;
        mark |= frame->mark;
    }
    uint8_t head[10];
    size_t head_len = ws_head(head, 2, len);
    memcpy(message + 10 - head_len, head, head_len);
    if (agent_write(agent, message + 10 - head_len, head_len + len) && mark)
        run_mark_sent(agents->run, (unsigned)agent->call, false, now_us);
}

static void agent_free(struct agent *agent) {
    stream_close(&agent->stream);
    track_ear_clear(&agent->ear);
    free(agent);
}

// Events of this turn may still be for one that has closed in it.
static bool agent_is_over(struct agent *agent) {
    uint64_t turn = agent->agents->run->turn;
    if (agent->stream.fd >= 0)
        return false;
    if (!agent->gone)
        agent->gone = turn;
    return agent->gone != turn;
}

void agents_tick(struct agents *agents, int64_t now_ms, int64_t now_us) {
    bool speak = agents->run->options.pattern != PATTERN_ECHO;
    for (struct agent **at = &agents->slots[now_ms % agents->chunk_ms], *agent; (agent = *at);) {
        if (agent->up && speak)
            agent_say(agent, now_us);
        if (!agent_is_over(agent)) {
            at = &agent->next;
            continue;
        }
        *at = agent->next;
        agent_free(agent);
    }
}

// ---- what it hears

static void agent_hear(struct agent *agent, const uint8_t *audio, size_t len) {
    struct run *run = agent->agents->run;
    int64_t now_us = run_now_us();
    run->counters.agent_messages += run->measuring;
    run->counters.agent_bytes += run->measuring ? len : 0;
    if (run->marks[agent->call].up_us)
        track_ear_expect(&agent->ear, now_us);
    if (track_ear_hears(&agent->ear, audio, len, now_us))
        run_mark_heard(run, (unsigned)agent->call, true, now_us);
    if (run->options.pattern != PATTERN_ECHO)
        return;
    uint8_t head[10];
    size_t head_len = ws_head(head, 2, len);
    if (agent_write(agent, head, head_len))
        agent_write(agent, audio, len);
}

// One whole frame; false ends the socket.
static bool agent_frame(struct agent *agent, unsigned opcode, uint8_t *payload, size_t len) {
    uint8_t head[10];
    switch (opcode) {
    case 2:
        agent_hear(agent, payload, len);
        return true;
    case 9:
        agent_write(agent, head, ws_head(head, 10, 0));
        return true;
    case 8:
        agent_write(agent, head, ws_head(head, 8, 0));
        return false;
    default:
        return true;
    }
}

// Takes the whole frames off `data`; the bytes used, or -1 for the end.
static ssize_t agent_frames(struct agent *agent, uint8_t *data, size_t len) {
    size_t at = 0;
    while (len - at >= 2) {
        uint8_t *frame = data + at;
        size_t payload = frame[1] & 127, head = 2;
        if (payload == 126) {
            if (len - at < 4)
                break;
            payload = (size_t)frame[2] << 8 | frame[3];
            head = 4;
        }
        if (payload == 127 || !(frame[1] & 128))
            return -1; // no gateway sends 64 KiB at once, and clients mask
        if (len - at < head + 4 + payload)
            break;
        const uint8_t *mask = frame + head;
        uint8_t *bytes = frame + head + 4;
        for (size_t i = 0; i < payload; i++)
            bytes[i] ^= mask[i & 3];
        if (!agent_frame(agent, frame[0] & 15, bytes, payload) || !agent->up)
            return -1;
        at += head + 4 + payload;
    }
    return (ssize_t)at;
}

// ---- the request

static bool header_of(const char *head, const char *name, char *out, size_t size) {
    size_t name_len = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, name_len) != 0)
            continue;
        const char *value = line + 2 + name_len, *end = strstr(value, "\r\n");
        value += strspn(value, " ");
        if (!end || (size_t)(end - value) >= size)
            return false;
        memcpy(out, value, (size_t)(end - value));
        out[end - value] = '\0';
        return true;
    }
    return false;
}

static bool agent_upgrade(struct agent *agent, const char *head) {
    struct run *run = agent->agents->run;
    char key[128], joined[192], text[512];
    uint8_t digest[EVP_MAX_MD_SIZE], accept[64];
    unsigned digest_len;
    const char *call = strstr(head, "call=");
    agent->call = call ? (int)strtol(call + 5, NULL, 10) : -1;
    if (agent->call < 0 || (unsigned)agent->call >= run->options.calls ||
        !header_of(head, "Sec-WebSocket-Key:", key, sizeof key))
        return false;
    snprintf(joined, sizeof joined, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    EVP_Digest(joined, strlen(joined), digest, &digest_len, EVP_sha1(), NULL);
    EVP_EncodeBlock(accept, digest, (int)digest_len);
    int len = snprintf(
        text, sizeof text,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %s\r\n%s\r\n",
        accept, strstr(head, "Sec-WebSocket-Protocol: media") ? "Sec-WebSocket-Protocol: media\r\n" : "");
    agent->up = true;
    run->counters.agents_connected++;
    run->marks[agent->call].live = true;
    return agent_write(agent, (uint8_t *)text, (size_t)len);
}

// The platform: gives out the agent's address, with the caller's place among the numbers.
static bool agent_platform(struct agent *agent, const char *text) {
    const struct options *options = &agent->agents->run->options;
    char body[512], reply[1024];
    const char *identifier = strstr(text, "\"ClientIdentifier\"");
    identifier = identifier ? strpbrk(identifier + 18, "0123456789") : NULL;
    if (!identifier || strncmp(text, "POST", 4) != 0) {
        static const char missing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        return agent_write(agent, (const uint8_t *)missing, sizeof missing - 1);
    }
    unsigned call = (unsigned)strtoul(identifier, NULL, 10);
    bool other = options->other_number && call >= options->other_number;
    call -= other ? options->other_number : options->first_number;
    int body_len = snprintf(body, sizeof body,
                            "{\"success\":true,\"data\":{\"sessionId\":\"ses_bench_%u_%lld\","
                            "\"sessionWebSocketURL\":\"%s://127.0.0.1:%u/agent?call=%u\"}}",
                            call, (long long)run_now_us(), options->certificate ? "wss" : "ws",
                            other ? options->other_port : options->agent_port, call);
    int len = snprintf(reply, sizeof reply,
                       "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                       body_len, body);
    return agent_write(agent, (uint8_t *)reply, (size_t)len);
}

// -1 to end the connection, 0 for more, else the bytes used.
static ssize_t agent_request(struct agent *agent) {
    char *text = (char *)agent->pending;
    text[agent->pending_len] = '\0';
    const char *end = strstr(text, "\r\n\r\n");
    if (!end)
        return agent->pending_len >= sizeof agent->pending - 1 ? -1 : 0;
    char length[32];
    size_t body = header_of(text, "Content-Length:", length, sizeof length) ? strtoul(length, NULL, 10) : 0;
    size_t whole = (size_t)(end + 4 - text) + body;
    if (whole >= sizeof agent->pending)
        return -1;
    if (agent->pending_len < whole)
        return 0;
    bool good = strstr(text, "pgrade: websocket") ? agent_upgrade(agent, text) : agent_platform(agent, text);
    return good ? (ssize_t)whole : -1;
}

// ---- sockets

static bool agent_take(struct agent *agent, uint8_t *data, size_t len) {
    while (len && !agent->up) {
        size_t room = sizeof agent->pending - 1 - agent->pending_len, part = len < room ? len : room;
        memcpy(agent->pending + agent->pending_len, data, part);
        agent->pending_len += part;
        data += part;
        len -= part;
        ssize_t used = agent_request(agent);
        if (used < 0)
            return false;
        agent->pending_len -= (size_t)used;
        memmove(agent->pending, agent->pending + used, agent->pending_len);
        if (!used && !len)
            return true;
    }
    static uint8_t joined[sizeof agent->pending + STREAM_READ];
    memcpy(joined, agent->pending, agent->pending_len);
    memcpy(joined + agent->pending_len, data, len);
    len += agent->pending_len;
    ssize_t used = agent->up ? agent_frames(agent, joined, len) : 0;
    if (used < 0 || len - (size_t)used > sizeof agent->pending)
        return false;
    agent->pending_len = len - (size_t)used;
    memcpy(agent->pending, joined + used, agent->pending_len);
    return true;
}

static void on_agent_event(struct source *source, uint32_t events) {
    (void)events;
    struct agent *agent = (struct agent *)source;
    static uint8_t buffer[STREAM_READ];
    for (;;) {
        ssize_t len = stream_read(&agent->stream, buffer, sizeof buffer);
        if (len == -EAGAIN)
            return;
        if (len <= 0 || !agent_take(agent, buffer, (size_t)len)) {
            agent_drop(agent);
            return;
        }
        if ((size_t)len < sizeof buffer && !agent->stream.tls)
            return;
    }
}

static int agent_new(struct listener *listener, int fd) {
    struct agents *agents = listener->agents;
    struct run *run = agents->run;
    struct agent *agent = calloc(1, sizeof *agent);
    if (!agent)
        return -ENOMEM;
    *agent = (struct agent){.source.on_event = on_agent_event, .agents = agents, .call = -1};
    if (stream_open(&agent->stream, fd, listener->tls) != 0 ||
        track_ear_init(&agent->ear, run->options.agent_codec, run->options.agent_rate_hz) != 0 ||
        run_watch(run, fd, EPOLLIN | (listener->tls ? EPOLLET : 0), &agent->source) != 0) {
        free(agent);
        return -ENOMEM;
    }
    struct agent **slot = &agents->slots[(agents->next_slot * 7U) % agents->chunk_ms];
    agents->next_slot++;
    agent->next = *slot;
    *slot = agent;
    return 0;
}

static void on_listener(struct source *source, uint32_t events) {
    (void)events;
    struct listener *listener = (struct listener *)source;
    int fd, one = 1;
    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (agent_new(listener, fd) != 0)
            close(fd);
    }
}

static int listen_on(uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int err = errno;
    if (fd >= 0)
        close(fd);
    return -err;
}

static int listener_open(struct agents *agents, struct listener *listener, uint16_t port, SSL_CTX *tls) {
    *listener = (struct listener){
        .source.on_event = on_listener, .agents = agents, .fd = listen_on(port), .tls = tls};
    return listener->fd < 0 ? listener->fd : run_watch(agents->run, listener->fd, EPOLLIN, &listener->source);
}

static int tls_of(struct agents *agents) {
    const struct options *options = &agents->run->options;
    if (!options->certificate)
        return 0;
    agents->tls = SSL_CTX_new(TLS_server_method());
    if (!agents->tls || SSL_CTX_use_certificate_chain_file(agents->tls, options->certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(agents->tls, options->key, SSL_FILETYPE_PEM) != 1)
        return -EINVAL;
    return 0;
}

int agents_new(struct agents **out, struct run *run) {
    static const uint32_t chunks[] = {
        [PATTERN_STEADY20] = 20, [PATTERN_STEADY30] = 30, [PATTERN_BURST] = BURST_MS, [PATTERN_ECHO] = 20};
    const struct options *options = &run->options;
    struct agents *agents = calloc(1, sizeof *agents);
    if (!agents)
        return -ENOMEM;
    agents->run = run;
    agents->chunk_ms = chunks[options->pattern];
    agents->sockets.fd = agents->platform.fd = -1;
    uint32_t frame_ms = options->agent_codec == CODEC_OPUS ? agents->chunk_ms : TRACK_CHUNK_MS;
    int err = tls_of(agents);
    if (!err)
        err = listener_open(agents, &agents->sockets, options->agent_port, agents->tls);
    if (!err)
        err = listener_open(agents, &agents->platform, (uint16_t)(options->agent_port + 1), NULL);
    if (!err)
        err = track_new(&run->agent_track, options->agent_codec, options->agent_rate_hz, frame_ms);
    if (err)
        agents_free(agents);
    else
        *out = agents;
    return err;
}

void agents_free(struct agents *agents) {
    if (!agents)
        return;
    for (size_t i = 0; i < BURST_MS; i++) {
        for (struct agent *agent = agents->slots[i], *next; agent; agent = next) {
            next = agent->next;
            agent_free(agent);
        }
    }
    if (agents->sockets.fd >= 0)
        close(agents->sockets.fd);
    if (agents->platform.fd >= 0)
        close(agents->platform.fd);
    SSL_CTX_free(agents->tls);
    track_clear(&agents->run->agent_track);
    free(agents);
}
