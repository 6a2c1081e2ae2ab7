// SPDX-License-Identifier: Apache-2.0
#include "gateway/trunks_impl.h"

#include "gateway/core/err.h"
#include "gateway/core/log.h"

#include <stdlib.h>
#include <string.h>

void trunks_post(struct trunks *trunks, enum sip_mail type, uint64_t to, void *data,
                 void (*free_data)(void *)) {
    if (!trunks->stack) { // at the very end
        free_data(data);
        return;
    }
    int err = sip_stack_post(trunks->stack, type, to, data, free_data);
    if (err)
        log_error(NULL, "trunks", "the SIP thread takes no mail of type %d (%s)", (int)type, err_name(err));
}

const struct conf_number *trunks_number(const struct trunks *trunks, const char *business_id,
                                        const char *number_id, const struct conf_business **business) {
    const struct conf *conf = trunks->conf;
    for (size_t i = 0; i < conf->business_count; i++) {
        const struct conf_business *candidate = &conf->businesses[i];
        if (strcmp(candidate->id, business_id) != 0)
            continue;
        for (size_t k = 0; k < candidate->number_count; k++) {
            if (strcmp(candidate->numbers[k].id, number_id) != 0)
                continue;
            *business = candidate;
            return &candidate->numbers[k];
        }
    }
    return NULL;
}

void trunks_mail(struct trunks *trunks, struct mail *mail) {
    switch (mail->type) {
    case SIP_ROUTE:
        trunk_route_ask(trunks, mail->to, mail->data);
        break;
    case SIP_ROUTE_GONE:
        trunk_route_gone(trunks, mail->to);
        break;
    case SIP_INVITE:
        trunk_call_invite(trunks, mail->to, mail->data);
        mail->data = NULL;
        break;
    default:
        trunk_call_mail(trunks, mail);
        break;
    }
}

void trunks_redis_up(struct trunks *trunks) {
    trunk_calls_renew(trunks);
}

void trunks_drain(struct trunks *trunks) {
    trunks->draining = true;
}

uint32_t trunks_pending(const struct trunks *trunks) {
    return trunks->pending;
}

// ---- from time to time

static void on_renew(uv_timer_t *timer) {
    trunk_calls_renew(timer->data);
}

static void on_sweep(uv_timer_t *timer) {
    struct trunks *trunks = timer->data;
    callqueue_sweep(trunks->config.queue, NULL, NULL);
}

// ---- the whole

void trunks_set_stack(struct trunks *trunks, struct sip_stack *stack) {
    trunks->stack = stack;
}

int trunks_set_conf(struct trunks *trunks, const struct conf *conf) {
    struct route_table *table;
    int err = route_table_new(&table, conf);
    if (err)
        return err;
    route_table_free(trunks->table);
    conf_free(trunks->conf);
    trunks->table = table;
    trunks->conf = conf_hold(conf);
    return 0;
}

int trunks_new(struct trunks **out, const struct trunks_config *config) {
    struct trunks *trunks = calloc(1, sizeof *trunks);
    if (!trunks)
        return -ENOMEM;
    trunks->config = *config;
    int err = trunks_set_conf(trunks, config->conf);
    if (err) {
        free(trunks);
        return err;
    }
    uv_timer_init(config->loop, &trunks->renew);
    uv_timer_init(config->loop, &trunks->sweep);
    trunks->renew.data = trunks->sweep.data = trunks;
    uv_timer_start(&trunks->renew, on_renew, CALLQUEUE_RENEW_MS, CALLQUEUE_RENEW_MS);
    uv_timer_start(&trunks->sweep, on_sweep, CALLQUEUE_SWEEP_MS, CALLQUEUE_SWEEP_MS);
    *out = trunks;
    return 0;
}

void trunks_close(struct trunks *trunks) {
    uv_close((uv_handle_t *)&trunks->renew, NULL);
    uv_close((uv_handle_t *)&trunks->sweep, NULL);
}

static void free_route(void *route, void *arg) {
    (void)arg;
    free(route);
}

void trunks_free(struct trunks *trunks) {
    if (!trunks)
        return;
    trunk_map_each(&trunks->routes, free_route, NULL);
    trunk_calls_free(trunks);
    route_table_free(trunks->table);
    conf_free(trunks->conf);
    free(trunks);
}
