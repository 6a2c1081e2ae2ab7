// SPDX-License-Identifier: Apache-2.0
#include "webrtc/sctp_hub.h"

#include "gateway/core/err.h"
#include "gateway/core/log.h"
#include "webrtc/sctp.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    ASSOCIATIONS_MOST = 16384,
    TIMER_MS = 10,
    ELAPSED_MOST_MS = 1000,
    // How long the timers go on after the last association: usrsctp frees what it had to keep by timers.
    LINGER_MS = 2000,
    QUEUE_MOST_BYTES = 512 * 1024,
    FINISH_ROUNDS = 600,
    FINISH_STEP_MS = 100,
};

struct sctp_hub {
    pthread_mutex_t lock;
    struct slot_table *ports; // guarded, as is everything usrsctp
    struct sctp_port *inside; // whose own thread holds the lock; guarded
    uint64_t busy_ms;         // when there last was an association; guarded
    uv_timer_t timer;         // the loop's thread
    uv_async_t wake;          // starts the timer
    uint64_t last_ms;         // when the timers last ran
    int handles;              // not yet closed
};

// usrsctp passes its callbacks no context of ours: it is one per process, and so is the hub.
static struct sctp_hub *the_hub;
static pthread_mutex_t the_hub_lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t now_ms(void) {
    return uv_hrtime() / 1000000;
}

static struct sctp_port *port_find(void *address) {
    return the_hub ? slot_get(the_hub->ports, (uint64_t)(uintptr_t)address) : NULL;
}

static void port_wake(struct sctp_port *port) {
    if (port != the_hub->inside)
        uv_async_send(port->wake);
}

// Called by usrsctp, hence with the lock held, on whichever thread entered it.
static int on_output(void *address, void *buffer, size_t len, uint8_t tos, uint8_t set_df) {
    (void)tos;
    (void)set_df;
    struct sctp_port *port = port_find(address);
    if (!port || port->queued_bytes + len > QUEUE_MOST_BYTES)
        return 0; // lost on the way, which SCTP is made for
    struct sctp_packet *packet = malloc(sizeof *packet + len);
    if (!packet)
        return ENOBUFS;
    packet->next = NULL;
    packet->len = len;
    memcpy(packet->data, buffer, len);
    *port->tail = packet;
    port->tail = &packet->next;
    port->queued_bytes += len;
    port_wake(port);
    return 0;
}

// Likewise with the lock held, and with locks of usrsctp's own: nothing of it may be called from here.
void hub_on_upcall(struct socket *socket, void *address, int flags) {
    (void)socket;
    (void)flags;
    struct sctp_port *port = port_find(address);
    if (!port)
        return;
    port->woken = true;
    port_wake(port);
}

void hub_enter(struct sctp_hub *hub, struct sctp_port *port) {
    pthread_mutex_lock(&hub->lock);
    hub->inside = port;
}

void hub_leave(struct sctp_hub *hub) {
    hub->inside = NULL;
    pthread_mutex_unlock(&hub->lock);
}

struct sctp_packet *hub_take_packets(struct sctp_hub *hub, struct sctp_port *port) {
    pthread_mutex_lock(&hub->lock);
    struct sctp_packet *head = port->head;
    port->head = NULL;
    port->tail = &port->head;
    port->queued_bytes = 0;
    pthread_mutex_unlock(&hub->lock);
    return head;
}

bool hub_take_woken(struct sctp_hub *hub, struct sctp_port *port) {
    pthread_mutex_lock(&hub->lock);
    bool woken = port->woken;
    port->woken = false;
    pthread_mutex_unlock(&hub->lock);
    return woken;
}

int hub_add(struct sctp_hub *hub, struct sctp_port *port) {
    port->tail = &port->head;
    pthread_mutex_lock(&hub->lock);
    int err = slot_put(hub->ports, port, &port->handle);
    if (!err) {
        usrsctp_register_address(port_address(port));
        hub->busy_ms = now_ms();
    }
    pthread_mutex_unlock(&hub->lock);
    if (!err)
        uv_async_send(&hub->wake);
    return err;
}

void hub_remove(struct sctp_hub *hub, struct sctp_port *port) {
    pthread_mutex_lock(&hub->lock);
    usrsctp_deregister_address(port_address(port));
    slot_take(hub->ports, port->handle);
    hub->busy_ms = now_ms();
    pthread_mutex_unlock(&hub->lock);
}

