// SPDX-License-Identifier: Apache-2.0
#include "middleware/webhook.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "middleware/address.h"
#include "middleware/json_limit.h"
#include "middleware/platform.h"
#include "middleware/tries.h"
#include "signaling/auth.h"

#include <stdlib.h>
#include <string.h>

enum { TOKEN_SIZE = 1024 };

static const struct http_header_field retry_soon = {"Retry-After", "5"};
static const struct http_header_field retry_in_a_minute = {"Retry-After", "60"};

struct webhook {
    uv_loop_t *loop;         // borrowed, for its clock
    const struct conf *conf; // borrowed
    struct webhook_events events;
    struct tries wrong_tokens;
};

int webhook_parse(struct span body, char id[WEBHOOK_ID_MAX + 1]) {
    static const char name[] = "ConversationSessionId";
    json_t *root = json_load_limited(body, NULL);
    const json_t *value = platform_field(root, name);
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    size_t len = json_string_length(value);
    bool good = len && len <= WEBHOOK_ID_MAX && platform_field_count(root, name) == 1;
    for (size_t i = 0; i < len && good; i++)
        good = text[i] > ' ' && text[i] < 0x7f;
    if (good)
        memcpy(id, text, len + 1);
    json_decref(root);
    return good ? 0 : -EINVAL;
}

static void reply_empty(struct http_exchange *exchange, unsigned status,
                        const struct http_header_field *header) {
    http_reply(exchange, status, NULL, NULL, 0, header, header ? 1 : 0);
}

static void on_done(int err, void *arg) {
    struct http_exchange *exchange = arg;
    if (!err) {
        metric_add(METRIC_WEBHOOK_ENDED, 1);
        reply_empty(exchange, 200, NULL);
    } else if (err == -ENOENT) {
        metric_add(METRIC_WEBHOOK_UNKNOWN, 1);
        http_reply_message(exchange, 400, "No session found for ConversationSessionId.");
    } else {
        metric_add(METRIC_WEBHOOK_FAILED, 1);
        log_warn(NULL, "webhook", "session end not taken: %s", err_name(err));
        reply_empty(exchange, 503, &retry_soon);
    }
}

static bool allowed(const struct webhook *webhook, struct http_exchange *exchange) {
    char token[TOKEN_SIZE];
    const char *wanted = webhook->conf->security.webhook_api_token;
    return http_header(exchange, "x-api-token:", token, sizeof token) && *wanted && auth_equal(token, wanted);
}

static void refuse(struct webhook *webhook, const struct http_request *request) {
    char source[ADDRESS_KEY_SIZE] = "";
    metric_add(METRIC_WEBHOOK_UNAUTHORIZED, 1);
    (void)address_key(request->client_address, source); // what is no address shares one count
    if (!tries_count(&webhook->wrong_tokens, source, uv_now(webhook->loop))) {
        reply_empty(request->exchange, 429, &retry_in_a_minute);
        return;
    }
    log_warn(NULL, "webhook", "refused %s: %s", request->client_address,
             *webhook->conf->security.webhook_api_token
                 ? "its X-Api-Token is missing or not Security.WebhookApiToken"
                 : "Security.WebhookApiToken is not set");
    reply_empty(request->exchange, 401, NULL);
}

static void on_session_ended(const struct http_request *request, void *arg) {
    struct webhook *webhook = arg;
    char id[WEBHOOK_ID_MAX + 1];
    if (!allowed(webhook, request->exchange)) {
        refuse(webhook, request);
        return;
    }
    if (webhook_parse(request->body, id) != 0) {
        metric_add(METRIC_WEBHOOK_INVALID, 1);
        http_reply_message(request->exchange, 400, "Invalid or missing ConversationSessionId.");
        return;
    }
    webhook->events.on_ended(id, on_done, request->exchange, webhook->events.arg);
}

int webhook_new(struct webhook **out, uv_loop_t *loop, const struct conf *conf,
                const struct webhook_events *events) {
    struct webhook *webhook = calloc(1, sizeof *webhook);
    if (!webhook)
        return -ENOMEM;
    webhook->loop = loop;
    webhook->conf = conf;
    webhook->events = *events;
    *out = webhook;
    return 0;
}

void webhook_set_conf(struct webhook *webhook, const struct conf *conf) {
    webhook->conf = conf;
}

void webhook_free(struct webhook *webhook) {
    free(webhook);
}

void webhook_routes(struct webhook *webhook, struct http_route out[WEBHOOK_ROUTES]) {
    out[0] = (struct http_route){"POST", "/api/webhook/session-ended", on_session_ended, webhook};
}
