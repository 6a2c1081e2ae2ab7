// SPDX-License-Identifier: Apache-2.0
// A proxy on loopback, a ctl that answers as the test says, and trunks that are sockets: all on the test's thread, so
// that nothing happens between two lines of a test.
#ifndef IQ_TESTS_PROXY_FIXTURE_H
#define IQ_TESTS_PROXY_FIXTURE_H

#include "gateway/core/conf.h"
#include "gateway/core/err.h"
#include "gateway/core/ticker.h"
#include "sip/listen.h"
#include "sip/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <sofia-sip/su.h>
#include <sofia-sip/su_log.h>
#include <sofia-sip/su_wait.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { FIXTURE_WAIT_US = 20000000, FIXTURE_MESSAGE = 70000, FIXTURE_ASKS = 8192 };

struct fixture {
    su_root_t *root;
    struct conf *conf;
    struct proxy *proxy;
    uint16_t port;
    // ctl
    bool hold;       // no verdict yet
    bool full;       // the mailbox takes nothing
    unsigned status; // of the verdicts; 302 by default
    size_t ask_count, gone_count;
    uint64_t asked[FIXTURE_ASKS], gone[FIXTURE_ASKS];
    struct sip_route_ask last_ask; // without its headers
    char last_header[256];         // "name: value" of its first one
    // the trunk
    int udp;
    uint16_t udp_port;
    char message[FIXTURE_MESSAGE]; // what came last
};

static inline uint16_t fixture_free_port(int type) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, type, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static inline struct sip_verdict fixture_verdict(unsigned status) {
    struct sip_verdict verdict = {.status = status, .queue_id = "q-1"};
    if (status == 302) {
        verdict.backends[0] = (struct sip_backend){.endpoint = "10.0.0.5", .port = 5070};
        verdict.backends[1] = (struct sip_backend){.endpoint = "2001:db8::5", .port = 5071};
        verdict.backend_count = 2;
    } else {
        snprintf(verdict.reason, sizeof verdict.reason, "Limit of %u", status);
    }
    return verdict;
}

static inline void fixture_decide(struct fixture *f, uint64_t handle, unsigned status) {
    struct sip_verdict verdict = fixture_verdict(status);
    struct mail mail = {.to = handle, .type = SIP_ROUTED, .data = &verdict};
    proxy_mail(f->proxy, &mail);
}

static inline void fixture_take_ask(struct fixture *f, const struct mail *mail) {
    const struct sip_route_ask *ask = mail->data;
    assert_true(f->ask_count < FIXTURE_ASKS);
    f->asked[f->ask_count++] = mail->to;
    f->last_ask = *ask;
    f->last_header[0] = '\0';
    if (ask->request.header_count)
        snprintf(f->last_header, sizeof f->last_header, "%s: %s", ask->request.headers[0].name,
                 ask->request.headers[0].value);
}

static inline int fixture_post(struct mail mail, void *arg) {
    struct fixture *f = arg;
    bool full = f->full && !mail.vital;
    if (mail.type == SIP_ROUTE && !full)
        fixture_take_ask(f, &mail);
    if (mail.type == SIP_ROUTE_GONE) {
        assert_true(f->gone_count < FIXTURE_ASKS);
        f->gone[f->gone_count++] = mail.to;
    }
    if (mail.free_data)
        mail.free_data(mail.data);
    return full ? -ENOSPC : 0;
}

// The verdicts come after on_message has returned, as from another thread.
static inline void fixture_step(struct fixture *f) {
    static size_t decided;
    if (f->ask_count < decided || f->hold)
        decided = f->ask_count;
    su_root_step(f->root, 2);
    while (!f->hold && decided < f->ask_count)
        fixture_decide(f, f->asked[decided++], f->status);
}

static inline struct conf *fixture_conf(const char *json) {
    struct conf *conf = NULL;
    struct conf_report report = {.out = stderr};
    assert_int_equal(conf_parse(&conf, "test.json", json, strlen(json), NULL, &report), 0);
    return conf;
}

#define FIXTURE_BUSINESSES                                                                                   \
    "\"Businesses\":{\"123\":{\"Numbers\":{\"abc\":{\"Number\":\"+96812345678\",\"RouteId\":\"r\","          \
    "\"RegionId\":\"EU\"},\"acl\":{\"Number\":\"+9682\",\"RouteId\":\"r\",\"RegionId\":\"EU\","              \
    "\"AllowedSourceIps\":[\"10.0.0.0/8\"]}}}},\"Regions\":{\"EU\":{}}"

// `sip` are further keys of the Sip section, `listen` further addresses; both may be "".
static inline void fixture_start(struct fixture *f, const char *listen, const char *sip,
                                 struct proxy_limits limits) {
    char json[2048];
    struct err_text err = {""};
    memset(f, 0, sizeof *f);
    f->status = 302;
    f->udp = -1;
    f->port = fixture_free_port(SOCK_DGRAM);
    snprintf(json, sizeof json,
             "{\"Agent\":{\"Builtin\":\"echo\"},\"Gateway\":{\"Roles\":[\"proxy\"]},\"Sip\":{\"ProxyListen\":"
             "[\"udp:127.0.0.1:%u\"%s]%s},%s}",
             f->port, listen, sip, FIXTURE_BUSINESSES);
    f->conf = fixture_conf(json);
    su_init();
    su_log_set_level(NULL, 0);
    f->root = su_root_create(f);
    su_root_threading(f->root, 0);
    char *folder = NULL;
    if (listen_has_tls(&f->conf->sip.proxy_listen))
        assert_int_equal(listen_tls_folder_new(&folder, f->conf, &err), 0);
    struct proxy_config config = {.root = f->root,
                                  .conf = f->conf,
                                  .tls_folder = folder,
                                  .post = fixture_post,
                                  .post_arg = f,
                                  .limits = limits};
    int code = proxy_new(&f->proxy, &config, &err);
    listen_tls_folder_free(folder);
    if (code)
        print_error("%s\n", err.text);
    assert_int_equal(code, 0);
}

