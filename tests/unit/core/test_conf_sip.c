// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/conf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "{\"Agent\":{\"Builtin\":\"echo\"},\"Gateway\":{\"Roles\":[\"proxy\",\"media\"]}"
#define REGION ",\"Regions\":{\"EU\":{\"Servers\":{\"n1\":{\"Endpoint\":\"10.0.0.5\"}}}}"
#define NUMBER(more)                                                                                         \
    HEAD REGION ",\"Businesses\":{\"7\":{\"Numbers\":{\"a\":{\"Number\":\"+9681\",\"RouteId\":\"r\","        \
                "\"RegionId\":\"EU\"" more "}}}}}"

static struct conf *loaded(const char *text, char *const *env, const char *finding, size_t errors,
                           size_t warnings) {
    char *said = NULL;
    size_t said_len = 0;
    struct conf_report report = {.out = open_memstream(&said, &said_len)};
    struct conf *conf = NULL;
    int err = conf_parse(&conf, "test.json", text, strlen(text), env, &report);
    fclose(report.out);
    if (report.errors != errors || report.warnings != warnings || !strstr(said, finding))
        print_error("for %s, wanted \"%s\":\n%s", text, finding, said);
    assert_int_equal(report.errors, errors);
    assert_int_equal(report.warnings, warnings);
    assert_non_null(strstr(said, finding));
    assert_int_equal(err, errors ? -EINVAL : 0);
    free(said);
    return conf;
}

static void error(const char *text, const char *finding) {
    assert_null(loaded(text, NULL, finding, 1, 0));
}

static void warning(const char *text, const char *finding) {
    conf_free(loaded(text, NULL, finding, 0, 1));
}

static char *printed(const struct conf *conf) {
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(conf_print(conf, out), 0);
    fclose(out);
    return text;
}

static void defaults(void **state) {
    (void)state;
    struct conf *conf = loaded(NUMBER(""), NULL, "", 0, 0);
    assert_int_equal(conf->sip.proxy_listen.count, 2);
    assert_string_equal(conf->sip.proxy_listen.items[0], "udp:0.0.0.0:5060");
    assert_string_equal(conf->sip.proxy_listen.items[1], "tcp:0.0.0.0:5060");
    assert_string_equal(conf->sip.media_listen.items[1], "tcp:0.0.0.0:5070");
    assert_int_equal(conf->sip.codecs.count, 4);
    assert_string_equal(conf->sip.codecs.items[3], "OPUS");
    assert_int_equal(conf->sip.rtp_ports.min, 10000);
    assert_int_equal(conf->sip.rtp_ports.max, 19999);
    assert_int_equal(conf->sip.dead_call_seconds, 30);
    assert_int_equal(conf->sip.session_expires_seconds, 1800);
    assert_int_equal(conf->sip.invites_per_second, 50);
    assert_false(conf->sip.accept_direct);
    const struct conf_business *business = &conf->businesses[0];
    assert_true(business->active);
    assert_false(business->admin);
    assert_int_equal(business->max_concurrent_calls, 0);
    assert_string_equal(business->numbers[0].provider, "SIP");
    assert_string_equal(business->numbers[0].override_sip_username, "");
    assert_false(business->numbers[0].require_srtp);
    const struct conf_region *region = &conf->regions[0];
    assert_true(region->enabled);
    assert_int_equal(region->servers[0].sip_port, 5070);
    assert_true(region->servers[0].enabled);
    assert_false(region->servers[0].development);
    conf_free(conf);
}

static void nothing_is_listened_on_without_numbers(void **state) {
    (void)state;
    struct conf *conf = loaded(HEAD "}", NULL, "", 0, 0);
    assert_int_equal(conf->sip.proxy_listen.count, 0);
    assert_int_equal(conf->sip.media_listen.count, 0);
    conf_free(conf);
    conf = loaded(HEAD ",\"Sip\":{\"ProxyListen\":[\"udp:0.0.0.0:5060\"]}}", NULL, "", 0, 0);
    assert_int_equal(conf->sip.proxy_listen.count, 1);
    assert_int_equal(conf->sip.media_listen.count, 0);
    conf_free(conf);
    char *env[] = {"Sip__ProxyListen__0=tls:[::1]:5061", "Sip__TlsCertificate=/dev/null",
                   "Sip__TlsKey=/dev/null", NULL};
    struct conf *tls = loaded(NUMBER(""), env, "", 0, 0);
    assert_int_equal(tls->sip.proxy_listen.count, 1);
    assert_string_equal(tls->sip.proxy_listen.items[0], "tls:[::1]:5061");
    conf_free(tls);
}

