// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/desk/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 1024, STALL_S = 20 };

// So many requests of one kind, by every connection at once.
struct phase {
    struct load *load;
    struct tally *tally;
    unsigned wanted; // status
    bool webhook;
    uint64_t begun, answered, most;
    int64_t until_us;
};

struct caller {
    struct peer peer;
    struct load *load;
    int64_t sent_us;
};

struct load {
    const struct options *options;
    struct caller *callers;
    struct phase *phase;
    uint32_t address; // of the last request; 0 while all come from one
    bool one_address;
    char (*sessions)[SESSION_ID_SIZE]; // alive, to be ended by webhook; the last ROUND_MAX
    size_t session_count;
};

int request_text(char *out, size_t out_size, uint32_t address) {
    static const char body[] =
        "{\"campaignId\":\"demo\",\"regionId\":\"local\",\"transportType\":0,\"clientIdentifier\":\"visitor-"
        "7\","
        "\"dynamicVariables\":{\"name\":\"Ada\",\"page\":\"https://shop.example/basket\"},"
        "\"metadata\":{\"source\":\"widget\"}}";
    return snprintf(out, out_size,
                    "POST /api/session/request HTTP/1.1\r\nHost: gateway.example\r\n"
                    "Origin: https://shop.example\r\nContent-Type: application/json\r\nAccept: */*\r\n"
                    "X-Forwarded-For: 10.%u.%u.%u\r\nContent-Length: %zu\r\n\r\n%s",
                    address >> 16 & 255, address >> 8 & 255, address & 255, sizeof body - 1, body);
}

int webhook_text(char *out, size_t out_size, const char *token, const char *session) {
    return snprintf(out, out_size,
                    "POST /api/webhook/session-ended HTTP/1.1\r\nHost: gateway.example\r\n"
                    "X-Api-Token: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n"
                    "{\"ConversationSessionId\":\"%s\"}",
                    token, strlen(session) + 28, session);
}

unsigned status_of(const struct message *message) {
    const char *space = strchr(message->head, ' ');
    return space ? (unsigned)strtoul(space, NULL, 10) : 0;
}

bool session_of(const struct message *message, char out[SESSION_ID_SIZE]) {
    char url[512];
    if (!text_field(message->body, "webSocketUrl", url, sizeof url))
        return false;
    const char *slash = strrchr(url, '/');
    if (!slash || strlen(slash) > SESSION_ID_SIZE)
        return false;
    snprintf(out, SESSION_ID_SIZE, "%s", slash + 1);
    return true;
}

static void caller_send(struct caller *caller) {
    struct load *load = caller->load;
    struct phase *phase = load->phase;
    char text[TEXT_BYTES];
    int len;
    if (phase->begun == phase->most || now_us() >= phase->until_us)
        return;
    phase->begun++;
    if (phase->webhook)
        len = webhook_text(text, sizeof text, load->options->token, load->sessions[--load->session_count]);
    else
        len = request_text(text, sizeof text, load->one_address ? 0 : ++load->address);
    caller->sent_us = now_us();
    peer_send(&caller->peer, text, (size_t)len);
}

static void on_answer(struct peer *peer, const struct message *message) {
    struct caller *caller = peer->arg;
    struct load *load = caller->load;
    struct phase *phase = load->phase;
    struct tally *tally = phase->tally;
    phase->answered++;
    if (status_of(message) == phase->wanted) {
        tally->done++;
        histogram_add(&tally->took, now_us() - caller->sent_us);
        if (!phase->webhook && load->session_count < ROUND_MAX &&
            session_of(message, load->sessions[load->session_count]))
            load->session_count++;
    } else if (!tally->others++) {
        snprintf(tally->first_other, sizeof tally->first_other, "%.*s: %.100s",
                 (int)strcspn(message->head, "\r"), message->head, message->body);
    }
    caller_send(caller);
}

static void on_gone(struct peer *peer) {
    const struct caller *caller = peer->arg;
    fprintf(stderr, "desk: the gateway closed a connection\n");
    if (peer_connect(peer, caller->load->options->port) != 0)
        exit(1);
    caller->load->phase->answered++;
    caller->load->phase->tally->others++;
    caller_send(peer->arg);
}

static bool phase_over(void *arg) {
    const struct phase *phase = arg;
    bool no_more = phase->begun == phase->most || now_us() >= phase->until_us;
    return no_more && phase->answered == phase->begun;
}

