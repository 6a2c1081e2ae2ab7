// SPDX-License-Identifier: Apache-2.0
//
// The proxy's question: which servers take this call? The answer waits for Redis, which counts the plan and keeps
// the entry.
#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "gateway/trunks_impl.h"
#include "signaling/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_S = 5 };

// One question on its way.
struct trunk_route {
    struct trunk_key key; // first
    struct trunks *trunks;
    struct sip_verdict verdict;
    char nodes[SIP_MAX_BACKENDS][64]; // whose backends those are
    bool gone;                        // nobody waits for the verdict any more
};

static void verdict_refuse(struct sip_verdict *verdict, unsigned status, const char *reason) {
    verdict->status = status;
    snprintf(verdict->reason, sizeof verdict->reason, "%s", reason);
}

static void route_answer(struct trunk_route *route) {
    struct trunks *trunks = route->trunks;
    struct sip_verdict *verdict = malloc(sizeof *verdict);
    if (verdict)
        *verdict = route->verdict;
    // Without memory the proxy's own time runs out, which refuses the call.
    if (verdict && !route->gone)
        trunks_post(trunks, SIP_ROUTED, route->key.handle, verdict, free);
    else
        free(verdict);
    trunk_map_take(&trunks->routes, &route->key);
    free(route);
}

static void on_opened(int err, enum callqueue_verdict verdict, void *arg) {
    struct trunk_route *route = arg;
    if (err) {
        log_error(route->verdict.queue_id, "trunks", "no call queue entry (%s)", err_name(err));
        verdict_refuse(&route->verdict, 500, "Unable to create call queue entry");
        route->verdict.retry_after_s = RETRY_S;
    } else if (verdict == CALLQUEUE_DUPLICATE) {
        verdict_refuse(&route->verdict, 482, "Call already exists");
    } else if (verdict == CALLQUEUE_FULL) {
        verdict_refuse(&route->verdict, 503, "Concurrency limit reached");
        route->verdict.retry_after_s = RETRY_S;
    } else if (verdict == CALLQUEUE_OK) {
        nodes_sent(route->trunks->config.nodes, route->nodes[0]);
    }
    log_info(route->verdict.queue_id, "trunks", "%u %s%s%s", route->verdict.status, route->verdict.reason,
             route->verdict.status == 302 ? ": " : "",
             route->verdict.status == 302 ? route->verdict.backends[0].endpoint : "");
    route_answer(route);
}

static size_t list_nodes(const struct trunks *trunks, struct route_node out[NODES_MAX]) {
    const struct node *alive[NODES_MAX];
    size_t count = nodes_alive(trunks->config.nodes, alive, NODES_MAX);
    for (size_t i = 0; i < count; i++)
        out[i] = (struct route_node){.id = alive[i]->id,
                                     .region_id = alive[i]->region_id,
                                     .endpoint = alive[i]->endpoint,
                                     .port = alive[i]->port,
                                     .tls_port = alive[i]->tls_port,
                                     .accepting = alive[i]->accepting,
                                     .max_calls = alive[i]->capacity,
                                     .calls = alive[i]->calls,
                                     .cpu_percent = alive[i]->cpu_percent,
                                     .memory_percent = alive[i]->memory_percent};
    return count;
}

// Fills in the verdict and the servers of the entry; false and the verdict says why there are none.
static bool choose(struct trunk_route *route, const struct sip_route_ask *ask, bool admin,
                   struct callqueue_server servers[SIP_MAX_BACKENDS]) {
    struct sip_verdict *verdict = &route->verdict;
    struct route_node nodes[NODES_MAX];
    struct route_choice choice;
    struct route_refusal refusal;
    size_t count = list_nodes(route->trunks, nodes);
    if (!route_choose(route->trunks->conf, ask->region_id, admin, nodes, count, &choice, &refusal)) {
        verdict_refuse(verdict, refusal.status, refusal.reason);
        return false;
    }
    verdict_refuse(verdict, 302, "Redirecting to Media Server");
    verdict->backend_count = choice.count;
    for (size_t i = 0; i < choice.count; i++) {
        const struct route_node *node = &nodes[choice.nodes[i]];
        verdict->backends[i] = choice.backends[i];
        snprintf(route->nodes[i], sizeof route->nodes[i], "%s", node->id);
        servers[i] = (struct callqueue_server){.node_id = route->nodes[i],
                                               .region_id = node->region_id,
                                               .endpoint = verdict->backends[i].endpoint,
                                               .port = verdict->backends[i].port};
    }
    return true;
}

static void route_open(struct trunk_route *route, const struct sip_route_ask *ask) {
    struct trunks *trunks = route->trunks;
    struct sip_verdict *verdict = &route->verdict;
    const struct conf_business *business = NULL;
    const struct conf_number *number =
        trunks_number(trunks, ask->request.business_id, ask->number_id, &business);
    if (!number) { // taken out of the configuration this very moment
        verdict_refuse(verdict, 404, "Number Not Found");
        route_answer(route);
        return;
    }
    struct callqueue_server servers[SIP_MAX_BACKENDS];
    bool chosen = choose(route, ask, business->admin, servers);
    const struct callqueue_ask queue_ask = {.id = verdict->queue_id,
                                            .business_id = business->id,
                                            .number_id = number->id,
                                            .campaign_id = number->campaign_id,
                                            .region_id = number->region_id,
                                            .call_id = ask->request.call_id,
                                            .from_tag = ask->request.from_tag,
                                            .cseq = ask->request.cseq,
                                            .caller = ask->request.caller,
                                            .called = ask->request.called,
                                            .source = ask->request.source,
                                            .max_calls = business->max_concurrent_calls,
                                            .has_login = number->override_sip_username[0] != '\0',
                                            .servers = servers,
                                            .server_count = verdict->backend_count,
                                            .refusal = chosen ? NULL : verdict->reason};
    int err = callqueue_open(trunks->config.queue, &queue_ask, on_opened, route);
    if (err)
        on_opened(err, CALLQUEUE_REFUSED, route);
}

void trunk_route_ask(struct trunks *trunks, uint64_t handle, const struct sip_route_ask *ask) {
    struct trunk_route *route = calloc(1, sizeof *route);
    if (!route)
        return; // the proxy's own time runs out
    route->trunks = trunks;
    trunk_map_put(&trunks->routes, &route->key, handle);
    int err = auth_random_id("call_", route->verdict.queue_id, sizeof route->verdict.queue_id);
    if (err) {
        verdict_refuse(&route->verdict, 500, "Unable to create call queue entry");
        route_answer(route);
        return;
    }
    log_info(route->verdict.queue_id, "trunks", "%s calls %s (Call-ID %s, from %s)", ask->request.caller,
             ask->request.called, ask->request.call_id, ask->request.source);
    route_open(route, ask);
}

// Redis carries commands out in their order: this one comes after the entry is there.
void trunk_route_gone(struct trunks *trunks, uint64_t handle) {
    struct trunk_route *route = trunk_map_get(&trunks->routes, handle);
    if (!route || route->gone)
        return;
    route->gone = true;
    callqueue_over(trunks->config.queue, route->verdict.queue_id, CALLQUEUE_CANCELED,
                   "the caller gave up before the redirect");
}
