// SPDX-License-Identifier: Apache-2.0
// Trunks between stand-ins for the SIP thread, the queue, the platform and the sessions, which only record; linked
// instead of the real modules.
#ifndef IQ_TESTS_TRUNKS_FIXTURE_H
#define IQ_TESTS_TRUNKS_FIXTURE_H

#include "gateway/trunks.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIP_HANDLE = 42, SESSION_HANDLE = 7, HEARD_MAX = 16 };

struct heard {
    enum sip_mail type;
    uint64_t to;
    unsigned code, retry_after_s;
    char text[SIP_TEXT_ID];
};

static struct {
    uv_loop_t loop;
    struct conf *conf;
    struct trunks *trunks;
    struct heard heard[HEARD_MAX]; // by the SIP thread
    unsigned heard_count;
    struct sip_verdict verdict; // the last one
    // the queue
    int queue_err;
    struct callqueue_ask asked; // texts are dead by then; numbers and flags only
    char asked_id[64], asked_refusal[64], asked_server[64], asked_region[64];
    void (*opened)(int err, enum callqueue_verdict verdict, void *arg);
    void (*claimed)(int err, const struct callqueue_claimed *claimed, void *arg);
    void *queue_arg;
    bool authorized;
    unsigned claims, notes, answered, overs, renewed;
    enum callqueue_status over_status;
    char over_text[128], over_id[64];
    // the platform
    initiate_fn *agent_done;
    void *agent_arg;
    char client[64], campaign[64], region[64];
    json_t *variables;
    char given_back[64]; // the call whose slot was given back
    // the sessions
    int open_err;
    uint32_t room;
    const char *overloaded;
    const struct session_side *side;
    void *side_arg;
    char agent_url[64], session_id[128], offer[64];
    bool require_srtp;
    enum call_mail posted[16];
    char posted_text[64];
    unsigned posted_count;
    // the nodes
    struct node nodes[2];
    size_t node_count;
    char sent_to[64];
} f;

// ---- the SIP thread

int sip_stack_post(struct sip_stack *stack, enum sip_mail type, uint64_t to, void *data,
                   void (*free_data)(void *)) {
    (void)stack;
    assert_true(f.heard_count < HEARD_MAX);
    struct heard *heard = &f.heard[f.heard_count++];
    heard->type = type;
    heard->to = to;
    if (type == SIP_ROUTED) {
        f.verdict = *(struct sip_verdict *)data;
    } else if (type == SIP_CHALLENGE) {
        snprintf(heard->text, sizeof heard->text, "%s", ((struct sip_login *)data)->password);
    } else if (data) {
        const struct sip_text *text = data;
        heard->code = text->code;
        heard->retry_after_s = text->retry_after_s;
        snprintf(heard->text, sizeof heard->text, "%s", text->text ? text->text : "");
    }
    free_data(data);
    return 0;
}

static inline const struct heard *heard_of(enum sip_mail type) {
    for (unsigned i = 0; i < f.heard_count; i++) {
        if (f.heard[i].type == type)
            return &f.heard[i];
    }
    return NULL;
}

// ---- the queue

int callqueue_open(struct callqueue *queue, const struct callqueue_ask *ask,
                   void (*done)(int err, enum callqueue_verdict verdict, void *arg), void *arg) {
    (void)queue;
    f.asked = *ask;
    snprintf(f.asked_id, sizeof f.asked_id, "%s", ask->id);
    snprintf(f.asked_refusal, sizeof f.asked_refusal, "%s", ask->refusal ? ask->refusal : "");
    snprintf(f.asked_server, sizeof f.asked_server, "%s", ask->server_count ? ask->servers[0].node_id : "");
    snprintf(f.asked_region, sizeof f.asked_region, "%s", ask->server_count ? ask->servers[0].region_id : "");
    f.opened = done;
    f.queue_arg = arg;
    return f.queue_err;
}

int callqueue_claim(struct callqueue *queue, const char *id, bool authorized,
                    void (*done)(int err, const struct callqueue_claimed *claimed, void *arg), void *arg) {
    (void)queue;
    assert_string_equal(id, "call_1");
    f.claims++;
    f.authorized = authorized;
    f.claimed = done;
    f.queue_arg = arg;
    return f.queue_err;
}

void callqueue_note(struct callqueue *queue, const char *id, const char *text) {
    (void)queue;
    (void)id;
    (void)text;
    f.notes++;
}

void callqueue_answered(struct callqueue *queue, const char *id, const char *session_id) {
    (void)queue;
    assert_string_equal(id, session_id);
    f.answered++;
}

void callqueue_over(struct callqueue *queue, const char *id, enum callqueue_status status, const char *text) {
    (void)queue;
    if (f.overs++)
        return; // the first word counts, as in Redis
    f.over_status = status;
    snprintf(f.over_id, sizeof f.over_id, "%s", id);
    snprintf(f.over_text, sizeof f.over_text, "%s", text);
}

void callqueue_renew(struct callqueue *queue, const struct callqueue_lease *leases, size_t count) {
    (void)queue;
    (void)leases;
    f.renewed += (unsigned)count;
}

void callqueue_sweep(struct callqueue *queue, void (*done)(int64_t expired, void *arg), void *arg) {
    (void)queue;
    (void)done;
    (void)arg;
}

// ---- the platform

void desk_session_over(struct desk *desk, const char *key) {
    (void)desk;
    snprintf(f.given_back, sizeof f.given_back, "%s", key);
}

