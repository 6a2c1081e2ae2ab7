// SPDX-License-Identifier: Apache-2.0
// The session desk as fast as it answers: requests that are admitted (and ended by webhook), queued or refused by the
// limits, and how long it takes from the webhook that frees a slot to the SessionReady of who is next.
#include "tests/bench/desk/run.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "desk: requests of the session desk, as fast as it answers; the stub of the platform is here too\n"
    "\n"
    "  --mode M         admitted, queued (the gateway has one slot), refused (by the limits), ready\n"
    "  --port PORT      the gateway's on 127.0.0.1 (8080)   --platform PORT   where the stub listens "
    "(18081)\n"
    "  --connections N  at once; ready: how many wait (64)  --seconds S       measured (10)\n"
    "  --round N        sessions that begin before they end (2000)\n"
    "  --most N         queued: how many at most (20000)\n"
    "  --token TEXT     of the webhook (hook)\n"
    "  --pid PID        the gateway's process, metered      --redis-pid PID   Redis' process, too\n"
    "  --json\n";

static const struct option known[] = {
    {"mode", required_argument, NULL, 'm'},     {"port", required_argument, NULL, 'p'},
    {"platform", required_argument, NULL, 'f'}, {"connections", required_argument, NULL, 'c'},
    {"seconds", required_argument, NULL, 's'},  {"round", required_argument, NULL, 'r'},
    {"most", required_argument, NULL, 'n'},     {"token", required_argument, NULL, 't'},
    {"pid", required_argument, NULL, 'P'},      {"redis-pid", required_argument, NULL, 'R'},
    {"json", no_argument, NULL, 'j'},           {NULL, 0, NULL, 0}};

static bool take(struct options *options, int option, const char *text) {
    unsigned number = text ? (unsigned)strtoul(text, NULL, 10) : 0;
    switch (option) {
    case 'm':
        options->mode = text;
        return true;
    case 't':
        options->token = text;
        return true;
    case 'j':
        options->json = true;
        return true;
    case 'p':
        options->port = number;
        break;
    case 'f':
        options->platform_port = number;
        break;
    case 'c':
        options->connections = number;
        return number > 0 && number <= CONNECTIONS_MAX;
    case 's':
        options->seconds = number;
        break;
    case 'r':
        options->round = number;
        return number > 0 && number <= ROUND_MAX;
    case 'n':
        options->most = number;
        break;
    case 'P':
        options->pid = (pid_t)number;
        break;
    case 'R':
        options->redis_pid = (pid_t)number;
        break;
    default:
        return false;
    }
    return number > 0;
}

static int read_options(struct options *out, int argc, char **argv) {
    static const char *const modes[] = {"admitted", "queued", "refused", "ready"};
    *out = (struct options){.mode = "",
                            .token = "hook",
                            .port = 8080,
                            .platform_port = 18081,
                            .connections = 64,
                            .seconds = 10,
                            .round = 2000,
                            .most = 20000};
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (!take(out, option, optarg))
            return -EINVAL;
    }
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(out->mode, modes[i]) == 0)
            return 0;
    }
    return -EINVAL;
}

static void report_json(const struct tally *tally, const char *before) {
    double done = tally->done ? (double)tally->done : 1;
    double cpu_us = tally->gateway_s * 1e6 / done;
    printf("%s{\"label\":\"%s\",\"done\":%llu,\"others\":%llu,\"perSecond\":%.0f,\"cpuUs\":%.1f,\"perCore\":%"
           ".0f,"
           "\"redisUs\":%.1f,\"p50Ms\":%.3f,\"p99Ms\":%.3f,\"maxMs\":%.3f}",
           before, tally->label, (unsigned long long)tally->done, (unsigned long long)tally->others,
           done / tally->seconds, cpu_us, cpu_us > 0 ? 1e6 / cpu_us : 0, tally->redis_s * 1e6 / done,
           histogram_ms(&tally->took, 0.5), histogram_ms(&tally->took, 0.99), histogram_ms(&tally->took, 1));
}

static void report_text(const struct tally *tally) {
    double done = tally->done ? (double)tally->done : 1;
    printf("%s: %llu, %.0f a second, %.1f us of the gateway's CPU and %.1f us of Redis' each; p50 %.2f ms, "
           "p99 %.2f "
           "ms, max %.2f ms; %llu answered otherwise\n",
           tally->label, (unsigned long long)tally->done, done / tally->seconds,
           tally->gateway_s * 1e6 / done, tally->redis_s * 1e6 / done, histogram_ms(&tally->took, 0.5),
           histogram_ms(&tally->took, 0.99), histogram_ms(&tally->took, 1),
           (unsigned long long)tally->others);
}

static void report(const struct options *options, const struct tally *tallies, int count) {
    for (int i = 0; i < count; i++) {
        if (tallies[i].others)
            fprintf(stderr, "desk: %s: the first other answer: %s\n", tallies[i].label,
                    tallies[i].first_other);
        if (options->json)
            report_json(&tallies[i], i ? "," : "[");
        else
            report_text(&tallies[i]);
    }
    if (options->json)
        puts("]");
}

int main(int argc, char **argv) {
    static struct tally tallies[2];
    struct options options;
    if (read_options(&options, argc, argv) != 0) {
        fputs(help, stderr);
        return 2;
    }
    int rc = peers_start();
    if (!rc)
        rc = platform_start(options.platform_port);
    if (rc) {
        fprintf(stderr, "desk: the platform cannot listen: %s\n", strerror(-rc));
        return 1;
    }
    rc = strcmp(options.mode, "ready") == 0 ? ready_run(&options, tallies) : load_run(&options, tallies);
    if (rc < 0) {
        fprintf(stderr, "desk: %s\n", strerror(-rc));
        return 1;
    }
    report(&options, tallies, rc);
    return 0;
}
