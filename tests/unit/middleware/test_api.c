// SPDX-License-Identifier: Apache-2.0
// The doors of the session requests: what reaches the desk, and how its answers look.
#include "tests/unit/middleware/api_fixture.h"

static void what_is_asked_reaches_the_desk(void **state) {
    (void)state;
    struct fixture f;
    struct http_exchange exchange;
    set_up(&f, "{" PLATFORM "}");
    post_from(&f, REQUEST, "203.0.113.9",
              "{\"CAMPAIGNID\":\"Example\",\"regionid\":\"EU-DE\",\"TransportType\":\"1\","
              "\"clientIdentifier\":\"us er\","
              "\"dynamicVariables\":{\"a\":\"b\"},\"metadata\":{\"c\":\"d\"},\"unknown\":[1],"
              "\"audioConfiguration\":"
              "{\"inputEncodingType\":1,\"inputSampleRate\":48000,\"inputBitsPerSample\":16,"
              "\"outputEncodingType\":7,\"bufferThresholdMs\":20}}",
              &exchange);
    char *text = initiate_request_text(&fake_desk.request);
    assert_string_equal(
        text,
        "{\"schema\":1,\"campaign\":\"Example\",\"region\":\"EU-DE\",\"client\":\"us er_203.0.113.9\","
        "\"address\":\"203.0.113.9\",\"transport\":1,\"variables\":{\"a\":\"b\"},\"metadata\":{\"c\":\"d\"},"
        "\"input\":[1,48000,16],\"output\":[7,0,0],\"host\":\"gw.example\",\"secure\":true}");
    free(text);
    assert_int_equal(exchange.status, 200);
    assert_string_equal(exchange.body,
                        "{\"webSocketUrl\":\"wss://gw/x\",\"iceServers\":[{\"urls\":[\"stun:s\"]}]}");
    post_from(
        &f, REQUEST, "2001:db8::1",
        "{\"campaignId\":\"Example\",\"regionId\":\"us\",\"transportType\":0,\"clientIdentifier\":null," REST,
        &exchange);
    assert_string_equal(fake_desk.request.client_identifier, "2001:db8::1");
    assert_int_equal(fake_desk.request.transport, API_TRANSPORT_WEBSOCKET);
    assert_string_equal(exchange.body, "{\"webSocketUrl\":\"wss://gw/x\"}");
    tear_down(&f);
}

static void answers_of_the_desk(void **state) {
    (void)state;
    static const struct {
        struct desk_answer answer;
        const char *body, *retry_after;
    } answers[] = {
        {{.status = 202,
          .request_id = "edbdf408-db05-4ebd-a3c3-376df1f5b021",
          .position = 3,
          .retry_after_s = 7},
         "{\"status\":\"queued\",\"uniqueRequestId\":\"edbdf408-db05-4ebd-a3c3-376df1f5b021\","
         "\"queuePosition\":3}",
         "7"},
        {{.status = 403, .message = "VPN detected."}, "{\"message\":\"VPN detected.\"}", ""},
        {{.status = 429, .message = "Hourly rate limit exceeded.", .retry_after_s = 30},
         "{\"message\":\"Hourly rate limit exceeded.\"}",
         "30"},
        {{.status = 500, .message = "No."}, "{\"message\":\"No.\"}", ""},
        {{.status = 503, .message = "Full.", .retry_after_s = 10}, "{\"message\":\"Full.\"}", "10"},
    };
    struct fixture f;
    struct http_exchange exchange;
    set_up(&f, "{" PLATFORM "}");
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        fake_desk.answer = answers[i].answer;
        post_from(&f, REQUEST, "203.0.113.9", good_webrtc, &exchange);
        assert_int_equal(exchange.replies, 1);
        assert_int_equal(exchange.status, answers[i].answer.status);
        assert_string_equal(exchange.body, answers[i].body);
        assert_string_equal(exchange.retry_after, answers[i].retry_after);
    }
    tear_down(&f);
}

