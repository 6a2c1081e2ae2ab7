// SPDX-License-Identifier: Apache-2.0
// The configuration: appsettings.json (comments and trailing commas allowed) with Section__Key from the
// environment laid over it, read through one table of keys. Loaded on the main thread; a loaded conf never
// changes, so any thread may read it. A reload makes a new one.
#ifndef IQ_CORE_CONF_H
#define IQ_CORE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum conf_role { CONF_ROLE_MIDDLEWARE = 1, CONF_ROLE_PROXY = 2, CONF_ROLE_MEDIA = 4 };

// What the agent's socket carries (contract: Encoding). PCM is 16-bit little-endian.
enum conf_inband { CONF_INBAND_AUTO, CONF_INBAND_ON, CONF_INBAND_OFF };
enum conf_encoding { CONF_PCM, CONF_MULAW, CONF_ALAW, CONF_G722, CONF_OPUS };

struct conf_strings {
    char **items; // owned by the conf
    size_t count;
};

struct conf_campaign {
    char *id; // key in VoiceAiPlatform.Campaigns
    char *business_id;
    char *web_campaign_id;
    struct conf_strings allowed_region_ids;
    int64_t weight; // share of freed slots while several campaigns have waiters
};

struct conf_number {
    char *id;       // key in Businesses.*.Numbers: the X-Phone-Id of the trunk's URI
    char *number;   // E.164
    char *provider; // "SIP" is the one a trunk may call
    char *route_id, *region_id;
    char *campaign_id;                      // key in VoiceAiPlatform.Campaigns
    struct conf_strings allowed_source_ips; // addresses and CIDR; none = any
    char *override_sip_username;            // digest (RFC 3261 section 22); empty = none asked for
    char *override_sip_password;            // secret
    bool offer_sha256;                      // beside MD5 (RFC 8760)
    bool require_srtp;
};

struct conf_business {
    char *id; // key in Businesses: the X-Business-Id, a whole number
    bool active, admin;
    int64_t max_concurrent_calls; // across nodes, 0 = unlimited
    struct conf_number *numbers;
    size_t number_count;
};

struct conf_server {
    char *id;                        // key in Regions.*.Servers: the media node's Gateway.NodeId
    char *endpoint;                  // address or name that a trunk can reach
    uint32_t sip_port, sip_tls_port; // sip_tls_port 0: the same
    bool enabled, development;
};

struct conf_region {
    char *id; // key in Regions
    bool enabled;
    struct conf_strings fallback_region_ids; // asked in this order when the region has no server left
    struct conf_server *servers;
    size_t server_count;
};

struct conf_ice_server {
    struct conf_strings urls; // stun:… turn:… turns:…
    char *username;           // may be empty
    char *credential;         // secret
};

struct conf_header {
    char *name, *value; // the value is a secret
};

struct conf_ports {
    uint16_t min, max;
};

