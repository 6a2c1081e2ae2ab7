// SPDX-License-Identifier: Apache-2.0
#include "sip/sip_msg.h"

#include <stdlib.h>
#include <string.h>

struct sip_text *sip_text_new(unsigned code, const char *text) {
    struct sip_text *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->code = code;
    made->text = text ? strdup(text) : NULL;
    if (text && !made->text) {
        free(made);
        return NULL;
    }
    return made;
}

void sip_text_free(void *data) {
    struct sip_text *text = data;
    if (!text)
        return;
    free(text->text);
    free(text);
}

void sip_login_free(void *login) {
    if (login)
        explicit_bzero(login, sizeof(struct sip_login));
    free(login);
}

void sip_request_clear(struct sip_request *request) {
    for (size_t i = 0; i < request->header_count; i++) {
        free(request->headers[i].name);
        free(request->headers[i].value);
    }
    request->header_count = 0;
}

void sip_route_ask_free(void *data) {
    struct sip_route_ask *ask = data;
    if (!ask)
        return;
    sip_request_clear(&ask->request);
    free(ask);
}

void sip_invite_free(void *data) {
    struct sip_invite *invite = data;
    if (!invite)
        return;
    sip_request_clear(&invite->request);
    free(invite->sdp);
    free(invite);
}
