// SPDX-License-Identifier: Apache-2.0
// The session requests with a fake exchange, a fake platform client and a fake layer above.
#include "tests/unit/middleware/api_fixture.h"

static void webrtc_hides_the_platform(void **state) {
    (void)state;
    struct fixture f;
    struct http_exchange exchange;
    set_up(&f, "{" PLATFORM ",\"Agent\":{\"Encoding\":\"MULAW\",\"FrameMs\":40}}");
    post_from(&f, REQUEST, "203.0.113.9",
              "{\"CAMPAIGNID\":\"Example\",\"regionid\":\"EU-DE\",\"TransportType\":\"1\","
              "\"clientIdentifier\":\"us er\","
              "\"dynamicVariables\":{\"a\":\"b\"},\"metadata\":{\"c\":\"d\"},\"unknown\":[1],"
              "\"audioConfiguration\":"
              "{\"inputEncodingType\":1,\"inputSampleRate\":48000,\"inputBitsPerSample\":16,"
              "\"bufferThresholdMs\":20}}",
              &exchange);
    assert_int_equal(exchange.replies, 0);
    assert_int_equal(platform.asked, 1);
    assert_string_equal(platform.url, "https://p.example/api/v1/business/12/websession/initiate");
    assert_non_null(strstr(platform.headers, "Authorization: Token TOKEN1\n"));
    assert_non_null(strstr(platform.headers, "Content-Type: application/json"));
    json_t *sent = json_loads(platform.body, 0, NULL);
    json_t *wanted = json_loads(
        "{\"TransportType\":0,\"WebCampaignId\":\"web-1\",\"RegionId\":\"EU-DE\",\"ClientIdentifier\":"
        "\"us er_203.0.113.9\",\"AudioInputConfiguration\":{\"SampleRate\":8000,\"BitsPerSample\":8,"
        "\"AudioEncodingType\":3,\"AudioEncodingFallbackMode\":1},\"AudioOutputConfiguration\":{"
        "\"SampleRate\":8000,"
        "\"BitsPerSample\":8,\"AudioEncodingType\":3,\"AudioEncodingFallbackMode\":1,\"FrameDurationMs\":40},"
        "\"DynamicVariables\":{\"a\":\"b\"},\"Metadata\":{\"c\":\"d\"}}",
        0, NULL);
    assert_true(json_equal(sent, wanted));
    json_decref(sent);
    json_decref(wanted);
    platform_answers(200, platform_good);
    assert_int_equal(exchange.status, 200);
    assert_string_equal(exchange.body,
                        "{\"webSocketUrl\":\"wss://gw/ws/session/ses_abc/webrtc/us_er_203.0.113.9/token\","
                        "\"iceServers\":[{\"urls\":[\"stun:s\"]}]}");
    assert_string_equal(f.agent_url, "wss://agent.example/ws?token=SECRET");
    assert_string_equal(f.host, "gw.example");
    assert_true(f.secure);
    assert_int_equal(f.encoding, CONF_MULAW);
    assert_int_equal(f.rate_hz, 8000);
    assert_int_equal(f.frame_ms, 40);
    assert_int_equal(f.releases, 0);
    tear_down(&f);
}

static void websocket_gives_the_platforms_url(void **state) {
    (void)state;
    struct fixture f;
    struct http_exchange exchange;
    set_up(&f, "{" PLATFORM "}");
    post_from(
        &f, REQUEST, "2001:db8::1",
        "{\"campaignId\":\"Example\",\"regionId\":\"us\",\"transportType\":0,\"clientIdentifier\":null,"
        "\"audioConfiguration\":{\"inputEncodingType\":1,\"inputSampleRate\":24000,\"inputBitsPerSample\":16,"
        "\"outputEncodingType\":7,\"outputSampleRate\":48000,\"outputBitsPerSample\":16}," REST,
        &exchange);
    json_t *sent = json_loads(platform.body, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(sent, "ClientIdentifier")), "2001:db8::1");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(sent, "AudioInputConfiguration"), "SampleRate")),
        24000);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(sent, "AudioOutputConfiguration"),
                                                        "AudioEncodingType")),
                     7);
    json_decref(sent);
    // The open-source platform's shape.
    platform_answers(
        200, "{\"success\":true,\"data\":{\"sessionId\":\"s1\",\"sessionWebSocketURL\":\"wss://p/x\"}}");
    assert_int_equal(exchange.status, 200);
    assert_string_equal(exchange.body, "{\"webSocketUrl\":\"wss://p/x\"}");
    assert_int_equal(f.sessions, 0);
    assert_int_equal(f.releases, 0);
    tear_down(&f);
}

