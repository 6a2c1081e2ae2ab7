// SPDX-License-Identifier: Apache-2.0
#include "middleware/initiate.h"

#include <stdlib.h>
#include <string.h>

enum { SCHEMA = 1 };

void initiate_request_clear(struct initiate_request *request) {
    free(request->campaign_id);
    free(request->region_id);
    free(request->client_identifier);
    json_decref(request->dynamic_variables);
    json_decref(request->metadata);
    *request = (struct initiate_request){.transport = 0};
}

static json_t *format_json(const struct platform_format *format) {
    return json_pack("[i,I,I]", format->encoding, (json_int_t)format->rate_hz, (json_int_t)format->bits);
}

char *initiate_request_text(const struct initiate_request *request) {
    json_t *root = json_pack(
        "{s:i,s:s,s:s,s:s,s:s,s:i,s:O,s:O,s:o,s:o,s:s,s:b}", "schema", SCHEMA, "campaign",
        request->campaign_id, "region", request->region_id, "client", request->client_identifier, "address",
        request->client_address, "transport", request->transport, "variables", request->dynamic_variables,
        "metadata", request->metadata, "input", format_json(&request->input), "output",
        format_json(&request->output), "host", request->origin.host, "secure", request->origin.secure);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

// Texts of a request that was read, borrowed from its JSON.
struct texts {
    const char *campaign, *region, *client, *address, *host;
};

static int read_format(const json_t *value, struct platform_format *out) {
    json_int_t rate, bits;
    if (json_unpack((json_t *)value, "[i,I,I]", &out->encoding, &rate, &bits) != 0)
        return -EINVAL;
    if (rate < 0 || rate > 48000 || bits < 0 || bits > 32)
        return -EINVAL;
    out->rate_hz = (uint32_t)rate;
    out->bits = (uint32_t)bits;
    return 0;
}

static int read_root(json_t *root, struct initiate_request *request, struct texts *texts) {
    json_t *input, *output;
    int schema = 0, secure = 0;
    if (json_unpack(root, "{s:i}", "schema", &schema) != 0 || schema != SCHEMA)
        return -EINVAL;
    int err = json_unpack(root, "{s:s,s:s,s:s,s:s,s:i,s:o,s:o,s:o,s:o,s:s,s:b}", "campaign", &texts->campaign,
                          "region", &texts->region, "client", &texts->client, "address", &texts->address,
                          "transport", &request->transport, "variables", &request->dynamic_variables,
                          "metadata", &request->metadata, "input", &input, "output", &output, "host",
                          &texts->host, "secure", &secure);
    if (err || !json_is_object(request->dynamic_variables) || !json_is_object(request->metadata))
        return -EINVAL;
    if (request->transport != API_TRANSPORT_WEBSOCKET && request->transport != API_TRANSPORT_WEBRTC)
        return -EINVAL;
    if (strlen(texts->address) >= sizeof request->client_address ||
        strlen(texts->host) >= sizeof request->origin.host)
        return -EINVAL;
    request->origin.secure = secure != 0;
    return read_format(input, &request->input) || read_format(output, &request->output) ? -EINVAL : 0;
}

static int copy_out(struct initiate_request *out, const struct initiate_request *read,
                    const struct texts *texts) {
    struct initiate_request request = *read;
    request.campaign_id = strdup(texts->campaign);
    request.region_id = strdup(texts->region);
    request.client_identifier = strdup(texts->client);
    json_incref(request.dynamic_variables);
    json_incref(request.metadata);
    snprintf(request.client_address, sizeof request.client_address, "%s", texts->address);
    snprintf(request.origin.host, sizeof request.origin.host, "%s", texts->host);
    if (!request.campaign_id || !request.region_id || !request.client_identifier) {
        initiate_request_clear(&request);
        return -ENOMEM;
    }
    *out = request;
    return 0;
}

int initiate_request_parse(struct initiate_request *out, const char *text, size_t len) {
    struct initiate_request request = {.transport = 0};
    struct texts texts;
    json_error_t error;
    json_t *root = json_loadb(text, len, 0, &error);
    if (!root)
        return -EINVAL;
    int err = read_root(root, &request, &texts);
    if (!err)
        err = copy_out(out, &request, &texts);
    json_decref(root);
    return err;
}
