// SPDX-License-Identifier: Apache-2.0
// Lines of SDP. What an a= line means is in sdp_attr.c.
#include "media/sdp.h"

#include "media/sdp_attr.h"

#include <string.h>

static const struct {
    const char *name;
    enum sdp_kind kind;
} kinds[] = {{"audio", SDP_AUDIO}, {"video", SDP_VIDEO}, {"application", SDP_APPLICATION}};

static const struct {
    const char *name;
    enum sdp_profile profile;
} profiles[] = {
    {"RTP/AVP", SDP_RTP_AVP},
    {"RTP/AVPF", SDP_RTP_AVPF},
    {"RTP/SAVP", SDP_RTP_SAVP},
    {"RTP/SAVPF", SDP_RTP_SAVPF},
    {"UDP/TLS/RTP/SAVP", SDP_DTLS_RTP_SAVP},
    {"TCP/TLS/RTP/SAVP", SDP_DTLS_RTP_SAVP},
    {"UDP/TLS/RTP/SAVPF", SDP_DTLS_RTP_SAVPF},
    {"TCP/TLS/RTP/SAVPF", SDP_DTLS_RTP_SAVPF},
    {"UDP/DTLS/SCTP", SDP_DTLS_SCTP},
    {"TCP/DTLS/SCTP", SDP_DTLS_SCTP},
    {"DTLS/SCTP", SDP_DTLS_SCTP},
};

// RFC 3551 section 6: these need no rtpmap.
static const struct {
    int payload_type;
    const char *encoding;
    uint32_t clock_hz;
} static_types[] = {{0, "PCMU", 8000}, {3, "GSM", 8000}, {8, "PCMA", 8000},
                    {9, "G722", 8000}, {13, "CN", 8000}, {18, "G729", 8000}};

enum {
    COUNT_OF_KINDS = sizeof kinds / sizeof kinds[0],
    COUNT_OF_PROFILES = sizeof profiles / sizeof profiles[0]
};
enum { COUNT_OF_STATIC = sizeof static_types / sizeof static_types[0] };

struct reader {
    struct sdp *sdp;
    struct sdp_media *media; // the section we are in, NULL for the session's own
    unsigned line;           // from 1
    bool begun;              // v=0 was there
    const char *problem;     // of this line; static
};

// Every line handler returns 0 or a negative errno, and then has said what is wrong.
static int refuse(struct reader *r, const char *problem) {
    r->problem = problem;
    return -EBADMSG;
}

static bool is_ip6(struct span word) {
    return span_eq_nocase(word, "IP6");
}

static int read_origin(struct reader *r, struct span value) {
    struct sdp_origin *o = &r->sdp->origin;
    struct span net, family;
    if (r->media || !span_word(&value, &o->username) || !span_word(&value, &o->session_id) ||
        !span_word(&value, &o->version) || !span_word(&value, &net) || !span_word(&value, &family) ||
        !span_word(&value, &o->address))
        return refuse(r, "o= wants: name session version IN IP4|IP6 address");
    o->ip6 = is_ip6(family);
    return 0;
}

static int read_connection(struct reader *r, struct span value) {
    struct sdp_connection *c = r->media ? &r->media->connection : &r->sdp->connection;
    struct span net, family, address;
    if (!span_word(&value, &net) || !span_word(&value, &family) || !span_word(&value, &address))
        return refuse(r, "c= wants: IN IP4|IP6 address");
    struct span rest = address;
    span_until(&rest, '/', &address); // a multicast address's time to live
    if (!c->address.len)              // of several, the first is tried
        *c = (struct sdp_connection){.address = address, .ip6 = is_ip6(family)};
    return 0;
}

static void fill_static_type(struct sdp_format *format) {
    for (size_t i = 0; i < COUNT_OF_STATIC; i++) {
        if (static_types[i].payload_type != format->payload_type)
            continue;
        format->encoding = span_str(static_types[i].encoding);
        format->clock_hz = static_types[i].clock_hz;
        format->channels = 1;
    }
}

// -1 for what is none.
static int payload_type_of(const struct sdp_media *media, struct span token) {
    uint64_t payload_type;
    bool number = (media->profile & SDP_PROFILES_RTP) && span_u64(&token, 127, &payload_type) && !token.len;
    return number ? (int)payload_type : -1;
}

