// SPDX-License-Identifier: Apache-2.0
//
//   begin all -> warm up -> measure (meter before, meter after) -> hang up -> report
//
// One thread on one core: what it does late it says, so that a run in which the generator was the limit can be
// told from one in which the server was.
#include "tests/bench/calls/agent.h"
#include "tests/bench/calls/caller.h"
#include "tests/bench/calls/report.h"
#include "tests/bench/calls/voice.h"
#include "tests/bench/calls/web.h"
#include "tests/bench/common/meter.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, SETTLE_S = 5, PROGRESS_MS = 2000, PAUSE_MAX_S = 5 };

struct clockwork {
    struct source source;
    struct run *run;
    struct callers *callers; // one of the two
    struct webs *webs;
    struct agents *agents;
    int timer;
    int64_t next_ms; // the first millisecond not done yet
};

int64_t run_now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

// `from_s` .. `to_s`, in us.
static int64_t random_us(unsigned from_s, unsigned to_s) {
    uint32_t random;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        random = 0;
    return (int64_t)from_s * 1000000 + random % ((int64_t)(to_s - from_s) * 1000000 + 1);
}

int64_t run_life_us(const struct run *run) {
    const struct options *options = &run->options;
    return options->life_max_s ? random_us(options->life_min_s, options->life_max_s) : 0;
}

int64_t run_pause_us(void) {
    return random_us(1, PAUSE_MAX_S);
}

int run_watch(struct run *run, int fd, uint32_t events, struct source *source) {
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ||
        (errno == EEXIST && epoll_ctl(run->epoll, EPOLL_CTL_MOD, fd, &event) == 0))
        return 0;
    return -errno;
}

void run_mark_sent(struct run *run, unsigned call, bool up, int64_t now_us) {
    struct mark_times *marks = &run->marks[call];
    if (!run->measuring || !marks->live)
        return;
    *(up ? &marks->up_us : &marks->down_us) = now_us;
    *(up ? &run->counters.marks_up_sent : &run->counters.marks_down_sent) += 1;
}

void run_mark_heard(struct run *run, unsigned call, bool up, int64_t now_us) {
    int64_t *sent_us = up ? &run->marks[call].up_us : &run->marks[call].down_us;
    if (!*sent_us)
        return;
    bool newcomer = call >= run->options.calls - run->options.more;
    struct histogram *way = newcomer ? &run->late_up : &run->up;
    if (!up)
        way = newcomer ? &run->late_down : &run->down;
    histogram_add(way, now_us - *sent_us);
    *(up ? &run->counters.marks_up_heard : &run->counters.marks_down_heard) += 1;
    *sent_us = 0;
}

bool run_may_begin(const struct run *run, unsigned begun, int64_t now_us) {
    const struct options *options = &run->options;
    unsigned first = options->calls - options->more;
    if (begun < first)
        return (double)(now_us - run->began_us) / 1e6 * options->rate >= begun;
    return begun < options->calls && run->measuring &&
           (double)(now_us - run->measured_us) / 1e6 * options->rate >= begun - first;
}

void run_call_failed(struct run *run, bool refused, const char *why) {
    uint64_t *count = refused ? &run->counters.refused : &run->counters.failed;
    if (!(*count)++)
        fprintf(stderr, "calls: the first call that %s: %s\n", refused ? "was refused" : "failed", why);
}

static void on_clock(struct source *source, uint32_t events) {
    (void)events;
    struct clockwork *clock = (struct clockwork *)source;
    uint64_t ticks;
    if (read(clock->timer, &ticks, sizeof ticks) < 0)
        return;
    for (int64_t now_us = run_now_us(); clock->next_ms <= now_us / 1000; clock->next_ms++) {
        if (clock->run->measuring)
            histogram_add(&clock->run->lateness, now_us - clock->next_ms * 1000);
        if (clock->webs)
            webs_tick(clock->webs, clock->next_ms, now_us);
        else
            callers_tick(clock->callers, clock->next_ms, now_us);
        agents_tick(clock->agents, clock->next_ms, now_us);
        now_us = run_now_us();
    }
}

static int clock_start(struct clockwork *clock) {
    clock->source.on_event = on_clock;
    clock->next_ms = run_now_us() / 1000 + 1;
    clock->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct itimerspec every = {.it_interval = {0, 1000000}, .it_value = {0, 1000000}};
    if (clock->timer < 0 || timerfd_settime(clock->timer, 0, &every, NULL) != 0)
        return -errno;
    return run_watch(clock->run, clock->timer, EPOLLIN, &clock->source);
}

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

