// SPDX-License-Identifier: Apache-2.0
//
//   connect -> POST /api/session/request -> connect -> upgrade -> offer -> answer
#include "tests/bench/calls/web_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int web_connect(struct web *web, enum web_state state) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const struct sockaddr_in *to = &web->webs->run->options.web;
    stream_close(&web->stream);
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) != 0 && errno != EINPROGRESS) {
        close(fd);
        return -errno;
    }
    stream_open(&web->stream, fd, NULL);
    web->state = state;
    web->connected = false;
    web->text_len = 0;
    return run_watch(web->webs->run, fd, EPOLLIN | EPOLLOUT, &web->tcp);
}

static void web_write(struct web *web, const char *text, size_t len) {
    if (stream_write(&web->stream, (const uint8_t *)text, len) != (ssize_t)len)
        web_fail(web, "the gateway does not read");
}

static void web_ws_send(struct web *web, unsigned opcode, const char *payload, size_t len) {
    static char frame[WEB_TEXT + 8];
    frame[0] = (char)(0x80 | opcode);
    size_t head = 2;
    frame[1] = (char)(0x80 | (len < 126 ? len : 126));
    if (len >= 126) {
        frame[2] = (char)(len >> 8);
        frame[3] = (char)len;
        head = 4;
    }
    memset(frame + head, 0, 4); // a mask of zeros is a mask
    memcpy(frame + head + 4, payload, len);
    web_write(web, frame, head + 4 + len);
}

static void web_request(struct web *web) {
    char body[512], request[4096];
    const struct options *options = &web->webs->run->options;
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &options->web.sin_addr, host, sizeof host);
    int len;
    if (web->state == WEB_ASKING) {
        int body_len = snprintf(body, sizeof body,
                                "{\"campaignId\":\"%s\",\"regionId\":\"%s\",\"transportType\":1,"
                                "\"clientIdentifier\":\"%u\",\"dynamicVariables\":{},\"metadata\":{}}",
                                options->campaign, options->region, options->first_number + web->index);
        len = snprintf(request, sizeof request,
                       "POST /api/session/request HTTP/1.1\r\nHost: %s:%u\r\nConnection: close\r\n"
                       "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                       host, ntohs(options->web.sin_port), body_len, body);
    } else {
        len = snprintf(request, sizeof request,
                       "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                       web->path, host, ntohs(options->web.sin_port));
    }
    web->connected = true;
    run_watch(web->webs->run, web->stream.fd, EPOLLIN, &web->tcp);
    web_write(web, request, (size_t)len);
}

static void web_offer(struct web *web) {
    char sdp[1024];
    int sdp_len = snprintf(
        sdp, sizeof sdp,
        "v=0\r\no=- %u 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=group:BUNDLE 0\r\n"
        "m=audio %u UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 127.0.0.1\r\na=mid:0\r\na=rtcp-mux\r\na=sendrecv\r\n"
        "a=ice-ufrag:bench%05u\r\na=ice-pwd:%s\r\na=fingerprint:sha-256 %s\r\na=setup:actpass\r\n"
        "a=candidate:1 1 udp 2130706431 127.0.0.1 %u typ host\r\na=end-of-candidates\r\n"
        "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n",
        web->index + 1, web->udp_port, web->index, web->password, cert_fingerprint(web->webs->cert),
        web->udp_port);
    json_t *message = json_pack("{s:s,s:s%}", "type", "offer", "sdp", sdp, (size_t)sdp_len);
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    if (text)
        web_ws_send(web, 1, text, strlen(text));
    free(text);
    json_decref(message);
}

static void web_message(struct web *web, const char *text, size_t len) {
    json_t *message = json_loadb(text, len, 0, NULL);
    const char *type = json_string_value(json_object_get(message, "type"));
    const char *sdp = json_string_value(json_object_get(message, "sdp"));
    if (type && strcmp(type, "answer") == 0 && sdp)
        web_answer(web, sdp);
    else if (type && strcmp(type, "error") == 0)
        web_fail(web, json_string_value(json_object_get(message, "message")));
    json_decref(message);
}

// Takes whole frames off the text; false for the end.
static bool web_frames(struct web *web) {
    size_t at = 0;
    while (web->text_len - at >= 2) {
        const uint8_t *frame = (const uint8_t *)web->text + at;
        size_t len = frame[1] & 127, head = len == 126 ? 4 : 2;
        if (web->text_len - at < head)
            break;
        if (len == 126)
            len = (size_t)frame[2] << 8 | frame[3];
        if (web->text_len - at < head + len)
            break;
        unsigned opcode = frame[0] & 15;
        if (opcode == 8)
            return false;
        if (opcode == 9)
            web_ws_send(web, 10, (const char *)frame + head, len);
        else if (opcode == 1)
            web_message(web, (const char *)frame + head, len);
        at += head + len;
    }
    web->text_len -= at;
    memmove(web->text, web->text + at, web->text_len);
    return true;
}

// The answer to the session request, once it is whole.
static void web_session(struct web *web) {
    const char *body = strstr(web->text, "\r\n\r\n");
    json_t *root = body ? json_loads(body + 4, 0, NULL) : NULL;
    if (!root)
        return; // more is to come
    const char *url = json_string_value(json_object_get(root, "webSocketUrl"));
    const char *path = url ? strstr(url, "/ws/") : NULL;
    if (path)
        snprintf(web->path, sizeof web->path, "%s", path);
    json_decref(root);
    if (!path)
        web_refuse(web, web->text);
    else if (web_connect(web, WEB_UPGRADING) != 0)
        web_fail(web, "no connection for signalling");
}

static void web_upgraded(struct web *web) {
    const char *end = strstr(web->text, "\r\n\r\n");
    if (!end)
        return;
    if (!strstr(web->text, " 101 ")) {
        web_fail(web, web->text);
        return;
    }
    web->text_len -= (size_t)(end + 4 - web->text);
    memmove(web->text, end + 4, web->text_len);
    web->state = WEB_SIGNALLING;
    web_offer(web);
}

static void web_closed(struct web *web) {
    if (web->state == WEB_UP) {
        web_rest(web, WEB_ENDED);
        web->webs->run->counters.byes_received++;
    } else if (web->state != WEB_ENDED) {
        web_fail(web, "the gateway closed the connection");
    }
    stream_close(&web->stream);
}

static void on_tcp(struct source *source, uint32_t events) {
    (void)events;
    struct web *web = (struct web *)((char *)source - offsetof(struct web, tcp));
    if (web->stream.fd < 0)
        return;
    if (!web->connected) {
        web_request(web);
        return;
    }
    ssize_t len =
        stream_read(&web->stream, (uint8_t *)web->text + web->text_len, WEB_TEXT - 1 - web->text_len);
    if (len == -EAGAIN)
        return;
    if (len <= 0) {
        web_closed(web);
        return;
    }
    web->text_len += (size_t)len;
    web->text[web->text_len] = '\0';
    if (web->state == WEB_ASKING)
        web_session(web);
    else if (web->state == WEB_UPGRADING)
        web_upgraded(web);
    if ((web->state == WEB_SIGNALLING || web->state == WEB_UP) && !web_frames(web))
        web_closed(web);
}

int web_ask(struct web *web) {
    web->tcp.on_event = on_tcp;
    return web_connect(web, WEB_ASKING);
}

void web_leave(struct web *web) {
    static const char normal[2] = {3, (char)0xe8};
    web_ws_send(web, 8, normal, sizeof normal);
}
