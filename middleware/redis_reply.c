// SPDX-License-Identifier: Apache-2.0
#include "middleware/redis_reply.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

static size_t reply_nodes(const redisReply *from) {
    size_t nodes = 1;
    if (from->type == REDIS_REPLY_ARRAY) {
        for (size_t i = 0; i < from->elements; i++)
            nodes += reply_nodes(from->element[i]);
    }
    return nodes;
}

static enum redis_type reply_type(int type) {
    switch (type) {
    case REDIS_REPLY_STRING:
        return REDIS_STRING;
    case REDIS_REPLY_ARRAY:
        return REDIS_ARRAY;
    case REDIS_REPLY_INTEGER:
        return REDIS_INTEGER;
    case REDIS_REPLY_STATUS:
        return REDIS_STATUS;
    case REDIS_REPLY_ERROR:
        return REDIS_ERROR;
    default:
        return REDIS_NIL;
    }
}

// Elements of one array stand side by side; `free_nodes` is the end of what is used.
static void reply_fill(struct redis_reply *to, const redisReply *from, struct redis_reply **free_nodes) {
    to->type = reply_type(from->type);
    to->str = from->str ? from->str : "";
    to->len = from->str ? (size_t)from->len : 0;
    to->integer = to->type == REDIS_INTEGER ? from->integer : 0;
    if (to->type != REDIS_ARRAY)
        return;
    struct redis_reply *elements = *free_nodes;
    *free_nodes += from->elements;
    to->elements = elements;
    to->count = from->elements;
    for (size_t i = 0; i < from->elements; i++)
        reply_fill(&elements[i], from->element[i], free_nodes);
}

struct redis_reply *redis_reply_of(const void *hiredis) {
    const redisReply *from = hiredis;
    struct redis_reply *reply = calloc(reply_nodes(from), sizeof *reply);
    if (!reply)
        return NULL;
    struct redis_reply *free_nodes = reply + 1;
    reply_fill(reply, from, &free_nodes);
    return reply;
}

bool redis_is_error(const struct redis_reply *reply, const char *code) {
    size_t len = strlen(code);
    return reply->type == REDIS_ERROR && strncmp(reply->str, code, len) == 0 &&
           (!reply->str[len] || reply->str[len] == ' ');
}

bool redis_means_down(const struct redis_reply *reply) {
    if (reply->type != REDIS_ERROR)
        return false;
    // Before Redis 7 an error inside a script stands behind the script's own.
    return redis_is_error(reply, "READONLY") || redis_is_error(reply, "LOADING") ||
           redis_is_error(reply, "MASTERDOWN") || redis_is_error(reply, "MISCONF") ||
           strstr(reply->str, "-READONLY ");
}
