// SPDX-License-Identifier: Apache-2.0
// The environment over the tree: Section__Key=value, Section__List__0=value, Section__Map__name__Key=value,
// in any case.
#include "gateway/core/conf_impl.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_SEGMENTS = 16, NAME_BYTES = 256, MAX_VARIABLES = 4096 };

struct variable {
    const char *line; // "Name=value", borrowed from the environment
    char name[NAME_BYTES];
    int name_len;
    const char *value;
    char *segments[MAX_SEGMENTS];
    size_t count;
};

// Where the walk along the segments has come to.
struct place {
    json_t *node;
    char schema[CONF_PATH_MAX];
    char path[CONF_PATH_MAX];
    const struct conf_key *key; // of the node; NULL at an element of a map or list, and at the top
};

static bool variable_split(struct variable *variable, const char *line) {
    const char *equals = strchr(line, '=');
    size_t len = equals ? (size_t)(equals - line) : 0;
    if (!len || len >= sizeof variable->name)
        return false;
    *variable = (struct variable){.line = line, .name_len = (int)len, .value = equals + 1};
    memcpy(variable->name, line, len);
    for (char *at = variable->name; at && variable->count < MAX_SEGMENTS;) {
        variable->segments[variable->count++] = at;
        at = strstr(at, "__");
        if (at) {
            *at = '\0';
            at += 2;
        }
    }
    return true;
}

// Only names of ours count: the environment is full of others', so that a stranger's is not worth a warning.
static bool variable_is_ours(const struct variable *variable) {
    const struct conf_key *key = conf_key_find("", variable->segments[0]);
    if (!key)
        return false;
    return variable->count > 1 || key->type == CONF_STRING;
}

static void replace(struct conf_reader *reader, json_t *object, const char *name, json_t *value) {
    if (json_object_set_new(object, name, value) != 0)
        reader->no_memory = true;
}

static json_t *make_node(const struct conf_key *key) {
    bool list = key && (key->type == CONF_LIST || key->type == CONF_STRINGS || key->type == CONF_ROLES);
    return list ? json_array() : json_object();
}

static const char *existing_name(json_t *object, const char *name) {
    const char *other;
    json_t *value;
    json_object_foreach(object, other, value) {
        if (strcasecmp(other, name) == 0)
            return other;
    }
    return name;
}

static json_t *child_of_object(struct conf_reader *reader, json_t *object, const char *name,
                               const struct conf_key *key) {
    json_t *node = json_object_get(object, name);
    if (node)
        return node;
    replace(reader, object, name, make_node(key));
    return json_object_get(object, name);
}

static bool parse_index(const char *text, size_t *index) {
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || value >= CONF_MAX_ITEMS)
        return false;
    *index = value;
    return true;
}

static void record(struct conf_reader *reader, const struct variable *variable, const char *path) {
    json_t *name = json_stringn(variable->line, (size_t)variable->name_len);
    if (name)
        json_object_set_new(reader->variables, path, name);
}

static void put_scalar(struct conf_reader *reader, const struct variable *variable, json_t *object,
                       const char *name, const char *path) {
    replace(reader, object, name, json_string(variable->value));
    record(reader, variable, path);
}

// Items of a list of strings: an index that exists is replaced, one beyond it is appended.
static void put_item(struct conf_reader *reader, const struct variable *variable, struct place *place,
                     const char *index_text) {
    size_t index;
    char path[CONF_PATH_MAX];
    conf_join(path, place->path, index_text);
    if (!parse_index(index_text, &index)) {
        conf_error(reader, path, "found \"%.32s\", expected an index below %d", index_text, CONF_MAX_ITEMS);
        return;
    }
    json_t *text = json_string(variable->value);
    int err = index < json_array_size(place->node) ? json_array_set_new(place->node, index, text)
                                                   : json_array_append_new(place->node, text);
    if (err)
        reader->no_memory = true;
    record(reader, variable, path);
}

static bool enter_element(struct conf_reader *reader, struct place *place, const char *segment) {
    size_t index;
    char parent[CONF_PATH_MAX];
    memcpy(parent, place->path, sizeof parent);
    if (place->key->type == CONF_MAP) {
        const char *name = existing_name(place->node, segment);
        conf_join(place->path, parent, name);
        conf_join(place->schema, place->key->path, "*");
        place->node = child_of_object(reader, place->node, name, NULL);
    } else {
        conf_join(place->path, parent, segment);
        conf_join(place->schema, place->key->path, "[]");
        if (!parse_index(segment, &index)) {
            conf_error(reader, place->path, "found \"%.32s\", expected an index below %d", segment,
                       CONF_MAX_ITEMS);
            return false;
        }
        if (index >= json_array_size(place->node)) {
            index = json_array_size(place->node);
            json_array_append_new(place->node, json_object());
        }
        place->node = json_array_get(place->node, index);
    }
    place->key = NULL;
    reader->no_memory |= !place->node;
    return place->node != NULL;
}

