// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/span.h"

#include <string.h>
#include <strings.h>

struct span span_str(const char *text) {
    return span_of(text, strlen(text));
}

bool span_skip(struct span *s, size_t len) {
    if (s->len < len)
        return false;
    s->ptr += len;
    s->len -= len;
    return true;
}

bool span_take(struct span *s, size_t len, struct span *out) {
    struct span taken = span_of(s->ptr, len);
    if (!span_skip(s, len))
        return false;
    *out = taken;
    return true;
}

bool span_u8(struct span *s, uint8_t *out) {
    struct span b;
    if (!span_take(s, 1, &b))
        return false;
    *out = b.ptr[0];
    return true;
}

bool span_be16(struct span *s, uint16_t *out) {
    struct span b;
    if (!span_take(s, 2, &b))
        return false;
    *out = (uint16_t)(b.ptr[0] << 8 | b.ptr[1]);
    return true;
}

bool span_be32(struct span *s, uint32_t *out) {
    struct span b;
    if (!span_take(s, 4, &b))
        return false;
    *out = (uint32_t)b.ptr[0] << 24 | (uint32_t)b.ptr[1] << 16 | (uint32_t)b.ptr[2] << 8 | b.ptr[3];
    return true;
}

bool span_until(struct span *s, char stop, struct span *out) {
    const uint8_t *at = s->len ? memchr(s->ptr, stop, s->len) : NULL;
    if (!at)
        return false;
    *out = span_of(s->ptr, (size_t)(at - s->ptr));
    return span_skip(s, out->len + 1);
}

bool span_line(struct span *s, struct span *out) {
    if (!s->len)
        return false;
    if (!span_until(s, '\n', out)) {
        *out = *s;
        span_skip(s, s->len);
    }
    if (out->len && out->ptr[out->len - 1] == '\r')
        out->len--;
    return true;
}

static bool is_blank(uint8_t c) {
    return c == ' ' || c == '\t';
}

struct span span_trim(struct span s) {
    while (s.len && is_blank(s.ptr[0]))
        span_skip(&s, 1);
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool span_word(struct span *s, struct span *out) {
    struct span rest = *s;
    while (rest.len && is_blank(rest.ptr[0]))
        span_skip(&rest, 1);
    size_t len = 0;
    while (len < rest.len && !is_blank(rest.ptr[len]))
        len++;
    if (!len)
        return false;
    span_take(&rest, len, out);
    *s = rest;
    return true;
}

bool span_u64(struct span *s, uint64_t max, uint64_t *out) {
    uint64_t value = 0;
    size_t digits = 0;
    while (digits < s->len && s->ptr[digits] >= '0' && s->ptr[digits] <= '9') {
        uint64_t digit = (uint64_t)(s->ptr[digits] - '0');
        if (value > max / 10 || value * 10 > max - digit)
            return false;
        value = value * 10 + digit;
        digits++;
    }
    if (!digits)
        return false;
    *out = value;
    return span_skip(s, digits);
}

bool span_eq(struct span s, const char *text) {
    return s.len == strlen(text) && (!s.len || memcmp(s.ptr, text, s.len) == 0);
}

bool span_eq_nocase(struct span s, const char *text) {
    return s.len == strlen(text) && (!s.len || strncasecmp((const char *)s.ptr, text, s.len) == 0);
}

bool span_starts(struct span s, const char *prefix) {
    size_t len = strlen(prefix);
    return s.len >= len && (!len || memcmp(s.ptr, prefix, len) == 0);
}

bool span_copy(struct span s, char *out, size_t out_size) {
    if (!out_size)
        return false;
    bool fits = s.len < out_size;
    size_t len = fits ? s.len : 0;
    if (len)
        memcpy(out, s.ptr, len);
    out[len] = '\0';
    return fits;
}
