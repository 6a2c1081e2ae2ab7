// SPDX-License-Identifier: Apache-2.0
// From a request to a session with a fake platform and a fake layer above; requests as the queue keeps them.
#include "middleware/initiate.h"
#include "tests/unit/middleware/fake_platform.h"

#include <jansson.h>
#include <stdlib.h>

struct fixture {
    struct initiate *initiate;
    struct conf *conf;
    int sessions, session_err;
    const char *taken_id;
    char session_id[160], client_id[300], agent_url[256], region_id[64], host[256];
    enum conf_encoding encoding;
    uint32_t rate_hz, frame_ms;
    bool secure;
};

static int on_session(const struct api_session *session, const struct http_request_origin *origin, char *url,
                      size_t url_size, void *arg) {
    struct fixture *f = arg;
    f->sessions++;
    snprintf(f->session_id, sizeof f->session_id, "%s", session->session_id);
    snprintf(f->client_id, sizeof f->client_id, "%s", session->client_id);
    snprintf(f->agent_url, sizeof f->agent_url, "%s", session->agent_url);
    snprintf(f->region_id, sizeof f->region_id, "%s", session->region_id);
    snprintf(f->host, sizeof f->host, "%s", origin->host);
    f->encoding = session->encoding;
    f->rate_hz = session->sample_rate_hz;
    f->frame_ms = session->frame_ms;
    f->secure = origin->secure;
    assert_string_equal(session->campaign_id, "Example");
    assert_string_equal(session->client_address, "203.0.113.9");
    snprintf(url, url_size, "wss://gw/ws/session/%s/webrtc/%s/token", session->session_id,
             session->client_id);
    return f->taken_id && strcmp(f->taken_id, session->session_id) == 0 ? -EEXIST : f->session_err;
}

static struct conf *read_conf(const char *text) {
    struct conf_report report = {.out = stderr};
    struct conf *conf = NULL;
    assert_int_equal(conf_parse(&conf, "test", text, strlen(text), NULL, &report), 0);
    return conf;
}

static void set_up(struct fixture *f, const char *config) {
    *f = (struct fixture){.conf = read_conf(config)};
    memset(&platform, 0, sizeof platform);
    const struct initiate_events events = {.on_session = on_session, .arg = f};
    assert_int_equal(initiate_new(&f->initiate, f->conf, NULL, &events), 0);
}

static void tear_down(struct fixture *f) {
    initiate_free(f->initiate);
    conf_free(f->conf);
}

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
    char key[160], session_id[160], url[512];
    uint32_t rate_hz;
};

static void on_initiated(const struct initiate_result *result, void *arg) {
    struct told *told = arg;
    told->calls++;
    told->err = result->err;
    snprintf(told->key, sizeof told->key, "%s", result->key);
    snprintf(told->session_id, sizeof told->session_id, "%s", result->session_id);
    snprintf(told->url, sizeof told->url, "%s", result->url);
    told->rate_hz = result->sample_rate_hz;
    if (result->err) {
        assert_string_equal(result->url, "");
        assert_string_equal(result->session_id, "");
    }
}

// Asks for a session with the kept request, and has the platform answer.
static struct told initiated(struct fixture *f, long status, const char *answer) {
    struct told told = {0};
    struct initiate_request request;
    read_kept(&request);
    initiate_session(f->initiate, &request, on_initiated, &told);
    assert_int_equal(told.calls, 0);
    platform_answers(status, answer);
    assert_int_equal(told.calls, 1);
    initiate_request_clear(&request);
    return told;
}

