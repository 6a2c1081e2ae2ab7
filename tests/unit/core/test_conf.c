// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/conf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ECHO "\"Agent\":{\"Builtin\":\"echo\"},"

struct result {
    int err;
    struct conf *conf;
    struct conf_report report;
    char *said;
    size_t said_len;
};

static struct result parse_env(const char *text, char *const *env) {
    struct result r = {0};
    r.report.out = open_memstream(&r.said, &r.said_len);
    assert_non_null(r.report.out);
    r.err = conf_parse(&r.conf, "test.json", text, strlen(text), env, &r.report);
    fclose(r.report.out);
    return r;
}

static struct result parse(const char *text) {
    return parse_env(text, NULL);
}

static void result_free(struct result *r) {
    conf_free(r->conf);
    free(r->said);
}

static size_t lines(const char *text) {
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

// One error, one line, and the line says all of `parts` (NULL-terminated).
static void one_error(const char *text, const char *const *parts) {
    struct result r = parse(text);
    if (r.report.errors != 1)
        print_error("for %s:\n%s", text, r.said);
    assert_int_equal(r.err, -EINVAL);
    assert_null(r.conf);
    assert_int_equal(r.report.errors, 1);
    assert_int_equal(lines(r.said), r.report.errors + r.report.warnings);
    for (; *parts; parts++) {
        if (!strstr(r.said, *parts))
            print_error("no \"%s\" in: %s", *parts, r.said);
        assert_non_null(strstr(r.said, *parts));
    }
    result_free(&r);
}
#define ONE_ERROR(text, ...) one_error(text, (const char *const[]){__VA_ARGS__, NULL})

static void one_warning(const char *text, const char *part) {
    struct result r = parse(text);
    if (r.err || r.report.warnings != 1 || !strstr(r.said, part))
        print_error("for %s, wanted \"%s\":\n%s", text, part, r.said);
    assert_int_equal(r.err, 0);
    assert_int_equal(r.report.warnings, 1);
    assert_non_null(strstr(r.said, part));
    result_free(&r);
}

static const char existing[] =
    "{\n"
    "\"Logging\": {\"LogLevel\": {\"Default\": \"Information\", \"Microsoft.AspNetCore\": \"Warning\"}},\n"
    "\"AllowedHosts\": \"*\",\n"
    "// CORS: Add your client domains here\n"
    "\"AllowedOrigins\": [\"https://your-client-website.com\", \"http://localhost:5173\"],\n"
    "\"RedisConnectionString\": \"localhost:6379\",\n"
    "\"VoiceAiPlatform\": {\"ApiSecretToken\": \"TOP_SECRET_ONE\", \"BaseUrl\": "
    "\"https://app.iqra.bot/api/v1/\",\n"
    "  \"Campaigns\": {\"ExampleCampaign\": {\"BusinessId\": \"1\", \"WebCampaignId\": \"web-1\",\n"
    "    \"AllowedRegionIds\": [\"us-east-1\"]}}},\n"
    "\"IpApi\": {\"ApiKey\": \"TOP_SECRET_TWO\", \"BaseUrl\": \"https://api.ipapi.is/\"},\n"
    "\"Security\": {\"RateLimitHourly\": 20, // Max requests per IP per hour\n"
    "  \"RateLimitDaily\": 100, \"RateLimitConcurrency\": 1, \"EnableIpApiCheck\": true, "
    "\"EnableIpApiCache\": true,\n"
    "  \"IpApiCacheDurationDays\": 14, \"WebhookApiToken\": \"TOP_SECRET_THREE\", \"BlockVpn\": true,\n"
    "  \"BlockProxy\": true, \"BlockDatacenter\": false /* Reject Datacenter IPs */\n"
    "}\n}";

static void existing_file_works_unchanged(void **state) {
    (void)state;
    struct result r = parse(existing);
    assert_int_equal(r.err, 0);
    assert_int_equal(r.report.warnings, 0);
    assert_int_equal(r.conf->allowed_origins.count, 2);
    assert_string_equal(r.conf->allowed_origins.items[1], "http://localhost:5173");
    assert_int_equal(r.conf->security.rate_limit_hourly, 20);
    assert_true(r.conf->security.block_vpn);
    assert_false(r.conf->security.block_datacenter);
    assert_true(r.conf->security.block_tor);
    const struct conf_campaign *campaign = conf_campaign(r.conf, "ExampleCampaign");
    assert_non_null(campaign);
    assert_string_equal(campaign->business_id, "1");
    assert_string_equal(campaign->web_campaign_id, "web-1");
    assert_string_equal(campaign->allowed_region_ids.items[0], "us-east-1");
    assert_null(conf_campaign(r.conf, "Other"));
    result_free(&r);
}

static void defaults(void **state) {
    (void)state;
    struct result r = parse("{" ECHO "}");
    assert_int_equal(r.err, 0);
    assert_string_equal(r.conf->gateway.http_listen, "0.0.0.0:8080");
    assert_int_equal(r.conf->gateway.roles, CONF_ROLE_MIDDLEWARE | CONF_ROLE_PROXY | CONF_ROLE_MEDIA);
    assert_int_equal(r.conf->gateway.drain_seconds, 300);
    assert_int_equal(r.conf->agent.encoding, CONF_PCM);
    assert_int_equal(r.conf->agent.sample_rate_hz, 16000);
    assert_int_equal(r.conf->agent.frame_ms, 20);
    assert_int_equal(r.conf->agent.connect_timeout_ms, 5000);
    assert_int_equal(r.conf->webrtc.udp_ports.min, 20000);
    assert_int_equal(r.conf->webrtc.udp_ports.max, 29999);
    assert_int_equal(r.conf->queue.max_length, 1000);
    assert_string_equal(r.conf->agent.ca_file, "");
    assert_false(r.conf->ip_api.fail_open);
    result_free(&r);
}

// Every section of the contract in one file, in odd spelling, with comments and commas wherever they may
// stand.
static void new_sections(void **state) {
    (void)state;
    struct result r = parse(
        "\xef\xbb\xbf{ /* a */ \"gateway\": {\"nodeid\": \"n-7\", \"REGIONID\": \"EU-DE\", \"Roles\": "
        "[\"Media\",],\n"
        "\"HttpListen\": \"[::]:0\", \"PublicUrl\": \"wss://voice.example.com\", \"PublicAddress\": "
        "\"203.0.113.5\",\n"
        "\"TlsCertificate\": \"\", \"TlsKey\": \"\", \"Workers\": 2, \"MaxCalls\": 9, \"DrainSeconds\": 5,\n"
        "\"SessionTokenSecret\": \"0123456789abcdef0123456789abcdef\", \"AdminToken\": \"x\"},\n"
        "\"Agent\": {\"Url\": \"ws://a.example/p?x=//no/*comment*/\", \"Dialect\": \"iqra\", \"Encoding\": "
        "\"opus\",\n"
        "\"SampleRate\": 48000, \"FrameMs\": 60, \"Headers\": {\"X-Key\": \"v, w\"}, \"ConnectTimeoutMs\": "
        "700},\n"
        "\"WebRtc\": {\"IceServers\": [{\"urls\": \"stun:s.example:3478\"}, {\"urls\": [\"turn:t.example\",\n"
        "\"turns:t.example\"], \"username\": \"u\", \"credential\": \"c\"}], \"UdpPorts\": \"1-65535\", "
        "\"TurnSecret\": \"\"},\n"
        "\"Sip\": {\"ProxyListen\": [\"udp:0.0.0.0:5060\"], \"RtpPorts\": \"10000-19999\", \"Codecs\": "
        "[\"PCMU\"],\n"
        "\"AcceptDirect\": false}, \"Queue\": {\"MaxLength\": 3},\n"
        "\"Businesses\": {\"123\": {\"Active\": true, \"Admin\": false, \"MaxConcurrentCalls\": 10, "
        "\"Numbers\": {\"abc\":\n"
        "{\"Number\": \"+96812345678\", \"Provider\": \"SIP\", \"RouteId\": \"route-1\", \"RegionId\": "
        "\"EU-DE\",\n"
        "\"CampaignId\": \"E\", \"AllowedSourceIps\": [\"203.0.113.0/24\"]}}}},\n"
        "\"Regions\": {\"EU-DE\": {\"Enabled\": true, \"Servers\": {\"node-1\": {\"Endpoint\": \"10.0.0.5\", "
        "\"SipPort\": 5070,\n"
        "\"Enabled\": true, \"Development\": false}}}},}");
    if (r.err)
        print_error("%s", r.said);
    assert_int_equal(r.err, 0);
    assert_int_equal(r.report.warnings, 0);
    assert_string_equal(r.conf->gateway.node_id, "n-7");
    assert_int_equal(r.conf->gateway.roles, CONF_ROLE_MEDIA);
    assert_string_equal(r.conf->agent.url, "ws://a.example/p?x=//no/*comment*/");
    assert_int_equal(r.conf->agent.encoding, CONF_OPUS);
    assert_int_equal(r.conf->agent.frame_ms, 60);
    assert_int_equal(r.conf->agent.header_count, 1);
    assert_string_equal(r.conf->agent.headers[0].name, "X-Key");
    assert_string_equal(r.conf->agent.headers[0].value, "v, w");
    assert_int_equal(r.conf->webrtc.ice_server_count, 2);
    assert_string_equal(r.conf->webrtc.ice_servers[0].urls.items[0], "stun:s.example:3478");
    assert_int_equal(r.conf->webrtc.ice_servers[1].urls.count, 2);
    assert_string_equal(r.conf->webrtc.ice_servers[1].credential, "c");
    result_free(&r);
}

static void environment_lies_over_the_file(void **state) {
    (void)state;
    char *env[] = {"PATH=/bin",
                   "AgEnT__builtin=echo",
                   "AllowedOrigins__10=https://c.example",
                   "AllowedOrigins__2=https://b.example",
                   "ALLOWEDORIGINS__0=https://a.example",
                   "VoiceAiPlatform__Campaigns__examplecampaign__BusinessId=77",
                   "VoiceAiPlatform__Campaigns__x__BusinessId=5",
                   "VoiceAiPlatform__Campaigns__x__AllowedRegionIds__0=R1",
                   "Security__RateLimitHourly=7",
                   "Security__BlockVpn=False",
                   "Agent__Headers__X-Extra=abc",
                   "WebRtc__IceServers__0__urls__0=stun:one",
                   "WebRtc__IceServers__1__urls=stun:two",
                   "Gateway__Roles__0=media",
                   "Gateway__MaxCalls=",
                   "RedisConnectionString=redis:1",
                   NULL};
    struct result r = parse_env(existing, env);
    if (r.err || r.report.warnings)
        print_error("%s", r.said);
    assert_int_equal(r.err, 0);
    assert_int_equal(r.report.warnings, 0);
    assert_int_equal(r.conf->allowed_origins.count, 4);
    assert_string_equal(r.conf->allowed_origins.items[0], "https://a.example");
    assert_string_equal(r.conf->allowed_origins.items[2], "https://b.example");
    assert_string_equal(r.conf->allowed_origins.items[3], "https://c.example");
    assert_string_equal(conf_campaign(r.conf, "ExampleCampaign")->business_id, "77");
    assert_string_equal(conf_campaign(r.conf, "x")->allowed_region_ids.items[0], "R1");
    assert_int_equal(r.conf->security.rate_limit_hourly, 7);
    assert_false(r.conf->security.block_vpn);
    assert_string_equal(r.conf->agent.headers[0].value, "abc");
    assert_string_equal(r.conf->webrtc.ice_servers[1].urls.items[0], "stun:two");
    assert_int_equal(r.conf->gateway.roles, CONF_ROLE_MEDIA);
    assert_string_equal(r.conf->redis_connection_string, "redis:1");
    result_free(&r);
}

static void environment_findings(void **state) {
    (void)state;
    char *env[] = {"Gateway__Wrokers=1",
                   "Gatway__Workers=1",
                   "Agent__FrameMs=30",
                   "Security__WebhookApiToken__x=hush-hush",
                   "AllowedOrigins__one=https://a",
                   NULL};
    struct result r = parse_env(existing, env);
    assert_int_equal(r.err, -EINVAL);
    assert_non_null(strstr(r.said, "Gateway.Wrokers: unknown key, ignored; did you mean Gateway.Workers?"));
    assert_non_null(strstr(r.said, "did you mean Gateway?"));
    assert_non_null(strstr(r.said, "Agent.FrameMs: found \"30\", expected one of 10, 20, 40, 60"));
    assert_non_null(strstr(r.said, "environment variable Agent__FrameMs"));
    assert_non_null(strstr(r.said, "AllowedOrigins.one: found \"one\", expected an index"));
    assert_null(strstr(r.said, "hush"));
    assert_int_equal(r.report.errors, 2);
    assert_int_equal(r.report.warnings, 3);
    result_free(&r);
}

static void unknown_keys_warn_with_the_nearest(void **state) {
    (void)state;
#define CAMPAIGNS "\"VoiceAiPlatform\":{\"Campaigns\":{\"c\":{\"AllowedRegionIds\":[\"r\"]}}}"
    one_warning("{" ECHO CAMPAIGNS ",\"Gatway\":{}}", "Gatway: unknown key, ignored; did you mean Gateway?");
    one_warning("{" ECHO CAMPAIGNS ",\"Gateway\":{\"HtpListen\":1}}", "did you mean Gateway.HttpListen?");
    one_warning("{" ECHO CAMPAIGNS ",\"MaxCalls\":1}",
                "MaxCalls: unknown key here, ignored; did you mean Gateway.MaxCalls?");
    one_warning("{" ECHO CAMPAIGNS ",\"Gateway\":{\"Zzyzx\":1}}",
                "Gateway.Zzyzx: unknown key, ignored; remove it");
    one_warning("{" ECHO
                "\"VoiceAiPlatform\":{\"Campaigns\":{\"c\":{\"AllowedRegionIds\":[\"r\"],\"BusinesId\":1}}}}",
                "did you mean VoiceAiPlatform.Campaigns.c.BusinessId?");
    one_warning("{" ECHO CAMPAIGNS ",\"Businesses\":{\"1\":{\"Numbers\":{\"a\":{\"Number\":\"+1\","
                "\"RouteId\":\"r\",\"RegionId\":\"e\",\"RegonId\":\"\"}}}},\"Regions\":{\"e\":{}}}",
                "did you mean Businesses.1.Numbers.a.RegionId?");
    one_warning("{" ECHO CAMPAIGNS ",\"Sip\":{\"Codec\":[]}}", "did you mean Sip.Codecs?");
    one_warning("{" ECHO CAMPAIGNS ",\"a\\u0001\\n\":1}", "a??: unknown key");
}

static void wrong_types(void **state) {
    (void)state;
    ONE_ERROR("{" ECHO "\"Gateway\":5}", "Gateway: found 5, expected an object");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"Workers\":\"many\"}}",
              "Gateway.Workers: found \"many\", expected a whole number from 0 to 256");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"Workers\":1.5}}", "Gateway.Workers: found 1.5");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"HttpListen\":8080}}",
              "Gateway.HttpListen: found 8080, expected a string");
    ONE_ERROR("{" ECHO "\"AllowedOrigins\":\"https://a\"}",
              "AllowedOrigins: found \"https://a\", expected a list");
    ONE_ERROR("{" ECHO "\"AllowedOrigins\":[1]}", "AllowedOrigins.0: found 1, expected a string");
    ONE_ERROR("{" ECHO "\"Security\":{\"BlockVpn\":\"yes\"}}",
              "Security.BlockVpn: found \"yes\", expected true or false");
    ONE_ERROR("{" ECHO "\"WebRtc\":{\"IceServers\":{}}}",
              "WebRtc.IceServers: found an object, expected a list");
    ONE_ERROR("{" ECHO "\"WebRtc\":{\"IceServers\":[\"stun:x\"]}}", "WebRtc.IceServers.0: found \"stun:x\"");
    ONE_ERROR("{" ECHO "\"Sip\":{\"AcceptDirect\":\"x\"}}", "Sip.AcceptDirect: found \"x\"");
    ONE_ERROR("{" ECHO "\"Regions\":{\"r\":{\"Servers\":{\"s\":{\"SipPort\":0}}}}}",
              "Regions.r.Servers.s.SipPort: found 0");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"Roles\":[\"proxi\"]}}",
              "Gateway.Roles.0: found \"proxi\", expected one of middleware, proxy, media");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"Roles\":[]}}", "Gateway.Roles: found an empty list");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"AdminToken\":12345678}}",
              "Gateway.AdminToken: found a number, expected a string");
    ONE_ERROR("{" ECHO "\"Queue\":{\"MaxLength\":1,\"maxlength\":2}}", "Queue.MaxLength: is there twice");
    ONE_ERROR("[]", "expected an object");
}

