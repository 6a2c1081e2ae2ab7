// SPDX-License-Identifier: Apache-2.0
#include "sip/listen.h"

#include "sip/tls_mend.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sofia-sip/nta.h>
#include <sofia-sip/tport_tag.h>
#include <stdio.h>
#include <string.h>

enum {
    UDP_RECEIVE_BYTES = 4 << 20,
    IDLE_CONNECTION_MS = 180000,
    PARTIAL_MESSAGE_MS = 30000,
};

int listen_url(const char *text, char *url, size_t url_size) {
    const char *address = strchr(text, ':');
    int transport_len = address ? (int)(address - text) : 0;
    if (transport_len != 3)
        return -EINVAL;
    bool tls = strncmp(text, "tls", 3) == 0;
    int n = snprintf(url, url_size, "%s:%s;transport=%.3s", tls ? "sips" : "sip", address + 1, text);
    return n > 0 && (size_t)n < url_size ? 0 : -EINVAL;
}

bool listen_has_tls(const struct conf_strings *list) {
    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->items[i], "tls:", 4) == 0)
            return true;
    }
    return false;
}

static int bind_one(nta_agent_t *agent, const char *address, const struct conf *conf,
                    const char *tls_folder) {
    char url[256];
    int code = listen_url(address, url, sizeof url);
    if (code)
        return code;
    bool tls = strncmp(url, "sips:", 5) == 0;
    unsigned verify = *conf->sip.tls_ca_file ? TPTLS_VERIFY_IN : TPTLS_VERIFY_NONE;
    tls_mend_begin();
    errno = 0;
    int added = nta_agent_add_tport(
        agent, URL_STRING_MAKE(url), TPTAG_IDENT(address), TPTAG_SERVER(1), TPTAG_UDP_RMEM(UDP_RECEIVE_BYTES),
        TPTAG_IDLE(IDLE_CONNECTION_MS), TPTAG_TIMEOUT(PARTIAL_MESSAGE_MS),
        TAG_IF(tls, TPTAG_CERTIFICATE(tls_folder)), TAG_IF(tls, TPTAG_TLS_VERIFY_POLICY(verify)), TAG_END());
    code = added == 0 ? 0 : errno ? -errno : -EIO;
    tls_mend_end();
    return code;
}

// "udp:192.0.2.1:5070" for an interface's address, "udp" and the port as in `wildcard`. False when it is none to listen
// on.
static bool interface_address(const struct ifaddrs *at, int family, const char *wildcard, char *out,
                              size_t out_size) {
    char host[INET6_ADDRSTRLEN];
    const char *port = strrchr(wildcard, ':') + 1;
    if (!at->ifa_addr || at->ifa_addr->sa_family != family || !(at->ifa_flags & IFF_UP))
        return false;
    if (family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)at->ifa_addr;
        inet_ntop(family, &v4->sin_addr, host, sizeof host);
        snprintf(out, out_size, "%.3s:%s:%s", wildcard, host, port);
        return true;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)at->ifa_addr;
    inet_ntop(family, &v6->sin6_addr, host, sizeof host);
    snprintf(out, out_size, "%.3s:[%s]:%s", wildcard, host, port);
    return !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr);
}

// An address may be on two interfaces.
static bool is_first(const struct ifaddrs *list, const struct ifaddrs *at, int family, const char *wildcard,
                     const char *text) {
    char other[128];
    for (; list != at; list = list->ifa_next) {
        if (interface_address(list, family, wildcard, other, sizeof other) && strcmp(other, text) == 0)
            return false;
    }
    return true;
}

static int bind_interfaces(nta_agent_t *agent, const char *wildcard, const struct conf *conf,
                           const char *tls_folder) {
    int family = wildcard[4] == '[' ? AF_INET6 : AF_INET;
    struct ifaddrs *list;
    char text[128];
    int code = -EADDRNOTAVAIL;
    if (getifaddrs(&list) != 0)
        return -errno;
    for (const struct ifaddrs *at = list; at; at = at->ifa_next) {
        if (!interface_address(at, family, wildcard, text, sizeof text) ||
            !is_first(list, at, family, wildcard, text))
            continue;
        code = bind_one(agent, text, conf, tls_folder);
        if (code)
            break;
    }
    freeifaddrs(list);
    return code;
}

int listen_bind(nta_agent_t *agent, const char *key, const char *address, const struct conf *conf,
                const char *tls_folder, struct err_text *err) {
    bool every = strlen(address) > 4 &&
                 (strncmp(address + 3, ":0.0.0.0:", 9) == 0 || strncmp(address + 3, ":[::]:", 6) == 0);
    int code = every ? bind_interfaces(agent, address, conf, tls_folder)
                     : bind_one(agent, address, conf, tls_folder);
    if (!code)
        return 0;
    return err_set(err, code,
                   "%s: cannot listen on %.100s (%s); is it in use, or no address of this machine?", key,
                   address, strerror(-code));
}
