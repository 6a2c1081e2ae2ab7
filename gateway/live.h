// SPDX-License-Identifier: Apache-2.0
// The operator's list of live calls, with how each is doing: asks every worker once, and answers when all have, or
// after a second without those that are late. ctl thread.
#ifndef IQ_GATEWAY_LIVE_H
#define IQ_GATEWAY_LIVE_H

#include "gateway/sessions.h"
#include "signaling/http.h"

enum { LIVE_MAX_REQUESTS = 4, LIVE_WAIT_MS = 1000 };

struct live;

// Borrowed until live_free.
struct live_config {
    uv_loop_t *loop;
    const struct sessions *sessions;
    struct media_worker *const *workers;
    size_t worker_count;
};

int live_new(struct live **out, const struct live_config *config);
void live_list(struct live *live,
               struct http_exchange *exchange); // answers it; 503 beyond LIVE_MAX_REQUESTS and when closed
void live_mail(struct live *live, struct mail *mail); // WORKER_SNAPSHOT
void live_close(struct live *live); // answers what waits; the loop must turn before live_free
void live_free(struct live *live);

#endif
