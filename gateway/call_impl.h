// SPDX-License-Identifier: Apache-2.0
// What call.c (what every call has: agent, bridge, ends, report) and its far sides (call_browser.c,
// call_trunk.c) share.
#ifndef IQ_GATEWAY_CALL_IMPL_H
#define IQ_GATEWAY_CALL_IMPL_H

#include "gateway/bridge.h"
#include "gateway/call.h"
#include "gateway/call_report.h"

// Waiting for the far side's first offer; connecting: negotiated, the agent is called; up: media flows.
enum call_state { CALL_WAITING, CALL_CONNECTING, CALL_UP, CALL_ENDING };

struct call {
    enum call_state state;
    bool agent_open;
    struct agent *agent;   // owned until its on_closed
    struct bridge *bridge; // owned; before call_end only
    struct call_env env;
    const struct conf *conf; // held, since the worker's may be replaced meanwhile
    uint64_t handle;
    char id[128];
    char *agent_url;
    struct agent_format format;
    const struct call_side *side;
    struct leg leg; // of the far side; ops are NULL once it is closed
    union {
        struct {
            struct peer *peer;      // what `leg` is
            uint64_t dropped_at_us; // when the signalling socket dropped, 0 while it is there
        } browser;
        struct {
            struct trunk *trunk; // what `leg` is
            char *sdp;           // owned: our answer or offer, until the agent is there
            bool late;           // our offer waits for its answer
            uint64_t answered_us;
        } trunk;
    };
    uv_timer_t timer; // the far side's, for what it waits for
    bool timer_closed;
    bool text_lost;     // said once
    bool leg_text_lost; // likewise
    struct call_setup setup;
    uint64_t began_us, calling_us, up_us; // made, agent called, media up
};

// What only one kind of far side does. All on the call's worker.
struct call_side {
    const char *name; // "browser", "trunk": for logs and people
    // Makes call->leg, with call_leg_events. On an error nothing is left of it. The timer is not there yet.
    int (*open)(struct call *call, const struct call_open *open);
    void (*begin)(struct call *call, const struct call_open *open); // what comes next; may end the call
    void (*agent_up)(struct call *call);                            // may end the call; may be NULL
    void (*close)(struct call *call); // what it keeps beside the leg; may be NULL
    // Mail that call.c does not handle itself; never while the call is ending. `msg` may be NULL.
    void (*mail)(struct call *call, enum call_mail type, const struct call_msg *msg);
};

extern const struct call_side call_browser_side, call_trunk_side;
extern const struct leg_events call_leg_events; // for the leg of every far side; its arg is the call

// The far side is negotiated: makes the bridge and calls the agent. WAITING -> CONNECTING. May end the call.
void call_connect(struct call *call);
// Ends everything, once; the far side is told by SESSION_ENDED. `code` and `message` as in struct call_msg.
void call_end(struct call *call, enum call_cause cause, const char *code, const char *message);
void call_post(struct call *call, enum call_mail type, const char *text);
// An offer was refused; the call goes on.
void call_post_refusal(struct call *call, const char *code, const char *message);

#endif
