// SPDX-License-Identifier: Apache-2.0
#include "gateway/ice_servers.h"

#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "gateway/core/span.h"
#include "signaling/auth.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LOOKUPS = 16 };

static bool url_scheme(struct span *s, struct ice_server_url *out) {
    static const struct {
        const char *name;
        enum ice_url_scheme scheme;
        uint16_t port;
    } schemes[] = {
        {"stun:", ICE_URL_STUN, 3478}, {"turn:", ICE_URL_TURN, 3478}, {"turns:", ICE_URL_TURNS, 5349}};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (!span_starts(*s, schemes[i].name))
            continue;
        span_skip(s, strlen(schemes[i].name));
        out->scheme = schemes[i].scheme;
        out->port = schemes[i].port;
        return true;
    }
    return false;
}

static bool url_host(struct span *s, struct span *host) {
    if (span_starts(*s, "[")) {
        span_skip(s, 1);
        return span_until(s, ']', host);
    }
    size_t len = 0;
    while (len < s->len && s->ptr[len] != ':' && s->ptr[len] != '?')
        len++;
    return span_take(s, len, host);
}

int ice_server_url_parse(const char *text, struct ice_server_url *out) {
    struct ice_server_url url = {0};
    struct span s = span_str(text), host;
    if (span_starts(s, "stuns:"))
        return -ENOTSUP;
    if (!url_scheme(&s, &url) || !url_host(&s, &host) || !host.len ||
        !span_copy(host, url.host, sizeof url.host))
        return -EINVAL;
    if (span_starts(s, ":")) {
        uint64_t port;
        span_skip(&s, 1);
        if (!span_u64(&s, UINT16_MAX, &port) || !port)
            return -EINVAL;
        url.port = (uint16_t)port;
    }
    url.tcp = span_eq(s, "?transport=tcp") || (url.scheme == ICE_URL_TURNS && !s.len);
    if (s.len && !url.tcp && !span_eq(s, "?transport=udp"))
        return -EINVAL;
    *out = url;
    return 0;
}

// ---- for browsers

static bool any_turn(const struct conf_ice_server *server) {
    for (size_t i = 0; i < server->urls.count; i++) {
        if (strncmp(server->urls.items[i], "turn", 4) == 0)
            return true;
    }
    return false;
}

// The credential for one server: its own, or a minted one; empty strings when it needs none.
static void server_credential(const struct conf *conf, const struct conf_ice_server *server,
                              int64_t expiry_unix, char username[256], char credential[256]) {
    snprintf(username, 256, "%s", server->username);
    snprintf(credential, 256, "%s", server->credential);
    if (credential[0] || !conf->webrtc.turn_secret[0] || !any_turn(server))
        return;
    snprintf(username, 256, "%lld", (long long)expiry_unix);
    if (auth_turn_credential(conf->webrtc.turn_secret, username, credential, 256) != 0)
        username[0] = credential[0] = '\0';
}

static json_t *server_json(const struct conf *conf, const struct conf_ice_server *server,
                           int64_t expiry_unix) {
    char username[256], credential[256];
    server_credential(conf, server, expiry_unix, username, credential);
    json_t *urls = json_array();
    for (size_t i = 0; i < server->urls.count; i++)
        json_array_append_new(urls, json_string(server->urls.items[i]));
    json_t *item = json_pack("{s:o}", "urls", urls);
    if (item && credential[0]) {
        json_object_set_new(item, "username", json_string(username));
        json_object_set_new(item, "credential", json_string(credential));
    }
    return item;
}

