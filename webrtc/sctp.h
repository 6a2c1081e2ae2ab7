// SPDX-License-Identifier: Apache-2.0
// SCTP over DTLS (RFC 8261) by usrsctp, which is process-wide: one hub holds its lock and its timer; nothing
// else in the process touches usrsctp. Associations belong to their worker's thread. (usrsctp exports plain
// names as sctp_close and calls them across its own objects: ours must differ, or it would call us.)
#ifndef IQ_WEBRTC_SCTP_H
#define IQ_WEBRTC_SCTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct sctp_hub; // one per process
struct sctp;     // one association

// Each way at most; stream ids beyond are refused. usrsctp keeps 64 bytes and more of each, used or not; browsers count
// theirs from 0 in steps of two.
enum { SCTP_STREAMS = 64 };

// The hub runs usrsctp's timers every 10 ms on `loop` (any one loop), while there are associations. -EBUSY
// when the process has a hub already.
int sctp_hub_new(struct sctp_hub **out, uv_loop_t *loop);
void sctp_hub_close(
    struct sctp_hub *hub); // on that loop's thread, after the last association has gone; frees itself later

// All on the association's thread, without the hub's lock; sctp_assoc_close may be called from any.
struct sctp_events {
    void (*on_send)(const uint8_t *packet, size_t len, void *arg);
    void (*on_up)(void *arg);
    void (*on_message)(uint16_t stream, uint32_t ppid, const uint8_t *data, size_t len, void *arg);
    void (*on_too_large)(uint16_t stream, void *arg);    // a message beyond max_message was thrown away
    void (*on_stream_reset)(uint16_t stream, void *arg); // the peer's outgoing stream
    void (*on_writable)(void *arg);                      // after sctp_assoc_send said -EAGAIN
    void (*on_end)(const char *reason, void *arg);       // once; nothing but sctp_assoc_close is left to do
    void *arg;
};

struct sctp_config {
    uv_loop_t *loop;                  // the association's thread
    uint16_t local_port, remote_port; // 5000
    size_t max_message;               // bytes received at most
    size_t send_buffer;               // bytes queued at most
};

// -ENOSPC beyond 16384 associations.
int sctp_assoc_new(struct sctp **out, struct sctp_hub *hub, const struct sctp_config *config,
                   const struct sctp_events *events);
// Aborts (the ABORT goes out by on_send before this returns) and frees; no event follows.
void sctp_assoc_close(struct sctp *sctp);
int sctp_assoc_connect(struct sctp *sctp); // both sides may connect at once (RFC 8841 section 9)
void sctp_assoc_receive(struct sctp *sctp, const uint8_t *packet, size_t len);
// Reliable and ordered. -EAGAIN when the buffer is full (on_writable follows), -EMSGSIZE when it could never
// hold the message, -ENOTCONN before on_up, -EPIPE after on_end, -EINVAL for a stream beyond the negotiated
// ones or no bytes.
int sctp_assoc_send(struct sctp *sctp, uint16_t stream, uint32_t ppid, const uint8_t *data, size_t len);
// Resets our outgoing stream (RFC 6525), after what is queued on it; waits its turn when another reset is
// under way.
int sctp_assoc_reset_stream(struct sctp *sctp, uint16_t stream);

#endif
