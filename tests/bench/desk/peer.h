// SPDX-License-Identifier: Apache-2.0
// A TCP connection of the load that speaks HTTP/1.1 or, once upgraded, WebSocket: whole messages in, short ones out.
// One thread; what does not fit the kernel's buffer at once ends the program, since a closed loop never has so much.
#ifndef IQ_BENCH_DESK_PEER_H
#define IQ_BENCH_DESK_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PEER_BYTES = 16384 };

struct peer;

// Borrowed for the call, ended by NUL.
struct message {
    const char *head; // HTTP: from the first line to the body
    const char *body; // HTTP's body, or a WebSocket frame's text
    size_t body_len;
};

struct peer {
    int fd; // -1 = none
    bool server, websocket;
    void (*on_message)(struct peer *peer, const struct message *message);
    void (*on_end)(struct peer *peer); // the other side is gone; `fd` is closed already
    void *arg;
    size_t in_len;
    char in[PEER_BYTES + 1];
};

int64_t now_us(void);

int peers_start(void);
// A client's connection; blocks until it stands.
int peer_connect(struct peer *peer, unsigned port);
// `on_message` of whoever comes; `arg` is theirs as well. Bounded by `cap` connections, which are the caller's.
int peer_listen(struct peer *peers, size_t cap, unsigned port,
                void (*on_message)(struct peer *peer, const struct message *message), void *arg);
void peer_send(struct peer *peer, const char *text, size_t len);
void peer_send_frame(struct peer *peer, const char *text); // a client's, masked
void peer_close(struct peer *peer);

// Turns until `done` says so. False when that took longer than `timeout_s`.
bool peers_turn(bool (*done)(void *arg), void *arg, double timeout_s);

// The text between the quotes behind `"name":`, in `out`. False when it is not there.
bool text_field(const char *json, const char *name, char *out, size_t out_size);

#endif
