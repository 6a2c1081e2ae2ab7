// SPDX-License-Identifier: Apache-2.0
// Whatever happens in whatever order, on three nodes that crash and stall: slots taken are calls alive, no lease is
// without an owner, nobody is served twice, and nobody is lost. Random sequences against the real scripts; after each
// step Redis checks itself, and a model of what every caller has been told checks the answers.
#include "tests/unit/middleware/scripts_fixture.h"

enum { NODES = 3, CALLERS = 120, STEPS = 1000, MAX = 6, QUEUE_MAX = 40, CAMPAIGNS = 3, ID = 32 };

enum state {
    UNKNOWN, // has not asked yet
    DIRECT,  // has a slot, the platform is asked
    WAITING, // or being served
    SESSION,
    OVER,
    CRASHED, // its node did; the webhook may still come, or the lease lapses
    FAILED,
    LEFT,
    FULL,
};

struct caller {
    enum state state;
    int node;          // of its session
    char slot[ID];     // of its session, or of the attempt that is under way
    bool attempted;    // somebody serves it, or has died doing so
    int64_t absent_ms; // since when its client is away; 0 = it is there
    int outcomes;      // that were accepted; may be 1 at most
};

// Somebody serves a caller; a slow one may still answer when another has taken over.
struct attempt {
    bool open;
    int caller, node;
    char slot[ID];
    int64_t began_ms;
};

static struct {
    uint64_t seed;
    struct caller callers[CALLERS];
    struct attempt attempts[CALLERS];
    int epoch[NODES]; // a node that crashes comes back as another one
    int takes, asked;
    int64_t swept_ms, kept_ms;
} m;

static unsigned pick(unsigned n) { // xorshift
    m.seed ^= m.seed << 13;
    m.seed ^= m.seed >> 7;
    m.seed ^= m.seed << 17;
    return (unsigned)(m.seed >> 33) % n;
}

static const char *node_name(int node) {
    static char name[16];
    snprintf(name, sizeof name, "n%d.%d", node, m.epoch[node]);
    return name;
}

// ---- Redis checks itself

static char invariants[16384];

static void read_invariants(void) {
    FILE *file = fopen("tests/unit/middleware/invariants.lua", "r");
    assert_non_null(file);
    size_t len = fread(invariants, 1, sizeof invariants - 1, file);
    assert_true(len > 0 && feof(file));
    fclose(file);
}

static void check(const char *after) {
    char now[24], max[8];
    snprintf(now, sizeof now, "%lld", (long long)s.now_ms);
    snprintf(max, sizeof max, "%d", MAX);
    const char *argv[] = {"EVAL", invariants, "0", now, max, "2000", ""};
    redisReply *reply = redisCommandArgv(s.context, 7, argv, NULL);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("after %s: %s", after, reply->str);
    freeReplyObject(reply);
}

// ---- what callers and nodes do

static void served(struct caller *caller, enum state state) {
    assert_int_equal(caller->outcomes, 0);
    caller->outcomes++;
    caller->state = state;
}

static void attempt_begin(int caller, int node, const char *slot) {
    for (int i = 0; i < CALLERS; i++) {
        if (m.attempts[i].open)
            continue;
        m.attempts[i] = (struct attempt){.open = true, .caller = caller, .node = node, .began_ms = s.now_ms};
        snprintf(m.attempts[i].slot, ID, "%s", slot);
        snprintf(m.callers[caller].slot, ID, "%s", slot);
        return;
    }
    fail();
}

static void step_ask(int node) {
    if (m.asked == CALLERS)
        return;
    int i = m.asked++;
    struct caller *caller = &m.callers[i];
    char slot[ID];
    snprintf(slot, sizeof slot, "d%d", i);
    unsigned campaign = pick(CAMPAIGNS);
    const char *answer = run(SCRIPT_admit, "%s %s 0 c%d camp%u %u 10.0.0.1 text-%d 1 %d", slot,
                             node_name(node), i, campaign, campaign + 1, i, QUEUE_MAX);
    if (strcmp(answer, "[1]") == 0) {
        // Nobody is overtaken.
        for (int other = 0; other < i; other++)
            assert_false(m.callers[other].state == WAITING && !m.callers[other].attempted &&
                         !m.callers[other].absent_ms);
        caller->state = DIRECT;
        attempt_begin(i, node, slot);
        // What limits take before: kept as ratelimit_take would.
        command("ZADD ratelimit:leases:10.0.0.1 %lld c%d", (long long)s.now_ms + 60000, i);
    } else {
        caller->state = answer[1] == '2' ? WAITING : FULL;
    }
}

