// SPDX-License-Identifier: Apache-2.0
#include "sip/sipreq.h"

#include "gateway/core/err.h"
#include "gateway/core/span.h"
#include "gateway/core/utf8.h"

#include <arpa/inet.h>
#include <sofia-sip/sip_extra.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_protos.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_HEADER_VALUE = 1024 };

int sipreq_policy_init(struct sipreq_policy *policy, const struct conf *conf) {
    const struct conf_strings *sources = &conf->sip.trusted_sources;
    struct network *trusted = calloc(sources->count + 1, sizeof *trusted);
    if (!trusted)
        return -ENOMEM;
    size_t count = 0;
    for (size_t i = 0; i < sources->count; i++)
        count += network_parse(sources->items[i], &trusted[count]);
    *policy = (struct sipreq_policy){
        .forwarded_headers = &conf->sip.forwarded_headers, .trusted = trusted, .trusted_count = count};
    return 0;
}

void sipreq_policy_free(struct sipreq_policy *policy) {
    free((void *)(uintptr_t)policy->trusted);
    *policy = (struct sipreq_policy){0};
}

void sipreq_source(struct sipreq_source *out, const su_sockaddr_t *from) {
    *out = (struct sipreq_source){0};
    if (from->su_family == AF_INET6) {
        out->address = from->su_sin6.sin6_addr;
    } else {
        out->address.s6_addr[10] = out->address.s6_addr[11] = 0xff;
        memcpy(out->address.s6_addr + 12, &from->su_sin.sin_addr, 4);
    }
    out->port = ntohs(from->su_port);
}

bool sipreq_is_ours(const url_t *url) {
    return url->url_type == url_sip || url->url_type == url_sips || url->url_type == url_tel;
}

const char *sipreq_transport(const sip_t *sip) {
    const char *name = sip->sip_via ? sip_via_transport(sip->sip_via) : "";
    static const char *const known[] = {"udp", "tcp", "tls"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcasecmp(name, known[i]) == 0)
            return known[i];
    }
    return "";
}

// Control characters are left out, bytes that are no UTF-8 become '?'. False when it does not fit.
static bool clean(struct span text, char *out, size_t out_size) {
    size_t n = 0;
    bool ascii = true;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            continue;
        if (n + 1 >= out_size)
            break;
        ascii &= text.ptr[i] < 0x80;
        out[n++] = (char)text.ptr[i];
    }
    out[n] = '\0';
    for (size_t i = 0; !ascii && i < n && !utf8_valid(out, n); i++) {
        if ((unsigned char)out[i] >= 0x80)
            out[i] = '?';
    }
    return text.len < out_size;
}

// The same for what is written with %XX escapes.
static bool clean_escaped(struct span text, char *out, size_t out_size) {
    char copy[512];
    if (text.len >= sizeof copy) {
        *out = '\0';
        return false;
    }
    size_t len = url_unescape_to(copy, (const char *)text.ptr, text.len);
    return clean(span_of(copy, len), out, out_size);
}

// The value of `name` in "a=1;B=2" or "a=1&B=2": names count in any case, the first one wins.
static bool find_pair(const char *pairs, char separator, const char *name, struct span *value) {
    struct span rest = span_str(pairs ? pairs : ""), pair, key;
    while (rest.len) {
        if (!span_until(&rest, separator, &pair))
            span_take(&rest, rest.len, &pair);
        if (span_until(&pair, '=', &key) && span_eq_nocase(key, name)) {
            *value = pair;
            return true;
        }
    }
    return false;
}

static const char *unknown_header(const sip_t *sip, const char *name) {
    for (const sip_unknown_t *header = sip->sip_unknown; header; header = header->un_next) {
        if (header->un_name && header->un_value && strcasecmp(header->un_name, name) == 0)
            return header->un_value;
    }
    return NULL;
}

// A routing key: an URI parameter, an URI header, or the header line that an URI header becomes at the caller
// (RFC 3261 section 19.1.5).
static bool copy_key(const sip_t *sip, const char *name, char *out, size_t out_size) {
    const url_t *url = sip->sip_request->rq_url;
    struct span value;
    *out = '\0';
    if (find_pair(url->url_params, ';', name, &value) || find_pair(url->url_headers, '&', name, &value))
        return clean_escaped(value, out, out_size);
    const char *line = unknown_header(sip, name);
    return !line || clean(span_trim(span_str(line)), out, out_size);
}

