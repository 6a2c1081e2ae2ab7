// SPDX-License-Identifier: Apache-2.0
#include "gateway/trunk_verdict.h"

#include "gateway/core/err.h"

#include <string.h>

struct trunk_verdict trunk_verdict_claim(enum callqueue_claim claim) {
    static const struct trunk_verdict verdicts[] = {
        [CALLQUEUE_CLAIMED] = {0, ""},
        [CALLQUEUE_UNKNOWN] = {404, "Call queue not found"},
        [CALLQUEUE_NOT_HERE] = {403, "Not authorized for this region/server"},
        [CALLQUEUE_NOT_READY] = {403, "Call queue not in processed proxy state"},
        [CALLQUEUE_LOGIN] = {403, "Login needed"},
    };
    return verdicts[claim];
}

struct trunk_verdict trunk_verdict_agent(int err) {
    if (err == -ENOENT) // the campaign, or what the platform does not know
        return (struct trunk_verdict){404, "Agent Not Found"};
    if (err == -EAGAIN || err == -EUSERS) // the platform has no room
        return (struct trunk_verdict){486, "Busy Here"};
    return (struct trunk_verdict){503, "Agent Unavailable"};
}

struct trunk_verdict trunk_verdict_open(int err) {
    if (err == -ENOSPC)
        return (struct trunk_verdict){486, "Busy Here"};
    if (err == -EBUSY)
        return (struct trunk_verdict){503, "Shutting Down"};
    if (err == -EAGAIN)
        return (struct trunk_verdict){503, "Overloaded"};
    return (struct trunk_verdict){500, "Server Internal Error"};
}

struct trunk_verdict trunk_verdict_end(enum call_cause cause, const char *code) {
    if (code && strcmp(code, "bad_sdp") == 0)
        return (struct trunk_verdict){400, "Bad Session Description"};
    static const struct trunk_verdict verdicts[] = {
        [CALL_HUNG_UP] = {480, "Temporarily Unavailable"}, // by the operator
        [CALL_BAD_OFFER] = {488, "Not Acceptable Here"},   [CALL_TIMEOUT] = {503, "Agent Unavailable"},
        [CALL_NO_AGENT] = {503, "Agent Unavailable"},      [CALL_NO_MEDIA] = {503, "No Media Port"},
        [CALL_INTERNAL] = {500, "Server Internal Error"},
    };
    return verdicts[cause];
}

unsigned trunk_bye_cause(enum call_cause cause) {
    static const unsigned causes[] = {
        [CALL_HUNG_UP] = 16,   // normal call clearing
        [CALL_BAD_OFFER] = 88, // incompatible destination
        [CALL_TIMEOUT] = 102,  // recovery on timer expiry
        [CALL_NO_AGENT] = 41,  // temporary failure
        [CALL_NO_MEDIA] = 102, // nothing was heard for too long
        [CALL_INTERNAL] = 41,
    };
    return causes[cause];
}

struct trunk_over trunk_over_of(unsigned over) {
    static const struct trunk_over overs[] = {
        [SIP_OVER_BYE] = {"caller_hangup", "The caller hung up.", CALLQUEUE_CANCELED},
        [SIP_OVER_CANCEL] = {"caller_gave_up", "The caller gave up before the answer.", CALLQUEUE_CANCELED},
        [SIP_OVER_NO_ACK] = {"no_ack", "Our answer was never acknowledged.", CALLQUEUE_FAILED},
        [SIP_OVER_EXPIRED] = {"session_expired", "The session timer ran out.", CALLQUEUE_FAILED},
        [SIP_OVER_TRANSPORT] = {"signalling_failed", "The SIP signalling failed.", CALLQUEUE_FAILED},
        [SIP_OVER_LOGIN] = {"no_login", "The number's login was not given.", CALLQUEUE_FAILED},
        [SIP_OVER_OURS] = {"hangup", "The gateway ended the call.", CALLQUEUE_FAILED},
    };
    const size_t count = sizeof overs / sizeof overs[0];
    return overs[over < count ? over : SIP_OVER_OURS];
}
