// SPDX-License-Identifier: Apache-2.0
// The scripts of callqueue.c: each one step of an entry's life, atomic across nodes.
//
//   callqueue:entry:ID     hash     status, the call, who has it, times in ms
//   callqueue:log:ID       list     "ms text", the last 32 of what came after the first, which is in the entry: most have no more
//   callqueue:index        zset     ID by its birth; callqueue:status:N the same for one status
//   callqueue:call:B:N:C:T string   ID, by business, number, Call-ID and From-tag
//   callqueue:leases:B     zset     ID by when its lease of the business' plan ends
//   callqueue:live         zset     the same for all businesses
#ifndef IQ_MIDDLEWARE_CALLQUEUE_LUA_H
#define IQ_MIDDLEWARE_CALLQUEUE_LUA_H

#include "middleware/redis.h"

// ARGV[1] of each: now in ms, 0 = ask Redis.
extern struct redis_script callqueue_lua_open;     // see there
extern struct redis_script callqueue_lua_claim;    // id, node, region, lease ms, 1 = authorized
extern struct redis_script callqueue_lua_answered; // id, session
extern struct redis_script callqueue_lua_over;     // id, status, text
extern struct redis_script callqueue_lua_note;     // id, text
extern struct redis_script callqueue_lua_renew;    // lease ms, node, then 7 of each: see there
extern struct redis_script callqueue_lua_sweep;    // nothing
extern struct redis_script callqueue_lua_list;     // status or -1, offset, limit

#endif
