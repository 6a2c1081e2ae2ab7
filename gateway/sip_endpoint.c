// SPDX-License-Identifier: Apache-2.0
#include "gateway/sip_endpoint.h"

#include "gateway/core/err.h"
#include "gateway/core/network.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// "udp:[::]:5070" into host and port. The configuration has been checked.
static bool split(const char *text, char *host, size_t host_size, uint16_t *port) {
    const char *from = strchr(text, ':'), *to = strrchr(text, ':');
    if (!from || from == to)
        return false;
    *port = (uint16_t)strtoul(to + 1, NULL, 10);
    from++;
    if (*from == '[' && to[-1] == ']') {
        from++;
        to--;
    }
    int wrote = snprintf(host, host_size, "%.*s", (int)(to - from), from);
    return wrote > 0 && (size_t)wrote < host_size;
}

static bool is_wildcard(const char *host) {
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool to_text(const union address *address, char *out, size_t out_size) {
    const void *bytes =
        address->any.sa_family == AF_INET ? (const void *)&address->v4.sin_addr : &address->v6.sin6_addr;
    return inet_ntop(address->any.sa_family, bytes, out, (socklen_t)out_size) != NULL;
}

// The source address of the default route: connecting a UDP socket sends nothing.
static bool routed_address(int family, char *out, size_t out_size) {
    const struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0xC0000201)}; // 192.0.2.1
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    address_parse("2001:db8::1", &v6.sin6_addr);
    union address local = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t len = sizeof local;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    int rc = family == AF_INET ? connect(fd, (const struct sockaddr *)&v4, sizeof v4)
                               : connect(fd, (const struct sockaddr *)&v6, sizeof v6);
    bool good = rc == 0 && getsockname(fd, &local.any, &len) == 0;
    close(fd);
    return good && to_text(&local, out, out_size);
}

static bool is_link_local(const struct sockaddr *address) {
    return address->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

// The first address of an interface that is up, of one that is no loopback if there is any.
static bool interface_address(int family, char *out, size_t out_size) {
    struct ifaddrs *list;
    if (getifaddrs(&list) != 0)
        return false;
    const struct ifaddrs *found = NULL;
    for (const struct ifaddrs *at = list; at; at = at->ifa_next) {
        if (!at->ifa_addr || at->ifa_addr->sa_family != family || !(at->ifa_flags & IFF_UP) ||
            is_link_local(at->ifa_addr))
            continue;
        if (!found || (found->ifa_flags & IFF_LOOPBACK && !(at->ifa_flags & IFF_LOOPBACK)))
            found = at;
    }
    bool good = found && to_text((const union address *)(const void *)found->ifa_addr, out, out_size);
    freeifaddrs(list);
    return good;
}

int sip_endpoint_of(const struct conf *conf, struct sip_endpoint *out) {
    struct sip_endpoint endpoint = {.port = 0};
    int family = AF_UNSPEC;
    for (size_t i = 0; i < conf->sip.media_listen.count; i++) {
        const char *text = conf->sip.media_listen.items[i];
        char host[sizeof endpoint.address];
        uint16_t port;
        if (!split(text, host, sizeof host, &port))
            continue;
        uint16_t *kept = strncmp(text, "tls:", 4) == 0 ? &endpoint.tls_port : &endpoint.port;
        if (!*kept)
            *kept = port;
        if (family == AF_UNSPEC)
            family = strchr(host, ':') ? AF_INET6 : AF_INET;
        if (!endpoint.address[0] && !is_wildcard(host))
            memcpy(endpoint.address, host, sizeof host);
    }
    if (!endpoint.port)
        endpoint.port = endpoint.tls_port;
    if (!endpoint.port)
        return -EINVAL;
    if (conf->gateway.public_address[0])
        snprintf(endpoint.address, sizeof endpoint.address, "%s", conf->gateway.public_address);
    else if (!endpoint.address[0] && !routed_address(family, endpoint.address, sizeof endpoint.address) &&
             !interface_address(family, endpoint.address, sizeof endpoint.address))
        return -EADDRNOTAVAIL;
    *out = endpoint;
    return 0;
}
