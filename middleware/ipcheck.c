// SPDX-License-Identifier: Apache-2.0
//
//   ask -> [private, off: allowed] -> lookup of this address, shared -> Redis: facts, or a failure kept
//       -> [breaker] -> IpApi, a few at once -> Redis -> rules of the conf -> done of all who wait
#include "middleware/ipcheck.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "middleware/address.h"
#include "middleware/breaker.h"
#include "middleware/json_limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    IN_FLIGHT_MAX = 16,
    WAITING_MAX = 1000, // requests, whatever they wait for; more are answered as by a service that is down
    FAILURE_KEPT_S = 60,
    DAY_S = 86400,
    URL_MAX = 2048,
    KEY_SIZE = 32 + ADDRESS_KEY_SIZE,
};

static const char failure_kept[] = "failed";

struct waiter {
    struct waiter *next;
    void (*done)(const struct ipcheck_verdict *verdict, void *arg);
    void *arg;
};

enum lookup_stage { LOOKUP_CACHE, LOOKUP_QUEUED, LOOKUP_ASKED };

// What is being found out about one address.
struct lookup {
    struct ipcheck *ipcheck;
    struct lookup *next;
    enum lookup_stage stage;
    uint64_t since_ms;
    char address[ADDRESS_KEY_SIZE]; // of the first who asked
    char key[KEY_SIZE];             // in Redis
    struct waiter *waiters, **last; // in the order they came
};

struct ipcheck {
    uv_loop_t *loop;         // borrowed, for its clock
    const struct conf *conf; // borrowed
    struct httpc *client;    // borrowed
    struct redis *redis;     // borrowed, may be NULL
    struct breaker breaker;
    struct lookup *lookups, **last; // oldest first
    unsigned in_flight, waiting;
};

// ---- facts and rules

static const struct rule {
    const char *field;   // of the service
    const char *message; // of the 403
    size_t fact, block;  // where in the facts, where in the conf
    enum metric metric;
    bool required; // an answer without it is none
} rules[] = {
    {"is_vpn", "VPN detected.", offsetof(struct ipcheck_facts, vpn),
     offsetof(struct conf, security.block_vpn), METRIC_IPCHECK_VPN, true},
    {"is_proxy", "Proxy detected.", offsetof(struct ipcheck_facts, proxy),
     offsetof(struct conf, security.block_proxy), METRIC_IPCHECK_PROXY, true},
    {"is_datacenter", "Datacenter IP detected.", offsetof(struct ipcheck_facts, datacenter),
     offsetof(struct conf, security.block_datacenter), METRIC_IPCHECK_DATACENTER, true},
    {"is_tor", "Tor exit node detected.", offsetof(struct ipcheck_facts, tor),
     offsetof(struct conf, security.block_tor), METRIC_IPCHECK_TOR, false},
    {"is_abuser", "Abusive IP detected.", offsetof(struct ipcheck_facts, abuser),
     offsetof(struct conf, security.block_abuser), METRIC_IPCHECK_ABUSER, false},
};
enum { RULE_COUNT = sizeof rules / sizeof rules[0] };

static bool *fact_of(const struct ipcheck_facts *facts, const struct rule *rule) {
    return (bool *)((char *)facts + rule->fact);
}

static int read_facts(const json_t *root, struct ipcheck_facts *out, struct err_text *err) {
    struct ipcheck_facts facts = {.vpn = false};
    for (size_t i = 0; i < RULE_COUNT; i++) {
        const json_t *value = json_object_get(root, rules[i].field);
        if (value && !json_is_boolean(value))
            return err_set(err, -EPROTO, "%s is neither true nor false", rules[i].field);
        if (!value && rules[i].required)
            return err_set(err, -EPROTO, "%s is missing", rules[i].field);
        *fact_of(&facts, &rules[i]) = json_is_true(value);
    }
    *out = facts;
    return 0;
}

int ipcheck_parse(const char *text, size_t len, struct ipcheck_facts *out, struct err_text *err) {
    json_t *root = json_load_limited(span_of(text, len), NULL);
    int rc = json_is_object(root) ? read_facts(root, out, err)
                                  : err_set(err, -EPROTO, "it is no JSON object (%zu bytes)", len);
    json_decref(root);
    return rc;
}

