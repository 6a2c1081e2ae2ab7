// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/log.h"
#include "middleware/desk_impl.h"

#include <stdlib.h>
#include <string.h>

// One telephone call on its way. No limits of an address count it: a trunk is one address for all its callers.
struct call {
    struct desk *desk;                      // borrowed
    const struct initiate_request *request; // borrowed
    char key[PLATFORM_ID_MAX + 1], slot[SLOT_ID_SIZE];
    initiate_fn *done;
    void *arg;
};

static void call_done(struct call *call, const struct initiate_result *result) {
    call->done(result, call->arg);
    free(call);
}

static void call_fail(struct call *call, int err) {
    call_done(call, &(struct initiate_result){.err = err, .key = "", .session_id = "", .url = ""});
}

static void on_held(int err, void *arg) {
    (void)arg;
    if (err)
        log_warn(NULL, "desk", "a slot is not bound yet: %s", err_name(err));
}

static void on_agent(const struct initiate_result *result, void *arg) {
    struct call *call = arg;
    struct slots *slots = call->desk->slots;
    if (result->err) {
        if (result->err == -EAGAIN)
            usage_poke(call->desk->usage);
        slots_give_back(slots, call->slot);
        call_done(call, result);
        return;
    }
    const struct slots_session session = {.slot = call->slot,
                                          .key = call->key,
                                          .session_id = *result->session_id ? result->session_id : call->key,
                                          .campaign_id = call->request->campaign_id,
                                          .rate = "",
                                          .request_id = "",
                                          .here = true};
    int err = slots_keep(slots, &session);
    if (!err)
        err = slots_hold(slots, &session, on_held, NULL);
    if (err)
        on_held(err, NULL);
    call_done(call, result);
}

static void on_admitted(int err, const struct queue_admission *admission, void *arg) {
    struct call *call = arg;
    if (err) {
        slots_give_back(call->desk->slots, call->slot);
        call_fail(call, err);
    } else if (admission->verdict != QUEUE_SLOT) {
        call_fail(call, -EAGAIN);
    } else {
        initiate_agent(call->desk->initiate, call->request, on_agent, call);
    }
}

static int call_begin(struct call *call) {
    int err = slots_new_id(call->slot);
    if (err)
        return err;
    const struct queue_entry entry = {.slot = call->slot,
                                      .id = call->key,
                                      .rate = "",
                                      .text = "",
                                      .campaign_id = call->request->campaign_id,
                                      .weight = 1};
    return queue_admit(call->desk->queue, &entry, false, on_admitted, call);
}

void desk_call(struct desk *desk, const struct initiate_request *request, const char *key, initiate_fn *done,
               void *arg) {
    struct call *call = calloc(1, sizeof *call);
    if (!call) {
        done(&(struct initiate_result){.err = -ENOMEM, .key = "", .session_id = "", .url = ""}, arg);
        return;
    }
    *call = (struct call){.desk = desk, .request = request, .done = done, .arg = arg};
    bool fits = (size_t)snprintf(call->key, sizeof call->key, "%s", key) < sizeof call->key;
    int err = fits ? call_begin(call) : -ENAMETOOLONG;
    if (err)
        call_fail(call, err);
}
