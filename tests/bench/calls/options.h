// SPDX-License-Identifier: Apache-2.0
// What to load, with how much, and how to say it.
#ifndef IQ_BENCH_OPTIONS_H
#define IQ_BENCH_OPTIONS_H

#include "media/codec.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/types.h>

enum options_pattern { PATTERN_STEADY20, PATTERN_STEADY30, PATTERN_BURST, PATTERN_ECHO };

struct options {
    struct sockaddr_in sip;        // where INVITEs go
    struct sockaddr_in web;        // where browser-like callers ask for sessions; port 0: SIP callers instead
    const char *campaign, *region; // what they ask for
    unsigned calls, first_number;
    unsigned dialled; // by every caller; 0 = each its own number
    double rate;      // calls begun in a second
    unsigned more;    // of the calls, so many are begun once it is measured
    unsigned warm_s, seconds;
    unsigned life_min_s, life_max_s; // how long a call lives, at random; 0 = to the end
    unsigned other_number;           // callers from here on are another generator's; 0 = all are ours
    uint16_t other_port;             // where its agents listen
    enum codec_id caller_codec;
    enum codec_id agent_codec; // CODEC_L16 for PCM
    uint32_t agent_rate_hz;
    enum options_pattern pattern;
    uint16_t agent_port;
    const char *certificate, *key; // the agent's, for wss; NULL for ws
    const char *uri_parameters;    // put behind the number, as ";X-Business-Id=1;X-Phone-Id=demo"
    pid_t pid;                     // metered, 0 for none
    struct sockaddr_in compare;    // where INVITEs go in a second run; port 0: there is none
    pid_t compare_pid;
    const char *label;
    bool json, quiet;
};

// 0 to go on, 1 after --help, -EINVAL after saying what is wrong.
int options_read(struct options *out, int argc, char **argv);

#endif
