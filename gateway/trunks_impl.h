// SPDX-License-Identifier: Apache-2.0
// What trunks.c, trunk_route.c (the proxy's questions) and trunk_call.c, trunk_claim.c, trunk_session.c (the
// listener's calls) share.
#ifndef IQ_GATEWAY_TRUNKS_IMPL_H
#define IQ_GATEWAY_TRUNKS_IMPL_H

#include "gateway/trunk_map.h"
#include "gateway/trunk_verdict.h"
#include "gateway/trunks.h"
#include "sip/route.h"

struct trunks {
    struct trunks_config config;
    const struct conf *conf;   // in force, held
    struct route_table *table; // of conf
    struct sip_stack *stack;
    struct trunk_map routes; // struct trunk_route by the SIP thread's handle
    struct trunk_map calls;  // struct trunk_call likewise
    uint32_t pending;        // calls without a session
    bool draining;
    uv_timer_t renew, sweep;
};

void trunks_post(struct trunks *trunks, enum sip_mail type, uint64_t to, void *data,
                 void (*free_data)(void *));
// The number of the configuration in force, NULL when there is none.
const struct conf_number *trunks_number(const struct trunks *trunks, const char *business_id,
                                        const char *number_id, const struct conf_business **business);

// trunk_route.c
void trunk_route_ask(struct trunks *trunks, uint64_t handle, const struct sip_route_ask *ask);
void trunk_route_gone(struct trunks *trunks, uint64_t handle);

// trunk_call.c: what the SIP thread says of a call, and what it is told
void trunk_call_invite(struct trunks *trunks, uint64_t handle, struct sip_invite *invite); // takes invite
void trunk_call_mail(struct trunks *trunks, const struct mail *mail); // anything after the SIP_INVITE
void trunk_calls_renew(struct trunks *trunks);                        // their leases in the queue
void trunk_calls_free(struct trunks *trunks);

// It waits for Redis, then for the platform, then for the worker and the agent; whatever the caller does meanwhile
// is remembered, and what was taken is given back when the answer comes.
//
//   CLAIMING -> [LOGIN -> CLAIMING] -> ASKING (platform) -> CONNECTING (worker, agent) -> UP
//      \___________________\_______________\_____________________\______________________\-> OVER
enum trunk_state { TRUNK_CLAIMING, TRUNK_LOGIN, TRUNK_ASKING, TRUNK_CONNECTING, TRUNK_UP, TRUNK_OVER };

struct trunk_call {
    struct trunk_key key; // first
    struct trunks *trunks;
    enum trunk_state state;
    struct sip_invite *invite; // owned
    bool claimed;              // the queue's entry is ours, and so is its end
    bool waiting;              // Redis or the platform will call back
    bool sip_over;             // the SIP thread knows it no more
    char id[SIP_TEXT_ID];      // of the entry, and of the session
    char business_id[SIP_TEXT_ID], number_id[SIP_TEXT_ID], campaign_id[SIP_TEXT_ID], region_id[SIP_TEXT_ID];
    struct initiate_request request; // of ASKING
    uint64_t session;                // handle; 0 = none
    uint64_t began_us, claimed_us, agent_us;
};

void trunk_call_enter(struct trunk_call *call, enum trunk_state state);
void trunk_call_say(struct trunk_call *call, enum sip_mail type, unsigned code, const char *text);
// The end before the answer: `why` is for the queue and the log. Once.
void trunk_call_reject(struct trunk_call *call, struct trunk_verdict verdict, const char *why);
void trunk_call_maybe_free(struct trunk_call *call); // when nobody will speak of it any more

// trunk_claim.c: from the INVITE to the entry that is ours
void trunk_call_claim(struct trunk_call *call, bool authorized);

// trunk_session.c: the platform, and the session whose far side the call is
void trunk_call_ask_agent(struct trunk_call *call);

#endif
