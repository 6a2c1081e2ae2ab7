// SPDX-License-Identifier: Apache-2.0
#include "gateway/load_cost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { FRAME_US = 20000, BUSY_PERCENT = 75 };

// Microseconds of a core for each 20 ms of a call. Measured by
//
//   tests/bench/side-by-side.mjs --no-floor --calls 200 pcm mulaw g722 web web-opus
//
// whose "CPU %" times 200 they are, on two shared virtual cores of an EPYC at 4.4 GHz, November 2026: a slow machine, so
// that others hold more than is assumed until they have measured it themselves.
enum {
    PASSED_US = 31,  // the payload as it is: jitter buffer, RTP, sockets
    CODED_US = 38,   // G.711 to PCM and back, resampled
    G722_US = 59,    // one side of it is G.722
    OPUS_US = 79,    // one side of it is Opus
    BROWSER_US = 20, // what DTLS-SRTP and ICE add
};

static uint32_t of_codecs(enum conf_encoding leg, enum conf_encoding agent) {
    if (leg == agent)
        return PASSED_US;
    if (leg == CONF_OPUS || agent == CONF_OPUS)
        return OPUS_US;
    return leg == CONF_G722 || agent == CONF_G722 ? G722_US : CODED_US;
}

uint32_t load_cost_browser_us(enum conf_encoding agent) {
    return of_codecs(CONF_OPUS, agent) + BROWSER_US;
}

uint32_t load_cost_trunk_us(const char *codec, enum conf_encoding agent) {
    static const struct {
        const char *name;
        enum conf_encoding encoding;
    } codecs[] = {{"PCMA", CONF_ALAW}, {"G722", CONF_G722}, {"OPUS", CONF_OPUS}};
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        if (strcmp(codecs[i].name, codec) == 0)
            return of_codecs(codecs[i].encoding, agent);
    }
    return of_codecs(CONF_MULAW, agent);
}

uint32_t load_calls_per_core(const struct conf *conf, uint32_t busy_percent) {
    enum conf_encoding agent = conf->agent.encoding;
    bool trunks = conf->business_count && conf->sip.media_listen.count && conf->sip.codecs.count;
    bool browsers = conf->platform.campaign_count || !trunks;
    uint32_t browser_us = browsers ? load_cost_browser_us(agent) : 0;
    uint32_t trunk_us = trunks ? load_cost_trunk_us(conf->sip.codecs.items[0], agent) : 0;
    uint32_t dearest_us = browser_us > trunk_us ? browser_us : trunk_us;
    return FRAME_US * (busy_percent ? busy_percent : BUSY_PERCENT) / 100 / dearest_us;
}

unsigned load_cores_quota(const char *cpu_max) {
    char *rest = NULL; // "max" is no number, and so no limit
    unsigned long quota_us = strtoul(cpu_max, &rest, 10);
    unsigned long period_us = rest > cpu_max ? strtoul(rest, NULL, 10) : 0;
    if (!period_us)
        return 0;
    unsigned long cores = quota_us / period_us;
    return cores ? (unsigned)cores : 1;
}

unsigned load_cores(void) {
    char text[64] = "";
    unsigned cores = uv_available_parallelism();
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (file) {
        if (!fgets(text, sizeof text, file))
            text[0] = '\0';
        fclose(file);
    }
    unsigned quota = load_cores_quota(text);
    if (quota && quota < cores)
        cores = quota;
    return cores ? cores : 1;
}
