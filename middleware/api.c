// SPDX-License-Identifier: Apache-2.0
//
//   body -> campaign -> region -> client address -> identifier -> transport -> desk -> answer
#include "middleware/api.h"

#include "gateway/core/metrics.h"
#include "middleware/api_body.h"
#include "middleware/queue_runner.h"

#include <stdlib.h>
#include <string.h>

enum { CLIENT_ID_BYTES = API_CLIENT_ID_MAX * 3 + 1 };

static const char text_failed[] = "An error occurred while trying to initiate the session.";
static const char text_no_media[] =
    "This node has no media role: transportType 1 (WebRTC) is not available here.";
static const char text_host[] = "A usable Host header is needed.";
static const char text_campaign[] = "Invalid or missing CampaignId.";
static const char text_business[] = "Invalid or missing BusinessId.";
static const char text_region[] = "Invalid or missing RegionId, or RegionId not allowed for this campaign.";
static const char text_address[] = "Could not determine client IP address.";
static const char text_identifier[] = "ClientIdentifier must not contain /, \\ or control characters.";
static const char text_identifier_long[] =
    "ClientIdentifier is too long: with the IP address it may have 256 characters.";
static const char text_no_platform[] =
    "This gateway has a fixed agent: transportType 0 (WebSocket) is not available, use 1 (WebRTC).";

struct api {
    struct api_config config;
};

// One exchange whose answer the desk owes.
struct call {
    struct api *api; // borrowed
    struct http_exchange *exchange;
    enum api_shape shape;
    int transport;
};

static void refuse(struct http_exchange *exchange, const char *message) {
    metric_add(METRIC_SESSION_INVALID, 1);
    http_reply_message(exchange, 400, message);
}

static void fail(struct http_exchange *exchange) {
    metric_add(METRIC_SESSION_FAILED, 1);
    http_reply_message(exchange, 500, text_failed);
}

// RFC 7807, and a `message` beside it for clients that read only that.
static void refuse_body(struct http_exchange *exchange, const struct api_problems *problems) {
    json_t *errors = json_object();
    size_t count = problems->count < API_PROBLEMS_MAX ? problems->count : API_PROBLEMS_MAX;
    for (size_t i = 0; i < count; i++) {
        json_t *texts = json_object_get(errors, problems->items[i].field);
        if (texts)
            json_array_append_new(texts, json_string(problems->items[i].text));
        else
            json_object_set_new(errors, problems->items[i].field, json_pack("[s]", problems->items[i].text));
    }
    json_t *root =
        json_pack("{s:s,s:s,s:i,s:s,s:o}", "type", "https://tools.ietf.org/html/rfc9110#section-15.5.1",
                  "title", "One or more validation errors occurred.", "status", 400, "message",
                  problems->items[0].text, "errors", errors);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    metric_add(METRIC_SESSION_INVALID, 1);
    if (text)
        http_reply(exchange, 400, "application/problem+json; charset=utf-8", text, strlen(text), NULL, 0);
    else
        http_reply_message(exchange, 400, problems->items[0].text);
    free(text);
    json_decref(root);
}

static json_t *answer_body(const struct call *call, const struct desk_answer *answer) {
    const struct api_config *config = &call->api->config;
    const char *key = call->shape == API_SHAPE_REQUEST ? "webSocketUrl" : "websocketUrl";
    switch (answer->status) {
    case 200:
        return queue_ready_json(key, answer->url, call->transport, config->ice_servers_json(config->arg));
    case 202:
        return json_pack("{s:s,s:s,s:I}", "status", "queued", "uniqueRequestId", answer->request_id,
                         "queuePosition", (json_int_t)answer->position);
    default:
        return json_pack("{s:s}", "message", answer->message);
    }
}

static void count(unsigned status) {
    if (status == 200)
        metric_add(METRIC_SESSION_OK, 1);
    else if (status == 202)
        metric_add(METRIC_SESSION_QUEUED, 1);
    else
        metric_add(status == 500 ? METRIC_SESSION_FAILED : METRIC_SESSION_REFUSED, 1);
}

static void on_answer(const struct desk_answer *answer, void *arg) {
    struct call *call = arg;
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%u", answer->retry_after_s);
    const struct http_header_field retry = {.name = "Retry-After", .value = seconds};
    json_t *root = answer_body(call, answer);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    count(text ? answer->status : 500);
    if (text)
        http_reply(call->exchange, answer->status, "application/json; charset=utf-8", text, strlen(text),
                   &retry, answer->retry_after_s ? 1 : 0);
    else
        http_reply_message(call->exchange, 500, text_failed);
    free(text);
    free(call);
}

// The campaign of a body, or NULL and the text that refuses it.
static const struct conf_campaign *find_campaign(const struct conf *conf, enum api_shape shape,
                                                 const struct api_body *body, const char **refusal) {
    const char *id = body->campaign_id ? body->campaign_id : "";
    *refusal = text_campaign;
    if (shape == API_SHAPE_REQUEST)
        return conf_campaign(conf, id);
    const char *business_id = body->business_id ? body->business_id : "";
    bool business_known = false;
    for (size_t i = 0; i < conf->platform.campaign_count; i++) {
        const struct conf_campaign *campaign = &conf->platform.campaigns[i];
        if (strcmp(campaign->business_id, business_id) != 0)
            continue;
        business_known = true;
        if (strcmp(campaign->id, id) == 0 || (*id && strcmp(campaign->web_campaign_id, id) == 0))
            return campaign;
    }
    if (!business_known)
        *refusal = text_business;
    return NULL;
}

