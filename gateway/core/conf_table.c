// SPDX-License-Identifier: Apache-2.0
// Every key there is, in the order of the file. Each belongs to the key its path begins with.
#include "gateway/core/conf_impl.h"

#include <string.h>
#include <strings.h>

#define AT(field) offsetof(struct conf, field)
#define CAMPAIGN(field) offsetof(struct conf_campaign, field)
#define ICE(field) offsetof(struct conf_ice_server, field)
#define BUSINESS(field) offsetof(struct conf_business, field)
#define NUMBER(field) offsetof(struct conf_number, field)
#define REGION(field) offsetof(struct conf_region, field)
#define SERVER(field) offsetof(struct conf_server, field)

static const struct conf_elements campaigns = {.count_offset = AT(platform.campaign_count),
                                               .size = sizeof(struct conf_campaign),
                                               .name_offset = CAMPAIGN(id)};
static const struct conf_elements headers = {.count_offset = AT(agent.header_count),
                                             .size = sizeof(struct conf_header),
                                             .name_offset = offsetof(struct conf_header, name),
                                             .value_offset = offsetof(struct conf_header, value)};
static const struct conf_elements ice_servers = {.count_offset = AT(webrtc.ice_server_count),
                                                 .size = sizeof(struct conf_ice_server)};
static const struct conf_elements businesses = {
    .count_offset = AT(business_count), .size = sizeof(struct conf_business), .name_offset = BUSINESS(id)};
static const struct conf_elements numbers = {
    .count_offset = BUSINESS(number_count), .size = sizeof(struct conf_number), .name_offset = NUMBER(id)};
static const struct conf_elements regions = {
    .count_offset = AT(region_count), .size = sizeof(struct conf_region), .name_offset = REGION(id)};
static const struct conf_elements servers = {
    .count_offset = REGION(server_count), .size = sizeof(struct conf_server), .name_offset = SERVER(id)};
static const char *const role_names[] = {"middleware", "proxy", "media", NULL};
static const char *const encoding_names[] = {"PCM", "MULAW", "ALAW", "G722", "OPUS", NULL};
static const char *const inband_names[] = {"auto", "on", "off", NULL};
static const int64_t rates[] = {8000, 16000, 24000, 48000, 0};
static const int64_t frames[] = {10, 20, 40, 60, 0};

enum { A_MILLION = 1000000, PORT_MAX = 65535 };