static void fixed_agents_need_no_platform(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, "{\"Agent\":{\"Builtin\":\"echo\"}," CAMPAIGNS_ONLY "}");
    expect(&f, good_webrtc, 200, "\"webSocketUrl\":\"wss://gw/ws/session/ses_");
    assert_int_equal(platform.asked, 0);
    assert_string_equal(f.agent_url, "");
    assert_int_equal(strlen(f.session_id), strlen("ses_") + 32);
    char first[sizeof f.session_id];
    memcpy(first, f.session_id, sizeof first);
    expect(&f, good_webrtc, 200, "ses_");
    assert_string_not_equal(first, f.session_id);
    // No platform, so no URL of its own to hand out; nothing is taken for such a request.
    int admits = f.admits;
    expect(&f, "{\"campaignId\":\"Example\",\"regionId\":\"EU-DE\"," REST, 400,
           "transportType 0 (WebSocket) is not available");
    assert_int_equal(f.admits, admits);
    tear_down(&f);
    set_up(&f, "{\"Agent\":{\"Url\":\"ws://a.example/x\"}," CAMPAIGNS_ONLY "}");
    expect(&f, good_webrtc, 200, "ses_");
    assert_string_equal(f.agent_url, "ws://a.example/x");
    tear_down(&f);
}

static void refusals_say_the_agreed_words(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, "{" PLATFORM "}");
#define REGION "{\"message\":\"Invalid or missing RegionId, or RegionId not allowed for this campaign.\"}"
#define CAMPAIGN "{\"message\":\"Invalid or missing CampaignId.\"}"
    expect(&f, "{" REST, 400, CAMPAIGN);
    expect(&f, "{\"campaignId\":\"\"," REST, 400, CAMPAIGN);
    expect(&f, "{\"campaignId\":null," REST, 400, CAMPAIGN);
    expect(&f, "{\"campaignId\":\"example\"," REST, 400, CAMPAIGN);
    expect(&f, "{\"campaignId\":\"Example\"," REST, 400, REGION);
    expect(&f, "{\"campaignId\":\"Example\",\"regionId\":\"mars\"," REST, 400, REGION);
    struct http_exchange exchange;
    post_from(&f, REQUEST, "", good_webrtc, &exchange);
    assert_int_equal(exchange.status, 400);
    assert_string_equal(exchange.body, "{\"message\":\"Could not determine client IP address.\"}");
#define BEGIN "{\"campaignId\":\"Example\",\"regionId\":\"us\",\"clientIdentifier\":"
    expect(&f, BEGIN "\"a/b\"," REST, 400, "{\"message\":\"ClientIdentifier must not contain");
    expect(&f, BEGIN "\"a\\\\b\"," REST, 400, "ClientIdentifier must not contain");
    expect(&f, BEGIN "\"a\\nb\"," REST, 400, "ClientIdentifier must not contain");
    char body[1024], filler[300];
    memset(filler, 'x', sizeof filler);
    // With "_203.0.113.9" (12 characters) behind it.
    snprintf(body, sizeof body, BEGIN "\"%.245s\"," REST, filler);
    expect(&f, body, 400, "ClientIdentifier is too long");
    assert_int_equal(f.admits, 0);
    snprintf(body, sizeof body, BEGIN "\"%.244s\",\"transportType\":1," REST, filler);
    post_from(&f, REQUEST, "203.0.113.9", body, &exchange);
    assert_int_equal(f.admits, 1);
    platform_answers(200, platform_good);
    assert_int_equal(exchange.status, 200);
    assert_int_equal(strlen(f.client_id), 256);
    tear_down(&f);
}

