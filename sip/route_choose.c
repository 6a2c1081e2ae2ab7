// SPDX-License-Identifier: Apache-2.0
#include "sip/route.h"

#include <stdio.h>
#include <string.h>

// A node without a limit counts as one with so many places. Above so much load it is half as good for each.
enum { UNLIMITED_CALLS = 1000, BUSY_PERCENT = 85 };

static const struct conf_region *find_region(const struct conf *conf, const char *id) {
    for (size_t i = 0; i < conf->region_count; i++) {
        if (strcmp(conf->regions[i].id, id) == 0)
            return &conf->regions[i];
    }
    return NULL;
}

static const struct conf_server *find_server(const struct conf_region *region, const char *id) {
    for (size_t i = 0; i < region->server_count; i++) {
        if (strcmp(region->servers[i].id, id) == 0)
            return &region->servers[i];
    }
    return NULL;
}

// max - 1.5 x active, in halves of a call, so that it stays a whole number.
static int64_t score_of(const struct route_node *node) {
    int64_t max = node->max_calls ? node->max_calls : UNLIMITED_CALLS;
    int64_t score = 2 * max - 3 * node->calls;
    if (node->cpu_percent > BUSY_PERCENT)
        score -= max;
    if (node->memory_percent > BUSY_PERCENT)
        score -= max;
    return score;
}

static bool is_better(const struct route_node *a, const struct route_node *b) {
    int64_t score_a = score_of(a), score_b = score_of(b);
    if (score_a != score_b)
        return score_a > score_b;
    if (a->calls != b->calls)
        return a->calls < b->calls;
    return strcmp(a->id, b->id) < 0;
}

static bool can_take(const struct route_node *node, const struct conf_region *region, bool admin) {
    const struct conf_server *server = find_server(region, node->id);
    if (strcmp(node->region_id, region->id) != 0 || !node->accepting)
        return false;
    if (node->max_calls && node->calls >= node->max_calls)
        return false;
    if (server && (!server->enabled || (server->development && !admin)))
        return false;
    return (server && *server->endpoint) || (*node->endpoint && node->port);
}

// Into the places best first; the last one falls out when there are more.
static void insert(struct route_choice *choice, const struct route_node *nodes, size_t index) {
    size_t at = choice->count;
    while (at > 0 && is_better(&nodes[index], &nodes[choice->nodes[at - 1]]))
        at--;
    if (at == SIP_MAX_BACKENDS)
        return;
    if (choice->count < SIP_MAX_BACKENDS)
        choice->count++;
    memmove(&choice->nodes[at + 1], &choice->nodes[at], (choice->count - at - 1) * sizeof choice->nodes[0]);
    choice->nodes[at] = index;
}

static void fill_backends(struct route_choice *choice, const struct conf_region *region,
                          const struct route_node *nodes) {
    for (size_t i = 0; i < choice->count; i++) {
        const struct route_node *node = &nodes[choice->nodes[i]];
        const struct conf_server *server = find_server(region, node->id);
        bool said = server && *server->endpoint;
        struct sip_backend *backend = &choice->backends[i];
        snprintf(backend->endpoint, sizeof backend->endpoint, "%s", said ? server->endpoint : node->endpoint);
        backend->port = said ? (uint16_t)server->sip_port : node->port;
        backend->tls_port = said ? (uint16_t)server->sip_tls_port : node->tls_port;
    }
}

static bool choose_in(const struct conf_region *region, bool admin, const struct route_node *nodes,
                      size_t node_count, struct route_choice *choice) {
    choice->count = 0;
    for (size_t i = 0; i < node_count; i++) {
        if (can_take(&nodes[i], region, admin))
            insert(choice, nodes, i);
    }
    fill_backends(choice, region, nodes);
    return choice->count > 0;
}

bool route_choose(const struct conf *conf, const char *region_id, bool admin, const struct route_node *nodes,
                  size_t node_count, struct route_choice *choice, struct route_refusal *refusal) {
    const struct conf_region *region = find_region(conf, region_id);
    if (!region || !region->enabled) {
        *refusal = (struct route_refusal){503, "Region not enabled"};
        return false;
    }
    struct route_choice made;
    bool some = choose_in(region, admin, nodes, node_count, &made);
    for (size_t i = 0; !some && i < region->fallback_region_ids.count; i++) {
        const struct conf_region *next = find_region(conf, region->fallback_region_ids.items[i]);
        some = next && next->enabled && choose_in(next, admin, nodes, node_count, &made);
    }
    if (some)
        *choice = made;
    else
        *refusal = (struct route_refusal){503, "No Available Servers"};
    return some;
}
