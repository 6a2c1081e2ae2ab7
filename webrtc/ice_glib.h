// SPDX-License-Identifier: Apache-2.0
// A GMainContext inside a libuv loop: its few descriptors become uv_poll handles and its deadline a uv_timer,
// so that it costs nothing while it is quiet. For ice*.c alone: this header shows GLib. One thread, the
// loop's.
#ifndef IQ_WEBRTC_ICE_GLIB_H
#define IQ_WEBRTC_ICE_GLIB_H

#include <glib.h>
#include <stdbool.h>
#include <uv.h>

struct ice_glib;

// `on_ran` comes from the loop, each time after sources of the context have been dispatched or ice_glib_touch
// was called.
int ice_glib_new(struct ice_glib **out, uv_loop_t *loop, void (*on_ran)(void *arg), void *arg);
// Not from inside the context's own dispatch (on_ran is fine). `on_closed` comes from the loop, with all
// memory gone.
void ice_glib_close(struct ice_glib *bridge, void (*on_closed)(void *arg), void *arg);

GMainContext *
ice_glib_context(struct ice_glib *bridge); // borrowed; this thread owns it until the bridge is closed

// After calls into a library that may have added or removed sources outside a dispatch: looks at the context
// again at the loop's next turn.
void ice_glib_touch(struct ice_glib *bridge);

#endif
