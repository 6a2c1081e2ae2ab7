// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/calls/report.h"

#include <stdio.h>
#include <stdlib.h>

// Beyond these the generator was the limit, and the run says nothing of the server.
static const double own_cpu_limit = 0.95, own_late_p99_ms = 5;

void report_progress(const struct run *run, int64_t left_us) {
    const struct counters *c = &run->counters;
    fprintf(stderr, "calls: %s, %llu of %u answered, %llu refused, %llu failed, %.0f s left\n",
            run->measuring ? "measuring" : "warming up", (unsigned long long)c->answered, run->options.calls,
            (unsigned long long)c->refused, (unsigned long long)c->failed, (double)left_us / 1e6);
}

static double seconds_of(struct timeval t) {
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double own_cpu(const struct report *report) {
    return seconds_of(report->own_after.ru_utime) + seconds_of(report->own_after.ru_stime) -
           seconds_of(report->own_before.ru_utime) - seconds_of(report->own_before.ru_stime);
}

static json_t *delays(const struct histogram *histogram) {
    return json_pack("{s:f,s:f,s:f,s:f,s:I}", "p50", histogram_ms(histogram, 0.5), "p90",
                     histogram_ms(histogram, 0.9), "p99", histogram_ms(histogram, 0.99), "max",
                     histogram_ms(histogram, 1), "count", (json_int_t)histogram->count);
}

json_t *report_json(const struct run *run, const struct report *report) {
    const struct counters *c = &run->counters;
    double seconds = (double)(report->ended_us - report->began_us) / 1e6;
    double calls = (double)(c->answered - c->byes_received);
    double cpu = report->after.cpu_s - report->before.cpu_s;
    double per_call = calls > 0 && seconds > 0 ? cpu / seconds / calls : 0;
    double own = seconds > 0 ? own_cpu(report) / seconds : 0;
    bool limited = own > own_cpu_limit || histogram_ms(&run->lateness, 0.99) > own_late_p99_ms;
    double kb_per_call = calls > 0 ? ((double)report->after.rss_kb - (double)report->idle.rss_kb) / calls : 0;
    json_t *root = json_pack(
        "{s:s,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:f,s:I,s:I,s:f}", "label", run->options.label, "calls",
        (json_int_t)run->options.calls, "answered", (json_int_t)c->answered, "refused",
        (json_int_t)c->refused, "failed", (json_int_t)c->failed, "ended",
        (json_int_t)(c->byes_received + c->agents_lost), "seconds", seconds, "cpu", cpu / seconds,
        "cpuPerCall", per_call, "callsPerCore", per_call > 0 ? 1 / per_call : 0, "kbPerCall", kb_per_call,
        "threads", (json_int_t)report->after.threads, "descriptors", (json_int_t)report->after.descriptors,
        "switchesPerSecond", (double)(report->after.switches - report->before.switches) / seconds);
    json_object_set_new(root, "callerToAgentMs", delays(&run->up));
    json_object_set_new(root, "agentToCallerMs", delays(&run->down));
    if (run->options.more) {
        json_object_set_new(root, "newcomersCallerToAgentMs", delays(&run->late_up));
        json_object_set_new(root, "newcomersAgentToCallerMs", delays(&run->late_down));
    }
    json_object_set_new(root, "setupMs", delays(&run->setup));
    json_object_set_new(root, "generatorLateMs", delays(&run->lateness));
    json_object_set_new(root, "generatorCpu", json_real(own));
    json_object_set_new(root, "generatorWasTheLimit", json_boolean(limited));
    json_object_set_new(root, "packets",
                        json_pack("{s:I,s:I,s:I,s:I,s:I}", "sent", (json_int_t)c->rtp_sent, "received",
                                  (json_int_t)c->rtp_received, "gaps", (json_int_t)c->rtp_gaps,
                                  "agentMessages", (json_int_t)c->agent_messages, "agentBytes",
                                  (json_int_t)c->agent_bytes));
    json_object_set_new(root, "marks",
                        json_pack("{s:I,s:I,s:I,s:I}", "upSent", (json_int_t)c->marks_up_sent, "upHeard",
                                  (json_int_t)c->marks_up_heard, "downSent", (json_int_t)c->marks_down_sent,
                                  "downHeard", (json_int_t)c->marks_down_heard));
    return root;
}

static double number_at(const json_t *root, const char *outer, const char *inner) {
    const json_t *value = json_object_get(root, outer);
    return json_number_value(inner ? json_object_get(value, inner) : value);
}

static void print_delay(const json_t *root, const char *name, const char *key) {
    printf("  %-22s %8.2f %8.2f %8.2f %8.2f\n", name, number_at(root, key, "p50"),
           number_at(root, key, "p90"), number_at(root, key, "p99"), number_at(root, key, "max"));
}

static void print_table(const struct run *run, const json_t *root) {
    const struct counters *c = &run->counters;
    printf("%s%s%u calls for %.0f s: %llu answered, %llu refused, %llu failed, %llu ended early\n",
           run->options.label, *run->options.label ? ": " : "", run->options.calls,
           number_at(root, "seconds", NULL), (unsigned long long)c->answered, (unsigned long long)c->refused,
           (unsigned long long)c->failed, (unsigned long long)(c->byes_received + c->agents_lost));
    if (run->options.pid)
        printf("  CPU %.1f %% of a core, %.4f %% a call, %.0f calls a core; %.1f kB a call; %.0f threads, "
               "%.0f descriptors, %.0f switches a second\n",
               100 * number_at(root, "cpu", NULL), 100 * number_at(root, "cpuPerCall", NULL),
               number_at(root, "callsPerCore", NULL), number_at(root, "kbPerCall", NULL),
               number_at(root, "threads", NULL), number_at(root, "descriptors", NULL),
               number_at(root, "switchesPerSecond", NULL));
    printf("  %-22s %8s %8s %8s %8s\n", "milliseconds", "p50", "p90", "p99", "max");
    print_delay(root, "caller to agent", "callerToAgentMs");
    print_delay(root, "agent to caller", "agentToCallerMs");
    if (run->options.more) {
        print_delay(root, "newcomers' to agent", "newcomersCallerToAgentMs");
        print_delay(root, "agent to newcomers", "newcomersAgentToCallerMs");
    }
    print_delay(root, "setup", "setupMs");
    print_delay(root, "generator late by", "generatorLateMs");
    printf("  marks %llu of %llu heard by agents, %llu of %llu by callers; %llu RTP packets missing\n",
           (unsigned long long)c->marks_up_heard, (unsigned long long)c->marks_up_sent,
           (unsigned long long)c->marks_down_heard, (unsigned long long)c->marks_down_sent,
           (unsigned long long)c->rtp_gaps);
    if (json_is_true(json_object_get(root, "generatorWasTheLimit")))
        printf("  THE GENERATOR WAS THE LIMIT (%.0f %% of its core): this run says nothing of the server\n",
               100 * number_at(root, "generatorCpu", NULL));
}

void report_print(const struct run *run, const json_t *root) {
    if (run->options.json) {
        char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6));
        puts(text ? text : "{}");
        free(text);
    } else {
        print_table(run, root);
    }
    fflush(stdout);
}

