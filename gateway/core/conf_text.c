// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/conf_impl.h"

#include "gateway/core/err.h"

#include <stdlib.h>
#include <string.h>

struct scan {
    char *text;
    size_t len, at;
    size_t comma; // of the last comma with a value before it and only blanks after; len when there is none
    char before;  // the last byte that counts
    size_t depth;
};

static void blank(struct scan *scan, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        if (scan->text[i] != '\n' && scan->text[i] != '\r')
            scan->text[i] = ' ';
    }
}

static bool scan_comment(struct scan *scan) {
    const char *text = scan->text;
    size_t from = scan->at, end = from + 2;
    if (text[from + 1] == '/') {
        while (end < scan->len && text[end] != '\n')
            end++;
    } else {
        while (end + 1 < scan->len && !(text[end] == '*' && text[end + 1] == '/'))
            end++;
        if (end + 1 >= scan->len)
            return false;
        end += 2;
    }
    blank(scan, from, end);
    scan->at = end;
    return true;
}

static void scan_string(struct scan *scan) {
    size_t i = scan->at + 1;
    while (i < scan->len && scan->text[i] != '"' && scan->text[i] != '\n')
        i += scan->text[i] == '\\' ? 2 : 1;
    scan->at = i < scan->len ? i + 1 : scan->len;
    scan->before = '"';
    scan->comma = scan->len;
}

static void scan_byte(struct scan *scan) {
    char c = scan->text[scan->at];
    if (c == '}' || c == ']') {
        if (scan->comma < scan->len)
            scan->text[scan->comma] = ' ';
        scan->depth -= scan->depth > 0;
    }
    if (c == '{' || c == '[')
        scan->depth++;
    bool value_before = scan->before && !strchr("[{,:", scan->before);
    scan->comma = c == ',' && value_before ? scan->at : scan->len;
    scan->before = c;
    scan->at++;
}

static const char *scan_step(struct scan *scan) {
    char c = scan->text[scan->at];
    char next = scan->at + 1 < scan->len ? scan->text[scan->at + 1] : '\0';
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
        scan->at++;
    else if (c == '/' && (next == '/' || next == '*'))
        return scan_comment(scan) ? NULL : "a comment begins here and never ends; close it with */";
    else if (c == '"')
        scan_string(scan);
    else
        scan_byte(scan);
    return scan->depth > CONF_MAX_DEPTH ? "more than 16 levels of brackets" : NULL;
}

int conf_text_blank(char *text, size_t len, struct conf_place *place) {
    struct scan scan = {.text = text, .len = len, .comma = len};
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) // the byte order mark some editors put first
        blank(&scan, 0, 3);
    while (scan.at < len) {
        size_t at = scan.at;
        const char *wrong = scan_step(&scan);
        if (!wrong)
            continue;
        conf_text_place(text, len, at, place);
        place->text = wrong;
        return -EINVAL;
    }
    return 0;
}

void conf_text_place(const char *text, size_t len, size_t at, struct conf_place *place) {
    *place = (struct conf_place){.line = 1, .column = 1};
    for (size_t i = 0; i < at && i < len; i++) {
        if (text[i] == '\n') {
            place->line++;
            place->column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) { // one column a character, not a byte
            place->column++;
        }
    }
}

int conf_text_read(const char *path, char **text, size_t *len) {
    FILE *file = fopen(path, "rbe");
    if (!file)
        return -errno;
    int err = 0;
    char *bytes = malloc(CONF_MAX_BYTES + 1);
    if (!bytes) {
        err = -ENOMEM;
        goto out;
    }
    size_t got = fread(bytes, 1, CONF_MAX_BYTES + 1, file);
    if (ferror(file))
        err = errno ? -errno : -EIO; // a folder opens but does not read
    else if (got > CONF_MAX_BYTES)
        err = -EFBIG;
    if (err)
        goto out;
    *text = bytes;
    *len = got;
    bytes = NULL;

out:
    free(bytes);
    fclose(file);
    return err;
}
