// SPDX-License-Identifier: Apache-2.0
//
//   candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ TYPE [raddr A] [rport P] {NAME VALUE}
#include "webrtc/ice_candidate.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {"host", "srflx", "prflx", "relay"};

// The address as 16 bytes, IPv4 mapped into IPv6; false when the text is none.
static bool address_bytes(const char *text, uint8_t out[16], bool *v4) {
    memset(out, 0, 16);
    *v4 = inet_pton(AF_INET, text, out + 12) == 1;
    if (*v4) {
        out[10] = out[11] = 0xff;
        return true;
    }
    if (inet_pton(AF_INET6, text, out) != 1)
        return false;
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    *v4 = memcmp(out, mapped, sizeof mapped) == 0;
    return true;
}

bool ice_address_private(const char *address) {
    uint8_t a[16];
    bool v4;
    if (!address_bytes(address, a, &v4))
        return false;
    if (!v4)
        return (a[0] & 0xfe) == 0xfc;
    return a[12] == 10 || (a[12] == 172 && (a[13] & 0xf0) == 16) || (a[12] == 192 && a[13] == 168) ||
           (a[12] == 100 && (a[13] & 0xc0) == 64);
}

bool ice_address_loopback(const char *address) {
    static const uint8_t one[16] = {[15] = 1};
    uint8_t a[16];
    bool v4;
    if (!address_bytes(address, a, &v4))
        return false;
    return v4 ? a[12] == 127 : memcmp(a, one, sizeof one) == 0;
}

bool ice_address_sendable(const char *address) {
    static const uint8_t zero[16];
    uint8_t a[16];
    bool v4;
    if (!address_bytes(address, a, &v4))
        return false;
    if (v4)
        return a[12] != 0 && a[12] < 224 && !(a[12] == 169 && a[13] == 254);
    return a[0] != 0xff && !(a[0] == 0xfe && (a[1] & 0xc0) == 0x80) && memcmp(a, zero, sizeof zero) != 0;
}

bool ice_address_same_family(const char *a, const char *b) {
    uint8_t bytes[16];
    bool a4, b4;
    return address_bytes(a, bytes, &a4) && address_bytes(b, bytes, &b4) && a4 == b4;
}

// ALPHA / DIGIT / "+" / "/"
static bool is_ice_text(const char *text, size_t min, size_t max) {
    size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    return !text[len] && len >= min && len <= max;
}

bool ice_credentials_valid(const char *ufrag, const char *pwd) {
    return is_ice_text(ufrag, 4, 256) && is_ice_text(pwd, 22, 256);
}

static bool word_number(struct span *line, uint64_t max, uint64_t *out) {
    struct span word;
    return span_word(line, &word) && span_u64(&word, max, out) && !word.len;
}

static bool word_text(struct span *line, char *out, size_t size) {
    struct span word;
    return span_word(line, &word) && span_copy(word, out, size);
}

// Letters, digits, dots and dashes: what a name for the resolver may hold.
static bool is_name(const char *text) {
    size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_");
    return len && !text[len] && text[0] != '.' && text[0] != '-';
}

static bool read_address(struct span *line, struct ice_candidate *out) {
    uint8_t bytes[16];
    bool v4;
    if (!word_text(line, out->address, sizeof out->address))
        return false;
    size_t len = strlen(out->address);
    if (address_bytes(out->address, bytes, &v4))
        out->address_kind = ICE_ADDRESS_NUMERIC;
    else if (!is_name(out->address))
        return false;
    else if (len > 6 && strcmp(out->address + len - 6, ".local") == 0)
        out->address_kind = ICE_ADDRESS_MDNS;
    else
        out->address_kind = ICE_ADDRESS_NAME;
    return true;
}

static bool read_transport(struct span *line, struct ice_candidate *out) {
    struct span word;
    if (!span_word(line, &word))
        return false;
    out->transport = span_eq_nocase(word, "udp")   ? ICE_UDP
                     : span_eq_nocase(word, "tcp") ? ICE_TCP
                                                   : ICE_OTHER_TRANSPORT;
    return true;
}

static bool read_type(struct span *line, struct ice_candidate *out) {
    struct span typ, word;
    if (!span_word(line, &typ) || !span_eq(typ, "typ") || !span_word(line, &word))
        return false;
    for (unsigned i = 0; i < sizeof type_names / sizeof type_names[0]; i++) {
        if (!span_eq(word, type_names[i]))
            continue;
        out->type = (enum ice_type)i;
        return true;
    }
    return false;
}

// Pairs of a name and a value; unknown names are passed over, as the RFC asks.
static bool read_extensions(struct span *line, struct ice_candidate *out) {
    struct span name, value;
    while (span_word(line, &name)) {
        if (!span_word(line, &value))
            return false;
        uint64_t port;
        if (span_eq(name, "raddr") && !span_copy(value, out->related_address, sizeof out->related_address))
            out->related_address[0] = 0;
        else if (span_eq(name, "rport") && span_u64(&value, UINT16_MAX, &port))
            out->related_port = (uint16_t)port;
        else if (span_eq(name, "ufrag") && !span_copy(value, out->ufrag, sizeof out->ufrag))
            return false;
    }
    return true;
}

int ice_candidate_parse(struct ice_candidate *out, struct span text) {
    struct ice_candidate candidate = {0};
    struct span line;
    if (!span_line(&text, &line) || text.len)
        return -EINVAL;
    // A terminator or a control character inside would end our strings early, or the line we log.
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] < ' ')
            return -EINVAL;
    }
    if (span_starts(line, "a="))
        span_skip(&line, 2);
    if (!span_starts(line, "candidate:") || !span_skip(&line, 10))
        return -EINVAL;
    uint64_t component, priority, port;
    bool good = word_text(&line, candidate.foundation, sizeof candidate.foundation) &&
                word_number(&line, 256, &component) && read_transport(&line, &candidate) &&
                word_number(&line, UINT32_MAX, &priority) && read_address(&line, &candidate) &&
                word_number(&line, UINT16_MAX, &port) && read_type(&line, &candidate) &&
                read_extensions(&line, &candidate);
    if (!good || component < 1)
        return -EINVAL;
    candidate.component = (uint32_t)component;
    candidate.priority = (uint32_t)priority;
    candidate.port = (uint16_t)port;
    *out = candidate;
    return 0;
}

int ice_candidate_write(const struct ice_candidate *c, char *out, size_t cap) {
    char related[96] = "";
    if (c->related_address[0])
        snprintf(related, sizeof related, " raddr %s rport %u", c->related_address, c->related_port);
    int len = snprintf(out, cap, "candidate:%s %u %s %u %s %u typ %s%s", c->foundation, c->component,
                       c->transport == ICE_TCP ? "tcp" : "udp", c->priority, c->address, c->port,
                       type_names[c->type], related);
    return len < 0 || (size_t)len >= cap ? -ENOSPC : len;
}
