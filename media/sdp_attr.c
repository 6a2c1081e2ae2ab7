// SPDX-License-Identifier: Apache-2.0
#include "media/sdp_attr.h"

#include <string.h>

// Where a line belongs; transport is the media's or, before the first m-line, the session's.
struct place {
    struct sdp *sdp;
    struct sdp_media *media; // NULL at session level
    struct sdp_transport *transport;
};

static bool number(struct span value, uint64_t max, uint64_t *out) {
    return span_u64(&value, max, out);
}

static struct sdp_format *format_of(struct sdp_media *media, struct span *value) {
    struct span word;
    uint64_t payload_type;
    if (!media || !span_word(value, &word) || !number(word, 127, &payload_type))
        return NULL;
    for (size_t i = 0; i < media->format_count; i++)
        if (media->formats[i].payload_type == (int)payload_type)
            return &media->formats[i];
    return NULL; // of no payload type in the m-line: harmless, and seen in the wild
}

static const char *read_rtpmap(const struct place *at, struct span value) {
    struct sdp_format *format = format_of(at->media, &value);
    if (!format)
        return NULL;
    struct span name, clock;
    uint64_t clock_hz, channels = 1;
    value = span_trim(value);
    if (!span_until(&value, '/', &name) || !name.len)
        return "a=rtpmap wants: type name/clock";
    clock = value;
    if (!span_u64(&clock, UINT32_MAX, &clock_hz) || !clock_hz)
        return "a=rtpmap without a clock rate";
    if (clock.len > 1 && clock.ptr[0] == '/') {
        span_skip(&clock, 1);
        if (!span_u64(&clock, 255, &channels))
            channels = 1; // RFC 4855: other parameters may stand here
    }
    format->encoding = name;
    format->clock_hz = (uint32_t)clock_hz;
    format->channels = (uint32_t)channels;
    return NULL;
}

static const char *read_fmtp(const struct place *at, struct span value) {
    struct sdp_format *format = format_of(at->media, &value);
    if (format)
        format->fmtp = span_trim(value);
    return NULL;
}

static int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_bytes(struct span text, uint8_t *out, size_t cap, size_t *len) {
    size_t count = 0;
    while (text.len >= 2 && count < cap) {
        int high = hex_digit(text.ptr[0]), low = hex_digit(text.ptr[1]);
        if (high < 0 || low < 0)
            return false;
        out[count++] = (uint8_t)(high << 4 | low);
        span_skip(&text, 2);
        if (text.len && text.ptr[0] != ':')
            return false;
        if (text.len < 3) // another byte must follow a colon
            break;
        span_skip(&text, 1);
    }
    *len = count;
    return count && !text.len;
}

static const char *read_fingerprint(const struct place *at, struct span value) {
    struct sdp_transport *t = at->transport;
    if (t->fingerprint_count == SDP_MAX_FINGERPRINTS)
        return NULL;
    struct sdp_fingerprint *print = &t->fingerprints[t->fingerprint_count];
    struct span bytes;
    if (!span_word(&value, &print->hash) || !span_word(&value, &bytes) ||
        !hex_bytes(bytes, print->bytes, sizeof print->bytes, &print->len))
        return "a=fingerprint wants: hash XX:XX:...";
    t->fingerprint_count++;
    return NULL;
}

static const char *read_setup(const struct place *at, struct span value) {
    value = span_trim(value);
    for (enum sdp_setup setup = SDP_SETUP_ACTPASS; setup <= SDP_SETUP_HOLDCONN; setup++)
        if (span_eq_nocase(value, sdp_setup_name(setup))) {
            at->transport->setup = setup;
            return NULL;
        }
    return "a=setup wants actpass, active, passive or holdconn";
}

static const char *read_ice_ufrag(const struct place *at, struct span value) {
    at->transport->ice_ufrag = span_trim(value);
    return at->transport->ice_ufrag.len ? NULL : "a=ice-ufrag is empty";
}

