// SPDX-License-Identifier: Apache-2.0
#include "middleware/callqueue.h"

#include "gateway/core/log.h"
#include "middleware/callqueue_list.h"
#include "middleware/callqueue_lua.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ARGS = 256 };

struct callqueue {
    struct callqueue_config config;
};

static const char *const status_names[CALLQUEUE_STATUSES] = {
    [CALLQUEUE_QUEUED] = "Queued",
    [CALLQUEUE_PROCESSING_PROXY] = "ProcessingProxy",
    [CALLQUEUE_PROCESSED_PROXY] = "ProcessedProxy",
    [CALLQUEUE_PROCESSING_BACKEND] = "ProcessingBackend",
    [CALLQUEUE_PROCESSED_BACKEND] = "ProcessedBackend",
    [CALLQUEUE_FAILED] = "Failed",
    [CALLQUEUE_CANCELED] = "Canceled",
    [CALLQUEUE_EXPIRED] = "Expired",
};

const char *callqueue_status_name(enum callqueue_status status) {
    return (unsigned)status < CALLQUEUE_STATUSES ? status_names[status] : "Unknown";
}

int callqueue_status_parse(const char *name, enum callqueue_status *out) {
    for (unsigned i = 0; i < CALLQUEUE_STATUSES; i++) {
        const char number[] = {(char)('0' + i), '\0'};
        if (strcmp(name, status_names[i]) == 0 || strcmp(name, number) == 0) {
            *out = (enum callqueue_status)i;
            return 0;
        }
    }
    return -EINVAL;
}

int callqueue_new(struct callqueue **out, const struct callqueue_config *config) {
    struct callqueue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return -ENOMEM;
    queue->config = *config;
    *out = queue;
    return 0;
}

void callqueue_free(struct callqueue *queue) {
    free(queue);
}

// ---- arguments

struct args {
    struct redis_arg list[MAX_ARGS];
    char numbers[MAX_ARGS][24];
    size_t count;
};

static void add(struct args *args, const char *text) {
    if (args->count < MAX_ARGS)
        args->list[args->count++] = redis_str(text);
}

static void add_number(struct args *args, int64_t value) {
    if (args->count < MAX_ARGS) {
        args->list[args->count] = redis_int(value, args->numbers[args->count]);
        args->count++;
    }
}

static void begin(const struct callqueue *queue, struct args *args) {
    args->count = 0;
    add_number(args, queue->config.now_ms ? queue->config.now_ms(queue->config.arg) : 0);
}

static int run(struct callqueue *queue, struct redis_script *script, const struct args *args, redis_fn *fn,
               void *arg) {
    return redis_eval(queue->config.redis, script, NULL, 0, args->list, args->count, fn, arg);
}

// What Redis says, as an error: it may refuse a script (memory, read-only replica).
static int answer_error(int err, const struct redis_reply *reply, enum redis_type expected) {
    if (err || reply->type == expected)
        return err;
    log_error(NULL, "callqueue", "Redis refused: %s",
              reply->type == REDIS_ERROR ? reply->str : "an unexpected answer");
    return -EPROTO;
}

static void on_done(int err, const struct redis_reply *reply, void *arg) {
    (void)arg;
    if (err)
        log_warn(NULL, "callqueue", "an entry could not be brought up to date (%s)", err_name(err));
    else
        answer_error(0, reply, REDIS_INTEGER);
}

static void tell(struct callqueue *queue, struct redis_script *script, const struct args *args) {
    int err = run(queue, script, args, on_done, NULL);
    if (err)
        on_done(err, NULL, NULL);
}

// ---- the proxy's question

struct opening {
    void (*done)(int err, enum callqueue_verdict verdict, void *arg);
    void *arg;
};

static void on_opened(int err, const struct redis_reply *reply, void *arg) {
    struct opening *opening = arg;
    err = answer_error(err, reply, REDIS_INTEGER);
    opening->done(err, err ? CALLQUEUE_REFUSED : (enum callqueue_verdict)reply->integer, opening->arg);
    free(opening);
}

