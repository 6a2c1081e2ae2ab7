// SPDX-License-Identifier: Apache-2.0
// Answers of the listener that need no dialog.
#include "sip/dialog_info.h"
#include "sip/uas_impl.h"

#include <stdio.h>

void uas_answer(nta_incoming_t *irq, int status, const char *phrase) {
    nta_incoming_treply(irq, status, phrase, SIPTAG_SERVER_STR(UAS_PRODUCT), TAG_END());
    nta_incoming_destroy(irq);
}

void uas_answer_later(nta_incoming_t *irq, int status, const char *phrase, unsigned retry_after_s) {
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%u", retry_after_s);
    nta_incoming_treply(irq, status, phrase, SIPTAG_SERVER_STR(UAS_PRODUCT), SIPTAG_RETRY_AFTER_STR(seconds),
                        TAG_END());
    nta_incoming_destroy(irq);
}

void uas_answer_options(nta_incoming_t *irq) {
    nta_incoming_treply(irq, SIP_200_OK, SIPTAG_SERVER_STR(UAS_PRODUCT), UAS_ABOUT_TAGS,
                        SIPTAG_ACCEPT_STR(UAS_SDP ", " DIALOG_INFO_TYPES),
                        SIPTAG_ACCEPT_ENCODING_STR("identity"), TAG_END());
    nta_incoming_destroy(irq);
}

void uas_answer_not_allowed(nta_incoming_t *irq) {
    if (nta_incoming_method(irq) == sip_method_unknown)
        nta_incoming_treply(irq, SIP_501_NOT_IMPLEMENTED, SIPTAG_SERVER_STR(UAS_PRODUCT), UAS_ABOUT_TAGS,
                            TAG_END());
    else
        nta_incoming_treply(irq, SIP_405_METHOD_NOT_ALLOWED, SIPTAG_SERVER_STR(UAS_PRODUCT), UAS_ABOUT_TAGS,
                            TAG_END());
    nta_incoming_destroy(irq);
}

void uas_answer_bad_type(nta_incoming_t *irq, const char *accept) {
    nta_incoming_treply(irq, SIP_415_UNSUPPORTED_MEDIA, SIPTAG_SERVER_STR(UAS_PRODUCT),
                        SIPTAG_ACCEPT_STR(accept), SIPTAG_ACCEPT_ENCODING_STR("identity"), TAG_END());
    nta_incoming_destroy(irq);
}

bool uas_refuse_required(nta_incoming_t *irq, const sip_t *sip) {
    su_home_t home[1] = {SU_HOME_INIT(home)};
    su_home_init(home);
    sip_supported_t *supported = sip_supported_make(home, UAS_SUPPORTED);
    bool refused = nta_check_required(irq, sip, supported, SIPTAG_SERVER_STR(UAS_PRODUCT), TAG_END()) != 0;
    su_home_deinit(home);
    if (refused)
        nta_incoming_destroy(irq);
    return refused;
}

int uas_sdp_or_answer(nta_incoming_t *irq, const sip_t *sip, char **out) {
    int err = uas_sdp(sip, out);
    if (err == -ENOTSUP)
        uas_answer_bad_type(irq, UAS_SDP);
    else if (err == -EINVAL)
        uas_answer(irq, 400, "Bad Body");
    else if (err == -EMSGSIZE)
        uas_answer(irq, SIP_413_REQUEST_TOO_LARGE);
    else if (err)
        uas_answer(irq, SIP_500_INTERNAL_SERVER_ERROR);
    return err;
}
