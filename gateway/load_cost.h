// SPDX-License-Identifier: Apache-2.0
// What calls cost, as measured by tests/bench (docs/sizing.md has the figures and their source): how many a core is
// taken to hold before enough are up to measure them. Pure.
#ifndef IQ_GATEWAY_LOAD_COST_H
#define IQ_GATEWAY_LOAD_COST_H

#include "gateway/core/conf.h"

// CPU of one call with all that belongs to it, both directions, in microseconds for each 20 ms; Opus at complexity 0.
uint32_t load_cost_browser_us(enum conf_encoding agent);
uint32_t load_cost_trunk_us(const char *codec, enum conf_encoding agent); // codec as in Sip.Codecs

// Calls of the dearest kind that this configuration takes, on one core, up to `busy_percent` of it (0: 75).
uint32_t load_calls_per_core(const struct conf *conf, uint32_t busy_percent);

// Cores that this program may use: by its affinity, and by the CPU quota of its cgroup. At least 1.
unsigned load_cores(void);
// Whole cores of a cgroup's cpu.max ("max 100000", "150000 100000"); 0 = no limit in it.
unsigned load_cores_quota(const char *cpu_max);

#endif