static const struct rule *broken_rule(const struct conf *conf, const struct ipcheck_facts *facts) {
    for (size_t i = 0; i < RULE_COUNT; i++) {
        bool block = *(const bool *)((const char *)conf + rules[i].block);
        if (block && *fact_of(facts, &rules[i]))
            return &rules[i];
    }
    return NULL;
}

struct ipcheck_verdict ipcheck_judge(const struct conf *conf, const struct ipcheck_facts *facts) {
    const struct rule *rule = broken_rule(conf, facts);
    return (struct ipcheck_verdict){.allowed = !rule, .message = rule ? rule->message : ""};
}

// ---- a lookup's life

static void lookup_advance(struct ipcheck *ipcheck);

static void unlink_lookup(struct lookup *lookup) {
    struct ipcheck *ipcheck = lookup->ipcheck;
    struct lookup **at = &ipcheck->lookups;
    while (*at != lookup)
        at = &(*at)->next;
    *at = lookup->next;
    if (!*at)
        ipcheck->last = at;
}

// `facts` is NULL when nobody knows. It is unlinked first, since a waiter may ask again.
static void lookup_finish(struct lookup *lookup, const struct ipcheck_facts *facts) {
    struct ipcheck *ipcheck = lookup->ipcheck;
    struct ipcheck_verdict verdict = {.allowed = ipcheck->conf->ip_api.fail_open,
                                      .message = "Could not verify IP address."};
    enum metric metric = METRIC_IPCHECK_UNKNOWN;
    if (facts) {
        const struct rule *rule = broken_rule(ipcheck->conf, facts);
        metric = rule ? rule->metric : METRIC_IPCHECK_ALLOWED;
        verdict = ipcheck_judge(ipcheck->conf, facts);
    }
    if (verdict.allowed)
        verdict.message = "";
    unlink_lookup(lookup);
    while (lookup->waiters) {
        struct waiter *waiter = lookup->waiters;
        lookup->waiters = waiter->next;
        ipcheck->waiting--;
        metric_add(metric, 1);
        waiter->done(&verdict, waiter->arg);
        free(waiter);
    }
    free(lookup);
}

// ---- Redis

static void keep(struct lookup *lookup, const char *value, int64_t seconds) {
    struct ipcheck *ipcheck = lookup->ipcheck;
    char number[24];
    if (!ipcheck->redis || !ipcheck->conf->security.enable_ip_api_cache || seconds <= 0)
        return;
    const struct redis_arg args[] = {redis_str("SET"), redis_str(lookup->key), redis_str(value),
                                     redis_str("EX"), redis_int(seconds, number)};
    redis_command(ipcheck->redis, args, sizeof args / sizeof args[0], NULL, NULL); // lost: asked again
}

static void keep_facts(struct lookup *lookup, const struct ipcheck_facts *facts) {
    json_t *root = json_object();
    for (size_t i = 0; root && i < RULE_COUNT; i++)
        json_object_set_new(root, rules[i].field, json_boolean(*fact_of(facts, &rules[i])));
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    if (text)
        keep(lookup, text, lookup->ipcheck->conf->security.ip_api_cache_duration_days * DAY_S);
    free(text);
    json_decref(root);
}

static void lookup_queue(struct lookup *lookup) {
    lookup->stage = LOOKUP_QUEUED;
    lookup_advance(lookup->ipcheck);
}

static void on_cached(int err, const struct redis_reply *reply, void *arg) {
    struct lookup *lookup = arg;
    struct ipcheck_facts facts;
    bool there = !err && reply->type == REDIS_STRING;
    bool failed = there && strcmp(reply->str, failure_kept) == 0;
    bool known = there && !failed && ipcheck_parse(reply->str, reply->len, &facts, NULL) == 0;
    metric_add(known || failed ? METRIC_IPCHECK_CACHE_HIT : METRIC_IPCHECK_CACHE_MISS, 1);
    if (known || failed)
        lookup_finish(lookup, known ? &facts : NULL);
    else
        lookup_queue(lookup);
}

static void lookup_start(struct lookup *lookup) {
    struct ipcheck *ipcheck = lookup->ipcheck;
    const struct redis_arg args[] = {redis_str("GET"), redis_str(lookup->key)};
    bool cached = ipcheck->redis && ipcheck->conf->security.enable_ip_api_cache;
    if (!cached || redis_command(ipcheck->redis, args, 2, on_cached, lookup) != 0)
        lookup_queue(lookup);
}

