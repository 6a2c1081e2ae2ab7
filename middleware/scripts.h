// SPDX-License-Identifier: Apache-2.0
// The desk's Lua scripts (middleware/lua): each changes slots, queue and limits in one step, and says what it
// takes and answers in its first lines. They name keys of their own making, so this is no Redis Cluster.
#ifndef IQ_MIDDLEWARE_SCRIPTS_H
#define IQ_MIDDLEWARE_SCRIPTS_H

#include "middleware/redis.h"

// SCRIPT(name): middleware/lua/name.lua
#define SCRIPTS(SCRIPT)                                                                                      \
    SCRIPT(admit)                                                                                            \
    SCRIPT(again)                                                                                            \
    SCRIPT(end)                                                                                              \
    SCRIPT(end_session)                                                                                      \
    SCRIPT(hold)                                                                                             \
    SCRIPT(left)                                                                                             \
    SCRIPT(observe)                                                                                          \
    SCRIPT(plan)                                                                                             \
    SCRIPT(refused)                                                                                          \
    SCRIPT(register)                                                                                         \
    SCRIPT(settle)                                                                                           \
    SCRIPT(sweep)                                                                                            \
    SCRIPT(take)                                                                                             \
    SCRIPT(watch)

// The texts, terminated; each stands behind slots.lua and queue.lua.
#define SCRIPT_TEXT(name)                                                                                    \
    extern const unsigned char script_##name##_lua[];                                                        \
    extern const unsigned long script_##name##_lua_len;
SCRIPTS(SCRIPT_TEXT)
#undef SCRIPT_TEXT

#define SCRIPT_ID(name) SCRIPT_##name,
enum script { SCRIPTS(SCRIPT_ID) SCRIPT_COUNT };
#undef SCRIPT_ID

const char *script_text(enum script script);

enum { SCRIPT_ARGS_MAX = 1000 };
// redis_eval with the arguments the script documents; the first of all, its clock, is that of Redis.
int script_run(struct redis *redis, enum script script, const struct redis_arg *args, size_t count,
               redis_fn *fn, void *arg);

// The channel on which the scripts tell every node what may be worth a look: "slot" (somebody may be served)
// or "queue" (positions have changed).
#define SCRIPTS_CHANNEL "desk:moves"

#endif
