// SPDX-License-Identifier: Apache-2.0
#include "middleware/platform.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// The middleware's client transports; the gateway itself always takes the agent's audio over a WebSocket.
enum { TRANSPORT_WEBSOCKET = 0, FALLBACK_QUALITY = 1 };

struct query {
    void (*on_done)(int err, const struct platform_session *session, void *arg);
    void *arg;
    uint64_t sent_ns; // CLOCK_MONOTONIC
    char *token;      // to keep it out of the log even when the platform repeats it
};

struct platform_format platform_format_of(enum conf_encoding encoding, uint32_t rate_hz) {
    static const struct platform_format formats[] = {
        [CONF_PCM] = {.encoding = PLATFORM_PCM, .bits = 16},
        [CONF_MULAW] = {.encoding = PLATFORM_MULAW, .bits = 8},
        [CONF_ALAW] = {.encoding = PLATFORM_ALAW, .bits = 8},
        [CONF_G722] = {.encoding = PLATFORM_G722, .bits = 16},
        [CONF_OPUS] = {.encoding = PLATFORM_OPUS, .bits = 16},
    };
    struct platform_format format = formats[encoding];
    format.rate_hz = rate_hz;
    return format;
}

json_t *platform_field(const json_t *object, const char *name) {
    const char *other;
    json_t *value, *found = NULL;
    json_object_foreach((json_t *)object, other, value) {
        if (strcasecmp(other, name) == 0)
            found = value;
    }
    return json_is_null(found) ? NULL : found;
}

size_t platform_field_count(const json_t *object, const char *name) {
    const char *other;
    json_t *value;
    size_t count = 0;
    json_object_foreach((json_t *)object, other, value) {
        count += strcasecmp(other, name) == 0;
    }
    return count;
}

static json_t *format_json(const struct platform_format *format) {
    return json_pack("{s:i,s:i,s:i,s:i}", "SampleRate", (int)format->rate_hz, "BitsPerSample",
                     (int)format->bits, "AudioEncodingType", format->encoding, "AudioEncodingFallbackMode",
                     FALLBACK_QUALITY);
}

char *platform_body(const struct platform_request *request) {
    json_t *output = format_json(&request->output);
    if (output)
        json_object_set_new(output, "FrameDurationMs", json_integer(request->frame_ms));
    json_t *body = json_pack("{s:i,s:s,s:s,s:s,s:o,s:o,s:O,s:O}", "TransportType", TRANSPORT_WEBSOCKET,
                             "WebCampaignId", request->web_campaign_id, "RegionId", request->region_id,
                             "ClientIdentifier", request->client_identifier, "AudioInputConfiguration",
                             format_json(&request->input), "AudioOutputConfiguration", output,
                             "DynamicVariables", request->dynamic_variables, "Metadata", request->metadata);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return text;
}

static bool is_path_safe(const char *id) {
    size_t len = strlen(id);
    if (!len || len > PLATFORM_ID_MAX || id[0] == '.')
        return false;
    for (; *id; id++) {
        if (!isalnum((unsigned char)*id) && !strchr("-_.~", *id))
            return false;
    }
    return true;
}

static bool is_socket_url(const char *url) {
    if (strncasecmp(url, "ws://", 5) != 0 && strncasecmp(url, "wss://", 6) != 0)
        return false;
    if (strlen(url) > PLATFORM_URL_MAX)
        return false;
    for (; *url; url++) {
        if (*url <= ' ' || *url >= 0x7f)
            return false;
    }
    return true;
}

static void take_session_id(const json_t *data, struct platform_session *out) {
    static const char *const names[] = {"conversationSessionId", "sessionId"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *id = json_string_value(platform_field(data, names[i]));
        if (id && is_path_safe(id)) {
            snprintf(out->session_id, sizeof out->session_id, "%s", id);
            return;
        }
    }
}

// Refusals that pass by themselves: another call would be too many just now. Told by the code alone; some are
// prefixed with the step that failed ("STEP:CODE").
static bool is_no_room(const char *code) {
    static const char *const codes[] = {"CONCURRENCY_LIMIT_REACHED",
                                        "USER_CUSTOMER_CONCURRENCY_LIMIT_REACHED", "NOT_ACCEPTING_NEW_WORK",
                                        "NO_SERVER_CAPACITY"};
    const char *colon = code ? strrchr(code, ':') : NULL;
    const char *name = colon ? colon + 1 : code;
    for (size_t i = 0; name && i < sizeof codes / sizeof codes[0]; i++) {
        if (strcmp(name, codes[i]) == 0)
            return true;
    }
    return false;
}