static void step_take(int node) {
    char name[ID];
    snprintf(name, sizeof name, "t%d", m.takes++);
    const char *at = run(SCRIPT_take, "%s 0 %u %s 1", node_name(node), 1 + pick(4), name);
    char slot[ID];
    while ((at = strchr(at + 1, '[')) != NULL) {
        int id = number_after(at, "[c");
        assert_int_equal(sscanf(strchr(at, ' '), " %31s", slot), 1);
        struct caller *caller = &m.callers[id];
        assert_int_equal(caller->state, WAITING);
        caller->attempted = true;
        attempt_begin(id, node, slot);
    }
}

static bool is_latest(const struct attempt *attempt) {
    return strcmp(m.callers[attempt->caller].slot, attempt->slot) == 0;
}

static void live(struct attempt *attempt) {
    struct caller *caller = &m.callers[attempt->caller];
    served(caller, SESSION);
    caller->node = attempt->node;
}

static void finish_direct(struct attempt *attempt) {
    struct caller *caller = &m.callers[attempt->caller];
    int id = attempt->caller;
    switch (pick(4)) {
    case 0:
        run(SCRIPT_end, "%s 1", attempt->slot);
        served(caller, FAILED);
        break;
    case 1:
        run(SCRIPT_refused, "%s c%d camp0 1 10.0.0.1 text-%d 1 1000", attempt->slot, id, id);
        caller->state = WAITING;
        break;
    default:
        run(SCRIPT_hold, "%s 30000 30000 %s s%d camp0 10.0.0.1 c%d", node_name(attempt->node), attempt->slot,
            id, id);
        live(attempt);
    }
}

static void finish_served(struct attempt *attempt) {
    struct caller *caller = &m.callers[attempt->caller];
    int id = attempt->caller;
    unsigned how = pick(8);
    bool ok = how > 2;
    if (how == 0) {
        const char *answer = run(SCRIPT_again, "c%d %s 2 500 2000", id, attempt->slot);
        if (strcmp(answer, "-1") != 0) {
            if (strcmp(answer, "-2") != 0)
                assert_true(is_latest(attempt) && caller->state == WAITING);
            return;
        }
        ok = false;
    }
    const char *answer = run(SCRIPT_settle, "c%d %s %d %s [x] %s s%d 30000 30000", id, attempt->slot, ok,
                             ok ? "SessionReady" : "SessionFailed", node_name(attempt->node), id);
    if (strcmp(answer, "0") == 0)
        return;
    assert_true(is_latest(attempt));
    if (ok)
        live(attempt);
    else
        served(caller, FAILED);
}

static void finish(struct attempt *attempt) {
    if (!attempt->open)
        return;
    attempt->open = false;
    if (m.callers[attempt->caller].state == DIRECT)
        finish_direct(attempt);
    else
        finish_served(attempt);
}

// The platform answers within 15 s or is not waited for; what is served may come to its end late all the same.
static void time_out(void) {
    for (int i = 0; i < CALLERS; i++) {
        if (m.attempts[i].open && m.callers[m.attempts[i].caller].state == DIRECT &&
            s.now_ms - m.attempts[i].began_ms >= 14000)
            finish(&m.attempts[i]);
    }
}

static void end_session(struct caller *caller, int id) {
    if (pick(2))
        run(SCRIPT_end_session, "s%d", id);
    else
        run(SCRIPT_end, "%s 0", caller->slot);
    caller->state = OVER;
}

static void step_end(void) {
    int id = (int)pick(CALLERS);
    struct caller *caller = &m.callers[id];
    if (caller->state == SESSION || caller->state == CRASHED)
        end_session(caller, id);
    else if (caller->state == OVER) // the webhook comes again
        assert_string_not_equal(run(SCRIPT_end_session, "s%d", id), "1");
}

static void step_crash(int node) {
    for (int i = 0; i < CALLERS; i++) {
        struct attempt *attempt = &m.attempts[i];
        if (attempt->open && attempt->node == node) {
            attempt->open = false;
            if (m.callers[attempt->caller].state == DIRECT) // its client saw the connection drop
                m.callers[attempt->caller].state = FAILED;
        }
        if (m.callers[i].state == SESSION && m.callers[i].node == node)
            m.callers[i].state = CRASHED;
    }
    m.epoch[node]++;
}

static void step_client(void) {
    struct caller *caller = &m.callers[pick(CALLERS)];
    int id = (int)(caller - m.callers);
    if (caller->state != WAITING)
        return;
    if (!caller->absent_ms) {
        run(SCRIPT_left, "c%d", id);
        caller->absent_ms = s.now_ms;
        return;
    }
    if (strncmp(run(SCRIPT_register, "c%d", id), "[-1", 3) != 0)
        caller->absent_ms = 0;
}

// ---- time

