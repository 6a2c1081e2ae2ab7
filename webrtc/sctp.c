// SPDX-License-Identifier: Apache-2.0
//
//   sctp_assoc_receive, sctp_assoc_send, timer --> usrsctp --> queue of packets --> sctp_pump --> on_send
//                                        |                                |
//                                        +--> upcall sets `woken` --------+--> recvv, one at a time
//                                                                              --> on_message ...
//
// Everything left of sctp_pump happens under the hub's lock, partly on another thread; sctp_pump runs on the
// association's own thread and calls out without the lock.
#include "webrtc/sctp.h"

#include "gateway/core/err.h"
#include "webrtc/sctp_hub.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATH_MTU = 1148, // usrsctp adds its header of 12; with DTLS around it stays within 1200 (dtls.h)
    PACKET_MOST = 4096,
    READ_STEP = 2048, // room for a read at least; no notification is larger
};

struct sctp {
    struct sctp_hub *hub; // borrows
    struct sctp_port port;
    struct socket *socket; // owns; under the hub's lock
    struct sctp_config config;
    struct sctp_events events;
    uv_async_t async;
    bool up, ended, closing;
    bool pumping; // sctp_pump is on the stack; what happens meanwhile it will see
    bool want_writable;
    // The message being put together. Pieces come only from one beyond max_message, as usrsctp delivers
    // smaller ones whole.
    uint8_t *message; // owns
    size_t message_room, message_len;
    uint16_t message_stream;
    bool skipping;                    // the rest of a too large message, on message_stream
    uint8_t resets[SCTP_STREAMS / 8]; // outgoing streams to reset when the one under way is done
};

static struct sockaddr_conn sctp_address(const struct sctp *sctp, uint16_t port) {
    return (struct sockaddr_conn){
        .sconn_family = AF_CONN, .sconn_port = htons(port), .sconn_addr = port_address(&sctp->port)};
}

static void sctp_end(struct sctp *sctp, const char *reason) {
    if (sctp->ended || sctp->closing)
        return;
    sctp->ended = true;
    sctp->events.on_end(reason, sctp->events.arg);
}

static void sctp_flush(struct sctp *sctp) {
    struct sctp_packet *packet = hub_take_packets(sctp->hub, &sctp->port);
    while (packet) {
        struct sctp_packet *next = packet->next;
        if (!sctp->closing)
            sctp->events.on_send(packet->data, packet->len, sctp->events.arg);
        free(packet);
        packet = next;
    }
}

static bool resets_any(const struct sctp *sctp) {
    static const uint8_t none[SCTP_STREAMS / 8];
    return memcmp(sctp->resets, none, sizeof none) != 0;
}

// One request may be outstanding (RFC 6525 section 5.1.1): EALREADY leaves the bits for when its answer has
// come.
static int resets_send(struct sctp *sctp) {
    if (!resets_any(sctp))
        return 0;
    union {
        struct sctp_reset_streams request;
        uint8_t room[sizeof(struct sctp_reset_streams) + SCTP_STREAMS * sizeof(uint16_t)];
    } u = {.request = {.srs_flags = SCTP_STREAM_RESET_OUTGOING}};
    for (unsigned stream = 0; stream < SCTP_STREAMS; stream++)
        if (sctp->resets[stream / 8] & 1u << stream % 8)
            u.request.srs_stream_list[u.request.srs_number_streams++] = (uint16_t)stream;
    size_t len = sizeof u.request + u.request.srs_number_streams * sizeof(uint16_t);
    hub_enter(sctp->hub, &sctp->port);
    int failed = usrsctp_setsockopt(sctp->socket, IPPROTO_SCTP, SCTP_RESET_STREAMS, &u, (socklen_t)len);
    int error = errno;
    hub_leave(sctp->hub);
    if (failed && (error == EALREADY || error == EAGAIN))
        return 0;
    memset(sctp->resets, 0, sizeof sctp->resets);
    return failed ? -error : 0;
}

static void on_assoc_change(struct sctp *sctp, const uint8_t *data) {
    struct sctp_assoc_change change;
    memcpy(&change, data, sizeof change);
    switch (change.sac_state) {
    case SCTP_COMM_UP:
        if (!sctp->up) {
            sctp->up = true;
            sctp->events.on_up(sctp->events.arg);
        }
        return;
    case SCTP_COMM_LOST:
        sctp_end(sctp, "association lost or aborted");
        return;
    case SCTP_RESTART:
        sctp_end(sctp, "association restarted by the peer");
        return;
    case SCTP_SHUTDOWN_COMP:
        sctp_end(sctp, "association closed");
        return;
    case SCTP_CANT_STR_ASSOC:
        sctp_end(sctp, "association could not be set up");
        return;
    default:
        return;
    }
}

