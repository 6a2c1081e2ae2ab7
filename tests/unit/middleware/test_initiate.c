// SPDX-License-Identifier: Apache-2.0
// A request as it is kept in the queue, the agent of a caller who is no browser, and the platform's refusals.
#include "tests/unit/middleware/api_fixture.h"

static const char kept[] =
    "{\"schema\":1,\"campaign\":\"Example\",\"region\":\"EU-DE\",\"client\":\"caller_203.0.113.9\","
    "\"address\":\"203.0.113.9\",\"transport\":1,\"variables\":{\"a\":\"\xc3\xa9\"},\"metadata\":{},"
    "\"input\":[1,16000,16],\"output\":[7,48000,16],\"host\":\"gw.example\",\"secure\":true}";

static void read_kept(struct initiate_request *request) {
    assert_int_equal(initiate_request_parse(request, kept, strlen(kept)), 0);
}

static void a_kept_request_is_the_same(void **state) {
    (void)state;
    struct initiate_request request, again;
    read_kept(&request);
    char *text = initiate_request_text(&request);
    assert_string_equal(text, kept);
    assert_int_equal(initiate_request_parse(&again, text, strlen(text)), 0);
    assert_string_equal(again.campaign_id, "Example");
    assert_string_equal(again.region_id, "EU-DE");
    assert_string_equal(again.client_identifier, "caller_203.0.113.9");
    assert_string_equal(again.client_address, "203.0.113.9");
    assert_int_equal(again.transport, API_TRANSPORT_WEBRTC);
    assert_true(json_equal(again.dynamic_variables, request.dynamic_variables));
    assert_int_equal(again.output.rate_hz, 48000);
    assert_string_equal(again.origin.host, "gw.example");
    assert_true(again.origin.secure);
    initiate_request_clear(&again);
    initiate_request_clear(&request);
    free(text);
}

// Every text with one property missing or of another type is refused, as is another schema.
static void what_is_no_request_is_refused(void **state) {
    (void)state;
    struct initiate_request request;
    json_t *whole = json_loads(kept, 0, NULL);
    const char *name;
    json_t *value;
    json_object_foreach(whole, name, value) {
        json_t *copy = json_copy(whole);
        json_object_del(copy, name);
        char *text = json_dumps(copy, 0);
        assert_int_equal(initiate_request_parse(&request, text, strlen(text)), -EINVAL);
        free(text);
        json_object_set_new(copy, name, json_null());
        text = json_dumps(copy, 0);
        assert_int_equal(initiate_request_parse(&request, text, strlen(text)), -EINVAL);
        free(text);
        json_decref(copy);
    }
    json_object_set_new(whole, "schema", json_integer(2));
    char *text = json_dumps(whole, 0);
    assert_int_equal(initiate_request_parse(&request, text, strlen(text)), -EINVAL);
    free(text);
    json_object_set_new(whole, "schema", json_integer(1));
    json_object_set_new(whole, "transport", json_integer(2));
    text = json_dumps(whole, 0);
    assert_int_equal(initiate_request_parse(&request, text, strlen(text)), -EINVAL);
    free(text);
    json_decref(whole);
    assert_int_equal(initiate_request_parse(&request, "", 0), -EINVAL);
    assert_int_equal(initiate_request_parse(&request, "[1]", 3), -EINVAL);
}

struct told {
    int calls, err;
    char session_id[160], url[256];
    uint32_t rate_hz;
};

static void on_initiated(const struct initiate_result *result, void *arg) {
    struct told *told = arg;
    told->calls++;
    told->err = result->err;
    snprintf(told->session_id, sizeof told->session_id, "%s", result->session_id);
    snprintf(told->url, sizeof told->url, "%s", result->url);
    told->rate_hz = result->sample_rate_hz;
}

static void a_caller_of_another_kind_gets_the_agent(void **state) {
    (void)state;
    struct fixture f;
    struct told told = {0};
    struct initiate_request request;
    read_kept(&request);
    set_up(&f, "{" PLATFORM ",\"Agent\":{\"Encoding\":\"ALAW\",\"SampleRate\":8000}}");
    initiate_agent(f.initiate, &request, on_initiated, &told);
    assert_int_equal(told.calls, 0);
    assert_non_null(strstr(platform.body, "\"AudioEncodingType\":4"));
    platform_answers(200, platform_good);
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.err, 0);
    assert_string_equal(told.url, "wss://agent.example/ws?token=SECRET");
    assert_string_equal(told.session_id, "ses_abc");
    assert_int_equal(told.rate_hz, 8000);
    assert_int_equal(f.sessions, 0);
    tear_down(&f);
    set_up(&f, "{\"Agent\":{\"Url\":\"ws://a.example/x\"}," CAMPAIGNS_ONLY "}");
    initiate_agent(f.initiate, &request, on_initiated, &told);
    assert_int_equal(told.calls, 2);
    assert_string_equal(told.url, "ws://a.example/x");
    tear_down(&f);
    initiate_request_clear(&request);
}

// By the code, never by the words.
static void no_room_is_told_by_the_code(void **state) {
    (void)state;
    static const struct {
        const char *code;
        int err;
    } codes[] = {
        {"\"CONCURRENCY_LIMIT_REACHED\"", -EAGAIN},
        {"\"USER_CUSTOMER_CONCURRENCY_LIMIT_REACHED\"", -EAGAIN},
        {"\"NOT_ACCEPTING_NEW_WORK\"", -EAGAIN},
        {"\"ProcessWebSession:NO_SERVER_CAPACITY\"", -EAGAIN},
        {"\"NO_SERVER_CAPACITY_EVER\"", -EREMOTEIO},
        {"\"CONFIG_REGION_ID_NOT_FOUND\"", -EREMOTEIO},
        {"\"\"", -EREMOTEIO},
        {"7", -EREMOTEIO},
        {"null", -EREMOTEIO},
    };
    struct initiate_request request;
    read_kept(&request);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct fixture f;
        struct told told = {0};
        char answer[256];
        set_up(&f, "{" PLATFORM "}");
        snprintf(answer, sizeof answer,
                 "{\"success\":false,\"code\":%s,\"message\":\"concurrency: too many, "
                 "CONCURRENCY_LIMIT_REACHED\",\"data\":null}",
                 codes[i].code);
        initiate_session(f.initiate, &request, on_initiated, &told);
        platform_answers(i % 2 ? 200 : 429, answer);
        assert_int_equal(told.err, codes[i].err);
        tear_down(&f);
    }
    initiate_request_clear(&request);
}

static void a_campaign_that_is_gone_fails(void **state) {
    (void)state;
    struct fixture f;
    struct told told = {0};
    struct initiate_request request;
    read_kept(&request);
    free(request.campaign_id);
    request.campaign_id = strdup("Gone");
    set_up(&f, "{" PLATFORM "}");
    initiate_session(f.initiate, &request, on_initiated, &told);
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.err, -ENOENT);
    assert_int_equal(platform.asked, 0);
    tear_down(&f);
    initiate_request_clear(&request);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kept_request_is_the_same),
        cmocka_unit_test(what_is_no_request_is_refused),
        cmocka_unit_test(a_caller_of_another_kind_gets_the_agent),
        cmocka_unit_test(no_room_is_told_by_the_code),
        cmocka_unit_test(a_campaign_that_is_gone_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
