// SPDX-License-Identifier: Apache-2.0
//
//   trunk_offer: sdp_read -> trunk_sdp -> trunk_media -> the answer     trunk_make_offer, trunk_answer: turned
//   udp -> trunk_media_receive -> audio_session          leg_ops -> audio_session -> trunk_media -> udp
//
// One guard timer: the dead call's. It is set for when the call would be dead, and looks again then.
#include "sip/trunk.h"

#include "gateway/core/log.h"
#include "gateway/core/ticker.h"
#include "sip/trunk_media.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    FIRST_REPORT_MS = 1000,
    REPORT_MS = 5000, // RFC 3550 section 6.2's minimum, randomised over half to one and a half of it
};

struct trunk {
    const struct trunk_env *env;     // borrowed
    const struct leg_events *events; // borrowed
    void *events_arg;
    struct udp *udp[2];        // owns, as all that is below; by enum trunk_channel
    struct trunk_media *media; // NULL until all else is made
    unsigned open;             // handles, while closing
    bool offering, started, up, ended, closing;

    char call_id[128], local[64];
    enum codec_id codecs[CODEC_COUNT];
    struct trunk_sdp_config sdp;
    uint32_t dead_call_ms;
    uint64_t session_id;
    uint32_t version;
    char *said;                            // our SDP as last said, NULL before
    struct sdes ours;                      // the key in use, key_len 0 for none
    struct sdes offered[TRUNK_SDP_SUITES]; // in our offer, while its answer is awaited

    uv_timer_t guard, report;
};

static void trunk_end(struct trunk *trunk, enum leg_end end, const char *reason) {
    if (trunk->ended || trunk->closing)
        return;
    trunk->ended = true;
    uv_timer_stop(&trunk->guard);
    uv_timer_stop(&trunk->report);
    trunk->events->on_end(end, reason, trunk->events_arg);
}

// ---- timers

static void on_guard(uv_timer_t *timer) {
    struct trunk *trunk = timer->data;
    uint64_t quiet_ms = (ticker_now_us() - trunk_media_heard_us(trunk->media)) / 1000;
    uint32_t dead_ms = trunk->dead_call_ms;
    if (trunk_media_on_hold(trunk->media) || quiet_ms < dead_ms) {
        uint64_t left_ms = quiet_ms < dead_ms ? dead_ms - quiet_ms : dead_ms;
        uv_timer_start(timer, on_guard, left_ms, 0);
        return;
    }
    char reason[96];
    snprintf(reason, sizeof reason, "neither RTP nor RTCP from the trunk for %u ms", dead_ms);
    trunk_end(trunk, LEG_END_LOST, reason);
}

static void on_report_due(uv_timer_t *timer) {
    struct trunk *trunk = timer->data;
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
        random = REPORT_MS / 2;
    audio_session_report(trunk_media_session(trunk->media), ticker_now_us(), NULL);
    uv_timer_start(timer, on_report_due, REPORT_MS / 2 + random % REPORT_MS, 0);
}

static void on_start_due(uv_timer_t *timer) {
    struct trunk *trunk = timer->data;
    trunk->up = true;
    uv_timer_start(timer, on_report_due, FIRST_REPORT_MS, 0);
    trunk_media_open(trunk->media, ticker_now_us());
    if (trunk->dead_call_ms)
        uv_timer_start(&trunk->guard, on_guard, trunk->dead_call_ms, 0);
    trunk->events->on_up(trunk->events_arg);
}

static void start_if_ready(struct trunk *trunk) {
    bool ready = trunk->started && trunk_media_applied(trunk->media);
    if (ready && !trunk->up && !trunk->ended && !trunk->closing)
        uv_timer_start(&trunk->report, on_start_due, 0, 0);
}

void trunk_start(struct trunk *trunk) {
    trunk->started = true;
    start_if_ready(trunk);
}

// ---- offer and answer

