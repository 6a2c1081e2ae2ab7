// SPDX-License-Identifier: Apache-2.0
// Digest between sofia's headers and sip/digest.
#include "sip/uas_impl.h"

#include <sofia-sip/auth_digest.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

static int64_t now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

void uas_challenge(struct uas *uas, nta_incoming_t *irq, const struct sip_login *login, bool stale) {
    static const char form[] =
        "Digest realm=\"" DIGEST_REALM "\", nonce=\"%s\", algorithm=%s, qop=\"auth\"%s";
    char nonce[DIGEST_NONCE], sha256[256], md5[256];
    if (digest_nonce(uas->digest, now_s(), nonce)) {
        uas_answer(irq, SIP_500_INTERNAL_SERVER_ERROR);
        return;
    }
    const char *old = stale ? ", stale=true" : "";
    snprintf(sha256, sizeof sha256, form, nonce, "SHA-256", old);
    snprintf(md5, sizeof md5, form, nonce, "MD5", old);
    // The better one first (RFC 8760 section 2.4). Who does not know it should go on to the next, but many do not:
    // they give up, so it has to be asked for.
    nta_incoming_treply(irq, SIP_401_UNAUTHORIZED, SIPTAG_SERVER_STR(UAS_PRODUCT),
                        TAG_IF(login->sha256, SIPTAG_WWW_AUTHENTICATE_STR(sha256)),
                        SIPTAG_WWW_AUTHENTICATE_STR(md5), TAG_END());
    nta_incoming_destroy(irq);
}

// The login for our realm among those in the request (RFC 3261 section 22.3); false without one.
static bool find_response(su_home_t *home, const sip_t *sip, struct digest_response *out) {
    const sip_authorization_t *header = sip->sip_authorization;
    for (; header; header = header->au_next) {
        auth_response_t found = {.ar_size = sizeof found};
        if (!header->au_scheme || strcasecmp(header->au_scheme, "Digest") != 0 || !header->au_params)
            continue;
        if (auth_digest_response_get(home, &found, header->au_params) < 0)
            continue;
        *out = (struct digest_response){.username = found.ar_username,
                                        .realm = found.ar_realm,
                                        .nonce = found.ar_nonce,
                                        .uri = found.ar_uri,
                                        .response = found.ar_response,
                                        .algorithm = found.ar_algorithm,
                                        .qop = found.ar_qop,
                                        .cnonce = found.ar_cnonce,
                                        .nc = found.ar_nc};
        if (out->realm && strcmp(out->realm, DIGEST_REALM) == 0)
            return true;
    }
    return false;
}

enum digest_verdict uas_check_login(struct uas *uas, const sip_t *sip, const struct sip_login *login) {
    su_home_t home[1] = {SU_HOME_INIT(home)};
    su_home_init(home);
    struct digest_response response;
    enum digest_verdict verdict = DIGEST_WRONG;
    if (find_response(home, sip, &response))
        verdict = digest_check(uas->digest, &response, sip->sip_request->rq_method_name, login->username,
                               login->password, now_s());
    su_home_deinit(home);
    return verdict;
}
