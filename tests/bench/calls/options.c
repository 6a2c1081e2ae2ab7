// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/calls/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char help[] =
    "calls: N callers and N agents against a SIP-to-WebSocket server, and what that cost it\n"
    "\n"
    "  --sip HOST:PORT      where the INVITEs go (127.0.0.1:5060); a 302 is followed\n"
    "  --web HOST:PORT      callers like browsers instead: WebRTC, Opus   --campaign ID (demo)   --region ID "
    "(local)\n"
    "  --calls N            at once (100)          --rate R        begun in a second (50)\n"
    "  --seconds S          measured (20)          --warm S        before that, once all are up (3)\n"
    "  --life MIN-MAX       seconds that a call lives, at random; then its caller hangs up and soon calls "
    "again\n"
    "  --more N             of the calls, begun only while it is measured (0)\n"
    "  --number N           of the first caller, the next one of the second (100000)   --dial N   what all "
    "of them dial\n"
    "  --uri PARAMS         behind the number, as ';X-Business-Id=1;X-Phone-Id=demo'\n"
    "  --codec C            callers': PCMU, PCMA, G722, OPUS (PCMU)\n"
    "  --agent-codec C      on the WebSocket: PCM, MULAW, ALAW, G722, OPUS (PCM)   --agent-rate HZ (16000)\n"
    "  --pattern P          how agents speak: steady20, steady30, burst, echo (steady20)\n"
    "  --agent-port PORT    where the agents listen (18080): ws://HOST:PORT/agent?call=K, K from 0, and the "
    "platform's\n"
    "                       http://HOST:PORT/api/v1/ which hands that address out by the caller's number\n"
    "  --other NUMBER:PORT  callers from NUMBER on are of another generator, whose agents listen on PORT\n"
    "  --cert FILE --key FILE   the agents speak wss\n"
    "  --pid PID            the server's process, metered\n"
    "  --compare HOST:PORT  afterwards the same load on this SIP server, and both side by side   "
    "--compare-pid PID\n"
    "  --label TEXT  --json  --quiet\n";

static const struct {
    const char *name;
    enum codec_id codec;
} codecs[] = {{"PCMU", CODEC_PCMU}, {"PCMA", CODEC_PCMA},  {"G722", CODEC_G722}, {"OPUS", CODEC_OPUS},
              {"PCM", CODEC_L16},   {"MULAW", CODEC_PCMU}, {"ALAW", CODEC_PCMA}};
static const char *const patterns[] = {"steady20", "steady30", "burst", "echo"};

enum {
    OPT_SIP = 1,
    OPT_WEB,
    OPT_CAMPAIGN,
    OPT_REGION,
    OPT_CALLS,
    OPT_RATE,
    OPT_SECONDS,
    OPT_WARM,
    OPT_LIFE,
    OPT_OTHER,
    OPT_MORE,
    OPT_NUMBER,
    OPT_DIAL,
    OPT_URI,
    OPT_CODEC,
    OPT_AGENT_CODEC,
    OPT_AGENT_RATE,
    OPT_PATTERN,
    OPT_AGENT_PORT,
    OPT_CERT,
    OPT_KEY,
    OPT_PID,
    OPT_COMPARE,
    OPT_COMPARE_PID,
    OPT_LABEL,
    OPT_JSON,
    OPT_QUIET,
    OPT_HELP,
};

static const struct option known[] = {
    {"sip", required_argument, NULL, OPT_SIP},
    {"web", required_argument, NULL, OPT_WEB},
    {"campaign", required_argument, NULL, OPT_CAMPAIGN},
    {"region", required_argument, NULL, OPT_REGION},
    {"calls", required_argument, NULL, OPT_CALLS},
    {"rate", required_argument, NULL, OPT_RATE},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"warm", required_argument, NULL, OPT_WARM},
    {"life", required_argument, NULL, OPT_LIFE},
    {"other", required_argument, NULL, OPT_OTHER},
    {"more", required_argument, NULL, OPT_MORE},
    {"number", required_argument, NULL, OPT_NUMBER},
    {"dial", required_argument, NULL, OPT_DIAL},
    {"uri", required_argument, NULL, OPT_URI},
    {"codec", required_argument, NULL, OPT_CODEC},
    {"agent-codec", required_argument, NULL, OPT_AGENT_CODEC},
    {"agent-rate", required_argument, NULL, OPT_AGENT_RATE},
    {"pattern", required_argument, NULL, OPT_PATTERN},
    {"agent-port", required_argument, NULL, OPT_AGENT_PORT},
    {"cert", required_argument, NULL, OPT_CERT},
    {"key", required_argument, NULL, OPT_KEY},
    {"pid", required_argument, NULL, OPT_PID},
    {"compare", required_argument, NULL, OPT_COMPARE},
    {"compare-pid", required_argument, NULL, OPT_COMPARE_PID},
    {"label", required_argument, NULL, OPT_LABEL},
    {"json", no_argument, NULL, OPT_JSON},
    {"quiet", no_argument, NULL, OPT_QUIET},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static bool read_codec(const char *text, enum codec_id *out) {
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        if (strcasecmp(codecs[i].name, text) == 0) {
            *out = codecs[i].codec;
            return true;
        }
    }
    return false;
}

static bool read_pattern(const char *text, enum options_pattern *out) {
    for (unsigned i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        if (strcasecmp(patterns[i], text) == 0) {
            *out = (enum options_pattern)i;
            return true;
        }
    }
    return false;
}