static void on_stream_reset(struct sctp *sctp, const uint8_t *data, size_t len) {
    struct sctp_stream_reset_event event;
    memcpy(&event, data, sizeof event);
    size_t count = (len - sizeof event) / sizeof(uint16_t);
    bool refused = event.strreset_flags & (SCTP_STREAM_RESET_DENIED | SCTP_STREAM_RESET_FAILED);
    bool incoming = !refused && event.strreset_flags & SCTP_STREAM_RESET_INCOMING_SSN;
    size_t total = count ? count : SCTP_STREAMS; // an empty list means all of them
    for (size_t i = 0; incoming && i < total && !sctp->closing; i++) {
        uint16_t stream = (uint16_t)i;
        if (count)
            memcpy(&stream, data + sizeof event + i * sizeof stream, sizeof stream);
        sctp->events.on_stream_reset(stream, sctp->events.arg);
    }
    if (!sctp->closing)
        resets_send(sctp);
}

static void on_notification(struct sctp *sctp, const uint8_t *data, size_t len) {
    struct sctp_tlv tlv;
    if (len < sizeof tlv)
        return;
    memcpy(&tlv, data, sizeof tlv);
    if (tlv.sn_type == SCTP_ASSOC_CHANGE && len >= sizeof(struct sctp_assoc_change))
        on_assoc_change(sctp, data);
    else if (tlv.sn_type == SCTP_STREAM_RESET_EVENT && len >= sizeof(struct sctp_stream_reset_event))
        on_stream_reset(sctp, data, len);
    else if (tlv.sn_type == SCTP_PARTIAL_DELIVERY_EVENT) {
        sctp->skipping = false; // the rest will never come
        sctp->message_len = 0;
    }
}

// A piece of `len` bytes was read behind the message_len bytes that are there.
static void on_piece(struct sctp *sctp, const struct sctp_rcvinfo *info, size_t len, bool last) {
    uint16_t stream = info->rcv_sid;
    if (sctp->skipping && stream == sctp->message_stream) {
        sctp->skipping = !last;
        return;
    }
    sctp->message_len += len;
    if (sctp->message_len > sctp->config.max_message) {
        sctp->message_len = 0;
        sctp->message_stream = stream;
        sctp->skipping = !last;
        sctp->events.on_too_large(stream, sctp->events.arg);
        return;
    }
    if (!last)
        return;
    size_t whole = sctp->message_len;
    sctp->message_len = 0;
    sctp->events.on_message(stream, ntohl(info->rcv_ppid), sctp->message, whole, sctp->events.arg);
}

static int message_reserve(struct sctp *sctp) {
    if (sctp->message_room - sctp->message_len >= READ_STEP)
        return 0;
    size_t room = sctp->message_room ? sctp->message_room * 2 : READ_STEP;
    uint8_t *message = realloc(sctp->message, room);
    if (!message)
        return -ENOMEM;
    sctp->message = message;
    sctp->message_room = room;
    return 0;
}

// A large message is rare: its room goes back.
static void message_shrink(struct sctp *sctp) {
    if (sctp->message_len || sctp->message_room <= READ_STEP)
        return;
    free(sctp->message);
    sctp->message = NULL;
    sctp->message_room = 0;
}

// Reads one message, piece or notification and delivers it. False when there is none.
static bool sctp_read(struct sctp *sctp) {
    if (message_reserve(sctp)) {
        sctp_end(sctp, "out of memory");
        return false;
    }
    uint8_t *at = sctp->message + sctp->message_len;
    struct sctp_rcvinfo info = {0};
    socklen_t info_len = sizeof info;
    unsigned info_type = SCTP_RECVV_NOINFO;
    int flags = 0;
    struct sockaddr_conn from;
    socklen_t from_len = sizeof from;
    hub_enter(sctp->hub, &sctp->port);
    ssize_t len = usrsctp_recvv(sctp->socket, at, sctp->message_room - sctp->message_len,
                                (struct sockaddr *)&from, &from_len, &info, &info_len, &info_type, &flags);
    hub_leave(sctp->hub);
    if (len <= 0)
        return false;
    if (flags & MSG_NOTIFICATION)
        on_notification(sctp, at, (size_t)len);
    else if (info_type == SCTP_RECVV_RCVINFO)
        on_piece(sctp, &info, (size_t)len, flags & MSG_EOR);
    return true;
}

static bool sctp_can_write(struct sctp *sctp) {
    hub_enter(sctp->hub, &sctp->port);
    bool can = usrsctp_get_events(sctp->socket) & SCTP_EVENT_WRITE;
    hub_leave(sctp->hub);
    return can;
}

