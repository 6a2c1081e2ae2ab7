// SPDX-License-Identifier: Apache-2.0
// From what the file says to a tree in the table's own spelling: later stages look keys up exactly, in any
// order.
#include "gateway/core/conf_impl.h"

#include <string.h>
#include <strings.h>

static json_t *tree_value(struct conf_reader *reader, const struct conf_key *key, const json_t *value,
                          const char *path);

static void tree_put(struct conf_reader *reader, json_t *to, const char *name, json_t *value) {
    if (json_object_set_new(to, name, value) != 0)
        reader->no_memory = true;
}

static void wrong_type(struct conf_reader *reader, const struct conf_key *key, const json_t *value,
                       const char *path, const char *expected) {
    char found[128];
    conf_error(reader, path, "found %s, expected %s", conf_found(key, value, found, sizeof found), expected);
}

static void tree_known(struct conf_reader *reader, const struct conf_key *key, const json_t *value,
                       const char *path, json_t *to) {
    const char *leaf = conf_key_leaf(key);
    if (json_object_get(to, leaf)) {
        conf_error(reader, path, "is there twice (names count in any case); keep one");
        return;
    }
    json_t *made = tree_value(reader, key, value, path);
    if (made)
        tree_put(reader, to, leaf, made);
}

static json_t *tree_section(struct conf_reader *reader, const char *schema, bool open, const json_t *from,
                            const char *path) {
    json_t *to = json_object();
    if (!to)
        reader->no_memory = true;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)from, name, value) {
        char child[CONF_PATH_MAX];
        const struct conf_key *key = conf_key_find(schema, name);
        conf_join(child, path, key ? conf_key_leaf(key) : name);
        if (json_is_null(value))
            continue;
        if (key)
            tree_known(reader, key, value, child, to);
        else if (!open)
            conf_unknown(reader, schema, child, name);
        else if (!json_is_string(value))
            wrong_type(reader, NULL, value, child, "a string");
    }
    return to;
}

static bool has_name(const json_t *object, const char *name) {
    const char *other;
    json_t *value;
    json_object_foreach((json_t *)object, other, value) {
        if (strcasecmp(other, name) == 0)
            return true;
    }
    return false;
}

static json_t *tree_map(struct conf_reader *reader, const struct conf_key *key, const json_t *from,
                        const char *path) {
    json_t *to = json_object();
    const char *name;
    json_t *value;
    char schema[CONF_PATH_MAX], child[CONF_PATH_MAX];
    conf_join(schema, key->path, "*");
    json_object_foreach((json_t *)from, name, value) {
        conf_join(child, path, name);
        if (json_is_null(value))
            continue;
        if (has_name(to, name))
            conf_error(reader, child, "is there twice (names count in any case); keep one");
        else if (key->type == CONF_STRING_MAP && json_is_string(value))
            tree_put(reader, to, name, json_incref(value));
        else if (key->type == CONF_STRING_MAP)
            wrong_type(reader, key, value, child, "a string");
        else if (json_is_object(value))
            tree_put(reader, to, name, tree_section(reader, schema, false, value, child));
        else
            wrong_type(reader, key, value, child, "an object { ... }");
    }
    return to;
}

static json_t *tree_list(struct conf_reader *reader, const struct conf_key *key, const json_t *from,
                         const char *path) {
    json_t *to = json_array();
    size_t index;
    json_t *value;
    char schema[CONF_PATH_MAX], child[CONF_PATH_MAX], number[24];
    conf_join(schema, key->path, "[]");
    json_array_foreach(from, index, value) {
        snprintf(number, sizeof number, "%zu", index);
        conf_join(child, path, number);
        if (!json_is_object(value))
            wrong_type(reader, key, value, child, "an object { ... }");
        else if (json_array_append_new(to, tree_section(reader, schema, false, value, child)) != 0)
            reader->no_memory = true;
    }
    return to;
}

static json_t *tree_items(struct conf_reader *reader, const struct conf_key *key, json_t *from,
                          const char *path) {
    if (key->flags & CONF_ONE_OK && json_is_string(from))
        return json_pack("[O]", from);
    if (!json_is_array(from)) {
        wrong_type(reader, key, from, path, "a list of strings [ \"...\" ]");
        return NULL;
    }
    size_t index;
    json_t *value;
    json_array_foreach(from, index, value) {
        char child[CONF_PATH_MAX], number[24];
        snprintf(number, sizeof number, "%zu", index);
        conf_join(child, path, number);
        if (!json_is_string(value))
            wrong_type(reader, key, value, child, "a string");
    }
    // A copy, because the environment may change it.
    return json_copy(from);
}

static bool too_many(struct conf_reader *reader, const json_t *value, const char *path) {
    size_t count = json_is_array(value) ? json_array_size(value) : json_object_size(value);
    if (count <= CONF_MAX_ITEMS)
        return false;
    conf_error(reader, path, "found %zu entries, at most %d are allowed", count, CONF_MAX_ITEMS);
    return true;
}

static json_t *tree_value(struct conf_reader *reader, const struct conf_key *key, const json_t *value,
                          const char *path) {
    if (too_many(reader, value, path))
        return NULL;
    bool wants_object = key->type == CONF_SECTION || key->type == CONF_MAP || key->type == CONF_STRING_MAP;
    if (wants_object && !json_is_object(value)) {
        wrong_type(reader, key, value, path, "an object { ... }");
        return NULL;
    }
    if (key->type == CONF_LIST && !json_is_array(value)) {
        wrong_type(reader, key, value, path, "a list of objects [ { ... } ]");
        return NULL;
    }
    switch (key->type) {
    case CONF_SECTION:
        return tree_section(reader, key->path, key->flags & CONF_OPEN, value, path);
    case CONF_MAP:
    case CONF_STRING_MAP:
        return tree_map(reader, key, value, path);
    case CONF_LIST:
        return tree_list(reader, key, value, path);
    case CONF_STRINGS:
    case CONF_ROLES:
        return tree_items(reader, key, (json_t *)value, path);
    default:
        return json_incref((json_t *)value);
    }
}

json_t *conf_tree(struct conf_reader *reader, const json_t *from) {
    json_t *tree = tree_section(reader, "", false, from, "");
    if (tree && reader->no_memory) {
        json_decref(tree);
        return NULL;
    }
    return tree;
}