static void ranges_and_forms(void **state) {
    (void)state;
    ONE_ERROR("{" ECHO "\"Gateway\":{\"DrainSeconds\":-1}}", "Gateway.DrainSeconds: found -1");
    ONE_ERROR("{\"Agent\":{\"Builtin\":\"eccho\"}}", "Agent.Builtin: found \"eccho\"");
    ONE_ERROR("{\"Agent\":{\"Builtin\":\"echo\",\"FrameMs\":30}}",
              "Agent.FrameMs: found 30, expected one of 10, 20, 40, 60");
    ONE_ERROR("{\"Agent\":{\"Builtin\":\"echo\",\"SampleRate\":44100}}",
              "Agent.SampleRate: found 44100, expected one of 8000");
    ONE_ERROR("{\"Agent\":{\"Builtin\":\"echo\",\"Encoding\":\"WAV\"}}", "Agent.Encoding: found \"WAV\"",
              "OPUS");
    ONE_ERROR("{\"Agent\":{\"Builtin\":\"echo\",\"Encoding\":\"MULAW\",\"SampleRate\":16000}}",
              "Agent.SampleRate", "Agent.Encoding MULAW", "8000");
    ONE_ERROR("{\"Agent\":{\"Builtin\":\"echo\",\"Encoding\":\"G722\",\"SampleRate\":8000}}",
              "Agent.SampleRate", "Agent.Encoding G722", "16000");
    ONE_ERROR("{\"Agent\":{\"Builtin\":\"echo\",\"Dialect\":\"twilio\"}}",
              "Agent.Dialect: found \"twilio\", expected \"iqra\"");
    ONE_ERROR("{\"Agent\":{\"Url\":\"http://a\"}}", "Agent.Url");
    ONE_ERROR("{\"Agent\":{\"Url\":\"ws://a b\"}}", "Agent.Url");
    ONE_ERROR("{\"Agent\":{\"Url\":\"ws://a\",\"Builtin\":\"echo\"}}",
              "Agent.Builtin: is set together with Agent.Url");
    ONE_ERROR("{\"Agent\":{\"Builtin\":\"echo\",\"Headers\":{\"A\":\"x\\r\\ny\"}}}", "Agent.Headers.A",
              "line break");
    ONE_ERROR("{\"Agent\":{\"Builtin\":\"echo\",\"Headers\":{\"sec-websocket-key\":\"x\"}}}", "handshake");
    ONE_ERROR("{\"Agent\":{\"Builtin\":\"echo\",\"CaFile\":\"/does/not/exist\"}}",
              "Agent.CaFile: cannot read");
    ONE_ERROR("{" ECHO "\"WebRtc\":{\"UdpPorts\":\"30000-20000\"}}",
              "WebRtc.UdpPorts: found \"30000-20000\", expected \"min-max\"");
    ONE_ERROR("{" ECHO "\"WebRtc\":{\"UdpPorts\":\"1-70000\"}}", "WebRtc.UdpPorts");
    ONE_ERROR("{" ECHO "\"WebRtc\":{\"UdpPorts\":\"5\"}}", "WebRtc.UdpPorts");
    ONE_ERROR("{" ECHO "\"WebRtc\":{\"IceServers\":[{}]}}", "WebRtc.IceServers.0.urls: is missing");
    ONE_ERROR("{" ECHO "\"WebRtc\":{\"IceServers\":[{\"urls\":\"http:x\"}]}}",
              "WebRtc.IceServers.0.urls: found \"http:x\"");
    ONE_ERROR("{" ECHO "\"WebRtc\":{\"IceServers\":[{\"urls\":\"turn:x\"}]}}",
              "WebRtc.IceServers.0.credential", "TurnSecret");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"HttpListen\":\"8080\"}}",
              "Gateway.HttpListen: found \"8080\", expected host:port");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"HttpListen\":\"::1:80\"}}", "Gateway.HttpListen");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"HttpListen\":\"a:99999\"}}", "Gateway.HttpListen");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"HttpListen\":\"localhost:80\"}}", "Gateway.HttpListen");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"HttpListen\":\"[::1]\"}}", "Gateway.HttpListen");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"PublicUrl\":\"ftp://x\"}}", "Gateway.PublicUrl");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"PublicAddress\":\"host\"}}", "Gateway.PublicAddress");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"NodeId\":\"a b\"}}", "Gateway.NodeId");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"TlsCertificate\":\"/etc/passwd\"}}", "Gateway.TlsKey: is missing");
    ONE_ERROR("{" ECHO "\"Gateway\":{\"TlsKey\":\"/etc/passwd\"}}", "Gateway.TlsCertificate: is missing");
    ONE_ERROR("{" ECHO "\"AllowedOrigins\":[\"example.com\"]}", "AllowedOrigins.0: found \"example.com\"");
    ONE_ERROR("{" ECHO "\"ForwardedHeaders\":{\"KnownProxies\":[\"10.0.0.0/8\"]}}",
              "ForwardedHeaders.KnownProxies.0");
    ONE_ERROR("{" ECHO "\"ForwardedHeaders\":{\"KnownNetworks\":[\"10.0.0.0/33\"]}}",
              "ForwardedHeaders.KnownNetworks.0");
    ONE_ERROR("{" ECHO "\"Logging\":{\"LogLevel\":{\"Default\":\"Loud\"}}}", "Logging.LogLevel.Default");
    one_warning("{" ECHO CAMPAIGNS ",\"AllowedOrigins\":[\"https://a.example/\"]}", "never matches");
    one_warning("{" ECHO CAMPAIGNS ",\"Gateway\":{\"SessionTokenSecret\":\"short\"}}", "can be guessed");
}

