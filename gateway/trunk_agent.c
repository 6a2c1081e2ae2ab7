// SPDX-License-Identifier: Apache-2.0
#include "gateway/trunk_agent.h"

#include "gateway/core/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void trunk_agent_client(const char *caller, char out[INITIATE_CLIENT_ID_MAX + 1]) {
    size_t len = 0;
    for (; *caller && len < INITIATE_CLIENT_ID_MAX; caller++) {
        unsigned char c = (unsigned char)*caller;
        if (c >= ' ' && c < 0x7f && c != '/' && c != '\\')
            out[len++] = *caller;
    }
    out[len] = '\0';
    if (!len)
        snprintf(out, INITIATE_CLIENT_ID_MAX + 1, "anonymous");
}

static json_t *call_json(const struct sip_request *request, const char *queue_id) {
    json_t *object = json_pack("{s:s,s:s,s:s,s:s,s:s}", "callerNumber", request->caller, "callerName",
                               request->caller_name, "calledNumber", request->called, "sipCallId",
                               request->call_id, "callQueueId", queue_id);
    for (size_t i = 0; object && i < request->header_count; i++)
        json_object_set_new(object, request->headers[i].name, json_string(request->headers[i].value));
    return object;
}

int trunk_agent_request(struct initiate_request *out, const struct sip_request *request, const char *queue_id,
                        const char *campaign_id, const char *region_id) {
    char client[INITIATE_CLIENT_ID_MAX + 1];
    trunk_agent_client(request->caller, client);
    struct initiate_request made = {.campaign_id = strdup(campaign_id),
                                    .region_id = strdup(region_id),
                                    .client_identifier = strdup(client),
                                    .dynamic_variables = call_json(request, queue_id),
                                    .metadata = call_json(request, queue_id)};
    snprintf(made.client_address, sizeof made.client_address, "%s", request->source);
    if (!made.campaign_id || !made.region_id || !made.client_identifier || !made.dynamic_variables ||
        !made.metadata) {
        initiate_request_clear(&made);
        return -ENOMEM;
    }
    *out = made;
    return 0;
}
