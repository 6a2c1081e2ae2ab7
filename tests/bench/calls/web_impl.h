// SPDX-License-Identifier: Apache-2.0
// Inside of web: web.c is a caller's life and media, web_signal.c its two TCP connections.
#ifndef IQ_BENCH_WEB_IMPL_H
#define IQ_BENCH_WEB_IMPL_H

#include "media/srtp.h"
#include "tests/bench/calls/socket.h"
#include "tests/bench/calls/voice.h"
#include "tests/bench/calls/web.h"
#include "webrtc/dtls.h"

enum { WEB_TEXT = 65536 };

enum web_state { WEB_IDLE, WEB_ASKING, WEB_UPGRADING, WEB_SIGNALLING, WEB_UP, WEB_ENDED, WEB_FAILED };

struct web {
    struct source udp, tcp;
    struct webs *webs;
    unsigned index;
    enum web_state state;
    int udp_fd;
    uint16_t udp_port;
    struct stream stream; // asks for the session, then signals
    bool connected;       // the stream is, and its request is out
    char *text;           // what has come on it, WEB_TEXT bytes
    size_t text_len;
    char path[2048]; // of the signalling URL
    char password[32];
    struct sockaddr_in peer; // whose check nominated the pair
    struct dtls *dtls;
    bool dtls_started;
    struct srtp_ctx *send, *receive;
    struct voice voice;
    int64_t began_us;
    int64_t turn_us; // when it leaves, or calls again; 0 = never
};

struct webs {
    struct run *run;
    uv_loop_t loop; // of the DTLS timers
    struct cert *cert;
    struct web *web;
    unsigned begun;
};

void web_rest(struct web *web, enum web_state state); // it has no call any more
void web_fail(struct web *web, const char *why);
void web_refuse(struct web *web, const char *answer); // to its session request: no session, or one later
void web_answer(struct web *web, const char *sdp);    // the gateway's

int web_ask(struct web *web);    // begins the signalling
void web_leave(struct web *web); // closes it as a page does

#endif
