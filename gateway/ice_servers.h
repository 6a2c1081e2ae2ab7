// SPDX-License-Identifier: Apache-2.0
// WebRtc.IceServers for both ends: the JSON array browsers are given, and the resolved STUN and TURN servers
// our own ICE agents use. ctl thread.
#ifndef IQ_GATEWAY_ICE_SERVERS_H
#define IQ_GATEWAY_ICE_SERVERS_H

#include "gateway/core/conf.h"
#include "gateway/media_worker.h"

#include <stdint.h>
#include <uv.h>

// RTCIceServer[] as JSON (malloc'ed). With WebRtc.TurnSecret, turn: and turns: servers without a credential
// of their own get one good for `ttl_s`: username = expiry, credential = base64(HMAC-SHA1(secret, username)).
// NULL when memory is out.
char *ice_servers_json(const struct conf *conf, int64_t now_unix, int64_t ttl_s);

// One parsed URL of RFC 7064 / RFC 7065: stun:host[:port], turn(s):host[:port][?transport=udp|tcp]. Pure.
enum ice_url_scheme { ICE_URL_STUN, ICE_URL_TURN, ICE_URL_TURNS };
struct ice_server_url {
    enum ice_url_scheme scheme;
    char host[256];
    uint16_t port; // default filled in
    bool tcp;
};
int ice_server_url_parse(const char *text, struct ice_server_url *out); // -EINVAL, -ENOTSUP for stuns:

// Resolves names and hands the result up, once, possibly at once. `whole`: every name did resolve.
struct ice_servers;
int ice_servers_resolve(struct ice_servers **out, uv_loop_t *loop, const struct conf *conf,
                        void (*on_done)(const struct media_ice *ice, bool whole, void *arg), void *arg);
void ice_servers_close(struct ice_servers *servers); // frees when the pending look-ups have come back

#endif
