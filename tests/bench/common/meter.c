// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/common/meter.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 320, LINE_BYTES = 1024 };

static uint64_t entries_of(const char *path) {
    DIR *dir = opendir(path);
    uint64_t count = 0;
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count > 2 ? count - 2 : 0;
}

static uint64_t switches_of(const char *path) {
    FILE *file = fopen(path, "re");
    char line[LINE_BYTES];
    uint64_t sum = 0;
    unsigned long long value;
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "voluntary_ctxt_switches: %llu", &value) == 1 ||
            sscanf(line, "nonvoluntary_ctxt_switches: %llu", &value) == 1)
            sum += value;
    }
    if (file)
        fclose(file);
    return sum;
}

static uint64_t all_switches(pid_t pid) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    uint64_t sum = 0;
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)pid, entry->d_name);
        sum += switches_of(path);
    }
    if (dir)
        closedir(dir);
    return sum;
}

int meter_read(struct meter *out, pid_t pid) {
    char path[PATH_BYTES], line[LINE_BYTES];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return -ESRCH;
    size_t len = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[len] = '\0';
    // The name in parentheses may hold anything; what counts comes after the last one.
    const char *rest = strrchr(line, ')');
    unsigned long long user, system, threads;
    long long rss;
    if (!rest || sscanf(rest + 1,
                        " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %llu %*d %*u "
                        "%*u %lld",
                        &user, &system, &threads, &rss) != 4)
        return -ESRCH;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    *out = (struct meter){.cpu_s = (double)(user + system) / (double)sysconf(_SC_CLK_TCK),
                          .rss_kb = (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE) / 1024,
                          .threads = threads,
                          .descriptors = entries_of(path),
                          .switches = all_switches(pid)};
    return 0;
}
