// SPDX-License-Identifier: Apache-2.0
//
//   body -> campaign -> region -> client address -> identifier -> admission -> agent -> session -> answer
//
// where the agent is the fixed one or what platform_initiate brings.
//
// A failure before admission takes nothing; any later one gives back what admission took.
#include "middleware/api.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"
#include "middleware/api_body.h"
#include "middleware/platform.h"
#include "signaling/auth.h"

#include <stdlib.h>
#include <string.h>

enum { BUSY_RETRY_S = 10 };
enum { URL_BYTES = 4096, CLIENT_ID_BYTES = API_CLIENT_ID_MAX * 3 + 1 };

static const char text_failed[] = "An error occurred while trying to initiate the session.";
static const char text_full[] = "The gateway is at capacity. Please try again.";
static const char text_draining[] = "The gateway is shutting down. Please try again.";
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
    const struct conf *conf; // borrowed
    struct httpc *client;    // borrowed
    struct api_events events;
};

// One request on its way. Copies all it needs, since the conf may change while it waits.
struct call {
    struct api *api; // borrowed
    struct http_exchange *exchange;
    struct http_request_origin origin;
    enum api_shape shape;
    struct api_body body;
    char *campaign_id, *business_id, *web_campaign_id, *region_id; // owned
    char client_address[64];
    char client_identifier[CLIENT_ID_BYTES];
    enum conf_encoding encoding;
    uint32_t rate_hz, frame_ms;
};

static void call_free(struct call *call) {
    api_body_clear(&call->body);
    free(call->campaign_id);
    free(call->business_id);
    free(call->web_campaign_id);
    free(call->region_id);
    free(call);
}

static void refuse(struct http_exchange *exchange, const char *message) {
    metric_add(METRIC_SESSION_INVALID, 1);
    http_reply_message(exchange, 400, message);
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

static void reply_retry(struct http_exchange *exchange, unsigned status, const char *message,
                        unsigned retry_after_s) {
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%u", retry_after_s);
    struct http_header_field retry = {.name = "Retry-After", .value = seconds};
    json_t *root = json_pack("{s:s}", "message", message);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    const char *body = text ? text : "{}";
    http_reply(exchange, status, "application/json; charset=utf-8", body, strlen(body), &retry,
               retry_after_s ? 1 : 0);
    free(text);
    json_decref(root);
}

// A 503 says when to come again.
static void call_fail(struct call *call, unsigned status, const char *message) {
    metric_add(METRIC_SESSION_FAILED, 1);
    call->api->events.on_release(call->campaign_id, call->api->events.arg);
    reply_retry(call->exchange, status, message, status == 503 ? BUSY_RETRY_S : 0);
    call_free(call);
}

static void call_answer(struct call *call, const char *url) {
    const struct api_events *events = &call->api->events;
    json_t *root =
        json_pack("{s:s}", call->shape == API_SHAPE_REQUEST ? "webSocketUrl" : "websocketUrl", url);
    if (root && call->body.transport == API_TRANSPORT_WEBRTC) {
        const char *servers = events->ice_servers_json(events->arg);
        json_t *list = servers ? json_loads(servers, 0, NULL) : NULL;
        json_object_set_new(root, "iceServers", list ? list : json_array());
    }
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text) {
        call_fail(call, 500, text_failed);
        return;
    }
    metric_add(METRIC_SESSION_OK, 1);
    http_reply_json(call->exchange, 200, text);
    free(text);
    call_free(call);
}

// Makes the session, under a random id when there is none.
static int call_make_session(struct call *call, struct api_session *session, char *url, size_t url_size) {
    const struct api_events *events = &call->api->events;
    char made_id[PLATFORM_ID_MAX + 1];
    if (*session->session_id) {
        int err = events->on_session(session, &call->origin, url, url_size, events->arg);
        if (err != -EEXIST)
            return err;
        log_warn(session->session_id, "api", "the platform gave the id of a session that is still open");
    }
    int err = auth_random_id("ses_", made_id, sizeof made_id);
    session->session_id = made_id;
    if (!err)
        err = events->on_session(session, &call->origin, url, url_size, events->arg);
    session->session_id = "";
    return err;
}

// Our own session: `agent_url` is "" for the built-in agent.
static void call_open(struct call *call, const char *session_id, const char *agent_url) {
    char client_id[API_CLIENT_ID_MAX + 1], url[URL_BYTES];
    api_path_identifier(call->client_identifier, client_id);
    struct api_session session = {.session_id = session_id,
                                  .client_id = client_id,
                                  .agent_url = agent_url,
                                  .client_address = call->client_address,
                                  .campaign_id = call->campaign_id,
                                  .region_id = call->region_id,
                                  .encoding = call->encoding,
                                  .sample_rate_hz = call->rate_hz,
                                  .frame_ms = call->frame_ms};
    int err = call_make_session(call, &session, url, sizeof url);
    if (!err) {
        call_answer(call, url);
        return;
    }
    log_warn(*session_id ? session_id : NULL, "api", "session not made: %s", err_name(err));
    if (err == -ENOSPC || err == -EBUSY)
        call_fail(call, 503, err == -ENOSPC ? text_full : text_draining);
    else
        call_fail(call, 500, text_failed);
}

static void on_platform(int err, const struct platform_session *session, void *arg) {
    struct call *call = arg;
    if (err)
        call_fail(call, 500, text_failed);
    else if (call->body.transport == API_TRANSPORT_WEBSOCKET)
        call_answer(call, session->url);
    else
        call_open(call, session->session_id, session->url);
}

