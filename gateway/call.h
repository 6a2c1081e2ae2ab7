// SPDX-License-Identifier: Apache-2.0
// One call: one leg, of a browser or a trunk, and one agent, bridged. Lives on one worker, from CALL_OPEN to
// SESSION_GONE.
//
//   CALL_OPEN -> waiting -(good offer)-> connecting -(leg up)-> up -> ending -(both sides closed)-> gone
//
// A browser is answered at once and brings its media up while the agent is called; a trunk is answered when the
// agent is there, so that nobody hears dead air.
//
// Whoever ends first ends the other: a hang-up closes the agent with 1000, an agent that closes or dies
// closes the leg.
#ifndef IQ_GATEWAY_CALL_H
#define IQ_GATEWAY_CALL_H

#include "gateway/call_figures.h"
#include "gateway/call_msg.h"
#include "gateway/core/conf.h"
#include "gateway/core/ticker.h"
#include "sip/trunk.h"
#include "webrtc/peer.h"

struct call;

// What a worker's calls share; borrowed, but each call holds the conf it began with.
struct call_env {
    uv_loop_t *loop;
    struct ticker *ticker;
    const struct peer_env *peer;
    const struct peer_env *peer_same_host; // the same, with loopback candidates
    const struct trunk_env *trunk;
    const struct conf *conf;
    const struct wsc_tls *tls;
    const unsigned *complexity; // of Opus encoders, as it is now; NULL for the codec's own
    // To ctl. Takes `msg` (may be NULL).
    void (*post)(enum call_mail type, uint64_t handle, struct call_msg *msg, void *arg);
    void (*on_gone)(uint64_t handle, void *arg); // the call has freed itself
    void *arg;
};

int call_new(struct call **out, const struct call_env *env, uint64_t handle, const struct call_open *open);
void call_figures(const struct call *call, struct call_figures *out); // how it is doing
void call_mail(struct call *call, enum call_mail type, const struct call_msg *msg);

#endif
