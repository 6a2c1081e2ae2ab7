// SPDX-License-Identifier: Apache-2.0
//
//   request -> agent: the fixed one, or what platform_initiate brings -> session here -> URL
//                                                                    \-> the platform's own URL
#include "middleware/initiate.h"

#include "gateway/core/log.h"
#include "middleware/api_body.h"
#include "signaling/auth.h"

#include <stdlib.h>
#include <string.h>

struct initiate {
    const struct conf *conf; // borrowed
    struct httpc *client;    // borrowed
    struct initiate_events events;
};

// One request on its way. Copies what it needs of the conf, which may change while it waits.
struct attempt {
    struct initiate *initiate;              // borrowed
    const struct initiate_request *request; // borrowed
    bool agent_only;
    enum conf_encoding encoding;
    uint32_t rate_hz, frame_ms;
    initiate_fn *done;
    void *arg;
};

static void attempt_done(struct attempt *attempt, int err, const char *key, const char *session_id,
                         const char *url) {
    const struct initiate_result result = {.err = err,
                                           .key = err ? "" : key,
                                           .session_id = err ? "" : session_id,
                                           .url = err ? "" : url,
                                           .encoding = attempt->encoding,
                                           .sample_rate_hz = attempt->rate_hz,
                                           .frame_ms = attempt->frame_ms};
    initiate_fn *done = attempt->done;
    void *arg = attempt->arg;
    done(&result, arg);
    free(attempt);
}

// Opens the session, under a random id when there is none; `session->session_id` is the one it got.
static int open_session(struct attempt *attempt, struct api_session *session,
                        char made_id[PLATFORM_ID_MAX + 1], char *url, size_t url_size) {
    const struct initiate_events *events = &attempt->initiate->events;
    const struct http_request_origin *origin = &attempt->request->origin;
    if (*session->session_id) {
        int err = events->on_session(session, origin, url, url_size, events->arg);
        if (err != -EEXIST)
            return err;
        log_warn(session->session_id, "initiate", "the platform gave the id of a session that is still open");
    }
    int err = auth_random_id("ses_", made_id, PLATFORM_ID_MAX + 1);
    if (err)
        return err;
    session->session_id = made_id;
    return events->on_session(session, origin, url, url_size, events->arg);
}

// A session of our own: `agent_url` is "" for the built-in agent.
static void attempt_open(struct attempt *attempt, const char *session_id, const char *agent_url) {
    char client_id[INITIATE_CLIENT_ID_MAX + 1], made_id[PLATFORM_ID_MAX + 1], url[INITIATE_URL_MAX];
    const struct initiate_request *request = attempt->request;
    api_path_identifier(request->client_identifier, client_id);
    struct api_session session = {.session_id = session_id,
                                  .client_id = client_id,
                                  .agent_url = agent_url,
                                  .client_address = request->client_address,
                                  .campaign_id = request->campaign_id,
                                  .region_id = request->region_id,
                                  .encoding = attempt->encoding,
                                  .sample_rate_hz = attempt->rate_hz,
                                  .frame_ms = attempt->frame_ms};
    int err = open_session(attempt, &session, made_id, url, sizeof url);
    if (err)
        log_warn(*session_id ? session_id : NULL, "initiate", "session not made: %s", err_name(err));
    attempt_done(attempt, err, session.session_id, *session_id ? session_id : session.session_id, url);
}

static void on_platform(int err, const struct platform_session *session, void *arg) {
    struct attempt *attempt = arg;
    bool ours = !attempt->agent_only && attempt->request->transport == API_TRANSPORT_WEBRTC;
    if (err)
        attempt_done(attempt, err, "", "", "");
    else if (ours)
        attempt_open(attempt, session->session_id, session->url);
    else
        attempt_done(attempt, 0, "", session->session_id, session->url);
}

static struct platform_format chosen_format(const struct attempt *attempt,
                                            const struct platform_format *asked) {
    struct platform_format format = platform_format_of(attempt->encoding, attempt->rate_hz);
    // Whoever talks to us and not to the platform: what the platform sends is then the Agent format, whatever
    // the page said.
    if (attempt->agent_only || attempt->request->transport == API_TRANSPORT_WEBRTC)
        return format;
    if (asked->encoding)
        format.encoding = asked->encoding;
    if (asked->rate_hz)
        format.rate_hz = asked->rate_hz;
    if (asked->bits)
        format.bits = asked->bits;
    return format;
}

static void attempt_ask_platform(struct attempt *attempt, const struct conf *conf) {
    const struct initiate_request *request = attempt->request;
    const struct conf_campaign *campaign = conf_campaign(conf, request->campaign_id);
    if (!campaign) {
        log_warn(NULL, "initiate", "campaign %.64s is gone from the configuration", request->campaign_id);
        attempt_done(attempt, -ENOENT, "", "", "");
        return;
    }
    struct platform_request query = {.base_url = conf->platform.base_url,
                                     .token = conf->platform.api_secret_token,
                                     .business_id = campaign->business_id,
                                     .web_campaign_id = campaign->web_campaign_id,
                                     .region_id = request->region_id,
                                     .client_identifier = request->client_identifier,
                                     .input = chosen_format(attempt, &request->input),
                                     .output = chosen_format(attempt, &request->output),
                                     .frame_ms = attempt->frame_ms,
                                     .dynamic_variables = request->dynamic_variables,
                                     .metadata = request->metadata};
    int err = platform_initiate(attempt->initiate->client, &query, on_platform, attempt);
    if (!err)
        return;
    log_error(NULL, "initiate", "platform not asked: %s", err_name(err));
    attempt_done(attempt, -EIO, "", "", "");
}

static void attempt_begin(struct initiate *initiate, const struct initiate_request *request, bool agent_only,
                          initiate_fn *done, void *arg) {
    const struct conf *conf = initiate->conf;
    struct attempt *attempt = calloc(1, sizeof *attempt);
    if (!attempt) {
        done(&(struct initiate_result){.err = -ENOMEM, .key = "", .session_id = "", .url = ""}, arg);
        return;
    }
    *attempt = (struct attempt){.initiate = initiate,
                                .request = request,
                                .agent_only = agent_only,
                                .encoding = conf->agent.encoding,
                                .rate_hz = conf->agent.sample_rate_hz,
                                .frame_ms = conf->agent.frame_ms,
                                .done = done,
                                .arg = arg};
    bool fixed = *conf->agent.url || *conf->agent.builtin;
    if (fixed && agent_only)
        attempt_done(attempt, 0, "", "", conf->agent.url);
    else if (fixed && request->transport == API_TRANSPORT_WEBRTC)
        attempt_open(attempt, "", conf->agent.url);
    else
        attempt_ask_platform(attempt, conf);
}

void initiate_session(struct initiate *initiate, const struct initiate_request *request, initiate_fn *done,
                      void *arg) {
    attempt_begin(initiate, request, false, done, arg);
}

void initiate_agent(struct initiate *initiate, const struct initiate_request *request, initiate_fn *done,
                    void *arg) {
    attempt_begin(initiate, request, true, done, arg);
}

int initiate_new(struct initiate **out, const struct conf *conf, struct httpc *client,
                 const struct initiate_events *events) {
    struct initiate *initiate = calloc(1, sizeof *initiate);
    if (!initiate)
        return -ENOMEM;
    *initiate = (struct initiate){.conf = conf, .client = client, .events = *events};
    *out = initiate;
    return 0;
}

void initiate_set_conf(struct initiate *initiate, const struct conf *conf) {
    initiate->conf = conf;
}

void initiate_free(struct initiate *initiate) {
    free(initiate);
}