// ---- the service

static void tell_breaker(struct ipcheck *ipcheck, bool good) {
    metric_add(good ? METRIC_IPCHECK_LOOKUP_OK : METRIC_IPCHECK_LOOKUP_FAILED, 1);
    if (!breaker_outcome(&ipcheck->breaker, good, uv_now(ipcheck->loop)))
        return;
    bool open = ipcheck->breaker.open;
    metric_add(METRIC_IPCHECK_BREAKER, open ? 1 : -1);
    if (open)
        log_warn(NULL, "ipcheck", "IpApi failed %d times in a row: it is asked again in %d s",
                 BREAKER_FAILURES, BREAKER_REST_MS / 1000);
    else
        log_info(NULL, "ipcheck", "IpApi answers again");
}

// The texts of libcurl may hold the host, never the path or the query, where the key is.
static int take_response(const struct httpc_response *response, struct ipcheck_facts *facts) {
    struct err_text why = {.text = ""};
    int err = response->err;
    if (err)
        err_set(&why, err, "%s", err_name(err));
    else if (response->status != 200)
        err = err_set(&why, -EREMOTEIO, "HTTP %ld", response->status);
    else
        err = ipcheck_parse(response->body, response->body_len, facts, &why);
    if (err && err != -ECANCELED)
        log_warn(NULL, "ipcheck", "no use of IpApi's answer: %s", why.text);
    return err;
}

static void on_response(const struct httpc_response *response, void *arg) {
    struct lookup *lookup = arg;
    struct ipcheck *ipcheck = lookup->ipcheck;
    struct ipcheck_facts facts;
    int err = take_response(response, &facts);
    ipcheck->in_flight--;
    metric_add(METRIC_IPCHECK_LOOKUPS_NOW, -1);
    if (err != -ECANCELED)
        tell_breaker(ipcheck, !err);
    if (!err)
        keep_facts(lookup, &facts);
    else if (err != -ECANCELED)
        keep(lookup, failure_kept, FAILURE_KEPT_S);
    lookup_finish(lookup, err ? NULL : &facts);
    lookup_advance(ipcheck);
}

// `text` as a query value (RFC 3986, 2.3). False when it does not fit.
static bool add_escaped(char *url, const char *text) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t n = strlen(url);
    for (; *text && n + 4 <= URL_MAX; text++) {
        if (strchr(plain, *text))
            n += (size_t)snprintf(url + n, URL_MAX - n, "%c", *text);
        else
            n += (size_t)snprintf(url + n, URL_MAX - n, "%%%02X", (unsigned char)*text);
    }
    return !*text;
}

static bool make_url(const struct lookup *lookup, char url[URL_MAX]) {
    const struct conf *conf = lookup->ipcheck->conf;
    int n = snprintf(url, URL_MAX, "%s%sq=", conf->ip_api.base_url,
                     strchr(conf->ip_api.base_url, '?') ? "&" : "?");
    if (n < 0 || n >= URL_MAX || !add_escaped(url, lookup->address))
        return false;
    if (!*conf->ip_api.api_key)
        return true;
    size_t len = strlen(url);
    snprintf(url + len, URL_MAX - len, "&key=");
    return add_escaped(url, conf->ip_api.api_key);
}

static int lookup_send(struct lookup *lookup) {
    char url[URL_MAX];
    const char *const headers[] = {"Accept: application/json"};
    if (!make_url(lookup, url))
        return -ENOBUFS;
    const struct httpc_request request = {
        .method = "GET", .url = url, .headers = headers, .header_count = 1, .timeout_ms = IPCHECK_TIMEOUT_MS};
    return httpc_send(lookup->ipcheck->client, &request, on_response, lookup);
}

static struct lookup *next_queued(const struct ipcheck *ipcheck) {
    struct lookup *lookup = ipcheck->lookups;
    while (lookup && lookup->stage != LOOKUP_QUEUED)
        lookup = lookup->next;
    return lookup;
}

