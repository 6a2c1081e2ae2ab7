// SPDX-License-Identifier: Apache-2.0
// Three whole desks on one real Redis, on a clock that the test moves, with stand-ins for the platform and the hub. After
// each step Redis must be as invariants.lua says, and everybody has heard of one end at most. Include after cmocka.h.
#ifndef IQ_TESTS_DESKS_HOUSE_H
#define IQ_TESTS_DESKS_HOUSE_H

#include "middleware/desk.h"
#include "middleware/desk_impl.h"
#include "middleware/scripts.h"
#include "tests/unit/middleware/redis_fixture.h"

#include <hiredis/hiredis.h>
#include <sys/syscall.h>
#include <time.h>

enum { DESKS = 3, CALLERS = 160, MAX = 6, ASKED_MAX = 64, ID = 64 };

enum state { ASKING, WAITING, READY, FAILED, REFUSED, LEFT };

struct caller {
    enum state state;
    int index, at;     // which, and the desk he is connected to
    char id[ID];       // of the request that waits
    int64_t absent_ms; // since when; 0 = he is connected
    bool tried;        // the platform was asked for him while he waited
    char args[256];    // of the outcome
};

struct session {
    bool live, here;
    int desk, epoch;
};

struct asked { // the platform, by a desk
    void (*on_done)(const struct httpc_response *response, void *arg);
    void *arg;
    int desk, question; // 0 a session, 1 usage, 2 plan
    int64_t at_ms;
};

static struct desk_at {
    int index, epoch;
    struct redis *redis;
    struct desk *desk;
    bool dying;
} desks[DESKS];

static struct {
    uint64_t seed;
    uv_loop_t loop;
    struct redis_server_child server;
    redisContext *redis; // the test's own eye
    struct conf *conf;
    struct caller callers[CALLERS];
    struct session sessions[CALLERS * 8];
    int caller_count, session_count, live_count;
    struct asked asked[ASKED_MAX];
    int over_before; // sessions whose end was told before they were given
    unsigned acts;   // anything that anybody did
    int64_t crashed_ms;
    char invariants[16384];
} t;

// ---- the clock: of this process, so of libuv, and of the scripts

static struct {
    bool still;
    struct timespec real, mono;
    int64_t moved_ms;
} hand;

int clock_gettime(clockid_t id, struct timespec *out) {
    if (!hand.still)
        return (int)syscall(SYS_clock_gettime, id, out);
    *out = id == CLOCK_REALTIME ? hand.real : hand.mono;
    out->tv_sec += hand.moved_ms / 1000;
    return 0;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + hand.moved_ms % 1000;
}

#define SCRIPT_ENTRY(name) [SCRIPT_##name] = {.text = (const char *)script_##name##_lua},
static struct redis_script scripts[SCRIPT_COUNT] = {SCRIPTS(SCRIPT_ENTRY)};

int script_run(struct redis *redis, enum script script, const struct redis_arg *args, size_t count,
               redis_fn *fn, void *arg) {
    char clock[24];
    struct redis_arg all[SCRIPT_ARGS_MAX + 1] = {redis_int(now_ms(), clock)};
    assert_true(count <= SCRIPT_ARGS_MAX);
    if (count)
        memcpy(all + 1, args, count * sizeof *args);
    t.acts++;
    return redis_eval(redis, &scripts[script], NULL, 0, all, count + 1, fn, arg);
}

// ---- stand-ins for the platform and the hub

static struct caller *caller_of(const char *id) {
    for (int i = 0; i < t.caller_count; i++) {
        if (strcmp(t.callers[i].id, id) == 0)
            return &t.callers[i];
    }
    return NULL;
}

static bool is_waiting_in_redis(const struct caller *caller) {
    redisReply *reply = redisCommand(t.redis, "HGET queue:entry:%s state", caller->id);
    bool waiting = reply->type == REDIS_REPLY_STRING && strcmp(reply->str, "waiting") == 0;
    freeReplyObject(reply);
    return waiting;
}

// First come, first served.
static void check_turn(int index) {
    struct caller *caller = &t.callers[index];
    if (caller->state != WAITING || caller->tried)
        return;
    caller->tried = true;
    for (int i = 0; i < index; i++) {
        if (t.callers[i].state == WAITING && !t.callers[i].tried && is_waiting_in_redis(&t.callers[i]))
            fail_msg("caller %d is served before caller %d", index, i);
    }
}