const struct conf_key conf_keys[] = {
    {"Logging", CONF_SECTION, .help = "What is written to stderr"},
    {"Logging.LogLevel", CONF_SECTION, CONF_OPEN, .help = "Levels; only Default counts here"},
    {"Logging.LogLevel.Default", CONF_STRING, 0, AT(log_level), "Information",
     .help = "Trace, Debug, Information, Warning, Error or Critical"},
    {"AllowedHosts", CONF_STRING, 0, AT(allowed_hosts), "*", .help = "Kept for compatibility"},
    {"AllowedOrigins", CONF_STRINGS, CONF_RESTART, AT(allowed_origins), .help = "Web origins that may call"},
    {"ForwardedHeaders", CONF_SECTION, .help = "Whose X-Forwarded-For is believed"},
    {"ForwardedHeaders.KnownProxies", CONF_STRINGS, CONF_RESTART, AT(forwarded_headers.known_proxies),
     .help = "Addresses of trusted proxies"},
    {"ForwardedHeaders.KnownNetworks", CONF_STRINGS, CONF_RESTART, AT(forwarded_headers.known_networks),
     .help = "Networks of trusted proxies, as 10.0.0.0/8"},
    {"RedisConnectionString", CONF_STRING, CONF_SECRET | CONF_RESTART, AT(redis_connection_string),
     .help = "host:port,password=...,ssl=true,defaultDatabase=n,serviceName=...; empty starts a private one"},

    {"VoiceAiPlatform", CONF_SECTION, .help = "The voice agent platform"},
    {"VoiceAiPlatform.ApiSecretToken", CONF_STRING, CONF_SECRET, AT(platform.api_secret_token),
     .help = "Sent as Authorization: Token"},
    {"VoiceAiPlatform.BaseUrl", CONF_STRING, 0, AT(platform.base_url),
     .help = "As https://app.iqra.bot/api/v1/"},
    {"VoiceAiPlatform.Campaigns", CONF_MAP, 0, AT(platform.campaigns), .elements = &campaigns,
     .help = "Campaigns a page may ask for, by id"},
    {"VoiceAiPlatform.Campaigns.*.BusinessId", CONF_STRING, CONF_NUMBER_OK, CAMPAIGN(business_id),
     .help = "The platform's business"},
    {"VoiceAiPlatform.Campaigns.*.WebCampaignId", CONF_STRING, CONF_NUMBER_OK, CAMPAIGN(web_campaign_id),
     .help = "The platform's web campaign"},
    {"VoiceAiPlatform.Campaigns.*.AllowedRegionIds", CONF_STRINGS, 0, CAMPAIGN(allowed_region_ids),
     .help = "Regions a page may ask for"},
    {"VoiceAiPlatform.Campaigns.*.Weight", CONF_INT, 0, CAMPAIGN(weight), "1", .min = 1, .max = 1000,
     .help = "Share of freed places while several campaigns have waiters"},

    {"IpApi", CONF_SECTION, .help = "Reputation of addresses (ipapi.is)"},
    {"IpApi.ApiKey", CONF_STRING, CONF_SECRET, AT(ip_api.api_key), .help = "Its key"},
    {"IpApi.BaseUrl", CONF_STRING, 0, AT(ip_api.base_url), "https://api.ipapi.is/", .help = "Its address"},
    {"IpApi.FailOpen", CONF_BOOL, 0, AT(ip_api.fail_open), .help = "Admit when it does not answer"},

    {"Security", CONF_SECTION, .help = "Limits per client address"},
    {"Security.RateLimitHourly", CONF_INT, 0, AT(security.rate_limit_hourly), .max = A_MILLION,
     .help = "Sessions an hour, 0 = no limit"},
    {"Security.RateLimitDaily", CONF_INT, 0, AT(security.rate_limit_daily), .max = A_MILLION,
     .help = "Sessions a day, 0 = no limit"},
    {"Security.RateLimitConcurrency", CONF_INT, 0, AT(security.rate_limit_concurrency), .max = A_MILLION,
     .help = "Sessions at once, 0 = no limit"},
    {"Security.RateLimitLeaseSeconds", CONF_INT, 0, AT(security.rate_limit_lease_seconds), "3600", .min = 10,
     .max = 86400, .help = "Seconds a session counts as one at once when nothing says that it ended"},
    {"Security.EnableIpApiCheck", CONF_BOOL, 0, AT(security.enable_ip_api_check), .help = "Ask IpApi"},
    {"Security.EnableIpApiCache", CONF_BOOL, 0, AT(security.enable_ip_api_cache), .help = "Keep its answers"},
    {"Security.IpApiCacheDurationDays", CONF_INT, 0, AT(security.ip_api_cache_duration_days), "14",
     .max = 3650, .help = "Days its answers are kept"},
    {"Security.WebhookApiToken", CONF_STRING, CONF_SECRET, AT(security.webhook_api_token),
     .help = "X-Api-Token of the session-ended webhook; empty refuses it"},
    {"Security.BlockVpn", CONF_BOOL, 0, AT(security.block_vpn), .help = "Refuse VPN addresses"},
    {"Security.BlockProxy", CONF_BOOL, 0, AT(security.block_proxy), .help = "Refuse proxy addresses"},
    {"Security.BlockDatacenter", CONF_BOOL, 0, AT(security.block_datacenter), .help = "Refuse data centres"},
    {"Security.BlockTor", CONF_BOOL, 0, AT(security.block_tor), "true", .help = "Refuse Tor exits"},
    {"Security.BlockAbuser", CONF_BOOL, 0, AT(security.block_abuser), .help = "Refuse known abusers"},

    {"Gateway", CONF_SECTION, .help = "This node"},
    {"Gateway.NodeId", CONF_STRING, CONF_RESTART, AT(gateway.node_id), "node-1", .help = "Its name, unique"},
    {"Gateway.RegionId", CONF_STRING, CONF_RESTART, AT(gateway.region_id), .help = "Its region"},
    {"Gateway.Roles", CONF_ROLES, CONF_RESTART, AT(gateway.roles), "middleware,proxy,media",
     .names = role_names,
     .help = "Without middleware session requests are 404; without media WebRTC ones are 400 and the sockets "
             "404"},
    {"Gateway.HttpListen", CONF_STRING, CONF_RESTART, AT(gateway.http_listen), "0.0.0.0:8080",
     .help = "address:port or [v6]:port, numeric"},
    {"Gateway.PublicUrl", CONF_STRING, 0, AT(gateway.public_url),
     .help = "ws(s):// or http(s):// address handed to browsers; empty takes the request's Host"},
    {"Gateway.PublicAddress", CONF_STRING, CONF_RESTART, AT(gateway.public_address),
     .help = "Media address behind 1:1 NAT"},
    {"Gateway.TlsCertificate", CONF_STRING, CONF_RESTART, AT(gateway.tls_certificate), .help = "PEM chain"},
    {"Gateway.TlsKey", CONF_STRING, CONF_RESTART, AT(gateway.tls_key), .help = "PEM key"},
    {"Gateway.Workers", CONF_INT, CONF_RESTART, AT(gateway.workers), .max = 256,
     .help = "Media threads, 0 = one per core"},
    {"Gateway.MaxCalls", CONF_INT, CONF_RESTART, AT(gateway.max_calls), .max = A_MILLION,
     .help = "Calls at once, 0 = found from the cores and from what calls cost on them"},
    {"Gateway.OverloadCpuPercent", CONF_INT, CONF_RESTART, AT(gateway.overload_cpu_percent), "75", .max = 100,
     .help = "New calls are refused while every worker is busier than this, 0 = never"},
    {"Gateway.OverloadLateMs", CONF_INT, CONF_RESTART, AT(gateway.overload_late_ms), "10", .max = 1000,
     .help = "New calls are refused while media of every worker runs later than this, 0 = never"},
    {"Gateway.DrainSeconds", CONF_INT, 0, AT(gateway.drain_seconds), "300", .max = 86400,
     .help = "Seconds calls may go on after SIGTERM"},
    {"Gateway.DataDirectory", CONF_STRING, CONF_RESTART, AT(gateway.data_directory),
     .help = "Where the private Redis keeps its data; empty takes systemd's, /var/lib/iqra-gateway, or one "
             "under the home directory"},
    {"Gateway.SessionTokenSecret", CONF_STRING, CONF_SECRET | CONF_RESTART, AT(gateway.session_token_secret),
     .help = "Signs session tokens; empty = random at each start"},
    {"Gateway.AdminToken", CONF_STRING, CONF_SECRET, AT(gateway.admin_token),
     .help = "Empty turns /api/admin off"},

    {"Agent", CONF_SECTION, .help = "The socket to the voice agent"},
    {"Agent.Url", CONF_STRING, CONF_HAS_QUERY, AT(agent.url),
     .help = "Fixed agent; empty = ask the platform"},
    {"Agent.Builtin", CONF_STRING, CONF_RESTART, AT(agent.builtin), .help = "\"echo\" for the demo agent"},
    {"Agent.Dialect", CONF_STRING, 0, AT(agent.dialect), "iqra", .help = "\"iqra\""},
    {"Agent.Encoding", CONF_CHOICE, 0, AT(agent.encoding), "PCM", .names = encoding_names,
     .help = "What its socket carries"},
    {"Agent.SampleRate", CONF_U32, 0, AT(agent.sample_rate_hz), "16000", .allowed = rates, .help = "Hz"},
    {"Agent.FrameMs", CONF_U32, 0, AT(agent.frame_ms), "20", .allowed = frames,
     .help = "Milliseconds a frame"},
    {"Agent.Headers", CONF_STRING_MAP, CONF_SECRET, AT(agent.headers), .elements = &headers,
     .help = "Sent with its handshake"},
    {"Agent.ConnectTimeoutMs", CONF_INT, 0, AT(agent.connect_timeout_ms), "5000", .min = 100, .max = 60000,
     .help = "Milliseconds"},
    {"Agent.CaFile", CONF_STRING, CONF_RESTART, AT(agent.ca_file),
     .help = "PEM trust anchors beside the system's"},

    {"WebRtc", CONF_SECTION, .help = "Browsers"},
    {"WebRtc.IceServers", CONF_LIST, 0, AT(webrtc.ice_servers), .elements = &ice_servers,
     .help = "As in RTCPeerConnection"},
    {"WebRtc.IceServers.[].urls", CONF_STRINGS, CONF_ONE_OK, ICE(urls), .help = "stun:, turn: or turns:"},
    {"WebRtc.IceServers.[].username", CONF_STRING, 0, ICE(username), .help = "For TURN"},
    {"WebRtc.IceServers.[].credential", CONF_STRING, CONF_SECRET, ICE(credential), .help = "For TURN"},
    {"WebRtc.UdpPorts", CONF_RANGE, CONF_RESTART, AT(webrtc.udp_ports), "20000-29999", .help = "min-max"},
    {"WebRtc.TurnSecret", CONF_STRING, CONF_SECRET, AT(webrtc.turn_secret),
     .help = "Shared with coturn; mints credentials"},

    {"Sip", CONF_SECTION, .help = "Telephones"},
    {"Sip.ProxyListen", CONF_STRINGS, CONF_RESTART, AT(sip.proxy_listen), "udp:0.0.0.0:5060,tcp:0.0.0.0:5060",
     .help = "Where trunks call: udp:, tcp: or tls: and address:port; without Businesses nothing by default"},
    {"Sip.MediaListen", CONF_STRINGS, CONF_RESTART, AT(sip.media_listen), "udp:0.0.0.0:5070,tcp:0.0.0.0:5070",
     .help = "Where redirected calls come; as ProxyListen"},
    {"Sip.TlsCertificate", CONF_STRING, CONF_RESTART, AT(sip.tls_certificate), .help = "PEM chain"},
    {"Sip.TlsKey", CONF_STRING, CONF_RESTART, AT(sip.tls_key), .help = "PEM key"},
    {"Sip.TlsCaFile", CONF_STRING, CONF_RESTART, AT(sip.tls_ca_file),
     .help = "PEM authorities: with it, a tls: peer must show a certificate of theirs"},
    {"Sip.RtpPorts", CONF_RANGE, CONF_RESTART, AT(sip.rtp_ports), "10000-19999", .help = "min-max"},
    {"Sip.Codecs", CONF_STRINGS, 0, AT(sip.codecs), "PCMU,PCMA,G722,OPUS",
     .help = "PCMU, PCMA, G722, OPUS; best first"},
    {"Sip.AcceptDirect", CONF_BOOL, 0, AT(sip.accept_direct), .help = "Take calls no proxy announced"},
    {"Sip.InbandDtmf", CONF_CHOICE, 0, AT(sip.inband_dtmf), "auto", .names = inband_names,
     .help = "Digits heard as tones; auto: while telephone-event is not negotiated"},
    {"Sip.DeadCallSeconds", CONF_INT, 0, AT(sip.dead_call_seconds), "30", .max = 86400,
     .help = "A call without RTP and RTCP for so long ends, except on hold; 0 = never"},
    {"Sip.SessionExpiresSeconds", CONF_INT, 0, AT(sip.session_expires_seconds), "1800", .min = 90,
     .max = 86400, .help = "Session timer (RFC 4028)"},
    {"Sip.InvitesPerSecond", CONF_INT, 0, AT(sip.invites_per_second), "50", .max = A_MILLION,
     .help = "New calls a second of one source address, 0 = no limit"},
    {"Sip.MaxConnectionsPerSource", CONF_INT, 0, AT(sip.max_connections_per_source), "64", .max = A_MILLION,
     .help = "TCP and TLS connections of one source address, 0 = no limit"},
    {"Sip.MaxConnections", CONF_INT, 0, AT(sip.max_connections), "4096", .max = A_MILLION,
     .help = "TCP and TLS connections of all, 0 = no limit"},
    {"Sip.TrustedSources", CONF_STRINGS, 0, AT(sip.trusted_sources),
     .help = "Addresses and networks whose P-Asserted-Identity names the caller"},
    {"Sip.ForwardedHeaders", CONF_STRINGS, 0, AT(sip.forwarded_headers),
     .help = "X- headers of the INVITE handed to the platform"},

    {"Queue", CONF_SECTION, .help = "Waiting sessions"},
    {"Queue.MaxLength", CONF_INT, 0, AT(queue.max_length), "1000", .max = A_MILLION,
     .help = "Sessions that may wait, 0 = nobody waits"},
    {"Queue.WebSocketLeaseSeconds", CONF_INT, 0, AT(queue.web_socket_lease_seconds), "7200", .min = 60,
     .max = 86400, .help = "How long a transportType 0 session counts when no webhook ends it"},

    {"Hub", CONF_SECTION, .help = "The SignalR hub, where sessions wait"},
    {"Hub.MaxConnections", CONF_INT, CONF_RESTART, AT(hub.max_connections), "8192", .min = 1,
     .max = A_MILLION, .help = "Clients of this node at once"},
    {"Hub.MaxConnectionsPerAddress", CONF_INT, CONF_RESTART, AT(hub.max_connections_per_address), "256",
     .min = 1, .max = A_MILLION, .help = "The same of one address; behind a proxy, see ForwardedHeaders"},

    {"Businesses", CONF_MAP, 0, AT(businesses), .elements = &businesses, .help = "Owners of numbers, by id"},
    {"Businesses.*.Active", CONF_BOOL, 0, BUSINESS(active), "true", .help = "Takes calls"},
    {"Businesses.*.Admin", CONF_BOOL, 0, BUSINESS(admin), .help = "May use development servers"},
    {"Businesses.*.MaxConcurrentCalls", CONF_INT, 0, BUSINESS(max_concurrent_calls), .max = A_MILLION,
     .help = "Calls at once on all nodes, 0 = no limit"},
    {"Businesses.*.Numbers", CONF_MAP, 0, BUSINESS(numbers), .elements = &numbers,
     .help = "Its numbers, by id"},
    {"Businesses.*.Numbers.*.Number", CONF_STRING, CONF_NUMBER_OK, NUMBER(number),
     .help = "As dialled, E.164"},
    {"Businesses.*.Numbers.*.Provider", CONF_STRING, 0, NUMBER(provider), "SIP",
     .help = "SIP for those a trunk may call"},
    {"Businesses.*.Numbers.*.RouteId", CONF_STRING, CONF_NUMBER_OK, NUMBER(route_id),
     .help = "The platform's route"},
    {"Businesses.*.Numbers.*.RegionId", CONF_STRING, 0, NUMBER(region_id), .help = "Whose servers it uses"},
    {"Businesses.*.Numbers.*.CampaignId", CONF_STRING, CONF_NUMBER_OK, NUMBER(campaign_id),
     .help = "Of VoiceAiPlatform.Campaigns"},
    {"Businesses.*.Numbers.*.AllowedSourceIps", CONF_STRINGS, 0, NUMBER(allowed_source_ips),
     .help = "Addresses and networks that may call it; none = any"},
    {"Businesses.*.Numbers.*.OverrideSipUsername", CONF_STRING, 0, NUMBER(override_sip_username),
     .help = "Digest login its trunk must give; empty = none"},
    {"Businesses.*.Numbers.*.OverrideSipPassword", CONF_STRING, CONF_SECRET, NUMBER(override_sip_password),
     .help = "Its password"},
    {"Businesses.*.Numbers.*.OfferSha256", CONF_BOOL, 0, NUMBER(offer_sha256),
     .help = "The login may be given by SHA-256, too, which older trunks cannot bear to hear of"},
    {"Businesses.*.Numbers.*.RequireSrtp", CONF_BOOL, 0, NUMBER(require_srtp), .help = "Refuse plain RTP"},

    {"Regions", CONF_MAP, 0, AT(regions), .elements = &regions, .help = "Regions and their servers, by id"},
    {"Regions.*.Enabled", CONF_BOOL, 0, REGION(enabled), "true", .help = "Takes calls"},
    {"Regions.*.FallbackRegionIds", CONF_STRINGS, 0, REGION(fallback_region_ids),
     .help = "Asked in this order when it has no server left"},
    {"Regions.*.Servers", CONF_MAP, 0, REGION(servers), .elements = &servers,
     .help = "Its servers, by Gateway.NodeId; a node that announces itself needs no entry"},
    {"Regions.*.Servers.*.Endpoint", CONF_STRING, 0, SERVER(endpoint),
     .help = "Address or name that trunks reach"},
    {"Regions.*.Servers.*.SipPort", CONF_U32, 0, SERVER(sip_port), "5070", .min = 1, .max = PORT_MAX,
     .help = "Its port for UDP and TCP"},
    {"Regions.*.Servers.*.SipTlsPort", CONF_U32, 0, SERVER(sip_tls_port), .max = PORT_MAX,
     .help = "Its port for TLS, 0 = the same"},
    {"Regions.*.Servers.*.Enabled", CONF_BOOL, 0, SERVER(enabled), "true", .help = "Takes calls"},
    {"Regions.*.Servers.*.Development", CONF_BOOL, 0, SERVER(development), .help = "For admins only"},
};
const size_t conf_key_count = sizeof conf_keys / sizeof conf_keys[0];

const char *conf_key_leaf(const struct conf_key *key) {
    const char *dot = strrchr(key->path, '.');
    return dot ? dot + 1 : key->path;
}

static bool key_is_below(const struct conf_key *key, const char *parent) {
    size_t len = strlen(parent);
    const char *leaf = conf_key_leaf(key);
    if (!len)
        return leaf == key->path;
    return leaf == key->path + len + 1 && strncmp(key->path, parent, len) == 0;
}

const struct conf_key *conf_key_next(const char *parent, const struct conf_key *previous) {
    const struct conf_key *key = previous ? previous + 1 : conf_keys;
    for (; key < conf_keys + conf_key_count; key++) {
        if (key_is_below(key, parent))
            return key;
    }
    return NULL;
}

const struct conf_key *conf_key_find(const char *parent, const char *name) {
    for (size_t i = 0; i < conf_key_count; i++) {
        if (key_is_below(&conf_keys[i], parent) && strcasecmp(conf_key_leaf(&conf_keys[i]), name) == 0)
            return &conf_keys[i];
    }
    return NULL;
}