static void nested_maps_are_read_printed_and_overridden(void **state) {
    (void)state;
    static const char text[] = HEAD
        ",\"Businesses\":{\"7\":{\"Active\":false,\"Admin\":true,\"MaxConcurrentCalls\":3,\"Numbers\":{"
        "\"a\":{\"Number\":\"+1\",\"RouteId\":1,\"RegionId\":\"EU\",\"AllowedSourceIps\":[\"10.0.0.0/8\","
        "\"2001:db8::1\"],\"OverrideSipUsername\":\"u\",\"OverrideSipPassword\":\"hush\",\"RequireSrtp\":"
        "true},\"b\":{\"Number\":22,\"Provider\":\"Twilio\"}}},\"8\":{}},"
        "\"Regions\":{\"EU\":{\"FallbackRegionIds\":[\"US\"],\"Servers\":{\"n1\":{\"Endpoint\":\"a.b\","
        "\"SipPort\":\"5080\",\"Development\":true},\"n2\":{}}},\"US\":{\"Enabled\":false}}}";
    char *env[] = {"Businesses__7__Numbers__A__RouteId=route-9", "Businesses__7__Numbers__c__Number=+3",
                   "Businesses__7__Numbers__c__RegionId=EU",     "Businesses__7__Numbers__c__RouteId=r",
                   "Regions__EU__Servers__N2__SipPort=5999",     NULL};
    struct conf *conf = loaded(text, env, "", 0, 0);
    assert_int_equal(conf->business_count, 2);
    const struct conf_business *business = &conf->businesses[0];
    assert_string_equal(business->id, "7");
    assert_false(business->active);
    assert_true(business->admin);
    assert_int_equal(business->max_concurrent_calls, 3);
    assert_int_equal(business->number_count, 3);
    assert_string_equal(business->numbers[0].route_id, "route-9");
    assert_string_equal(business->numbers[0].allowed_source_ips.items[1], "2001:db8::1");
    assert_string_equal(business->numbers[0].override_sip_password, "hush");
    assert_true(business->numbers[0].require_srtp);
    assert_string_equal(business->numbers[1].number, "22");
    assert_string_equal(business->numbers[1].provider, "Twilio");
    assert_string_equal(business->numbers[2].id, "c");
    assert_string_equal(business->numbers[2].number, "+3");
    assert_int_equal(conf->businesses[1].number_count, 0);
    assert_int_equal(conf->regions[0].servers[0].sip_port, 5080);
    assert_true(conf->regions[0].servers[0].development);
    assert_int_equal(conf->regions[0].servers[1].sip_port, 5999);
    assert_string_equal(conf->regions[0].fallback_region_ids.items[0], "US");
    assert_false(conf->regions[1].enabled);
    char *shown = printed(conf);
    assert_null(strstr(shown, "hush"));
    assert_non_null(strstr(shown, "\"OverrideSipPassword\": \"***\""));
    assert_non_null(strstr(shown, "\"route-9\""));
    assert_non_null(strstr(shown, "\"SipPort\": 5999"));
    free(shown);
    conf_free(conf);
}

#define SIP(keys) HEAD ",\"Sip\":{" keys "}}"

static void listen_addresses(void **state) {
    (void)state;
    error(SIP("\"ProxyListen\":[\"0.0.0.0:5060\"]"),
          "Sip.ProxyListen.0: found \"0.0.0.0:5060\", expected udp:");
    error(SIP("\"ProxyListen\":[\"udp:localhost:5060\"]"), "Sip.ProxyListen.0");
    error(SIP("\"ProxyListen\":[\"ws:0.0.0.0:5060\"]"), "Sip.ProxyListen.0");
    error(SIP("\"ProxyListen\":[\"udp:::1:5060\"]"), "Sip.ProxyListen.0");
    error(SIP("\"MediaListen\":[\"udp:0.0.0.0\"]"), "Sip.MediaListen.0");
    error(SIP("\"ProxyListen\":[\"udp:0.0.0.0:5060\"],\"MediaListen\":[\"udp:0.0.0.0:5060\"]"),
          "Sip.MediaListen.0: found \"udp:0.0.0.0:5060\", which is in Sip.ProxyListen too");
    assert_null(loaded(SIP("\"ProxyListen\":[\"tls:0.0.0.0:5061\"]"), NULL, "Sip.TlsKey: is missing", 2, 0));
    error(SIP("\"ProxyListen\":[\"tls:0.0.0.0:5061\"],\"TlsCertificate\":\"/does/not/exist\",\"TlsKey\":"
              "\"/dev/null\""),
          "Sip.TlsCertificate: cannot read");
    error(SIP("\"TlsCaFile\":\"/does/not/exist\""), "Sip.TlsCaFile: cannot read");
}