// Once per wake-up: room for some bytes may still be too little for the message that waits.
static void sctp_tell_writable(struct sctp *sctp) {
    if (!sctp->want_writable || sctp->ended || !sctp_can_write(sctp))
        return;
    sctp->want_writable = false;
    sctp->events.on_writable(sctp->events.arg);
}

static void sctp_pump(struct sctp *sctp) {
    if (sctp->pumping || sctp->closing)
        return;
    sctp->pumping = true;
    sctp_flush(sctp);
    while (!sctp->closing && hub_take_woken(sctp->hub, &sctp->port)) {
        while (!sctp->closing && !sctp->ended && sctp_read(sctp))
            sctp_flush(sctp);
        if (!sctp->closing)
            sctp_tell_writable(sctp);
        if (!sctp->closing)
            sctp_flush(sctp);
    }
    sctp->pumping = false;
    if (!sctp->closing)
        message_shrink(sctp);
}

static void on_async(uv_async_t *async) {
    sctp_pump(async->data);
}

void sctp_assoc_receive(struct sctp *sctp, const uint8_t *packet, size_t len) {
    if (sctp->closing || sctp->ended || !len || len > PACKET_MOST)
        return;
    hub_enter(sctp->hub, &sctp->port);
    usrsctp_conninput(port_address(&sctp->port), packet, len, 0);
    sctp->port.woken = true; // an acknowledgement makes room without an upcall
    hub_leave(sctp->hub);
    sctp_pump(sctp);
}

int sctp_assoc_send(struct sctp *sctp, uint16_t stream, uint32_t ppid, const uint8_t *data, size_t len) {
    if (sctp->closing || sctp->ended)
        return -EPIPE;
    if (!sctp->up)
        return -ENOTCONN;
    if (!len)
        return -EINVAL;
    if (len > sctp->config.send_buffer)
        return -EMSGSIZE;
    struct sctp_sndinfo info = {.snd_sid = stream, .snd_ppid = htonl(ppid)};
    hub_enter(sctp->hub, &sctp->port);
    ssize_t sent = usrsctp_sendv(sctp->socket, data, len, NULL, 0, &info, sizeof info, SCTP_SENDV_SNDINFO, 0);
    int error = errno;
    hub_leave(sctp->hub);
    if (sent < 0 && (error == EWOULDBLOCK || error == ENOBUFS)) {
        sctp->want_writable = true;
        return -EAGAIN;
    }
    sctp_pump(sctp);
    if (sent < 0)
        return -error;
    return (size_t)sent == len ? 0 : -EIO;
}

int sctp_assoc_reset_stream(struct sctp *sctp, uint16_t stream) {
    if (sctp->closing || sctp->ended)
        return -EPIPE;
    if (!sctp->up)
        return -ENOTCONN;
    if (stream >= SCTP_STREAMS)
        return -EINVAL;
    sctp->resets[stream / 8] |= (uint8_t)(1u << stream % 8);
    int err = resets_send(sctp);
    sctp_pump(sctp);
    return err;
}

int sctp_assoc_connect(struct sctp *sctp) {
    if (sctp->closing || sctp->ended)
        return -EPIPE;
    struct sockaddr_conn remote = sctp_address(sctp, sctp->config.remote_port);
    struct sctp_paddrparams path = {.spp_flags = SPP_PMTUD_DISABLE, .spp_pathmtu = PATH_MTU};
    memcpy(&path.spp_address, &remote, sizeof remote);
    hub_enter(sctp->hub, &sctp->port);
    int err = usrsctp_connect(sctp->socket, (struct sockaddr *)&remote, sizeof remote) == 0 ? 0 : -errno;
    if (err == -EINPROGRESS)
        err = 0;
    // Each path is told: nothing below would say that a packet was too large.
    if (!err &&
        usrsctp_setsockopt(sctp->socket, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &path, sizeof path) != 0)
        err = -errno;
    hub_leave(sctp->hub);
    sctp_pump(sctp);
    return err;
}

static bool option(struct socket *socket, int level, int name, const void *value, size_t len) {
    return usrsctp_setsockopt(socket, level, name, value, (socklen_t)len) == 0;
}

static bool socket_subscribe(struct socket *socket) {
    static const uint16_t types[] = {SCTP_ASSOC_CHANGE, SCTP_STREAM_RESET_EVENT, SCTP_PARTIAL_DELIVERY_EVENT};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct sctp_event event = {.se_assoc_id = SCTP_ALL_ASSOC, .se_type = types[i], .se_on = 1};
        if (!option(socket, IPPROTO_SCTP, SCTP_EVENT, &event, sizeof event))
            return false;
    }
    return true;
}

