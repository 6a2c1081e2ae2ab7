// SPDX-License-Identifier: Apache-2.0
// Prints docs/configuration.md from the table of keys; a test compares the two. To bring the page up to date:
//   build/asan/conf_reference > docs/configuration.md
#include "gateway/core/conf_impl.h"

#include <inttypes.h>
#include <stdio.h>

static const char intro[] =
    "# Configuration\n"
    "\n"
    "`--config FILE`, by default `appsettings.json` in the program's folder under `/etc`. JSON with comments "
    "and trailing commas.\n"
    "`--check` names every bad key with its cure; `--print-config` shows the values in effect with secrets "
    "masked.\n"
    "\n"
    "- Every key can be overridden from the environment as `Section__Key`, arrays as `Key__0`, e.g. "
    "`VoiceAiPlatform__ApiSecretToken`.\n"
    "- Unknown keys warn with the nearest known name. Wrong types and missing keys stop the start, one line "
    "each.\n"
    "- *reload*: taken up on SIGHUP, for calls that begin afterwards. *restart*: needs one; a reload names "
    "it in the log.\n"
    "- `MULAW` and `ALAW` need `Agent.SampleRate` 8000, `G722` needs 16000.\n"
    "- Sections that a later part of the program uses (`Sip`, `Businesses`, `Regions`, `Queue`, limits in "
    "`Security`, `IpApi`,\n"
    "  `RedisConnectionString`) are read and checked already, so that a file written for them is accepted.\n";

static void print_values(const struct conf_key *key) {
    const char *comma = "";
    for (const int64_t *n = key->allowed; n && *n; n++, comma = ", ")
        printf("%s%" PRId64, comma, *n);
    for (const char *const *name = key->names; name && *name; name++, comma = ", ")
        printf("%s%s", comma, *name);
    if (!key->allowed && key->max)
        printf("%" PRId64 " to %" PRId64, key->min, key->max);
}

static const char *default_text(const struct conf_key *key) {
    if (key->def)
        return key->def;
    return key->type == CONF_BOOL ? "false" : key->type == CONF_INT || key->type == CONF_U32 ? "0" : "";
}

int main(void) {
    fputs(intro, stdout);
    for (size_t i = 0; i < conf_key_count; i++) {
        const struct conf_key *key = &conf_keys[i];
        bool top = !strchr(key->path, '.');
        if (key->type == CONF_SECTION && top) {
            printf("\n## %s\n\n%s.\n\n| key | default | values | change | meaning |\n|---|---|---|---|---|\n",
                   key->path, key->help);
            continue;
        }
        if (key->type == CONF_SECTION)
            continue;
        if (i == 0 || (top && !strchr(conf_keys[i - 1].path, '.') && conf_keys[i - 1].type == CONF_SECTION))
            printf("\n");
        if (top)
            printf("\n**%s** (default: %s%s%s, %s): %s.\n", key->path, *default_text(key) ? "`" : "none",
                   default_text(key), *default_text(key) ? "`" : "",
                   key->flags & CONF_RESTART ? "restart" : "reload", key->help);
        else {
            const char *def = default_text(key);
            printf("| `%s` | %s%s%s | ", key->path, *def ? "`" : "", def, *def ? "`" : "");
            print_values(key);
            printf(" | %s%s | %s |\n", key->flags & CONF_RESTART ? "restart" : "reload",
                   key->flags & CONF_SECRET ? ", secret" : "", key->help);
        }
    }
    return 0;
}
