// SPDX-License-Identifier: Apache-2.0
// What the platform is told of a trunk's call when it is asked for an agent. Pure.
#ifndef IQ_GATEWAY_TRUNK_AGENT_H
#define IQ_GATEWAY_TRUNK_AGENT_H

#include "middleware/initiate.h"
#include "sip/sip_msg.h"

// Fills in *out, which initiate_request_clear frees. DynamicVariables and Metadata both hold callerNumber,
// callerName, calledNumber, sipCallId, callQueueId, and each header of Sip.ForwardedHeaders that came, under its
// own name. -ENOMEM.
int trunk_agent_request(struct initiate_request *out, const struct sip_request *request, const char *queue_id,
                        const char *campaign_id, const char *region_id);

// The caller's number as a ClientIdentifier: without / \ and control characters, at most
// INITIATE_CLIENT_ID_MAX bytes, "anonymous" when nothing is left.
void trunk_agent_client(const char *caller, char out[INITIATE_CLIENT_ID_MAX + 1]);

#endif
