// SPDX-License-Identifier: Apache-2.0
// What the table cannot say: forms of addresses, and what must hold between two keys.
#include "gateway/core/conf_impl.h"

#include "gateway/core/log.h"
#include "gateway/core/redis_string.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const web_schemes[] = {"http", "https", NULL};
static const char *const socket_schemes[] = {"ws", "wss", NULL};
static const char *const public_schemes[] = {"ws", "wss", "http", "https", NULL};

static void check_logging(struct conf_reader *reader, struct conf *conf) {
    enum log_level level;
    if (log_level_parse(conf->log_level, &level) != 0 && strcasecmp(conf->log_level, "None") != 0)
        conf_error(reader, "Logging.LogLevel.Default",
                   "found \"%.32s\", expected one of Trace, Debug, Information, Warning, Error, Critical",
                   conf->log_level);
}

static void check_origins(struct conf_reader *reader, const struct conf *conf) {
    for (size_t i = 0; i < conf->allowed_origins.count; i++) {
        const char *origin = conf->allowed_origins.items[i];
        char path[CONF_PATH_MAX];
        snprintf(path, sizeof path, "AllowedOrigins.%zu", i);
        if (strcmp(origin, "*") == 0)
            conf_warn(reader, path, "\"*\" matches nothing: origins are compared exactly; list each one");
        else if (!conf_is_url(origin, web_schemes))
            conf_error(reader, path, "found \"%.64s\", expected an origin, as \"https://www.example.com\"",
                       origin);
        else if (strchr(strstr(origin, "://") + 3, '/'))
            conf_warn(reader, path,
                      "\"%.64s\" never matches: browsers send no path; remove it from the last /", origin);
    }
}

static void check_proxies(struct conf_reader *reader, const struct conf *conf) {
    char path[CONF_PATH_MAX];
    for (size_t i = 0; i < conf->forwarded_headers.known_proxies.count; i++) {
        const char *text = conf->forwarded_headers.known_proxies.items[i];
        snprintf(path, sizeof path, "ForwardedHeaders.KnownProxies.%zu", i);
        if (!conf_is_address(text))
            conf_error(reader, path, "found \"%.64s\", expected a numeric address, as \"10.0.0.7\"", text);
    }
    for (size_t i = 0; i < conf->forwarded_headers.known_networks.count; i++) {
        const char *text = conf->forwarded_headers.known_networks.items[i];
        snprintf(path, sizeof path, "ForwardedHeaders.KnownNetworks.%zu", i);
        if (!conf_is_network(text))
            conf_error(reader, path, "found \"%.64s\", expected a network, as \"10.0.0.0/8\"", text);
    }
}

static void on_redis_warning(const char *text, void *arg) {
    conf_warn(arg, "RedisConnectionString", "%s", text);
}

static void check_redis(struct conf_reader *reader, const struct conf *conf) {
    struct redis_string target;
    struct err_text err = {""};
    if (!*conf->redis_connection_string)
        return;
    if (redis_string_parse(conf->redis_connection_string, &target, on_redis_warning, reader, &err) != 0)
        conf_error(reader, "RedisConnectionString", "%s", err.text);
    explicit_bzero(&target, sizeof target);
}

static void check_campaign(struct conf_reader *reader, const struct conf_campaign *campaign,
                           bool ask_platform) {
    char path[CONF_PATH_MAX], key[CONF_PATH_MAX];
    conf_join(path, "VoiceAiPlatform.Campaigns", campaign->id);
    conf_join(key, path, "BusinessId");
    if (!*campaign->business_id && ask_platform)
        conf_error(reader, key, "is missing; set the platform's business id");
    else if (*campaign->business_id && !conf_is_word(campaign->business_id, "-_"))
        conf_error(reader, key, "found \"%.64s\", expected letters, digits, - and _", campaign->business_id);
    conf_join(key, path, "WebCampaignId");
    if (!*campaign->web_campaign_id && ask_platform)
        conf_error(reader, key, "is missing; set the platform's web campaign id");
    conf_join(key, path, "AllowedRegionIds");
    if (!campaign->allowed_region_ids.count)
        conf_warn(reader, key, "is empty: every request of this campaign will be refused; list a region");
}

