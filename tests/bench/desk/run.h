// SPDX-License-Identifier: Apache-2.0
// What the parts of the desk's load share.
//
//   main -> load  : requests and webhooks over kept-alive connections, a closed loop, metered
//        -> ready : clients that wait at the hub, and the time from the webhook that frees a slot to SessionReady
//   platform      : the stub the gateway asks for sessions, in the same thread
#ifndef IQ_BENCH_DESK_RUN_H
#define IQ_BENCH_DESK_RUN_H

#include "tests/bench/common/histogram.h"
#include "tests/bench/common/meter.h"
#include "tests/bench/desk/peer.h"

enum { SESSION_ID_SIZE = 64, CONNECTIONS_MAX = 1024, ROUND_MAX = 4096 };

struct options {
    const char *mode, *token;
    unsigned port, platform_port, connections, seconds, round, most;
    pid_t pid, redis_pid;
    bool json;
};

// What a kind of request cost and how long it took.
struct tally {
    const char *label;
    uint64_t done, others; // answered as wanted, and otherwise
    char first_other[160];
    double gateway_s, redis_s, seconds; // CPU, CPU, elapsed
    struct histogram took;
};

int platform_start(unsigned port);

// A request for a session from an address of its own, or (0) the one that all share.
int request_text(char *out, size_t out_size, uint32_t address);
int webhook_text(char *out, size_t out_size, const char *token, const char *session);
unsigned status_of(const struct message *message);
// The conversation's id is the last part of the address that the platform gave out.
bool session_of(const struct message *message, char out[SESSION_ID_SIZE]);

int load_run(const struct options *options,
             struct tally tallies[2]); // how many of them are filled, or an error
int ready_run(const struct options *options, struct tally *tally);

#endif
