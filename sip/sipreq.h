// SPDX-License-Identifier: Apache-2.0
// What we need of a request, copied out of sofia's types: bounded, without control characters, well-formed
// UTF-8. Pure; any thread.
#ifndef IQ_SIP_SIPREQ_H
#define IQ_SIP_SIPREQ_H

#include "gateway/core/conf.h"
#include "gateway/core/network.h"
#include "sip/sip_msg.h"

#include <sofia-sip/sip.h>
#include <sofia-sip/su.h>

// What of a request counts for whom: made of a conf, which must outlive it.
struct sipreq_policy {
    const struct conf_strings *forwarded_headers; // at most SIP_MAX_HEADERS are taken
    const struct network *trusted;                // whose P-Asserted-Identity is believed; owned
    size_t trusted_count;
};

int sipreq_policy_init(struct sipreq_policy *policy, const struct conf *conf); // -ENOMEM
void sipreq_policy_free(struct sipreq_policy *policy);

// Where a message came from.
struct sipreq_source {
    struct in6_addr address;
    uint16_t port;
};
void sipreq_source(struct sipreq_source *out, const su_sockaddr_t *from);

// *out is to be given to sip_request_clear. -EINVAL: what identifies the call is too long or of no use (400, and
// *phrase says what); -EPROTONOSUPPORT: the URI is neither sip: nor sips: nor tel: (416); -ENOMEM. On error *out
// needs no clearing.
int sipreq_copy(struct sip_request *out, const sip_t *sip, const struct sipreq_source *source,
                const struct sipreq_policy *policy, const char **phrase);

bool sipreq_is_ours(const url_t *url); // of a scheme that we take: sip:, sips:, tel:

// A name of the request's topmost Via: "udp", "tcp", "tls"; "" for another.
const char *sipreq_transport(const sip_t *sip);

#endif