void report_compare(const json_t *first, const json_t *second) {
    static const struct {
        const char *name, *outer, *inner;
        double unit;
    } rows[] = {
        {"calls answered", "answered", NULL, 1},
        {"CPU of a call, %", "cpuPerCall", NULL, 100},
        {"calls a core", "callsPerCore", NULL, 1},
        {"memory of a call, kB", "kbPerCall", NULL, 1},
        {"threads", "threads", NULL, 1},
        {"caller to agent p50, ms", "callerToAgentMs", "p50", 1},
        {"caller to agent p99, ms", "callerToAgentMs", "p99", 1},
        {"agent to caller p50, ms", "agentToCallerMs", "p50", 1},
        {"agent to caller p99, ms", "agentToCallerMs", "p99", 1},
        {"setup p99, ms", "setupMs", "p99", 1},
        {"RTP packets missing", "packets", "gaps", 1},
    };
    printf("  %-24s %12s %12s %8s\n", "", "first", "compared", "ratio");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double one = rows[i].unit * number_at(first, rows[i].outer, rows[i].inner);
        double two = rows[i].unit * number_at(second, rows[i].outer, rows[i].inner);
        printf("  %-24s %12.4g %12.4g", rows[i].name, one, two);
        if (two > 0)
            printf(" %8.2f", one / two);
        putchar('\n');
    }
}