static void on_timer(uv_timer_t *timer) {
    struct sctp_hub *hub = timer->data;
    uint64_t now = now_ms();
    uint64_t elapsed_ms = now - hub->last_ms;
    hub->last_ms = now;
    pthread_mutex_lock(&hub->lock);
    if (elapsed_ms > 0)
        usrsctp_handle_timers((uint32_t)(elapsed_ms < ELAPSED_MOST_MS ? elapsed_ms : ELAPSED_MOST_MS));
    bool idle = slot_count(hub->ports) == 0 && now - hub->busy_ms > LINGER_MS;
    pthread_mutex_unlock(&hub->lock);
    if (idle)
        uv_timer_stop(timer);
}

static void on_wake(uv_async_t *async) {
    struct sctp_hub *hub = async->data;
    if (uv_is_active((uv_handle_t *)&hub->timer))
        return;
    hub->last_ms = now_ms();
    uv_timer_start(&hub->timer, on_timer, TIMER_MS, TIMER_MS);
}

static void usrsctp_set_up(void) {
    usrsctp_init_nothreads(0, on_output, NULL);
    usrsctp_sysctl_set_sctp_blackhole(2); // no answer to what belongs to no association
    usrsctp_sysctl_set_sctp_ecn_enable(0);
    usrsctp_sysctl_set_sctp_asconf_enable(0); // addresses mean nothing under DTLS (RFC 8261 section 5)
    usrsctp_sysctl_set_sctp_auth_enable(0);
    usrsctp_sysctl_set_sctp_vtag_time_wait(0); // no stray packet crosses from one DTLS connection to another
    usrsctp_sysctl_set_sctp_pktdrop_enable(0);
    usrsctp_sysctl_set_sctp_nrsack_enable(0);
    usrsctp_sysctl_set_sctp_delayed_sack_time_default(20);
}

static int hub_claim(struct sctp_hub *hub) {
    pthread_mutex_lock(&the_hub_lock);
    int err = the_hub ? -EBUSY : 0;
    if (!err)
        the_hub = hub;
    pthread_mutex_unlock(&the_hub_lock);
    return err;
}

static void hub_unclaim(void) {
    pthread_mutex_lock(&the_hub_lock);
    the_hub = NULL;
    pthread_mutex_unlock(&the_hub_lock);
}

int sctp_hub_new(struct sctp_hub **out, uv_loop_t *loop) {
    struct sctp_hub *hub = calloc(1, sizeof *hub);
    if (!hub)
        return -ENOMEM;
    int err = slot_table_new(&hub->ports, ASSOCIATIONS_MOST);
    if (err)
        goto out_free;
    err = hub_claim(hub);
    if (err)
        goto out_ports;
    err = uv_async_init(loop, &hub->wake, on_wake);
    if (err)
        goto out_claim;
    uv_timer_init(loop, &hub->timer);
    hub->timer.data = hub->wake.data = hub;
    hub->handles = 2;
    pthread_mutex_init(&hub->lock, NULL);
    usrsctp_set_up();
    *out = hub;
    return 0;

out_claim:
    hub_unclaim();
out_ports:
    slot_table_free(hub->ports);
out_free:
    free(hub);
    return err;
}

static void on_closed(uv_handle_t *handle) {
    struct sctp_hub *hub = handle->data;
    if (--hub->handles)
        return;
    pthread_mutex_destroy(&hub->lock);
    slot_table_free(hub->ports);
    free(hub);
}

// What is left of closed associations waits for timers; time can be told to pass.
static void usrsctp_tear_down(struct sctp_hub *hub) {
    pthread_mutex_lock(&hub->lock);
    int left = usrsctp_finish();
    for (int round = 0; left != 0 && round < FINISH_ROUNDS; round++) {
        usrsctp_handle_timers(FINISH_STEP_MS);
        left = usrsctp_finish();
    }
    pthread_mutex_unlock(&hub->lock);
    if (left != 0)
        log_warn(NULL, "sctp", "associations were left at the end");
}

void sctp_hub_close(struct sctp_hub *hub) {
    if (!hub)
        return;
    usrsctp_tear_down(hub);
    hub_unclaim();
    uv_close((uv_handle_t *)&hub->timer, on_closed);
    uv_close((uv_handle_t *)&hub->wake, on_closed);
}