static const char *find_region(const struct conf_campaign *campaign, enum api_shape shape,
                               const char *asked) {
    const struct conf_strings *allowed = &campaign->allowed_region_ids;
    // The older shape names no region: the campaign's first stands for it.
    if (!asked)
        return shape == API_SHAPE_INITIATE && allowed->count ? allowed->items[0] : NULL;
    for (size_t i = 0; i < allowed->count; i++) {
        if (strcmp(allowed->items[i], asked) == 0)
            return allowed->items[i];
    }
    return NULL;
}

static bool has_platform(const struct conf *conf) {
    return *conf->platform.base_url && *conf->platform.api_secret_token;
}

static const char *check_transport(const struct conf *conf, int transport,
                                   const struct http_request *request) {
    if (transport == API_TRANSPORT_WEBSOCKET)
        return has_platform(conf) ? NULL : text_no_platform;
    if (!(conf->gateway.roles & CONF_ROLE_MEDIA))
        return text_no_media;
    bool host_ok = *request->host && strlen(request->host) < sizeof((struct http_request_origin *)0)->host &&
                   !strpbrk(request->host, "/?#@\\ \t");
    return *conf->gateway.public_url || host_ok ? NULL : text_host;
}

// What a body asks for, once it has passed every check. Borrowed from the conf.
struct asked {
    const struct conf_campaign *campaign;
    const char *region_id;
    char client_identifier[CLIENT_ID_BYTES];
};

// NULL, or the text that refuses it.
static const char *check(const struct conf *conf, enum api_shape shape, const struct api_body *body,
                         const struct http_request *request, struct asked *out) {
    const char *refusal;
    out->campaign = find_campaign(conf, shape, body, &refusal);
    if (!out->campaign)
        return refusal;
    out->region_id = find_region(out->campaign, shape, body->region_id);
    if (!out->region_id)
        return text_region;
    if (!*request->client_address ||
        strlen(request->client_address) >= sizeof((struct initiate_request *)0)->client_address)
        return text_address;
    int err = api_client_identifier(body->client_identifier, request->client_address, out->client_identifier,
                                    sizeof out->client_identifier);
    if (err)
        return err == -EMSGSIZE ? text_identifier_long : text_identifier;
    return check_transport(conf, body->transport, request);
}

static int fill(struct initiate_request *out, const struct asked *asked, const struct api_body *body,
                const struct http_request *request) {
    out->campaign_id = strdup(asked->campaign->id);
    out->region_id = strdup(asked->region_id);
    out->client_identifier = strdup(asked->client_identifier);
    out->transport = body->transport;
    out->dynamic_variables = json_incref(body->dynamic_variables);
    out->metadata = json_incref(body->metadata);
    out->input = body->input;
    out->output = body->output;
    out->origin.secure = request->secure;
    snprintf(out->client_address, sizeof out->client_address, "%s", request->client_address);
    // A Host that makes no URL got here because none is needed.
    snprintf(out->origin.host, sizeof out->origin.host, "%s", request->host);
    return out->campaign_id && out->region_id && out->client_identifier ? 0 : -ENOMEM;
}

static void call_begin(struct api *api, enum api_shape shape, const struct http_request *request,
                       const struct api_body *body) {
    struct asked asked;
    const char *refusal = check(api->config.conf, shape, body, request, &asked);
    if (refusal) {
        refuse(request->exchange, refusal);
        return;
    }
    struct initiate_request wanted = {.transport = body->transport};
    struct call *call = malloc(sizeof *call);
    int err = call ? fill(&wanted, &asked, body, request) : -ENOMEM;
    if (err) {
        initiate_request_clear(&wanted);
        free(call);
        fail(request->exchange);
        return;
    }
    *call = (struct call){api, request->exchange, shape, body->transport};
    desk_request(api->config.desk, &wanted, on_answer, call);
}

static void on_request(struct api *api, enum api_shape shape, const struct http_request *request) {
    struct api_problems problems;
    struct api_body body;
    int err = api_body_parse(&body, shape, request->body, &problems);
    if (err == -EINVAL) {
        refuse_body(request->exchange, &problems);
    } else if (err) {
        fail(request->exchange);
    } else {
        call_begin(api, shape, request, &body);
        api_body_clear(&body);
    }
}

static void on_session_request(const struct http_request *request, void *arg) {
    on_request(arg, API_SHAPE_REQUEST, request);
}

static void on_websession_initiate(const struct http_request *request, void *arg) {
    on_request(arg, API_SHAPE_INITIATE, request);
}

int api_new(struct api **out, const struct api_config *config) {
    struct api *api = malloc(sizeof *api);
    if (!api)
        return -ENOMEM;
    api->config = *config;
    *out = api;
    return 0;
}

void api_set_conf(struct api *api, const struct conf *conf) {
    api->config.conf = conf;
}

void api_free(struct api *api) {
    free(api);
}

void api_routes(struct api *api, struct http_route out[API_ROUTES]) {
    out[0] = (struct http_route){
        .method = "POST", .path = "/api/session/request", .on_request = on_session_request, .arg = api};
    out[1] = (struct http_route){.method = "POST",
                                 .path = "/api/websession/initiate",
                                 .on_request = on_websession_initiate,
                                 .arg = api};
}