static void a_codec_brings_its_rate(void **state) {
    (void)state;
    struct result r = parse("{\"Agent\":{\"Builtin\":\"echo\",\"Encoding\":\"ALAW\"}}");
    assert_int_equal(r.err, 0);
    assert_int_equal(r.conf->agent.sample_rate_hz, 8000);
    assert_string_equal(conf_encoding_name(r.conf->agent.encoding), "ALAW");
    result_free(&r);
}

static void required_keys(void **state) {
    (void)state;
    struct result r = parse("{}");
    assert_int_equal(r.err, -EINVAL);
    assert_int_equal(r.report.errors, 2);
    assert_non_null(strstr(r.said, "VoiceAiPlatform.BaseUrl: is missing"));
    assert_non_null(strstr(r.said, "VoiceAiPlatform.ApiSecretToken: is missing"));
    assert_non_null(strstr(r.said, "Agent.Builtin"));
    result_free(&r);
    // Without the middleware nobody asks the platform.
    r = parse("{\"Gateway\":{\"Roles\":[\"media\"]}}");
    assert_int_equal(r.err, 0);
    assert_int_equal(r.report.warnings, 0);
    result_free(&r);
    ONE_ERROR(
        "{\"VoiceAiPlatform\":{\"ApiSecretToken\":\"t\",\"BaseUrl\":\"https://p/\",\"Campaigns\":{\"c\":"
        "{\"WebCampaignId\":\"w\",\"AllowedRegionIds\":[\"r\"]}}}}",
        "VoiceAiPlatform.Campaigns.c.BusinessId: is missing");
    // A key of the wrong type is not also missing.
    ONE_ERROR("{\"VoiceAiPlatform\":{\"ApiSecretToken\":\"t\",\"BaseUrl\":7}}",
              "VoiceAiPlatform.BaseUrl: found 7");
}

