// SPDX-License-Identifier: Apache-2.0
// The subscriptions of a client, on a link of their own that is made at the first one.
#ifndef IQ_MIDDLEWARE_REDIS_SUB_H
#define IQ_MIDDLEWARE_REDIS_SUB_H

#include "middleware/redis_link.h"

enum { REDIS_SUBSCRIPTIONS_MAX = 1024 };

struct redis_subs;

int redis_subs_new(struct redis_subs **out, const struct redis_link_config *config);
int redis_subs_add(struct redis_subs *subs, const char *channel, void (*on_subscribed)(void *arg),
                   void (*on_message)(const char *message, size_t len, void *arg), void *arg);
void redis_subs_remove(struct redis_subs *subs, const char *channel);
// on_closed once: from the loop when there was a link, else inside.
void redis_subs_close(struct redis_subs *subs, void (*on_closed)(void *arg), void *arg);

#endif
