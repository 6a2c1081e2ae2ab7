// SPDX-License-Identifier: Apache-2.0
// Where trunks reach this node's listener, as its heartbeat announces it: Gateway.PublicAddress, else the first
// address of Sip.MediaListen that is no wildcard, else the address that the default route would use, else the first of an
// interface that is up.
#ifndef IQ_GATEWAY_SIP_ENDPOINT_H
#define IQ_GATEWAY_SIP_ENDPOINT_H

#include "gateway/core/conf.h"

struct sip_endpoint {
    char address[256];
    uint16_t port;     // of the first udp: or tcp: address
    uint16_t tls_port; // of the first tls: address, 0 = none
};

// -EINVAL: there is no listen address; -EADDRNOTAVAIL: all are wildcards and this host has no address.
int sip_endpoint_of(const struct conf *conf, struct sip_endpoint *out);

#endif
