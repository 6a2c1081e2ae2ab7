// SPDX-License-Identifier: Apache-2.0
#include "middleware/redis_sub.h"

#include "gateway/core/log.h"

#include <stdlib.h>
#include <string.h>

struct sub {
    struct sub *next;
    void (*on_subscribed)(void *arg);
    void (*on_message)(const char *message, size_t len, void *arg);
    void *arg;
    char channel[];
};

struct redis_subs {
    struct redis_link_config config;
    struct redis_link *link; // owns; NULL before the first subscription
    struct sub *first;       // owns
    size_t count;
    void (*on_closed)(void *arg);
    void *arg;
};

// Where the pointer to that channel's entry stands; to NULL when there is none.
static struct sub **sub_find(struct redis_subs *subs, const char *channel) {
    struct sub **at = &subs->first;
    while (*at && strcmp((*at)->channel, channel) != 0)
        at = &(*at)->next;
    return at;
}

// By the channel in the answer, since the entry may be gone by now.
static void on_answer(int err, const struct redis_reply *reply, void *arg) {
    if (err)
        return;
    if (reply->type == REDIS_ERROR)
        log_error(NULL, "redis", "subscriptions are refused: %.120s", reply->str);
    if (reply->type != REDIS_ARRAY || reply->count < 2)
        return;
    const struct sub *sub = *sub_find(arg, reply->elements[1].str);
    if (sub && sub->on_subscribed)
        sub->on_subscribed(sub->arg);
}

static int send_command(struct redis_subs *subs, const char *verb, const char *channel, redis_fn *fn) {
    const struct redis_arg args[] = {redis_str(verb), redis_str(channel)};
    return redis_link_command(subs->link, args, 2, fn, subs);
}

static void on_up(void *arg) {
    struct redis_subs *subs = arg;
    for (const struct sub *sub = subs->first; sub; sub = sub->next) {
        if (send_command(subs, "SUBSCRIBE", sub->channel, on_answer) != 0)
            log_error(NULL, "redis", "out of memory: a channel is not subscribed");
    }
}

static void on_down(const char *why, void *arg) {
    (void)why;
    (void)arg;
}

static bool on_push(const struct redis_reply *reply, void *arg) {
    if (reply->type != REDIS_ARRAY || reply->count != 3 || strcmp(reply->elements[0].str, "message") != 0)
        return false;
    const struct sub *sub = *sub_find(arg, reply->elements[1].str);
    if (sub)
        sub->on_message(reply->elements[2].str, reply->elements[2].len, sub->arg);
    return true;
}

static void subs_finish(void *arg) {
    struct redis_subs *subs = arg;
    while (subs->first) {
        struct sub *next = subs->first->next;
        free(subs->first);
        subs->first = next;
    }
    subs->on_closed(subs->arg);
    free(subs);
}

static int subs_link(struct redis_subs *subs) {
    const struct redis_link_events events = {
        .on_up = on_up, .on_push = on_push, .on_down = on_down, .on_closed = subs_finish, .arg = subs};
    return subs->link ? 0 : redis_link_new(&subs->link, &subs->config, &events);
}

int redis_subs_new(struct redis_subs **out, const struct redis_link_config *config) {
    struct redis_subs *subs = calloc(1, sizeof *subs);
    if (!subs)
        return -ENOMEM;
    subs->config = *config;
    *out = subs;
    return 0;
}

int redis_subs_add(struct redis_subs *subs, const char *channel, void (*on_subscribed)(void *arg),
                   void (*on_message)(const char *message, size_t len, void *arg), void *arg) {
    if (*sub_find(subs, channel))
        return -EEXIST;
    if (subs->count >= REDIS_SUBSCRIPTIONS_MAX)
        return -ENOBUFS;
    int err = subs_link(subs);
    if (err)
        return err;
    size_t size = strlen(channel) + 1;
    struct sub *sub = malloc(sizeof *sub + size);
    if (!sub)
        return -ENOMEM;
    if (redis_link_up(subs->link) && (err = send_command(subs, "SUBSCRIBE", channel, on_answer)) != 0) {
        free(sub);
        return err;
    }
    *sub = (struct sub){
        .next = subs->first, .on_subscribed = on_subscribed, .on_message = on_message, .arg = arg};
    memcpy(sub->channel, channel, size);
    subs->first = sub;
    subs->count++;
    return 0;
}

void redis_subs_remove(struct redis_subs *subs, const char *channel) {
    struct sub **at = sub_find(subs, channel), *sub = *at;
    if (!sub)
        return;
    *at = sub->next;
    // While it is down there is nothing to undo; when nothing can be sent, its messages find nobody.
    if (redis_link_up(subs->link))
        send_command(subs, "UNSUBSCRIBE", channel, NULL);
    subs->count--;
    free(sub);
}

void redis_subs_close(struct redis_subs *subs, void (*on_closed)(void *arg), void *arg) {
    subs->on_closed = on_closed;
    subs->arg = arg;
    if (subs->link)
        redis_link_close(subs->link);
    else
        subs_finish(subs);
}
