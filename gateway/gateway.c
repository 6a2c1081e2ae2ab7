// SPDX-License-Identifier: Apache-2.0
//
//   start   certificate, trust -> ctl mailbox -> workers -> store (Redis) -> sessions, auth -> front (the
//           session desk) -> echo agent -> telephony (SIP) -> HTTP server
//   stop    drain -> (calls gone, or time is up: hang up) -> telephony -> front, HTTP server, echo agent -> workers
//           -> what is left on ctl -> store
#include "gateway/gateway.h"

#include "gateway/core/fds.h"
#include "gateway/core/log.h"
#include "gateway/core/mailbox.h"
#include "gateway/doors.h"
#include "gateway/echo_agent.h"
#include "gateway/front.h"
#include "gateway/ice_servers.h"
#include "gateway/load_cost.h"
#include "gateway/load_watch.h"
#include "gateway/media_worker.h"
#include "gateway/pages.h"
#include "gateway/sessions.h"
#include "gateway/sip_doors.h"
#include "gateway/store.h"
#include "gateway/telephony.h"
#include "media/srtp.h"
#include "signaling/browser.h"
#include "webrtc/cert.h"
#include "webrtc/sctp.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MAX_WORKERS = 64,
    MAX_SESSIONS = 16384,
    CTL_MAILBOX = 65536,
    MAX_BODY_BYTES = 65536,
    FDS_LOOK_MS = 50,
    HANG_UP_TIMEOUT_MS = 5000, // after this the loops are closed whatever a peer still does
    TURN_TTL_S = 12 * 3600,
    ICE_REFRESH_MS = 600 * 1000, // names of STUN and TURN servers may move, and our own credentials age
    OPEN_ROUTES = (int)PAGES_ROUTES + (int)DOORS_ROUTES + (int)SIP_DOORS_ROUTES +
                  (int)FRONT_ADMIN_ROUTES, // of every role
};

enum gateway_phase { GATEWAY_RUNNING, GATEWAY_DRAINING, GATEWAY_HANGING_UP, GATEWAY_CLOSING };

struct gateway {
    uv_loop_t *loop;
    const struct conf *start_conf; // held: what needs a restart is read from it
    const struct conf *conf;       // in force, held
    enum gateway_phase phase;
    struct cert *cert;
    struct wsc_tls *tls;
    struct sctp_hub *sctp;
    struct mailbox *mailbox; // SESSION_* from the workers, SIP_* from the SIP thread
    struct media_worker *workers[MAX_WORKERS];
    size_t worker_count;
    struct load_watch *load;
    struct store *store; // gone once it is closed
    struct auth *auth;
    struct sessions *sessions;
    struct live *live;
    struct browser *browser;
    struct httpc *httpc;
    struct front *front;
    struct echo_agent *echo;
    struct telephony *telephony;
    struct ice_servers *ice_servers;
    struct http_server *http;
    struct doors doors;
    struct sip_doors sip_doors;
    struct http_route routes[OPEN_ROUTES + (int)FRONT_ROUTES];
    struct ws_route ws_routes[2];
    size_t route_count, ws_route_count;
    uv_timer_t timer; // drain deadline, then hang-up deadline
    uv_timer_t ice_timer;
    uint64_t fds_look_ms; // when to look again
    bool fds_left;        // what was seen
    bool ice_known;       // the workers have the servers of the conf in force
    char *ice_json;
    unsigned closing; // servers still closing
};

// ---- events

static void on_mail(struct mail *mail, void *arg) {
    struct gateway *gateway = arg;
    if (mail->type == WORKER_SNAPSHOT)
        live_mail(gateway->live, mail);
    else if (mail->type >= SIP_ROUTE)
        telephony_mail(gateway->telephony, mail);
    else
        sessions_mail(gateway->sessions, mail);
}

// Looking costs as much as a request, and a session is no call yet: the call looks for itself.
static bool descriptors_left(struct gateway *gateway) {
    uint64_t now_ms = uv_now(gateway->loop);
    if (now_ms >= gateway->fds_look_ms) {
        gateway->fds_look_ms = now_ms + FDS_LOOK_MS;
        gateway->fds_left = fds_left(FDS_PER_CALL);
    }
    return gateway->fds_left;
}

static const char *why_closed(void *arg) {
    struct gateway *gateway = arg;
    if (sessions_draining(gateway->sessions))
        return "The gateway is shutting down. Please try again.";
    return descriptors_left(gateway) ? NULL : "The gateway is at capacity. Please try again.";
}