int httpc_send(struct httpc *client, const struct httpc_request *request,
               void (*on_done)(const struct httpc_response *response, void *arg), void *arg) {
    const struct desk_at *at = (const struct desk_at *)client;
    size_t i = 0;
    while (i < ASKED_MAX && t.asked[i].on_done)
        i++;
    assert_true(i < ASKED_MAX);
    int question = strstr(request->url, "/billing/usage") ? 1 : strstr(request->url, "/billing/") ? 2 : 0;
    t.asked[i] = (struct asked){
        .on_done = on_done, .arg = arg, .desk = at->index, .question = question, .at_ms = now_ms()};
    t.acts++;
    if (question == 0) {
        const char *name = strstr(request->body, "\"ClientIdentifier\":\"c");
        assert_non_null(name);
        check_turn((int)strtol(name + strlen("\"ClientIdentifier\":\"c"), NULL, 10));
    }
    return 0;
}

static void hear(struct caller *caller, const char *target, const char *args) {
    bool ready = strcmp(target, "SessionReady") == 0;
    if (!ready && strcmp(target, "SessionFailed") != 0)
        return;
    if (caller->state == READY || caller->state == FAILED) {
        assert_int_equal(caller->state, ready ? READY : FAILED);
        assert_string_equal(caller->args, args); // the same end, heard again
        return;
    }
    assert_int_equal(caller->state, WAITING);
    caller->state = ready ? READY : FAILED;
    snprintf(caller->args, sizeof caller->args, "%s", args);
}

int hub_send(struct hub *hub, const char *id, const char *target, json_t *args) {
    (void)hub;
    struct caller *caller = caller_of(id);
    char *text = json_dumps(args, JSON_COMPACT);
    t.acts++;
    if (caller && !caller->absent_ms)
        hear(caller, target, text);
    free(text);
    return 0;
}

static void answer(struct asked *asked, int err, long status, const char *body) {
    struct httpc_response response = {
        .err = err, .status = status, .body = body, .body_len = strlen(body), .text = ""};
    struct asked was = *asked;
    *asked = (struct asked){.on_done = NULL};
    t.acts++;
    was.on_done(&response, was.arg);
}

static void give_session(struct asked *asked, bool live) {
    char body[160];
    int n = t.session_count++;
    t.sessions[n] = (struct session){.live = live, .desk = asked->desk, .epoch = desks[asked->desk].epoch};
    t.live_count += live;
    snprintf(
        body, sizeof body,
        "{\"success\":true,\"data\":{\"sessionId\":\"ses_%d\",\"sessionWebSocketURL\":\"wss://p/ses_%d\"}}",
        n, n);
    answer(asked, 0, 200, body);
}

static void give_figures(struct asked *asked) {
    char body[96];
    snprintf(body, sizeof body,
             asked->question == 1 ? "{\"data\":{\"currentUsage\":{\"Call_Concurrency\":%d}}}"
                                  : "{\"data\":{\"Call_Concurrency\":%d}}",
             asked->question == 1 ? t.live_count : MAX);
    answer(asked, 0, 200, body);
}

static int on_session(const struct api_session *session, const struct http_request_origin *origin, char *url,
                      size_t url_size, void *arg) {
    (void)origin;
    (void)arg;
    t.sessions[strtol(session->session_id + 4, NULL, 10)].here = true;
    snprintf(url, url_size, "wss://gw/%s", session->session_id);
    return 0;
}

static const char *why_closed(void *arg) {
    (void)arg;
    return NULL;
}

static const char *ice_servers_json(void *arg) {
    (void)arg;
    return "[]";
}

// ---- desks

static void on_up(void *arg) {
    struct desk_at *at = arg;
    if (at->desk)
        desk_redis_up(at->desk);
}

static void desk_begin(struct desk_at *at) {
    const struct redis_events events = {.on_up = on_up, .arg = at};
    const struct desk_events desk_events = {
        .on_session = on_session, .why_closed = why_closed, .ice_servers_json = ice_servers_json};
    struct err_text err;
    at->dying = false;
    at->desk = NULL;
    assert_int_equal(redis_new(&at->redis, &t.loop, t.server.target, &events, &err), 0);
    redis_until(&t.loop, redis_is_up, at->redis);
    const struct desk_config config = {.loop = &t.loop,
                                       .conf = t.conf,
                                       .redis = at->redis,
                                       .client = (struct httpc *)at,
                                       .events = &desk_events};
    assert_int_equal(desk_new(&at->desk, &config), 0);
    desk_set_hub(at->desk, (struct hub *)at);
}

static void cancel_asked(const struct desk_at *at) {
    for (size_t i = 0; i < ASKED_MAX; i++) {
        if (t.asked[i].on_done && t.asked[i].desk == at->index)
            answer(&t.asked[i], -ECANCELED, 0, "");
    }
}

