// SPDX-License-Identifier: Apache-2.0
// A libwebsockets context on a libuv loop that is not its own, with one vhost and one protocol. Internal to
// signaling/: the only header that shows libwebsockets' types.
#ifndef IQ_SIGNALING_LWS_LOOP_H
#define IQ_SIGNALING_LWS_LOOP_H

#include "gateway/core/err.h"

#include <libwebsockets.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

struct lws_loop;

struct lws_loop_config {
    uv_loop_t *loop;
    lws_callback_function *callback;       // gets every event of every connection
    void *user;                            // lws_context_user() in the callback
    const char *tls_certificate, *tls_key; // empty = plain
    size_t max_connections;                // the owner must not adopt more
    unsigned ws_ping_s; // idle WebSockets are pinged after this, and dropped after twice this
};

int lws_loop_new(struct lws_loop **out, const struct lws_loop_config *config, struct err_text *err);

// Takes over the accepted socket `fd`; `conn` is its lws_get_opaque_user_data() from its first event on. A
// connection that cannot be taken is closed.
void lws_loop_adopt(struct lws_loop *loop, int fd, void *conn);

// Closes a connection after `seconds` (0: on the next turn of the loop), whatever it is doing.
void lws_loop_kill(struct lws *wsi, int seconds);

// Closes every connection (their callbacks run) and frees all; `on_closed` when nothing of it is left on the
// loop.
void lws_loop_close(struct lws_loop *loop, void (*on_closed)(void *arg), void *arg);

#endif