static bool has_room(void *arg) {
    const struct gateway *gateway = arg;
    return sessions_room(gateway->sessions) > 0;
}

static void on_load_change(void *arg) {
    struct gateway *gateway = arg;
    telephony_announce(gateway->telephony);
    desk_room(front_desk(gateway->front));
}

static void on_redis_up(void *arg) {
    struct gateway *gateway = arg;
    if (gateway->front && gateway->phase != GATEWAY_CLOSING)
        desk_redis_up(front_desk(gateway->front));
    if (gateway->telephony)
        telephony_announce(gateway->telephony);
}

static void on_session_over(const char *session_id, void *arg) {
    struct gateway *gateway = arg;
    desk_session_over(front_desk(gateway->front), session_id);
}

static int on_session(const struct api_session *session, const struct http_request_origin *origin, char *url,
                      size_t url_size, void *arg) {
    struct gateway *gateway = arg;
    struct api_session with_agent = *session;
    if (!with_agent.agent_url[0] && gateway->echo)
        with_agent.agent_url = echo_agent_url(gateway->echo);
    return sessions_admit(gateway->sessions, &with_agent, origin, url, url_size);
}

static const char *on_ice_servers_json(void *arg) {
    struct gateway *gateway = arg;
    char *json = ice_servers_json(gateway->conf, (int64_t)time(NULL), TURN_TTL_S);
    if (json) {
        free(gateway->ice_json);
        gateway->ice_json = json;
    }
    return gateway->ice_json ? gateway->ice_json : "[]";
}

static void on_ice_resolved(const struct media_ice *ice, bool whole, void *arg) {
    struct gateway *gateway = arg;
    // While a name does not resolve, what it was before is the better guess.
    if (!whole && gateway->ice_known)
        return;
    gateway->ice_known = whole;
    for (size_t i = 0; i < gateway->worker_count; i++)
        media_worker_set_ice(gateway->workers[i], ice);
}

static int gateway_resolve_ice(struct gateway *gateway) {
    ice_servers_close(gateway->ice_servers);
    gateway->ice_servers = NULL;
    return ice_servers_resolve(&gateway->ice_servers, gateway->loop, gateway->conf, on_ice_resolved, gateway);
}

static void on_ice_timer(uv_timer_t *timer) {
    gateway_resolve_ice(timer->data);
}

static void on_drain_asked(void *arg) {
    struct gateway *gateway = arg;
    if (gateway->phase == GATEWAY_RUNNING)
        gateway_stop(gateway);
}

// ---- stop

static void on_server_closed(void *arg);

static void gateway_close(struct gateway *gateway) {
    if (gateway->phase == GATEWAY_CLOSING)
        return;
    gateway->phase = GATEWAY_CLOSING;
    uv_close((uv_handle_t *)&gateway->timer, NULL);
    uv_close((uv_handle_t *)&gateway->ice_timer, NULL);
    load_watch_close(gateway->load);
    telephony_close(gateway->telephony);
    live_close(gateway->live);
    gateway->closing = gateway->echo ? 3 : 2;
    front_close(gateway->front, on_server_closed, gateway);
    if (gateway->echo)
        echo_agent_close(gateway->echo, on_server_closed, gateway);
    http_server_close(gateway->http, on_server_closed, gateway);
}

static void gateway_stop_workers(struct gateway *gateway) {
    for (size_t i = 0; i < gateway->worker_count; i++)
        media_worker_stop(gateway->workers[i]);
    for (size_t i = 0; i < gateway->worker_count; i++)
        media_worker_join(gateway->workers[i]);
    gateway->worker_count = 0;
}

// No socket can bring anything new any more; the workers end, and what they still say is dropped with the
// mailbox.
static void on_server_closed(void *arg) {
    struct gateway *gateway = arg;
    if (--gateway->closing)
        return;
    gateway_stop_workers(gateway);
    httpc_close(gateway->httpc);
    ice_servers_close(gateway->ice_servers);
    gateway->ice_servers = NULL;
    sctp_hub_close(gateway->sctp);
    sessions_close(gateway->sessions);
    mailbox_close(gateway->mailbox);
    store_close(gateway->store);
}

static void on_hang_up_timeout(uv_timer_t *timer) {
    struct gateway *gateway = timer->data;
    log_warn(NULL, "gateway", "%u calls did not end in time; closing", sessions_live(gateway->sessions));
    gateway_close(gateway);
}

