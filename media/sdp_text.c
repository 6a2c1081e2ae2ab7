// SPDX-License-Identifier: Apache-2.0
// SDP beside the parser: walking a section's text, names, and writing.
#include "media/sdp.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// The next line "a=name" or "a=name:value"; `whole` is it without "a=".
static bool next_named(struct span *cursor, const char *name, struct span *whole) {
    size_t name_len = strlen(name);
    for (struct span line; span_line(cursor, &line);) {
        if (!span_starts(line, "a="))
            continue;
        span_skip(&line, 2);
        if (!span_starts(line, name) || (line.len > name_len && line.ptr[name_len] != ':'))
            continue;
        *whole = line;
        return true;
    }
    return false;
}

bool sdp_next_attribute(struct span *cursor, const char *name, struct span *value) {
    struct span whole;
    if (!next_named(cursor, name, &whole))
        return false;
    size_t name_len = strlen(name);
    span_skip(&whole, whole.len > name_len ? name_len + 1 : name_len);
    *value = whole;
    return true;
}

bool sdp_next_candidate(struct span *cursor, struct span *candidate) {
    return next_named(cursor, "candidate", candidate);
}

bool sdp_bundled(const struct sdp *sdp, const struct sdp_media *media) {
    struct span mids = sdp->bundle;
    for (struct span mid; span_word(&mids, &mid);)
        if (mid.len == media->mid.len && memcmp(mid.ptr, media->mid.ptr, mid.len) == 0)
            return true;
    return false;
}

bool sdp_fmtp_param(struct span fmtp, const char *name, struct span *value) {
    while (fmtp.len) {
        struct span pair, key;
        if (!span_until(&fmtp, ';', &pair)) {
            pair = fmtp;
            fmtp.len = 0;
        }
        if (!span_until(&pair, '=', &key) || !span_eq_nocase(span_trim(key), name))
            continue;
        *value = span_trim(pair);
        return true;
    }
    return false;
}

const char *sdp_direction_name(enum sdp_direction direction) {
    static const char *const names[] = {"inactive", "sendonly", "recvonly", "sendrecv"};
    return names[direction & SDP_SENDRECV];
}

enum sdp_direction sdp_direction_turned(enum sdp_direction direction) {
    static const enum sdp_direction turned[] = {SDP_INACTIVE, SDP_RECVONLY, SDP_SENDONLY, SDP_SENDRECV};
    return turned[direction & SDP_SENDRECV];
}

const char *sdp_setup_name(enum sdp_setup setup) {
    static const char *const names[] = {"", "actpass", "active", "passive", "holdconn"};
    return names[setup];
}

void sdp_writer_init(struct sdp_writer *writer, char *buf, size_t cap) {
    *writer = (struct sdp_writer){.buf = buf, .cap = cap, .overflow = cap == 0};
    if (cap)
        buf[0] = '\0';
}

// A line is written whole or not at all.
void sdp_printf(struct sdp_writer *writer, const char *format, ...) {
    if (writer->overflow)
        return;
    size_t room = writer->cap - writer->len;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(writer->buf + writer->len, room, format, args);
    va_end(args);
    if (len < 0 || (size_t)len + 3 > room) { // CR LF and the terminator
        writer->overflow = true;
        writer->buf[writer->len] = '\0';
        return;
    }
    memcpy(writer->buf + writer->len + len, "\r\n", 3);
    writer->len += (size_t)len + 2;
}

void sdp_write_fingerprint(struct sdp_writer *writer, const char *hash, const uint8_t *bytes, size_t len) {
    char hex[SDP_MAX_HASH * 3 + 1] = "";
    if (len > SDP_MAX_HASH) {
        writer->overflow = true;
        return;
    }
    for (size_t i = 0; i < len; i++)
        snprintf(hex + 3 * i, 4, "%02X%s", bytes[i], i + 1 < len ? ":" : "");
    sdp_printf(writer, "a=fingerprint:%s %s", hash, hex);
}

void sdp_write_refused(struct sdp_writer *writer, const struct sdp_media *media) {
    sdp_printf(writer, "m=%.*s 0 %.*s %.*s", SDP_SPAN(media->kind_name), SDP_SPAN(media->proto),
               SDP_SPAN(media->formats[0].token));
    sdp_printf(writer, "c=IN IP4 0.0.0.0");
    if (media->mid.len)
        sdp_printf(writer, "a=mid:%.*s", SDP_SPAN(media->mid));
    sdp_printf(writer, "a=inactive");
}

int sdp_writer_done(const struct sdp_writer *writer) {
    return writer->overflow ? -ENOBUFS : (int)writer->len;
}
