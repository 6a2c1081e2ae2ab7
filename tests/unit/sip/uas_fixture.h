// SPDX-License-Identifier: Apache-2.0
// A listener on loopback with a ctl that the test plays. After cmocka.h.
#ifndef IQ_TESTS_UAS_FIXTURE_H
#define IQ_TESTS_UAS_FIXTURE_H

#include "sip/uas.h"
#include "sip_peer.h"

#include <sofia-sip/su.h>

#define OUR_SDP                                                                                              \
    "v=0\r\no=- 7 7 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n"

enum { FIXTURE_MAILS = 4096, FIXTURE_T1_MS = 20 };

struct fixture {
    su_root_t *root;
    struct conf *conf;
    struct uas *uas;
    uint16_t port;
    bool ctl_is_full;
    struct mail mails[FIXTURE_MAILS]; // in the order they came
    size_t mail_count, mail_taken;
    struct peer peer;
};

static inline int fixture_post(struct mail mail, void *arg) {
    struct fixture *f = arg;
    if ((f->ctl_is_full && !mail.vital) || f->mail_count == FIXTURE_MAILS) {
        if (mail.free_data)
            mail.free_data(mail.data);
        return -ENOSPC;
    }
    f->mails[f->mail_count++] = mail;
    return 0;
}

static inline void fixture_closed(void *closed) {
    *(bool *)closed = true;
}

static inline void fixture_turn(void *root) {
    su_root_step(root, 2);
}

static inline uint16_t free_port(void) {
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t len = sizeof any;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &len), 0);
    close(fd);
    return ntohs(any.sin_port);
}

static inline struct conf *conf_of(const char *text) {
    struct conf *conf = NULL;
    struct conf_report report = {.out = stderr};
    if (conf_parse(&conf, "test", text, strlen(text), NULL, &report))
        fail_msg("bad configuration in the test");
    return conf;
}

struct fixture_options {
    const char *listen; // with one %u for the port, of each address
    const char *sip;    // further keys of "Sip", each with a comma before it
    const char *public_address;
    const char *tls_folder;
    struct uas_timing timing;
};

// Several tries, since another program may take the free port first.
static inline void fixture_listen(struct fixture *f, const struct fixture_options *options) {
    int err = -EADDRINUSE;
    struct err_text text = {""};
    for (int i = 0; err && i < 20; i++) {
        char listen[512], json[1024];
        f->port = free_port();
        snprintf(listen, sizeof listen, options->listen, f->port, f->port, f->port, f->port);
        snprintf(
            json, sizeof json,
            "{\"Gateway\":{\"Roles\":[\"media\"],\"PublicAddress\":\"%s\"},\"Agent\":{\"Builtin\":\"echo\"},"
            "\"Sip\":{\"MediaListen\":[%s]%s}}",
            options->public_address, listen, options->sip);
        conf_free(f->conf);
        f->conf = conf_of(json);
        struct uas_config config = {.root = f->root,
                                    .conf = f->conf,
                                    .post = fixture_post,
                                    .post_arg = f,
                                    .timing = options->timing,
                                    .tls_folder = options->tls_folder};
        err = uas_new(&f->uas, &config, &text);
    }
    if (err)
        fail_msg("%s", text.text);
}

static inline struct fixture *fixture_new(const struct fixture_options *given) {
    struct fixture_options options = *given;
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(su_init(), 0);
    f->root = su_root_create(NULL);
    assert_non_null(f->root);
    su_root_threading(f->root, 0);
    if (!options.listen)
        options.listen = "\"udp:127.0.0.1:%u\"";
    if (!options.sip)
        options.sip = ",\"InvitesPerSecond\":0";
    if (!options.public_address)
        options.public_address = "";
    if (!options.timing.t1_ms)
        options.timing.t1_ms = FIXTURE_T1_MS;
    fixture_listen(f, &options);
    return f;
}