// "+1234" of "+1234;phone-context=x": what stands before the first parameter (RFC 3966, RFC 3261 section
// 19.1.6). A tel: URI has its number where sip: has the host.
static bool copy_user(const url_t *url, char *out, size_t out_size) {
    const char *user = url->url_user;
    if (!user && url->url_type == url_tel)
        user = url->url_host;
    struct span text = span_str(user ? user : ""), number;
    return clean_escaped(span_until(&text, ';', &number) ? number : text, out, out_size);
}

static void copy_name(const char *display, char *out, size_t out_size) {
    struct span text = span_trim(span_str(display ? display : ""));
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
        text = span_of(text.ptr + 1, text.len - 2);
    clean(text, out, out_size);
}

static bool is_trusted(const struct sipreq_policy *policy, const struct in6_addr *address) {
    for (size_t i = 0; i < policy->trusted_count; i++) {
        if (network_has(&policy->trusted[i], address))
            return true;
    }
    return false;
}

// RFC 3325 section 9.1. False when there is none that helps.
static bool copy_asserted(struct sip_request *out, const sip_t *sip) {
    const char *value = unknown_header(sip, "P-Asserted-Identity");
    if (!value)
        return false;
    su_home_t home[1] = {SU_HOME_INIT(home)};
    su_home_init(home);
    const sip_p_asserted_identity_t *asserted = sip_p_asserted_identity_make(home, value);
    bool found = asserted && copy_user(asserted->paid_url, out->caller, sizeof out->caller) && *out->caller;
    if (found)
        copy_name(asserted->paid_display, out->caller_name, sizeof out->caller_name);
    su_home_deinit(home);
    return found;
}

static int copy_header(struct sip_request *out, const sip_t *sip, const char *name) {
    char text[MAX_HEADER_VALUE];
    const char *value = unknown_header(sip, name);
    if (!value)
        return 0;
    clean(span_trim(span_str(value)), text, sizeof text);
    struct sip_header header = {.name = strdup(name), .value = strdup(text)};
    if (!header.name || !header.value) {
        free(header.name);
        free(header.value);
        return -ENOMEM;
    }
    out->headers[out->header_count++] = header;
    return 0;
}

static int copy_headers(struct sip_request *out, const sip_t *sip, const struct conf_strings *names) {
    for (size_t i = 0; i < names->count && out->header_count < SIP_MAX_HEADERS; i++) {
        int err = copy_header(out, sip, names->items[i]);
        if (err) {
            sip_request_clear(out);
            return err;
        }
    }
    return 0;
}

static const char *copy_identity(struct sip_request *out, const sip_t *sip) {
    if (!clean(span_str(sip->sip_call_id->i_id), out->call_id, sizeof out->call_id))
        return "Call-ID Too Long";
    const char *tag = sip->sip_from->a_tag;
    if (!clean(span_str(tag ? tag : ""), out->from_tag, sizeof out->from_tag))
        return "From Tag Too Long";
    out->cseq = sip->sip_cseq->cs_seq;
    if (!copy_user(sip->sip_request->rq_url, out->called, sizeof out->called))
        return "Request-URI Too Long";
    if (!copy_key(sip, "X-Business-Id", out->business_id, sizeof out->business_id) ||
        !copy_key(sip, "X-Phone-Id", out->phone_id, sizeof out->phone_id) ||
        !copy_key(sip, "X-CallQueue-Id", out->queue_id, sizeof out->queue_id))
        return "Routing Key Too Long";
    return NULL;
}

int sipreq_copy(struct sip_request *out, const sip_t *sip, const struct sipreq_source *source,
                const struct sipreq_policy *policy, const char **phrase) {
    if (!sipreq_is_ours(sip->sip_request->rq_url))
        return -EPROTONOSUPPORT;
    memset(out, 0, sizeof *out);
    const char *wrong = copy_identity(out, sip);
    if (wrong) {
        *phrase = wrong;
        return -EINVAL;
    }
    if (!is_trusted(policy, &source->address) || !copy_asserted(out, sip)) {
        copy_user(sip->sip_from->a_url, out->caller, sizeof out->caller);
        copy_name(sip->sip_from->a_display, out->caller_name, sizeof out->caller_name);
    }
    address_format(&source->address, out->source, sizeof out->source);
    out->source_port = source->port;
    snprintf(out->transport, sizeof out->transport, "%s", sipreq_transport(sip));
    if (sip->sip_user_agent)
        clean(span_str(sip->sip_user_agent->g_string), out->user_agent, sizeof out->user_agent);
    return copy_headers(out, sip, policy->forwarded_headers);
}
