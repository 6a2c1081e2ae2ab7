// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/redis_string.h"

#include "gateway/core/span.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum {
    DEFAULT_PORT = 6379,
    DEFAULT_TLS_PORT = 6380,
    DEFAULT_SENTINEL_PORT = 26379,
    DEFAULT_TIMEOUT_MS = 5000,
    DEFAULT_CHECK_S = 10,
    DEFAULT_KEEP_ALIVE_S = 15,
    TIMEOUT_MAX_MS = 3600 * 1000,
    DATABASE_MAX = 65535,
    SHOWN_MAX = 32, // characters of what was found, in messages
};

struct parser {
    struct redis_string *out;
    void (*on_warning)(const char *text, void *arg);
    void *arg;
    struct err_text *err;
};

enum option_kind { OPTION_TEXT, OPTION_NUMBER, OPTION_BOOL, OPTION_IGNORED, OPTION_WITHOUT_EFFECT };

struct option {
    const char *name;
    enum option_kind kind;
    size_t offset, size; // of the text in struct redis_string
    uint32_t min, max;   // of a number, which is a uint32_t at `offset`
};

#define TEXT(option, field)                                                                                  \
    {                                                                                                        \
        option, OPTION_TEXT, offsetof(struct redis_string, field),                                           \
            sizeof(((struct redis_string *)0)->field), 0, 0                                                  \
    }
#define NUMBER(option, field, min, max)                                                                      \
    { option, OPTION_NUMBER, offsetof(struct redis_string, field), 0, min, max }

// What has no meaning for a client that only sends commands to one master is passed over in silence; what
// would change where or how we talk is warned of.
static const struct option options[] = {
    TEXT("password", password),
    TEXT("user", user),
    TEXT("serviceName", service),
    TEXT("name", client_name),
    TEXT("sslHost", tls_host),
    TEXT("sslCaFile", tls_ca_file),
    {"ssl", OPTION_BOOL, offsetof(struct redis_string, tls), 0, 0, 0},
    NUMBER("defaultDatabase", database, 0, DATABASE_MAX),
    NUMBER("connectTimeout", connect_timeout_ms, 1, TIMEOUT_MAX_MS),
    NUMBER("syncTimeout", command_timeout_ms, 1, TIMEOUT_MAX_MS),
    NUMBER("asyncTimeout", command_timeout_ms, 1, TIMEOUT_MAX_MS),
    NUMBER("configCheckSeconds", check_s, 1, TIMEOUT_MAX_MS / 1000),
    NUMBER("keepAlive", keep_alive_s, 0, TIMEOUT_MAX_MS / 1000),
    {"abortConnect", OPTION_IGNORED, 0, 0, 0, 0},
    {"allowAdmin", OPTION_IGNORED, 0, 0, 0, 0},
    {"checkCertificateRevocation", OPTION_IGNORED, 0, 0, 0, 0},
    {"configChannel", OPTION_IGNORED, 0, 0, 0, 0},
    {"connectRetry", OPTION_IGNORED, 0, 0, 0, 0},
    {"heartbeatInterval", OPTION_IGNORED, 0, 0, 0, 0},
    {"highIntegrity", OPTION_IGNORED, 0, 0, 0, 0},
    {"highPriorityThreads", OPTION_IGNORED, 0, 0, 0, 0},
    {"includeDetailInExceptions", OPTION_IGNORED, 0, 0, 0, 0},
    {"includePerformanceCountersInExceptions", OPTION_IGNORED, 0, 0, 0, 0},
    {"preserveAsyncOrder", OPTION_IGNORED, 0, 0, 0, 0},
    {"protocol", OPTION_IGNORED, 0, 0, 0, 0},
    {"resolveDns", OPTION_IGNORED, 0, 0, 0, 0},
    {"responseTimeout", OPTION_IGNORED, 0, 0, 0, 0},
    {"setlib", OPTION_IGNORED, 0, 0, 0, 0},
    {"sslProtocols", OPTION_IGNORED, 0, 0, 0, 0},
    {"tiebreaker", OPTION_IGNORED, 0, 0, 0, 0},
    {"version", OPTION_IGNORED, 0, 0, 0, 0},
    {"writeBuffer", OPTION_IGNORED, 0, 0, 0, 0},
    {"channelPrefix", OPTION_WITHOUT_EFFECT, 0, 0, 0, 0},
    {"proxy", OPTION_WITHOUT_EFFECT, 0, 0, 0, 0},
    {"tunnel", OPTION_WITHOUT_EFFECT, 0, 0, 0, 0},
};