// Turns until `until_us`, or until `done` says so.
static void run_turn(struct run *run, int64_t until_us, bool (*done)(const struct run *run)) {
    static struct epoll_event events[EVENTS];
    int64_t told_us = run_now_us();
    while (!interrupted && run_now_us() < until_us && !(done && done(run))) {
        run->turn++;
        int count = epoll_wait(run->epoll, events, EVENTS, 100);
        for (int i = 0; i < count; i++) {
            struct source *source = events[i].data.ptr;
            source->on_event(source, events[i].events);
        }
        if (!run->options.quiet && run_now_us() - told_us > PROGRESS_MS * 1000) {
            told_us = run_now_us();
            report_progress(run, until_us - told_us);
        }
    }
}

static bool all_begun(const struct run *run) {
    const struct counters *c = &run->counters;
    return c->answered + c->refused + c->failed >= run->options.calls - run->options.more &&
           c->agents_connected >= c->answered;
}

static int64_t seconds_from_now(double seconds) {
    return run_now_us() + (int64_t)(seconds * 1e6);
}

static int measure(struct run *run, struct report *report) {
    if (run->options.pid && meter_read(&report->idle, run->options.pid) != 0) {
        fprintf(stderr, "calls: --pid %d: there is no such process\n", (int)run->options.pid);
        return -ESRCH;
    }
    run->began_us = run_now_us();
    run_turn(run, seconds_from_now(run->options.calls / run->options.rate + 40), all_begun);
    run_turn(run, seconds_from_now(run->options.warm_s), NULL);
    run->measuring = true;
    run->measured_us = report->began_us = run_now_us();
    if (run->options.pid)
        meter_read(&report->before, run->options.pid);
    getrusage(RUSAGE_SELF, &report->own_before);
    run_turn(run, seconds_from_now(run->options.seconds), NULL);
    report->ended_us = run_now_us();
    if (run->options.pid && meter_read(&report->after, run->options.pid) != 0)
        fprintf(stderr, "calls: the server's process has ended\n");
    getrusage(RUSAGE_SELF, &report->own_after);
    return 0;
}

static void raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int start(struct run *run, struct clockwork *clock) {
    clock->run = run;
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    run->marks = calloc(run->options.calls, sizeof *run->marks);
    int err = run->epoll < 0 || !run->marks ? -ENOMEM : agents_new(&clock->agents, run);
    if (err)
        fprintf(stderr, "calls: the agents cannot be had on port %u: %s\n", run->options.agent_port,
                strerror(-err));
    if (err)
        return err;
    const struct options *options = &run->options;
    err = track_new(&run->caller_track, options->caller_codec, codec_pcm_rate(options->caller_codec, 48000),
                    VOICE_FRAME_MS);
    if (!err)
        err = options->web.sin_port ? webs_new(&clock->webs, run) : callers_new(&clock->callers, run);
    if (err)
        fprintf(stderr, "calls: the callers cannot be had: %s\n", strerror(-err));
    return err ? err : clock_start(clock);
}

static void stop(struct run *run, struct clockwork *clock) {
    callers_free(clock->callers);
    webs_free(clock->webs);
    track_clear(&run->caller_track);
    agents_free(clock->agents);
    free(run->marks);
    if (clock->timer > 0)
        close(clock->timer);
    if (run->epoll >= 0)
        close(run->epoll);
}

// One load from its beginning to its end, and what it showed.
static int run_once(const struct options *options, json_t **out) {
    static struct run run;
    static struct report report;
    struct clockwork clock = {.run = &run};
    run = (struct run){.options = *options};
    report = (struct report){.began_us = 0};
    int err = start(&run, &clock);
    if (!err)
        err = measure(&run, &report);
    if (!err) {
        *out = report_json(&run, &report);
        report_print(&run, *out);
        run.measuring = false;
        if (clock.webs)
            webs_hang_up(clock.webs);
        else
            callers_hang_up(clock.callers);
        run_turn(&run, seconds_from_now(SETTLE_S / 5.0), NULL);
    }
    stop(&run, &clock);
    return err || run.counters.failed || run.counters.refused ? 1 : 0;
}

int main(int argc, char **argv) {
    struct options options;
    json_t *first = NULL, *second = NULL;
    int err = options_read(&options, argc, argv);
    if (err)
        return err < 0 ? 2 : 0;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, on_interrupt);
    raise_descriptors();
    int code = run_once(&options, &first);
    if (first && options.compare.sin_port && !interrupted) {
        options.sip = options.compare;
        options.pid = options.compare_pid;
        options.web.sin_port = 0;
        options.label = "compared";
        code |= run_once(&options, &second);
    }
    if (second && !options.json)
        report_compare(first, second);
    json_decref(first);
    json_decref(second);
    return code;
}
