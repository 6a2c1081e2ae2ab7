// SPDX-License-Identifier: Apache-2.0
// A Content-Type in the first line, then a body: what comes out is text that was in it.
#include "gateway/core/span.h"
#include "sip/uas_impl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span rest = span_of(data, size), line;
    char type[1024];
    if (!span_line(&rest, &line) || !span_copy(line, type, sizeof type))
        return 0;
    su_home_t home[1] = {SU_HOME_INIT(home)};
    su_home_init(home);
    sip_t sip = {.sip_content_type = sip_content_type_make(home, type),
                 .sip_payload = sip_payload_create(home, rest.ptr, (isize_t)rest.len)};
    char *sdp = NULL;
    int err = uas_sdp(&sip, &sdp);
    if (err ? sdp != NULL : !sdp || strlen(sdp) > SIP_MAX_SDP)
        abort();
    if (!err && *sdp && !memmem(rest.ptr, rest.len, sdp, strlen(sdp)))
        abort();
    free(sdp);
    su_home_deinit(home);
    return 0;
}