static inline void fixture_free(struct fixture *f) {
    uas_free(f->uas);
    for (size_t i = f->mail_taken; i < f->mail_count; i++) {
        if (f->mails[i].free_data)
            f->mails[i].free_data(f->mails[i].data);
    }
    su_root_destroy(f->root);
    su_deinit();
    conf_free(f->conf);
    free(f);
}

static inline const char *mail_name(uint32_t type) {
    static const char *const names[] = {"ROUTE",  "ROUTE_GONE", "INVITE", "AUTHORIZED", "OFFER",
                                        "ANSWER", "CONFIRMED",  "DTMF",   "OVER"};
    return type - SIP_ROUTE < sizeof names / sizeof names[0] ? names[type - SIP_ROUTE] : "?";
}

// The next mail for ctl, which must be of this type; whoever takes it frees its data.
static inline struct mail fixture_mail(struct fixture *f, enum sip_mail type) {
    uint64_t until = peer_now_ms() + PEER_WAIT_MS;
    while (f->mail_taken == f->mail_count && peer_now_ms() < until)
        su_root_step(f->root, 2);
    if (f->mail_taken == f->mail_count)
        fail_msg("no mail came, expected %s", mail_name(type));
    struct mail mail = f->mails[f->mail_taken++];
    if (mail.type != type)
        fail_msg("expected mail %s, got %s", mail_name(type), mail_name(mail.type));
    return mail;
}

static inline bool fixture_has_mail(const struct fixture *f) {
    return f->mail_taken < f->mail_count;
}

static inline uint64_t fixture_skip(struct fixture *f, enum sip_mail type) {
    struct mail mail = fixture_mail(f, type);
    if (mail.free_data)
        mail.free_data(mail.data);
    return mail.to;
}

// A mail with text must say `text`, or have it in it when it is a SIP_OVER.
static inline void fixture_text(struct fixture *f, enum sip_mail type, const char *text) {
    struct mail mail = fixture_mail(f, type);
    assert_string_equal(((struct sip_text *)mail.data)->text, text);
    sip_text_free(mail.data);
}

static inline void fixture_over(struct fixture *f, enum sip_over code, const char *part) {
    struct mail mail = fixture_mail(f, SIP_OVER);
    struct sip_text *over = mail.data;
    assert_int_equal(over->code, code);
    if (!strstr(over->text, part))
        fail_msg("over with \"%s\", expected \"%s\" in it", over->text, part);
    sip_text_free(over);
}

static inline void ctl_retry(struct fixture *f, uint64_t to, enum sip_mail type, unsigned code,
                             const char *text, unsigned retry_after_s) {
    struct mail mail = {.to = to, .type = type, .data = sip_text_new(code, text), .free_data = sip_text_free};
    ((struct sip_text *)mail.data)->retry_after_s = retry_after_s;
    uas_mail(f->uas, &mail);
    if (mail.data)
        sip_text_free(mail.data);
}

static inline void ctl_says(struct fixture *f, uint64_t to, enum sip_mail type, unsigned code,
                            const char *text) {
    ctl_retry(f, to, type, code, text, 0);
}

// A call that is up, over f->peer: INVITE with SDP, 100, 200, ACK.
static inline uint64_t call_up(struct fixture *f, const char *headers) {
    peer_send(&f->peer, "INVITE", headers, PEER_SDP);
    peer_expect(&f->peer, "SIP/2.0 100");
    uint64_t handle = fixture_skip(f, SIP_INVITE);
    ctl_says(f, handle, SIP_ACCEPT, 0, OUR_SDP);
    peer_expect(&f->peer, "SIP/2.0 200");
    peer_ack(&f->peer, f->peer.cseq, "");
    fixture_skip(f, SIP_CONFIRMED);
    return handle;
}

static inline int fixture_setup(void **state) {
    struct fixture *f = fixture_new(&(struct fixture_options){0});
    peer_open(&f->peer, fixture_turn, f->root, PEER_UDP, AF_INET, f->port);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state) {
    struct fixture *f = *state;
    peer_close(&f->peer);
    fixture_free(f);
    return 0;
}

#endif
