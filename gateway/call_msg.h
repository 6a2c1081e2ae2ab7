// SPDX-License-Identifier: Apache-2.0
// What ctl and the workers say to each other about a call. `mail.to` is the session's handle both ways: ctl's
// slot table hands it out, and the worker keeps the call under the same number.
#ifndef IQ_GATEWAY_CALL_MSG_H
#define IQ_GATEWAY_CALL_MSG_H

#include "gateway/agent.h"
#include "gateway/core/mailbox.h"

enum call_mail {
    // ctl -> worker
    CALL_OPEN = 1,    // struct call_open
    CALL_OFFER,       // text: SDP; of a trunk also "": it wants our offer
    CALL_ANSWER,      // text: SDP, to our offer
    CALL_CONFIRMED,   // the trunk has seen that the call is answered
    CALL_DTMF,        // text: one digit that came beside the media
    CALL_CANDIDATE,   // text: candidate (NULL = end), mid, ufrag, mline_index
    CALL_SOCKET_LOST, // the signalling socket dropped without a close
    CALL_SOCKET_BACK, // it was resumed
    CALL_HANGUP,      // text: reason, mid: code ("hangup" when NULL)
    // worker -> ctl
    SESSION_ANSWER,    // text: SDP, the answer or our offer. A trunk's first one says that the agent is there
    SESSION_CANDIDATE, // as CALL_CANDIDATE
    SESSION_REFUSED,   // mid: error code, text: message. An offer was refused; the call goes on as it was
    SESSION_ENDED,     // cause, mid: error code, text: message. The call is over; say so to the far side
    SESSION_GONE,      // the worker holds nothing of the call any more; the slot may be used again
};

// Why a call is over, as far as its far side must know. The code and the message say it to people.
enum call_cause {
    CALL_HUNG_UP,   // by either end or the operator: nothing went wrong
    CALL_BAD_OFFER, // bad_sdp, no_audio, no_common_codec
    CALL_TIMEOUT,   // connect_timeout
    CALL_NO_AGENT,  // agent_unavailable, agent_lost
    CALL_NO_MEDIA,  // media_failed, media_lost, signalling_lost
    CALL_INTERNAL,  // internal
};

struct call_msg {
    char *text, *mid, *ufrag; // owned, may be NULL
    int mline_index;
    enum call_cause cause;
};

// Copies the strings; NULL when memory is out.
struct call_msg *call_msg_new(const char *text, const char *mid, const char *ufrag);
void call_msg_free(void *msg);

enum call_kind { CALL_BROWSER, CALL_TRUNK };

struct call_open {
    enum call_kind kind; // of the far side
    char session_id[128];
    char *agent_url; // owned
    struct agent_format format;
    bool same_host; // the browser came from a loopback address: it may need loopback candidates
    struct call_open_trunk *trunk; // owned; NULL for a browser
};

struct call_open_trunk {
    char *sdp;                      // owned; the offer, NULL: it wants ours
    char local[64], remote[64];     // numeric: where its INVITE came to and from
    char sip_call_id[256];          // for the log
    bool require_srtp;              // of the number called
    uint32_t claim_ms, platform_ms; // what came before, for the report
};
void call_open_free(void *open);

#endif
