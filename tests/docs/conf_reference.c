// SPDX-License-Identifier: Apache-2.0
// Prints docs/configuration.md, or with --example deploy/appsettings.example.json, from the table of keys;
// tests compare them. To bring both up to date:
//   build/asan/conf_reference > docs/configuration.md
//   build/asan/conf_reference --example > deploy/appsettings.example.json
#include "gateway/core/conf_impl.h"

#include <inttypes.h>
#include <stdio.h>

static const char intro[] =
    "# Configuration\n"
    "\n"
    "`--config FILE`, by default `/etc/iqra-gateway/appsettings.json`. JSON with comments and trailing "
    "commas; "
    "`deploy/appsettings.example.json`\n"
    "has every key. `--check` names every bad key with its cure; `--print-config` shows the values in effect "
    "with secrets masked.\n"
    "\n"
    "- Every key can be overridden from the environment as `Section__Key`, arrays as `Key__0`, e.g. "
    "`VoiceAiPlatform__ApiSecretToken`.\n"
    "- Unknown keys warn with the nearest known name. Wrong types and missing keys stop the start, one line "
    "each.\n"
    "- *reload*: taken up on SIGHUP, for calls that begin afterwards. *restart*: needs one; a reload names "
    "it in the log.\n"
    "- `MULAW` and `ALAW` need `Agent.SampleRate` 8000, `G722` needs 16000.\n";

static const char table_head[] = "| key | default | values | change | meaning |\n|---|---|---|---|---|\n";

static void print_values(const struct conf_key *key) {
    const char *comma = "";
    for (const int64_t *n = key->allowed; n && *n; n++, comma = ", ")
        printf("%s%" PRId64, comma, *n);
    for (const char *const *name = key->names; name && *name; name++, comma = ", ")
        printf("%s%s", comma, *name);
    if (!key->allowed && key->max)
        printf("%" PRId64 " to %" PRId64, key->min, key->max);
}

static bool has_values(const struct conf_key *key) {
    return key->allowed || key->names || key->max;
}

static const char *default_text(const struct conf_key *key) {
    if (key->def)
        return key->def;
    return key->type == CONF_BOOL ? "false" : key->type == CONF_INT || key->type == CONF_U32 ? "0" : "";
}

static const char *change_text(const struct conf_key *key) {
    return key->flags & CONF_RESTART ? "restart" : "reload";
}

static void print_reference_key(const struct conf_key *key) {
    const char *def = default_text(key), *quote = *def ? "`" : "";
    printf("| `%s` | %s%s%s | ", key->path, quote, def, quote);
    print_values(key);
    printf(" | %s%s | %s |\n", change_text(key), key->flags & CONF_SECRET ? ", secret" : "", key->help);
}

static void print_reference(void) {
    bool table = false;
    fputs(intro, stdout);
    printf("\n## Top level\n\n%s", table_head);
    for (size_t i = 0; i < conf_key_count; i++) {
        if (!strchr(conf_keys[i].path, '.') && conf_keys[i].type != CONF_SECTION &&
            conf_keys[i].type != CONF_MAP)
            print_reference_key(&conf_keys[i]);
    }
    for (size_t i = 0; i < conf_key_count; i++) {
        const struct conf_key *key = &conf_keys[i];
        bool group = key->type == CONF_SECTION || key->type == CONF_MAP;
        if (!strchr(key->path, '.')) {
            if (group)
                printf("\n## %s\n\n%s.\n\n%s", key->path, key->help, table_head);
            table = group;
        } else if (table && key->type != CONF_SECTION) {
            print_reference_key(key);
        }
    }
}