static char *servers_json(const struct callqueue *queue, const struct callqueue_ask *ask) {
    const struct callqueue_server self = {
        .node_id = queue->config.node_id, .region_id = queue->config.region_id, .endpoint = ""};
    json_t *list = json_array();
    size_t count = ask->direct ? 1 : ask->server_count;
    for (size_t i = 0; i < count; i++) {
        const struct callqueue_server *server = ask->direct ? &self : &ask->servers[i];
        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:i}", "node", server->node_id, "region",
                                              server->region_id, "endpoint", server->endpoint, "port",
                                              (int)server->port));
    }
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

static void add_entry(struct args *args, const struct callqueue *queue, const struct callqueue_ask *ask,
                      const char *servers) {
    enum callqueue_status status = ask->direct ? CALLQUEUE_PROCESSING_BACKEND : CALLQUEUE_PROCESSED_PROXY;
    int64_t others = ask->server_count && !ask->direct ? (int64_t)ask->server_count - 1 : 0;
    const char *const fields[][2] = {
        {"campaign", ask->campaign_id}, {"region", ask->region_id},
        {"caller", ask->caller},        {"called", ask->called},
        {"source", ask->source},        {"login", ask->has_login ? "1" : "0"},
        {"servers", servers},           {ask->direct ? "node" : "proxy", queue->config.node_id},
    };
    add(args, ask->id);
    add(args, ask->business_id);
    add(args, ask->number_id);
    add(args, ask->call_id);
    add(args, ask->from_tag);
    add_number(args, ask->cseq);
    add_number(args, ask->max_calls);
    add_number(args, CALLQUEUE_LEASE_MS + others * CALLQUEUE_NEXT_MS);
    add_number(args, status);
    add(args, ask->refusal ? ask->refusal : "");
    add(args, ask->direct ? "came without a proxy" : "redirected by the proxy");
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        add(args, fields[i][0]);
        add(args, fields[i][1]);
    }
}

int callqueue_open(struct callqueue *queue, const struct callqueue_ask *ask,
                   void (*done)(int err, enum callqueue_verdict verdict, void *arg), void *arg) {
    struct opening *opening = malloc(sizeof *opening);
    char *servers = servers_json(queue, ask);
    int err = opening && servers ? 0 : -ENOMEM;
    if (!err) {
        *opening = (struct opening){done, arg};
        struct args args;
        begin(queue, &args);
        add_entry(&args, queue, ask, servers);
        err = run(queue, &callqueue_lua_open, &args, on_opened, opening);
    }
    if (err)
        free(opening);
    free(servers);
    return err;
}

// ---- the listener's claim

struct claiming {
    void (*done)(int err, const struct callqueue_claimed *claimed, void *arg);
    void *arg;
};

static const char *element(const struct redis_reply *reply, size_t i) {
    return reply->elements[i].type == REDIS_STRING ? reply->elements[i].str : "";
}

static void on_claimed(int err, const struct redis_reply *reply, void *arg) {
    struct claiming *claiming = arg;
    err = answer_error(err, reply, REDIS_ARRAY);
    if (!err && (reply->count != 5 || reply->elements[0].type != REDIS_INTEGER))
        err = -EPROTO;
    if (err) {
        claiming->done(err, NULL, claiming->arg);
    } else {
        const struct callqueue_claimed claimed = {.claim = (enum callqueue_claim)reply->elements[0].integer,
                                                  .business_id = element(reply, 1),
                                                  .number_id = element(reply, 2),
                                                  .campaign_id = element(reply, 3),
                                                  .region_id = element(reply, 4)};
        claiming->done(0, &claimed, claiming->arg);
    }
    free(claiming);
}

int callqueue_claim(struct callqueue *queue, const char *id, bool authorized,
                    void (*done)(int err, const struct callqueue_claimed *claimed, void *arg), void *arg) {
    struct claiming *claiming = malloc(sizeof *claiming);
    if (!claiming)
        return -ENOMEM;
    *claiming = (struct claiming){done, arg};
    struct args args;
    begin(queue, &args);
    add(&args, id);
    add(&args, queue->config.node_id);
    add(&args, queue->config.region_id);
    add_number(&args, CALLQUEUE_LEASE_MS);
    add_number(&args, authorized);
    int err = run(queue, &callqueue_lua_claim, &args, on_claimed, claiming);
    if (err)
        free(claiming);
    return err;
}

// ---- what becomes of it

