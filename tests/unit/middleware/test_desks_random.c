// SPDX-License-Identifier: Apache-2.0
// Three desks in random sequences: newcomers, a platform that gives, refuses, fails and stalls, webhooks that come twice or
// before their session is known, clients that leave and come back elsewhere, desks that die. IQ_SEED names one sequence.
#include "tests/unit/middleware/desks_house.h"

enum { STEPS = 600 };

static unsigned pick(unsigned n) { // xorshift
    t.seed ^= t.seed << 13;
    t.seed ^= t.seed >> 7;
    t.seed ^= t.seed << 17;
    return (unsigned)(t.seed >> 33) % n;
}

// ---- what happens

static void on_answer(const struct desk_answer *from, void *arg) {
    struct caller *caller = arg;
    t.acts++;
    assert_int_equal(caller->state, ASKING);
    if (desks[caller->at].dying) {
        caller->state = REFUSED; // its connection is gone
        return;
    }
    caller->state = from->status == 200 ? READY : from->status == 202 ? WAITING : REFUSED;
    snprintf(caller->id, sizeof caller->id, "%s", from->request_id ? from->request_id : "");
}

static void come(struct caller *caller, int at);

static void step_ask(void) {
    if (t.caller_count == CALLERS)
        return;
    struct caller *caller = &t.callers[t.caller_count];
    char name[16], address[16];
    *caller = (struct caller){.index = t.caller_count, .at = (int)pick(DESKS)};
    snprintf(name, sizeof name, "c%d", t.caller_count);
    snprintf(address, sizeof address, "203.0.113.%d", t.caller_count % 50);
    t.caller_count++;
    struct initiate_request request = {.campaign_id = strdup("Example"),
                                       .region_id = strdup("us"),
                                       .client_identifier = strdup(name),
                                       .transport = (int)pick(2),
                                       .dynamic_variables = json_object(),
                                       .metadata = json_object()};
    snprintf(request.client_address, sizeof request.client_address, "%s", address);
    desk_request(desks[caller->at].desk, &request, on_answer, caller);
    settle();
    if (caller->state == WAITING)
        come(caller, (int)pick(DESKS));
}

static void on_registered(int err, const struct hub_event *events, size_t n, void *arg) {
    struct caller *caller = arg;
    struct hub_events desk_events;
    t.acts++;
    if (desks[caller->at].dying)
        return;
    if (err) {
        assert_int_equal(err, -ENOENT);
        // Who was away too long has lost his place, and nobody else.
        assert_true(caller->absent_ms && now_ms() - caller->absent_ms >= 10000);
        if (caller->state == WAITING)
            caller->state = LEFT;
        return;
    }
    caller->absent_ms = 0;
    for (size_t i = 0; i < n; i++) {
        char *text = json_dumps(events[i].args, JSON_COMPACT);
        hear(caller, events[i].target, text);
        free(text);
    }
    desk_hub_events(desks[caller->at].desk, &desk_events);
    desk_events.on_back(caller->id, desk_events.arg);
}

static void come(struct caller *caller, int at) {
    struct hub_events events;
    caller->at = at;
    desk_hub_events(desks[at].desk, &events);
    events.on_register(caller->id, on_registered, caller, events.arg);
    settle();
}

static void step_client(void) {
    struct caller *caller = &t.callers[pick((unsigned)t.caller_count + 1) % CALLERS];
    struct hub_events events;
    if (!*caller->id || (caller->state != WAITING && !caller->absent_ms))
        return;
    if (caller->absent_ms) {
        come(caller, (int)pick(DESKS));
        return;
    }
    caller->absent_ms = now_ms();
    desk_hub_events(desks[caller->at].desk, &events);
    events.on_left(caller->id, events.arg);
}

static void on_ended(int err, void *arg) {
    (void)arg;
    t.acts++;
    assert_true(err == 0 || err == -ENOENT);
}

static void tell_end(int n) {
    struct webhook_events events;
    char id[16];
    snprintf(id, sizeof id, "ses_%d", n);
    desk_webhook_events(desks[pick(DESKS)].desk, &events);
    events.on_ended(id, on_ended, NULL, events.arg);
    settle();
}

// The webhook overtakes the platform's answer.
static void give_what_is_over(struct asked *asked) {
    tell_end(t.session_count);
    t.over_before++;
    give_session(asked, false);
}