static void check_platform(struct conf_reader *reader, const struct conf *conf) {
    bool middleware = conf->gateway.roles & CONF_ROLE_MIDDLEWARE;
    bool telephones = conf->gateway.roles & CONF_ROLE_MEDIA && conf->business_count;
    bool ask = (middleware || telephones) && !*conf->agent.url && !*conf->agent.builtin;
    static const char cure[] = "or set Agent.Url or Agent.Builtin for a fixed agent";
    if (*conf->platform.base_url && !conf_is_url(conf->platform.base_url, web_schemes))
        conf_error(reader, "VoiceAiPlatform.BaseUrl", "found \"%.64s\", expected \"https://host/path/\"",
                   conf->platform.base_url);
    if (ask && !*conf->platform.base_url)
        conf_error(reader, "VoiceAiPlatform.BaseUrl",
                   "is missing; set it, as \"https://app.iqra.bot/api/v1/\", %s", cure);
    if (ask && !*conf->platform.api_secret_token)
        conf_error(reader, "VoiceAiPlatform.ApiSecretToken", "is missing; set the platform's token, %s",
                   cure);
    // Goes into a header as it is.
    if (strpbrk(conf->platform.api_secret_token, "\r\n"))
        conf_error(reader, "VoiceAiPlatform.ApiSecretToken", "holds a line break; remove it");
    if (middleware && !conf->platform.campaign_count)
        conf_warn(reader, "VoiceAiPlatform.Campaigns",
                  "is empty: every session request will be refused; add a campaign");
    for (size_t i = 0; i < conf->platform.campaign_count; i++)
        check_campaign(reader, &conf->platform.campaigns[i], ask);
    if (!conf_is_url(conf->ip_api.base_url, web_schemes))
        conf_error(reader, "IpApi.BaseUrl", "found \"%.64s\", expected \"https://host/\"",
                   conf->ip_api.base_url);
}

void conf_check_file(struct conf_reader *reader, const char *path, const char *file) {
    if (*file && !conf_is_readable(file))
        conf_error(reader, path, "cannot read \"%.128s\"; give a file this user may read", file);
}

static void check_security(struct conf_reader *reader, const struct conf *conf) {
    size_t len = strlen(conf->security.webhook_api_token);
    if (len && len < 16)
        conf_warn(reader, "Security.WebhookApiToken", "has %zu characters and can be guessed; use 32 or more",
                  len);
}

static void check_gateway(struct conf_reader *reader, const struct conf *conf) {
    if (!conf_is_word(conf->gateway.node_id, "-_.") || strlen(conf->gateway.node_id) > 64)
        conf_error(reader, "Gateway.NodeId", "found \"%.64s\", expected 1 to 64 letters, digits, -, _ and .",
                   conf->gateway.node_id);
    if (!conf_is_listen(conf->gateway.http_listen))
        conf_error(reader, "Gateway.HttpListen",
                   "found \"%.64s\", expected host:port, as \"0.0.0.0:8080\" or \"[::]:8080\"",
                   conf->gateway.http_listen);
    const char *url = conf->gateway.public_url;
    if (*url && (!conf_is_url(url, public_schemes) || strpbrk(url, "?#@")))
        conf_error(reader, "Gateway.PublicUrl",
                   "found \"%.64s\", expected \"wss://host\" (ws, wss, http or https)", url);
    const char *address = conf->gateway.public_address;
    if (*address && !conf_is_address(address))
        conf_error(reader, "Gateway.PublicAddress",
                   "found \"%.64s\", expected a numeric address, as \"203.0.113.5\"", address);
    bool certificate = *conf->gateway.tls_certificate, key = *conf->gateway.tls_key;
    if (certificate && !key)
        conf_error(reader, "Gateway.TlsKey",
                   "is missing while Gateway.TlsCertificate is set; set both or none");
    if (key && !certificate)
        conf_error(reader, "Gateway.TlsCertificate",
                   "is missing while Gateway.TlsKey is set; set both or none");
    conf_check_file(reader, "Gateway.TlsCertificate", conf->gateway.tls_certificate);
    conf_check_file(reader, "Gateway.TlsKey", conf->gateway.tls_key);
    size_t secret_len = strlen(conf->gateway.session_token_secret);
    if (secret_len && secret_len < 16)
        conf_warn(reader, "Gateway.SessionTokenSecret",
                  "has %zu characters and can be guessed; use 32 or more", secret_len);
}

