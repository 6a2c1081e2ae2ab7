// SPDX-License-Identifier: Apache-2.0
#include "gateway/sip_doors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT = 20, MAX_OFFSET = 1000000, VALUE_BYTES = 32 };

// ---- the page that is asked for

static bool query_value(const char *query, const char *name, char out[VALUE_BYTES]) {
    size_t name_len = strlen(name);
    for (const char *at = query; *at; at += strcspn(at, "&"), at += *at == '&') {
        if (strncmp(at, name, name_len) != 0 || at[name_len] != '=')
            continue;
        const char *value = at + name_len + 1;
        int len = (int)strcspn(value, "&");
        snprintf(out, VALUE_BYTES, "%.*s", len, value);
        return len < VALUE_BYTES;
    }
    return false;
}

static bool number(const char *query, const char *name, unsigned long max, size_t *out) {
    char text[VALUE_BYTES], *end;
    if (!query_value(query, name, text))
        return true;
    unsigned long value = strtoul(text, &end, 10);
    if (!*text || *text == '-' || *end || value > max)
        return false;
    *out = value;
    return true;
}

bool sip_doors_page(const char *query, struct callqueue_page *out, const char **why) {
    char text[VALUE_BYTES];
    struct callqueue_page page = {.status = -1, .limit = LIMIT};
    enum callqueue_status status = CALLQUEUE_QUEUED;
    bool filtered = query_value(query, "status", text) && *text;
    *why = NULL;
    if (filtered && callqueue_status_parse(text, &status) != 0)
        *why = "status is none of Queued, ProcessingProxy, ProcessedProxy, ProcessingBackend, "
               "ProcessedBackend, Failed, Canceled, Expired.";
    else if (!number(query, "offset", MAX_OFFSET, &page.offset))
        *why = "offset is no number up to 1000000.";
    else if (!number(query, "limit", CALLQUEUE_PAGE_MAX, &page.limit) || !page.limit)
        *why = "limit is no number from 1 to 100.";
    if (*why)
        return false;
    if (filtered)
        page.status = (int)status;
    *out = page;
    return true;
}

// ---- the doors

static void reply(struct http_exchange *exchange, const json_t *body) {
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    if (text)
        http_reply_json(exchange, 200, text);
    else
        http_reply_message(exchange, 500, "Out of memory.");
    free(text);
}

static void on_page(int err, json_t *page, void *arg) {
    struct http_exchange *exchange = arg;
    if (err)
        http_reply_message(exchange, 503, "Redis is away.");
    else
        reply(exchange, page);
}

static void on_queue(const struct http_request *request, void *arg) {
    const struct sip_doors *doors = arg;
    struct callqueue_page page;
    const char *why;
    if (!doors_admin_allowed(doors->doors, request))
        return;
    if (!sip_doors_page(request->query, &page, &why)) {
        http_reply_message(request->exchange, 400, why);
        return;
    }
    int err = callqueue_list(telephony_queue(doors->telephony), &page, on_page, request->exchange);
    if (err)
        on_page(err, NULL, request->exchange);
}

static void on_nodes(const struct http_request *request, void *arg) {
    const struct sip_doors *doors = arg;
    if (!doors_admin_allowed(doors->doors, request))
        return;
    json_t *list = nodes_json(telephony_nodes(doors->telephony));
    reply(request->exchange, list);
    json_decref(list);
}

void sip_doors_routes(struct sip_doors *doors, struct http_route out[SIP_DOORS_ROUTES]) {
    out[0] = (struct http_route){"GET", "/api/admin/queue", on_queue, doors};
    out[1] = (struct http_route){"GET", "/api/admin/nodes", on_nodes, doors};
}