static void step_platform(void) {
    static const char no_room[] =
        "{\"success\":false,\"code\":\"CONCURRENCY_LIMIT_REACHED\",\"message\":\"\"}";
    struct asked *asked = &t.asked[pick(ASKED_MAX)];
    for (int i = 0; i < ASKED_MAX && (!asked->on_done || asked->question); i++)
        asked = &t.asked[(size_t)(asked - t.asked + 1) % ASKED_MAX];
    if (!asked->on_done || asked->question)
        return;
    unsigned how = pick(10);
    if (how == 0 || t.live_count >= MAX)
        answer(asked, 0, 200, no_room);
    else if (how == 1)
        answer(asked, 0, 500, "{}");
    else if (how == 2)
        give_what_is_over(asked);
    else
        give_session(asked, true);
    settle();
}

static void end_session(int n) {
    struct session *session = &t.sessions[n];
    char id[16];
    snprintf(id, sizeof id, "ses_%d", n);
    t.live_count -= session->live;
    session->live = false;
    bool here = session->here && session->epoch == desks[session->desk].epoch;
    if (here && pick(2)) {
        desk_session_over(desks[session->desk].desk, id);
        if (pick(2))
            return;
    }
    for (unsigned times = 1 + pick(2); times; times--) // it may come twice
        tell_end(n);
    if (here) // the media's end follows, sooner or later
        desk_session_over(desks[session->desk].desk, id);
}

static void step_end(void) {
    if (!t.session_count)
        return;
    int n = (int)pick((unsigned)t.session_count);
    for (int i = 0; i < t.session_count && !t.sessions[n].live; i++)
        n = (n + 1) % t.session_count;
    end_session(n); // of one that is over already the webhook comes again
}

// Its calls end with it, and its clients come to the others.
static void step_crash(void) {
    struct desk_at *at = &desks[pick(DESKS)];
    desk_die(at);
    at->epoch++;
    for (int i = 0; i < t.session_count; i++) {
        if (t.sessions[i].live && t.sessions[i].here && t.sessions[i].desk == at->index) {
            t.sessions[i].live = false;
            t.live_count--;
        }
    }
    t.crashed_ms = now_ms();
    desk_begin(at);
    settle();
    for (int i = 0; i < t.caller_count; i++) {
        struct caller *caller = &t.callers[i];
        if (caller->state == WAITING && caller->at == at->index && !caller->absent_ms) {
            caller->absent_ms = now_ms();
            come(caller, (at->index + 1) % DESKS);
        }
    }
}

static void step(void) {
    unsigned what = pick(24);
    if (what < 6)
        step_ask();
    else if (what < 13)
        step_platform();
    else if (what < 16)
        step_end();
    else if (what < 18)
        step_client();
    else if (what == 18 && pick(8) == 0)
        step_crash();
    else if (what == 19 && pick(10) == 0)
        pass(16000);
    else
        pass(pick(1500));
    settle();
    check();
}

static bool anybody_waits(void) {
    for (int i = 0; i < t.caller_count; i++) {
        if (t.callers[i].state == WAITING || t.callers[i].state == ASKING)
            return true;
    }
    return false;
}

// Whoever is away comes back, and everybody comes to an end.
static void wind_down(void) {
    for (int rounds = 0; anybody_waits(); rounds++) {
        assert_true(rounds < 600);
        for (int i = 0; i < t.caller_count; i++) {
            if (t.callers[i].absent_ms && t.callers[i].state == WAITING)
                come(&t.callers[i], (int)pick(DESKS));
        }
        step_platform();
        step_end();
        pass(500);
        check();
    }
    for (int i = 0; i < ASKED_MAX; i++)
        step_platform();
    settle();
    for (int i = 0; i < t.session_count; i++) {
        if (t.sessions[i].live)
            end_session(i);
    }
    pass(125000);
    check();
    redisReply *reply = redisCommand(t.redis, "EVAL %s 0 %lld 0 0", t.invariants, (long long)now_ms());
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    for (size_t i = 0; i < reply->elements; i++)
        assert_int_equal(reply->element[i]->integer, 0);
    freeReplyObject(reply);
}

static void whatever_happens(void **state) {
    (void)state;
    const char *fixed = getenv("IQ_SEED");
    uint64_t first = fixed ? strtoull(fixed, NULL, 10) : 1, last = fixed ? first : 2;
    for (uint64_t seed = first; seed <= last; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        begin(seed);
        for (int i = 0; i < STEPS; i++)
            step();
        wind_down();
        int counts[LEFT + 1] = {0};
        for (int i = 0; i < t.caller_count; i++)
            counts[t.callers[i].state]++;
        print_message("%d ready, %d failed, %d refused, %d left\n", counts[READY], counts[FAILED],
                      counts[REFUSED], counts[LEFT]);
        assert_true(counts[READY] > 20 && t.over_before);
        end();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(whatever_happens)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
