// SPDX-License-Identifier: Apache-2.0
#include "gateway/call_msg.h"

#include <stdlib.h>
#include <string.h>

static bool copy_text(char **out, const char *text) {
    if (!text)
        return true;
    *out = strdup(text);
    return *out != NULL;
}

struct call_msg *call_msg_new(const char *text, const char *mid, const char *ufrag) {
    struct call_msg *msg = calloc(1, sizeof *msg);
    if (!msg)
        return NULL;
    msg->mline_index = -1;
    if (copy_text(&msg->text, text) && copy_text(&msg->mid, mid) && copy_text(&msg->ufrag, ufrag))
        return msg;
    call_msg_free(msg);
    return NULL;
}

void call_msg_free(void *data) {
    struct call_msg *msg = data;
    if (!msg)
        return;
    free(msg->text);
    free(msg->mid);
    free(msg->ufrag);
    free(msg);
}

void call_open_free(void *data) {
    struct call_open *open = data;
    if (!open)
        return;
    free(open->agent_url);
    if (open->trunk)
        free(open->trunk->sdp);
    free(open->trunk);
    free(open);
}
