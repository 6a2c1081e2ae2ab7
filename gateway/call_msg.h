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
    CALL_OFFER,       // text: SDP
    CALL_CANDIDATE,   // text: candidate (NULL = end), mid, ufrag, mline_index
    CALL_SOCKET_LOST, // the signalling socket dropped without a close
    CALL_SOCKET_BACK, // it was resumed
    CALL_HANGUP,      // text: reason
    // worker -> ctl
    SESSION_ANSWER,    // text: SDP
    SESSION_CANDIDATE, // as CALL_CANDIDATE
    SESSION_REFUSED,   // mid: error code, text: message. An offer was refused; the call goes on as it was
    SESSION_ENDED, // close_code (0 = hang-up), mid: error code, text: message. The call is over; say so to
                   // the browser
    SESSION_GONE,  // the worker holds nothing of the call any more; the slot may be used again
};

struct call_msg {
    char *text, *mid, *ufrag; // owned, may be NULL
    int mline_index;
    unsigned close_code;
};

// Copies the strings; NULL when memory is out.
struct call_msg *call_msg_new(const char *text, const char *mid, const char *ufrag);
void call_msg_free(void *msg);

struct call_open {
    char session_id[128];
    char *agent_url; // owned
    struct agent_format format;
    bool same_host; // the browser came from a loopback address: it may need loopback candidates
};
void call_open_free(void *open);

#endif
