// SPDX-License-Identifier: Apache-2.0
// Candidate lines from the browser: what is accepted must come out of our writer as it went in.
#include "webrtc/ice_candidate.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct ice_candidate candidate, again;
    if (ice_candidate_parse(&candidate, span_of(data, size)) != 0)
        return 0;
    char text[ICE_CANDIDATE_TEXT];
    if (candidate.transport == ICE_OTHER_TRANSPORT)
        return 0;
    int len = ice_candidate_write(&candidate, text, sizeof text);
    if (len < 0)
        return 0;
    if (ice_candidate_parse(&again, span_of(text, (size_t)len)) != 0)
        abort();
    bool same = again.priority == candidate.priority && again.port == candidate.port &&
                again.type == candidate.type && strcmp(again.address, candidate.address) == 0;
    if (!same)
        abort();
    return 0;
}
