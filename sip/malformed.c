// SPDX-License-Identifier: Apache-2.0
//
//   parse_request   the start line; of a datagram without an end of its headers, which gets no further, also the asking
//   parse_cseq      names the method again
//   extract_body    the headers are all there: the asking
#include "sip/malformed.h"

#include <errno.h>
#include <sofia-sip/msg_addr.h>
#include <sofia-sip/msg_buffer.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_protos.h>
#include <sofia-sip/sip_util.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DIGITS "0123456789"
#define ORDINARY "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "-._"
#define TOKEN ORDINARY "!%*+`'~"

struct malformed {
    struct msg_hclass_s request, cseq; // `request` first: a message's class names it, see of_message
    msg_mclass_t *class;
    bool (*may_answer)(msg_t *msg, void *arg);
    void *arg;
};

static struct malformed *of_message(const msg_t *msg) {
    return (struct malformed *)(uintptr_t)msg_mclass(msg)->mc_request->hr_class;
}

static bool may_answer(msg_t *msg) {
    struct malformed *malformed = of_message(msg);
    return malformed->may_answer(msg, malformed->arg);
}

// Hides a method that sofia would not read behind an unknown one; its name, or NULL when it is an ordinary one.
static char *hide_method(su_home_t *home, char *at) {
    size_t len = strspn(at, TOKEN);
    if (strspn(at, ORDINARY) == len || (at[len] && !strchr(" \t\r\n", at[len])))
        return NULL;
    char *name = su_strndup(home, at, (isize_t)len);
    if (name)
        memset(at, 'X', len);
    return name;
}

// What stands in for a line that cannot be read: its URI fails nta's check of sanity (sip_sanity_check). As an ACK it
// gets silence, and the end of its connection.
static void stand_in(sip_request_t *request, bool ack) {
    url_init(request->rq_url, url_invalid);
    request->rq_method = ack ? sip_method_ack : sip_method_unknown;
    request->rq_method_name = ack ? "ACK" : "UNREADABLE";
    request->rq_version = SIP_VERSION_CURRENT;
}

// A datagram that has no blank line.
static bool is_cut(const msg_t *msg) {
    const void *data = msg_buf_committed_data(msg);
    size_t len = msg_buf_committed(msg);
    return msg_addrinfo((msg_t *)(uintptr_t)msg)->ai_socktype == SOCK_DGRAM &&
           !memmem(data, len, "\n\r\n", 3) && !memmem(data, len, "\n\n", 2);
}

static issize_t parse_request(su_home_t *home, msg_header_t *header, char *line, isize_t len) {
    sip_request_t *request = (sip_request_t *)(void *)header;
    msg_t *msg = (msg_t *)(void *)home; // which it is when what comes is read
    bool ack = strncmp(line, "ACK", 3) == 0 && (line[3] == ' ' || line[3] == '\t');
    char *method = hide_method(home, line);
    header->sh_class = sip_request_class; // so that nobody else sees a difference
    if (sip_request_class->hc_parse(home, header, line, len) < 0)
        stand_in(request, ack);
    else if (method)
        request->rq_method_name = method;
    if (request->rq_method != sip_method_ack && is_cut(msg) && !may_answer(msg))
        stand_in(request, true);
    return 0;
}

static issize_t parse_cseq(su_home_t *home, msg_header_t *header, char *text, isize_t len) {
    size_t number = strspn(text, DIGITS);
    char *method = hide_method(home, text + number + strspn(text + number, " \t\r\n"));
    header->sh_class = sip_cseq_class;
    issize_t parsed = sip_cseq_class->hc_parse(home, header, text, len);
    if (parsed >= 0 && method)
        ((sip_cseq_t *)(void *)header)->cs_method_name = method;
    return parsed;
}

static bool is_malformed(const msg_t *msg, const sip_t *sip) {
    return sip->sip_request->rq_method != sip_method_ack &&
           ((msg_extract_errors(msg) & MALFORMED_MASK) || sip_sanity_check(sip) < 0 ||
            strcasecmp(sip->sip_request->rq_version, SIP_VERSION_CURRENT) != 0);
}

static issize_t extract_body(msg_t *msg, msg_pub_t *pub, char bytes[], isize_t size, int end) {
    sip_t *sip = sip_object(msg);
    bool is_first = sip && !(sip->sip_flags & MSG_FLG_BODY);
    if (is_first && sip->sip_request && is_malformed(msg, sip) && !may_answer(msg))
        stand_in(sip->sip_request, true);
    return sip_default_mclass()->mc_extract_body(msg, pub, bytes, size, end);
}

void malformed_free(struct malformed *malformed) {
    if (malformed)
        free(malformed->class);
    free(malformed);
}

int malformed_new(struct malformed **out, bool (*asked)(msg_t *msg, void *arg), void *arg) {
    struct malformed *made = calloc(1, sizeof *made);
    msg_mclass_t *class = msg_mclass_clone(sip_default_mclass(), 0, 0);
    if (!made || !class) {
        free(made);
        free(class);
        return -ENOMEM;
    }
    *made = (struct malformed){*sip_request_class, *sip_cseq_class, class, asked, arg};
    made->request.hc_parse = parse_request;
    made->cseq.hc_parse = parse_cseq;
    class->mc_request->hr_class = &made->request;
    class->mc_extract_body = extract_body;
    // Ours before sofia's own, which is found behind it by those who add a CSeq.
    msg_href_t *cseq = (msg_href_t *)(uintptr_t)msg_find_hclass(class, "CSeq:", NULL), own = *cseq;
    cseq->hr_class = &made->cseq;
    if (msg_mclass_insert(class, &own) < 0) {
        malformed_free(made);
        return -ENOMEM;
    }
    *out = made;
    return 0;
}

msg_mclass_t const *malformed_class(const struct malformed *malformed) {
    return malformed->class;
}
