// SPDX-License-Identifier: Apache-2.0
// All of SIP in this process, put together: the SIP thread, the call queue, the table of media nodes, and the trunks
// between them. ctl thread only.
#ifndef IQ_GATEWAY_TELEPHONY_H
#define IQ_GATEWAY_TELEPHONY_H

#include "gateway/core/err.h"
#include "gateway/trunks.h"

struct telephony;

// Borrowed until telephony_free.
struct telephony_config {
    uv_loop_t *loop;
    const struct conf *conf;
    struct mailbox *ctl; // where the SIP thread's mail goes: hand it on by telephony_mail
    struct sessions *sessions;
    struct desk *desk;
    struct redis *redis;
    const char *(*builtin_agent_url)(void *arg); // for an agent URL of ""
    void *arg;
};

// `err` names the key and the address that cannot be had.
int telephony_start(struct telephony **out, const struct telephony_config *config, struct err_text *err);
void telephony_mail(struct telephony *telephony, struct mail *mail);          // enum sip_mail
int telephony_set_conf(struct telephony *telephony, const struct conf *conf); // held; -ENOMEM
void telephony_announce(struct telephony *telephony); // the other nodes hear at once how this one is
void telephony_drain(struct telephony *telephony);    // 503 to what comes, and the other nodes know
// Says BYE to what is left, waits for the SIP thread, and takes this node out of the table.
void telephony_close(struct telephony *telephony);
void telephony_free(struct telephony *telephony); // when Redis and the platform have called back everything

// For the operator.
struct callqueue *telephony_queue(const struct telephony *telephony);
const struct nodes *telephony_nodes(const struct telephony *telephony);

#endif