// As a process that is killed: Redis hears nothing more of it.
static void desk_die(struct desk_at *at) {
    bool desk_closed = false, redis_closed = false;
    at->dying = true;
    desk_close(at->desk, redis_on_flag, &desk_closed);
    redis_close(at->redis, redis_on_flag, &redis_closed);
    cancel_asked(at);
    redis_until(&t.loop, redis_is_true, &redis_closed);
    redis_until(&t.loop, redis_is_true, &desk_closed);
    desk_free(at->desk);
    at->desk = NULL;
}

// ---- until nobody has anything more to do

static void settle(void) {
    unsigned before;
    do {
        before = t.acts;
        for (int i = 0; i < DESKS; i++)
            redis_ask(desks[i].redis, &t.loop, "PING");
        for (int i = 0; i < 4; i++)
            uv_run(&t.loop, UV_RUN_NOWAIT);
        for (size_t i = 0; i < ASKED_MAX; i++) {
            if (t.asked[i].on_done && t.asked[i].question)
                give_figures(&t.asked[i]);
            else if (t.asked[i].on_done && now_ms() - t.asked[i].at_ms >= 15000)
                answer(&t.asked[i], -ETIMEDOUT, 0, "");
        }
    } while (t.acts != before);
}

static void pass(int64_t ms) {
    for (; ms > 0; ms -= 500) {
        hand.moved_ms += ms < 500 ? ms : 500;
        hand.mono.tv_nsec = hand.real.tv_nsec = hand.moved_ms % 1000 * 1000000;
        settle();
    }
}

// ---- what must hold

static void check(void) {
    char now[24], max[8];
    snprintf(now, sizeof now, "%lld", (long long)now_ms());
    snprintf(max, sizeof max, "%d", MAX);
    // Of whoever died between the limits and the desk a lease is left for a while.
    const char *newcomers = t.crashed_ms && now_ms() - t.crashed_ms < 120000 ? "1" : "";
    const char *argv[] = {"EVAL", t.invariants, "0", now, max, "2500", newcomers};
    redisReply *reply = redisCommandArgv(t.redis, 7, argv, NULL);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s", reply->str);
    for (size_t i = 4; i < reply->elements; i++) {
        const struct session *session = &t.sessions[strtol(reply->element[i]->str + 4, NULL, 10)];
        if (!session->live && session->epoch == desks[session->desk].epoch)
            fail_msg("a slot without a session: %s", reply->element[i]->str);
    }
    freeReplyObject(reply);
}

// ---- begin and end

static void read_invariants(void) {
    FILE *file = fopen("tests/unit/middleware/invariants.lua", "r");
    assert_non_null(file);
    size_t len = fread(t.invariants, 1, sizeof t.invariants - 1, file);
    assert_true(len > 0 && feof(file));
    fclose(file);
}

static void begin(uint64_t seed) {
    static const char text[] =
        "{\"VoiceAiPlatform\":{\"ApiSecretToken\":\"TOKEN1\",\"BaseUrl\":\"https://p.example/"
        "\",\"Campaigns\":{"
        "\"Example\":{\"BusinessId\":\"12\",\"WebCampaignId\":\"w\",\"AllowedRegionIds\":[\"us\"]}}},"
        "\"Security\":{\"RateLimitConcurrency\":0,\"RateLimitHourly\":0,\"RateLimitDaily\":0},"
        "\"Queue\":{\"MaxLength\":30}}";
    struct conf_report report = {.out = stderr};
    memset(&t, 0, sizeof t);
    hand.still = false;
    t.seed = seed * 0x9e3779b97f4a7c15u;
    read_invariants();
    uv_loop_init(&t.loop);
    redis_child_start(&t.server, NULL);
    assert_int_equal(conf_parse(&t.conf, "test", text, sizeof text - 1, NULL, &report), 0);
    for (int i = 0; i < DESKS; i++) {
        desks[i] = (struct desk_at){.index = i};
        desk_begin(&desks[i]);
    }
    char socket[128];
    snprintf(socket, sizeof socket, "%s/socket", t.server.dir);
    t.redis = redisConnectUnix(socket);
    assert_int_equal(t.redis->err, 0);
    clock_gettime(CLOCK_REALTIME, &hand.real);
    clock_gettime(CLOCK_MONOTONIC, &hand.mono);
    hand.mono.tv_sec++;
    hand.mono.tv_nsec = hand.real.tv_nsec = hand.moved_ms = 0;
    hand.still = true;
    pass(2000);
}

static void end(void) {
    for (int i = 0; i < DESKS; i++)
        desk_die(&desks[i]);
    hand.still = false;
    redisFree(t.redis);
    conf_free(t.conf);
    redis_child_end(&t.server);
    assert_int_equal(uv_loop_close(&t.loop), 0);
}

#endif
