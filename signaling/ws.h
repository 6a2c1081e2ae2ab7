// SPDX-License-Identifier: Apache-2.0
// The server's side of one WebSocket, from the upgrade request to the end. Internal to signaling/: the public
// calls (ws_send, ws_close) are in http.h. The returns of on_* are for the library: 0, or -1 to close the
// connection.
#ifndef IQ_SIGNALING_WS_H
#define IQ_SIGNALING_WS_H

#include "signaling/http_conn.h"

// A request with an Upgrade header. 0: the upgrade goes on. -1: it was refused (and answered), the connection
// closes.
int ws_on_upgrade(struct http_conn *conn, const char *protocol);
int ws_on_established(struct ws *ws);
int ws_on_receive(struct ws *ws, const uint8_t *data, size_t len);
int ws_on_writable(struct ws *ws);
int ws_on_peer_close(struct ws *ws, const uint8_t *data, size_t len);
void ws_on_gone(struct ws *ws); // the connection is no more: tells the owner and frees

#endif