// A payload type named twice is one.
static void add_format(struct sdp_media *media, struct span token) {
    int payload_type = payload_type_of(media, token);
    for (size_t i = 0; i < media->format_count && payload_type >= 0; i++)
        if (media->formats[i].payload_type == payload_type)
            return;
    if (media->format_count == SDP_MAX_FORMATS)
        return;
    struct sdp_format *format = &media->formats[media->format_count++];
    format->token = token;
    format->payload_type = payload_type;
    fill_static_type(format);
}

static void name_media(struct sdp_media *media) {
    for (size_t i = 0; i < COUNT_OF_KINDS; i++)
        if (span_eq_nocase(media->kind_name, kinds[i].name))
            media->kind = kinds[i].kind;
    for (size_t i = 0; i < COUNT_OF_PROFILES; i++)
        if (span_eq_nocase(media->proto, profiles[i].name))
            media->profile = profiles[i].profile;
}

static int read_media(struct reader *r, struct span value) {
    if (r->sdp->media_count == SDP_MAX_MEDIA) {
        r->problem = "too many m-lines, at most 16 are taken";
        return -E2BIG;
    }
    struct sdp_media *media = &r->sdp->media[r->sdp->media_count];
    struct span port_word;
    uint64_t port;
    if (!span_word(&value, &media->kind_name) || !span_word(&value, &port_word) ||
        !span_u64(&port_word, UINT16_MAX, &port) || (port_word.len && port_word.ptr[0] != '/') ||
        !span_word(&value, &media->proto))
        return refuse(r, "m= wants: kind port protocol formats");
    name_media(media);
    media->port = (uint16_t)port;
    media->line = r->line;
    for (struct span token; span_word(&value, &token);)
        add_format(media, token);
    if (!media->format_count)
        return refuse(r, "m= names no format");
    r->media = media;
    r->sdp->media_count++;
    return 0;
}

static int read_line(struct reader *r, struct span line) {
    if (memchr(line.ptr, '\0', line.len))
        return refuse(r, "a zero byte");
    if (memchr(line.ptr, '\r', line.len)) // what we write back must not begin a line of its own there
        return refuse(r, "a carriage return within the line");
    if (line.len < 2 || line.ptr[1] != '=' || line.ptr[0] < 'a' || line.ptr[0] > 'z')
        return refuse(r, "not of the form x=value");
    struct span value = span_of(line.ptr + 2, line.len - 2);
    if (!r->begun && !span_eq(span_trim(line), "v=0"))
        return refuse(r, "the first line must be v=0");
    r->begun = true;
    switch (line.ptr[0]) {
    case 'o':
        return read_origin(r, value);
    case 'c':
        return read_connection(r, value);
    case 'm':
        return read_media(r, value);
    case 'a':
        return sdp_attr_read(r->sdp, r->media, value, &r->problem);
    default:
        return 0;
    }
}

static int read_lines(struct reader *r, struct span text) {
    for (struct span line; text.len;) {
        const uint8_t *start = text.ptr;
        span_line(&text, &line);
        r->line++;
        if (line.len > SDP_MAX_LINE) {
            r->problem = "the line is longer than 8192 bytes";
            return -EMSGSIZE;
        }
        if (!line.len) // some end with an empty line
            continue;
        int rc = read_line(r, line);
        if (rc < 0)
            return rc;
        struct span *section = r->media ? &r->media->text : &r->sdp->text;
        if (!section->ptr)
            section->ptr = start;
        section->len = (size_t)(text.ptr - section->ptr);
    }
    return 0;
}

int sdp_read(struct sdp *out, struct span text, struct err_text *err) {
    memset(out, 0, sizeof *out);
    if (text.len > SDP_MAX_TEXT)
        return err_set(err, -EMSGSIZE, "SDP of %zu bytes is longer than %d", text.len, SDP_MAX_TEXT);
    out->direction = SDP_SENDRECV;
    struct reader r = {.sdp = out};
    int rc = read_lines(&r, text);
    if (rc < 0)
        return err_set(err, rc, "SDP line %u: %s", r.line, r.problem);
    if (!r.begun)
        return err_set(err, -EBADMSG, "SDP line 1: there is no SDP");
    sdp_attr_inherit(out);
    return 0;
}