static void webrtc_hides_the_platform(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, "{" PLATFORM ",\"Agent\":{\"Encoding\":\"MULAW\",\"FrameMs\":40}}");
    struct told told = initiated(&f, 200, platform_good);
    assert_int_equal(platform.asked, 1);
    assert_string_equal(platform.url, "https://p.example/api/v1/business/12/websession/initiate");
    assert_non_null(strstr(platform.headers, "Authorization: Token TOKEN1\n"));
    assert_non_null(strstr(platform.headers, "Content-Type: application/json"));
    json_t *sent = json_loads(platform.body, 0, NULL);
    json_t *wanted = json_loads(
        "{\"TransportType\":0,\"WebCampaignId\":\"web-1\",\"RegionId\":\"EU-DE\",\"ClientIdentifier\":"
        "\"caller_203.0.113.9\",\"AudioInputConfiguration\":{\"SampleRate\":8000,\"BitsPerSample\":8,"
        "\"AudioEncodingType\":3,\"AudioEncodingFallbackMode\":1},\"AudioOutputConfiguration\":{"
        "\"SampleRate\":8000,"
        "\"BitsPerSample\":8,\"AudioEncodingType\":3,\"AudioEncodingFallbackMode\":1,\"FrameDurationMs\":40},"
        "\"DynamicVariables\":{\"a\":\"\xc3\xa9\"},\"Metadata\":{}}",
        0, NULL);
    assert_true(json_equal(sent, wanted));
    json_decref(sent);
    json_decref(wanted);
    assert_int_equal(told.err, 0);
    assert_string_equal(told.url, "wss://gw/ws/session/ses_abc/webrtc/caller_203.0.113.9/token");
    assert_string_equal(told.session_id, "ses_abc");
    assert_string_equal(f.agent_url, "wss://agent.example/ws?token=SECRET");
    assert_string_equal(f.host, "gw.example");
    assert_string_equal(f.region_id, "EU-DE");
    assert_true(f.secure);
    assert_int_equal(f.encoding, CONF_MULAW);
    assert_int_equal(f.rate_hz, 8000);
    assert_int_equal(f.frame_ms, 40);
    tear_down(&f);
}

static void websocket_gives_the_platforms_url(void **state) {
    (void)state;
    struct fixture f;
    struct told told = {0};
    struct initiate_request request;
    read_kept(&request);
    request.transport = API_TRANSPORT_WEBSOCKET;
    request.input.rate_hz = 24000;
    set_up(&f, "{" PLATFORM "}");
    initiate_session(f.initiate, &request, on_initiated, &told);
    json_t *sent = json_loads(platform.body, 0, NULL);
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
    assert_int_equal(told.err, 0);
    assert_string_equal(told.url, "wss://p/x");
    assert_string_equal(told.session_id, "s1");
    assert_int_equal(f.sessions, 0);
    initiate_request_clear(&request);
    tear_down(&f);
}

static void fixed_agents_need_no_platform(void **state) {
    (void)state;
    struct fixture f;
    struct told told = {0};
    struct initiate_request request;
    read_kept(&request);
    set_up(&f, "{\"Agent\":{\"Builtin\":\"echo\"}," CAMPAIGNS_ONLY "}");
    initiate_session(f.initiate, &request, on_initiated, &told);
    assert_int_equal(told.calls, 1);
    assert_int_equal(platform.asked, 0);
    assert_string_equal(f.agent_url, "");
    assert_int_equal(strlen(f.session_id), strlen("ses_") + 32);
    assert_string_equal(told.session_id, f.session_id);
    initiate_session(f.initiate, &request, on_initiated, &told);
    assert_string_not_equal(told.session_id, "");
    tear_down(&f);
    set_up(&f, "{\"Agent\":{\"Url\":\"ws://a.example/x\"}," CAMPAIGNS_ONLY "}");
    initiate_session(f.initiate, &request, on_initiated, &told);
    assert_string_equal(f.agent_url, "ws://a.example/x");
    tear_down(&f);
    initiate_request_clear(&request);
}

static void failures_are_told(void **state) {
    (void)state;
    static const struct {
        long status;
        const char *body;
        int err;
    } answers[] = {
        {200, "<html>", -EPROTO},
        {200, "[]", -EPROTO},
        {200, "{\"success\":false,\"code\":\"X\",\"message\":\"TOKEN1 is unknown\"}", -EREMOTEIO},
        {401, "{\"success\":false,\"message\":\"no\"}", -EREMOTEIO},
        {200, "{\"success\":true}", -EPROTO},
        {200, "{\"success\":true,\"data\":{\"sessionWebSocketURL\":\"https://p/x\"}}", -EPROTO},
        {200, "{\"success\":true,\"data\":{\"sessionWebSocketURL\":7}}", -EPROTO},
        {500, "{\"success\":true,\"data\":{\"sessionWebSocketURL\":\"wss://p/x\"}}", -EREMOTEIO},
        {204, "", -EPROTO},
    };
    struct fixture f;
    set_up(&f, "{" PLATFORM "}");
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        assert_int_equal(initiated(&f, answers[i].status, answers[i].body).err, answers[i].err);
    static const int errs[] = {-ENOSPC, -EBUSY, -EIO};
    for (size_t i = 0; i < sizeof errs / sizeof errs[0]; i++) {
        f.session_err = errs[i];
        assert_int_equal(initiated(&f, 200, platform_good).err, errs[i]);
    }
    struct told told = {0};
    struct initiate_request request;
    read_kept(&request);
    initiate_session(f.initiate, &request, on_initiated, &told);
    platform_fails(-ETIMEDOUT);
    assert_int_equal(told.err, -ETIMEDOUT);
    platform.refuse_err = -ENOMEM;
    initiate_session(f.initiate, &request, on_initiated, &told);
    assert_int_equal(told.calls, 2);
    assert_int_equal(told.err, -EIO);
    initiate_request_clear(&request);
    tear_down(&f);
}