static const char *read_ice_pwd(const struct place *at, struct span value) {
    at->transport->ice_pwd = span_trim(value);
    return at->transport->ice_pwd.len ? NULL : "a=ice-pwd is empty";
}

static const char *read_ice_options(const struct place *at, struct span value) {
    at->transport->ice_options = span_trim(value);
    return NULL;
}

static const char *read_ice_lite(const struct place *at, struct span value) {
    (void)value;
    at->sdp->ice_lite = true;
    return NULL;
}

static const char *read_end_of_candidates(const struct place *at, struct span value) {
    (void)value;
    *(at->media ? &at->media->end_of_candidates : &at->sdp->end_of_candidates) = true;
    return NULL;
}

static const char *read_group(const struct place *at, struct span value) {
    struct span semantics;
    if (span_word(&value, &semantics) && span_eq_nocase(semantics, "BUNDLE") && !at->sdp->bundle.len)
        at->sdp->bundle = span_trim(value);
    return NULL;
}

static void set_direction(const struct place *at, enum sdp_direction direction) {
    *(at->media ? &at->media->direction : &at->sdp->direction) = direction;
}

static const char *read_sendrecv(const struct place *at, struct span value) {
    (void)value;
    set_direction(at, SDP_SENDRECV);
    return NULL;
}

static const char *read_sendonly(const struct place *at, struct span value) {
    (void)value;
    set_direction(at, SDP_SENDONLY);
    return NULL;
}

static const char *read_recvonly(const struct place *at, struct span value) {
    (void)value;
    set_direction(at, SDP_RECVONLY);
    return NULL;
}

static const char *read_inactive(const struct place *at, struct span value) {
    (void)value;
    set_direction(at, SDP_INACTIVE);
    return NULL;
}

// From here on `media` is never NULL: the table says so.

static const char *read_mid(const struct place *at, struct span value) {
    at->media->mid = span_trim(value);
    return NULL;
}

static const char *read_msid(const struct place *at, struct span value) {
    if (!at->media->msid.len)
        at->media->msid = span_trim(value);
    return NULL;
}

static const char *read_ptime(const struct place *at, struct span value) {
    uint64_t ms;
    if (number(value, 10000, &ms))
        at->media->ptime_ms = (uint32_t)ms;
    return NULL;
}

static const char *read_maxptime(const struct place *at, struct span value) {
    uint64_t ms;
    if (number(value, 10000, &ms))
        at->media->maxptime_ms = (uint32_t)ms;
    return NULL;
}

static const char *read_rtcp(const struct place *at, struct span value) {
    uint64_t port;
    if (number(value, UINT16_MAX, &port))
        at->media->rtcp_port = (uint16_t)port;
    return NULL;
}

static const char *read_rtcp_mux(const struct place *at, struct span value) {
    (void)value;
    at->media->rtcp_mux = true;
    return NULL;
}

static const char *read_rtcp_mux_only(const struct place *at, struct span value) {
    (void)value;
    at->media->rtcp_mux = at->media->rtcp_mux_only = true;
    return NULL;
}

static const char *read_rtcp_rsize(const struct place *at, struct span value) {
    (void)value;
    at->media->rtcp_rsize = true;
    return NULL;
}

static const char *read_bundle_only(const struct place *at, struct span value) {
    (void)value;
    at->media->bundle_only = true;
    return NULL;
}

static const char *read_ssrc(const struct place *at, struct span value) {
    struct sdp_media *media = at->media;
    uint64_t ssrc;
    if (!span_u64(&value, UINT32_MAX, &ssrc))
        return NULL;
    if (!media->has_ssrc) {
        media->has_ssrc = true;
        media->ssrc = (uint32_t)ssrc;
    }
    value = span_trim(value);
    if (!media->cname.len && span_starts(value, "cname:")) {
        span_skip(&value, strlen("cname:"));
        media->cname = value;
    }
    return NULL;
}

