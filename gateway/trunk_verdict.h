// SPDX-License-Identifier: Apache-2.0
// What a trunk is told, in SIP's words, when something of ours ends its call; and what it means when it ends it.
// Pure tables.
#ifndef IQ_GATEWAY_TRUNK_VERDICT_H
#define IQ_GATEWAY_TRUNK_VERDICT_H

#include "gateway/call_msg.h"
#include "middleware/callqueue.h"
#include "sip/sip_msg.h"

struct trunk_verdict {
    unsigned status; // of the final response
    const char *phrase;
};

struct trunk_verdict trunk_verdict_claim(enum callqueue_claim claim); // one that failed
struct trunk_verdict trunk_verdict_agent(int err);                    // initiate_result.err
struct trunk_verdict trunk_verdict_open(int err);                     // of sessions_open; -EAGAIN: overloaded
// The call ended before it was answered: `code` as in struct call_msg, may be NULL.
struct trunk_verdict trunk_verdict_end(enum call_cause cause, const char *code);

unsigned trunk_bye_cause(enum call_cause cause); // Q.850, for the Reason header of our BYE

// The far side's end.
struct trunk_over {
    const char *code, *text; // as in struct call_msg
    enum callqueue_status status;
};
struct trunk_over trunk_over_of(unsigned over); // enum sip_over

#endif
