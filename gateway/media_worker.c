// SPDX-License-Identifier: Apache-2.0
#include "gateway/media_worker.h"

#include "gateway/call.h"
#include "gateway/core/err.h"
#include "gateway/core/log.h"

#include <stdlib.h>
#include <string.h>

// Mail types of the worker itself, beyond those of calls.
enum { WORKER_SET_ICE = 1000, WORKER_SET_CONF, WORKER_TAKE_SNAPSHOT };

struct call_ref {
    uint64_t handle;
    struct call *call; // owned by itself; gone when on_gone has said so
};

struct media_worker {
    struct worker *worker;
    struct media_worker_config config;
    const struct conf *conf; // in force, held
    struct media_ice ice;
    struct peer_env peer_env, peer_env_same_host;
    struct trunk_env trunk_env;
    struct call_env call_env;
    struct load_meter meter;
    uint32_t calls;
    bool stopping;
    struct call_ref refs[]; // by the low half of the handle
};

static struct call_ref *media_worker_ref(struct media_worker *worker, uint64_t handle) {
    return &worker->refs[(uint32_t)handle % worker->config.capacity];
}

static void post_to_ctl(enum call_mail type, uint64_t handle, struct call_msg *msg, void *arg) {
    struct media_worker *worker = arg;
    struct mail mail = {.to = handle, .type = type, .data = msg, .free_data = call_msg_free};
    // Without them the session, and what a browser waits for, would stay for ever.
    mail.vital = type == SESSION_ENDED || type == SESSION_GONE;
    int err = mailbox_post(worker->config.ctl, mail);
    if (err)
        log_error(NULL, "worker", "ctl takes no mail of type %d (%s)", (int)type, err_name(err));
}

static void on_call_gone(uint64_t handle, void *arg) {
    struct media_worker *worker = arg;
    *media_worker_ref(worker, handle) = (struct call_ref){0};
    worker->calls--;
    post_to_ctl(SESSION_GONE, handle, NULL, worker);
}

static void open_call(struct media_worker *worker, uint64_t handle, const struct call_open *open) {
    struct call *call = NULL;
    int err = worker->stopping ? -ESHUTDOWN : call_new(&call, &worker->call_env, handle, open);
    if (!err) {
        *media_worker_ref(worker, handle) = (struct call_ref){.handle = handle, .call = call};
        worker->calls++;
        return;
    }
    log_error(open->session_id, "worker", "the call cannot be made (%s)", err_name(err));
    struct call_msg *msg = call_msg_new("The gateway could not make the call.", "internal", NULL);
    if (msg)
        msg->cause = CALL_INTERNAL;
    post_to_ctl(SESSION_ENDED, handle, msg, worker);
    post_to_ctl(SESSION_GONE, handle, NULL, worker);
}

static void media_worker_apply_ice(struct media_worker *worker, const struct media_ice *ice) {
    worker->ice = *ice;
    struct peer_env *env = &worker->peer_env;
    env->stun_address = worker->ice.stun_address[0] ? worker->ice.stun_address : NULL;
    env->stun_port = worker->ice.stun_port;
    env->turns = worker->ice.turns;
    env->turn_count = worker->ice.turn_count;
    worker->peer_env_same_host = *env;
    worker->peer_env_same_host.allow_loopback = true;
}

static int compare_items(const void *a, const void *b) {
    const struct media_snapshot_item *left = a, *right = b;
    return (left->handle > right->handle) - (left->handle < right->handle);
}

static struct media_snapshot *snapshot_new(const struct media_worker *worker) {
    size_t count = 0;
    for (uint32_t i = 0; i < worker->config.capacity; i++)
        count += worker->refs[i].call != NULL;
    struct media_snapshot *snapshot = calloc(1, sizeof *snapshot + count * sizeof snapshot->items[0]);
    if (!snapshot)
        return NULL;
    for (uint32_t i = 0; i < worker->config.capacity; i++) {
        if (!worker->refs[i].call)
            continue;
        struct media_snapshot_item *item = &snapshot->items[snapshot->count++];
        item->handle = worker->refs[i].handle;
        call_figures(worker->refs[i].call, &item->figures);
    }
    qsort(snapshot->items, count, sizeof snapshot->items[0], compare_items);
    return snapshot;
}

static void take_snapshot(struct media_worker *worker, uint64_t request) {
    struct mail mail = {
        .to = request, .type = WORKER_SNAPSHOT, .data = snapshot_new(worker), .free_data = free};
    mailbox_post(worker->config.ctl, mail); // when it is lost, ctl answers without it
}

static void on_mail(struct mail *mail, void *arg) {
    struct media_worker *worker = arg;
    switch (mail->type) {
    case CALL_OPEN:
        open_call(worker, mail->to, mail->data);
        return;
    case WORKER_SET_ICE:
        media_worker_apply_ice(worker, mail->data);
        return;
    case WORKER_SET_CONF:
        conf_free(worker->conf);
        worker->conf = worker->call_env.conf = mail->data;
        mail->data = NULL;
        return;
    case WORKER_TAKE_SNAPSHOT:
        take_snapshot(worker, mail->to);
        return;
    default:
        break;
    }
    const struct call_ref *ref = media_worker_ref(worker, mail->to);
    if (ref->call && ref->handle == mail->to)
        call_mail(ref->call, (enum call_mail)mail->type, mail->data);
}

