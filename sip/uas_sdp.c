// SPDX-License-Identifier: Apache-2.0
// Where in a message the SDP is.
#include "gateway/core/span.h"
#include "sip/uas_impl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int copy_text(struct span text, char **out) {
    if (text.len > SIP_MAX_SDP)
        return -EMSGSIZE;
    if (text.len && memchr(text.ptr, '\0', text.len))
        return -EINVAL;
    *out = text.len ? strndup((const char *)text.ptr, text.len) : strdup("");
    return *out ? 0 : -ENOMEM;
}

// A multipart body (RFC 2046 section 5.1), line by line. sofia has a parser for it, too, which ends the program at a
// part with a broken header line.
struct multipart {
    struct span boundary;
    enum { BEFORE, HEADERS, BODY } place;
    bool is_sdp;          // of the part at hand
    const uint8_t *begin; // of its body
};

static bool is_boundary(const struct multipart *parts, struct span line) {
    struct span name;
    if (!span_starts(line, "--") || !span_skip(&line, 2) || !span_take(&line, parts->boundary.len, &name) ||
        memcmp(name.ptr, parts->boundary.ptr, name.len) != 0)
        return false;
    line = span_trim(line);
    return !line.len || span_eq(line, "--");
}

static bool is_sdp_type(struct span line) {
    struct span name, type, rest = line;
    if (!span_until(&rest, ':', &name) || !span_eq_nocase(span_trim(name), "Content-Type"))
        return false;
    if (!span_until(&rest, ';', &type))
        type = rest;
    return span_eq_nocase(span_trim(type), UAS_SDP);
}

// True when `found` is the body of the SDP's part.
static bool take_line(struct multipart *parts, struct span line, const uint8_t *at, const uint8_t *next,
                      struct span *found) {
    if (is_boundary(parts, line)) {
        if (parts->place == BODY && parts->is_sdp) {
            *found = span_of(parts->begin, (size_t)(at - parts->begin));
            return true;
        }
        parts->place = HEADERS;
        parts->is_sdp = false;
    } else if (parts->place == HEADERS && !line.len) {
        parts->place = BODY;
        parts->begin = next;
    } else if (parts->place == HEADERS) {
        parts->is_sdp = parts->is_sdp || is_sdp_type(line);
    }
    return false;
}

// A carrier's SDP may come beside its ISUP (RFC 5621, RFC 3204).
static int find_part(const sip_t *sip, char **out) {
    const char *parameter = msg_header_find_param(sip->sip_content_type->c_common, "boundary");
    struct multipart parts = {.boundary = span_str(parameter ? parameter : "")};
    if (parts.boundary.len >= 2 && span_starts(parts.boundary, "\""))
        parts.boundary = span_of(parts.boundary.ptr + 1, parts.boundary.len - 2);
    if (!parts.boundary.len)
        return -EINVAL;
    struct span rest = span_of(sip->sip_payload->pl_data, sip->sip_payload->pl_len), line, found;
    const uint8_t *at = rest.ptr;
    for (; span_line(&rest, &line); at = rest.ptr) {
        if (take_line(&parts, line, at, rest.ptr, &found))
            return copy_text(found, out);
    }
    return -ENOTSUP;
}

static bool is_encoded(const sip_t *sip) {
    const sip_content_encoding_t *encoding = sip->sip_content_encoding;
    return encoding && encoding->k_items && encoding->k_items[0] &&
           strcasecmp(encoding->k_items[0], "identity") != 0;
}

int uas_sdp(const sip_t *sip, char **out) {
    const sip_payload_t *payload = sip->sip_payload;
    if (!payload || !payload->pl_len)
        return copy_text(span_str(""), out);
    const char *type = sip->sip_content_type ? sip->sip_content_type->c_type : NULL;
    if (is_encoded(sip) || !type)
        return -ENOTSUP;
    if (strncasecmp(type, "multipart/", 10) == 0)
        return find_part(sip, out);
    if (strcasecmp(type, UAS_SDP) != 0)
        return -ENOTSUP;
    return copy_text(span_of(payload->pl_data, payload->pl_len), out);
}