static void malformed_bodies(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, "{" PLATFORM "}");
#define EIGHT(c) c c c c c c c c
#define DEEP EIGHT("[[[[[") "1" EIGHT("]]]]]")
#define ID "{\"campaignId\":\"Example\",\"regionId\":\"us\","
    static const struct {
        const char *body, *field;
    } bad[] = {
        {"", "$"},
        {"  ", "$"},
        {"nope", "$"},
        {"[]", "$"},
        {"{\"campaignId\":", "$"},
        {"{\"campaignId\":5," REST, "campaignId"},
        {ID "\"metadata\":{}}", "dynamicVariables"},
        {ID "\"dynamicVariables\":{}}", "metadata"},
        {ID "\"dynamicVariables\":[],\"metadata\":{}}", "dynamicVariables"},
        {ID "\"dynamicVariables\":{},\"metadata\":{\"a\":1}}", "metadata"},
        {ID "\"dynamicVariables\":{\"a\":null},\"metadata\":{}}", "dynamicVariables"},
        {ID "\"transportType\":2," REST, "transportType"},
        {ID "\"transportType\":-1," REST, "transportType"},
        {ID "\"transportType\":\"carrier pigeon\"," REST, "transportType"},
        {ID "\"transportType\":99999999999999," REST, "transportType"},
        {ID "\"clientIdentifier\":{}," REST, "clientIdentifier"},
        {ID "\"audioConfiguration\":7," REST, "audioConfiguration"},
        {ID "\"audioConfiguration\":{\"inputEncodingType\":9}," REST, "inputEncodingType"},
        {ID "\"audioConfiguration\":{\"outputSampleRate\":\"fast\"}," REST, "outputSampleRate"},
        {ID "\"audioConfiguration\":{\"outputBitsPerSample\":4}," REST, "outputBitsPerSample"},
        {ID "\"dynamicVariables\":{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa9\":1},\"metadata\":{}}",
         "dynamicVariables"},
        {"{\"campaignId\":\"\\ud800\"," REST, "$"},
        {ID "\"campaignId\":\"Example\"," REST, "$"}, // twice
        {ID REST " {}", "$"},
        {ID "\"more\":" DEEP "," REST, "$"},
        {DEEP, "$"},
        {ID "\"metadata\":{\"a\":{}},\"dynamicVariables\":{}}", "metadata"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct http_exchange exchange;
        post_from(&f, REQUEST, "203.0.113.9", bad[i].body, &exchange);
        assert_int_equal(exchange.replies, 1);
        assert_int_equal(exchange.status, 400);
        assert_string_equal(exchange.type, "application/problem+json; charset=utf-8");
        json_t *root = json_loads(exchange.body, 0, NULL);
        json_t *texts = json_object_get(json_object_get(root, "errors"), bad[i].field);
        if (!json_array_size(texts))
            print_error("for %s: %s\n", bad[i].body, exchange.body);
        assert_int_equal(json_array_size(texts), 1);
        assert_string_equal(json_string_value(json_object_get(root, "message")),
                            json_string_value(json_array_get(texts, 0)));
        assert_int_equal(json_integer_value(json_object_get(root, "status")), 400);
        assert_non_null(json_string_value(json_object_get(root, "title")));
        json_decref(root);
    }
    assert_int_equal(f.admits, 0);
    tear_down(&f);
}

static void every_problem_is_named(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, "{" PLATFORM "}");
    expect(&f, "{\"campaignId\":1,\"regionId\":1,\"transportType\":7}", 400, "\"metadata\":[");
    expect(&f, "{\"campaignId\":1,\"regionId\":1,\"transportType\":7}", 400, "\"regionId\":[");
    // More than are kept.
    expect(&f,
           "{\"campaignId\":1,\"regionId\":1,\"businessId\":{},\"clientIdentifier\":1,\"transportType\":7,"
           "\"audioConfiguration\":{\"inputEncodingType\":0,\"inputSampleRate\":0,\"inputBitsPerSample\":0,"
           "\"outputEncodingType\":0,\"outputSampleRate\":0,\"outputBitsPerSample\":0}}",
           400, "\"campaignId\":[");
    tear_down(&f);
}