// How a refusal matters to whoever asked. What there is no room for just now is above; the rest of these only a
// telephone tells apart.
static int refusal_error(const char *code) {
    if (is_no_room(code))
        return -EAGAIN;
    if (code && (strstr(code, "NOT_FOUND") || strstr(code, "NO_ROUTE")))
        return -ENOENT;
    if (code && (strstr(code, "BUSY") || strstr(code, "CAPACITY")))
        return -EUSERS;
    return -EREMOTEIO;
}

static int take_answer(const json_t *root, struct platform_session *out, struct err_text *err) {
    if (!json_is_object(root))
        return err_set(err, -EPROTO, "the platform's answer is not a JSON object");
    if (!json_is_true(platform_field(root, "success"))) {
        const char *code = json_string_value(platform_field(root, "code"));
        const char *message = json_string_value(platform_field(root, "message"));
        return err_set(err, refusal_error(code), "the platform refused: %.64s %.128s", code ? code : "",
                       message ? message : "(no message)");
    }
    const json_t *data = platform_field(root, "data");
    const char *url = json_string_value(platform_field(data, "sessionWebSocketURL"));
    if (!url)
        return err_set(err, -EPROTO, "the platform's answer has no data.sessionWebSocketURL");
    if (!is_socket_url(url))
        return err_set(err, -EPROTO, "data.sessionWebSocketURL is no ws:// or wss:// address");
    *out = (struct platform_session){.session_id = ""};
    snprintf(out->url, sizeof out->url, "%s", url);
    take_session_id(data, out);
    return 0;
}

int platform_parse(const char *text, size_t len, struct platform_session *out, struct err_text *err) {
    json_error_t error;
    json_t *root = json_loadb(text, len, 0, &error);
    if (!root)
        return err_set(err, -EPROTO, "the platform's answer is not JSON (%zu bytes)", len);
    int code = take_answer(root, out, err);
    json_decref(root);
    return code;
}

static int take_response(const struct httpc_response *response, struct platform_session *session,
                         struct err_text *why) {
    if (response->err)
        return err_set(why, response->err, "no answer from the platform: %s",
                       response->text ? response->text : err_name(response->err));
    int err = platform_parse(response->body, response->body_len, session, why);
    bool good = response->status >= 200 && response->status < 300;
    if (!err && !good)
        return err_set(why, -EREMOTEIO, "the platform answered HTTP %ld", response->status);
    return err;
}

static void on_response(const struct httpc_response *response, void *arg) {
    struct query *query = arg;
    struct platform_session session;
    struct err_text why = {.text = ""};
    metric_add(METRIC_PLATFORM_REQUESTS, 1);
    metric_observe(HISTOGRAM_PLATFORM, uv_hrtime() - query->sent_ns);
    int err = take_response(response, &session, &why);
    if (err) {
        bool repeats_token = *query->token && strstr(why.text, query->token);
        log_warn(NULL, "platform", "session refused: HTTP %ld, %s", response->status,
                 repeats_token ? "with a text that repeats our token" : why.text);
    }
    query->on_done(err, err ? NULL : &session, query->arg);
    free(query->token);
    free(query);
}

static int query_send(struct httpc *client, const struct platform_request *request, struct query *query) {
    char *url = NULL, *authorization = NULL;
    char *body = platform_body(request);
    size_t base_len = strlen(request->base_url);
    bool slash = base_len && request->base_url[base_len - 1] == '/';
    if (asprintf(&url, "%s%sbusiness/%s/websession/initiate", request->base_url, slash ? "" : "/",
                 request->business_id) < 0)
        url = NULL;
    if (asprintf(&authorization, "Authorization: Token %s", request->token) < 0)
        authorization = NULL;
    int err = -ENOMEM;
    if (body && url && authorization) {
        const char *headers[] = {authorization, "Content-Type: application/json", "Accept: application/json"};
        struct httpc_request http = {.method = "POST",
                                     .url = url,
                                     .headers = headers,
                                     .header_count = sizeof headers / sizeof headers[0],
                                     .body = body,
                                     .body_len = strlen(body),
                                     .timeout_ms = PLATFORM_TIMEOUT_MS};
        err = httpc_send(client, &http, on_response, query);
    }
    free(authorization);
    free(url);
    free(body);
    return err;
}

int platform_initiate(struct httpc *client, const struct platform_request *request,
                      void (*on_done)(int, const struct platform_session *, void *), void *arg) {
    struct query *query = calloc(1, sizeof *query);
    if (!query)
        return -ENOMEM;
    query->on_done = on_done;
    query->arg = arg;
    query->sent_ns = uv_hrtime();
    query->token = strdup(request->token);
    int err = query->token ? query_send(client, request, query) : -ENOMEM;
    if (err) {
        free(query->token);
        free(query);
    }
    return err;
}