static void syntax_errors_have_their_place(void **state) {
    (void)state;
    ONE_ERROR("{\n  // \xc3\xa9\n  \"A\" 1\n}", "test.json: error: line 3, column 7");
    ONE_ERROR("{ /* \xc3\xa9\xc3\xa9 */ \"A\": nope }", "line 1, column 17");
    ONE_ERROR("{\n /* open", "line 2, column 2: a comment begins here and never ends");
    ONE_ERROR("{\"A\":[,]}", "line 1");
    ONE_ERROR("{\"A\":1,,}", "line 1");
    ONE_ERROR("{\"A\":1,\"A\":2}", "line 1");
    ONE_ERROR("", "line 1, column 1");
    ONE_ERROR("{\"A\":\"open", "line 1");
    ONE_ERROR("{\"A\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}", "line 1, column 21: more than 16 levels");
}

static void sizes_are_bounded(void **state) {
    (void)state;
    size_t size = (1 << 20) + 2;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, ' ', size);
    memcpy(text, "{}", 2);
    struct conf *conf = NULL;
    struct conf_report report = {0};
    assert_int_equal(conf_parse(&conf, "t", text, size, NULL, &report), -EINVAL);
    assert_int_equal(report.errors, 1);
    size_t n = (size_t)snprintf(text, size, "{" ECHO "\"AllowedOrigins\":[\"https://a\"");
    for (int i = 0; i < 1024; i++)
        n += (size_t)snprintf(text + n, size - n, ",\"https://a\"");
    snprintf(text + n, size - n, "]}");
    ONE_ERROR(text, "AllowedOrigins: found 1025 entries, at most 1024");
    free(text);
}

