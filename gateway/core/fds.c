// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/fds.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PROBE_MAX = 64, LIMIT_WANTED = 262144 };

// The only question the system answers at once is whether the next one can be opened.
bool fds_left(unsigned count) {
    int fds[PROBE_MAX];
    unsigned opened = 0;
    if (count > PROBE_MAX)
        count = PROBE_MAX;
    for (; opened < count; opened++) {
        fds[opened] = opened ? fcntl(fds[0], F_DUPFD_CLOEXEC, 0) : eventfd(0, EFD_CLOEXEC);
        if (fds[opened] < 0)
            break;
    }
    bool left = opened == count;
    while (opened)
        close(fds[--opened]);
    return left;
}

unsigned long fds_raise_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    rlim_t before = limit.rlim_cur;
    rlim_t wanted = limit.rlim_max < LIMIT_WANTED ? limit.rlim_max : LIMIT_WANTED;
    if (before >= wanted)
        return before;
    limit.rlim_cur = wanted;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? wanted : before;
}
