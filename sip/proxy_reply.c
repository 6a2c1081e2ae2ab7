// SPDX-License-Identifier: Apache-2.0
#include "sip/proxy_reply.h"

#include "gateway/core/err.h"

#include <sofia-sip/su_alloc.h>
#include <sofia-sip/url.h>
#include <stdio.h>
#include <string.h>

// What must be written as %XX in the user part and in parameters, beyond what sofia escapes anyway.
#define ESCAPED ";:@/?=&,<>\"#"

const char *proxy_retry_after(char *out, size_t out_size, unsigned seconds) {
    *out = '\0';
    if (seconds)
        snprintf(out, out_size, "Retry-After: %u", seconds);
    return out;
}

static void escape(char *out, size_t out_size, const char *text) {
    *out = '\0';
    if (url_esclen(text, ESCAPED) < (isize_t)out_size)
        url_escape(out, text, ESCAPED);
}

// What the Contacts have in common.
struct common {
    char user[3 * SIP_TEXT_ID], id[3 * SIP_TEXT_ID];
    const char *transport;
};

static size_t contact(char *out, size_t out_size, const struct sip_backend *backend,
                      const struct common *common, size_t index) {
    static const char *const weights[SIP_MAX_BACKENDS] = {"1.0", "0.9", "0.8"};
    bool v6 = strchr(backend->endpoint, ':') && backend->endpoint[0] != '[';
    bool tls = strcmp(common->transport, "tls") == 0 && backend->tls_port;
    int n = snprintf(out, out_size, "%s<sip:%s@%s%s%s:%u;X-CallQueue-Id=%s%s%s>;q=%s", index ? ", " : "",
                     common->user, v6 ? "[" : "", backend->endpoint, v6 ? "]" : "",
                     tls ? backend->tls_port : backend->port, common->id,
                     *common->transport ? ";transport=" : "", common->transport, weights[index]);
    return n < 0 ? out_size : (size_t)n;
}

int proxy_contacts(char *out, size_t out_size, const struct sip_verdict *verdict, const char *number,
                   const char *transport) {
    struct common common = {.transport = transport};
    if (!verdict->backend_count)
        return -EINVAL;
    escape(common.user, sizeof common.user, number);
    escape(common.id, sizeof common.id, verdict->queue_id);
    size_t used = (size_t)snprintf(out, out_size, "Contact: ");
    for (size_t i = 0; i < verdict->backend_count && i < SIP_MAX_BACKENDS; i++) {
        used += contact(out + used, out_size - used, &verdict->backends[i], &common, i);
        if (used >= out_size)
            return -ENOSPC;
    }
    return 0;
}
