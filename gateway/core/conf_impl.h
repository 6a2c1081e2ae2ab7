// SPDX-License-Identifier: Apache-2.0
// Inside of conf: the table of keys and the stages that share it.
//
//   text -> conf_text: blank comments -> jansson -> conf_tree: known names, shapes -> conf_env: overlay
//        -> conf_read: types, ranges, defaults -> conf_check: what holds between keys -> struct conf
//
// All on the caller's thread.
#ifndef IQ_CORE_CONF_IMPL_H
#define IQ_CORE_CONF_IMPL_H

#include "gateway/core/conf.h"

#include <jansson.h>
#include <string.h>

enum { CONF_MAX_BYTES = 1 << 20, CONF_MAX_DEPTH = 16, CONF_MAX_ITEMS = 1024, CONF_PATH_MAX = 512 };

enum conf_type {
    CONF_SECTION,    // object with the keys of the table below it
    CONF_MAP,        // object with free names; its elements' keys stand under "Path.*"
    CONF_STRING_MAP, // object with free names and string values
    CONF_LIST,       // array of objects; their keys stand under "Path.[]"
    CONF_STRINGS,    // array of strings
    CONF_ROLES,      // array of role names, kept as bits
    CONF_STRING,
    CONF_BOOL,
    CONF_INT,    // int64_t
    CONF_U32,    // uint32_t
    CONF_CHOICE, // one of `names`, kept as its index in an enum
    CONF_RANGE,  // "min-max", kept as struct conf_ports
};

enum conf_flag {
    CONF_SECRET = 1,    // masked in print and never repeated in messages
    CONF_RESTART = 2,   // a change is taken up by a restart only
    CONF_NUMBER_OK = 4, // a string that may be written as a whole number (ids)
    CONF_ONE_OK = 8,    // a list that may be written as one string
    CONF_OPEN = 16,     // a section with further free names, whose values are strings
    CONF_HAS_QUERY = 32 // an URL whose query and user part are masked in print
};

// Where the elements of a map or list are kept.
struct conf_elements {
    size_t count_offset; // of the size_t beside the pointer
    size_t size;         // of one element
    size_t name_offset;  // maps: of the char * that takes the name
    size_t value_offset; // string maps: of the char * that takes the value
};

struct conf_key {
    const char *path; // "Section.Key"; "*" and "[]" stand for a free name and an index
    enum conf_type type;
    unsigned flags;           // enum conf_flag
    size_t offset;            // in struct conf, or in the element for keys under "*" or "[]"
    const char *def;          // default as text, of a list with commas; NULL: empty, 0, false
    int64_t min, max;         // of numbers
    const int64_t *allowed;   // numbers, 0-terminated, instead of a range
    const char *const *names; // of choices and roles, NULL-terminated
    const struct conf_elements *elements;
    const char *help; // what it is, with its unit; goes into the reference
};

extern const struct conf_key conf_keys[];
extern const size_t conf_key_count;

// The pointer kept at `at`, whatever it points to.
static inline void *conf_pointer(const char *at) {
    void *pointer;
    memcpy(&pointer, at, sizeof pointer);
    return pointer;
}

// The key after `previous` (NULL: the first) right below `parent` ("" for the top); NULL after the last.
const struct conf_key *conf_key_next(const char *parent, const struct conf_key *previous);
const struct conf_key *conf_key_find(const char *parent, const char *name); // in any case; NULL when unknown
const char *conf_key_leaf(const struct conf_key *key);                      // "Key" of "Section.Key"

struct conf_reader {
    const char *name; // of the file, for messages
    struct conf_report *report;
    json_t *reported;  // set of key paths that already have their error line
    json_t *variables; // key path -> environment variable that set it
    bool no_memory;
};

// One line each. An error on a key that already has one is left out: one line a key.
void conf_error(struct conf_reader *reader, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void conf_warn(struct conf_reader *reader, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void conf_unknown(struct conf_reader *reader, const char *parent, const char *path, const char *name);
size_t conf_distance(const char *a, const char *b); // Levenshtein's, without regard to case
// "Path.name" into `out` (of CONF_PATH_MAX bytes), cut when too long.
void conf_join(char *out, const char *path, const char *name);
const char *conf_found(const struct conf_key *key, const json_t *value, char *out, size_t out_size);

struct conf_place {
    size_t line, column; // from 1
    const char *text;    // what is wrong there
};
// Blanks comments and trailing commas of `text` in place, so that every other byte keeps its position.
// -EINVAL and *place for what it cannot: an open comment, too many levels.
int conf_text_blank(char *text, size_t len, struct conf_place *place);
void conf_text_place(const char *text, size_t len, size_t at, struct conf_place *place);
int conf_text_read(const char *path, char **text, size_t *len); // -EFBIG beyond CONF_MAX_BYTES

// A new tree with the known keys of `from` in the table's spelling. NULL when memory is out.
json_t *conf_tree(struct conf_reader *reader, const json_t *from);
void conf_env(struct conf_reader *reader, json_t *tree, char *const *env);
void conf_read(struct conf_reader *reader, const json_t *tree, struct conf *conf);
void conf_check(struct conf_reader *reader, const json_t *tree, struct conf *conf);
void conf_check_sip(struct conf_reader *reader, const json_t *tree, struct conf *conf); // a part of it
void conf_check_file(struct conf_reader *reader, const char *path, const char *file);   // can be read
void conf_strings_clear(struct conf_strings *strings);

// Address forms, for conf_check.
bool conf_is_listen(const char *text);                          // "host:port", "[v6]:port"
bool conf_is_address(const char *text);                         // numeric
bool conf_is_network(const char *text);                         // numeric "/" bits
bool conf_is_url(const char *text, const char *const *schemes); // scheme://host..., printable, no blanks
bool conf_is_word(const char *text, const char *extra);         // letters, digits and `extra`; not empty
bool conf_is_readable(const char *path);

#endif
