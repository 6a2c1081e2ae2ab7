// SPDX-License-Identifier: Apache-2.0
// Where in a message the SDP is.
#include "sip/uas_impl.h"

#include <sofia-sip/msg_mime.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_type(const msg_content_type_t *type, const char *name) {
    return type && type->c_type && strcasecmp(type->c_type, name) == 0;
}

static int copy_text(const msg_payload_t *payload, char **out) {
    if (payload->pl_len > SIP_MAX_SDP)
        return -EMSGSIZE;
    if (memchr(payload->pl_data, '\0', payload->pl_len))
        return -EINVAL;
    *out = strndup(payload->pl_data, payload->pl_len);
    return *out ? 0 : -ENOMEM;
}

// A carrier's SDP may come beside its ISUP (RFC 5621, RFC 3204).
static int find_part(const sip_t *sip, char **out) {
    if (sip->sip_payload->pl_len > 4 * SIP_MAX_SDP)
        return -EMSGSIZE;
    su_home_t home[1] = {SU_HOME_INIT(home)};
    su_home_init(home);
    int err = -EINVAL;
    const msg_multipart_t *part = msg_multipart_parse(home, sip->sip_content_type, sip->sip_payload);
    for (; part && err; part = part->mp_next) {
        err = -ENOTSUP;
        if (is_type(part->mp_content_type, UAS_SDP) && part->mp_payload) {
            err = copy_text(part->mp_payload, out);
            break;
        }
    }
    su_home_deinit(home);
    return err;
}

static bool is_encoded(const sip_t *sip) {
    const sip_content_encoding_t *encoding = sip->sip_content_encoding;
    return encoding && encoding->k_items && encoding->k_items[0] &&
           strcasecmp(encoding->k_items[0], "identity") != 0;
}

int uas_sdp(const sip_t *sip, char **out) {
    static const sip_payload_t none = {.pl_data = (char *)(uintptr_t) "", .pl_len = 0};
    const sip_payload_t *payload = sip->sip_payload;
    if (!payload || !payload->pl_len)
        return copy_text(&none, out);
    if (is_encoded(sip))
        return -ENOTSUP;
    const sip_content_type_t *type = sip->sip_content_type;
    if (type && type->c_type && strncasecmp(type->c_type, "multipart/", 10) == 0)
        return find_part(sip, out);
    if (!type || !is_type(type, UAS_SDP))
        return -ENOTSUP;
    return copy_text(payload, out);
}