void desk_call(struct desk *desk, const struct initiate_request *request, const char *key, initiate_fn *done,
               void *arg) {
    (void)desk;
    (void)key;
    f.given_back[0] = '\0';
    snprintf(f.client, sizeof f.client, "%s", request->client_identifier);
    snprintf(f.campaign, sizeof f.campaign, "%s", request->campaign_id);
    snprintf(f.region, sizeof f.region, "%s", request->region_id);
    json_decref(f.variables);
    f.variables = json_incref(request->dynamic_variables);
    f.agent_done = done;
    f.agent_arg = arg;
}

static inline void platform_says(int err, const char *url) {
    const struct initiate_result result = {.err = err,
                                           .session_id = err ? "" : "conv_1",
                                           .url = err ? "" : url,
                                           .encoding = CONF_PCM,
                                           .sample_rate_hz = 16000,
                                           .frame_ms = 20};
    f.agent_done(&result, f.agent_arg);
}

// ---- the sessions and the nodes

int sessions_open(struct sessions *sessions, struct call_open *open, const struct session_side *side,
                  void *side_arg, uint64_t *handle) {
    (void)sessions;
    snprintf(f.agent_url, sizeof f.agent_url, "%s", open->agent_url);
    snprintf(f.session_id, sizeof f.session_id, "%s", open->session_id);
    snprintf(f.offer, sizeof f.offer, "%s", open->trunk->sdp ? open->trunk->sdp : "(none)");
    assert_string_equal(open->trunk->local, "192.0.2.1");
    assert_string_equal(open->trunk->remote, "203.0.113.7");
    f.require_srtp = open->trunk->require_srtp;
    f.side = side;
    f.side_arg = side_arg;
    call_open_free(open);
    if (f.open_err)
        return f.open_err;
    *handle = SESSION_HANDLE;
    return 0;
}

void sessions_post(struct sessions *sessions, uint64_t handle, enum call_mail type, struct call_msg *msg) {
    (void)sessions;
    assert_int_equal(handle, SESSION_HANDLE);
    f.posted[f.posted_count++] = type;
    snprintf(f.posted_text, sizeof f.posted_text, "%s", msg->text ? msg->text : "");
    call_msg_free(msg);
}

uint32_t sessions_room(const struct sessions *sessions) {
    (void)sessions;
    return f.room;
}

const char *sessions_overloaded(const struct sessions *sessions) {
    (void)sessions;
    return f.overloaded;
}

size_t nodes_alive(const struct nodes *nodes, const struct node **out, size_t max) {
    (void)nodes;
    (void)max;
    for (size_t i = 0; i < f.node_count; i++)
        out[i] = &f.nodes[i];
    return f.node_count;
}

void nodes_sent(struct nodes *nodes, const char *id) {
    (void)nodes;
    snprintf(f.sent_to, sizeof f.sent_to, "%s", id);
}

// ---- the fixture

static inline const char *builtin_url(void *arg) {
    (void)arg;
    return "ws://builtin/";
}

static inline int set_up_with(const char *sip) {
    memset(&f, 0, sizeof f);
    char text[1024];
    int len = snprintf(
        text, sizeof text,
        "{\"VoiceAiPlatform\":{\"Campaigns\":{\"camp\":{\"BusinessId\":\"1\",\"WebCampaignId\":\"w\","
        "\"AllowedRegionIds\":[\"EU-DE\"]}}},\"Agent\":{\"Builtin\":\"echo\"},%s"
        "\"Businesses\":{\"123\":{\"MaxConcurrentCalls\":2,\"Numbers\":{"
        "\"abc\":{\"Number\":\"+49302\",\"RouteId\":\"r\",\"RegionId\":\"EU-DE\",\"CampaignId\":\"camp\","
        "\"RequireSrtp\":true},"
        "\"log\":{\"Number\":\"+49303\",\"RouteId\":\"r\",\"RegionId\":\"EU-DE\",\"CampaignId\":\"camp\","
        "\"OverrideSipUsername\":\"u\",\"OverrideSipPassword\":\"secret\"}}}},"
        "\"Regions\":{\"EU-DE\":{}}}",
        sip);
    assert_int_equal(
        conf_parse(&f.conf, "test", text, (size_t)len, NULL, &(struct conf_report){.out = stderr}), 0);
    uv_loop_init(&f.loop);
    f.room = 10;
    f.nodes[0] = (struct node){.id = "node-1",
                               .region_id = "EU-DE",
                               .endpoint = "10.0.0.5",
                               .port = 5070,
                               .accepting = true,
                               .capacity = 100};
    f.node_count = 1;
    const struct trunks_config config = {.loop = &f.loop, .conf = f.conf, .builtin_agent_url = builtin_url};
    assert_int_equal(trunks_new(&f.trunks, &config), 0);
    trunks_set_stack(f.trunks, (struct sip_stack *)&f);
    return 0;
}

static inline int set_up(void **state) {
    (void)state;
    return set_up_with("");
}

static inline int set_up_direct(void **state) {
    (void)state;
    return set_up_with("\"Sip\":{\"AcceptDirect\":true},");
}

static inline int tear_down(void **state) {
    (void)state;
    assert_int_equal(trunks_pending(f.trunks), 0);
    trunks_close(f.trunks);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    trunks_free(f.trunks);
    json_decref(f.variables);
    conf_free(f.conf);
    return uv_loop_close(&f.loop);
}

static inline void mail(enum sip_mail type, void *data, void (*free_data)(void *)) {
    struct mail mail = {.to = SIP_HANDLE, .type = type, .data = data, .free_data = free_data};
    trunks_mail(f.trunks, &mail);
    if (mail.data && free_data)
        free_data(mail.data);
}

static inline void say(enum sip_mail type, unsigned code, const char *text) {
    mail(type, sip_text_new(code, text), sip_text_free);
}

#endif