static void warn(const struct parser *parser, struct span name, const char *what) {
    char text[128];
    size_t shown = name.len < SHOWN_MAX ? name.len : SHOWN_MAX;
    if (!parser->on_warning)
        return;
    snprintf(text, sizeof text, "option \"%.*s\" %s", (int)shown, (const char *)name.ptr, what);
    parser->on_warning(text, parser->arg);
}

// ---- options

static int parse_number(const struct parser *parser, const struct option *option, struct span value) {
    uint64_t number;
    if (!span_u64(&value, option->max, &number) || value.len || number < option->min)
        return err_set(parser->err, -EINVAL, "%s must be a number from %u to %u", option->name, option->min,
                       option->max);
    uint32_t *field = (uint32_t *)(void *)((char *)parser->out + option->offset);
    *field = (uint32_t)number;
    return 0;
}

static int parse_bool(const struct parser *parser, const struct option *option, struct span value) {
    bool *field = (bool *)(void *)((char *)parser->out + option->offset);
    bool yes = span_eq_nocase(value, "true") || span_eq_nocase(value, "yes") || span_eq(value, "1");
    bool no = span_eq_nocase(value, "false") || span_eq_nocase(value, "no") || span_eq(value, "0");
    if (!yes && !no)
        return err_set(parser->err, -EINVAL, "%s must be true or false", option->name);
    *field = yes;
    return 0;
}

static int parse_text(const struct parser *parser, const struct option *option, struct span value) {
    if (!span_copy(value, (char *)parser->out + option->offset, option->size))
        return err_set(parser->err, -EINVAL, "%s is longer than %zu bytes", option->name, option->size - 1);
    return 0;
}

static int parse_option(struct parser *parser, struct span name, struct span value) {
    const struct option *option = NULL;
    for (size_t i = 0; i < sizeof options / sizeof options[0] && !option; i++)
        option = span_eq_nocase(name, options[i].name) ? &options[i] : NULL;
    if (!option) {
        warn(parser, name, "is not known and has no effect");
        return 0;
    }
    switch (option->kind) {
    case OPTION_TEXT:
        return parse_text(parser, option, value);
    case OPTION_NUMBER:
        return parse_number(parser, option, value);
    case OPTION_BOOL:
        return parse_bool(parser, option, value);
    case OPTION_WITHOUT_EFFECT:
        warn(parser, name, "has no effect here");
        return 0;
    case OPTION_IGNORED:
        return 0;
    }
    return 0;
}

// ---- hosts

static bool is_host_name(const char *name) {
    for (const char *c = name; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr(".-_", *c))
            return false;
    }
    return *name != '\0';
}

static bool is_ipv6(const char *name) {
    struct in6_addr address;
    return inet_pton(AF_INET6, name, &address) == 1;
}

// Takes the host off `text` and leaves its ":port" or nothing.
static bool take_host(struct span *text, char name[REDIS_HOST_MAX + 1]) {
    struct span host;
    if (text->len && text->ptr[0] == '[') {
        span_skip(text, 1);
        return span_until(text, ']', &host) && span_copy(host, name, REDIS_HOST_MAX + 1) && is_ipv6(name);
    }
    if (span_copy(*text, name, REDIS_HOST_MAX + 1) && is_ipv6(name))
        return span_skip(text, text->len);
    size_t len = 0;
    while (len < text->len && text->ptr[len] != ':')
        len++;
    return span_take(text, len, &host) && span_copy(host, name, REDIS_HOST_MAX + 1) && is_host_name(name);
}

// The text is not shown: what follows a comma in an unquoted password arrives here.
static int parse_host(const struct parser *parser, struct span text) {
    static const char form[] = "expected host:port, [v6]:port, unix:PATH or option=value; a password with a "
                               "comma stands in double quotes";
    struct redis_string *out = parser->out;
    size_t number = out->host_count + 1;
    struct redis_host host = {.port = 0};
    uint64_t port = 0;
    if (out->host_count == REDIS_HOSTS_MAX)
        return err_set(parser->err, -EINVAL, "names more than %d hosts", REDIS_HOSTS_MAX);
    if (!take_host(&text, host.name))
        return err_set(parser->err, -EINVAL, "host %zu cannot be understood: %s", number, form);
    if (text.len && (!span_skip(&text, 1) || !span_u64(&text, UINT16_MAX, &port) || text.len || !port))
        return err_set(parser->err, -EINVAL, "host %zu has no valid port: %s", number, form);
    host.port = (uint16_t)port;
    out->hosts[out->host_count++] = host;
    return 0;
}

