// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/utf8.h"
#include "webrtc/datachan.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_within(struct span part, const uint8_t *data, size_t size) {
    return part.ptr >= data && part.ptr + part.len <= data + size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct dcep_open open;
    if (dcep_parse_open(span_of(data, size), &open) == 0) {
        if (!is_within(open.label, data, size) || !is_within(open.protocol, data, size) ||
            12 + open.label.len + open.protocol.len != size)
            abort();
        utf8_valid(open.label.ptr, open.label.len);
    }
    utf8_valid(data, size);
    return 0;
}
