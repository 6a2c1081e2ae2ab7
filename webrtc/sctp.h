// SPDX-License-Identifier: Apache-2.0
// SCTP over DTLS (RFC 8261) by usrsctp, which is process-wide: one hub holds its lock and its timer; nothing else in the
// process touches usrsctp. Associations belong to their worker's thread.
#ifndef IQ_WEBRTC_SCTP_H
#define IQ_WEBRTC_SCTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct sctp_hub; // one per process
struct sctp;     // one association

// The hub runs usrsctp's timers every 10 ms on `loop` (any one loop), while there are associations.
int sctp_hub_new(struct sctp_hub **out, uv_loop_t *loop);
void sctp_hub_close(struct sctp_hub *hub); // on that loop's thread, after the last association has gone; frees itself later

struct sctp_events {
    void (*on_send)(const uint8_t *packet, size_t len, void *arg); // on the association's thread
    void (*on_up)(void *arg);
    void (*on_message)(uint16_t stream, uint32_t ppid, const uint8_t *data, size_t len, void *arg);
    void (*on_too_large)(uint16_t stream, void *arg); // a message beyond max_message was thrown away
    void (*on_stream_reset)(uint16_t stream, void *arg);
    void (*on_writable)(void *arg); // after sctp_send said -EAGAIN
    void (*on_end)(const char *reason, void *arg);
    void *arg;
};

struct sctp_config {
    uv_loop_t *loop;     // the association's thread
    uint16_t local_port, remote_port; // 5000
    size_t max_message;  // bytes received at most
    size_t send_buffer;  // bytes queued at most
};

int sctp_new(struct sctp **out, struct sctp_hub *hub, const struct sctp_config *config, const struct sctp_events *events);
void sctp_close(struct sctp *sctp); // aborts and frees; no event follows
int sctp_connect(struct sctp *sctp); // both sides may connect at once (RFC 8841 section 9)
void sctp_receive(struct sctp *sctp, const uint8_t *packet, size_t len);
int sctp_send(struct sctp *sctp, uint16_t stream, uint32_t ppid, const uint8_t *data, size_t len); // -EAGAIN, -EMSGSIZE
int sctp_reset_stream(struct sctp *sctp, uint16_t stream);

#endif
