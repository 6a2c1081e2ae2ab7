// SPDX-License-Identifier: Apache-2.0
#include "middleware/redis_server_dir.h"

#include "gateway/core/span.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char socket_name[] = "redis.sock";

static int fail(struct err_text *err, const char *directory, const char *what) {
    int code = -errno;
    return err_set(err, code, "Gateway.DataDirectory: %.100s %s (%s); give a directory this user may write",
                   directory, what, strerror(-code));
}

// The directory and those above it. Those that are there stay as they are.
static int make_directories(const char *directory) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s", directory) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return -1;
        *slash = '/';
    }
    return mkdir(path, 0700) != 0 && errno != EEXIST ? -1 : 0;
}

static int set_names(struct redis_server_dir *dir, const char *real, struct err_text *err) {
    static const char cure[] = "choose another directory";
    if (strlen(real) + sizeof "/redis/" + sizeof socket_name > sizeof dir->socket)
        return err_set(
            err, -ENAMETOOLONG,
            "Gateway.DataDirectory: %.60s... is too long for a unix socket's path, of %d bytes; %s", real,
            REDIS_PATH_MAX, cure);
    if (strpbrk(real, ",\t\r\n\""))
        return err_set(err, -EINVAL, "Gateway.DataDirectory: holds a comma, quote or line break; %s", cure);
    snprintf(dir->path, sizeof dir->path, "%.90s/redis", real);
    snprintf(dir->socket, sizeof dir->socket, "%.90s/redis/%s", real, socket_name);
    snprintf(dir->target, sizeof dir->target, "unix:%s", dir->socket);
    return 0;
}

// Ours alone, and no link that leads elsewhere.
static int own(const struct redis_server_dir *dir, struct err_text *err) {
    struct stat st;
    if (mkdir(dir->path, 0700) != 0 && errno != EEXIST)
        return fail(err, dir->path, "cannot be made");
    if (lstat(dir->path, &st) != 0)
        return fail(err, dir->path, "cannot be used");
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return err_set(err, -EPERM, "Gateway.DataDirectory: %s is no directory of this user's own; remove it",
                       dir->path);
    if (chmod(dir->path, 0700) != 0)
        return fail(err, dir->path, "cannot be closed to others");
    return 0;
}

static int lock(struct redis_server_dir *dir, struct err_text *err) {
    char path[sizeof dir->path + 8];
    snprintf(path, sizeof path, "%s/lock", dir->path);
    dir->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (dir->lock < 0)
        return fail(err, path, "cannot be made");
    if (flock(dir->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    close(dir->lock);
    return err_set(
        err, -EBUSY,
        "Gateway.DataDirectory: %s is in use by another gateway; give each one a directory of its own",
        dir->path);
}

int redis_server_dir_open(struct redis_server_dir *out, const char *directory, struct err_text *err) {
    struct redis_server_dir dir = {.lock = -1};
    char real[PATH_MAX];
    if (make_directories(directory) != 0 || !realpath(directory, real))
        return fail(err, directory, "cannot be made");
    int rc = set_names(&dir, real, err);
    if (!rc)
        rc = own(&dir, err);
    if (!rc)
        rc = lock(&dir, err);
    if (!rc)
        *out = dir;
    return rc;
}

void redis_server_dir_close(struct redis_server_dir *dir) {
    close(dir->lock);
}

int redis_server_program(const char *name, char *out, size_t out_size) {
    const char *path = getenv("PATH");
    char all[4096];
    snprintf(all, sizeof all, "%s:/usr/local/bin:/usr/bin:/bin:/usr/sbin", path ? path : "");
    struct span rest = span_str(all), folder;
    while (rest.len) {
        if (!span_until(&rest, ':', &folder))
            span_take(&rest, rest.len, &folder);
        int len = snprintf(out, out_size, "%.*s/%s", (int)folder.len, (const char *)folder.ptr, name);
        if (folder.len && folder.ptr[0] == '/' && len < (int)out_size && access(out, X_OK) == 0)
            return 0;
    }
    out[0] = '\0';
    return -ENOENT;
}
