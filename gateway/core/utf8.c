// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/utf8.h"

#include <stdint.h>

// The bytes of the sequence that begins with `lead`, 0 when none may, and the range of its second byte:
// overlong forms, surrogates and what lies beyond U+10FFFF all show there (RFC 3629 section 4).
static size_t sequence(uint8_t lead, uint8_t *low, uint8_t *high) {
    *low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2)
        return 0;
    if (lead < 0xe0)
        return 2;
    if (lead < 0xf0)
        return 3;
    return lead < 0xf5 ? 4 : 0;
}

bool utf8_valid(const void *text, size_t len) {
    const uint8_t *at = text, *end = at + len;
    while (at < end) {
        uint8_t low, high;
        size_t size = sequence(*at, &low, &high);
        if (size == 0 || size > (size_t)(end - at))
            return false;
        if (size > 1 && (at[1] < low || at[1] > high))
            return false;
        for (size_t i = 2; i < size; i++)
            if ((at[i] & 0xc0) != 0x80)
                return false;
        at += size;
    }
    return true;
}