static inline void fixture_stop(struct fixture *f) {
    proxy_free(f->proxy);
    su_root_destroy(f->root);
    conf_free(f->conf);
    if (f->udp >= 0)
        close(f->udp);
}

static inline int fixture_udp(struct fixture *f, const char *from, uint16_t *port) {
    struct sockaddr_in address = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    inet_pton(AF_INET, from, &address.sin_addr);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    to.sin_port = htons(f->port);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static inline void fixture_send(struct fixture *f, const char *text) {
    if (f->udp < 0)
        f->udp = fixture_udp(f, "127.0.0.1", &f->udp_port);
    assert_int_equal(send(f->udp, text, strlen(text), 0), (ssize_t)strlen(text));
}

// The next message on `fd`, with a NUL behind it. False when there is none in `wait_us`.
static inline bool fixture_receive_on(struct fixture *f, int fd, uint64_t wait_us) {
    uint64_t end_us = ticker_now_us() + wait_us;
    do {
        fixture_step(f);
        ssize_t n = recv(fd, f->message, sizeof f->message - 1, 0);
        if (n > 0) {
            f->message[n] = '\0';
            return true;
        }
    } while (ticker_now_us() < end_us);
    return false;
}

static inline const char *fixture_receive(struct fixture *f) {
    if (!fixture_receive_on(f, f->udp, FIXTURE_WAIT_US))
        fail_msg("nothing came");
    return f->message;
}

// The first answer that is no 100.
static inline const char *fixture_final(struct fixture *f) {
    do
        fixture_receive(f);
    while (strncmp(f->message, "SIP/2.0 100 ", 12) == 0);
    return f->message;
}

// Nothing comes while all that was sent is being handled: what is sent last, an OPTIONS, is answered first.
static inline void fixture_expect_silence(struct fixture *f) {
    char probe[512];
    static unsigned count;
    snprintf(probe, sizeof probe,
             "OPTIONS sip:proxy SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bKprobe%u\r\n"
             "From: <sip:t@t>;tag=p\r\nTo: <sip:t@t>\r\nCall-ID: probe-%u\r\nCSeq: 1 OPTIONS\r\n"
             "Content-Length: 0\r\n\r\n",
             f->udp_port, count, count);
    fixture_send(f, probe);
    fixture_receive(f);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "Call-ID: probe-%u\r\n", count++);
    if (!strstr(f->message, wanted))
        fail_msg("this came: %s", f->message);
}

struct fixture_call {
    const char *uri;     // default sip:+96812345678@proxy
    const char *call_id; // default "c"
    const char *method;  // default INVITE
    const char *branch;  // default "1"
    const char *from;    // default <sip:+4930@carrier>;tag=f
    const char *headers; // further lines
};

static inline const char *fixture_or(const char *text, const char *usual) {
    return text ? text : usual;
}

static inline void fixture_call(struct fixture *f, struct fixture_call call) {
    char text[4096];
    if (f->udp < 0)
        f->udp = fixture_udp(f, "127.0.0.1", &f->udp_port);
    const char *method = fixture_or(call.method, "INVITE");
    bool ack = strcmp(method, "ACK") == 0;
    snprintf(text, sizeof text,
             "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%u;rport;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\n"
             "From: %s\r\nTo: <sip:+96812345678@proxy>%s\r\nCall-ID: %s\r\nCSeq: 1 %s\r\n%sContent-Length: "
             "0\r\n\r\n",
             method, fixture_or(call.uri, "sip:+96812345678@proxy"), f->udp_port,
             fixture_or(call.branch, "1"), fixture_or(call.from, "<sip:+4930@carrier>;tag=f"),
             ack ? ";tag=x" : "", fixture_or(call.call_id, "c"), method, fixture_or(call.headers, ""));
    fixture_send(f, text);
}

static inline void fixture_expect(struct fixture *f, const char *start) {
    fixture_final(f);
    if (strncmp(f->message, start, strlen(start)) != 0)
        fail_msg("wanted %s, this came: %s", start, f->message);
}

// Among what else comes.
static inline void fixture_expect_answer_to(struct fixture *f, const char *call_id, const char *start) {
    char wanted[128];
    snprintf(wanted, sizeof wanted, "\r\nCall-ID: %s\r\n", call_id);
    do
        fixture_receive(f);
    while (!strstr(f->message, wanted));
    if (strncmp(f->message, start, strlen(start)) != 0)
        fail_msg("wanted %s, this came: %s", start, f->message);
}

static inline void fixture_expect_line(const struct fixture *f, const char *line) {
    char wanted[512];
    snprintf(wanted, sizeof wanted, "\r\n%s\r\n", line);
    if (!strstr(f->message, wanted))
        fail_msg("no line %s in: %s", line, f->message);
}

#endif
