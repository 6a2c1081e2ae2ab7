// SPDX-License-Identifier: Apache-2.0
// Whatever a browser sends: parsed or refused with a reason, never a crash, and every string of a parsed
// message is whole.
#include "signaling/browser.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct browser_msg msg;
    struct err_text err = {""};
    if (browser_msg_parse((const char *)data, size, &msg, &err) != 0) {
        if (!err.text[0])
            abort();
        return 0;
    }
    if (msg.type == BROWSER_OFFER && strlen(msg.sdp) != msg.sdp_len)
        abort();
    browser_msg_clear(&msg);
    return 0;
}