static void a_fixed_agent_has_no_url_to_hand_out(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, "{\"Agent\":{\"Builtin\":\"echo\"}," CAMPAIGNS_ONLY "}");
    expect(&f, "{\"campaignId\":\"Example\",\"regionId\":\"EU-DE\"," REST, 400,
           "transportType 0 (WebSocket) is not available");
    assert_int_equal(fake_desk.asked, 0);
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
    assert_int_equal(fake_desk.asked, 0);
    snprintf(body, sizeof body, BEGIN "\"%.244s\",\"transportType\":1," REST, filler);
    post_from(&f, REQUEST, "203.0.113.9", body, &exchange);
    assert_int_equal(fake_desk.asked, 1);
    assert_int_equal(exchange.status, 200);
    assert_int_equal(strlen(fake_desk.request.client_identifier), 256);
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
        // Twice, also in another spelling.
        {ID "\"campaignId\":\"Example\"," REST, "$"},
        {ID "\"CampaignId\":\"Example\"," REST, "campaignId"},
        {ID "\"REGIONID\":null," REST, "regionId"},
        {ID "\"Metadata\":{}," REST, "metadata"},
        {ID "\"transportType\":0,\"TransportType\":1," REST, "transportType"},
        {ID "\"audioConfiguration\":{\"inputSampleRate\":8000,\"InputSampleRate\":8000}," REST,
         "inputSampleRate"},
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
    assert_int_equal(fake_desk.asked, 0);
    tear_down(&f);
}

// The names of variables are the campaign's own, and what nobody reads may be anything.
static void names_that_differ_in_case_only(void **state) {
    (void)state;
    struct fixture f;
    struct http_exchange exchange;
    set_up(&f, "{" PLATFORM "}");
    post_from(&f, REQUEST, "203.0.113.9",
              ID "\"transportType\":1,\"more\":1,\"More\":2,\"dynamicVariables\":{\"a\":\"1\",\"A\":\"2\"},"
                 "\"metadata\":{}}",
              &exchange);
    assert_int_equal(exchange.status, 200);
    assert_int_equal(json_object_size(fake_desk.request.dynamic_variables), 2);
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

static void a_node_without_media_says_so(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, "{" PLATFORM ",\"Gateway\":{\"Roles\":[\"middleware\"]}}");
    expect(&f, good_webrtc, 400, "no media role");
    assert_int_equal(fake_desk.asked, 0);
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
    assert_int_equal(fake_desk.asked, 0);
    tear_down(&f);
    set_up(&f, "{" PLATFORM ",\"Gateway\":{\"PublicUrl\":\"wss://edge\"}}");
    struct http_exchange exchange;
    f.request_host = "";
    post_from(&f, REQUEST, "203.0.113.9", good_webrtc, &exchange);
    assert_int_equal(exchange.status, 200);
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
        assert_string_equal(exchange.body,
                            "{\"websocketUrl\":\"wss://gw/x\",\"iceServers\":[{\"urls\":[\"stun:s\"]}]}");
        assert_string_equal(fake_desk.request.campaign_id, "Example");
        assert_string_equal(fake_desk.request.region_id, "EU-DE");
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
    assert_string_equal(exchange.body, "{\"websocketUrl\":\"wss://gw/x\"}");
    tear_down(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked_reaches_the_desk),
        cmocka_unit_test(answers_of_the_desk),
        cmocka_unit_test(a_fixed_agent_has_no_url_to_hand_out),
        cmocka_unit_test(refusals_say_the_agreed_words),
        cmocka_unit_test(malformed_bodies),
        cmocka_unit_test(names_that_differ_in_case_only),
        cmocka_unit_test(every_problem_is_named),
        cmocka_unit_test(a_node_without_media_says_so),
        cmocka_unit_test(a_host_that_makes_no_url_is_refused),
        cmocka_unit_test(older_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
