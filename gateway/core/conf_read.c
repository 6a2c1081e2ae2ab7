// SPDX-License-Identifier: Apache-2.0
// The tree into struct conf, key by key of the table: types, ranges, defaults. Strings stand for numbers and
// booleans too, as the environment has nothing else.
#include "gateway/core/conf_impl.h"

#include "gateway/core/err.h"
#include "gateway/core/span.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void read_level(struct conf_reader *reader, const json_t *object, const char *schema, const char *path,
                       char *base);

static char *copy_text(struct conf_reader *reader, const char *text) {
    char *copy = strdup(text);
    if (!copy)
        reader->no_memory = true;
    return copy;
}

static void set_pointer(char *to, void *pointer) {
    memcpy(to, &pointer, sizeof pointer);
}

static void expected_text(const struct conf_key *key, char *out, size_t size) {
    size_t n = 0;
    if (key->allowed) {
        n = (size_t)snprintf(out, size, "one of");
        for (const int64_t *a = key->allowed; *a; a++)
            n += (size_t)snprintf(out + n, size - n, "%s %lld", a == key->allowed ? "" : ",", (long long)*a);
    } else if (key->names) {
        n = (size_t)snprintf(out, size, "one of");
        for (const char *const *name = key->names; *name; name++)
            n += (size_t)snprintf(out + n, size - n, "%s %s", name == key->names ? "" : ",", *name);
    } else if (key->type == CONF_BOOL) {
        snprintf(out, size, "true or false");
    } else if (key->type == CONF_RANGE) {
        snprintf(out, size, "\"min-max\" with ports from 1 to 65535, as \"20000-29999\"");
    } else if (key->type == CONF_STRING) {
        snprintf(out, size, "a string \"...\"");
    } else {
        snprintf(out, size, "a whole number from %lld to %lld", (long long)key->min, (long long)key->max);
    }
}

static void wrong_value(struct conf_reader *reader, const struct conf_key *key, const json_t *value,
                        const char *path) {
    char found[128], expected[256];
    expected_text(key, expected, sizeof expected);
    conf_found(key, value, found, sizeof found);
    conf_error(reader, path, "found %s, expected %s%s%s", found, expected,
               key->def ? "; the default is " : "", key->def ? key->def : "");
}

static bool number_in_range(const struct conf_key *key, int64_t number) {
    if (!key->allowed)
        return number >= key->min && number <= key->max;
    for (const int64_t *a = key->allowed; *a; a++) {
        if (*a == number)
            return true;
    }
    return false;
}

static bool parse_number(const char *text, int64_t *out) {
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end || errno)
        return false;
    *out = number;
    return true;
}

static bool take_number(const struct conf_key *key, const json_t *value, int64_t *out) {
    int64_t number = 0;
    if (json_is_integer(value))
        number = json_integer_value(value);
    else if (!json_is_string(value) || !parse_number(json_string_value(value), &number))
        return false;
    *out = number;
    return number_in_range(key, number);
}

static bool take_bool(const json_t *value, bool *out) {
    const char *text = json_string_value(value);
    bool yes = json_is_true(value) || (text && strcasecmp(text, "true") == 0);
    bool no = json_is_false(value) || (text && strcasecmp(text, "false") == 0);
    *out = yes;
    return yes || no;
}