static void admission_decides(void **state) {
    (void)state;
    struct fixture f;
    struct http_exchange exchange;
    set_up(&f, "{" PLATFORM "}");
    f.verdict =
        (struct api_admission){.status = 429, .message = "Hourly rate limit exceeded.", .retry_after_s = 30};
    post_from(&f, REQUEST, "203.0.113.9", good_webrtc, &exchange);
    assert_int_equal(exchange.status, 429);
    assert_string_equal(exchange.body, "{\"message\":\"Hourly rate limit exceeded.\"}");
    assert_string_equal(exchange.retry_after, "30");
    f.verdict = (struct api_admission){.status = 403, .message = "VPN detected."};
    post_from(&f, REQUEST, "203.0.113.9", good_webrtc, &exchange);
    assert_int_equal(exchange.status, 403);
    assert_string_equal(exchange.retry_after, "");
    assert_int_equal(f.releases, 0);
    assert_int_equal(platform.asked, 0);
    // A verdict that comes later, after the configuration has been replaced.
    f.admit_later = true;
    post_from(&f, REQUEST, "203.0.113.9", good_webrtc, &exchange);
    assert_int_equal(exchange.replies, 0);
    struct conf_report report = {0};
    struct conf *next = NULL;
    static const char text[] = "{" PLATFORM ",\"Agent\":{\"SampleRate\":24000}}";
    assert_int_equal(conf_parse(&next, "t", text, strlen(text), NULL, &report), 0);
    initiate_set_conf(f.initiate, next);
    api_set_conf(f.api, next);
    conf_free(f.conf);
    f.conf = next;
    f.done(&(struct api_admission){.status = 200}, f.done_arg);
    platform_answers(200, platform_good);
    assert_int_equal(exchange.status, 200);
    assert_int_equal(f.rate_hz, 24000);
    tear_down(&f);
}

static void failures_give_back_what_was_taken(void **state) {
    (void)state;
    static const char failed[] = "{\"message\":\"An error occurred while trying to initiate the session.\"}";
    static const struct {
        long status;
        const char *body;
    } answers[] = {
        {200, "<html>"},
        {200, "[]"},
        {200, "{\"success\":false,\"code\":\"X\",\"message\":\"TOKEN1 is unknown\"}"},
        {401, "{\"success\":false,\"message\":\"no\"}"},
        {200, "{\"success\":true}"},
        {200, "{\"success\":true,\"data\":{\"sessionWebSocketURL\":\"https://p/x\"}}"},
        {200, "{\"success\":true,\"data\":{\"sessionWebSocketURL\":7}}"},
        {500, "{\"success\":true,\"data\":{\"sessionWebSocketURL\":\"wss://p/x\"}}"},
        {204, ""},
    };
    struct fixture f;
    struct http_exchange exchange;
    set_up(&f, "{" PLATFORM "}");
    int releases = 0;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        post_from(&f, REQUEST, "203.0.113.9", good_webrtc, &exchange);
        platform_answers(answers[i].status, answers[i].body);
        assert_int_equal(exchange.status, 500);
        assert_string_equal(exchange.body, failed);
        assert_int_equal(f.releases, ++releases);
    }
    static const int errs[] = {-ETIMEDOUT, -ECONNREFUSED, -EPROTO, -ECANCELED};
    for (size_t i = 0; i < sizeof errs / sizeof errs[0]; i++) {
        post_from(&f, REQUEST, "203.0.113.9", good_webrtc, &exchange);
        platform_fails(errs[i]);
        assert_string_equal(exchange.body, failed);
        assert_int_equal(f.releases, ++releases);
    }
    platform.refuse_err = -ENOMEM;
    post_from(&f, REQUEST, "203.0.113.9", good_webrtc, &exchange);
    assert_int_equal(exchange.status, 500);
    assert_int_equal(f.releases, ++releases);
    platform.refuse_err = 0;
    f.session_err = -ENOSPC;
    post_from(&f, REQUEST, "203.0.113.9", good_webrtc, &exchange);
    platform_answers(200, platform_good);
    assert_int_equal(exchange.status, 503);
    assert_string_equal(exchange.retry_after, "10");
    f.session_err = -EBUSY;
    post_from(&f, REQUEST, "203.0.113.9", good_webrtc, &exchange);
    platform_answers(200, platform_good);
    assert_int_equal(exchange.status, 503);
    assert_string_equal(exchange.retry_after, "10");
    f.session_err = -EIO;
    post_from(&f, REQUEST, "203.0.113.9", good_webrtc, &exchange);
    platform_answers(200, platform_good);
    assert_int_equal(exchange.status, 500);
    assert_int_equal(f.releases, releases + 3);
    assert_string_equal(exchange.retry_after, "");
    assert_int_equal(f.admits, f.releases);
    tear_down(&f);
}

