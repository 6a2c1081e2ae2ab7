// SPDX-License-Identifier: Apache-2.0
#include "sip/dialog_info.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

static int key_of(struct span text, char *key) {
    static const char keys[] = "*#ABCD"; // events 10 to 15 of RFC 4733
    enum { STAR = 10, FLASH = 16 };
    text = span_trim(text);
    if (text.len == 1) {
        int c = toupper(text.ptr[0]);
        if (!c || !strchr("0123456789*#ABCD", c))
            return -EINVAL;
        *key = (char)c;
        return 0;
    }
    uint64_t event;
    if (!span_u64(&text, FLASH, &event) || text.len || event < STAR)
        return -EINVAL;
    *key = event == FLASH ? '\0' : keys[event - STAR];
    return 0;
}

static int relay_key(struct span body, char *key) {
    struct span line, name;
    while (span_line(&body, &line))
        if (span_until(&line, '=', &name) && span_eq_nocase(span_trim(name), "Signal"))
            return key_of(line, key);
    return -EINVAL;
}

int dialog_info_key(const char *type, struct span body, char *key) {
    if (strcasecmp(type, "application/dtmf-relay") == 0)
        return relay_key(body, key);
    if (strcasecmp(type, "application/dtmf") != 0)
        return -ENOTSUP;
    struct span line;
    return span_line(&body, &line) ? key_of(line, key) : -EINVAL;
}