// The receive buffer is four times the largest message and the partial delivery point twice, so that what may
// be accepted always comes whole, and only what is too large comes in pieces.
static bool socket_size(struct socket *socket, const struct sctp_config *config) {
    size_t largest = config->max_message > READ_STEP ? config->max_message : READ_STEP;
    int receive = (int)(largest * 4), send = (int)config->send_buffer;
    uint32_t partial = (uint32_t)(largest * 2);
    return option(socket, SOL_SOCKET, SO_RCVBUF, &receive, sizeof receive) &&
           option(socket, SOL_SOCKET, SO_SNDBUF, &send, sizeof send) &&
           option(socket, IPPROTO_SCTP, SCTP_PARTIAL_DELIVERY_POINT, &partial, sizeof partial);
}

static bool socket_tune(struct socket *socket) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0}; // close aborts
    int on = 1, no_interleave = 0;
    struct sctp_assoc_value reset = {.assoc_id = SCTP_ALL_ASSOC,
                                     .assoc_value =
                                         SCTP_ENABLE_RESET_STREAM_REQ | SCTP_ENABLE_CHANGE_ASSOC_REQ};
    struct sctp_initmsg streams = {.sinit_num_ostreams = SCTP_STREAMS, .sinit_max_instreams = SCTP_STREAMS};
    // A person waits: a lost packet must not cost the seconds that RFC 9260 starts with.
    struct sctp_rtoinfo rto = {.srto_initial = 500, .srto_max = 5000, .srto_min = 200};
    return option(socket, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) &&
           option(socket, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof on) &&
           option(socket, IPPROTO_SCTP, SCTP_RECVRCVINFO, &on, sizeof on) &&
           option(socket, IPPROTO_SCTP, SCTP_FRAGMENT_INTERLEAVE, &no_interleave, sizeof no_interleave) &&
           option(socket, IPPROTO_SCTP, SCTP_ENABLE_STREAM_RESET, &reset, sizeof reset) &&
           option(socket, IPPROTO_SCTP, SCTP_INITMSG, &streams, sizeof streams) &&
           option(socket, IPPROTO_SCTP, SCTP_RTOINFO, &rto, sizeof rto) && socket_subscribe(socket);
}

static int socket_open(struct sctp *sctp) {
    sctp->socket = usrsctp_socket(AF_CONN, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
    if (!sctp->socket)
        return -ENOMEM;
    struct sockaddr_conn local = sctp_address(sctp, sctp->config.local_port);
    if (usrsctp_set_non_blocking(sctp->socket, 1) == 0 && socket_size(sctp->socket, &sctp->config) &&
        socket_tune(sctp->socket) && usrsctp_set_upcall(sctp->socket, hub_on_upcall, local.sconn_addr) == 0 &&
        usrsctp_bind(sctp->socket, (struct sockaddr *)&local, sizeof local) == 0)
        return 0;
    int err = errno ? -errno : -EIO;
    usrsctp_close(sctp->socket);
    return err;
}

int sctp_assoc_new(struct sctp **out, struct sctp_hub *hub, const struct sctp_config *config,
                   const struct sctp_events *events) {
    struct sctp *sctp = calloc(1, sizeof *sctp);
    if (!sctp)
        return -ENOMEM;
    sctp->hub = hub;
    sctp->config = *config;
    sctp->events = *events;
    sctp->port.wake = &sctp->async;
    int err = hub_add(hub, &sctp->port);
    if (err)
        goto out_free;
    hub_enter(hub, &sctp->port);
    err = socket_open(sctp);
    hub_leave(hub);
    if (err)
        goto out_hub;
    err = uv_async_init(config->loop, &sctp->async, on_async);
    if (err)
        goto out_socket;
    sctp->async.data = sctp;
    *out = sctp;
    return 0;

out_socket:
    hub_enter(hub, &sctp->port);
    usrsctp_close(sctp->socket);
    hub_leave(hub);
out_hub:
    hub_remove(hub, &sctp->port);
out_free:
    free(sctp);
    return err;
}

static void on_closed(uv_handle_t *handle) {
    struct sctp *sctp = handle->data;
    free(sctp->message);
    free(sctp);
}

void sctp_assoc_close(struct sctp *sctp) {
    if (!sctp || sctp->closing)
        return;
    hub_enter(sctp->hub, &sctp->port);
    usrsctp_close(sctp->socket);
    hub_leave(sctp->hub);
    hub_remove(sctp->hub, &sctp->port); // no other thread can wake us from here on
    sctp->ended = true;
    sctp_flush(sctp);
    if (sctp->closing) // on_send closed us
        return;
    sctp->closing = true;
    uv_close((uv_handle_t *)&sctp->async, on_closed);
}