static double cpu_of(pid_t pid) {
    struct meter meter = {.cpu_s = 0};
    if (pid)
        meter_read(&meter, pid);
    return meter.cpu_s;
}

// `most` 0: as many as there is time for.
static int phase_run(struct load *load, struct phase *phase, uint64_t most, double seconds) {
    const struct options *options = load->options;
    double gateway_s = cpu_of(options->pid), redis_s = cpu_of(options->redis_pid);
    int64_t began_us = now_us();
    phase->load = load;
    phase->most = most ? most : UINT64_MAX;
    phase->until_us = began_us + (int64_t)(seconds * 1e6);
    load->phase = phase;
    for (unsigned i = 0; i < options->connections; i++)
        caller_send(&load->callers[i]);
    if (!peers_turn(phase_over, phase, seconds + STALL_S)) {
        fprintf(stderr, "desk: %llu requests were never answered\n",
                (unsigned long long)(phase->begun - phase->answered));
        return -ETIMEDOUT;
    }
    phase->tally->seconds += (double)(now_us() - began_us) / 1e6;
    phase->tally->gateway_s += cpu_of(options->pid) - gateway_s;
    phase->tally->redis_s += cpu_of(options->redis_pid) - redis_s;
    return 0;
}

static int ask(struct load *load, struct tally *tally, unsigned status, uint64_t most, double seconds) {
    struct phase phase = {.tally = tally, .wanted = status};
    return phase_run(load, &phase, most, seconds);
}

static int end_all(struct load *load, struct tally *tally) {
    struct phase phase = {.tally = tally, .wanted = 200, .webhook = true};
    return phase_run(load, &phase, load->session_count, STALL_S);
}

// Sessions begin and end in turn, so that there are never more than a round of them.
static int run_admitted(struct load *load, struct tally tallies[2]) {
    static struct tally warm;
    const struct options *options = load->options;
    int err = ask(load, &warm, 200, options->round, STALL_S);
    if (!err)
        err = end_all(load, &warm);
    int64_t until_us = now_us() + (int64_t)options->seconds * 1000000;
    tallies[0].label = "admitted";
    tallies[1].label = "webhook";
    while (!err && now_us() < until_us) {
        err = ask(load, &tallies[0], 200, options->round, STALL_S);
        if (!err)
            err = end_all(load, &tallies[1]);
    }
    return err ? err : 2;
}

// After `most` the queue holds so many.
static int run_queued(struct load *load, struct tally *tally) {
    static struct tally first;
    const struct options *options = load->options;
    tally->label = "queued";
    int err = ask(load, &first, 200, 1, STALL_S);
    if (!err)
        err = ask(load, &first, 202, options->connections, STALL_S);
    if (!err)
        err = ask(load, tally, 202, options->most, options->seconds);
    return err ? err : 1;
}

static int run_refused(struct load *load, struct tally *tally) {
    static struct tally warm;
    tally->label = "refused";
    load->one_address = true;
    int err = ask(load, &warm, 429, load->options->round, STALL_S);
    if (!err)
        err = ask(load, tally, 429, 0, load->options->seconds);
    return err ? err : 1;
}

static int load_start(struct load *load) {
    load->callers = calloc(load->options->connections, sizeof *load->callers);
    load->sessions = calloc(ROUND_MAX, sizeof *load->sessions);
    if (!load->callers || !load->sessions)
        return -ENOMEM;
    for (unsigned i = 0; i < load->options->connections; i++) {
        struct caller *caller = &load->callers[i];
        caller->load = load;
        caller->peer = (struct peer){.fd = -1, .on_message = on_answer, .on_end = on_gone, .arg = caller};
        int err = peer_connect(&caller->peer, load->options->port);
        if (err)
            return err;
    }
    return 0;
}

int load_run(const struct options *options, struct tally tallies[2]) {
    struct load load = {.options = options};
    int rc = load_start(&load);
    if (rc)
        fprintf(stderr, "desk: no connection to port %u: %s\n", options->port, strerror(-rc));
    else if (strcmp(options->mode, "admitted") == 0)
        rc = run_admitted(&load, tallies);
    else if (strcmp(options->mode, "queued") == 0)
        rc = run_queued(&load, tallies);
    else
        rc = run_refused(&load, tallies);
    for (unsigned i = 0; load.callers && i < options->connections; i++)
        peer_close(&load.callers[i].peer);
    free(load.callers);
    free(load.sessions);
    return rc;
}
