// SPDX-License-Identifier: Apache-2.0
// Sessions with sockets and a worker that only record what is done to them; tokens are real.
#include "gateway/sessions.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { CAPACITY = 4 };

static struct fixture {
    uv_loop_t loop;
    struct auth *auth;
    struct sessions *sessions;
    struct browser_events browser;
    struct media_worker *workers[1];
    enum call_mail posted[16];
    unsigned posted_count, opened, idle, greetings, overs;
    char over_id[64];
    uint64_t handle;
    char agent_url[64], greeting_url[2048];
    struct ws *closed, *warned;
    unsigned close_code;
    char fail_code[64];
} f;

static char socket_a, socket_b;
#define SOCKET_A ((struct ws *)&socket_a)
#define SOCKET_B ((struct ws *)&socket_b)

// ---- stand-ins, linked instead of the real modules

int media_worker_open(struct media_worker *worker, uint64_t handle, struct call_open *open) {
    (void)worker;
    f.opened++;
    f.handle = handle;
    strncpy(f.agent_url, open->agent_url, sizeof f.agent_url - 1);
    call_open_free(open);
    return 0;
}

int media_worker_post(struct media_worker *worker, enum call_mail type, uint64_t handle,
                      struct call_msg *msg) {
    (void)worker;
    assert_int_equal(handle, f.handle);
    assert_true(f.posted_count < sizeof f.posted / sizeof f.posted[0]);
    f.posted[f.posted_count++] = type;
    call_msg_free(msg);
    return 0;
}

void ws_close(struct ws *ws, unsigned code, const char *reason) {
    (void)reason;
    f.closed = ws;
    f.close_code = code;
}

int browser_send_answer(struct ws *socket, const char *sdp) {
    (void)socket;
    (void)sdp;
    return 0;
}

int browser_send_candidate(struct ws *socket, const char *candidate, const char *mid, int mline_index,
                           const char *ufrag) {
    (void)socket;
    (void)candidate;
    (void)mid;
    (void)mline_index;
    (void)ufrag;
    return 0;
}

int browser_send_session(struct ws *socket, const char *session_id, const char *resume_url,
                         const char *ice_servers_json) {
    (void)socket;
    (void)session_id;
    (void)ice_servers_json;
    f.greetings++;
    strncpy(f.greeting_url, resume_url, sizeof f.greeting_url - 1);
    return 0;
}

int browser_send_error(struct ws *socket, const char *code, const char *message) {
    (void)message;
    f.warned = socket;
    strncpy(f.fail_code, code, sizeof f.fail_code - 1);
    return 0;
}

void browser_fail(struct ws *socket, unsigned close_code, const char *code, const char *message) {
    (void)message;
    f.closed = socket;
    f.close_code = close_code;
    strncpy(f.fail_code, code, sizeof f.fail_code - 1);
}

// ---- the fixture

static void on_idle(void *arg) {
    (void)arg;
    f.idle++;
}

static void on_over(const char *session_id, void *arg) {
    (void)arg;
    f.overs++;
    snprintf(f.over_id, sizeof f.over_id, "%s", session_id);
}

static const char *ice_servers_json(void *arg) {
    (void)arg;
    return "[]";
}

static int set_up(void **state) {
    (void)state;
    memset(&f, 0, sizeof f);
    uv_loop_init(&f.loop);
    assert_int_equal(auth_new(&f.auth, "secret"), 0);
    const struct sessions_config config = {.loop = &f.loop,
                                           .auth = f.auth,
                                           .workers = f.workers,
                                           .worker_count = 1,
                                           .capacity = CAPACITY,
                                           .on_idle = on_idle,
                                           .on_over = on_over,
                                           .ice_servers_json = ice_servers_json};
    assert_int_equal(sessions_new(&f.sessions, &config), 0);
    sessions_browser_events(f.sessions, &f.browser);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    sessions_close(f.sessions);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    sessions_free(f.sessions);
    auth_free(f.auth);
    assert_int_equal(uv_loop_close(&f.loop), 0);
    return 0;
}

static int admit(const char *id, char *url, size_t size) {
    const struct api_session session = {.session_id = id,
                                        .client_id = "client",
                                        .agent_url = "ws://agent/x",
                                        .client_address = "203.0.113.9",
                                        .sample_rate_hz = 16000,
                                        .frame_ms = 20};
    const struct http_request_origin origin = {.host = "voice.example", .secure = true};
    return sessions_admit(f.sessions, &session, &origin, url, size);
}