static const char *read_sctp_port(const struct place *at, struct span value) {
    uint64_t port;
    if (!number(value, UINT16_MAX, &port) || !port)
        return "a=sctp-port and a=sctpmap want a port";
    at->media->sctp_port = (uint16_t)port;
    return NULL;
}

static const char *read_max_message_size(const struct place *at, struct span value) {
    at->media->has_max_message_size = number(value, UINT64_MAX, &at->media->max_message_size);
    return NULL;
}

static const struct {
    const char *name;
    const char *(*read)(const struct place *at, struct span value); // NULL, or what is wrong
    bool media_only;                                                // of no meaning at session level
} attributes[] = {
    {"rtpmap", read_rtpmap, true},
    {"fmtp", read_fmtp, true},
    {"fingerprint", read_fingerprint, false},
    {"setup", read_setup, false},
    {"ice-ufrag", read_ice_ufrag, false},
    {"ice-pwd", read_ice_pwd, false},
    {"ice-options", read_ice_options, false},
    {"ice-lite", read_ice_lite, false},
    {"end-of-candidates", read_end_of_candidates, false},
    {"group", read_group, false},
    {"sendrecv", read_sendrecv, false},
    {"sendonly", read_sendonly, false},
    {"recvonly", read_recvonly, false},
    {"inactive", read_inactive, false},
    {"mid", read_mid, true},
    {"msid", read_msid, true},
    {"ptime", read_ptime, true},
    {"maxptime", read_maxptime, true},
    {"rtcp", read_rtcp, true},
    {"rtcp-mux", read_rtcp_mux, true},
    {"rtcp-mux-only", read_rtcp_mux_only, true},
    {"rtcp-rsize", read_rtcp_rsize, true},
    {"bundle-only", read_bundle_only, true},
    {"ssrc", read_ssrc, true},
    {"sctp-port", read_sctp_port, true},
    {"sctpmap", read_sctp_port,
     true}, // "a=sctpmap:5000 webrtc-datachannel 1024": begins with the port as well
    {"max-message-size", read_max_message_size, true},
};

int sdp_attr_read(struct sdp *sdp, struct sdp_media *media, struct span value, const char **problem) {
    struct place at = {sdp, media, media ? &media->transport : &sdp->transport};
    struct span name;
    if (!span_until(&value, ':', &name)) {
        name = value;
        value.len = 0;
    }
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        if (!span_eq(name, attributes[i].name) || (attributes[i].media_only && !media))
            continue;
        *problem = attributes[i].read(&at, value);
        return *problem ? -EBADMSG : 0;
    }
    return 0;
}

static void inherit_transport(struct sdp_transport *media, const struct sdp_transport *session) {
    if (!media->ice_ufrag.len)
        media->ice_ufrag = session->ice_ufrag;
    if (!media->ice_pwd.len)
        media->ice_pwd = session->ice_pwd;
    if (!media->ice_options.len)
        media->ice_options = session->ice_options;
    if (media->setup == SDP_SETUP_NONE)
        media->setup = session->setup;
    if (media->fingerprint_count)
        return;
    memcpy(media->fingerprints, session->fingerprints, sizeof media->fingerprints);
    media->fingerprint_count = session->fingerprint_count;
}

static bool says_direction(const struct sdp_media *media) {
    static const char *const names[] = {"sendrecv", "sendonly", "recvonly", "inactive"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct span cursor = media->text, value;
        if (sdp_next_attribute(&cursor, names[i], &value))
            return true;
    }
    return false;
}

void sdp_attr_inherit(struct sdp *sdp) {
    for (size_t i = 0; i < sdp->media_count; i++) {
        struct sdp_media *media = &sdp->media[i];
        inherit_transport(&media->transport, &sdp->transport);
        if (!media->connection.address.len)
            media->connection = sdp->connection;
        if (!says_direction(media))
            media->direction = sdp->direction;
        media->end_of_candidates |= sdp->end_of_candidates;
    }
}
