// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/conf.h"

#include "gateway/core/conf_impl.h"
#include "gateway/core/err.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void free_level(const char *schema, char *base);

static void free_collection(const struct conf_key *key, char *base) {
    char *elements = conf_pointer(base + key->offset);
    size_t count = *(size_t *)(void *)(base + key->elements->count_offset);
    char schema[CONF_PATH_MAX];
    conf_join(schema, key->path, key->type == CONF_MAP ? "*" : "[]");
    for (size_t i = 0; i < count; i++) {
        char *element = elements + i * key->elements->size;
        if (key->type != CONF_LIST)
            free(conf_pointer(element + key->elements->name_offset));
        if (key->type == CONF_STRING_MAP)
            free(conf_pointer(element + key->elements->value_offset));
        else
            free_level(schema, element);
    }
    free(elements);
}

void conf_strings_clear(struct conf_strings *strings) {
    for (size_t i = 0; i < strings->count; i++)
        free(strings->items[i]);
    free(strings->items);
    *strings = (struct conf_strings){0};
}

static void free_level(const char *schema, char *base) {
    const struct conf_key *key = NULL;
    while ((key = conf_key_next(schema, key))) {
        if (key->type == CONF_SECTION)
            free_level(key->path, base);
        else if (key->elements)
            free_collection(key, base);
        else if (key->type == CONF_STRINGS)
            conf_strings_clear((struct conf_strings *)(void *)(base + key->offset));
        else if (key->type == CONF_STRING)
            free(conf_pointer(base + key->offset));
    }
}

const struct conf *conf_hold(const struct conf *conf) {
    atomic_fetch_add(&((struct conf *)(uintptr_t)conf)->holds, 1);
    return conf;
}

void conf_free(const struct conf *held) {
    struct conf *conf = (struct conf *)(uintptr_t)held;
    if (!conf || atomic_fetch_sub(&conf->holds, 1) > 0)
        return;
    free_level("", (char *)conf);
    free(conf);
}

// Where the token begins at which the parser stopped: it counts to the token's end, and quotes it.
static size_t error_at(const json_error_t *error) {
    size_t at = error->position > 0 ? (size_t)error->position : 0;
    const char *quoted = strstr(error->text, " near '");
    size_t len = quoted ? strlen(quoted + strlen(" near '")) - 1 : 0;
    return at > len ? at - len : 0;
}

// The parsed text, or NULL after saying at which line and column it is wrong.
static json_t *parse_text(struct conf_reader *reader, const char *text, size_t len) {
    char *copy = malloc(len + 1);
    if (!copy) {
        reader->no_memory = true;
        return NULL;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    struct conf_place place;
    json_t *root = NULL;
    if (conf_text_blank(copy, len, &place) != 0) {
        conf_error(reader, "", "line %zu, column %zu: %s", place.line, place.column, place.text);
    } else {
        json_error_t error;
        root = json_loadb(copy, len, JSON_REJECT_DUPLICATES, &error);
        if (!root) {
            conf_text_place(text, len, error_at(&error), &place);
            conf_error(reader, "", "line %zu, column %zu: %s", place.line, place.column, error.text);
        }
    }
    free(copy);
    return root;
}

static struct conf *build(struct conf_reader *reader, json_t *root, char *const *env) {
    static char *const no_env[] = {NULL};
    json_t *tree = conf_tree(reader, root);
    struct conf *conf = calloc(1, sizeof *conf);
    if (tree && conf) {
        conf_env(reader, tree, env ? env : no_env);
        conf_read(reader, tree, conf);
    }
    bool whole = tree && conf && !reader->no_memory;
    if (whole)
        conf_check(reader, tree, conf);
    json_decref(tree);
    if (whole)
        return conf;
    reader->no_memory = true;
    conf_free(conf);
    return NULL;
}

int conf_parse(struct conf **out, const char *name, const char *text, size_t len, char *const *env,
               struct conf_report *report) {
    struct conf_reader reader = {
        .name = name, .report = report, .reported = json_object(), .variables = json_object()};
    size_t errors_before = report->errors;
    struct conf *conf = NULL;
    json_t *root = NULL;
    if (!reader.reported || !reader.variables)
        reader.no_memory = true;
    else if (len > CONF_MAX_BYTES)
        conf_error(&reader, "", "is larger than 1 MiB");
    else
        root = parse_text(&reader, text, len);
    if (root && !json_is_object(root))
        conf_error(&reader, "", "line 1: expected an object { ... }");
    else if (root)
        conf = build(&reader, root, env);
    json_decref(root);
    json_decref(reader.reported);
    json_decref(reader.variables);
    if (conf && report->errors == errors_before) {
        *out = conf;
        return 0;
    }
    conf_free(conf);
    return reader.no_memory ? -ENOMEM : -EINVAL;
}

int conf_load(struct conf **out, const char *path, char *const *env, struct conf_report *report) {
    char *text = NULL;
    size_t len = 0;
    int err = conf_text_read(path, &text, &len);
    if (err) {
        report->errors++;
        if (report->out)
            fprintf(report->out, "%s: error: cannot be read: %s; name another file with --config\n", path,
                    err == -EFBIG ? "larger than 1 MiB" : strerror(-err));
        return err;
    }
    err = conf_parse(out, path, text, len, env, report);
    free(text);
    return err;
}

const struct conf_campaign *conf_campaign(const struct conf *conf, const char *id) {
    for (size_t i = 0; i < conf->platform.campaign_count; i++) {
        if (strcmp(conf->platform.campaigns[i].id, id) == 0)
            return &conf->platform.campaigns[i];
    }
    return NULL;
}

const char *conf_encoding_name(enum conf_encoding encoding) {
    const struct conf_key *key = conf_key_find("Agent", "Encoding");
    return key->names[encoding];
}
