// SPDX-License-Identifier: Apache-2.0
// Authorization headers, one a line: nobody gets in without the password.
#include "gateway/core/span.h"
#include "sip/uas_impl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct uas uas;
    static const struct sip_login login = {.username = "trunk",
                                           .password = "a password that no fuzzer finds"};
    if (!uas.digest && digest_new(&uas.digest))
        abort();
    su_home_t home[1] = {SU_HOME_INIT(home)};
    su_home_init(home);
    sip_request_t request[1];
    sip_request_init(request);
    request->rq_method_name = "INVITE";
    sip_t sip = {.sip_request = request};
    sip_authorization_t **end = &sip.sip_authorization;
    struct span rest = span_of(data, size), line;
    while (span_line(&rest, &line)) {
        char text[2048];
        if (!span_copy(line, text, sizeof text))
            continue;
        *end = sip_authorization_make(home, text);
        if (*end)
            end = &(*end)->au_next;
    }
    if (uas_check_login(&uas, &sip, &login) != DIGEST_WRONG)
        abort();
    su_home_deinit(home);
    return 0;
}
