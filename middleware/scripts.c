// SPDX-License-Identifier: Apache-2.0
#include "middleware/scripts.h"

#include <string.h>

#define SCRIPT_TEXT(name) [SCRIPT_##name] = {.text = (const char *)script_##name##_lua},
static struct redis_script scripts[SCRIPT_COUNT] = {SCRIPTS(SCRIPT_TEXT)};

const char *script_text(enum script script) {
    return scripts[script].text;
}

int script_run(struct redis *redis, enum script script, const struct redis_arg *args, size_t count,
               redis_fn *fn, void *arg) {
    struct redis_arg all[SCRIPT_ARGS_MAX + 1] = {redis_str("")};
    if (count > SCRIPT_ARGS_MAX)
        return -E2BIG;
    if (count)
        memcpy(all + 1, args, count * sizeof *args);
    return redis_eval(redis, &scripts[script], NULL, 0, all, count + 1, fn, arg);
}
