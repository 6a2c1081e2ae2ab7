// SPDX-License-Identifier: Apache-2.0
// What the SIP thread and ctl say to each other. A dialog (or a proxied INVITE) is known to the SIP thread by a
// handle of its own slot table: `mail.to` is that handle in both directions, so a late message finds nothing.
//
//   proxy      SIP_ROUTE ->        ctl: duplicate? limit, queue entry, servers    -> SIP_ROUTED -> 302 or failure
//   listener   SIP_INVITE ->       ctl: claims, platform, worker, agent
//                                  <- SIP_CHALLENGE        when the number has a login: before anything is claimed
//              SIP_AUTHORIZED ->   the login was good: go on. Else the 401 goes out and SIP_OVER comes; the
//                                  caller's next try is a new SIP_INVITE, which is challenged again
//                                  <- SIP_PROGRESS (180)   <- SIP_ACCEPT (200) or SIP_REJECT
//              SIP_ANSWER ->       the peer's answer to our offer, when its INVITE had none: out of the ACK
//              SIP_CONFIRMED ->    the ACK of the first 200 came
//              SIP_OFFER ->        re-INVITE or UPDATE;    <- SIP_ACCEPT or SIP_REJECT for that offer, always one of
//                                  them. The next SIP_OFFER comes only after that. Also what a peer says to our
//                                  last SDP, sent again by a session refresh, when that is something new
//              SIP_DTMF ->         INFO
//              SIP_OVER ->         BYE, CANCEL, timers, failure: once, last; also after SIP_BYE
//                                  <- SIP_BYE              we hang up (487 or the status before the 200)
#ifndef IQ_SIP_SIP_MSG_H
#define IQ_SIP_SIP_MSG_H

#include "gateway/core/mailbox.h"

enum sip_mail {
    // SIP thread -> ctl
    SIP_ROUTE = 2000, // struct sip_route_ask
    SIP_ROUTE_GONE,   // the INVITE was cancelled before its verdict: give back what was taken
    SIP_INVITE,       // struct sip_invite
    SIP_AUTHORIZED,
    SIP_OFFER,  // struct sip_text: SDP, "" when the re-INVITE has none (we offer)
    SIP_ANSWER, // struct sip_text: SDP
    SIP_CONFIRMED,
    SIP_DTMF, // struct sip_text: one digit
    SIP_OVER, // struct sip_text: code (enum sip_over) and the reason for a person
    // ctl -> SIP thread
    SIP_ROUTED,    // struct sip_verdict
    SIP_CHALLENGE, // struct sip_login
    SIP_PROGRESS,  // 180. struct sip_text: the session's id, for the log lines of this call; may be NULL
    SIP_ACCEPT,    // struct sip_text: SDP for the 200
    SIP_REJECT,    // struct sip_text: code is the status, text the reason phrase
    SIP_BYE,       // struct sip_text: code is the Q.850 cause (0 = 16), text the reason for the Reason header
};

enum sip_over {
    SIP_OVER_BYE,       // the far end hung up
    SIP_OVER_CANCEL,    // before the answer
    SIP_OVER_NO_ACK,    // our 200 was never acknowledged
    SIP_OVER_EXPIRED,   // the session timer ran out (RFC 4028)
    SIP_OVER_TRANSPORT, // the connection or a transaction failed
    SIP_OVER_LOGIN,     // challenged: no login, or a wrong one
    SIP_OVER_OURS,      // after SIP_BYE or SIP_REJECT
};

enum { SIP_TEXT_ID = 128, SIP_MAX_SDP = 16384, SIP_MAX_HEADERS = 16, SIP_MAX_BACKENDS = 3 };

struct sip_text {
    unsigned code;
    unsigned retry_after_s; // of a SIP_REJECT, 0 = no header
    char *text;             // owned; NULL for none
};

// What callers of a number must know (RFC 3261 section 22).
struct sip_login {
    char username[128], password[128]; // never logged
    bool sha256;                       // offered beside MD5
};

struct sip_header {
    char *name, *value; // owned
};

// One INVITE, copied out of sofia's types. Strings are owned, terminated, without control characters, and never
// NULL.
struct sip_request {
    char call_id[256], from_tag[256]; // from_tag "" of RFC 2543 callers
    uint32_t cseq;
    char business_id[32], phone_id[SIP_TEXT_ID]; // X-Business-Id, X-Phone-Id of the URI; "" when absent
    char queue_id[SIP_TEXT_ID];                  // X-CallQueue-Id of the URI; "" when absent
    char called[SIP_TEXT_ID];                    // user part of the request URI: the dialled number
    char caller[SIP_TEXT_ID]; // user part of From, or of P-Asserted-Identity from a trusted source
    char caller_name[SIP_TEXT_ID];
    char source[64]; // numeric address it came from
    uint16_t source_port;
    char transport[8]; // "udp", "tcp", "tls"
    char user_agent[SIP_TEXT_ID];
    struct sip_header headers[SIP_MAX_HEADERS]; // those of Sip.ForwardedHeaders
    size_t header_count;
};

// The proxy's own checks have passed: who calls which number is known and allowed.
struct sip_route_ask {
    struct sip_request request;
    char number_id[SIP_TEXT_ID], region_id[SIP_TEXT_ID]; // of the configuration
};

struct sip_backend {
    char endpoint[256];
    uint16_t port, tls_port; // tls_port 0: the same
};

struct sip_verdict {
    unsigned status;        // 302, or what refuses it
    char reason[128];       // phrase
    unsigned retry_after_s; // 0 = no header
    char queue_id[SIP_TEXT_ID];
    struct sip_backend backends[SIP_MAX_BACKENDS]; // best first
    size_t backend_count;
};

struct sip_invite {
    struct sip_request request;
    char local[64];      // numeric address of ours that it came to: where media is best received
    char *sdp;           // owned; NULL: the INVITE brought none, so the 200 carries our offer
    bool wants_reliable; // 100rel: PRACK
};

// Free what a mail holds; each fits mail.free_data.
void sip_text_free(void *text);
void sip_login_free(void *login);                    // wipes it
void sip_request_clear(struct sip_request *request); // frees what its headers hold
void sip_route_ask_free(void *ask);
void sip_invite_free(void *invite);
struct sip_text *sip_text_new(unsigned code, const char *text); // copies; NULL when memory is out

#endif