// Under the sanitizer a conf freed too early or never shows.
static void the_last_hold_frees(void **state) {
    (void)state;
    struct result r = parse("{\"Gateway\":{\"NodeId\":\"held\"},\"Agent\":{\"Builtin\":\"echo\"}}");
    assert_non_null(r.conf);
    const struct conf *held = conf_hold(r.conf);
    assert_ptr_equal(held, r.conf);
    conf_free(r.conf);
    assert_string_equal(held->gateway.node_id, "held");
    conf_free(held);
    conf_free(NULL);
    free(r.said);
}

static void redis_is_judged_and_stays_secret(void **state) {
    (void)state;
    one_error(
        "{\"Agent\":{\"Builtin\":\"echo\"},\"RedisConnectionString\":\"h:1,password=HIDDEN,ssl=maybe\"}",
        (const char *[]){"RedisConnectionString: ssl must be true or false", NULL});
    struct result r =
        parse("{\"Agent\":{\"Builtin\":\"echo\"},\"RedisConnectionString\":\"h:1,pasword=HIDDEN\"}");
    assert_int_equal(r.err, 0);
    assert_non_null(strstr(r.said, "RedisConnectionString: option \"pasword\" is not known"));
    assert_null(strstr(r.said, "HIDDEN"));
    result_free(&r);
}

