// SPDX-License-Identifier: Apache-2.0
// Where the private Redis lives: a directory that is this user's alone and used by one gateway at a time.
#ifndef IQ_MIDDLEWARE_REDIS_SERVER_DIR_H
#define IQ_MIDDLEWARE_REDIS_SERVER_DIR_H

#include "gateway/core/err.h"
#include "gateway/core/redis_string.h"

#include <stddef.h>

struct redis_server_dir {
    char path[REDIS_PATH_MAX + 1];   // absolute
    char socket[REDIS_PATH_MAX + 1]; // in it
    char target[REDIS_PATH_MAX + 6]; // "unix:" and `socket`
    int lock;                        // owns; held for as long as it is open
};

// Makes `directory` and the folder "redis" in it, mode 0700, where they are missing. Errors as redis_server_start.
int redis_server_dir_open(struct redis_server_dir *out, const char *directory, struct err_text *err);
void redis_server_dir_close(struct redis_server_dir *dir);

// The path of a program that PATH, or the places where daemons live, hold. -ENOENT.
int redis_server_program(const char *name, char *out, size_t out_size);

#endif