static bool read_number(const char *text, unsigned min, unsigned max, unsigned *out) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *out = (unsigned)value;
    return *text && !*end && value >= min && value <= max;
}

static bool read_address(const char *text, struct sockaddr_in *out) {
    char host[64];
    const char *colon = strrchr(text, ':');
    unsigned port;
    if (!colon || (size_t)(colon - text) >= sizeof host || !read_number(colon + 1, 1, 65535, &port))
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, host, &out->sin_addr) == 1;
}

// Two numbers with `between` between them.
static bool read_pair(const char *text, char between, unsigned max_first, unsigned max_second,
                      unsigned *first, unsigned *second) {
    char begin[16];
    const char *middle = strchr(text, between);
    if (!middle || (size_t)(middle - text) >= sizeof begin)
        return false;
    memcpy(begin, text, (size_t)(middle - text));
    begin[middle - text] = '\0';
    return read_number(begin, 1, max_first, first) && read_number(middle + 1, 1, max_second, second);
}

static bool take_text(struct options *o, int option, const char *text) {
    switch (option) {
    case OPT_URI:
        o->uri_parameters = text;
        return true;
    case OPT_CAMPAIGN:
        o->campaign = text;
        return true;
    case OPT_REGION:
        o->region = text;
        return true;
    case OPT_CERT:
        o->certificate = text;
        return true;
    case OPT_KEY:
        o->key = text;
        return true;
    case OPT_LABEL:
        o->label = text;
        return true;
    case OPT_JSON:
        o->json = true;
        return true;
    case OPT_QUIET:
        o->quiet = true;
        return true;
    default:
        return false;
    }
}

static bool read_pid(const char *text, pid_t *out) {
    unsigned value;
    if (!read_number(text, 1, 1U << 22, &value))
        return false;
    *out = (pid_t)value;
    return true;
}

static bool take(struct options *o, int option, const char *text) {
    unsigned value = 0;
    bool good = false;
    switch (option) {
    case OPT_SIP:
        return read_address(text, &o->sip);
    case OPT_WEB:
        return read_address(text, &o->web);
    case OPT_CALLS:
        return read_number(text, 1, 20000, &o->calls);
    case OPT_RATE:
        good = read_number(text, 1, 10000, &value);
        o->rate = value;
        return good;
    case OPT_SECONDS:
        return read_number(text, 1, 86400, &o->seconds);
    case OPT_WARM:
        return read_number(text, 0, 3600, &o->warm_s);
    case OPT_LIFE:
        return read_pair(text, '-', 86400, 86400, &o->life_min_s, &o->life_max_s) &&
               o->life_min_s <= o->life_max_s;
    case OPT_OTHER:
        good = read_pair(text, ':', 999999999, 65535, &o->other_number, &value);
        o->other_port = (uint16_t)value;
        return good;
    case OPT_MORE:
        return read_number(text, 0, 20000, &o->more);
    case OPT_NUMBER:
        return read_number(text, 1, 999999999, &o->first_number);
    case OPT_DIAL:
        return read_number(text, 1, 999999999, &o->dialled);
    case OPT_CODEC:
        return read_codec(text, &o->caller_codec) && o->caller_codec != CODEC_L16;
    case OPT_AGENT_CODEC:
        return read_codec(text, &o->agent_codec);
    case OPT_AGENT_RATE:
        return read_number(text, 8000, 48000, &o->agent_rate_hz);
    case OPT_PATTERN:
        return read_pattern(text, &o->pattern);
    case OPT_AGENT_PORT:
        good = read_number(text, 1, 65535, &value);
        o->agent_port = (uint16_t)value;
        return good;
    case OPT_PID:
        return read_pid(text, &o->pid);
    case OPT_COMPARE:
        return read_address(text, &o->compare);
    case OPT_COMPARE_PID:
        return read_pid(text, &o->compare_pid);
    default:
        return take_text(o, option, text);
    }
}

int options_read(struct options *out, int argc, char **argv) {
    *out = (struct options){.calls = 100,
                            .first_number = 100000,
                            .rate = 50,
                            .warm_s = 3,
                            .seconds = 20,
                            .caller_codec = CODEC_PCMU,
                            .agent_codec = CODEC_L16,
                            .agent_rate_hz = 16000,
                            .agent_port = 18080,
                            .uri_parameters = "",
                            .campaign = "demo",
                            .region = "local",
                            .label = ""};
    read_address("127.0.0.1:5060", &out->sip);
    int option, index = 0;
    while ((option = getopt_long(argc, argv, "", known, &index)) != -1) {
        if (option == OPT_HELP) {
            fputs(help, stdout);
            return 1;
        }
        if (option == '?' || !take(out, option, optarg)) {
            fprintf(stderr, "calls: %s; see --help\n",
                    option == '?' ? "unknown option" : "that value cannot be used");
            if (option != '?')
                fprintf(stderr, "calls: --%s %s\n", known[index].name, optarg ? optarg : "");
            return -EINVAL;
        }
    }
    if (out->more >= out->calls && out->more) {
        fprintf(stderr, "calls: --more must be fewer than --calls\n");
        return -EINVAL;
    }
    if (out->web.sin_port)
        out->caller_codec = CODEC_OPUS;
    if (out->agent_codec != CODEC_L16)
        out->agent_rate_hz = codec_pcm_rate(out->agent_codec, out->agent_rate_hz);
    return 0;
}
