// SPDX-License-Identifier: Apache-2.0
//
//   uv loop -> ice_glib (dispatch) -> libnice -> on_nice_packet -> events.on_packet
//                                            -> on_nice_*      -> noted here
//           -> on_ran -> ice_deliver -> events.on_state, on_candidate
//
// What libnice signals is only noted (and the sockets looked at anew, for that is when they change) and told
// from ice_deliver, after its sockets and ours are in line again: the owner may then call anything, and an
// answer is always out before the candidates that follow it.
#include "webrtc/ice.h"

#include "gateway/core/log.h"
#include "gateway/core/ticker.h"
#include "webrtc/ice_candidate.h"
#include "webrtc/ice_glib.h"

#include <netdb.h>
#include <nice/agent.h>
#include <nice/interfaces.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMPONENT = 1, MAX_LOCAL = 48, MAX_ADDRESSES = 16, MAX_LOOKUPS = 4, MAX_CREDENTIAL = 257 };

struct lookup {
    uv_getaddrinfo_t request;
    struct ice *ice; // NULL once the agent has closed or its credentials have changed
    struct lookup *next;
    struct ice_candidate candidate;
};

struct ice {
    const struct peer_env *env; // borrowed
    char call_id[64];
    struct ice_events events;
    struct ice_glib *glib; // owns
    NiceAgent *agent;      // owns; NULL once it is closed
    guint stream;
    char ufrag[MAX_CREDENTIAL], pwd[MAX_CREDENTIAL];
    char remote_ufrag[MAX_CREDENTIAL], remote_pwd[MAX_CREDENTIAL];
    enum ice_state state, told_state;
    char *candidates[MAX_LOCAL]; // owns
    size_t candidate_count, told_count;
    bool gathering_done, told_done, was_connected;
    uint64_t last_heard_us;
    struct lookup *lookups; // running; each frees itself
    unsigned lookup_count;
    bool mdns_known, mdns_works;
    bool closing;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

// libnice and GLib write their warnings to stderr as they please; ours are JSON lines.
static void on_glib_log(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data) {
    (void)data;
    bool severe = level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
    log_write(severe ? LOG_WARN : LOG_DEBUG, NULL, "ice", "%s: %s", domain ? domain : "glib", message);
}

static void glib_init_once(void) {
    static const char *const domains[] = {"libnice", "libnice-stun", "GLib", "GLib-GObject", "GLib-GIO"};
    for (size_t i = 0; i < sizeof domains / sizeof domains[0]; i++)
        g_log_set_handler(domains[i], G_LOG_LEVEL_MASK | G_LOG_FLAG_FATAL | G_LOG_FLAG_RECURSION, on_glib_log,
                          NULL);
}

static void ice_deliver(struct ice *ice) {
    while (!ice->closing && ice->told_count < ice->candidate_count)
        ice->events.on_candidate(ice->candidates[ice->told_count++], ice->events.arg);
    if (!ice->closing && ice->gathering_done && !ice->told_done) {
        ice->told_done = true;
        ice->events.on_candidate(NULL, ice->events.arg);
    }
    if (!ice->closing && ice->told_state != ice->state) {
        ice->told_state = ice->state;
        ice->events.on_state(ice->state, ice->events.arg);
    }
}

static void on_bridge_closed(void *arg) {
    struct ice *ice = arg;
    void (*on_closed)(void *) = ice->on_closed;
    void *closed_arg = ice->closed_arg;
    for (size_t i = 0; i < ice->candidate_count; i++)
        free(ice->candidates[i]);
    free(ice);
    on_closed(closed_arg);
}

static void on_ran(void *arg) {
    struct ice *ice = arg;
    if (!ice->agent)
        ice_glib_close(ice->glib, on_bridge_closed, ice);
    else
        ice_deliver(ice);
}

static void on_nice_state(NiceAgent *agent, guint stream, guint component, guint state, gpointer arg) {
    (void)agent;
    (void)stream;
    (void)component;
    struct ice *ice = arg;
    ice_glib_touch(ice->glib);
    switch (state) {
    case NICE_COMPONENT_STATE_CONNECTED:
    case NICE_COMPONENT_STATE_READY:
        ice->was_connected = true;
        ice->state = ICE_CONNECTED;
        break;
    case NICE_COMPONENT_STATE_FAILED:
        ice->state = ICE_FAILED;
        break;
    case NICE_COMPONENT_STATE_DISCONNECTED:
        ice->state = ice->was_connected ? ICE_DISCONNECTED : ICE_NEW;
        break;
    default:
        ice->state = ICE_CHECKING;
    }
}

static void on_nice_gathering_done(NiceAgent *agent, guint stream, gpointer arg) {
    (void)agent;
    (void)stream;
    struct ice *ice = arg;
    ice_glib_touch(ice->glib);
    ice->gathering_done = true;
}

// Our own candidate as the peer shall see it; false when it shall not. Behind 1:1 NAT the public address
// stands in for our private ones, and what STUN finds out is the same again.
static bool candidate_from_nice(const struct ice *ice, const NiceCandidate *nice, struct ice_candidate *out) {
    static const enum ice_type types[] = {
        [NICE_CANDIDATE_TYPE_HOST] = ICE_HOST,
        [NICE_CANDIDATE_TYPE_SERVER_REFLEXIVE] = ICE_SRFLX,
        [NICE_CANDIDATE_TYPE_PEER_REFLEXIVE] = ICE_PRFLX,
        [NICE_CANDIDATE_TYPE_RELAYED] = ICE_RELAY,
    };
    const char *public_address = ice->env->public_address;
    if (nice->transport != NICE_CANDIDATE_TRANSPORT_UDP || nice->type == NICE_CANDIDATE_TYPE_PEER_REFLEXIVE)
        return false;
    *out = (struct ice_candidate){.component = COMPONENT, .transport = ICE_UDP, .priority = nice->priority};
    snprintf(out->foundation, sizeof out->foundation, "%s", nice->foundation);
    out->type = types[nice->type];
    out->port = (uint16_t)nice_address_get_port(&nice->addr);
    nice_address_to_string(&nice->addr, out->address);
    if (out->type != ICE_HOST) {
        nice_address_to_string(&nice->base_addr, out->related_address);
        out->related_port = (uint16_t)nice_address_get_port(&nice->base_addr);
    }
    if (!public_address || !ice_address_same_family(out->address, public_address))
        return true;
    if (out->type == ICE_SRFLX && strcmp(out->address, public_address) == 0)
        return false;
    if (out->type == ICE_HOST && ice_address_private(out->address))
        snprintf(out->address, sizeof out->address, "%s", public_address);
    return true;
}

static void on_nice_candidate(NiceAgent *agent, NiceCandidate *nice, gpointer arg) {
    (void)agent;
    struct ice *ice = arg;
    ice_glib_touch(ice->glib);
    struct ice_candidate candidate;
    if (!candidate_from_nice(ice, nice, &candidate))
        return;
    if (ice->candidate_count == MAX_LOCAL) {
        log_warn(ice->call_id, "ice", "more than %d candidates of our own; the rest is not told", MAX_LOCAL);
        return;
    }
    char text[ICE_CANDIDATE_TEXT];
    char *kept = ice_candidate_write(&candidate, text, sizeof text) > 0 ? strdup(text) : NULL;
    if (kept)
        ice->candidates[ice->candidate_count++] = kept;
}

static void on_nice_packet(NiceAgent *agent, guint stream, guint component, guint len, gchar *data,
                           gpointer arg) {
    (void)agent;
    (void)stream;
    (void)component;
    struct ice *ice = arg;
    if (ice->closing)
        return;
    ice->last_heard_us = ticker_now_us();
    ice->events.on_packet((uint8_t *)data, len, ice->events.arg);
}

static void read_local_credentials(struct ice *ice) {
    gchar *ufrag = NULL, *pwd = NULL;
    if (nice_agent_get_local_credentials(ice->agent, ice->stream, &ufrag, &pwd)) {
        snprintf(ice->ufrag, sizeof ice->ufrag, "%s", ufrag);
        snprintf(ice->pwd, sizeof ice->pwd, "%s", pwd);
    }
    g_free(ufrag);
    g_free(pwd);
}

// Explicitly, for libnice by itself would also offer link-local addresses, which no browser can use.
static void add_local_addresses(struct ice *ice) {
    GList *list = nice_interfaces_get_local_ips(ice->env->allow_loopback);
    unsigned count = 0;
    for (GList *item = list; item && count < MAX_ADDRESSES; item = item->next) {
        NiceAddress address;
        nice_address_init(&address);
        if (!ice_address_sendable(item->data) || !nice_address_set_from_string(&address, item->data))
            continue;
        nice_agent_add_local_address(ice->agent, &address);
        count++;
    }
    g_list_free_full(list, g_free);
}

static void add_servers(struct ice *ice) {
    const struct peer_env *env = ice->env;
    if (env->stun_address)
        g_object_set(ice->agent, "stun-server", env->stun_address, "stun-server-port", (guint)env->stun_port,
                     NULL);
    for (size_t i = 0; i < env->turn_count && i < NICE_CANDIDATE_MAX_TURN_SERVERS; i++) {
        const struct peer_turn *turn = &env->turns[i];
        // What libnice calls TURN over TLS is Google's old imitation of it, which no server of today speaks.
        if (turn->transport == PEER_TURN_TLS) {
            log_debug(ice->call_id, "ice", "turns: servers cannot be used from here; skipped");
            continue;
        }
        nice_agent_set_relay_info(
            ice->agent, ice->stream, COMPONENT, turn->address, turn->port, turn->username, turn->credential,
            turn->transport == PEER_TURN_TCP ? NICE_RELAY_TYPE_TURN_TCP : NICE_RELAY_TYPE_TURN_UDP);
    }
}

int ice_new(struct ice **out, const struct peer_env *env, const char *call_id,
            const struct ice_events *events) {
    static uv_once_t once = UV_ONCE_INIT;
    uv_once(&once, glib_init_once);
    struct ice *ice = calloc(1, sizeof *ice);
    if (!ice)
        return -ENOMEM;
    ice->env = env;
    ice->events = *events;
    snprintf(ice->call_id, sizeof ice->call_id, "%s", call_id);
    int err = ice_glib_new(&ice->glib, env->loop, on_ran, ice);
    if (err) {
        free(ice);
        return err;
    }
    ice->agent = nice_agent_new_full(ice_glib_context(ice->glib), NICE_COMPATIBILITY_RFC5245,
                                     NICE_AGENT_OPTION_ICE_TRICKLE | NICE_AGENT_OPTION_CONSENT_FRESHNESS |
                                         NICE_AGENT_OPTION_REGULAR_NOMINATION);
    g_object_set(ice->agent, "ice-tcp", FALSE, "upnp", FALSE, "controlling-mode", FALSE, NULL);
    ice->stream = nice_agent_add_stream(ice->agent, 1);
    nice_agent_set_port_range(ice->agent, ice->stream, COMPONENT, env->udp_port_min, env->udp_port_max);
    g_signal_connect(ice->agent, "component-state-changed", G_CALLBACK(on_nice_state), ice);
    g_signal_connect(ice->agent, "candidate-gathering-done", G_CALLBACK(on_nice_gathering_done), ice);
    g_signal_connect(ice->agent, "new-candidate-full", G_CALLBACK(on_nice_candidate), ice);
    nice_agent_attach_recv(ice->agent, ice->stream, COMPONENT, ice_glib_context(ice->glib), on_nice_packet,
                           ice);
    read_local_credentials(ice);
    *out = ice;
    return 0;
}

static void on_agent_closed(GObject *source, GAsyncResult *result, gpointer arg) {
    (void)source;
    (void)result;
    struct ice *ice = arg;
    g_object_unref(ice->agent);
    ice->agent = NULL; // on_ran, which follows, closes the rest
}

static void lookups_detach(struct ice *ice) {
    for (struct lookup *lookup = ice->lookups; lookup; lookup = lookup->next) {
        lookup->ice = NULL;
        uv_cancel((uv_req_t *)&lookup->request);
    }
    ice->lookups = NULL;
    ice->lookup_count = 0;
}

void ice_close(struct ice *ice, void (*on_closed)(void *arg), void *arg) {
    ice->closing = true;
    ice->on_closed = on_closed;
    ice->closed_arg = arg;
    lookups_detach(ice);
    g_signal_handlers_disconnect_by_data(ice->agent, ice);
    // Gives back what TURN servers hold for us, which takes their answers, hence packets are still taken in;
    // without any server it ends at once. The task behind it completes in the context that is the thread's
    // default when it begins.
    g_main_context_push_thread_default(ice_glib_context(ice->glib));
    nice_agent_close_async(ice->agent, on_agent_closed, ice);
    g_main_context_pop_thread_default(ice_glib_context(ice->glib));
    ice_glib_touch(ice->glib);
}

void ice_set_controlling(struct ice *ice, bool controlling) {
    g_object_set(ice->agent, "controlling-mode", (gboolean)controlling, NULL);
}

const char *ice_ufrag(const struct ice *ice) {
    return ice->ufrag;
}

const char *ice_pwd(const struct ice *ice) {
    return ice->pwd;
}

int ice_gather(struct ice *ice) {
    add_local_addresses(ice);
    add_servers(ice);
    bool started = nice_agent_gather_candidates(ice->agent, ice->stream);
    ice_glib_touch(ice->glib);
    return started ? 0 : -EADDRNOTAVAIL;
}

const char *ice_local_candidate(const struct ice *ice, size_t index) {
    return index < ice->candidate_count ? ice->candidates[index] : NULL;
}

void ice_candidates_told(struct ice *ice) {
    ice->told_count = ice->candidate_count;
}

bool ice_gathering_done(const struct ice *ice) {
    return ice->gathering_done;
}

int ice_remote_credentials(struct ice *ice, const char *ufrag, const char *pwd, bool *restarted) {
    *restarted = false;
    if (!ice_credentials_valid(ufrag, pwd))
        return -EINVAL;
    if (strcmp(ufrag, ice->remote_ufrag) == 0 && strcmp(pwd, ice->remote_pwd) == 0)
        return 0;
    if (ice->remote_ufrag[0]) {
        lookups_detach(ice);
        nice_agent_restart_stream(ice->agent, ice->stream);
        read_local_credentials(ice);
        *restarted = true;
    }
    snprintf(ice->remote_ufrag, sizeof ice->remote_ufrag, "%s", ufrag);
    snprintf(ice->remote_pwd, sizeof ice->remote_pwd, "%s", pwd);
    nice_agent_set_remote_credentials(ice->agent, ice->stream, ufrag, pwd);
    ice_glib_touch(ice->glib);
    return 0;
}

static void candidate_to_nice(struct ice *ice, const struct ice_candidate *candidate) {
    static const NiceCandidateType types[] = {
        [ICE_HOST] = NICE_CANDIDATE_TYPE_HOST,
        [ICE_SRFLX] = NICE_CANDIDATE_TYPE_SERVER_REFLEXIVE,
        [ICE_PRFLX] = NICE_CANDIDATE_TYPE_PEER_REFLEXIVE,
        [ICE_RELAY] = NICE_CANDIDATE_TYPE_RELAYED,
    };
    bool usable = candidate->port && ice_address_sendable(candidate->address) &&
                  (ice->env->allow_loopback || !ice_address_loopback(candidate->address));
    if (!usable || candidate->type == ICE_PRFLX)
        return;
    NiceCandidate *nice = nice_candidate_new(types[candidate->type]);
    nice->component_id = COMPONENT;
    nice->stream_id = ice->stream;
    nice->transport = NICE_CANDIDATE_TRANSPORT_UDP;
    nice->priority = candidate->priority;
    snprintf(nice->foundation, sizeof nice->foundation, "%s", candidate->foundation);
    if (nice_address_set_from_string(&nice->addr, candidate->address)) {
        nice_address_set_port(&nice->addr, candidate->port);
        GSList one = {.data = nice};
        nice_agent_set_remote_candidates(ice->agent, ice->stream, COMPONENT, &one);
        ice_glib_touch(ice->glib);
    }
    nice_candidate_free(nice);
}

static void on_lookup(uv_getaddrinfo_t *request, int status, struct addrinfo *result) {
    struct lookup *lookup = request->data;
    struct ice *ice = lookup->ice;
    if (ice) {
        struct lookup **link = &ice->lookups;
        while (*link != lookup)
            link = &(*link)->next;
        *link = lookup->next;
        ice->lookup_count--;
    }
    if (ice && status == 0 && result) {
        struct ice_candidate *candidate = &lookup->candidate;
        int err = getnameinfo(result->ai_addr, result->ai_addrlen, candidate->address,
                              sizeof candidate->address, NULL, 0, NI_NUMERICHOST);
        if (!err)
            candidate_to_nice(ice, candidate);
    }
    uv_freeaddrinfo(result);
    free(lookup);
}

// Whether this host's resolver does multicast DNS at all. Where it does not, asking would only hold a thread
// of libuv's pool until some DNS server has said no.
static bool mdns_works(struct ice *ice) {
    if (ice->mdns_known)
        return ice->mdns_works;
    ice->mdns_known = true;
    FILE *file = fopen("/etc/nsswitch.conf", "re");
    char line[512];
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "hosts:", 6) == 0)
            ice->mdns_works = strstr(line, "mdns") || strstr(line, "resolve");
    }
    if (file)
        fclose(file);
    return ice->mdns_works;
}