static void an_id_already_in_use_is_replaced(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, "{" PLATFORM "}");
    f.taken_id = "ses_abc";
    struct told told = initiated(&f, 200, platform_good);
    assert_int_equal(told.err, 0);
    assert_int_equal(f.sessions, 2);
    // Its own name here; the webhook will use the platform's.
    assert_string_equal(told.key, f.session_id);
    assert_string_equal(told.session_id, "ses_abc");
    assert_null(strstr(told.url, "ses_abc"));
    assert_non_null(strstr(told.url, "/ws/session/ses_"));
    tear_down(&f);
}

static void an_id_as_long_as_sessions_take_is_kept(void **state) {
    (void)state;
    struct fixture f;
    char answer[512], id[129];
    set_up(&f, "{" PLATFORM "}");
    for (size_t len = 127; len <= 128; len++) {
        memset(id, 'i', len);
        id[len] = '\0';
        snprintf(answer, sizeof answer,
                 "{\"success\":true,\"data\":{\"sessionId\":\"%s\",\"sessionWebSocketURL\":\"ws://a/\"}}",
                 id);
        assert_int_equal(initiated(&f, 200, answer).err, 0);
        // What a session's name has room for, gateway/sessions_impl.h.
        assert_true(strlen(f.session_id) < 128);
        assert_int_equal(strcmp(f.session_id, id) == 0, len == 127);
    }
    tear_down(&f);
}

static void unsafe_session_ids_are_replaced(void **state) {
    (void)state;
    static const char *const ids[] = {"../../etc", "a/b", "a b", "", ".", "a%2fb"};
    struct fixture f;
    set_up(&f, "{" PLATFORM "}");
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char body[256];
        snprintf(body, sizeof body,
                 "{\"Success\":true,\"Data\":{\"SessionId\":\"%s\",\"SessionWebSocketUrl\":\"ws://p/x\"}}",
                 ids[i]);
        assert_int_equal(initiated(&f, 200, body).err, 0);
        assert_int_equal(strlen(f.session_id), strlen("ses_") + 32);
    }
    tear_down(&f);
}

// A reload while the platform is asked: what was begun goes on as it began.
static void a_new_conf_counts_for_the_next(void **state) {
    (void)state;
    struct fixture f;
    struct told told = {0};
    struct initiate_request request;
    read_kept(&request);
    set_up(&f, "{" PLATFORM ",\"Agent\":{\"SampleRate\":16000}}");
    initiate_session(f.initiate, &request, on_initiated, &told);
    struct conf *next = read_conf("{" PLATFORM ",\"Agent\":{\"SampleRate\":24000}}");
    initiate_set_conf(f.initiate, next);
    conf_free(f.conf);
    f.conf = next;
    platform_answers(200, platform_good);
    assert_int_equal(f.rate_hz, 16000);
    initiate_session(f.initiate, &request, on_initiated, &told);
    platform_answers(200, platform_good);
    assert_int_equal(f.rate_hz, 24000);
    initiate_request_clear(&request);
    tear_down(&f);
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
        {"\"NO_SERVER_CAPACITY_EVER\"", -EUSERS},
        {"\"LINE_BUSY\"", -EUSERS},
        {"\"CONFIG_REGION_ID_NOT_FOUND\"", -ENOENT},
        {"\"NO_ROUTE_TO_AGENT\"", -ENOENT},
        {"\"ANYTHING_ELSE\"", -EREMOTEIO},
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
        cmocka_unit_test(webrtc_hides_the_platform),
        cmocka_unit_test(websocket_gives_the_platforms_url),
        cmocka_unit_test(fixed_agents_need_no_platform),
        cmocka_unit_test(failures_are_told),
        cmocka_unit_test(an_id_already_in_use_is_replaced),
        cmocka_unit_test(an_id_as_long_as_sessions_take_is_kept),
        cmocka_unit_test(unsafe_session_ids_are_replaced),
        cmocka_unit_test(a_new_conf_counts_for_the_next),
        cmocka_unit_test(a_caller_of_another_kind_gets_the_agent),
        cmocka_unit_test(no_room_is_told_by_the_code),
        cmocka_unit_test(a_campaign_that_is_gone_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