// Sends what may be sent, and answers at once what waited too long for its turn, or would wait for a service
// that is down.
static void lookup_advance(struct ipcheck *ipcheck) {
    uint64_t now_ms = uv_now(ipcheck->loop);
    struct lookup *lookup;
    while (ipcheck->in_flight < IN_FLIGHT_MAX && (lookup = next_queued(ipcheck))) {
        bool late = now_ms > lookup->since_ms + IPCHECK_TIMEOUT_MS;
        if (late || !breaker_allows(&ipcheck->breaker, now_ms)) {
            lookup_finish(lookup, NULL);
            continue;
        }
        lookup->stage = LOOKUP_ASKED;
        int err = lookup_send(lookup);
        if (!err) {
            ipcheck->in_flight++;
            metric_add(METRIC_IPCHECK_LOOKUPS_NOW, 1);
            continue;
        }
        if (err != -ECANCELED) {
            log_error(NULL, "ipcheck", "IpApi not asked: %s", err_name(err));
            tell_breaker(ipcheck, false);
        }
        lookup_finish(lookup, NULL);
    }
}

// ---- public

int ipcheck_new(struct ipcheck **out, uv_loop_t *loop, const struct conf *conf, struct httpc *client,
                struct redis *redis) {
    struct ipcheck *ipcheck = calloc(1, sizeof *ipcheck);
    if (!ipcheck)
        return -ENOMEM;
    ipcheck->loop = loop;
    ipcheck->conf = conf;
    ipcheck->client = client;
    ipcheck->redis = redis;
    ipcheck->last = &ipcheck->lookups;
    *out = ipcheck;
    return 0;
}

void ipcheck_set_conf(struct ipcheck *ipcheck, const struct conf *conf) {
    ipcheck->conf = conf;
    breaker_end_rest(&ipcheck->breaker);
}

void ipcheck_free(struct ipcheck *ipcheck) {
    if (ipcheck && ipcheck->breaker.open)
        metric_add(METRIC_IPCHECK_BREAKER, -1);
    free(ipcheck);
}

static struct lookup *lookup_find(const struct ipcheck *ipcheck, const char *key) {
    struct lookup *lookup = ipcheck->lookups;
    while (lookup && strcmp(lookup->key, key) != 0)
        lookup = lookup->next;
    return lookup;
}

static struct lookup *lookup_new(struct ipcheck *ipcheck, const char *address, const char *key) {
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return NULL;
    lookup->ipcheck = ipcheck;
    lookup->since_ms = uv_now(ipcheck->loop);
    lookup->last = &lookup->waiters;
    // What the key is of, without the scope id that IpApi would not understand.
    snprintf(lookup->address, sizeof lookup->address, "%.*s", (int)strcspn(address, "%"), address);
    snprintf(lookup->key, sizeof lookup->key, "%s", key);
    *ipcheck->last = lookup;
    ipcheck->last = &lookup->next;
    return lookup;
}

// Joins the lookup of this address. False when there is too much to do or no memory.
static bool wait_for(struct ipcheck *ipcheck, const char *address, const char *key,
                     void (*done)(const struct ipcheck_verdict *, void *), void *arg) {
    struct waiter *waiter = ipcheck->waiting < WAITING_MAX ? calloc(1, sizeof *waiter) : NULL;
    struct lookup *shared = lookup_find(ipcheck, key);
    struct lookup *lookup = !shared && waiter ? lookup_new(ipcheck, address, key) : shared;
    if (!waiter || !lookup) {
        free(waiter);
        return false;
    }
    waiter->done = done;
    waiter->arg = arg;
    *lookup->last = waiter;
    lookup->last = &waiter->next;
    ipcheck->waiting++;
    if (!shared)
        lookup_start(lookup);
    return true;
}

void ipcheck_ask(struct ipcheck *ipcheck, const char *address,
                 void (*done)(const struct ipcheck_verdict *verdict, void *arg), void *arg) {
    char network[ADDRESS_KEY_SIZE], key[KEY_SIZE];
    const struct ipcheck_verdict allowed = {.allowed = true, .message = ""};
    if (!ipcheck->conf->security.enable_ip_api_check || address_is_private(address)) {
        done(&allowed, arg);
        return;
    }
    if (address_key(address, network) == 0) {
        snprintf(key, sizeof key, "ipcheck:facts:%s", network);
        if (wait_for(ipcheck, address, key, done, arg))
            return;
    }
    bool open = ipcheck->conf->ip_api.fail_open;
    const struct ipcheck_verdict unknown = {.allowed = open,
                                            .message = open ? "" : "Could not verify IP address."};
    metric_add(METRIC_IPCHECK_UNKNOWN, 1);
    done(&unknown, arg);
}
