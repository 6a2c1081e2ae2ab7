// SPDX-License-Identifier: Apache-2.0
// A conf back into JSON, for people and for comparing two of them.
#include "gateway/core/conf_impl.h"

#include "gateway/core/err.h"

#include <string.h>

static json_t *level_json(const char *schema, const char *base, bool masked);

static json_t *text_json(const struct conf_key *key, const char *text, bool masked) {
    if (!masked || !*text)
        return json_string(text);
    if (key->flags & CONF_SECRET)
        return json_string("***");
    if (!(key->flags & CONF_HAS_QUERY))
        return json_string(text);
    // The user part and the query of an URL may be a password or token.
    const char *scheme_end = strstr(text, "://");
    const char *host = scheme_end ? scheme_end + 3 : text;
    size_t authority_len = strcspn(host, "/?#");
    const char *at = memchr(host, '@', authority_len);
    const char *from = at ? at + 1 : host;
    size_t path_len = strcspn(from, "?#");
    return json_sprintf("%.*s%s%.*s%s", (int)(host - text), text, at ? "***@" : "", (int)path_len, from,
                        from[path_len] ? "?***" : "");
}

static json_t *strings_json(const struct conf_strings *strings) {
    json_t *list = json_array();
    for (size_t i = 0; i < strings->count; i++)
        json_array_append_new(list, json_string(strings->items[i]));
    return list;
}

static json_t *roles_json(const struct conf_key *key, unsigned roles) {
    json_t *list = json_array();
    for (unsigned i = 0; key->names[i]; i++) {
        if (roles & 1u << i)
            json_array_append_new(list, json_string(key->names[i]));
    }
    return list;
}

static json_t *collection_json(const struct conf_key *key, const char *base, bool masked) {
    const char *elements = conf_pointer(base + key->offset);
    size_t count = *(const size_t *)(const void *)(base + key->elements->count_offset);
    json_t *made = key->type == CONF_LIST ? json_array() : json_object();
    char schema[CONF_PATH_MAX];
    conf_join(schema, key->path, key->type == CONF_MAP ? "*" : "[]");
    for (size_t i = 0; i < count; i++) {
        const char *element = elements + i * key->elements->size;
        if (key->type == CONF_LIST)
            json_array_append_new(made, level_json(schema, element, masked));
        else if (key->type == CONF_MAP)
            json_object_set_new(made, conf_pointer(element + key->elements->name_offset),
                                level_json(schema, element, masked));
        else
            json_object_set_new(made, conf_pointer(element + key->elements->name_offset),
                                text_json(key, conf_pointer(element + key->elements->value_offset), masked));
    }
    return made;
}

static json_t *value_json(const struct conf_key *key, const char *base, bool masked) {
    const void *at = base + key->offset;
    const struct conf_ports *ports = at;
    switch (key->type) {
    case CONF_SECTION:
        return level_json(key->path, base, masked);
    case CONF_MAP:
    case CONF_STRING_MAP:
    case CONF_LIST:
        return collection_json(key, base, masked);
    case CONF_STRINGS:
        return strings_json(at);
    case CONF_ROLES:
        return roles_json(key, *(const unsigned *)at);
    case CONF_STRING:
        return text_json(key, conf_pointer(at), masked);
    case CONF_BOOL:
        return json_boolean(*(const bool *)at);
    case CONF_INT:
        return json_integer(*(const int64_t *)at);
    case CONF_U32:
        return json_integer(*(const uint32_t *)at);
    case CONF_CHOICE:
        return json_string(key->names[*(const unsigned *)at]);
    case CONF_RANGE:
        return json_sprintf("%u-%u", ports->min, ports->max);
    }
    return NULL;
}

static json_t *level_json(const char *schema, const char *base, bool masked) {
    json_t *object = json_object();
    const struct conf_key *key = NULL;
    while ((key = conf_key_next(schema, key)))
        json_object_set_new(object, conf_key_leaf(key), value_json(key, base, masked));
    return object;
}

int conf_print(const struct conf *conf, FILE *out) {
    json_t *root = level_json("", (const char *)conf, true);
    if (!root)
        return -ENOMEM;
    int err =
        json_dumpf(root, out, JSON_INDENT(4)) == 0 && fputc('\n', out) != EOF && fflush(out) == 0 ? 0 : -EIO;
    json_decref(root);
    return err;
}

static size_t compare_level(const char *schema, const char *old_base, const char *new_base, FILE *out) {
    size_t differ = 0;
    const struct conf_key *key = NULL;
    while ((key = conf_key_next(schema, key))) {
        if (key->type == CONF_SECTION) {
            differ += compare_level(key->path, old_base, new_base, out);
            continue;
        }
        if (!(key->flags & CONF_RESTART))
            continue;
        json_t *old_value = value_json(key, old_base, false), *new_value = value_json(key, new_base, false);
        bool same = json_equal(old_value, new_value);
        json_decref(old_value);
        json_decref(new_value);
        if (same)
            continue;
        differ++;
        if (out)
            fprintf(out, "%s: changed, takes effect at the next restart\n", key->path);
    }
    return differ;
}

size_t conf_restart_needed(const struct conf *old_conf, const struct conf *new_conf, FILE *out) {
    return compare_level("", (const char *)old_conf, (const char *)new_conf, out);
}