static void secrets_stay_secret(void **state) {
    (void)state;
    struct result r =
        parse("{\"Agent\":{\"Url\":\"wss://me:HIDDEN@host/p?key=HIDDEN\",\"Headers\":{\"X\":\"HIDDEN\"}},"
              "\"Gateway\":{\"AdminToken\":\"HIDDEN\",\"SessionTokenSecret\":\"HIDDENHIDDENHIDDEN\"},"
              "\"WebRtc\":{\"TurnSecret\":\"HIDDEN\",\"IceServers\":[{\"urls\":\"turn:t\",\"username\":\"u\","
              "\"credential\":\"HIDDEN\"}]},\"RedisConnectionString\":\"h:1,password=HIDDEN\","
              "\"VoiceAiPlatform\":{\"ApiSecretToken\":\"HIDDEN\"},\"IpApi\":{\"ApiKey\":\"HIDDEN\"},"
              "\"Security\":{\"WebhookApiToken\":\"HIDDEN\"}}");
    assert_int_equal(r.err, 0);
    char *printed = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&printed, &len);
    assert_int_equal(conf_print(r.conf, out), 0);
    fclose(out);
    assert_null(strstr(printed, "HIDDEN"));
    assert_non_null(strstr(printed, "\"wss://***@host/p?***\""));
    assert_non_null(strstr(printed, "\"AdminToken\": \"***\""));
    assert_non_null(strstr(printed, "\"Encoding\": \"PCM\""));
    assert_non_null(strstr(printed, "\"UdpPorts\": \"20000-29999\""));
    // What is printed can be read again, up to the one secret that has a form.
    one_error(printed, (const char *[]){"RedisConnectionString: host 1 cannot be understood", NULL});
    free(printed);
    result_free(&r);
    struct result full = parse_env("{}", (char *[]){"Agent__Builtin=echo", NULL});
    out = fopen("/dev/full", "w");
    assert_non_null(out);
    assert_int_equal(conf_print(full.conf, out), -EIO);
    fclose(out);
    result_free(&full);
}

