// SPDX-License-Identifier: Apache-2.0
// How busy this machine is. One thread.
#ifndef IQ_MIDDLEWARE_LOAD_H
#define IQ_MIDDLEWARE_LOAD_H

#include <stdint.h>

struct load {
    uint64_t busy, total; // CPU time at the last look, all cores together
};

unsigned load_cpu_percent(struct load *load); // since the last look; 0 the first time
unsigned load_memory_percent(void);           // what is not available to programs; 0 when unknown

#endif