// Into the key `segment` of the section at `place`, or the last step: its value. False when the walk is over.
static bool enter_key(struct conf_reader *reader, struct place *place, const struct variable *variable,
                      size_t at) {
    const char *segment = variable->segments[at];
    const struct conf_key *key = conf_key_find(place->schema, segment);
    bool last = at + 1 == variable->count;
    char parent[CONF_PATH_MAX];
    memcpy(parent, place->path, sizeof parent);
    conf_join(place->path, parent, key ? conf_key_leaf(key) : segment);
    if (!key) {
        bool open = place->key && place->key->flags & CONF_OPEN;
        if (!open)
            conf_unknown(reader, place->schema, place->path, segment);
        return false;
    }
    bool one = key->type == CONF_STRINGS && key->flags & CONF_ONE_OK;
    if (last && one)
        replace(reader, place->node, conf_key_leaf(key), json_pack("[s]", variable->value));
    bool scalar = key->type >= CONF_STRING;
    if (last && scalar)
        put_scalar(reader, variable, place->node, conf_key_leaf(key), place->path);
    else if (last && !one)
        conf_warn(reader, place->path,
                  "is no single value, %.*s is ignored; add __ and the name of what is in it",
                  variable->name_len, variable->line);
    else if (!last && scalar)
        conf_warn(reader, place->path, "is a single value, %.*s is ignored; drop what follows the key",
                  variable->name_len, variable->line);
    if (last || scalar)
        return false;
    memcpy(place->schema, key->path, strlen(key->path) + 1);
    place->node = child_of_object(reader, place->node, conf_key_leaf(key), key);
    place->key = key;
    return place->node != NULL;
}

static bool is_utf8(const char *text) {
    json_t *made = json_string(text);
    json_decref(made);
    return made != NULL;
}

static void variable_apply(struct conf_reader *reader, json_t *tree, const struct variable *variable) {
    struct place place = {.node = tree};
    for (size_t i = 0; i < variable->count; i++) {
        const char *segment = variable->segments[i];
        bool last = i + 1 == variable->count, go_on = false;
        enum conf_type type = place.key ? place.key->type : CONF_SECTION;
        if (type == CONF_SECTION) {
            go_on = enter_key(reader, &place, variable, i);
        } else if (type == CONF_STRINGS || type == CONF_ROLES) {
            put_item(reader, variable, &place, segment);
        } else if (type == CONF_STRING_MAP && last) {
            const char *name = existing_name(place.node, segment);
            char path[CONF_PATH_MAX];
            conf_join(path, place.path, name);
            put_scalar(reader, variable, place.node, name, path);
        } else if (last || type == CONF_STRING_MAP) {
            conf_warn(reader, place.path, "%.*s is ignored: it names no key of this section",
                      variable->name_len, variable->line);
        } else {
            go_on = enter_element(reader, &place, segment);
        }
        if (!go_on)
            return;
    }
}

// Indexes in their order as numbers, so that __10 comes after __2.
static int compare(const void *a, const void *b) {
    return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

// A stranger's variable is none of our business, but one letter off with "__" behind it can only be meant for
// us.
static void warn_misspelt(struct conf_reader *reader, const struct variable *variable) {
    const struct conf_key *key = NULL;
    while (variable->count > 1 && (key = conf_key_next("", key))) {
        if (conf_distance(variable->segments[0], conf_key_leaf(key)) == 1) {
            conf_unknown(reader, "", variable->segments[0], variable->segments[0]);
            return;
        }
    }
}

void conf_env(struct conf_reader *reader, json_t *tree, char *const *env) {
    const char **lines = calloc(MAX_VARIABLES, sizeof *lines);
    if (!lines) {
        reader->no_memory = true;
        return;
    }
    size_t count = 0;
    struct variable variable;
    for (; *env && count < MAX_VARIABLES; env++) {
        if (!variable_split(&variable, *env))
            continue;
        if (variable_is_ours(&variable))
            lines[count++] = *env;
        else
            warn_misspelt(reader, &variable);
    }
    qsort(lines, count, sizeof *lines, compare);
    for (size_t i = 0; i < count; i++) {
        variable_split(&variable, lines[i]);
        if (!is_utf8(lines[i]))
            conf_error(reader, "", "the environment variable %.*s is not UTF-8", variable.name_len, lines[i]);
        else
            variable_apply(reader, tree, &variable);
    }
    free(lines);
}