// Every node renews its sessions, and says who is there.
static void keep_alive(void) {
    for (int i = 0; i < CALLERS; i++) {
        struct caller *caller = &m.callers[i];
        if (caller->state == SESSION)
            assert_string_equal(run(SCRIPT_hold, "%s 30000 30000 %s s%d camp0 10.0.0.1 c%d",
                                    node_name(caller->node), caller->slot, i, i),
                                "[]");
        else if (caller->state == WAITING && !caller->absent_ms)
            run(SCRIPT_watch, "c%d", i);
    }
    m.kept_ms = s.now_ms;
}

static void sweep(void) {
    run(SCRIPT_sweep, "SessionFailed [x]");
    m.swept_ms = s.now_ms;
    // Those whose servers crashed three times are given up, and those who left are gone.
    for (int i = 0; i < CALLERS; i++) {
        struct caller *caller = &m.callers[i];
        if (caller->state != WAITING)
            continue;
        const char *state = command("HGET queue:entry:c%d state", i);
        if (strcmp(state, "done") == 0) {
            assert_true(caller->attempted);
            served(caller, FAILED);
        } else if (strcmp(state, "-") == 0) {
            assert_true(caller->absent_ms && s.now_ms - caller->absent_ms >= 10000);
            caller->state = LEFT;
        }
    }
}

static void pass(int ms) {
    while (ms > 0) {
        int piece = ms < 1000 ? ms : 1000;
        s.now_ms += piece;
        ms -= piece;
        time_out();
        if (s.now_ms - m.kept_ms >= 5000)
            keep_alive();
        if (s.now_ms - m.swept_ms >= 1000)
            sweep();
    }
}

static void step(void) {
    int node = (int)pick(NODES);
    switch (pick(20)) {
    case 0:
    case 1:
    case 2:
        step_ask(node);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        step_take(node);
        break;
    case 7:
        step_client();
        break;
    case 8:
        if (pick(12) == 0)
            step_crash(node);
        break;
    case 9:
    case 10:
        pass((int)pick(2500));
        break;
    case 11:
        if (pick(15) == 0)
            pass(27000); // somebody stalls
        break;
    case 12:
    case 13:
        step_end();
        break;
    default:
        finish(&m.attempts[pick(CALLERS)]);
    }
}

static int count_sessions(void) {
    int alive = 0;
    for (int i = 0; i < CALLERS; i++)
        alive += m.callers[i].state == SESSION;
    return alive;
}

static bool anybody_waits(void) {
    for (int i = 0; i < CALLERS; i++) {
        if (m.callers[i].state == WAITING)
            return true;
    }
    return false;
}

static void finish_all(void) {
    for (int i = 0; i < CALLERS; i++)
        finish(&m.attempts[i]);
}

// Nothing crashes any more: everybody comes to an end, and nothing is left.
static void wind_down(void) {
    for (int rounds = 0; anybody_waits(); rounds++) {
        assert_true(rounds < 500);
        step_take((int)pick(NODES));
        finish_all();
        for (int i = 0; i < CALLERS; i++) {
            if (m.callers[i].state == SESSION && pick(2))
                end_session(&m.callers[i], i);
        }
        pass(2000);
        check("winding down");
    }
    finish_all();
    pass(35000); // what crashed nodes held has lapsed
    char alive[8];
    snprintf(alive, sizeof alive, "%d", count_sessions());
    assert_string_equal(command("ZCARD slots:all"), alive);
    assert_string_equal(command("ZCOUNT ratelimit:leases:10.0.0.1 (%lld +inf", (long long)s.now_ms), alive);
    for (int i = 0; i < CALLERS; i++) {
        if (m.callers[i].state == SESSION)
            end_session(&m.callers[i], i);
    }
    pass(65000);
    static const char *const empty[] = {"slots:all", "queue:waiting", "queue:taken", "queue:presence",
                                        "queue:active"};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++)
        assert_string_equal(command("ZCARD %s", empty[i]), "0");
    assert_string_equal(command("KEYS slots:of:*"), "[]");
    for (int i = 0; i < CALLERS; i++) {
        enum state state = m.callers[i].state;
        assert_true(state == UNKNOWN || state == OVER || state == CRASHED || state == FAILED ||
                    state == LEFT || state == FULL);
    }
}

static void whatever_happens(void **state) {
    (void)state;
    read_invariants();
    const char *fixed = getenv("IQ_SEED");
    uint64_t first = fixed ? strtoull(fixed, NULL, 10) : 1, last = fixed ? first : 2;
    for (uint64_t seed = first; seed <= last; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        scripts_clear(NULL);
        memset(&m, 0, sizeof m);
        m.seed = seed * 0x9e3779b97f4a7c15u;
        m.swept_ms = m.kept_ms = s.now_ms;
        run(SCRIPT_plan, "%d -1 %lld", MAX, (long long)s.now_ms);
        sweep();
        for (int i = 0; i < STEPS; i++) {
            step();
            check("a step");
        }
        wind_down();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(whatever_happens)};
    return cmocka_run_group_tests(tests, scripts_start, scripts_stop);
}