static void an_id_already_in_use_is_replaced(void **state) {
    (void)state;
    struct fixture f;
    struct http_exchange exchange;
    set_up(&f, "{" PLATFORM "}");
    f.taken_id = "ses_abc";
    post_from(&f, REQUEST, "203.0.113.9", good_webrtc, &exchange);
    platform_answers(200, platform_good);
    assert_int_equal(exchange.status, 200);
    assert_int_equal(f.sessions, 2);
    assert_null(strstr(exchange.body, "ses_abc"));
    assert_non_null(strstr(exchange.body, "/ws/session/ses_"));
    tear_down(&f);
}

static void an_id_as_long_as_sessions_take_is_kept(void **state) {
    (void)state;
    struct fixture f;
    struct http_exchange exchange;
    char answer[512], id[129];
    set_up(&f, "{" PLATFORM "}");
    for (size_t len = 127; len <= 128; len++) {
        memset(id, 'i', len);
        id[len] = '\0';
        snprintf(answer, sizeof answer,
                 "{\"success\":true,\"data\":{\"sessionId\":\"%s\",\"sessionWebSocketURL\":\"ws://a/\"}}",
                 id);
        post_from(&f, REQUEST, "203.0.113.9", good_webrtc, &exchange);
        platform_answers(200, answer);
        assert_int_equal(exchange.status, 200);
        // What a session's name has room for, gateway/sessions_impl.h.
        assert_true(strlen(f.session_id) < 128);
        assert_int_equal(strcmp(f.session_id, id) == 0, len == 127);
    }
    tear_down(&f);
}

static void a_node_without_media_says_so(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, "{" PLATFORM ",\"Gateway\":{\"Roles\":[\"middleware\"]}}");
    expect(&f, good_webrtc, 400, "no media role");
    assert_int_equal(platform.asked, 0);
    tear_down(&f);
}

static void a_host_that_makes_no_url_is_refused(void **state) {
    (void)state;
    static const char *const hosts[] = {"", "a/b", "user@gw", "gw?x", "gw x"};
    struct fixture f;
    set_up(&f, "{" PLATFORM "}");
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        f.request_host = hosts[i];
        expect(&f, good_webrtc, 400, "Host header");
    }
    assert_int_equal(f.admits, 0);
    tear_down(&f);
    set_up(&f, "{" PLATFORM ",\"Gateway\":{\"PublicUrl\":\"wss://edge\"}}");
    struct http_exchange exchange;
    f.request_host = "";
    post_from(&f, REQUEST, "203.0.113.9", good_webrtc, &exchange);
    platform_answers(200, platform_good);
    assert_int_equal(exchange.status, 200);
    tear_down(&f);
}

static void unsafe_session_ids_are_replaced(void **state) {
    (void)state;
    static const char *const ids[] = {"../../etc", "a/b", "a b", "", ".", "a%2fb"};
    struct fixture f;
    struct http_exchange exchange;
    set_up(&f, "{" PLATFORM "}");
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char body[256];
        snprintf(body, sizeof body,
                 "{\"Success\":true,\"Data\":{\"SessionId\":\"%s\",\"SessionWebSocketUrl\":\"ws://p/x\"}}",
                 ids[i]);
        post_from(&f, REQUEST, "203.0.113.9", good_webrtc, &exchange);
        platform_answers(200, body);
        assert_int_equal(exchange.status, 200);
        assert_int_equal(strlen(f.session_id), strlen("ses_") + 32);
    }
    tear_down(&f);
}

