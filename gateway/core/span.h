// SPDX-License-Identifier: Apache-2.0
// A bounds-checked read cursor over bytes somebody else owns. Parsers are pure functions on it: every read
// says whether it fitted, and a failed read leaves the cursor where it was. No allocation. Network byte
// order.
#ifndef IQ_CORE_SPAN_H
#define IQ_CORE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
    const uint8_t *ptr; // borrows
    size_t len;         // bytes left
};

static inline struct span span_of(const void *ptr, size_t len) {
    return (struct span){.ptr = (const uint8_t *)ptr, .len = len};
}
struct span span_str(const char *text); // of a terminated string, without its terminator

bool span_u8(struct span *s, uint8_t *out);
bool span_be16(struct span *s, uint16_t *out);
bool span_be32(struct span *s, uint32_t *out);
bool span_take(struct span *s, size_t len, struct span *out); // the next `len` bytes
bool span_skip(struct span *s, size_t len);

// Text. span_line takes up to and without CR LF or LF (the last line needs none); span_until takes up to
// `stop`, which is consumed, or false when there is none. span_word skips blanks, then takes up to the next
// blank.
bool span_line(struct span *s, struct span *out);
bool span_until(struct span *s, char stop, struct span *out);
bool span_word(struct span *s, struct span *out);
bool span_u64(struct span *s, uint64_t max,
              uint64_t *out); // decimal digits; false beyond `max` or without a digit
bool span_eq(struct span s, const char *text);
bool span_eq_nocase(struct span s, const char *text);
bool span_starts(struct span s, const char *prefix);
struct span span_trim(struct span s); // without blanks at both ends

// Copies into a terminated string; false (and an empty string) when it does not fit.
bool span_copy(struct span s, char *out, size_t out_size);

#endif
