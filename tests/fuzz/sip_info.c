// SPDX-License-Identifier: Apache-2.0
// Keys in INFO bodies: what is taken for a key is one.
#include "sip/dialog_info.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const types[] = {"application/dtmf-relay", "application/dtmf", "text/plain"};
    char key = '?';
    if (!size)
        return 0;
    int err = dialog_info_key(types[data[0] % 3], span_of(data + 1, size - 1), &key);
    bool known = key == '\0' || strchr("0123456789*#ABCD", key);
    if (err ? key != '?' : !known)
        abort();
    return 0;
}