static void *attach(const char *id, struct ws *socket) {
    void *attachment = NULL;
    assert_int_equal(f.browser.on_attach(id, "client", socket, &attachment, f.browser.arg), 0);
    f.browser.on_open(attachment, socket, f.browser.arg);
    return attachment;
}

static void from_worker(enum call_mail type, struct call_msg *msg) {
    struct mail mail = {.to = f.handle, .type = type, .data = msg};
    sessions_mail(f.sessions, &mail);
    call_msg_free(msg);
}

static void end_call(void) {
    from_worker(SESSION_ENDED, NULL);
    from_worker(SESSION_GONE, NULL);
}

// ---- the rules

static void admission_gives_an_url_whose_token_is_good(void **state) {
    (void)state;
    char url[2048];
    assert_int_equal(admit("ses_1", url, sizeof url), 0);
    static const char start[] = "wss://voice.example/ws/session/ses_1/webrtc/client/";
    assert_memory_equal(url, start, sizeof start - 1);
    assert_int_equal(auth_use(f.auth, url + sizeof start - 1, "ses_1", "client", (int64_t)time(NULL)),
                     AUTH_OK);
    assert_int_equal(admit("ses_1", url, sizeof url), -EEXIST);
}

static void the_table_is_bounded(void **state) {
    (void)state;
    char url[2048], id[] = "ses_0";
    for (char n = '0'; n < '0' + CAPACITY; n++) {
        id[4] = n;
        assert_int_equal(admit(id, url, sizeof url), 0);
    }
    assert_int_equal(admit("ses_more", url, sizeof url), -ENOSPC);
}

// Whoever counts sessions hears of each end once: when the call has ended, not when its sockets are closed, and
// when nobody came. Those that are over hold no room.
static void the_end_is_told_once(void **state) {
    (void)state;
    char url[2048], id[] = "ses_0";
    for (char n = '0'; n < '0' + CAPACITY; n++) {
        id[4] = n;
        assert_int_equal(admit(id, url, sizeof url), 0);
    }
    void *attachment = attach("ses_0", SOCKET_A);
    assert_int_equal(f.overs, 0);
    from_worker(SESSION_ENDED, NULL);
    assert_int_equal(f.overs, 1);
    assert_string_equal(f.over_id, "ses_0");
    assert_int_equal(admit("ses_next", url, sizeof url), 0);
    from_worker(SESSION_GONE, NULL);
    assert_int_equal(f.overs, 1);
    assert_int_equal(sessions_room(f.sessions), 0);
    f.browser.on_detach(attachment, true, 1000, f.browser.arg);
    sessions_sweep(f.sessions, INT64_MAX / 2);
    assert_int_equal(f.overs, 1 + CAPACITY);
    assert_int_equal(sessions_room(f.sessions), CAPACITY);
}

static void the_public_url_wins_over_the_host(void **state) {
    (void)state;
    char url[2048];
    sessions_set_public_url(f.sessions, "https://edge.example/base/");
    assert_int_equal(admit("ses_1", url, sizeof url), 0);
    static const char start[] = "wss://edge.example/base/ws/session/ses_1/";
    assert_memory_equal(url, start, sizeof start - 1);
}

static void a_socket_makes_the_call_and_a_clean_close_hangs_up(void **state) {
    (void)state;
    char url[2048];
    admit("ses_1", url, sizeof url);
    void *attachment = attach("ses_1", SOCKET_A);
    assert_int_equal(f.opened, 1);
    assert_string_equal(f.agent_url, "ws://agent/x");
    assert_int_equal(f.greetings, 1);
    assert_int_equal(sessions_live(f.sessions), 1);
    f.browser.on_detach(attachment, true, 1000, f.browser.arg);
    assert_int_equal(f.posted[0], CALL_HANGUP);
    end_call();
    assert_int_equal(sessions_live(f.sessions), 0);
    void *again = NULL;
    assert_int_equal(f.browser.on_attach("ses_1", "client", SOCKET_A, &again, f.browser.arg), 404);
}

static void a_dropped_socket_is_resumed(void **state) {
    (void)state;
    char url[2048];
    admit("ses_1", url, sizeof url);
    void *first = attach("ses_1", SOCKET_A);
    f.browser.on_detach(first, false, 1006, f.browser.arg);
    assert_int_equal(f.posted[0], CALL_SOCKET_LOST);
    assert_true(strstr(f.greeting_url, "/ses_1/webrtc/client/") != NULL);
    void *second = attach("ses_1", SOCKET_B);
    assert_int_equal(f.posted[1], CALL_SOCKET_BACK);
    assert_int_equal(f.opened, 1);
    end_call();
    assert_ptr_equal(f.closed, SOCKET_B);
    assert_int_equal(f.close_code, 1000);
    f.browser.on_detach(second, true, 1000, f.browser.arg);
}