char *ice_servers_json(const struct conf *conf, int64_t now_unix, int64_t ttl_s) {
    json_t *list = json_array();
    if (!list)
        return NULL;
    for (size_t i = 0; i < conf->webrtc.ice_server_count; i++)
        json_array_append_new(list, server_json(conf, &conf->webrtc.ice_servers[i], now_unix + ttl_s));
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

// ---- for our own agents

struct lookup {
    uv_getaddrinfo_t request;
    struct ice_servers *servers; // borrowed
    struct ice_server_url url;
    char username[256], credential[256];
    bool busy;
};

struct ice_servers {
    struct media_ice ice;
    void (*on_done)(const struct media_ice *ice, bool whole, void *arg);
    void *arg;
    struct lookup lookups[MAX_LOOKUPS];
    size_t count, pending;
    bool failed; // a name did not resolve
    bool closing;
};

static void media_ice_add(struct media_ice *ice, const struct lookup *lookup, const char *address) {
    if (lookup->url.scheme == ICE_URL_STUN) {
        if (ice->stun_address[0])
            return;
        snprintf(ice->stun_address, sizeof ice->stun_address, "%s", address);
        ice->stun_port = lookup->url.port;
        return;
    }
    if (ice->turn_count == MEDIA_MAX_TURNS)
        return;
    struct peer_turn *turn = &ice->turns[ice->turn_count++];
    snprintf(turn->address, sizeof turn->address, "%s", address);
    turn->port = lookup->url.port;
    turn->transport = lookup->url.scheme == ICE_URL_TURNS ? PEER_TURN_TLS
                      : lookup->url.tcp                   ? PEER_TURN_TCP
                                                          : PEER_TURN_UDP;
    memcpy(turn->username, lookup->username, sizeof turn->username);
    memcpy(turn->credential, lookup->credential, sizeof turn->credential);
}

static void servers_maybe_done(struct ice_servers *servers) {
    if (servers->pending)
        return;
    if (servers->closing) {
        free(servers);
        return;
    }
    servers->on_done(&servers->ice, !servers->failed, servers->arg);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found) {
    struct lookup *lookup = request->data;
    struct ice_servers *servers = lookup->servers;
    char address[64] = "";
    if (status == 0 && found && uv_ip_name(found->ai_addr, address, sizeof address) == 0)
        media_ice_add(&servers->ice, lookup, address);
    else if (!servers->closing)
        log_warn(NULL, "ice", "WebRtc.IceServers: \"%s\" does not resolve (%s); calls go on without it",
                 lookup->url.host, status ? uv_strerror(status) : "no address");
    uv_freeaddrinfo(found);
    servers->failed |= !address[0];
    servers->pending--;
    servers_maybe_done(servers);
}

static void servers_add(struct ice_servers *servers, uv_loop_t *loop, const struct conf *conf,
                        const struct conf_ice_server *server, const char *text, int64_t expiry_unix) {
    struct ice_server_url url;
    int err = ice_server_url_parse(text, &url);
    if (err || servers->count == MAX_LOOKUPS) {
        log_warn(NULL, "ice", "WebRtc.IceServers: \"%s\" is not used by the gateway itself (%s)", text,
                 err ? err_name(err) : "too many");
        return;
    }
    struct lookup *lookup = &servers->lookups[servers->count++];
    lookup->servers = servers;
    lookup->url = url;
    lookup->request.data = lookup;
    server_credential(conf, server, expiry_unix, lookup->username, lookup->credential);
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_family = AF_UNSPEC};
    if (uv_getaddrinfo(loop, &lookup->request, on_resolved, url.host, NULL, &hints) == 0)
        servers->pending++;
    else
        servers->failed = true;
}

int ice_servers_resolve(struct ice_servers **out, uv_loop_t *loop, const struct conf *conf,
                        void (*on_done)(const struct media_ice *, bool, void *), void *arg) {
    // Our own allocations are refreshed by libnice under the same credential for the whole call.
    enum { OWN_CREDENTIAL_S = 30 * 24 * 3600 };
    struct ice_servers *servers = calloc(1, sizeof *servers);
    if (!servers)
        return -ENOMEM;
    servers->on_done = on_done;
    servers->arg = arg;
    uv_timeval64_t now;
    uv_gettimeofday(&now);
    for (size_t i = 0; i < conf->webrtc.ice_server_count; i++) {
        const struct conf_ice_server *server = &conf->webrtc.ice_servers[i];
        for (size_t u = 0; u < server->urls.count; u++)
            servers_add(servers, loop, conf, server, server->urls.items[u], now.tv_sec + OWN_CREDENTIAL_S);
    }
    *out = servers;
    servers_maybe_done(servers);
    return 0;
}

void ice_servers_close(struct ice_servers *servers) {
    if (!servers)
        return;
    servers->closing = true;
    for (size_t i = 0; i < servers->count; i++)
        uv_cancel((uv_req_t *)&servers->lookups[i].request);
    servers_maybe_done(servers);
}
