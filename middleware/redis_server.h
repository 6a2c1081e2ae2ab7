// SPDX-License-Identifier: Apache-2.0
// A Redis of our own, for a gateway that was told of none: a child process on a unix socket in the gateway's data
// directory, reached by this user only, with an append-only file, so that what it holds survives restarts.
// Started again when it dies; ended when we are killed, and what is left behind nevertheless is ended by the
// next start. ctl thread.
#ifndef IQ_MIDDLEWARE_REDIS_SERVER_H
#define IQ_MIDDLEWARE_REDIS_SERVER_H

#include "gateway/core/err.h"

#include <sys/types.h>
#include <uv.h>

struct redis_server;

// Keeps everything in `directory`/redis, which is made when it is missing. -ENOENT: there is no redis-server
// program. -EBUSY: another gateway uses the directory. -EINVAL, -EACCES and the like: the directory cannot be used.
// `err` names the cure. The server comes up later; clients try until it does.
int redis_server_start(struct redis_server **out, uv_loop_t *loop, const char *directory,
                       struct err_text *err);
const char *redis_server_target(const struct redis_server *server); // "unix:PATH", a connection string
pid_t redis_server_pid(const struct redis_server *server);          // 0 while it does not run
// Lets it write what it holds and end. on_closed once, from the loop.
void redis_server_close(struct redis_server *server, void (*on_closed)(void *arg), void *arg);

#endif