static int parse_path(const struct parser *parser, struct span path) {
    if (*parser->out->path)
        return err_set(parser->err, -EINVAL, "names more than one unix socket");
    if (!path.len || !span_copy(path, parser->out->path, sizeof parser->out->path))
        return err_set(parser->err, -EINVAL, "the unix socket's path must have 1 to %d bytes",
                       REDIS_PATH_MAX);
    return 0;
}

// ---- the whole

// Up to the next comma outside of a quoted value. The quotes count only round a value with a comma: without
// one, StackExchange takes them as part of the value, and so do we.
static bool take_quoted(struct span *rest, struct span *value) {
    struct span s = span_trim(*rest), inner;
    if (!s.len || s.ptr[0] != '"')
        return false;
    for (size_t end = 1; end < s.len; end++) {
        struct span after = span_of(s.ptr + end + 1, s.len - end - 1);
        if (s.ptr[end] != '"')
            continue;
        struct span next = span_trim(after);
        if (next.len && next.ptr[0] != ',')
            continue;
        inner = span_of(s.ptr + 1, end - 1);
        if (!memchr(inner.ptr, ',', inner.len))
            return false;
        *value = inner;
        *rest = next;
        span_skip(rest, 1);
        return true;
    }
    return false;
}

static struct span take_piece(struct span *rest) {
    struct span piece;
    if (!span_until(rest, ',', &piece))
        span_take(rest, rest->len, &piece);
    return span_trim(piece);
}

static int parse_piece(struct parser *parser, struct span *rest) {
    struct span ahead = *rest, piece = take_piece(&ahead), name, value = piece;
    if (!piece.len) {
        *rest = ahead;
        return 0;
    }
    if (span_starts(piece, "unix:")) {
        *rest = ahead;
        return parse_path(parser, span_of(piece.ptr + 5, piece.len - 5));
    }
    if (piece.ptr[0] == '!') { // StackExchange's sign for a unix socket
        *rest = ahead;
        return parse_path(parser, span_of(piece.ptr + 1, piece.len - 1));
    }
    if (!span_until(&value, '=', &name)) {
        *rest = ahead;
        return parse_host(parser, piece);
    }
    value = span_trim(value);
    struct span from_value =
        span_of(piece.ptr + name.len + 1, rest->len - (size_t)(piece.ptr - rest->ptr) - name.len - 1);
    if (take_quoted(&from_value, &value))
        ahead = from_value;
    *rest = ahead;
    return parse_option(parser, span_trim(name), value);
}

static int check_whole(const struct parser *parser) {
    struct redis_string *out = parser->out;
    if (!out->host_count && !*out->path)
        return err_set(parser->err, -EINVAL, "names no host; begin with host:port");
    if (out->host_count && *out->path)
        return err_set(parser->err, -EINVAL, "names both hosts and a unix socket; choose one");
    if (*out->path && (out->tls || *out->service))
        return err_set(parser->err, -EINVAL, "a unix socket goes with neither ssl nor serviceName");
    if (*out->user && !*out->password)
        return err_set(parser->err, -EINVAL, "user is given without password");
    for (const char *c = out->client_name; *c; c++) {
        if (*c <= ' ' || *c > '~')
            return err_set(parser->err, -EINVAL, "name must be printable and without blanks");
    }
    uint16_t port = out->tls ? DEFAULT_TLS_PORT : DEFAULT_PORT;
    for (size_t i = 0; i < out->host_count; i++) {
        if (!out->hosts[i].port)
            out->hosts[i].port = *out->service ? DEFAULT_SENTINEL_PORT : port;
    }
    return 0;
}

int redis_string_parse(const char *text, struct redis_string *out,
                       void (*on_warning)(const char *text, void *arg), void *arg, struct err_text *err) {
    struct redis_string found = {.connect_timeout_ms = DEFAULT_TIMEOUT_MS,
                                 .command_timeout_ms = DEFAULT_TIMEOUT_MS,
                                 .check_s = DEFAULT_CHECK_S,
                                 .keep_alive_s = DEFAULT_KEEP_ALIVE_S};
    struct parser parser = {.out = &found, .on_warning = on_warning, .arg = arg, .err = err};
    struct span rest = span_str(text);
    int rc = 0;
    if (strncmp(text, "redis://", 8) == 0 || strncmp(text, "rediss://", 9) == 0)
        rc = err_set(err, -EINVAL, "is a URL; write host:port,password=... instead");
    while (!rc && rest.len)
        rc = parse_piece(&parser, &rest);
    if (!rc)
        rc = check_whole(&parser);
    if (!rc)
        *out = found;
    explicit_bzero(&found, sizeof found);
    return rc;
}