static void gateway_hang_up(struct gateway *gateway) {
    gateway->phase = GATEWAY_HANGING_UP;
    uv_timer_start(&gateway->timer, on_hang_up_timeout, HANG_UP_TIMEOUT_MS, 0);
    sessions_hang_up(gateway->sessions, "the gateway stops");
    sessions_drain(gateway->sessions);
}

static void on_drain_timeout(uv_timer_t *timer) {
    struct gateway *gateway = timer->data;
    log_info(NULL, "gateway", "drain time is over: hanging up %u calls", sessions_live(gateway->sessions));
    gateway_hang_up(gateway);
}

// From sessions, when draining and the last call has gone.
static void on_idle(void *arg) {
    struct gateway *gateway = arg;
    gateway_close(gateway);
}

void gateway_stop(struct gateway *gateway) {
    const struct conf *conf = gateway->conf;
    if (gateway->phase == GATEWAY_RUNNING) {
        gateway->phase = GATEWAY_DRAINING;
        log_info(NULL, "gateway", "draining: %u calls have %lld s to end; a second signal ends them at once",
                 sessions_live(gateway->sessions), (long long)conf->gateway.drain_seconds);
        uv_timer_start(&gateway->timer, on_drain_timeout, (uint64_t)conf->gateway.drain_seconds * 1000u, 0);
        telephony_drain(gateway->telephony);
        front_drain(gateway->front);
        sessions_drain(gateway->sessions);
    } else if (gateway->phase == GATEWAY_DRAINING) {
        gateway_hang_up(gateway);
    }
}

// ---- start

static size_t gateway_workers(const struct conf *conf) {
    if (conf->gateway.workers > 0)
        return conf->gateway.workers < MAX_WORKERS ? (size_t)conf->gateway.workers : MAX_WORKERS;
    unsigned cores = load_cores();
    return cores < MAX_WORKERS ? cores : MAX_WORKERS;
}

static uint32_t gateway_capacity(const struct conf *conf) {
    int64_t max = conf->gateway.max_calls;
    return max > 0 && max < MAX_SESSIONS ? (uint32_t)max : MAX_SESSIONS;
}

static int start_workers(struct gateway *gateway, struct err_text *err) {
    const struct conf *conf = gateway->conf;
    size_t count = gateway_workers(conf);
    for (size_t i = 0; i < count; i++) {
        const struct media_worker_config config = {
            .index = (unsigned)i,
            .capacity = gateway_capacity(conf) + SESSIONS_CLOSING,
            .conf = conf,
            .cert = gateway->cert,
            .sctp = gateway->sctp,
            .tls = gateway->tls,
            .load = gateway->load,
            .ctl = gateway->mailbox,
        };
        int rc = media_worker_start(&gateway->workers[i], &config);
        if (rc)
            return err_set(err, rc, "worker %zu does not start (%s)", i, err_name(rc));
        gateway->worker_count++;
    }
    worker_go_first(); // before this thread, and what it starts from here on: SIP, Redis, the thread pool
    return 0;
}

static int start_load(struct gateway *gateway) {
    const struct load_watch_config config = {.loop = gateway->loop,
                                             .conf = gateway->conf,
                                             .worker_count = gateway_workers(gateway->conf),
                                             .on_change = on_load_change,
                                             .arg = gateway};
    return load_watch_new(&gateway->load, &config);
}

static int start_media(struct gateway *gateway, struct err_text *err) {
    const struct conf *conf = gateway->conf;
    int rc = cert_new(&gateway->cert);
    if (rc)
        return err_set(err, rc, "the DTLS certificate cannot be made (%s)", err_name(rc));
    rc = srtp_ctx_prepare();
    if (rc)
        return err_set(err, rc, "SRTP does not start (%s)", err_name(rc));
    rc = wsc_tls_new(&gateway->tls, conf->agent.ca_file, "http/1.1");
    if (rc)
        return err_set(err, rc, "Agent.CaFile: \"%s\" cannot be used (%s): name a PEM file of certificates",
                       conf->agent.ca_file, err_name(rc));
    rc = sctp_hub_new(&gateway->sctp, gateway->loop);
    if (!rc)
        rc = mailbox_new(&gateway->mailbox, gateway->loop, CTL_MAILBOX, on_mail, gateway);
    if (!rc)
        rc = start_load(gateway);
    if (rc)
        return err_set(err, rc, "the control thread does not start (%s)", err_name(rc));
    return start_workers(gateway, err);
}

static int start_store(struct gateway *gateway, struct err_text *err) {
    const struct redis_events events = {.on_up = on_redis_up, .arg = gateway};
    return store_start(&gateway->store, gateway->loop, gateway->conf, &events, err);
}