static bool take_name(const struct conf_key *key, const char *text, unsigned *index) {
    for (unsigned i = 0; text && key->names[i]; i++) {
        if (strcasecmp(text, key->names[i]) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

static bool take_range(const json_t *value, struct conf_ports *out) {
    if (!json_is_string(value))
        return false;
    struct span text = span_str(json_string_value(value)), first;
    uint64_t min, max;
    if (!span_until(&text, '-', &first) || !span_u64(&first, UINT16_MAX, &min) ||
        !span_u64(&text, UINT16_MAX, &max))
        return false;
    if (first.len || text.len || min < 1 || min > max)
        return false;
    *out = (struct conf_ports){.min = (uint16_t)min, .max = (uint16_t)max};
    return true;
}

// False when the value is not what the key wants.
static bool set_scalar(struct conf_reader *reader, const struct conf_key *key, const json_t *value,
                       char *to) {
    int64_t number = 0;
    bool yes = false;
    unsigned index = 0;
    struct conf_ports ports = {0};
    char digits[24];
    const char *text = json_string_value(value);
    if (!text && key->flags & CONF_NUMBER_OK && json_is_integer(value)) {
        snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        text = digits;
    }
    bool right = key->type == CONF_STRING   ? text != NULL
                 : key->type == CONF_BOOL   ? take_bool(value, &yes)
                 : key->type == CONF_CHOICE ? take_name(key, text, &index)
                 : key->type == CONF_RANGE  ? take_range(value, &ports)
                                            : take_number(key, value, &number);
    if (!right)
        return false;
    if (key->type == CONF_STRING)
        set_pointer(to, copy_text(reader, text));
    else if (key->type == CONF_BOOL)
        *(bool *)to = yes;
    else if (key->type == CONF_CHOICE)
        *(unsigned *)(void *)to = index;
    else if (key->type == CONF_RANGE)
        *(struct conf_ports *)(void *)to = ports;
    else if (key->type == CONF_U32)
        *(uint32_t *)(void *)to = (uint32_t)number;
    else
        *(int64_t *)(void *)to = number;
    return true;
}

static void set_default(struct conf_reader *reader, const struct conf_key *key, char *to) {
    if (!key->def && key->type != CONF_STRING)
        return;
    json_t *value = json_string(key->def ? key->def : "");
    if (!value || !set_scalar(reader, key, value, to))
        reader->no_memory = true;
    json_decref(value);
}

static void read_scalar(struct conf_reader *reader, const json_t *value, const struct conf_key *key,
                        const char *path, char *to) {
    // An empty variable is how a container file says "not set"; only a string can be empty.
    const char *text = json_string_value(value);
    bool unset = !value || (text && !*text && key->type != CONF_STRING);
    bool right = !unset && set_scalar(reader, key, value, to);
    if (!right)
        set_default(reader, key, to);
    if (!right && !unset)
        wrong_value(reader, key, value, path);
}

static void read_roles(struct conf_reader *reader, const json_t *list, const struct conf_key *key,
                       const char *path, unsigned *to) {
    unsigned roles = 0, bit;
    size_t index;
    json_t *value;
    json_array_foreach(list, index, value) {
        char child[CONF_PATH_MAX], number[24];
        snprintf(number, sizeof number, "%zu", index);
        conf_join(child, path, number);
        if (take_name(key, json_string_value(value), &bit))
            roles |= 1u << bit;
        else if (json_is_string(value))
            wrong_value(reader, key, value, child);
    }
    if (list && !json_array_size(list))
        conf_error(reader, path, "found an empty list, expected at least one of middleware, proxy, media");
    *to = list ? roles : CONF_ROLE_MIDDLEWARE | CONF_ROLE_PROXY | CONF_ROLE_MEDIA;
}

// "a,b" of the table into a list.
static json_t *default_strings(const struct conf_key *key) {
    json_t *list = json_array();
    struct span rest = span_str(key->def ? key->def : ""), item;
    while (list && rest.len) {
        if (!span_until(&rest, ',', &item))
            span_take(&rest, rest.len, &item);
        json_array_append_new(list, json_stringn((const char *)item.ptr, item.len));
    }
    return list;
}

static void read_strings(struct conf_reader *reader, const json_t *list, struct conf_strings *to) {
    size_t count = json_array_size(list);
    to->items = calloc(count + 1, sizeof *to->items);
    if (!to->items) {
        reader->no_memory = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        to->items[i] = copy_text(reader, text ? text : "");
        to->count += to->items[i] != NULL;
    }
}

static void read_list(struct conf_reader *reader, const struct conf_key *key, const json_t *list,
                      struct conf_strings *to) {
    json_t *made = list ? NULL : default_strings(key);
    reader->no_memory |= !list && !made;
    read_strings(reader, list ? list : made, to);
    json_decref(made);
}

static void read_element(struct conf_reader *reader, const struct conf_key *key, const json_t *value,
                         const char *name, const char *path, char *element) {
    char child[CONF_PATH_MAX], schema[CONF_PATH_MAX];
    conf_join(child, path, name);
    if (key->type != CONF_LIST)
        set_pointer(element + key->elements->name_offset, copy_text(reader, name));
    if (key->type == CONF_STRING_MAP) {
        const char *text = json_string_value(value);
        set_pointer(element + key->elements->value_offset, copy_text(reader, text ? text : ""));
        return;
    }
    conf_join(schema, key->path, key->type == CONF_MAP ? "*" : "[]");
    read_level(reader, value, schema, child, element);
}

static void read_collection(struct conf_reader *reader, const struct conf_key *key, const json_t *value,
                            const char *path, char *base) {
    size_t count = json_is_array(value) ? json_array_size(value) : json_object_size(value);
    char *elements = calloc(count + 1, key->elements->size);
    set_pointer(base + key->offset, elements);
    *(size_t *)(void *)(base + key->elements->count_offset) = elements ? count : 0;
    reader->no_memory |= !elements;
    if (reader->no_memory)
        return;
    size_t index = 0, size = key->elements->size;
    const char *name;
    json_t *item;
    char number[24];
    json_object_foreach((json_t *)value, name, item) {
        read_element(reader, key, item, name, path, elements + index++ * size);
    }
    json_array_foreach(value, index, item) {
        snprintf(number, sizeof number, "%zu", index);
        read_element(reader, key, item, number, path, elements + index * size);
    }
}

static void read_key(struct conf_reader *reader, const struct conf_key *key, const json_t *value,
                     const char *path, char *base) {
    char *to = base + key->offset;
    switch (key->type) {
    case CONF_SECTION:
        read_level(reader, value, key->path, path, base);
        break;
    case CONF_MAP:
    case CONF_STRING_MAP:
    case CONF_LIST:
        read_collection(reader, key, value, path, base);
        break;
    case CONF_STRINGS:
        read_list(reader, key, value, (struct conf_strings *)(void *)to);
        break;
    case CONF_ROLES:
        read_roles(reader, value, key, path, (unsigned *)(void *)to);
        break;
    default:
        read_scalar(reader, value, key, path, to);
    }
}

static void read_level(struct conf_reader *reader, const json_t *object, const char *schema, const char *path,
                       char *base) {
    const struct conf_key *key = NULL;
    while (!reader->no_memory && (key = conf_key_next(schema, key))) {
        char child[CONF_PATH_MAX];
        conf_join(child, path, conf_key_leaf(key));
        read_key(reader, key, json_object_get(object, conf_key_leaf(key)), child, base);
    }
}

void conf_read(struct conf_reader *reader, const json_t *tree, struct conf *conf) {
    read_level(reader, tree, "", "", (char *)conf);
}
