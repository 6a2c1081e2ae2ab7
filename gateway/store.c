// SPDX-License-Identifier: Apache-2.0
#include "gateway/store.h"

#include "middleware/redis_server.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char system_directory[] = "/var/lib/iqra-gateway";

struct store {
    struct redis_server *server; // owns; NULL when Redis is somebody else's
    struct redis *redis;         // owns
};

// ---- the data directory

static bool has_system_directory(void) {
    if (mkdir(system_directory, 0700) == 0)
        return true;
    return access(system_directory, W_OK | X_OK) == 0;
}

int store_directory(const char *configured, char *out, size_t out_size) {
    const char *systemd = getenv("STATE_DIRECTORY"); // systemd.exec(5): several are parted by colons
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int len;
    if (*configured)
        len = snprintf(out, out_size, "%s", configured);
    else if (systemd && *systemd)
        len = snprintf(out, out_size, "%.*s", (int)strcspn(systemd, ":"), systemd);
    else if (has_system_directory())
        len = snprintf(out, out_size, "%s", system_directory);
    else if (state && *state == '/')
        len = snprintf(out, out_size, "%s/iqra-gateway", state);
    else
        len = snprintf(out, out_size, "%s/.local/state/iqra-gateway", home ? home : "");
    return len < 0 || (size_t)len >= out_size ? -ENAMETOOLONG : 0;
}

// ---- life

static int start_server(struct store *store, uv_loop_t *loop, const struct conf *conf, struct err_text *err) {
    char directory[PATH_MAX];
    if (store_directory(conf->gateway.data_directory, directory, sizeof directory) != 0)
        return err_set(err, -ENAMETOOLONG, "Gateway.DataDirectory: the path is too long");
    return redis_server_start(&store->server, loop, directory, err);
}

static void on_server_closed(void *arg) {
    free(arg);
}

static void close_server(void *arg) {
    struct store *store = arg;
    if (store->server)
        redis_server_close(store->server, on_server_closed, store);
    else
        on_server_closed(store);
}

int store_start(struct store **out, uv_loop_t *loop, const struct conf *conf,
                const struct redis_events *events, struct err_text *err) {
    struct store *store = calloc(1, sizeof *store);
    if (!store)
        return err_set(err, -ENOMEM, "out of memory");
    const char *target = conf->redis_connection_string;
    struct err_text why = {""};
    int rc = *target ? 0 : start_server(store, loop, conf, err);
    if (rc) {
        free(store);
        return rc;
    }
    rc = redis_new(&store->redis, loop, store->server ? redis_server_target(store->server) : target, events,
                   &why);
    if (rc) {
        close_server(store);
        return err_set(err, rc, "RedisConnectionString: %s", why.text);
    }
    *out = store;
    return 0;
}

struct redis *store_redis(const struct store *store) {
    return store->redis;
}

static void on_last_answer(int err, const struct redis_reply *reply, void *arg) {
    (void)err;
    (void)reply;
    struct store *store = arg;
    redis_close(store->redis, close_server, store);
}

void store_close(struct store *store) {
    const struct redis_arg ping = redis_str("PING");
    // Its answer comes after those to what was given back just now: slots, leases.
    if (redis_command(store->redis, &ping, 1, on_last_answer, store) != 0)
        redis_close(store->redis, close_server, store);
}