static int start_sessions(struct gateway *gateway) {
    const struct conf *conf = gateway->conf;
    int rc = auth_new(&gateway->auth, conf->gateway.session_token_secret);
    if (rc)
        return rc;
    const struct sessions_config config = {
        .loop = gateway->loop,
        .auth = gateway->auth,
        .workers = gateway->workers,
        .worker_count = gateway->worker_count,
        .capacity = gateway_capacity(conf),
        .load = gateway->load,
        .on_idle = on_idle,
        .on_over = on_session_over,
        .ice_servers_json = on_ice_servers_json,
        .arg = gateway,
    };
    rc = sessions_new(&gateway->sessions, &config);
    if (rc)
        return rc;
    const struct live_config live = {gateway->loop, gateway->sessions, gateway->workers,
                                     gateway->worker_count};
    rc = live_new(&gateway->live, &live);
    if (rc)
        return rc;
    sessions_set_public_url(gateway->sessions, conf->gateway.public_url);
    struct browser_events events;
    sessions_browser_events(gateway->sessions, &events);
    return browser_new(&gateway->browser, gateway->auth, &events);
}

static int start_front(struct gateway *gateway) {
    int rc = httpc_new(&gateway->httpc, gateway->loop);
    const struct desk_events events = {.on_session = on_session,
                                       .why_closed = why_closed,
                                       .has_room = has_room,
                                       .ice_servers_json = on_ice_servers_json,
                                       .arg = gateway};
    const struct front_config config = {.loop = gateway->loop,
                                        .conf = gateway->conf,
                                        .redis = store_redis(gateway->store),
                                        .client = gateway->httpc,
                                        .auth = gateway->auth,
                                        .doors = &gateway->doors,
                                        .events = &events};
    return rc ? rc : front_new(&gateway->front, &config);
}

static int start_echo(struct gateway *gateway, struct err_text *err) {
    const struct conf *conf = gateway->conf;
    if (strcmp(conf->agent.builtin, "echo") != 0)
        return 0;
    const struct agent_format format = {conf->agent.encoding, conf->agent.sample_rate_hz,
                                        conf->agent.frame_ms};
    return echo_agent_new(&gateway->echo, gateway->loop, &format, err);
}

static const char *on_builtin_agent_url(void *arg) {
    const struct gateway *gateway = arg;
    return gateway->echo ? echo_agent_url(gateway->echo) : NULL;
}

static int start_telephony(struct gateway *gateway, struct err_text *err) {
    const struct telephony_config config = {.loop = gateway->loop,
                                            .conf = gateway->conf,
                                            .ctl = gateway->mailbox,
                                            .sessions = gateway->sessions,
                                            .desk = front_desk(gateway->front),
                                            .redis = store_redis(gateway->store),
                                            .builtin_agent_url = on_builtin_agent_url,
                                            .arg = gateway};
    return telephony_start(&gateway->telephony, &config, err);
}

static int start_http(struct gateway *gateway, struct err_text *err) {
    const struct conf *conf = gateway->conf;
    gateway->doors = (struct doors){.sessions = gateway->sessions,
                                    .live = gateway->live,
                                    .load = gateway->load,
                                    .redis = store_redis(gateway->store),
                                    .nodes = telephony_nodes(gateway->telephony),
                                    .admin_token = conf->gateway.admin_token,
                                    .on_drain = on_drain_asked,
                                    .arg = gateway};
    pages_routes(gateway->routes);
    doors_routes(&gateway->doors, gateway->routes + PAGES_ROUTES);
    gateway->sip_doors = (struct sip_doors){&gateway->doors, gateway->telephony};
    sip_doors_routes(&gateway->sip_doors, gateway->routes + PAGES_ROUTES + DOORS_ROUTES);
    front_admin_routes(gateway->front, gateway->routes + OPEN_ROUTES - FRONT_ADMIN_ROUTES);
    front_routes(gateway->front, gateway->routes + OPEN_ROUTES);
    // What a role does not serve is not there: 404.
    bool middleware = conf->gateway.roles & CONF_ROLE_MIDDLEWARE,
         media = conf->gateway.roles & CONF_ROLE_MEDIA;
    gateway->route_count = OPEN_ROUTES + (middleware ? (size_t)FRONT_ROUTES : 0);
    gateway->ws_route_count = 0;
    if (middleware)
        front_ws_route(gateway->front, &gateway->ws_routes[gateway->ws_route_count++]);
    if (media)
        browser_route(gateway->browser, &gateway->ws_routes[gateway->ws_route_count++]);
    const struct http_config config = {
        .loop = gateway->loop,
        .listen = conf->gateway.http_listen,
        .tls_certificate = conf->gateway.tls_certificate,
        .tls_key = conf->gateway.tls_key,
        .allowed_origins = (const char *const *)conf->allowed_origins.items,
        .allowed_origin_count = conf->allowed_origins.count,
        .known_proxies = (const char *const *)conf->forwarded_headers.known_proxies.items,
        .known_proxy_count = conf->forwarded_headers.known_proxies.count,
        .known_networks = (const char *const *)conf->forwarded_headers.known_networks.items,
        .known_network_count = conf->forwarded_headers.known_networks.count,
        .max_body = MAX_BODY_BYTES,
        .routes = gateway->routes,
        .route_count = gateway->route_count,
        .ws_routes = gateway->ws_routes,
        .ws_route_count = gateway->ws_route_count,
    };
    return http_server_new(&gateway->http, &config, err);
}