static int64_t monotonic_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

// A network may drop when the URL that came with the socket is long out of date.
static void a_long_call_gets_fresh_urls(void **state) {
    (void)state;
    char url[2048];
    admit("ses_1", url, sizeof url);
    void *attachment = attach("ses_1", SOCKET_A);
    char first[sizeof f.greeting_url];
    memcpy(first, f.greeting_url, sizeof first);
    sessions_sweep(f.sessions, monotonic_s() + 60);
    assert_int_equal(f.greetings, 1);
    sessions_sweep(f.sessions, monotonic_s() + AUTH_TOKEN_SECONDS - 30);
    assert_int_equal(f.greetings, 2);
    assert_string_not_equal(f.greeting_url, first);
    f.browser.on_detach(attachment, false, 1006, f.browser.arg);
    sessions_sweep(f.sessions, monotonic_s() + 2 * AUTH_TOKEN_SECONDS);
    assert_int_equal(f.greetings, 2);
    assert_int_equal(sessions_live(f.sessions), 1);
    end_call();
}

static void a_session_nobody_comes_for_expires(void **state) {
    (void)state;
    char url[2048];
    admit("ses_1", url, sizeof url);
    sessions_sweep(f.sessions, monotonic_s() + AUTH_TOKEN_SECONDS - 5);
    assert_int_equal(admit("ses_1", url, sizeof url), -EEXIST);
    sessions_sweep(f.sessions, monotonic_s() + AUTH_TOKEN_SECONDS + 5);
    assert_int_equal(admit("ses_1", url, sizeof url), 0);
}

static void a_call_is_hung_up_once(void **state) {
    (void)state;
    char url[2048];
    admit("ses_1", url, sizeof url);
    void *attachment = attach("ses_1", SOCKET_A);
    for (int i = 0; i < 20; i++)
        assert_int_equal(sessions_hang_up_one(f.sessions, "ses_1", "x"), 0);
    f.browser.on_message(attachment, &(struct browser_msg){.type = BROWSER_HANGUP}, f.browser.arg);
    f.browser.on_detach(attachment, true, 1000, f.browser.arg);
    assert_int_equal(f.posted_count, 1);
    end_call();
}

static void an_address_that_does_not_fit_is_refused(void **state) {
    (void)state;
    char url[4096], public_url[600];
    memset(public_url, 'a', sizeof public_url);
    memcpy(public_url, "wss://", 6);
    public_url[sizeof public_url - 1] = '\0';
    sessions_set_public_url(f.sessions, public_url);
    assert_int_equal(admit("ses_1", url, sizeof url), -ENOBUFS);
    sessions_set_public_url(f.sessions, "HTTPS://edge.example//");
    assert_int_equal(admit("ses_1", url, sizeof url), 0);
    static const char start[] = "wsS://edge.example/ws/session/ses_1/";
    assert_memory_equal(url, start, sizeof start - 1);
}

static void a_new_socket_replaces_one_that_has_not_noticed(void **state) {
    (void)state;
    char url[2048];
    admit("ses_1", url, sizeof url);
    void *first = attach("ses_1", SOCKET_A);
    void *second = attach("ses_1", SOCKET_B);
    assert_ptr_equal(f.closed, SOCKET_A);
    unsigned before = f.posted_count;
    f.browser.on_detach(first, true, 1000, f.browser.arg);
    assert_int_equal(f.posted_count, before);
    f.browser.on_detach(second, true, 1000, f.browser.arg);
    assert_int_equal(f.posted[f.posted_count - 1], CALL_HANGUP);
    end_call();
}

static void an_error_of_the_call_reaches_the_browser(void **state) {
    (void)state;
    char url[2048];
    admit("ses_1", url, sizeof url);
    void *attachment = attach("ses_1", SOCKET_A);
    struct call_msg *msg = call_msg_new("no agent", "agent_unavailable", NULL);
    msg->cause = CALL_NO_AGENT;
    from_worker(SESSION_ENDED, msg);
    assert_int_equal(f.close_code, 4502);
    assert_string_equal(f.fail_code, "agent_unavailable");
    f.browser.on_detach(attachment, true, 4502, f.browser.arg);
    from_worker(SESSION_GONE, NULL);
}

