// SPDX-License-Identifier: Apache-2.0
// The desk's scripts in a real Redis, by a clock of the test's own. Include after cmocka.h.
#ifndef IQ_TESTS_SCRIPTS_FIXTURE_H
#define IQ_TESTS_SCRIPTS_FIXTURE_H

#include "middleware/scripts.h"
#include "tests/unit/middleware/redis_fixture.h"

#include <hiredis/hiredis.h>

enum { SCRIPTS_TEXT_MAX = 16384 };

struct scripts {
    struct redis_server_child server;
    redisContext *context;
    char shas[SCRIPT_COUNT][41];
    int64_t now_ms;
    char text[SCRIPTS_TEXT_MAX]; // the last answer
};

static struct scripts s;

static void answer_append(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void answer_append(const char *format, ...) {
    size_t used = strlen(s.text);
    va_list args;
    va_start(args, format);
    vsnprintf(s.text + used, sizeof s.text - used, format, args);
    va_end(args);
}

// Numbers and texts as they are, arrays as [a b c], nil as -.
static void answer_print(const redisReply *reply) {
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        answer_append("%lld", reply->integer);
        break;
    case REDIS_REPLY_ARRAY:
        answer_append("[");
        for (size_t i = 0; i < reply->elements; i++) {
            answer_append("%s", i ? " " : "");
            answer_print(reply->element[i]);
        }
        answer_append("]");
        break;
    case REDIS_REPLY_NIL:
        answer_append("-");
        break;
    default:
        answer_append("%s", reply->str);
    }
}

static const char *answer_take(redisReply *reply) {
    assert_non_null(reply);
    s.text[0] = '\0';
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s", reply->str);
    answer_print(reply);
    freeReplyObject(reply);
    return s.text;
}

// Words split at blanks; "~" stands for an empty one.
static const char *send_words(const char *const *first, size_t count, const char *words) {
    enum { WORDS_MAX = 64 };
    struct redis_arg args[WORDS_MAX];
    const char *argv[WORDS_MAX + 4];
    size_t lens[WORDS_MAX + 4], argc = 0;
    for (; argc < count; argc++) {
        argv[argc] = first[argc];
        lens[argc] = strlen(first[argc]);
    }
    size_t n = redis_words(words, args, WORDS_MAX);
    for (size_t i = 0; i < n; i++, argc++) {
        argv[argc] = args[i].ptr;
        lens[argc] = args[i].len == 1 && args[i].ptr[0] == '~' ? 0 : args[i].len;
    }
    return answer_take(redisCommandArgv(s.context, (int)argc, argv, lens));
}

static const char *command(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *command(const char *format, ...) {
    char words[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    return send_words(NULL, 0, words);
}

// Runs a script at s.now_ms with the arguments it documents.
static const char *run(enum script script, const char *format, ...) __attribute__((format(printf, 2, 3)));
static const char *run(enum script script, const char *format, ...) {
    char words[1024], now[24];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    snprintf(now, sizeof now, "%lld", (long long)s.now_ms);
    const char *first[] = {"EVALSHA", s.shas[script], "0", now};
    return send_words(first, 4, words);
}

// The number that follows `prefix` at the beginning of an answer.
static inline int number_after(const char *answer, const char *prefix) {
    size_t len = strlen(prefix);
    assert_memory_equal(answer, prefix, len);
    return (int)strtol(answer + len, NULL, 10);
}

static void load_scripts(void) {
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        const char *argv[] = {"SCRIPT", "LOAD", script_text((enum script)i)};
        const char *sha = answer_take(redisCommandArgv(s.context, 3, argv, NULL));
        snprintf(s.shas[i], sizeof s.shas[i], "%s", sha);
    }
}

static int scripts_start(void **state) {
    (void)state;
    memset(&s, 0, sizeof s);
    redis_child_start(&s.server, NULL);
    for (int i = 0; i < REDIS_TEST_TIMEOUT_MS / 10; i++) {
        s.context = redisConnectUnix(s.server.target + strlen("unix:"));
        if (s.context && !s.context->err)
            break;
        redisFree(s.context);
        s.context = NULL;
        uv_sleep(10);
    }
    assert_non_null(s.context);
    load_scripts();
    return 0;
}

static int scripts_stop(void **state) {
    (void)state;
    redisFree(s.context);
    redis_child_end(&s.server);
    return 0;
}

static int scripts_clear(void **state) {
    (void)state;
    command("FLUSHALL");
    s.now_ms = 1700000000000;
    return 0;
}

#endif