static int start_all(struct gateway *gateway, struct err_text *err) {
    int rc = start_media(gateway, err);
    if (!rc)
        rc = start_store(gateway, err);
    if (rc)
        return rc;
    rc = start_sessions(gateway);
    if (!rc)
        rc = start_front(gateway);
    if (rc)
        return err_set(err, rc, "the session desk does not start (%s)", err_name(rc));
    rc = start_echo(gateway, err);
    if (!rc)
        rc = start_telephony(gateway, err);
    if (!rc)
        rc = start_http(gateway, err);
    if (rc)
        return rc;
    load_watch_start(gateway->load);
    return gateway_resolve_ice(gateway);
}

int gateway_start(struct gateway **out, uv_loop_t *loop, struct conf *conf, struct err_text *err) {
    struct gateway *gateway = calloc(1, sizeof *gateway);
    if (!gateway)
        return err_set(err, -ENOMEM, "out of memory");
    gateway->loop = loop;
    gateway->conf = conf;
    gateway->start_conf = conf_hold(conf);
    *out = gateway;
    uv_timer_init(loop, &gateway->timer);
    uv_timer_init(loop, &gateway->ice_timer);
    gateway->timer.data = gateway->ice_timer.data = gateway;
    uv_timer_start(&gateway->ice_timer, on_ice_timer, ICE_REFRESH_MS, ICE_REFRESH_MS);
    return start_all(gateway, err);
}

struct gateway_routes gateway_routes(const struct gateway *gateway) {
    return (struct gateway_routes){.routes = gateway->routes,
                                   .route_count = gateway->route_count,
                                   .ws_routes = gateway->ws_routes,
                                   .ws_route_count = gateway->ws_route_count};
}

uint16_t gateway_http_port(const struct gateway *gateway) {
    return http_server_port(gateway->http);
}

void gateway_reload(struct gateway *gateway, struct conf *conf) {
    if (gateway->phase == GATEWAY_CLOSING) {
        conf_free(conf);
        return;
    }
    conf_restart_needed(gateway->start_conf, conf, stderr);
    const struct conf *old = gateway->conf;
    gateway->conf = conf;
    enum log_level level;
    if (log_level_parse(conf->log_level, &level) == 0)
        log_set_level(level);
    front_set_conf(gateway->front, conf);
    gateway->doors.admin_token = conf->gateway.admin_token;
    sessions_set_public_url(gateway->sessions, conf->gateway.public_url);
    for (size_t i = 0; i < gateway->worker_count; i++)
        media_worker_set_conf(gateway->workers[i], conf);
    int err = telephony_set_conf(gateway->telephony, conf);
    if (err)
        log_error(NULL, "gateway", "SIP keeps the old configuration (%s)", err_name(err));
    conf_free(old); // calls that began under it hold it
    gateway->ice_known = false;
    int rc = gateway_resolve_ice(gateway);
    log_info(NULL, "gateway", "configuration reloaded%s",
             rc ? ", but WebRtc.IceServers cannot be resolved" : "");
}

void gateway_free(struct gateway *gateway) {
    telephony_free(gateway->telephony);
    browser_free(gateway->browser);
    live_free(gateway->live);
    sessions_free(gateway->sessions);
    load_watch_free(gateway->load);
    front_free(gateway->front);
    auth_free(gateway->auth);
    mailbox_free(gateway->mailbox);
    wsc_tls_free(gateway->tls);
    cert_free(gateway->cert);
    free(gateway->ice_json);
    conf_free(gateway->conf);
    conf_free(gateway->start_conf);
    free(gateway);
}