static void older_shape(void **state) {
    (void)state;
    struct fixture f;
    struct http_exchange exchange;
    set_up(&f, "{\"Agent\":{\"Builtin\":\"echo\"}," PLATFORM "}");
    static const char *const good[] = {
        "{\"businessId\":12,\"campaignId\":\"Example\",\"transportType\":\"WebRTC\",\"audioConfig\":{"
        "\"inputCodec\":"
        "\"OPUS\",\"outputCodec\":\"OPUS\",\"sampleRate\":48000}}",
        "{\"businessId\":\"12\",\"campaignId\":\"web-1\",\"transportType\":\"webrtc\",\"regionId\":\"EU-"
        "DE\"}",
    };
    for (size_t i = 0; i < 2; i++) {
        post_from(&f, INITIATE, "203.0.113.9", good[i], &exchange);
        assert_int_equal(exchange.status, 200);
        assert_memory_equal(exchange.body, "{\"websocketUrl\":\"wss://gw/ws/session/ses_", 40);
        assert_non_null(strstr(exchange.body, "\"iceServers\":[{"));
        assert_string_equal(f.region_id, "EU-DE");
    }
    static const struct {
        const char *body, *answer;
    } bad[] = {
        {"{\"campaignId\":\"Example\",\"transportType\":\"WebRTC\"}",
         "{\"message\":\"Invalid or missing BusinessId.\"}"},
        {"{\"businessId\":13,\"campaignId\":\"Example\"}", "Invalid or missing BusinessId."},
        {"{\"businessId\":12,\"transportType\":\"WebRTC\"}",
         "{\"message\":\"Invalid or missing CampaignId.\"}"},
        {"{\"businessId\":12,\"campaignId\":\"other\"}", "Invalid or missing CampaignId."},
        {"{\"businessId\":12,\"campaignId\":\"Example\",\"regionId\":\"mars\"}",
         "Invalid or missing RegionId"},
        {"{\"businessId\":1.5,\"campaignId\":\"Example\"}", "\"businessId\":["},
        {"{\"businessId\":12,\"campaignId\":\"Example\",\"audioConfig\":{\"inputCodec\":\"MP3\"}}",
         "\"inputCodec\":["},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        post_from(&f, INITIATE, "203.0.113.9", bad[i].body, &exchange);
        assert_int_equal(exchange.status, 400);
        assert_non_null(strstr(exchange.body, bad[i].answer));
    }
    // WebSocket: the platform's own URL, in this shape's spelling.
    post_from(&f, INITIATE, "203.0.113.9",
              "{\"businessId\":12,\"campaignId\":\"Example\",\"transportType\":\"WebSocket\"}", &exchange);
    platform_answers(200, platform_good);
    assert_string_equal(exchange.body, "{\"websocketUrl\":\"wss://agent.example/ws?token=SECRET\"}");
    tear_down(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(webrtc_hides_the_platform),
        cmocka_unit_test(websocket_gives_the_platforms_url),
        cmocka_unit_test(fixed_agents_need_no_platform),
        cmocka_unit_test(refusals_say_the_agreed_words),
        cmocka_unit_test(malformed_bodies),
        cmocka_unit_test(every_problem_is_named),
        cmocka_unit_test(admission_decides),
        cmocka_unit_test(failures_give_back_what_was_taken),
        cmocka_unit_test(an_id_already_in_use_is_replaced),
        cmocka_unit_test(an_id_as_long_as_sessions_take_is_kept),
        cmocka_unit_test(a_node_without_media_says_so),
        cmocka_unit_test(a_host_that_makes_no_url_is_refused),
        cmocka_unit_test(unsafe_session_ids_are_replaced),
        cmocka_unit_test(older_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