// All strings are owned by the conf and never NULL (empty when unset).
struct conf {
    char *log_level; // Logging.LogLevel.Default
    char *allowed_hosts;
    struct conf_strings allowed_origins;
    struct {
        struct conf_strings known_proxies, known_networks;
    } forwarded_headers;
    char *redis_connection_string; // secret
    struct {
        char *api_secret_token; // secret
        char *base_url;
        struct conf_campaign *campaigns;
        size_t campaign_count;
    } platform;
    struct {
        char *api_key; // secret
        char *base_url;
        bool fail_open;
    } ip_api;
    struct {
        int64_t rate_limit_hourly, rate_limit_daily, rate_limit_concurrency;
        int64_t rate_limit_lease_seconds;
        bool enable_ip_api_check, enable_ip_api_cache;
        int64_t ip_api_cache_duration_days;
        char *webhook_api_token; // secret
        bool block_vpn, block_proxy, block_datacenter, block_tor, block_abuser;
    } security;
    struct {
        char *node_id, *region_id;
        unsigned roles;    // enum conf_role, or-ed
        char *http_listen; // host:port, [v6]:port
        char *public_url, *public_address;
        char *tls_certificate, *tls_key;
        int64_t workers;                                // 0 = one per core
        int64_t max_calls;                              // 0 = found, see gateway/load_watch.h
        int64_t overload_cpu_percent, overload_late_ms; // 0 = that refuses nobody
        int64_t drain_seconds;
        char *data_directory;       // "" = chosen at start, see gateway/store.h
        char *session_token_secret; // secret; empty = random per start
        char *admin_token;          // secret
    } gateway;
    struct {
        char *url;     // fixed agent; empty = ask the platform
        char *builtin; // "" or "echo"
        char *dialect; // "iqra"
        enum conf_encoding encoding;
        uint32_t sample_rate_hz; // 8000, 16000, 24000, 48000
        uint32_t frame_ms;       // 10, 20, 40, 60
        struct conf_header *headers;
        size_t header_count;
        int64_t connect_timeout_ms;
        char *ca_file; // extra trust anchors for wss, empty = the system's (Agent.CaFile)
    } agent;
    struct {
        struct conf_ice_server *ice_servers;
        size_t ice_server_count;
        struct conf_ports udp_ports;
        char *turn_secret; // secret; mints time-limited TURN credentials (coturn's REST scheme)
    } webrtc;
    struct {
        struct conf_strings proxy_listen, media_listen; // "udp:host:port", "tcp:", "tls:"; numeric hosts
        char *tls_certificate, *tls_key, *tls_ca_file;
        struct conf_ports rtp_ports;
        struct conf_strings codecs; // PCMU, PCMA, G722, OPUS; best first
        bool accept_direct;
        enum conf_inband inband_dtmf;
        int64_t dead_call_seconds;       // no RTP and no RTCP for so long ends a call, 0 = never
        int64_t session_expires_seconds; // RFC 4028
        int64_t invites_per_second;      // of one source address, 0 = no limit
        int64_t max_connections_per_source, max_connections; // TCP and TLS, 0 = no limit
        struct conf_strings trusted_sources;   // whose P-Asserted-Identity is believed: addresses and CIDR
        struct conf_strings forwarded_headers; // "X-..." headers handed to the platform and the agent
    } sip;
    struct {
        int64_t max_length;
        int64_t web_socket_lease_seconds; // of a session whose socket is the platform's own
    } queue;
    struct {
        int64_t max_connections, max_connections_per_address;
    } hub;
    struct conf_business *businesses;
    size_t business_count;
    struct conf_region *regions;
    size_t region_count;
    _Atomic unsigned holds; // beyond the first; see conf_hold
};

struct conf_report {
    size_t errors, warnings;
    FILE *out; // where one line per finding goes; NULL for none
};

// Reads `path` and the environment `env` (NULL-terminated "Section__Key=value" list; NULL for none). Every
// finding is one line naming the key, what is wrong and the cure; unknown keys warn with the nearest known
// name. On errors returns -EINVAL after reporting all of them (-ENOENT and the like when the file cannot be
// read) and leaves *out alone.
int conf_load(struct conf **out, const char *path, char *const *env, struct conf_report *report);
// The same from memory; `name` stands for the file in messages.
int conf_parse(struct conf **out, const char *name, const char *text, size_t len, char *const *env,
               struct conf_report *report);
// Whoever goes on reading a conf that others may let go keeps a hold of it, from any thread; each hold is
// given back by conf_free, and the last one frees.
const struct conf *conf_hold(const struct conf *conf);
void conf_free(const struct conf *conf);

// The effective values as JSON with every secret shown as "***" (empty secrets as ""). -EIO when it cannot be
// written.
int conf_print(const struct conf *conf, FILE *out);

const struct conf_campaign *conf_campaign(const struct conf *conf, const char *id); // NULL when there is none
// What counts of a telephone number: "+1 (555) 010-99" and "155501099" are the same. "" when no digit is in it.
void conf_digits(const char *number, char *out, size_t out_size);
const char *conf_encoding_name(enum conf_encoding encoding); // "PCM", "MULAW", ...

// Names the keys that differ between two confs and need a restart, one line each on `out`; returns how many.
size_t conf_restart_needed(const struct conf *old_conf, const struct conf *new_conf, FILE *out);

#endif