static void check_header(struct conf_reader *reader, const struct conf_header *header) {
    static const char *const ours[] = {"Host", "Upgrade", "Connection", "Content-Length",
                                       "Transfer-Encoding"};
    char path[CONF_PATH_MAX];
    conf_join(path, "Agent.Headers", header->name);
    if (!conf_is_word(header->name, "!#$%&'*+-.^_`|~"))
        conf_error(reader, path, "is no header name; use letters, digits and -");
    for (const char *c = header->value; *c; c++) {
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
            conf_error(reader, path, "its value holds a line break or control character; remove it");
    }
    bool handshake = strncasecmp(header->name, "Sec-WebSocket-", 14) == 0;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        handshake |= strcasecmp(header->name, ours[i]) == 0;
    if (handshake)
        conf_error(reader, path, "belongs to the WebSocket handshake and cannot be set; remove it");
}

static void check_encoding(struct conf_reader *reader, const json_t *tree, struct conf *conf) {
    static const uint32_t only_rate[] = {
        [CONF_MULAW] = 8000, [CONF_ALAW] = 8000, [CONF_G722] = 16000, [CONF_OPUS] = 0};
    uint32_t rate_hz = only_rate[conf->agent.encoding];
    const json_t *said = json_object_get(json_object_get(tree, "Agent"), "SampleRate");
    if (!rate_hz || conf->agent.sample_rate_hz == rate_hz)
        return;
    if (said)
        conf_error(reader, "Agent.SampleRate",
                   "found %u, but Agent.Encoding %s is always %u Hz; set Agent.SampleRate to %u",
                   conf->agent.sample_rate_hz, conf_encoding_name(conf->agent.encoding), rate_hz, rate_hz);
    conf->agent.sample_rate_hz = rate_hz;
}

static void check_agent(struct conf_reader *reader, const json_t *tree, struct conf *conf) {
    if (*conf->agent.url && !conf_is_url(conf->agent.url, socket_schemes))
        conf_error(reader, "Agent.Url", "is no ws:// or wss:// address; write it as \"wss://host/path\"");
    if (*conf->agent.builtin && strcmp(conf->agent.builtin, "echo") != 0)
        conf_error(reader, "Agent.Builtin", "found \"%.32s\", expected \"\" or \"echo\"",
                   conf->agent.builtin);
    if (*conf->agent.url && *conf->agent.builtin)
        conf_error(reader, "Agent.Builtin", "is set together with Agent.Url; keep one");
    if (strcmp(conf->agent.dialect, "iqra") != 0)
        conf_error(reader, "Agent.Dialect", "found \"%.32s\", expected \"iqra\"", conf->agent.dialect);
    check_encoding(reader, tree, conf);
    for (size_t i = 0; i < conf->agent.header_count; i++)
        check_header(reader, &conf->agent.headers[i]);
    conf_check_file(reader, "Agent.CaFile", conf->agent.ca_file);
}

static bool is_ice_url(const char *url) {
    static const char *const schemes[] = {"stun:", "stuns:", "turn:", "turns:"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t len = strlen(schemes[i]);
        if (strncmp(url, schemes[i], len) == 0)
            return url[len] && !strpbrk(url, " \t\r\n\"\\");
    }
    return false;
}

static void check_ice_servers(struct conf_reader *reader, const struct conf *conf) {
    for (size_t i = 0; i < conf->webrtc.ice_server_count; i++) {
        const struct conf_ice_server *server = &conf->webrtc.ice_servers[i];
        char path[CONF_PATH_MAX];
        bool turn = false;
        snprintf(path, sizeof path, "WebRtc.IceServers.%zu.urls", i);
        if (!server->urls.count)
            conf_error(reader, path, "is missing; set it, as \"stun:stun.example.com:3478\"");
        for (size_t j = 0; j < server->urls.count; j++) {
            turn |= strncmp(server->urls.items[j], "turn", 4) == 0;
            if (!is_ice_url(server->urls.items[j]))
                conf_error(reader, path,
                           "found \"%.64s\", expected stun:, stuns:, turn: or turns: and a host",
                           server->urls.items[j]);
        }
        bool login = *server->username && *server->credential;
        snprintf(path, sizeof path, "WebRtc.IceServers.%zu.credential", i);
        if (turn && !login && !*conf->webrtc.turn_secret)
            conf_error(reader, path, "is missing: TURN needs username and credential, or WebRtc.TurnSecret");
    }
}

void conf_check(struct conf_reader *reader, const json_t *tree, struct conf *conf) {
    check_logging(reader, conf);
    check_origins(reader, conf);
    check_proxies(reader, conf);
    check_redis(reader, conf);
    check_platform(reader, conf);
    check_security(reader, conf);
    check_gateway(reader, conf);
    check_agent(reader, tree, conf);
    check_ice_servers(reader, conf);
    conf_check_sip(reader, tree, conf);
}