static void forms(void **state) {
    (void)state;
    error(SIP("\"InbandDtmf\":\"maybe\""), "Sip.InbandDtmf: found \"maybe\", expected one of auto, on, off");
    error(SIP("\"Codecs\":[]"), "Sip.Codecs: is empty");
    error(SIP("\"Codecs\":[\"G729\"]"), "Sip.Codecs.0: found \"G729\"");
    error(SIP("\"TrustedSources\":[\"10.0.0.0/33\"]"), "Sip.TrustedSources.0");
    error(SIP("\"ForwardedHeaders\":[\"Via\"]"), "Sip.ForwardedHeaders.0");
    error(SIP("\"ForwardedHeaders\":[\"X-a b\"]"), "Sip.ForwardedHeaders.0");
    error(SIP("\"SessionExpiresSeconds\":60"), "Sip.SessionExpiresSeconds: found 60");
    error(HEAD ",\"Businesses\":{\"01\":{}}}", "Businesses.01: is no business id");
    error(HEAD ",\"Businesses\":{\"x1\":{}}}", "Businesses.x1: is no business id");
    error(HEAD ",\"Businesses\":{\"1\":{\"Numbers\":{\"a\":{\"Provider\":\"Twilio\"}}}}}",
          "Businesses.1.Numbers.a.Number: is missing");
    error(NUMBER(",\"AllowedSourceIps\":[\"10.0.0\"]"), "Businesses.7.Numbers.a.AllowedSourceIps.0");
    error(NUMBER(",\"OverrideSipUsername\":\"u\""), "Businesses.7.Numbers.a.OverrideSipPassword: is missing");
    error(NUMBER(",\"OverrideSipPassword\":\"u\""), "Businesses.7.Numbers.a.OverrideSipUsername: is missing");
    error(HEAD ",\"Regions\":{\"EU\":{\"Servers\":{\"n\":{\"Endpoint\":\"a b\"}}}}}",
          "Regions.EU.Servers.n.Endpoint: found \"a b\"");
}

static void names_that_lead_nowhere_warn(void **state) {
    (void)state;
    warning(HEAD ",\"Businesses\":{\"1\":{\"Numbers\":{\"a\":{\"Number\":\"+1\",\"RouteId\":\"r\"}}}}}",
            "Businesses.1.Numbers.a.RegionId: \"\" is not in Regions");
    warning(HEAD REGION
            ",\"Businesses\":{\"1\":{\"Numbers\":{\"a\":{\"Number\":\"+1\",\"RegionId\":\"EU\"}}}}}",
            "Businesses.1.Numbers.a.RouteId: is missing");
    warning(HEAD ",\"Regions\":{\"EU\":{\"FallbackRegionIds\":[\"US\"]}}}",
            "Regions.EU.FallbackRegionIds.0: \"US\" is not in Regions");
    warning(HEAD REGION
            ",\"Businesses\":{\"1\":{\"Numbers\":{\"a\":{\"Number\":\"+1-5\",\"RouteId\":\"r\",\"RegionId\":"
            "\"EU\"}}},\"2\":{\"Numbers\":{\"b\":{\"Number\":\"1-5\",\"RouteId\":\"r\",\"RegionId\":\"EU\"},"
            "\"c\":{\"Number\":\"15\",\"Provider\":\"Twilio\"}}}}}",
            "too: dialled alone it finds neither");
    warning("{\"VoiceAiPlatform\":{\"BaseUrl\":\"http://p/\",\"ApiSecretToken\":\"t\"},"
            "\"Gateway\":{\"Roles\":[\"media\"]}" REGION ",\"Businesses\":{\"7\":{\"Numbers\":{\"a\":{"
            "\"Number\":\"+1\",\"RouteId\":\"r\",\"RegionId\":\"EU\",\"CampaignId\":\"c\"}}}}}",
            "Businesses.7.Numbers.a.CampaignId: \"c\" is not in VoiceAiPlatform.Campaigns");
}

static void listening_elsewhere_needs_a_restart(void **state) {
    (void)state;
    struct conf *before = loaded(HEAD "}", NULL, "", 0, 0), *after = loaded(NUMBER(""), NULL, "", 0, 0);
    assert_int_equal(conf_restart_needed(before, after, NULL), 2);
    conf_free(before);
    conf_free(after);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(nothing_is_listened_on_without_numbers),
        cmocka_unit_test(nested_maps_are_read_printed_and_overridden),
        cmocka_unit_test(listen_addresses),
        cmocka_unit_test(forms),
        cmocka_unit_test(names_that_lead_nowhere_warn),
        cmocka_unit_test(listening_elsewhere_needs_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