static struct platform_format chosen_format(const struct call *call, const struct platform_format *asked) {
    struct platform_format format = platform_format_of(call->encoding, call->rate_hz);
    // A browser on WebRTC talks to us: what the platform sends is then the Agent format, whatever the page
    // said.
    if (call->body.transport == API_TRANSPORT_WEBRTC)
        return format;
    if (asked->encoding)
        format.encoding = asked->encoding;
    if (asked->rate_hz)
        format.rate_hz = asked->rate_hz;
    if (asked->bits)
        format.bits = asked->bits;
    return format;
}

static void call_ask_platform(struct call *call) {
    const struct conf *conf = call->api->conf;
    struct platform_request request = {.base_url = conf->platform.base_url,
                                       .token = conf->platform.api_secret_token,
                                       .business_id = call->business_id,
                                       .web_campaign_id = call->web_campaign_id,
                                       .region_id = call->region_id,
                                       .client_identifier = call->client_identifier,
                                       .input = chosen_format(call, &call->body.input),
                                       .output = chosen_format(call, &call->body.output),
                                       .frame_ms = call->frame_ms,
                                       .dynamic_variables = call->body.dynamic_variables,
                                       .metadata = call->body.metadata};
    int err = platform_initiate(call->api->client, &request, on_platform, call);
    if (!err)
        return;
    log_error(NULL, "api", "platform not asked: %s", err_name(err));
    call_fail(call, 500, text_failed);
}

static void call_refused(struct call *call, const struct api_admission *verdict) {
    metric_add(METRIC_SESSION_REFUSED, 1);
    reply_retry(call->exchange, verdict->status, verdict->message ? verdict->message : "",
                verdict->retry_after_s);
    call_free(call);
}

static void on_admitted(const struct api_admission *verdict, void *arg) {
    struct call *call = arg;
    const struct conf *conf = call->api->conf;
    if (verdict->status != 200) {
        call_refused(call, verdict);
        return;
    }
    call->encoding = conf->agent.encoding;
    call->rate_hz = conf->agent.sample_rate_hz;
    call->frame_ms = conf->agent.frame_ms;
    bool fixed = *conf->agent.url || *conf->agent.builtin;
    if (fixed && call->body.transport == API_TRANSPORT_WEBRTC)
        call_open(call, "", conf->agent.url);
    else
        call_ask_platform(call);
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

static const char *call_check_transport(const struct call *call, const struct http_request *request) {
    const struct conf *conf = call->api->conf;
    if (call->body.transport == API_TRANSPORT_WEBSOCKET)
        return has_platform(conf) ? NULL : text_no_platform;
    if (!(conf->gateway.roles & CONF_ROLE_MEDIA))
        return text_no_media;
    bool host_ok = *request->host && strlen(request->host) < sizeof call->origin.host &&
                   !strpbrk(request->host, "/?#@\\ \t");
    return *conf->gateway.public_url || host_ok ? NULL : text_host;
}

// Fills the call from what was asked; NULL, or the text that refuses it.
static const char *call_check(struct call *call, const struct http_request *request) {
    const struct conf *conf = call->api->conf;
    const char *refusal;
    const struct conf_campaign *campaign = find_campaign(conf, call->shape, &call->body, &refusal);
    if (!campaign)
        return refusal;
    const char *region_id = find_region(campaign, call->shape, call->body.region_id);
    if (!region_id)
        return text_region;
    if (!*request->client_address || strlen(request->client_address) >= sizeof call->client_address)
        return text_address;
    int err = api_client_identifier(call->body.client_identifier, request->client_address,
                                    call->client_identifier, sizeof call->client_identifier);
    if (err)
        return err == -EMSGSIZE ? text_identifier_long : text_identifier;
    refusal = call_check_transport(call, request);
    if (refusal)
        return refusal;
    snprintf(call->client_address, sizeof call->client_address, "%s", request->client_address);
    snprintf(call->origin.host, sizeof call->origin.host, "%s", request->host);
    call->origin.secure = request->secure;
    call->campaign_id = strdup(campaign->id);
    call->business_id = strdup(campaign->business_id);
    call->web_campaign_id = strdup(campaign->web_campaign_id);
    call->region_id = strdup(region_id);
    return NULL;
}

static void call_begin(struct api *api, enum api_shape shape, const struct http_request *request) {
    struct api_problems problems;
    struct call *call = calloc(1, sizeof *call);
    int err = call ? api_body_parse(&call->body, shape, request->body, &problems) : -ENOMEM;
    if (err) {
        free(call);
        if (err == -EINVAL) {
            refuse_body(request->exchange, &problems);
            return;
        }
        metric_add(METRIC_SESSION_FAILED, 1);
        http_reply_message(request->exchange, 500, text_failed);
        return;
    }
    call->api = api;
    call->exchange = request->exchange;
    call->shape = shape;
    const char *refusal = call_check(call, request);
    bool copied = call->campaign_id && call->business_id && call->web_campaign_id && call->region_id;
    if (refusal) {
        refuse(call->exchange, refusal);
        call_free(call);
    } else if (!copied) {
        metric_add(METRIC_SESSION_FAILED, 1);
        http_reply_message(call->exchange, 500, text_failed);
        call_free(call);
    } else {
        api->events.on_admit(request, call->campaign_id, on_admitted, call, api->events.arg);
    }
}

static void on_session_request(const struct http_request *request, void *arg) {
    call_begin(arg, API_SHAPE_REQUEST, request);
}

static void on_websession_initiate(const struct http_request *request, void *arg) {
    call_begin(arg, API_SHAPE_INITIATE, request);
}

int api_new(struct api **out, const struct conf *conf, struct httpc *client,
            const struct api_events *events) {
    struct api *api = calloc(1, sizeof *api);
    if (!api)
        return -ENOMEM;
    api->conf = conf;
    api->client = client;
    api->events = *events;
    *out = api;
    return 0;
}

void api_set_conf(struct api *api, const struct conf *conf) {
    api->conf = conf;
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
