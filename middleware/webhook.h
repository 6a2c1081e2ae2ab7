// SPDX-License-Identifier: Apache-2.0
// POST /api/webhook/session-ended, by which the platform says that a conversation is over. X-Api-Token must
// equal Security.WebhookApiToken (constant time; 401 when it does not, or when none is configured). Wrong
// tokens are counted by source, and beyond 10 a minute answered 429; the right one is always let in, so
// nobody can shut the platform out. ctl thread.
#ifndef IQ_MIDDLEWARE_WEBHOOK_H
#define IQ_MIDDLEWARE_WEBHOOK_H

#include "gateway/core/conf.h"
#include "gateway/core/span.h"
#include "signaling/http.h"

#include <uv.h>

enum { WEBHOOK_ID_MAX = 255, WEBHOOK_ROUTES = 1 };

struct webhook_events {
    // The conversation `session_id` (borrowed for the call) has ended: free its slot and limits, move the
    // queue. Calls `done` exactly once, at once or later: 0 when it was alive, or had ended already within
    // the last day (the webhook may come twice, or after the media path said so: then nothing is to happen);
    // -ENOENT when nobody knows it (400); any other errno when it cannot be told now, as Redis is away (503
    // with Retry-After).
    void (*on_ended)(const char *session_id, void (*done)(int err, void *done_arg), void *done_arg,
                     void *arg);
    void *arg;
};

struct webhook;

// `loop` for its clock, and `conf` until webhook_set_conf or webhook_free, are borrowed.
int webhook_new(struct webhook **out, uv_loop_t *loop, const struct conf *conf,
                const struct webhook_events *events);
void webhook_set_conf(struct webhook *webhook, const struct conf *conf);
void webhook_free(struct webhook *webhook); // after every `done`
void webhook_routes(struct webhook *webhook, struct http_route out[WEBHOOK_ROUTES]);

// {"ConversationSessionId": "..."}, its name in any case. -EINVAL when there is none that could be an id: 1
// to 255 printable ASCII characters without blanks.
int webhook_parse(struct span body, char id[WEBHOOK_ID_MAX + 1]);

#endif