void callqueue_note(struct callqueue *queue, const char *id, const char *text) {
    struct args args;
    begin(queue, &args);
    add(&args, id);
    add(&args, text);
    tell(queue, &callqueue_lua_note, &args);
}

void callqueue_answered(struct callqueue *queue, const char *id, const char *session_id) {
    struct args args;
    begin(queue, &args);
    add(&args, id);
    add(&args, session_id);
    tell(queue, &callqueue_lua_answered, &args);
}

void callqueue_over(struct callqueue *queue, const char *id, enum callqueue_status status, const char *text) {
    struct args args;
    begin(queue, &args);
    add(&args, id);
    add_number(&args, status);
    add(&args, text);
    tell(queue, &callqueue_lua_over, &args);
}

void callqueue_renew(struct callqueue *queue, const struct callqueue_lease *leases, size_t count) {
    enum { EACH = (MAX_ARGS - 3) / 7 };
    for (size_t done = 0; done < count;) {
        struct args args;
        begin(queue, &args);
        add_number(&args, CALLQUEUE_LEASE_MS);
        add(&args, queue->config.node_id);
        for (size_t i = 0; i < EACH && done < count; i++, done++) {
            const struct callqueue_lease *lease = &leases[done];
            add(&args, lease->id);
            add(&args, lease->business_id);
            add(&args, lease->number_id);
            add(&args, lease->call_id);
            add(&args, lease->caller);
            add(&args, lease->called);
            add_number(&args, lease->answered ? CALLQUEUE_PROCESSED_BACKEND : CALLQUEUE_PROCESSING_BACKEND);
        }
        tell(queue, &callqueue_lua_renew, &args);
    }
}

struct sweeping {
    struct callqueue *queue;
    void (*done)(int64_t expired, void *arg);
    void *arg;
};

static void on_swept(int err, const struct redis_reply *reply, void *arg) {
    struct sweeping *sweeping = arg;
    int64_t expired = answer_error(err, reply, REDIS_INTEGER) ? 0 : reply->integer;
    if (expired)
        log_warn(NULL, "callqueue",
                 "%" PRId64 " calls were given up: nobody took them, or their node is gone", expired);
    if (sweeping->done)
        sweeping->done(expired, sweeping->arg);
    if (expired >= CALLQUEUE_SWEEP_MOST)
        callqueue_sweep(sweeping->queue, NULL, NULL);
    free(sweeping);
}

void callqueue_sweep(struct callqueue *queue, void (*done)(int64_t expired, void *arg), void *arg) {
    struct sweeping *sweeping = malloc(sizeof *sweeping);
    if (!sweeping)
        return;
    *sweeping = (struct sweeping){queue, done, arg};
    struct args args;
    begin(queue, &args);
    add_number(&args, CALLQUEUE_SWEEP_MOST);
    if (run(queue, &callqueue_lua_sweep, &args, on_swept, sweeping) != 0)
        free(sweeping); // Redis is away; the next sweep does it
}

// ---- for the operator

struct listing {
    size_t offset;
    void (*done)(int err, json_t *page, void *arg);
    void *arg;
};

static void on_listed(int err, const struct redis_reply *reply, void *arg) {
    struct listing *listing = arg;
    err = answer_error(err, reply, REDIS_ARRAY);
    json_t *page = err ? NULL : callqueue_list_json(reply, listing->offset);
    listing->done(err ? err : page ? 0 : -EPROTO, page, listing->arg);
    json_decref(page);
    free(listing);
}

int callqueue_list(struct callqueue *queue, const struct callqueue_page *page,
                   void (*done)(int err, json_t *page, void *arg), void *arg) {
    struct listing *listing = malloc(sizeof *listing);
    if (!listing)
        return -ENOMEM;
    *listing = (struct listing){page->offset, done, arg};
    struct args args;
    begin(queue, &args);
    add_number(&args, page->status);
    add_number(&args, (int64_t)page->offset);
    add_number(&args, (int64_t)(page->limit < CALLQUEUE_PAGE_MAX ? page->limit : CALLQUEUE_PAGE_MAX));
    int err = run(queue, &callqueue_lua_list, &args, on_listed, listing);
    if (err)
        free(listing);
    return err;
}