static void restart_is_named(void **state) {
    (void)state;
    struct result a = parse("{" ECHO "\"Gateway\":{\"DrainSeconds\":1,\"AdminToken\":\"a\"}}");
    struct result b =
        parse("{" ECHO "\"Gateway\":{\"DrainSeconds\":2,\"HttpListen\":\"[::1]:80\",\"Roles\":[\"media\"]}}");
    assert_int_equal(a.err | b.err, 0);
    char *said = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&said, &len);
    assert_int_equal(conf_restart_needed(a.conf, b.conf, out), 2);
    assert_int_equal(conf_restart_needed(a.conf, a.conf, out), 0);
    fclose(out);
    assert_non_null(strstr(said, "Gateway.HttpListen: changed"));
    assert_non_null(strstr(said, "Gateway.Roles: changed"));
    assert_int_equal(lines(said), 2);
    free(said);
    result_free(&a);
    result_free(&b);
}

static void files(void **state) {
    (void)state;
    struct conf *conf = NULL;
    struct conf_report report = {0};
    assert_int_equal(conf_load(&conf, "/does/not/exist", NULL, &report), -ENOENT);
    assert_int_equal(conf_load(&conf, "/", NULL, &report), -EISDIR);
    assert_int_equal(report.errors, 2);
    assert_null(conf);
    char path[] = "/tmp/iqra-conf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, existing, sizeof existing - 1), sizeof existing - 1);
    close(fd);
    assert_int_equal(conf_load(&conf, path, NULL, &report), 0);
    unlink(path);
    assert_string_equal(conf->platform.base_url, "https://app.iqra.bot/api/v1/");
    conf_free(conf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(existing_file_works_unchanged),
        cmocka_unit_test(defaults),
        cmocka_unit_test(new_sections),
        cmocka_unit_test(environment_lies_over_the_file),
        cmocka_unit_test(environment_findings),
        cmocka_unit_test(unknown_keys_warn_with_the_nearest),
        cmocka_unit_test(wrong_types),
        cmocka_unit_test(ranges_and_forms),
        cmocka_unit_test(a_codec_brings_its_rate),
        cmocka_unit_test(required_keys),
        cmocka_unit_test(syntax_errors_have_their_place),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(the_last_hold_frees),
        cmocka_unit_test(redis_is_judged_and_stays_secret),
        cmocka_unit_test(secrets_stay_secret),
        cmocka_unit_test(restart_is_named),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