static void a_refused_offer_is_told_and_the_call_goes_on(void **state) {
    (void)state;
    char url[2048];
    admit("ses_1", url, sizeof url);
    void *attachment = attach("ses_1", SOCKET_A);
    from_worker(SESSION_REFUSED, call_msg_new("no", "bad_sdp", NULL));
    assert_ptr_equal(f.warned, SOCKET_A);
    assert_string_equal(f.fail_code, "bad_sdp");
    assert_null(f.closed);
    assert_int_equal(sessions_live(f.sessions), 1);
    f.browser.on_detach(attachment, false, 1006, f.browser.arg);
    from_worker(SESSION_REFUSED, call_msg_new("no", "bad_sdp", NULL));
    end_call();
}

static void a_session_that_ends_during_the_upgrade_is_closed(void **state) {
    (void)state;
    char url[2048];
    admit("ses_1", url, sizeof url);
    void *first = attach("ses_1", SOCKET_A);
    void *late = NULL;
    assert_int_equal(f.browser.on_attach("ses_1", "client", SOCKET_B, &late, f.browser.arg), 0);
    end_call();
    f.browser.on_open(late, SOCKET_B, f.browser.arg);
    assert_ptr_equal(f.closed, SOCKET_B);
    f.browser.on_detach(late, true, 1000, f.browser.arg);
    f.browser.on_detach(first, true, 1000, f.browser.arg);
}

static void draining_takes_nothing_new_and_says_when_it_is_idle(void **state) {
    (void)state;
    char url[2048];
    admit("ses_1", url, sizeof url);
    admit("ses_2", url, sizeof url);
    void *attachment = attach("ses_1", SOCKET_A);
    sessions_drain(f.sessions);
    assert_int_equal(f.idle, 0);
    assert_int_equal(admit("ses_3", url, sizeof url), -EBUSY);
    void *late = NULL;
    assert_int_equal(f.browser.on_attach("ses_2", "client", SOCKET_B, &late, f.browser.arg), 503);
    f.browser.on_detach(attachment, true, 1000, f.browser.arg);
    end_call();
    assert_int_equal(f.idle, 1);
}

static void add_more(uint64_t handle, json_t *item, void *arg) {
    (void)arg;
    assert_int_equal(handle, f.handle);
    json_object_set_new(item, "more", json_true());
}

static void operators_see_calls_and_hang_them_up(void **state) {
    (void)state;
    char url[2048];
    admit("ses_1", url, sizeof url);
    assert_int_equal(sessions_hang_up_one(f.sessions, "ses_1", "x"), -ENOENT);
    void *attachment = attach("ses_1", SOCKET_A);
    json_t *list = sessions_list(f.sessions, add_more, NULL);
    assert_int_equal(json_array_size(list), 1);
    json_t *item = json_array_get(list, 0);
    assert_string_equal(json_string_value(json_object_get(item, "sessionId")), "ses_1");
    assert_string_equal(json_string_value(json_object_get(item, "kind")), "browser");
    assert_true(json_is_true(json_object_get(item, "more")));
    json_decref(list);
    assert_int_equal(sessions_hang_up_one(f.sessions, "ses_1", "x"), 0);
    assert_int_equal(f.posted[0], CALL_HANGUP);
    f.browser.on_detach(attachment, true, 1000, f.browser.arg);
    end_call();
}

int main(void) {
#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        RULE(admission_gives_an_url_whose_token_is_good),
        RULE(the_table_is_bounded),
        RULE(the_end_is_told_once),
        RULE(the_public_url_wins_over_the_host),
        RULE(a_socket_makes_the_call_and_a_clean_close_hangs_up),
        RULE(a_dropped_socket_is_resumed),
        RULE(a_long_call_gets_fresh_urls),
        RULE(a_session_nobody_comes_for_expires),
        RULE(a_call_is_hung_up_once),
        RULE(an_address_that_does_not_fit_is_refused),
        RULE(a_new_socket_replaces_one_that_has_not_noticed),
        RULE(an_error_of_the_call_reaches_the_browser),
        RULE(a_refused_offer_is_told_and_the_call_goes_on),
        RULE(a_session_that_ends_during_the_upgrade_is_closed),
        RULE(draining_takes_nothing_new_and_says_when_it_is_idle),
        RULE(operators_see_calls_and_hang_them_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
