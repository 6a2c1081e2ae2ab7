// SPDX-License-Identifier: Apache-2.0
// The calls of trunks, from the proxy's question to their end, in Redis, where all nodes see them. ctl thread.
//
//   callqueue_open -> ProcessedProxy -(callqueue_claim)-> ProcessingBackend -(callqueue_answered)-> ProcessedBackend
//        |                 |                                     |                                       |
//        +-> Failed        +-> Expired, Canceled                 +-> Failed, Canceled                    +-> ended
//
// An entry holds a lease of its business' plan (MaxConcurrentCalls) from callqueue_open until callqueue_over, or
// until nobody has renewed it for CALLQUEUE_LEASE_MS. Entries and their logs are kept for a day.
#ifndef IQ_MIDDLEWARE_CALLQUEUE_H
#define IQ_MIDDLEWARE_CALLQUEUE_H

#include "middleware/redis.h"

#include <jansson.h>

enum callqueue_status { // the numbers of the platform's CallQueueStatus
    CALLQUEUE_QUEUED,
    CALLQUEUE_PROCESSING_PROXY,
    CALLQUEUE_PROCESSED_PROXY,
    CALLQUEUE_PROCESSING_BACKEND,
    CALLQUEUE_PROCESSED_BACKEND,
    CALLQUEUE_FAILED,
    CALLQUEUE_CANCELED,
    CALLQUEUE_EXPIRED,
    CALLQUEUE_STATUSES, // how many there are
};
const char *callqueue_status_name(enum callqueue_status status);          // "ProcessedProxy"
int callqueue_status_parse(const char *name, enum callqueue_status *out); // a name or its number; -EINVAL

enum {
    CALLQUEUE_ID_MAX = 64,
    CALLQUEUE_LEASE_MS = 30000, // a claim, a renewal or the end must come within it
    CALLQUEUE_NEXT_MS =
        32000, // more for the claim, for each server but the last: timer B of who calls a dead one
    CALLQUEUE_RENEW_MS = 10000,
    CALLQUEUE_SWEEP_MS = 5000,
    CALLQUEUE_SWEEP_MOST = 100, // entries in one step; as many steps as it takes
    CALLQUEUE_PAGE_MAX = 100,
    CALLQUEUE_TEXT = 128,
};

struct callqueue;

struct callqueue_config {
    struct redis *redis;             // borrowed
    const char *node_id, *region_id; // of this node; borrowed
    int64_t (*now_ms)(void *arg);    // for tests; NULL = the clock of Redis, which is the same for every node
    void *arg;
};

int callqueue_new(struct callqueue **out, const struct callqueue_config *config);
void callqueue_free(struct callqueue *queue); // after redis_close has called back everything

// ---- the proxy's question

struct callqueue_server {
    const char *node_id, *region_id, *endpoint;
    uint16_t port;
};

// Borrowed for the call; strings are never NULL.
struct callqueue_ask {
    const char *id; // from auth_random_id: nobody can guess it
    const char *business_id, *number_id, *campaign_id, *region_id;
    const char *call_id, *from_tag; // with cseq what makes two requests the same (RFC 3261 section 8.2.2.2)
    uint32_t cseq;
    const char *caller, *called, *source;
    int64_t max_calls;                      // of the business; 0 = no limit
    bool has_login;                         // the number has one: a claim must say that it was given
    const struct callqueue_server *servers; // chosen for it, best first
    size_t server_count;
    bool direct;         // no proxy: goes to ProcessingBackend on this node at once
    const char *refusal; // what refuses it if nothing before does; NULL for nothing
};

enum callqueue_verdict {
    CALLQUEUE_OK,
    CALLQUEUE_DUPLICATE, // the same request came by another way; nothing is stored
    CALLQUEUE_FULL,      // max_calls are there; the entry is Failed
    CALLQUEUE_REFUSED,   // `refusal`; the entry is Failed
};

// `done` once and later: 0, or what redis_fn says, or -EPROTO. When an error is returned, it is not called.
int callqueue_open(struct callqueue *queue, const struct callqueue_ask *ask,
                   void (*done)(int err, enum callqueue_verdict verdict, void *arg), void *arg);

// ---- the listener's claim

enum callqueue_claim {
    CALLQUEUE_CLAIMED,
    CALLQUEUE_UNKNOWN,   // 404
    CALLQUEUE_NOT_HERE,  // 403: another region or server was chosen
    CALLQUEUE_NOT_READY, // 403: claimed already, cancelled, expired
    CALLQUEUE_LOGIN,     // not claimed: ask for the number's login, then claim again as authorized
};

// Borrowed for the callback. The strings are "" unless CLAIMED or LOGIN.
struct callqueue_claimed {
    enum callqueue_claim claim;
    const char *business_id, *number_id, *campaign_id, *region_id;
};

int callqueue_claim(struct callqueue *queue, const char *id, bool authorized,
                    void (*done)(int err, const struct callqueue_claimed *claimed, void *arg), void *arg);

// ---- what becomes of it. Nobody waits for the answers: an outage of Redis does not touch calls that are up.

void callqueue_note(struct callqueue *queue, const char *id, const char *text); // a line in its log
void callqueue_answered(struct callqueue *queue, const char *id, const char *session_id);
// The end, whatever came before: status becomes FAILED or CANCELED unless the call had been answered. Gives the
// lease back.
void callqueue_over(struct callqueue *queue, const char *id, enum callqueue_status status, const char *text);

// A call that is here. Renewal also brings back its entry where Redis has lost it or others have given it up.
struct callqueue_lease {
    const char *id, *business_id, *number_id, *call_id, *caller, *called; // never NULL
    bool answered;
};
void callqueue_renew(struct callqueue *queue, const struct callqueue_lease *leases, size_t count);

// Ends the entries whose node has gone: Expired when no listener saw them, Failed while they were being connected.
// Any node may do it at any time; `done` (may be NULL) gets how many there were.
void callqueue_sweep(struct callqueue *queue, void (*done)(int64_t expired, void *arg), void *arg);

// ---- for the operator

struct callqueue_page {
    int status; // enum callqueue_status, or -1 for all
    size_t offset, limit;
};
// {"total", "offset", "entries": [{...,"log":[{"at","text"}]}]}, newest first. `page` is borrowed by the callback.
int callqueue_list(struct callqueue *queue, const struct callqueue_page *page,
                   void (*done)(int err, json_t *page, void *arg), void *arg);

#endif