// One SDP of ours: an answer to `sdp` by `plan`, or without them our offer.
struct saying {
    const struct sdp *sdp;
    const struct trunk_plan *plan;
    const struct sdes *ours;
    size_t cap;
};

static bool is_ip6(const char *address) {
    return strchr(address, ':') != NULL;
}

static const char *said_address(const struct trunk *trunk) {
    const char *outside = trunk->env->public_address;
    return outside && is_ip6(outside) == is_ip6(trunk->local) ? outside : trunk->local;
}

static int write_sdp(const struct trunk *trunk, const struct saying *saying, uint32_t version, char *buf) {
    const struct trunk_local local = {.address = said_address(trunk),
                                      .rtp_port = udp_port(trunk->udp[TRUNK_RTP]),
                                      .session_id = trunk->session_id,
                                      .version = version};
    if (!saying->plan)
        return trunk_sdp_write_offer(&trunk->sdp, &local, saying->ours, buf, saying->cap);
    return trunk_sdp_write_answer(saying->sdp, saying->plan, &local, saying->ours, buf, saying->cap);
}

// RFC 3264 section 8: the version grows by one whenever what is said differs from what was said last.
struct said {
    char *text, *copy; // owned: one to keep, one for the caller
    uint32_t version;
};

// What was said may have our key in it.
static void forget(char *text) {
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static void unsay(struct said *said) {
    forget(said->text);
    forget(said->copy);
}

static int say(const struct trunk *trunk, const struct saying *saying, struct said *out) {
    struct said said = {.version = trunk->version};
    char *draft = calloc(1, saying->cap);
    if (!draft)
        return -ENOMEM;
    int len = write_sdp(trunk, saying, said.version, draft);
    if (len >= 0 && trunk->said && strcmp(draft, trunk->said) != 0)
        len = write_sdp(trunk, saying, ++said.version, draft);
    if (len >= 0) {
        said.text = strdup(draft);
        said.copy = strdup(draft);
    }
    forget(draft);
    if (!said.text || !said.copy) {
        unsay(&said);
        return len < 0 ? len : -ENOMEM;
    }
    *out = said;
    return 0;
}

static char *commit(struct trunk *trunk, const struct said *said) {
    forget(trunk->said);
    trunk->said = said->text;
    trunk->version = said->version;
    return said->copy;
}

// The key in use goes on where the suite is the same: only a change of suite makes a new one.
static int our_key(const struct trunk *trunk, enum srtp_ctx_profile profile, uint32_t tag, struct sdes *out) {
    if (!trunk->ours.key_len || trunk->ours.profile != profile)
        return sdes_make(out, profile, tag);
    *out = trunk->ours;
    out->tag = tag;
    return 0;
}

static void tell_change(struct trunk *trunk, const struct trunk_plan *plan, bool changed) {
    char to[64];
    log_info(trunk->call_id, "trunk", "%s, %u ms, %s, %s; port %u, to %s",
             codec_desc(plan->audio.codec)->rtp_name, plan->audio.ptime_ms, plan->secure ? "SRTP" : "RTP",
             sdp_direction_name(plan->audio.direction), udp_port(trunk->udp[TRUNK_RTP]),
             udp_address_text(&plan->rtp, to));
    start_if_ready(trunk);
    if (changed && trunk->up)
        trunk->events->on_media(trunk->events_arg);
}

static int offer_accept(struct trunk *trunk, const struct sdp *sdp, const struct trunk_plan *plan, size_t len,
                        char **answer, struct err_text *err) {
    struct sdes ours = {0};
    struct said said = {0};
    bool changed = false;
    int code = plan->secure ? our_key(trunk, plan->theirs.profile, plan->theirs.tag, &ours) : 0;
    const struct saying saying = {sdp, plan, &ours, trunk_sdp_answer_cap(sdp, len)};
    if (!code)
        code = say(trunk, &saying, &said);
    if (!code)
        code = trunk_media_apply(trunk->media, plan, &ours, ticker_now_us(), &changed);
    if (code) {
        unsay(&said);
        sdes_wipe(&ours);
        return err_set(err, code, "the answer cannot be made (%s)", err_name(code));
    }
    trunk->ours = ours;
    sdes_wipe(&ours);
    *answer = commit(trunk, &said);
    tell_change(trunk, plan, changed);
    return 0;
}

static int read_sdp(struct sdp **out, const char *text, size_t len, struct err_text *err) {
    struct sdp *sdp = malloc(sizeof *sdp); // too large for a stack
    if (!sdp)
        return err_set(err, -ENOMEM, "out of memory");
    if (sdp_read(sdp, span_of(text, len), err) != 0) {
        free(sdp);
        return -EINVAL;
    }
    *out = sdp;
    return 0;
}

int trunk_offer(struct trunk *trunk, const char *sdp, size_t len, char **answer, struct err_text *err) {
    struct sdp *offer = NULL;
    struct trunk_plan plan;
    if (trunk->ended || trunk->closing)
        return err_set(err, -EPIPE, "the call has ended");
    int code = read_sdp(&offer, sdp, len, err);
    if (code)
        return code;
    code = trunk_sdp_read_offer(&plan, offer, &trunk->sdp, err);
    if (!code) {
        code = offer_accept(trunk, offer, &plan, len, answer, err);
        trunk_plan_wipe(&plan);
    }
    free(offer);
    return code;
}

static int make_keys(struct trunk *trunk) {
    static const enum srtp_ctx_profile profiles[TRUNK_SDP_SUITES] = {SRTP_CTX_AEAD_AES_128_GCM,
                                                                     SRTP_CTX_AES128_CM_HMAC_SHA1_80};
    int code = 0;
    for (uint32_t i = 0; i < TRUNK_SDP_SUITES && !code; i++)
        code = our_key(trunk, profiles[i], i + 1, &trunk->offered[i]);
    return code;
}

int trunk_make_offer(struct trunk *trunk, char **offer, struct err_text *err) {
    struct said said;
    if (trunk->ended || trunk->closing)
        return err_set(err, -EPIPE, "the call has ended");
    bool secure = trunk->sdp.require_srtp || trunk->ours.key_len;
    int code = secure ? make_keys(trunk) : 0;
    const struct saying saying = {.ours = secure ? trunk->offered : NULL, .cap = TRUNK_SDP_OFFER_CAP};
    if (!code)
        code = say(trunk, &saying, &said);
    if (code)
        return err_set(err, code, "the offer cannot be made (%s)", err_name(code));
    *offer = commit(trunk, &said);
    trunk->offering = true;
    return 0;
}

static int answer_apply(struct trunk *trunk, struct sdp *answer, struct err_text *err) {
    struct trunk_plan plan;
    size_t chosen = 0;
    bool changed = false;
    bool secure = trunk->offered[0].key_len;
    int code =
        trunk_sdp_read_answer(&plan, answer, &trunk->sdp, secure ? trunk->offered : NULL, &chosen, err);
    if (code)
        return code;
    code = trunk_media_apply(trunk->media, &plan, &trunk->offered[chosen], ticker_now_us(), &changed);
    trunk_plan_wipe(&plan);
    if (code)
        return err_set(err, code, "the codec cannot be set up (%s)", err_name(code));
    trunk->ours = trunk->offered[chosen];
    tell_change(trunk, &plan, changed);
    return 0;
}

int trunk_answer(struct trunk *trunk, const char *sdp, size_t len, struct err_text *err) {
    struct sdp *answer = NULL;
    if (trunk->ended || trunk->closing)
        return err_set(err, -EPIPE, "the call has ended");
    if (!trunk->offering)
        return err_set(err, -EINVAL, "an answer came, and there was no offer");
    int code = read_sdp(&answer, sdp, len, err);
    if (code)
        return code;
    code = answer_apply(trunk, answer, err);
    free(answer);
    trunk->offering = code != 0;
    if (!code)
        explicit_bzero(trunk->offered, sizeof trunk->offered);
    return code;
}

// ---- media

static void on_datagram(struct udp *udp, uint8_t *data, size_t len, const union udp_address *from,
                        void *arg) {
    struct trunk *trunk = arg;
    enum trunk_channel channel = udp == trunk->udp[TRUNK_RTP] ? TRUNK_RTP : TRUNK_RTCP;
    if (trunk->ended || trunk->closing)
        return;
    bool audio = trunk_media_receive(trunk->media, channel, data, len, from, ticker_now_us());
    if (audio && trunk->events->on_audio)
        trunk->events->on_audio(trunk->events_arg);
}

static void on_media_send(enum trunk_channel channel, const uint8_t *packet, size_t len,
                          const union udp_address *to, void *arg) {
    struct trunk *trunk = arg;
    udp_send(trunk->udp[channel], packet, len, to); // lost like any packet where it does not go
}

static void on_media_source(const union udp_address *from, void *arg) {
    struct trunk *trunk = arg;
    char text[64];
    log_info(trunk->call_id, "trunk", "media comes from %s", udp_address_text(from, text));
}

static void on_media_dtmf(char digit, void *arg) {
    struct trunk *trunk = arg;
    if (!trunk->ended && !trunk->closing)
        trunk->events->on_dtmf(digit, trunk->events_arg);
}

void trunk_dtmf(struct trunk *trunk, char digit) {
    audio_session_digit(trunk_media_session(trunk->media), digit, ticker_now_us());
}

// ---- the leg

static struct audio_session *session_of(void *leg) {
    return trunk_media_session(((struct trunk *)leg)->media);
}

static struct leg_media leg_media(void *leg, uint32_t want_rate_hz) {
    return audio_session_rate(session_of(leg), want_rate_hz);
}

static void leg_read_pcm(void *leg, int16_t *out, size_t samples, uint64_t now_us) {
    audio_session_read_pcm(session_of(leg), out, samples, now_us);
}

static size_t leg_read_payload(void *leg, uint8_t *out, size_t cap, uint32_t frame_ms, uint64_t now_us) {
    return audio_session_read_payload(session_of(leg), out, cap, frame_ms, now_us);
}

static bool leg_read_late(void *leg, int64_t *late_us) {
    return audio_session_read_late(session_of(leg), late_us);
}

static void leg_write_pcm(void *leg, const int16_t *pcm, size_t samples, bool silence, uint64_t now_us) {
    audio_session_write_pcm(session_of(leg), pcm, samples, silence, now_us);
}

static void leg_write_payload(void *leg, const uint8_t *payload, size_t len, uint32_t duration_ms,
                              uint64_t now_us) {
    audio_session_write_payload(session_of(leg), payload, len, duration_ms, now_us);
}

static int leg_send_text(void *leg, const char *text, size_t len) {
    (void)leg;
    (void)text;
    (void)len;
    return -ENOTCONN; // a telephone shows none
}

static int leg_send_dtmf(void *leg, const char *digits) {
    return audio_session_send_dtmf(session_of(leg), digits);
}

static void leg_stats(void *leg, struct leg_stats *out) {
    audio_session_stats(session_of(leg), out);
}

static void trunk_free(struct trunk *trunk) {
    trunk_media_free(trunk->media);
    sdes_wipe(&trunk->ours);
    explicit_bzero(trunk->offered, sizeof trunk->offered);
    forget(trunk->said);
    free(trunk);
}

static void part_closed(void *arg) {
    struct trunk *trunk = arg;
    if (--trunk->open)
        return;
    const struct leg_events *events = trunk->events;
    void *events_arg = trunk->events_arg;
    trunk_free(trunk);
    events->on_closed(events_arg);
}

static void on_timer_closed(uv_handle_t *handle) {
    part_closed(handle->data);
}

static void leg_close(void *leg, const char *reason) {
    struct trunk *trunk = leg;
    if (trunk->closing)
        return;
    trunk->closing = trunk->ended = true;
    audio_session_report(trunk_media_session(trunk->media), ticker_now_us(), reason ? reason : "");
    trunk->open = 4;
    udp_close(trunk->udp[TRUNK_RTP], part_closed, trunk);
    udp_close(trunk->udp[TRUNK_RTCP], part_closed, trunk);
    uv_close((uv_handle_t *)&trunk->guard, on_timer_closed);
    uv_close((uv_handle_t *)&trunk->report, on_timer_closed);
}

struct leg trunk_leg(struct trunk *trunk) {
    static const struct leg_ops ops = {.media = leg_media,
                                       .read_pcm = leg_read_pcm,
                                       .read_payload = leg_read_payload,
                                       .read_late = leg_read_late,
                                       .write_pcm = leg_write_pcm,
                                       .write_payload = leg_write_payload,
                                       .send_text = leg_send_text,
                                       .send_dtmf = leg_send_dtmf,
                                       .stats = leg_stats,
                                       .close = leg_close};
    return (struct leg){.ops = &ops, .impl = trunk};
}

// ---- birth

static int trunk_make_media(struct trunk *trunk, const struct trunk_config *config) {
    const struct trunk_media_events events = {
        .on_send = on_media_send, .on_dtmf = on_media_dtmf, .on_source = on_media_source, .arg = trunk};
    union udp_address signalling = {0};
    udp_address_parse(&signalling, config->remote_address, 0); // stays "not known" when it is none
    int err = trunk_media_new(&trunk->media, config->pcm_rate_hz, config->tones, &signalling, &events);
    if (!err)
        audio_session_complexity(trunk_media_session(trunk->media), trunk->env->complexity);
    audio_session_ticker(trunk_media_session(trunk->media), trunk->env->ticker);
    return err;
}

// The last step: sockets know the trunk.
static int trunk_make_sockets(struct trunk *trunk) {
    const struct udp_events events = {.on_datagram = on_datagram, .arg = trunk};
    const struct trunk_env *env = trunk->env;
    union udp_address host;
    int err = udp_address_parse(&host, trunk->local, 0);
    return err ? err
               : udp_pair_new(trunk->udp, env->loop, &host, env->rtp_port_min, env->rtp_port_max, &events);
}

int trunk_new(struct trunk **out, const struct trunk_env *env, const struct trunk_config *config,
              const struct leg_events *events, void *events_arg) {
    if (!config->codec_count || config->codec_count > CODEC_COUNT)
        return -EINVAL;
    struct trunk *trunk = calloc(1, sizeof *trunk);
    if (!trunk)
        return -ENOMEM;
    trunk->env = env;
    trunk->events = events;
    trunk->events_arg = events_arg;
    trunk->dead_call_ms = config->dead_call_ms;
    snprintf(trunk->call_id, sizeof trunk->call_id, "%s", config->call_id);
    snprintf(trunk->local, sizeof trunk->local, "%s", config->local_address);
    memcpy(trunk->codecs, config->codecs, config->codec_count * sizeof trunk->codecs[0]);
    trunk->sdp = (struct trunk_sdp_config){.codecs = trunk->codecs,
                                           .codec_count = config->codec_count,
                                           .require_srtp = config->require_srtp,
                                           .family = is_ip6(config->local_address) ? AF_INET6 : AF_INET};
    int err = getrandom(&trunk->session_id, sizeof trunk->session_id, 0) < 0 ? -EIO : 0;
    trunk->session_id >>= 1;
    trunk->version = 1;
    if (!err)
        err = trunk_make_media(trunk, config);
    if (!err)
        err = trunk_make_sockets(trunk);
    if (err) {
        trunk_free(trunk);
        return err;
    }
    uv_timer_init(env->loop, &trunk->guard);
    uv_timer_init(env->loop, &trunk->report);
    trunk->guard.data = trunk->report.data = trunk;
    *out = trunk;
    return 0;
}
