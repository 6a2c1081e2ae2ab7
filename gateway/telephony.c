// SPDX-License-Identifier: Apache-2.0
#include "gateway/telephony.h"

#include "gateway/core/log.h"
#include "gateway/sip_endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct telephony {
    struct telephony_config config;
    struct node self; // but for what changes
    bool draining;
    struct callqueue *queue;
    struct nodes *nodes;
    struct trunks *trunks;
    struct sip_stack *stack; // NULL once it has ended
};

static void on_self(struct node *out, void *arg) {
    struct telephony *telephony = arg;
    const struct sessions *sessions = telephony->config.sessions;
    int64_t room = sessions_room(sessions);
    *out = telephony->self;
    out->full = room == 0; // which a capacity of 0, no limit at all, could not say
    out->accepting = !telephony->draining && !out->full;
    out->calls = (int64_t)sessions_live(sessions) + trunks_pending(telephony->trunks);
    out->capacity = out->calls + room;
}

// What the heartbeat says of this node; false when it takes no calls of trunks.
static bool know_self(struct telephony *telephony) {
    const struct conf *conf = telephony->config.conf;
    struct sip_endpoint endpoint;
    if (!(conf->gateway.roles & CONF_ROLE_MEDIA) || !conf->sip.media_listen.count)
        return false;
    int err = sip_endpoint_of(conf, &endpoint);
    if (err) {
        log_warn(NULL, "telephony",
                 "this node is not announced: no address that trunks reach is known (%s); set "
                 "Gateway.PublicAddress",
                 err_name(err));
        return false;
    }
    struct node *self = &telephony->self;
    snprintf(self->id, sizeof self->id, "%s", conf->gateway.node_id);
    snprintf(self->region_id, sizeof self->region_id, "%s", conf->gateway.region_id);
    snprintf(self->endpoint, sizeof self->endpoint, "%s", endpoint.address);
    self->port = endpoint.port;
    self->tls_port = endpoint.tls_port;
    log_info(NULL, "telephony", "trunks reach this node's listener at %s:%u", self->endpoint, self->port);
    return true;
}

static int start_shared(struct telephony *telephony) {
    const struct telephony_config *config = &telephony->config;
    const struct callqueue_config queue = {.redis = config->redis,
                                           .node_id = config->conf->gateway.node_id,
                                           .region_id = config->conf->gateway.region_id};
    const struct nodes_config nodes = {.loop = config->loop,
                                       .redis = config->redis,
                                       .self = know_self(telephony) ? on_self : NULL,
                                       .arg = telephony};
    int err = callqueue_new(&telephony->queue, &queue);
    return err ? err : nodes_new(&telephony->nodes, &nodes);
}

static int start_trunks(struct telephony *telephony) {
    const struct telephony_config *config = &telephony->config;
    const struct trunks_config trunks = {.loop = config->loop,
                                         .conf = config->conf,
                                         .sessions = config->sessions,
                                         .queue = telephony->queue,
                                         .nodes = telephony->nodes,
                                         .desk = config->desk,
                                         .builtin_agent_url = config->builtin_agent_url,
                                         .arg = config->arg};
    return trunks_new(&telephony->trunks, &trunks);
}

int telephony_start(struct telephony **out, const struct telephony_config *config, struct err_text *err) {
    struct telephony *telephony = calloc(1, sizeof *telephony);
    if (!telephony)
        return err_set(err, -ENOMEM, "out of memory");
    telephony->config = *config;
    int rc = start_shared(telephony);
    if (!rc)
        rc = start_trunks(telephony);
    if (rc) {
        err_set(err, rc, "telephony does not start (%s)", err_name(rc));
    } else {
        const struct sip_stack_config stack = {.conf = config->conf, .ctl = config->ctl};
        rc = sip_stack_start(&telephony->stack, &stack, err);
    }
    if (!rc)
        trunks_set_stack(telephony->trunks, telephony->stack);
    *out = telephony; // also on an error, for telephony_close and telephony_free
    return rc;
}

void telephony_mail(struct telephony *telephony, struct mail *mail) {
    trunks_mail(telephony->trunks, mail);
}

int telephony_set_conf(struct telephony *telephony, const struct conf *conf) {
    int err = trunks_set_conf(telephony->trunks, conf);
    return err ? err : sip_stack_set_conf(telephony->stack, conf);
}

void telephony_announce(struct telephony *telephony) {
    nodes_beat(telephony->nodes);
    trunks_redis_up(telephony->trunks);
}

void telephony_drain(struct telephony *telephony) {
    telephony->draining = true;
    trunks_drain(telephony->trunks);
    sip_stack_drain(telephony->stack);
    nodes_beat(telephony->nodes);
}

void telephony_close(struct telephony *telephony) {
    if (telephony->stack) {
        trunks_set_stack(telephony->trunks, NULL);
        sip_stack_stop(telephony->stack);
        sip_stack_join(telephony->stack);
        telephony->stack = NULL;
    }
    if (telephony->nodes) {
        nodes_leave(telephony->nodes);
        nodes_close(telephony->nodes);
    }
    if (telephony->trunks)
        trunks_close(telephony->trunks);
}

void telephony_free(struct telephony *telephony) {
    if (!telephony)
        return;
    trunks_free(telephony->trunks);
    nodes_free(telephony->nodes);
    callqueue_free(telephony->queue);
    free(telephony);
}

struct callqueue *telephony_queue(const struct telephony *telephony) {
    return telephony->queue;
}

const struct nodes *telephony_nodes(const struct telephony *telephony) {
    return telephony->nodes;
}
