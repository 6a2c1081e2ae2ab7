// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/conf_impl.h"

#include <stdarg.h>
#include <string.h>
#include <strings.h>

enum { NAME_MAX_BYTES = 48, MAX_WARNINGS_SHOWN = 200 };

// A name or value of the file may hold anything; a line must stay one line.
static void put_line(FILE *out, const char *line) {
    for (const char *c = line; *c; c++)
        fputc((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c, out);
    fputc('\n', out);
}

static void report(struct conf_reader *reader, const char *kind, const char *path, const char *format,
                   va_list args) {
    if (!reader->report->out)
        return;
    char text[1024], line[2048];
    vsnprintf(text, sizeof text, format, args);
    const json_t *variable = json_object_get(reader->variables, path);
    snprintf(line, sizeof line, "%s: %s: %s%s%s%s%s%s", reader->name, kind, path, *path ? ": " : "", text,
             variable ? " (set by the environment variable " : "",
             variable ? json_string_value(variable) : "", variable ? ")" : "");
    put_line(reader->report->out, line);
}

void conf_error(struct conf_reader *reader, const char *path, const char *format, ...) {
    if (*path && json_object_get(reader->reported, path))
        return;
    json_object_set_new(reader->reported, path, json_true());
    reader->report->errors++;
    va_list args;
    va_start(args, format);
    report(reader, "error", path, format, args);
    va_end(args);
}

void conf_warn(struct conf_reader *reader, const char *path, const char *format, ...) {
    if (reader->report->warnings++ >= MAX_WARNINGS_SHOWN)
        return;
    va_list args;
    va_start(args, format);
    report(reader, "warning", path, format, args);
    va_end(args);
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

// Names beyond NAME_MAX_BYTES are far from everything.
size_t conf_distance(const char *a, const char *b) {
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len > NAME_MAX_BYTES || b_len > NAME_MAX_BYTES)
        return NAME_MAX_BYTES;
    size_t row[NAME_MAX_BYTES + 1];
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t above = row[j];
            bool same = strncasecmp(&a[i - 1], &b[j - 1], 1) == 0;
            row[j] = least(diagonal + !same, least(above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return row[b_len];
}

static const struct conf_key *nearest_sibling(const char *parent, const char *name) {
    const struct conf_key *best = NULL;
    size_t best_distance = strlen(name) / 3 + 2;
    const struct conf_key *key = NULL;
    while ((key = conf_key_next(parent, key))) {
        size_t d = conf_distance(name, conf_key_leaf(key));
        if (d < best_distance) {
            best_distance = d;
            best = key;
        }
    }
    return best;
}

// A key of another section: only when it is spelt (nearly) right, for it is the place that is wrong.
static const struct conf_key *nearest_elsewhere(const char *name) {
    for (size_t i = 0; i < conf_key_count; i++) {
        if (conf_distance(name, conf_key_leaf(&conf_keys[i])) <= (strlen(name) > 5))
            return &conf_keys[i];
    }
    return NULL;
}

void conf_unknown(struct conf_reader *reader, const char *parent, const char *path, const char *name) {
    if (reader->report->warnings >= MAX_WARNINGS_SHOWN) {
        reader->report->warnings++;
        return;
    }
    const struct conf_key *near = nearest_sibling(parent, name);
    char known[CONF_PATH_MAX];
    if (near) {
        size_t parent_len = strlen(path) > strlen(name) ? strlen(path) - strlen(name) : 0;
        snprintf(known, sizeof known, "%.*s%s", (int)parent_len, path, conf_key_leaf(near));
        conf_warn(reader, path, "unknown key, ignored; did you mean %s?", known);
        return;
    }
    near = nearest_elsewhere(name);
    if (near)
        conf_warn(reader, path, "unknown key here, ignored; did you mean %s?", near->path);
    else
        conf_warn(reader, path, "unknown key, ignored; remove it");
}

void conf_join(char *out, const char *path, const char *name) {
    int n = snprintf(out, CONF_PATH_MAX, "%s%s%s", path, *path ? "." : "", name);
    if (n >= CONF_PATH_MAX)
        memcpy(out + CONF_PATH_MAX - 4, "...", 4);
}

const char *conf_found(const struct conf_key *key, const json_t *value, char *out, size_t out_size) {
    static const char *const types[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",  [JSON_STRING] = "a string",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null"};
    bool secret = key && key->flags & CONF_SECRET;
    if (json_is_string(value) && !secret)
        snprintf(out, out_size, "\"%.64s\"", json_string_value(value));
    else if (json_is_integer(value) && !secret)
        snprintf(out, out_size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value) && !secret)
        snprintf(out, out_size, "%g", json_real_value(value));
    else
        snprintf(out, out_size, "%s", types[json_typeof(value)]);
    return out;
}