// The browser hides its host addresses behind names that only its own network can resolve. Where that is not
// ours, its checks still reach us, and libnice learns the address from them.
static void lookup_start(struct ice *ice, const struct ice_candidate *candidate) {
    if (ice->lookup_count == MAX_LOOKUPS || !mdns_works(ice))
        return;
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return;
    lookup->candidate = *candidate;
    lookup->request.data = lookup;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    if (uv_getaddrinfo(ice->env->loop, &lookup->request, on_lookup, candidate->address, NULL, &hints) != 0) {
        free(lookup);
        return;
    }
    lookup->ice = ice;
    lookup->next = ice->lookups;
    ice->lookups = lookup;
    ice->lookup_count++;
}

int ice_add_candidate(struct ice *ice, const char *text, const char *ufrag) {
    struct ice_candidate candidate;
    int err = ice_candidate_parse(&candidate, span_str(text));
    if (err)
        return err;
    const char *generation = ufrag && ufrag[0] ? ufrag : candidate.ufrag;
    if (generation[0] && strcmp(generation, ice->remote_ufrag) != 0)
        return 0;
    if (candidate.transport != ICE_UDP || candidate.component != COMPONENT)
        return 0;
    if (candidate.address_kind == ICE_ADDRESS_NUMERIC)
        candidate_to_nice(ice, &candidate);
    else if (candidate.address_kind == ICE_ADDRESS_MDNS)
        lookup_start(ice, &candidate);
    return 0;
}

void ice_remote_done(struct ice *ice) {
    nice_agent_peer_candidate_gathering_done(ice->agent, ice->stream);
    ice_glib_touch(ice->glib);
}

int ice_send(struct ice *ice, const uint8_t *data, size_t len) {
    if (ice->closing)
        return -EAGAIN;
    int sent = nice_agent_send(ice->agent, ice->stream, COMPONENT, (guint)len, (const gchar *)data);
    return sent == (int)len ? 0 : -EAGAIN;
}

enum ice_state ice_state(const struct ice *ice) {
    return ice->state;
}

uint64_t ice_last_heard_us(const struct ice *ice) {
    return ice->last_heard_us;
}
