// SPDX-License-Identifier: Apache-2.0
#include "middleware/load.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

unsigned load_cpu_percent(struct load *load) {
    uv_cpu_info_t *cpus;
    int count;
    if (uv_cpu_info(&cpus, &count) != 0)
        return 0;
    uint64_t busy = 0, idle = 0;
    for (int i = 0; i < count; i++) {
        busy +=
            cpus[i].cpu_times.user + cpus[i].cpu_times.nice + cpus[i].cpu_times.sys + cpus[i].cpu_times.irq;
        idle += cpus[i].cpu_times.idle;
    }
    uv_free_cpu_info(cpus, count);
    uint64_t total = busy + idle;
    bool first = !load->total;
    uint64_t busy_now = busy > load->busy ? busy - load->busy : 0;
    uint64_t total_now = total > load->total ? total - load->total : 0;
    load->busy = busy;
    load->total = total;
    return first || !total_now ? 0 : (unsigned)(100 * busy_now / total_now);
}

unsigned load_memory_percent(void) {
    FILE *file = fopen("/proc/meminfo", "re");
    if (!file)
        return 0;
    unsigned long long total_kb = 0, available_kb = 0;
    char line[128];
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "MemTotal:", 9) == 0)
            total_kb = strtoull(line + 9, NULL, 10);
        else if (strncmp(line, "MemAvailable:", 13) == 0)
            available_kb = strtoull(line + 13, NULL, 10);
    }
    fclose(file);
    return total_kb && available_kb < total_kb ? (unsigned)(100 * (total_kb - available_kb) / total_kb) : 0;
}
