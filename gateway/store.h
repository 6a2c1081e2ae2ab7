// SPDX-License-Identifier: Apache-2.0
// What the nodes share: the client of Redis, and the private Redis of a gateway that was told of none. ctl thread.
#ifndef IQ_GATEWAY_STORE_H
#define IQ_GATEWAY_STORE_H

#include "gateway/core/conf.h"
#include "middleware/redis.h"

struct store;

// Connecting goes on from the loop. Errors: `err` names the key and the cure.
int store_start(struct store **out, uv_loop_t *loop, const struct conf *conf,
                const struct redis_events *events, struct err_text *err);
struct redis *store_redis(const struct store *store);
// After everything that uses it. Frees itself from the loop.
void store_close(struct store *store);

// Gateway.DataDirectory, or what it stands for when it is empty: systemd's state directory; /var/lib/iqra-gateway
// when this user can write there; a directory of the user's own. -ENAMETOOLONG.
int store_directory(const char *configured, char *out, size_t out_size);

#endif
