// SPDX-License-Identifier: Apache-2.0
// Inside of the listener, shared by uas*.c and dialog*.c. Everything on the SIP thread.
#ifndef IQ_SIP_UAS_IMPL_H
#define IQ_SIP_UAS_IMPL_H

#include "gateway/core/slot.h"
#include "sip/digest.h"
#include "sip/flood.h"
#include "sip/sipreq.h"
#include "sip/uas.h"

// One type for all contexts that nta carries for us, before its headers settle on others.
#define NTA_AGENT_MAGIC_T void
#define NTA_LEG_MAGIC_T void
#define NTA_INCOMING_MAGIC_T void
#define NTA_OUTGOING_MAGIC_T void
#define NTA_RELIABLE_MAGIC_T void
#include <sofia-sip/msg_addr.h>
#include <sofia-sip/msg_header.h>
#include <sofia-sip/nta.h>
#include <sofia-sip/nta_tport.h>
#include <sofia-sip/sip.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_protos.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/tport.h>

enum {
    UAS_MAX_DIALOGS = 8192,   // also those that wait for the answer to their BYE
    UAS_MAX_UNDECIDED = 1024, // INVITEs that ctl has not answered yet
    UAS_SOURCES = 4096,       // remembered for their rate
    UAS_RETRY_AFTER_S = 5,
    UAS_MIN_SE_S = 90, // RFC 4028: the least there may be
};

struct uas {
    su_root_t *root;
    const struct conf *conf;
    struct sipreq_policy policy; // of conf
    int (*post)(struct mail mail, void *arg);
    void *post_arg;
    struct uas_timing timing;
    nta_agent_t *agent;
    struct malformed *malformed; // the agent reads by it
    struct flood *flood;         // of requests that belong to no dialog
    struct slot_table *dialogs;  // struct dialog, owned
    size_t undecided;
    struct digest *digest;
    bool draining;
    su_timer_t *closing; // after uas_close
    void (*on_closed)(void *arg);
    void *on_closed_arg;
};

#define UAS_PRODUCT "iqra-gateway" // without a version, which would help only attackers
#define UAS_ALLOW "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO, REFER"
#define UAS_SUPPORTED "timer, 100rel"
#define UAS_SDP "application/sdp"

// What our answers and requests of a session say of us.
#define UAS_ABOUT_TAGS SIPTAG_ALLOW_STR(UAS_ALLOW), SIPTAG_SUPPORTED_STR(UAS_SUPPORTED)

// A final response without a body, and the end of our interest in the request.
void uas_answer(nta_incoming_t *irq, int status, const char *phrase);
void uas_answer_later(nta_incoming_t *irq, int status, const char *phrase, unsigned retry_after_s);
void uas_answer_options(nta_incoming_t *irq);
void uas_answer_not_allowed(nta_incoming_t *irq); // 405, or 501 for what no RFC knows
void uas_answer_bad_type(nta_incoming_t *irq, const char *accept);
// True when the request requires what we do not have: the 420 has been sent.
bool uas_refuse_required(nta_incoming_t *irq, const sip_t *sip);

// The SDP of a request or response, "" when it has no body, as terminated text that the caller frees; also that in a
// multipart body (RFC 5621). -ENOTSUP: it is something else; -EINVAL, -EMSGSIZE, -ENOMEM.
int uas_sdp(const sip_t *sip, char **out);
// The same for a request, which is answered with 415, 400, 413 or 500 when it fails.
int uas_sdp_or_answer(nta_incoming_t *irq, const sip_t *sip, char **out);

int uas_post(struct uas *uas, uint64_t handle, enum sip_mail type, void *data, void (*free_data)(void *),
             bool vital);
int uas_post_text(struct uas *uas, uint64_t handle, enum sip_mail type, unsigned code, const char *text);

void uas_challenge(struct uas *uas, nta_incoming_t *irq, const struct sip_login *login, bool stale); // 401
enum digest_verdict uas_check_login(struct uas *uas, const sip_t *sip, const struct sip_login *login);

void uas_dialog_gone(struct uas *uas); // from dialog.c: one of them is freed

#endif
