// SPDX-License-Identifier: Apache-2.0
// Answers as hiredis reads them, in our words.
#ifndef IQ_MIDDLEWARE_REDIS_REPLY_H
#define IQ_MIDDLEWARE_REDIS_REPLY_H

#include "middleware/redis.h"

// One answer with all that it holds, in one block. NULL when memory is out. `hiredis` is a redisReply, which the
// strings go on borrowing from.
struct redis_reply *redis_reply_of(const void *hiredis);
// An ERROR whose text begins with `code` ("NOSCRIPT").
bool redis_is_error(const struct redis_reply *reply, const char *code);
// An ERROR that says that this server cannot serve us now and another one, or the same one later, can: a
// replica after a failover, one that still loads its data, or cannot write it to its disk.
bool redis_means_down(const struct redis_reply *reply);

#endif