// Values of the example where the default would not show the form, or would not pass --check.
static const struct {
    const char *path, *json;
} examples[] = {
    {"AllowedOrigins", "[\"https://www.example.com\"]"},
    {"VoiceAiPlatform.ApiSecretToken", "\"the-token-of-your-account\""},
    {"VoiceAiPlatform.BaseUrl", "\"https://app.iqra.bot/api/v1/\""},
    {"VoiceAiPlatform.Campaigns.*", "\"ExampleCampaign\""},
    {"VoiceAiPlatform.Campaigns.*.BusinessId", "\"123\""},
    {"VoiceAiPlatform.Campaigns.*.WebCampaignId", "\"the-id-of-your-web-campaign\""},
    {"VoiceAiPlatform.Campaigns.*.AllowedRegionIds", "[\"EU-DE\"]"},
    {"Gateway.RegionId", "\"EU-DE\""},
    {"Gateway.Roles", "[\"middleware\", \"proxy\", \"media\"]"},
    {"WebRtc.IceServers.[].urls", "[\"stun:stun.example.com:3478\"]"},
    {"Businesses.*", "\"123\""},
    {"Businesses.*.MaxConcurrentCalls", "10"},
    {"Businesses.*.Numbers.*", "\"main\""},
    {"Businesses.*.Numbers.*.Number", "\"+96812345678\""},
    {"Businesses.*.Numbers.*.RouteId", "\"route-1\""},
    {"Businesses.*.Numbers.*.RegionId", "\"EU-DE\""},
    {"Businesses.*.Numbers.*.CampaignId", "\"ExampleCampaign\""},
    {"Businesses.*.Numbers.*.AllowedSourceIps", "[\"203.0.113.0/24\"]"},
    {"Regions.*", "\"EU-DE\""},
    {"Regions.*.Servers.*", "\"node-1\""},
    {"Regions.*.Servers.*.Endpoint", "\"10.0.0.5\""},
};

static const char *example_of(const char *path) {
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        if (strcmp(examples[i].path, path) == 0)
            return examples[i].json;
    }
    return NULL;
}

// "a,b" as a JSON list.
static void print_strings(const char *items) {
    putchar('[');
    for (const char *at = items; *at; at += strspn(at, ",")) {
        int len = (int)strcspn(at, ",");
        printf("%s\"%.*s\"", at == items ? "" : ", ", len, at);
        at += len;
    }
    putchar(']');
}

static void print_example_value(const struct conf_key *key) {
    const char *example = example_of(key->path);
    bool bare = key->type == CONF_BOOL || key->type == CONF_INT || key->type == CONF_U32;
    if (example)
        fputs(example, stdout);
    else if (key->type == CONF_STRINGS)
        print_strings(key->def ? key->def : "");
    else if (key->type == CONF_STRING_MAP)
        fputs("{}", stdout);
    else
        printf(bare ? "%s" : "\"%s\"", default_text(key));
}

static void print_example_below(const char *parent, int depth);

// Sections, maps and lists: their keys within, for maps and lists of one element.
static void print_example_group(const struct conf_key *key, const char *comma, int depth, bool first) {
    char path[CONF_PATH_MAX];
    printf("%s%*s// %s\n%*s\"%s\": ", first ? "" : "\n", depth * 2, "", key->help, depth * 2, "",
           conf_key_leaf(key));
    snprintf(path, sizeof path,
             key->type == CONF_MAP    ? "%s.*"
             : key->type == CONF_LIST ? "%s.[]"
                                      : "%s",
             key->path);
    if (key->type == CONF_SECTION) {
        printf("{\n");
        print_example_below(path, depth + 1);
        printf("%*s}%s\n", depth * 2, "", comma);
        return;
    }
    bool list = key->type == CONF_LIST;
    printf(list ? "[\n%*s{\n" : "{\n%*s%s: {\n", depth * 2 + 2, "", list ? "" : example_of(path));
    print_example_below(path, depth + 2);
    printf("%*s}\n%*s%s%s\n", depth * 2 + 2, "", depth * 2, "", list ? "]" : "}", comma);
}

static void print_example_below(const char *parent, int depth) {
    const struct conf_key *next;
    for (const struct conf_key *key = conf_key_next(parent, NULL); key; key = next) {
        next = conf_key_next(parent, key);
        const char *comma = next ? "," : "";
        if (key->type == CONF_SECTION || key->type == CONF_MAP || key->type == CONF_LIST) {
            print_example_group(key, comma, depth, key == conf_key_next(parent, NULL));
            continue;
        }
        printf("%*s\"%s\": ", depth * 2, "", conf_key_leaf(key));
        print_example_value(key);
        printf("%s // %s", comma, key->help);
        if (has_values(key) && key->type != CONF_ROLES) {
            printf(": ");
            print_values(key);
        }
        printf("%s\n", key->flags & CONF_RESTART ? " (restart)" : "");
    }
}

int main(int argc, char **argv) {
    if (argc == 1) {
        print_reference();
        return 0;
    }
    if (argc != 2 || strcmp(argv[1], "--example") != 0)
        return 2;
    fputs("// Every key of iqra-gateway, with an example or its default. Take what you need; "
          "docs/configuration.md "
          "has the rest.\n"
          "// Changes count after SIGHUP for calls that begin afterwards, those marked (restart) after a "
          "restart.\n"
          "{\n",
          stdout);
    print_example_below("", 1);
    printf("}\n");
    return 0;
}