static uint32_t count_calls(void *arg) {
    const struct media_worker *worker = arg;
    return worker->calls;
}

static void start_meter(struct media_worker *worker, struct worker *thread) {
    struct load_watch *load = worker->config.load;
    struct load_meter_config config = {.loop = worker_loop(thread),
                                       .ticker = worker_ticker(thread),
                                       .cores = load_watch_cores(load),
                                       .gauge = load_watch_gauge(load, worker->config.index),
                                       .calls = count_calls,
                                       .arg = worker};
    load_watch_limits(load, &config.limits);
    load_meter_start(&worker->meter, &config);
}

static int on_start(struct worker *thread, void *arg) {
    struct media_worker *worker = arg;
    const struct conf *conf = worker->config.conf;
    const unsigned *complexity = &worker->meter.complexity;
    start_meter(worker, thread);
    worker->peer_env = (struct peer_env){
        .loop = worker_loop(thread),
        .cert = worker->config.cert,
        .sctp = worker->config.sctp,
        .udp_port_min = conf->webrtc.udp_ports.min,
        .udp_port_max = conf->webrtc.udp_ports.max,
        .public_address = conf->gateway.public_address[0] ? conf->gateway.public_address : NULL,
        .ticker = worker_ticker(thread),
        .complexity = complexity,
    };
    worker->peer_env_same_host = worker->peer_env;
    worker->peer_env_same_host.allow_loopback = true;
    worker->trunk_env = (struct trunk_env){.loop = worker_loop(thread),
                                           .rtp_port_min = conf->sip.rtp_ports.min,
                                           .rtp_port_max = conf->sip.rtp_ports.max,
                                           .public_address = worker->peer_env.public_address,
                                           .ticker = worker_ticker(thread),
                                           .complexity = complexity};
    worker->call_env = (struct call_env){
        .loop = worker_loop(thread),
        .ticker = worker_ticker(thread),
        .peer = &worker->peer_env,
        .peer_same_host = &worker->peer_env_same_host,
        .trunk = &worker->trunk_env,
        .conf = conf,
        .tls = worker->config.tls,
        .complexity = complexity,
        .post = post_to_ctl,
        .on_gone = on_call_gone,
        .arg = worker,
    };
    return 0;
}

static void on_stop(void *arg) {
    struct media_worker *worker = arg;
    worker->stopping = true;
    load_meter_close(&worker->meter);
    const struct call_msg msg = {.text = (char *)"gateway stops", .mline_index = -1};
    for (uint32_t i = 0; i < worker->config.capacity; i++) {
        if (worker->refs[i].call)
            call_mail(worker->refs[i].call, CALL_HANGUP, &msg);
    }
}

int media_worker_start(struct media_worker **out, const struct media_worker_config *config) {
    static const struct worker_ops ops = {.on_start = on_start, .on_mail = on_mail, .on_stop = on_stop};
    struct media_worker *worker = calloc(1, sizeof *worker + config->capacity * sizeof worker->refs[0]);
    if (!worker)
        return -ENOMEM;
    worker->config = *config;
    worker->conf = conf_hold(config->conf);
    int err = worker_start(&worker->worker, config->index, &ops, worker);
    if (err) {
        conf_free(worker->conf);
        free(worker);
        return err;
    }
    *out = worker;
    return 0;
}

int media_worker_post(struct media_worker *worker, enum call_mail type, uint64_t handle,
                      struct call_msg *msg) {
    struct mail mail = {.to = handle, .type = type, .data = msg, .free_data = call_msg_free};
    mail.vital = type == CALL_HANGUP || type == CALL_SOCKET_LOST || type == CALL_SOCKET_BACK;
    return worker_post(worker->worker, mail);
}

int media_worker_open(struct media_worker *worker, uint64_t handle, struct call_open *open) {
    struct mail mail = {.to = handle, .type = CALL_OPEN, .data = open, .free_data = call_open_free};
    return worker_post(worker->worker, mail);
}

int media_worker_set_ice(struct media_worker *worker, const struct media_ice *ice) {
    struct media_ice *copy = malloc(sizeof *copy);
    if (!copy)
        return -ENOMEM;
    *copy = *ice;
    return worker_post(worker->worker,
                       (struct mail){.type = WORKER_SET_ICE, .data = copy, .free_data = free, .vital = true});
}

static void free_conf(void *conf) {
    conf_free(conf);
}

int media_worker_set_conf(struct media_worker *worker, const struct conf *conf) {
    return worker_post(worker->worker, (struct mail){.type = WORKER_SET_CONF,
                                                     .data = (void *)(uintptr_t)conf_hold(conf),
                                                     .free_data = free_conf,
                                                     .vital = true});
}

int media_worker_snapshot(struct media_worker *worker, uint64_t request) {
    return worker_post(worker->worker, (struct mail){.to = request, .type = WORKER_TAKE_SNAPSHOT});
}

void media_worker_stop(struct media_worker *worker) {
    worker_stop(worker->worker);
}

void media_worker_join(struct media_worker *worker) {
    worker_join(worker->worker);
    conf_free(worker->conf);
    free(worker);
}
